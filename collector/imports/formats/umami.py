"""Umami's table `website_event`, as CSV: of its cloud, or of an installation, there with the tables `session`,
`event_data` and `revenue` as files of their own, in any order, or joined; or all of them in a dump of PostgreSQL.

`event_type` 1 is a page view and 2 an event; others are links, pixels and measurements. Times are UTC, with or without
fractions and an offset. A session lasts a calendar month, so that a visitor counts anew every day here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final
from urllib.parse import quote

from collector.core.errors import ImportRefused
from collector.enrichment.urls import CLICK_IDS
from collector.enrichment.user_agent import Device, size_class
from collector.imports.file import ImportedFile
from collector.imports.formats.format import UNREADABLE, Format
from collector.imports.formats.log_times import iso_time
from collector.imports.formats.names import browser, country, device, known, system
from collector.imports.formats.postgres_dump import is_dump, rows_of_dump
from collector.imports.scratch_details import EventLink, EventProperty, EventRevenue, SessionDetails
from collector.imports.target import ImportTarget
from collector.imports.visits import ForeignRequest, foreign_request, key_hash, wide_hash
from collector.ingest.payload_fields import money_of
from collector.sites.hostnames import is_at_or_under

EVENTS: Final = frozenset({"session_id", "url_path", "event_type", "created_at"})
SESSIONS: Final = frozenset({"session_id", "browser", "os", "device", "created_at"})
PROPERTY_KEYS: Final = frozenset({"data_key", "event_key"})
PROPERTY_EVENTS: Final = frozenset({"website_event_id", "event_id"})
REVENUE: Final = frozenset({"event_id", "currency", "revenue"})
TABLES: Final = {
    "website_event": "events", "session": "sessions", "event_data": "properties", "revenue": "revenue",
    "website": "websites",
}  # fmt: skip
"""Tables of a dump. In all others nothing is looked at: they are of people and settings."""
MOST_WEBSITES: Final = 10_000
LONGEST_ID: Final = 100
"""Characters of the id of a website, which is a UUID."""
_TAGS: Final = ("utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term")


Row = Mapping[str, str]


@dataclass
class UmamiTables:
    """Tables of one installation: which there were, and the websites whose events are taken."""

    events: bool = False
    described: bool = False
    """Whether the events themselves say browser and country."""
    websites: dict[str, bool] = field(default_factory=dict)
    own: bool = False
    """Whether the host of one of them is the site's."""
    named: dict[str, bool] = field(default_factory=dict)
    """Websites of a dump, whose table of them has domains: whether that is the site's."""

    def add_website(self, website: str, domain: str, target: ImportTarget) -> None:
        """A website has this domain."""
        own = is_at_or_under(domain.lower().removeprefix("www."), target.services.sites.own_hosts(target.site))
        self._must_have_room(website, self.named)
        self.named[website] = own

    def is_of_site(self, website: str, host: str, target: ImportTarget) -> bool:
        """Whether a website of the table is the site; with several, by their hosts. Raises `ImportRefused` where that
        does not tell."""
        if any(self.named.values()):
            return bool(self.named.get(website))
        found = self.websites.get(website)
        if found is None or not self.own:
            own = is_at_or_under(host.lower().removeprefix("www."), target.services.sites.own_hosts(target.site))
            if found is None and self.websites and not self.own:
                raise ImportRefused(
                    "file",
                    "{name} has events of several websites. Export one website with the statement in docs/migrating.md",
                    name=target.file,
                )
            self._must_have_room(website, self.websites)
            found = self.websites.setdefault(website, own or not self.websites)
            self.own |= own and found
        return found

    def _must_have_room(self, website: str, websites: Mapping[str, bool]) -> None:
        """Raise `ValueError` for what is no id of a website, and `ImportRefused` for one website too many."""
        if len(website) > LONGEST_ID:
            raise ValueError("expected an id")
        if website not in websites and len(websites) >= MOST_WEBSITES:
            raise ImportRefused("file", "expected at most {count} websites", count=MOST_WEBSITES)


def _table_of(file: ImportedFile) -> str:
    header = set(file.header)
    if header >= EVENTS:
        return "events"
    if header >= SESSIONS and "url_path" not in header:
        return "sessions"
    if header & PROPERTY_KEYS and header & PROPERTY_EVENTS and "string_value" in header:
        return "properties"
    return "revenue" if header >= REVENUE else ""


def _recognises(file: ImportedFile) -> bool:
    if set(file.header) == {"x", "y"}:
        raise ImportRefused(
            "file",
            "{name} is what Umami's export button gives: sums without dates. Take the table of events: in Umami Cloud "
            "Settings, Data, Export; of your own installation the statement in docs/migrating.md",
            name=file.name,
        )
    return bool(_table_of(file)) or is_dump(file)


def _read(file: ImportedFile, target: ImportTarget) -> None:
    tables = target.notebook(UmamiTables)
    table = _table_of(file)
    rows = ((line, table, row) for line, row in file.table())
    if not table:
        rows = ((line, TABLES.get(name, ""), row) for line, name, row in rows_of_dump(file))
    tables.events |= table == "events"
    for line, kind, row in rows:
        try:
            _take(kind, row, line, target, tables)
        except UNREADABLE:
            target.leave_out("unreadable", line)


