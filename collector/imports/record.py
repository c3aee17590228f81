"""The record of an import."""

from __future__ import annotations

import datetime
from typing import Literal

import msgspec

from collector.imports.report import ImportReport
from collector.rollups.build import VERSIONS

State = Literal["reading", "checked", "confirming", "done", "removed"]


class ImportRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One import: its days have the versions of `versions`, and count when `daily_status` says so."""

    id: str
    site_id: str
    name: str
    """As its owner named it, or the name of its first file."""
    by: str
    at: int
    """Unix second at which it began."""
    versions: int
    state: State = "reading"
    """`checked` when all is read and waits for its owner, `confirming` when its days are about to count, `done` when
    they do; `removed` while its rows are still to be deleted."""
    domain: str = ""
    """The name that the rows of a removed one are under."""
    beat: int = 0
    """Unix second at which it was last known to go on."""
    days: tuple[datetime.date, ...] = ()
    without_properties: tuple[datetime.date, ...] = ()
    report: ImportReport = msgspec.field(default_factory=ImportReport)

    @property
    def last_version(self) -> int:
        """The greatest version that a day of it may have."""
        return self.versions + VERSIONS - 1
