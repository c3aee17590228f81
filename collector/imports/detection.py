"""Detection of a file's format by its content, and reading it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from collector.core.errors import ImportRefused
from collector.imports.file import ImportedFile
from collector.imports.formats.format import Format
from collector.imports.formats.ga4 import GA4
from collector.imports.formats.ga4_report import GA4_REPORT
from collector.imports.formats.goatcounter import GOATCOUNTER
from collector.imports.formats.goatcounter_json import GOATCOUNTER_JSON
from collector.imports.formats.json_log import JSON_LOG
from collector.imports.formats.matomo import MATOMO
from collector.imports.formats.matomo_reports import MATOMO_REPORTS
from collector.imports.formats.plausible import PLAUSIBLE
from collector.imports.formats.simple_analytics import SIMPLE_ANALYTICS
from collector.imports.formats.text_log import TEXT_LOG
from collector.imports.formats.tyst import TYST
from collector.imports.formats.umami import UMAMI
from collector.imports.formats.w3c_log import W3C_LOG
from collector.imports.target import ImportTarget

FORMATS: Final[tuple[Format, ...]] = (
    TYST,
    PLAUSIBLE,
    UMAMI,
    GOATCOUNTER,
    GOATCOUNTER_JSON,
    MATOMO,
    MATOMO_REPORTS,
    GA4,
    SIMPLE_ANALYTICS,
    JSON_LOG,
    W3C_LOG,
    TEXT_LOG,
    GA4_REPORT,
)
"""Formats in the order in which they are tried; the first that recognises a file reads it."""
TITLES: Final = {"": "–", **{each.name: each.title for each in FORMATS}}
"""How people call each format, by its name; an empty file has none."""


def read_file(file: ImportedFile, target: ImportTarget, directory: Path, format: str | Format = "auto") -> None:  # noqa: A002
    """Take a file, or every file within a zip file, to the target. Raises `ImportRefused`."""
    if file.is_zip:
        _read_zip(file, target, directory, format)
    elif file.text.strip():
        _read(file, _format_of(file, format), target)


def _read_zip(file: ImportedFile, target: ImportTarget, directory: Path, format: str | Format) -> None:  # noqa: A002
    """Take every file within a zip file to the target. Those of no format are left out, unless all are."""
    unknown: ImportRefused | None = None
    for entry in file.entries(directory):
        if entry.is_zip:
            _read_zip(entry, target, directory, format)
        elif entry.text.strip():
            try:
                found = _format_of(entry, format)
            except FormatUnknown as error:
                unknown = unknown or error
                target.begin(Path(entry.name).name[:80])
                target.leave_out("other_file", 1)
            else:
                _read(entry, found, target)
    if unknown is not None and not target.report.format:
        raise unknown


def _read(file: ImportedFile, found: Format, target: ImportTarget) -> None:
    report = target.report
    if report.format and report.format != found.name and not (target.exact and found is PLAUSIBLE):
        raise ImportRefused(
            "file",
            "{name} is a file of {title}, and the files before it come from another product; import them "
            "one after the other",
            name=file.name,
            title=found.title,
        )
    report.format = report.format or found.name
    target.begin(Path(file.name).name[:80])
    found.read(file, target)


class FormatUnknown(ImportRefused):
    """A file is in no format that can be imported."""


def finish(target: ImportTarget) -> None:
    """All files were read. Raises `ImportRefused` where they are not enough."""
    for each in FORMATS:
        if each.name == target.report.format:
            each.finish(target)
    target.finish()


def _format_of(file: ImportedFile, format: str | Format) -> Format:  # noqa: A002
    if isinstance(format, Format):
        if not format.recognises(file):
            raise FormatUnknown("log_format", "no line at the beginning of {name} fits the log format", name=file.name)
        return format
    wanted = [each for each in FORMATS if format in ("auto", each.name)]
    if not wanted:
        names = ", ".join(["auto", *(each.name for each in FORMATS)])
        raise ImportRefused("format", "expected one of {choices}", choices=names)
    found = next((each for each in wanted if each.recognises(file)), None)
    if found is None:
        titles = ", ".join(each.title for each in wanted)
        raise FormatUnknown(
            "file",
            "{name} is not in a supported format. Supported: {formats}. Exports by month or without dates "
            "cannot be imported, because they contain no daily figures",
            name=file.name,
            formats=titles,
        )
    return found
