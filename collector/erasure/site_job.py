"""The record of a job on a site's data."""

from __future__ import annotations

import datetime
import secrets
from typing import Literal

import msgspec

from collector.sites.model import Site

Kind = Literal["delete", "reset", "remove", "rename"]


class SiteJob(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A job on a site's data. `first` and `last` are site-local dates; `until` and `asked` are Unix seconds."""

    id: str
    kind: Kind
    site: str
    by: str
    asked: int
    site_id: str = ""
    """The site's own id; empty in tasks of a release without ids, when it was the name."""
    to: str = ""
    """The new name, of a rename."""
    first: datetime.date | None = None
    last: datetime.date | None = None
    field: str = ""
    """What is compared, one of `collector.purging.FIELDS`; empty takes every event of the dates."""
    value: str = ""
    """`*` stands for any characters. Empty again once the task is done: it may be what was to be forgotten."""
    days: tuple[datetime.date, ...] = ()
    """Days whose sums have to be built anew."""
    step: int = 0
    """How far a rename has come with the sums."""
    round: int = 0
    """How often a rename has moved events."""
    copied: datetime.date | None = None
    """The last day whose events this round has copied; the first of all days once it has begun to."""
    deleting: bool = False
    """Whether this round has copied everything, and deletes it under the old name."""
    rows: int = 0
    """Events that it was about when it began."""
    finished: int = 0
    attempts: int = 0
    """How often it was begun, by different processes, or has failed. Stored before it is begun: a process that does not
    survive it counts as well."""
    set_aside: int = 0
    """Unix second at which it was given up until an operator has it tried again; 0 while it is not."""
    error: str = ""
    """Why."""

    @property
    def open(self) -> bool:
        """Whether something is left to do."""
        return self.finished == 0

    @property
    def waiting(self) -> bool:
        """Whether something is left to do that will be done without anybody's help."""
        return self.open and not self.set_aside

    @property
    def is_copying(self) -> bool:
        """Whether a rename has begun to copy events and has not ended that. It knows by their tokens what it has
        copied; in a backup these are not."""
        return self.kind == "rename" and self.open and self.copied is not None and not self.deleting

    @property
    def until(self) -> int | None:
        """Events up to this second are meant; None is all."""
        return self.asked if self.kind in ("delete", "reset") else None


def new_job(kind: Kind, site: Site, by: str, at: float, **fields: object) -> SiteJob:
    """A new job; `at` is the present Unix second."""
    given = {
        "id": secrets.token_hex(8),
        "kind": kind,
        "site": site.domain,
        "site_id": site.id,
        "by": by,
        "asked": int(at),
        **fields,
    }
    return msgspec.convert(given, SiteJob)
