"""Saved segments: named filters of a site, private or shared with its members."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping

import anyio.to_thread
import msgspec

from collector.core.errors import RecordError
from collector.core.text import is_one_line
from collector.sites.model import Site
from collector.storage.documents import DocumentTable
from collector.storage.site_records import SiteRecord, SiteRecords
from dashboard.access.users import User
from dashboard.reports.filter_params import FilterParam, read_filter

LONGEST_NAME = 60
MOST_OF_USER = 50
"""Segments of one site that one user may have saved: nobody fills the list of another."""


class Segment(SiteRecord, frozen=True, kw_only=True, omit_defaults=True):
    """A named set of filters. URLs contain the filters, never the name, so that they mean the same to all readers."""

    name: str
    filters: tuple[str, ...]
    """As addresses spell them."""
    owner: str
    """Name of the user who saved it."""
    shared: bool = False
    """Whether everybody who sees the site has it; else its owner alone."""
    created: int = 0
    """Unix seconds."""

    @property
    def chips(self) -> tuple[FilterParam, ...]:
        """Its filters; without those that there no longer are."""
        return tuple(chip for chip in map(read_filter, self.filters) if chip)

    def seen_by(self, user: User | None) -> bool:
        """Whether it is in the reader's list; None is a reader without an account, and so is who has no name."""
        return self.shared or (user is not None and user.name == self.owner != "")

    def may_change(self, user: User) -> bool:
        """Whether the user may rename or delete it: their own, and everybody's if the site is theirs to change."""
        return user.role_at(self.site) in ("admin", "owner") if self.shared else user.name == self.owner


class Segments(SiteRecords[Segment]):
    """All segments. Reading is from memory; changes go to ClickHouse first. `clock` gives Unix seconds."""

    author = "owner"

    def __init__(self, records: DocumentTable[Segment], clock: Callable[[], float]) -> None:
        super().__init__(records)
        self._clock = clock

    def of(self, site: Site, user: User | None) -> list[Segment]:
        """The segments of the site that the reader may use, everybody's first, each by name."""
        found = [each for each in self._of_site(site.id) if each.seen_by(user)]
        return sorted(found, key=lambda each: (not each.shared, each.name.casefold(), each.id))

    def get(self, site: Site, id_: str, user: User | None) -> Segment | None:
        """The site's segment of that id, if the reader may use it."""
        found = self._find(site.id, id_)
        return found if found and found.seen_by(user) else None

    async def add(self, site: Site, user: User, name: str, chips: tuple[FilterParam, ...], *, shared: bool) -> Segment:
        """Save filters under a name. Raises `RecordError` naming the invalid field."""
        if not chips:
            raise RecordError("filters", "choose at least one filter first")
        segment = Segment(
            id=secrets.token_hex(8),
            site=site.id,
            name=_name(name),
            filters=tuple(map(str, chips)),
            owner=user.name,
            shared=shared,
            created=int(self._clock()),
        )

        def may_add(segments: Mapping[str, Segment]) -> None:
            own = sum(each.site == site.id and each.owner == user.name for each in segments.values())
            if own >= MOST_OF_USER:
                raise RecordError(
                    "name", "a site can have {count} segments per person; delete some first", count=MOST_OF_USER
                )
            _must_be_free(segments, segment, user)

        await anyio.to_thread.run_sync(self._records.create, segment.id, segment, may_add)
        return segment

    async def rename(self, segment: Segment, user: User, name: str) -> Segment:
        """Give it another name. Raises `RecordError` when it cannot be."""
        name = _name(name)

        def renamed(newest: Segment) -> Segment:
            after = msgspec.structs.replace(newest, name=name)
            _must_be_free(self._records.values, after, user)
            return after

        return (await self._update(segment.site, segment.id, renamed))[1]

    def forget_user(self, name: str) -> None:
        """Delete the private segments of a deleted user; shared ones stay, without their name. Blocking."""
        self.refresh()
        for segment in [each for each in self.all() if each.owner == name and not each.shared]:
            self._records.delete(segment.id)
        super().forget_user(name)


def _name(given: str) -> str:
    name = " ".join(given.split())
    if not is_one_line(name, LONGEST_NAME):
        raise RecordError("name", "expected a name of 1 to {count} characters", count=LONGEST_NAME)
    return name


def _must_be_free(segments: Mapping[str, Segment], segment: Segment, user: User) -> None:
    """Raises `RecordError` where another segment that the user may use has the name."""
    for other in segments.values():
        same = other.site == segment.site and other.name.casefold() == segment.name.casefold()
        if same and other.id != segment.id and other.seen_by(user):
            raise RecordError("name", "a segment named {name} already exists", name=other.name)
