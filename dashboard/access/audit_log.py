"""The audit log: each sign-in, and each change of settings, members, keys, shared links and data, as one immutable row.

A note says when, who, about which site, what, and the values before and after. It is about the people who run Tyst;
of visitors it has nothing. Notes are deleted after 25 months.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final

import anyio.to_thread
import msgspec
from clickhouse_connect.driver.client import Client

from collector.sites.model import Site
from collector.sites.registry import Sites
from dashboard.access.users import User
from dashboard.i18n.translations import N_

EVERYWHERE: Final = ""
"""The site of notes that are about the whole installation."""

COMMAND_LINE: Final = "command line"
"""Who asks with the key of the data directory."""

LONGEST: Final = 500
"""Characters of a value; longer ones are cut."""

_COLUMNS = ("at", "site", "who", "what", "before", "after", "id", "site_id")
_OF_SITE = """
SELECT toUnixTimestamp(at), site, who, what, before, after FROM audit_log FINAL
WHERE site = {site:String} AND (site_id = {id:String} OR site_id = '' AND toUnixTimestamp(at) >= {created:UInt32})
ORDER BY at DESC, id DESC LIMIT {limit:UInt32} OFFSET {offset:UInt32}"""
_ALL = """
SELECT toUnixTimestamp(at), site, who, what, before, after FROM audit_log FINAL
ORDER BY at DESC, id DESC LIMIT {limit:UInt32} OFFSET {offset:UInt32}"""


SIGNED_IN: Final = N_("Signed in")
SIGN_INS_SHOWN: Final = 10
SIGN_IN_SECONDS: Final = 90 * 86_400
_SIGN_INS = """
SELECT toUnixTimestamp(at), site, who, what, before, after FROM audit_log FINAL
WHERE site = '' AND site_id = {id:String} AND who = {who:String} AND what = {what:String}
    AND toUnixTimestamp(at) >= {since:UInt32}
ORDER BY at DESC, id DESC LIMIT {limit:UInt32}"""


class AuditEntry(msgspec.Struct, frozen=True):
    """One change. `at` is Unix seconds; `site` is empty for what concerns the whole installation."""

    at: int
    site: str
    who: str
    what: str
    """A sentence of the program, in English: translated where it is shown."""
    before: str = ""
    after: str = ""


class AuditLog:
    """The list of changes. Each says the id of its site, so that nobody reads those of another that had the name
    before. `clock` gives Unix seconds."""

    def __init__(self, client: Client, sites: Sites, clock: Callable[[], float]) -> None:
        self._client = client
        self._sites = sites
        self._clock = clock

    async def note(
        self, who: str, site: str, what: str, before: object = "", after: object = "", *, site_id: str = ""
    ) -> None:
        """Note that `who` (a user's name, a key, the command line) changed something of `site`, or of the whole
        installation (`EVERYWHERE`). `what` is one of a few sentences, marked with `N_`; values are shown as words.
        `site_id` is needed of a site that is no more only."""
        await anyio.to_thread.run_sync(partial(self.insert, who, site, what, before, after, site_id=site_id))

    def insert(
        self, who: str, site: str, what: str, before: object = "", after: object = "", *, site_id: str = ""
    ) -> None:
        """As `note`. Blocking."""
        known = self._sites.get(site)
        id_ = site_id or (known.id if known else "")
        row = [
            int(self._clock()),
            site,
            who[:LONGEST],
            what[:LONGEST],
            change_text(before),
            change_text(after),
            time.time_ns(),
            id_,
        ]
        self._client.insert("audit_log", [row], column_names=_COLUMNS)

    async def of(self, site: Site, limit: int = 100, offset: int = 0) -> list[AuditEntry]:
        """The newest changes of one site."""
        parameters = {"site": site.domain, "id": site.id, "created": site.created, "limit": limit, "offset": offset}
        return await anyio.to_thread.run_sync(self._read, _OF_SITE, parameters)

    async def all(self, limit: int = 100, offset: int = 0) -> list[AuditEntry]:
        """The newest changes of everything."""
        return await anyio.to_thread.run_sync(self._read, _ALL, {"limit": limit, "offset": offset})

    async def note_sign_in(self, user: User, how: str) -> None:
        """Note that somebody signed in; `how` names browser and method. The id that it says is the account's."""
        await self.note(user.name, EVERYWHERE, SIGNED_IN, "", how, site_id=user.id)

    async def sign_ins(self, user: User) -> list[AuditEntry]:
        """The newest sign-ins to an account, of the last 90 days; none of another that had the name before."""
        since = max(0, int(self._clock()) - SIGN_IN_SECONDS)
        parameters = {"id": user.id, "who": user.name, "what": SIGNED_IN, "since": since, "limit": SIGN_INS_SHOWN}
        return await anyio.to_thread.run_sync(self._read, _SIGN_INS, parameters)

    async def note_site(self, who: str, before: Site, after: Site) -> None:
        """Note every setting of a site that has changed, one by one."""
        for field, what in SETTINGS.items():
            old, new = getattr(before, field, None), getattr(after, field, None)
            if old != new:
                await self.note(who, after.domain, what, _setting(old), _setting(new))

    def _read(self, query: str, parameters: Mapping[str, object]) -> list[AuditEntry]:
        return [AuditEntry(*row) for row in self._client.query(query, parameters=dict(parameters)).result_rows]


def change_text(value: object) -> str:
    """A value as it is shown: lists by commas, nothing as an empty text; one line, cut where it is long."""
    if value is None or isinstance(value, str):
        text = value or ""
    elif isinstance(value, Iterable):
        text = ", ".join(map(str, value))
    else:
        text = str(value)
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _setting(value: object) -> object:
    if isinstance(value, bool):
        return N_("yes") if value else N_("no")
    if isinstance(value, tuple) and any(isinstance(each, msgspec.Struct) for each in value):
        return [getattr(each, "name", "") or getattr(each, "match", "") for each in value]
    return N_("none") if value is None or value in ((), "") else value


SETTINGS: Final = {
    "timezone": N_("Time zone changed"),
    "consent": N_("Consent policy changed"),
    "receipts": N_("Consent receipts changed"),
    "retention_days": N_("Retention changed, in days"),
    "min_visitors": N_("Minimum group size changed"),
    "strict": N_("Strict protection of small counts changed"),
    "goals": N_("Goals changed"),
    "public": N_("Public dashboard changed"),
    "hostnames": N_("Counted hostnames changed"),
    "excluded_paths": N_("Excluded pages changed"),
    "excluded_countries": N_("Excluded countries changed"),
    "query_keys": N_("Query parameters to keep changed"),
    "hidden_paths": N_("Hidden parts of paths changed"),
    "rate_limit": N_("Rate limit changed"),
    "datacenter": N_("Visits from data centers changed"),
    "controller": N_("Controller in the privacy notice changed"),
    "contact": N_("Contact in the privacy notice changed"),
    "hosting": N_("Hosting in the privacy notice changed"),
    "aliases": N_("Former names changed"),
}
"""What is noted when a setting of a site changes, by field."""
