"""Access logs in W3C's extended format, whose `#Fields:` name the columns: CloudFront's and IIS's. Times are UTC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import unquote

from collector.imports.file import ImportedFile
from collector.imports.formats.access import Access, client_address, plain, take
from collector.imports.formats.format import UNREADABLE, Format
from collector.imports.formats.log_times import moment_of
from collector.imports.target import ImportTarget

FIELDS: Final = "#Fields:"


def parse(line: str, fields: Sequence[str]) -> Access:
    """The request of one line, by the names of its columns. Raises `ValueError`."""
    tabs = "\t" in line
    cells = line.split("\t") if tabs else line.split(" ")
    if len(cells) != len(fields):
        raise ValueError("expected as many cells as fields")
    return of_row(dict(zip(fields, cells, strict=True)), plus=not tabs)


def of_row(cells: Mapping[str, str], *, plus: bool = False) -> Access:
    """The request of named cells. Raises `ValueError`."""
    row = {name: plain(cell) for name, cell in cells.items()}
    query = row.get("cs-uri-query", "")
    time = f"{row.get('date', '')} {row.get('time', '')}" if row.get("date") else row.get("timestamp", "")
    return Access(
        at=moment_of(time),
        address=client_address(row.get("c-ip", ""), unquote(row.get("x-forwarded-for", ""))),
        method=row.get("cs-method", ""),
        target=row.get("cs-uri-stem", "") + (f"?{query}" if query else ""),
        status=int(row.get("sc-status", "")),
        host=row.get("x-host-header") or row.get("cs-host") or "",
        referrer=_decoded(row, "cs(referer)", plus=plus),
        user_agent=_decoded(row, "cs(user-agent)", plus=plus),
        content_type=_decoded(row, "sc-content-type", plus=False),
        has_user_agents="cs(user-agent)" in row,
    )


def _decoded(row: Mapping[str, str], name: str, *, plus: bool) -> str:
    """A header's value: CloudFront encodes a percent sign once more, IIS writes a plus sign for a space."""
    value = row.get(name, "")
    return value.replace("+", " ") if plus else unquote(unquote(value))


def _fields_of(line: str) -> list[str]:
    return line.removeprefix(FIELDS).lower().split()


def _recognises(file: ImportedFile) -> bool:
    fields = next((line for line in file.text.splitlines()[:20] if line.startswith(FIELDS)), "")
    return {"date", "time", "cs-method", "cs-uri-stem", "sc-status"} <= set(_fields_of(fields))


def _read(file: ImportedFile, target: ImportTarget) -> None:
    fields: list[str] = []
    for number, line in file.lines():
        if line.startswith("#"):
            # They may change within a file.
            fields = _fields_of(line) if line.startswith(FIELDS) else fields
            continue
        if not line:
            continue
        try:
            access = parse(line, fields)
        except UNREADABLE:
            target.leave_out("unreadable", number)
            continue
        take(access, target, number, line)


W3C_LOG: Final = Format("w3c-log", "access log (CloudFront, IIS)", _recognises, _read)
