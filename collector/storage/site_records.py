"""Records that each belong to a site: in memory, and gone with their site."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import ClassVar, Generic, TypeVar

import anyio.to_thread
import msgspec

from collector.core.errors import RecordGone
from collector.storage.documents import CachedDocumentTable, DocumentTable


class SiteRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A document of a site."""

    id: str
    site: str
    """Id of the site; empty for the installation."""


R = TypeVar("R", bound=SiteRecord)


class SiteRecords(Generic[R]):
    """All records of a kind. Reading is from memory; changes go to ClickHouse first."""

    author: ClassVar[str] = "by"
    """The field with the name of the user who made a record, where it has one."""

    def __init__(self, records: DocumentTable[R]) -> None:
        self._records = CachedDocumentTable(records)

    def refresh(self) -> None:
        """Read every record from ClickHouse. Blocking."""
        self._records.refresh()

    def all(self) -> list[R]:
        """Every record."""
        return list(self._records.values.values())

    async def remove(self, record: R) -> None:
        """Delete it."""
        await anyio.to_thread.run_sync(self._records.delete, record.id)

    def forget_site(self, site_id: str) -> None:
        """Delete every record of a site that is no more. Blocking."""
        for each in self._of_site(site_id):
            self._records.delete(each.id)

    def forget_user(self, name: str) -> None:
        """A user is no more: what they made for a site stays, without their name, on the disk too. Blocking."""
        self.refresh()
        made = [each for each in self.all() if getattr(each, self.author, "") == name]
        for each in made:
            with contextlib.suppress(RecordGone):
                self._records.update(each.id, partial(msgspec.structs.replace, **{self.author: ""}))
        if made:
            self._records.purge()

    async def _update(self, site_id: str, id_: str, change: Callable[[R], R]) -> tuple[R, R]:
        """Change the site's record of that id; returns it before and after. Raises `RecordGone`, also for one of
        another site."""

        def of_site(newest: R) -> R:
            if newest.site != site_id:
                raise RecordGone
            return change(newest)

        return await anyio.to_thread.run_sync(self._records.update, id_, of_site)

    def _of_site(self, site_id: str) -> list[R]:
        return [each for each in self._records.values.values() if each.site == site_id]

    def _find(self, site_id: str, id_: str) -> R | None:
        """The site's record of that id, or None."""
        found = self._records.values.get(id_)
        return found if found is not None and found.site == site_id else None
