"""Links that let somebody in once: an invitation to a site, or a new password for an account.

A link's secret has 256 random bits and is shown once; kept is a SHA-256 of it. It is good for seven days, for one
use, and may be revoked before.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final

import anyio.to_thread
import msgspec

from collector.records import Records
from collector.slots import turn
from dashboard.users import Role

GOOD_FOR: Final = 7 * 24 * 3600
"""Seconds."""


class Invitation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a link is good for: a role on `site`, or a new password for the account `user`."""

    by: str
    """Name of the user who made it."""
    made: int
    """Unix seconds."""
    site: str = ""
    role: Role = "viewer"
    user: str = ""
    note: str = ""
    """Whom it is for, in the words of who made it."""


class Invitations:
    """All links that are open. `clock` gives Unix seconds; `directory` is shared by every process.

    Nothing is held in memory: a link that was used or revoked is refused at once by every process.
    """

    def __init__(self, records: Records[Invitation], clock: Callable[[], float], directory: Path) -> None:
        self._records = records
        self._clock = clock
        self._turn = directory / "invitations.lock"

    async def make(self, invitation: Invitation) -> str:
        """Keep it; returns the secret of its link."""
        secret = secrets.token_urlsafe(32)
        await anyio.to_thread.run_sync(self._records.put, _hashed(secret), invitation)
        return secret

    async def look(self, secret: str) -> Invitation | None:
        """What the link is good for, or None: unknown, used, revoked or too old."""
        found = await anyio.to_thread.run_sync(self._records.get, _hashed(secret))
        return found if found is not None and self._good(found) else None

    async def use(self, secret: str) -> Invitation | None:
        """The same, and nobody can use it again."""
        return await anyio.to_thread.run_sync(self._use, _hashed(secret))

    async def open_for(self, site: str) -> list[tuple[str, Invitation]]:
        """Invitations to a site that are open, the newest first, each with what names it."""
        stored = await anyio.to_thread.run_sync(self._records.all)
        found = [(id_, each) for id_, each in stored.items() if each.site == site and self._good(each)]
        return sorted(found, key=lambda pair: (-pair[1].made, pair[0]))

    async def revoke(self, site: str, id_: str) -> Invitation | None:
        """Take back an invitation to a site; returns it, None when there was none."""
        found = await anyio.to_thread.run_sync(self._records.get, id_)
        if found is None or found.site != site:
            return None
        await anyio.to_thread.run_sync(self._records.delete, id_)
        return found

    async def revoke_of(self, user: str) -> None:
        """Take back every link for a new password of that account."""
        stored = await anyio.to_thread.run_sync(self._records.all)
        for id_ in [id_ for id_, each in stored.items() if each.user == user]:
            await anyio.to_thread.run_sync(self._records.delete, id_)

    def follow(self, old: str, new: str | None) -> None:
        """A site has a new name, or is no more: its invitations follow, or are void. Blocking."""
        for id_, each in self._records.all().items():
            if each.site == old and new:
                self._records.put(id_, msgspec.structs.replace(each, site=new))
            elif each.site == old:
                self._records.delete(id_)

    def expires(self, invitation: Invitation) -> int:
        """Unix second from which the link is no longer good."""
        return invitation.made + GOOD_FOR

    def _use(self, id_: str) -> Invitation | None:
        # Two that come at once, to whichever process: the second finds it used.
        with turn(self._turn):
            found = self._records.get(id_)
            if found is not None:
                self._records.delete(id_)
        return found if found is not None and self._good(found) else None

    def _good(self, invitation: Invitation) -> bool:
        return self._clock() < self.expires(invitation)


def _hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
