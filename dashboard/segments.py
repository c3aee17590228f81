"""Saved segments: filters of a site's figures under a name, for one reader or for all who see the site."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import anyio.to_thread
import msgspec

from collector.exceptions import RecordError
from collector.records import Records
from dashboard.chips import MOST_CHIPS, Chip, read_chip
from dashboard.users import User

LONGEST_NAME = 60
MOST_OF_SITE = 200
"""Segments of one site, everybody's together."""


class Segment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Filters under a name. Addresses never name a segment: they say its filters, so that they mean the same to all."""

    id: str
    site: str
    """Domain of the site."""
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
    def chips(self) -> tuple[Chip, ...]:
        """Its filters; without those that there no longer are."""
        return tuple(chip for chip in map(read_chip, self.filters) if chip)

    def seen_by(self, user: User | None) -> bool:
        """Whether it is in the reader's list; None is a reader without an account."""
        return self.shared or (user is not None and user.name == self.owner)

    def may_change(self, user: User) -> bool:
        """Whether the user may rename or delete it: their own, and everybody's if the site is theirs to change."""
        return user.may_change(self.site) if self.shared else user.name == self.owner


class Segments:
    """All segments. Reading is from memory; changes go to ClickHouse first. `clock` gives Unix seconds."""

    def __init__(self, records: Records[Segment], clock: Callable[[], float]) -> None:
        self._records = records
        self._clock = clock
        self._segments: dict[str, Segment] = {}

    def refresh(self) -> None:
        """Read every segment from ClickHouse. Blocking."""
        self._segments = self._records.all()

    def of(self, site: str, user: User | None) -> list[Segment]:
        """The segments of the site that the reader may use, everybody's first, each by name."""
        found = [each for each in self._segments.values() if each.site == site and each.seen_by(user)]
        return sorted(found, key=lambda each: (not each.shared, each.name.casefold(), each.id))

    def get(self, site: str, id_: str, user: User | None) -> Segment | None:
        """The site's segment of that id, if the reader may use it."""
        found = self._segments.get(id_)
        return found if found and found.site == site and found.seen_by(user) else None

    async def add(self, site: str, user: User, name: str, chips: tuple[Chip, ...], *, shared: bool) -> Segment:
        """Save filters under a name. Raises `RecordError` naming what must be mended."""
        if not chips:
            raise RecordError("filters", "choose at least one filter first")
        if sum(each.site == site for each in self._segments.values()) >= MOST_OF_SITE:
            raise RecordError("name", "a site can have {count} segments; delete some first", count=MOST_OF_SITE)
        return await self._put(
            user,
            Segment(
                id=secrets.token_hex(8),
                site=site,
                name=name,
                filters=tuple(map(str, chips[:MOST_CHIPS])),
                owner=user.name,
                shared=shared,
                created=int(self._clock()),
            ),
        )

    async def rename(self, segment: Segment, user: User, name: str) -> Segment:
        """Give it another name. Raises `RecordError` when it cannot be."""
        return await self._put(user, msgspec.structs.replace(segment, name=name))

    async def remove(self, segment: Segment) -> None:
        """Delete it."""
        await anyio.to_thread.run_sync(self._records.delete, segment.id)
        self._segments.pop(segment.id, None)

    async def leave(self, site: str) -> None:
        """Delete every segment of a site that is no more."""
        for segment in [each for each in self._segments.values() if each.site == site]:
            await self.remove(segment)

    async def move(self, site: str, name: str) -> None:
        """Follow a site to its new name."""
        for segment in [each for each in self._segments.values() if each.site == site]:
            moved = msgspec.structs.replace(segment, site=name)
            await anyio.to_thread.run_sync(self._records.put, moved.id, moved)
            self._segments[moved.id] = moved

    async def _put(self, user: User, segment: Segment) -> Segment:
        segment = msgspec.structs.replace(segment, name=" ".join(segment.name.split()))
        if not 1 <= len(segment.name) <= LONGEST_NAME or not segment.name.isprintable():
            raise RecordError("name", "expected a name of 1 to {count} characters", count=LONGEST_NAME)
        for other in self.of(segment.site, user):
            if other.id != segment.id and other.name.casefold() == segment.name.casefold():
                raise RecordError("name", "there is a segment named {name} already", name=other.name)
        await anyio.to_thread.run_sync(self._records.put, segment.id, segment)
        self._segments[segment.id] = segment
        return segment