def _take(table: str, row: Row, line: int, target: ImportTarget, tables: UmamiTables) -> None:
    """Take a row of a table to the target, or leave it out. Raises `UNREADABLE`."""
    if table == "events":
        tables.events = True
        tables.described |= "browser" in row
        _take_event(row, line, target, tables)
    elif table == "websites":
        tables.add_website(row["website_id"], row["domain"], target)
        target.leave_out("not_counted", line)
    elif table not in _DETAILS:
        target.leave_out("not_counted", line)
    else:
        _DETAILS[table](row, target)


def _take_event(row: Row, line: int, target: ImportTarget, tables: UmamiTables) -> None:
    target.note("monthly_identity")
    kind = int(row["event_type"] or 1)
    request = _request(row, target, is_event=kind == 2)
    if kind not in (1, 2):
        target.leave_out("not_counted", line)
    elif not tables.is_of_site(row.get("website_id", ""), row.get("hostname", ""), target):
        target.leave_out("other_host", line)
    else:
        link = EventLink(wide_hash(row["session_id"]), wide_hash(row.get("event_id", "")))
        target.add_request("events", request, line, link=link)


def _take_session(row: Row, target: ImportTarget) -> None:
    given = {name: known(value) for name, value in row.items()}
    name, version = system_of(given.get("os", ""))
    session = SessionDetails(
        session=wide_hash(_needed(row["session_id"])),
        browser=browser(given.get("browser", "")),
        os=name,
        os_version=version,
        device=device(given.get("device", "")),
        size=size_class(_width(given.get("screen", ""))),
        country=country(given.get("country", "")),
    )
    target.add_session(session)


def _take_property(row: Row, target: ImportTarget) -> None:
    event = next((row[name] for name in sorted(PROPERTY_EVENTS, reverse=True) if row.get(name)), "")
    key = next((row[name] for name in sorted(PROPERTY_KEYS) if row.get(name)), "")
    given = [known(row.get(name, "")) for name in ("string_value", "number_value", "date_value")]
    value = given[0] or _number(given[1]) or given[2]
    target.add_property(EventProperty(wide_hash(_needed(event)), _needed(key)[:300], value[:2_000]))


def _take_revenue(row: Row, target: ImportTarget) -> None:
    money = money_of(Decimal(row["revenue"]), row["currency"].strip())
    if money is None:
        raise ValueError("expected an amount and a currency")
    amount, currency = money
    target.add_revenue(EventRevenue(wide_hash(_needed(row["event_id"])), str(amount), currency))


_DETAILS: Final = {"sessions": _take_session, "properties": _take_property, "revenue": _take_revenue}


def _needed(text: str) -> str:
    if not text:
        raise ValueError("expected a value")
    return text


def _number(text: str) -> str:
    """`99.0000` as `99`."""
    return text.rstrip("0").rstrip(".") if "." in text else text


def _finish(target: ImportTarget) -> None:
    tables = target.notebook(UmamiTables)
    if not tables.events:
        raise ImportRefused(
            "file",
            "{name} has no events. Import it together with the table website_event, as described in docs/migrating.md",
            name=target.file,
        )
    if not tables.described and not target.report.sources.get("sessions"):
        target.note("no_devices")


def _request(row: Row, target: ImportTarget, *, is_event: bool) -> ForeignRequest:
    given = {name: known(value) for name, value in row.items()}
    host = given.get("hostname") or target.site.domain
    query = given.get("url_query", "").removeprefix("?")
    tags = [f"{name}={quote(given[name])}" for name in _TAGS if given.get(name) and f"{name}=" not in query]
    tags += [name for name in sorted(CLICK_IDS) if given.get(name)]
    joined = "&".join(filter(None, [query, *tags]))
    referring = given.get("referrer_domain", "")
    name, version = system_of(given.get("os", ""))
    return foreign_request(
        iso_time(row["created_at"]),
        f"https://{host}{given['url_path'] or '/'}{f'?{joined}' if joined else ''}",
        name=(given.get("event_name") or "event")[:120] if is_event else "pageview",
        referrer=f"https://{referring}{given.get('referrer_path', '')}" if referring else "",
        visitor=row["session_id"],
        visit=key_hash(given.get("visit_id", "")),
        device=Device(
            browser=browser(given.get("browser", "")),
            os=name,
            os_version=version,
            kind=device(given.get("device", "")),
        ),
        country=country(given.get("country", "")),
        width=_width(given.get("screen", "")),
    )


def system_of(name: str) -> tuple[str, str]:
    """Name and version of `Windows 10`, which is 10 or 11 and has no version therefore, or of `Mac OS`."""
    return ("Windows", "") if name.startswith("Windows") else (system(name), "")


def _width(screen: str) -> int:
    first = screen.partition("x")[0]
    return min(int(first), 100_000) if first.isdecimal() else 0


UMAMI: Final = Format("umami", "Umami", _recognises, _read, _finish)
