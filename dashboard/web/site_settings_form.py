"""Forms of site settings: sections, conversion and validation. Errors name the field."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from babel import Locale

from collector.core.errors import RecordError
from collector.enrichment.url_policy import preview
from collector.ingest.payload_fields import MOST_URL
from collector.sites.hostnames import host_entry
from collector.sites.model import DATACENTER_MODES, POLICIES, Site, checked, is_hiding
from dashboard.i18n.translations import N_, _, error_text, instruction

MOST_ENTRIES: Final = 200
_KEY = re.compile(r"[\w.\[\]-]{1,64}\Z")

Read = Callable[[str], Any]


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ValueError(_("expected a whole number"))
    return int(text)


def _whole_or_none(text: str) -> int | None:
    return _whole(text) if text else None


def _policy(text: str) -> str:
    if text not in POLICIES:
        raise ValueError(_("expected one of {choices}").format(choices=", ".join(POLICIES)))
    return text


def _datacenter(text: str) -> str:
    if text not in DATACENTER_MODES:
        raise ValueError(_("expected one of {choices}").format(choices=", ".join(DATACENTER_MODES)))
    return text


def _entries(expected: str, fits: Callable[[str], bool], shape: Callable[[str], str]) -> Read:
    """Reads a list, one a line or separated by commas or spaces; each entry must fit."""

    def read(text: str) -> tuple[str, ...]:
        entries = [shape(part) for part in re.split(r"[\s,]+", text) if part]
        for entry in entries:
            if not fits(entry):
                raise ValueError(_("{entry}: {expected}").format(entry=entry[:80], expected=_(expected)))
        if len(entries) > MOST_ENTRIES:
            raise ValueError(_("at most {count} entries").format(count=MOST_ENTRIES))
        return tuple(dict.fromkeys(entries))

    return read


def _country(code: str) -> bool:
    return len(code) == 2 and code.isalpha() and code in Locale("en").territories


HOSTS: Final = _entries(
    N_("expected a host such as www.example.com or *.example.com"), lambda text: bool(host_entry(text)), str
)
PATHS: Final = _entries(N_("expected a path such as /admin/**"), lambda text: text.startswith("/"), str)
COUNTRIES: Final = _entries(N_("expected a country’s two letters, such as SE"), _country, str.upper)
HIDDEN: Final = _entries(
    N_("expected a pattern such as /patients/*/notes or /private/**; ** stands last"), is_hiding, str
)
KEYS: Final = _entries(N_("expected the name of a key such as page"), lambda text: bool(_KEY.match(text)), str)

SECTIONS: Final[Mapping[str, Mapping[str, Read]]] = {
    "general": {"timezone": str},
    "consent": {"consent": _policy},
    "keeping": {"retention_days": _whole, "min_visitors": _whole, "strict": bool},
    "counting": {
        "hostnames": HOSTS,
        "excluded_paths": PATHS,
        "excluded_countries": COUNTRIES,
        "rate_limit": _whole_or_none,
        "datacenter": _datacenter,
    },
    "addresses": {"hidden_paths": HIDDEN, "query_keys": KEYS},
    "notice": {"controller": str, "contact": str, "hosting": str},
    "public": {"public": bool},
}
"""The forms of the page, each with its fields and how they are read."""


def sections_of(text: str) -> tuple[str, ...]:
    """The sections that a form names: its own first, then others that are saved with it. Raises `ValueError`."""
    names = tuple(dict.fromkeys(text.split(",")))
    if not set(names) <= set(SECTIONS):
        raise ValueError(text[:80])
    return names


def read_sections(sections: Sequence[str], form: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The settings that the form gives in these sections, and what is wrong with which field."""
    given: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for section in sections:
        more, wrong = read_section(section, form)
        given |= more
        problems |= wrong
    return given, problems


def read_section(section: str, form: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The settings of a site that the form of that section gives, and what is wrong with which field.

    A field that is missing says nothing, except for a box that was not ticked.
    """
    given: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for field, read in SECTIONS[section].items():
        text = form.get(field, "").strip()
        if field not in form and read is not bool:
            continue
        try:
            given[field] = read(text)
        except ValueError as error:
            problems[field] = instruction(str(error))
    return given, problems


def becomes(site: Site, url: str) -> list[tuple[str, str]]:
    """What would be stored of a URL under unsaved settings, by name; empty without a URL.

    Raises `RecordError` where the settings cannot be saved.
    """
    if not url:
        return []
    found = preview(checked(site), url[:MOST_URL])
    tags = [(_("Click identifier") if name == "click_id" else f"utm_{name}", tag) for name, tag in found.tags.items()]
    return [(_("Hostname"), found.hostname), (_("Page"), found.path), *tags]


def shown(site: Site) -> dict[str, str]:
    """The values of the fields of every section."""
    fields = {field: getattr(site, field) for section in SECTIONS.values() for field in section}
    return {field: _field(value) for field, value in fields.items()}


def _field(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else ""
    if isinstance(value, tuple):
        return "\n".join(value)
    return "" if value is None else str(value)


def problem_of(error: RecordError) -> dict[str, str]:
    """A record's error as a form shows it."""
    return {error.field: error_text(error)}
