"""One-time links: invitations to a site and password resets.

A link's secret has 256 random bits and is shown once; kept is a SHA-256 of it. It is good for seven days, for one
use, and may be revoked before.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from typing import Final

import anyio
import anyio.to_thread
import msgspec

from collector.core.errors import RecordError
from collector.storage.documents import DocumentTable
from dashboard.access.users import Role, User

GOOD_FOR: Final = 7 * 24 * 3600
"""Seconds."""

MOST_OF_USER: Final = 100
"""Links that one user may have open, of all sites."""

LOOKUPS: Final = 2
"""Links looked up at a time."""


class Invitation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a link is good for: a role on `site`, or a new password for the account `user`."""

    by: str
    """Name of the user who made it."""
    made: int
    """Unix seconds."""
    site: str = ""
    """Id of the site; empty for the installation."""
    role: Role = "viewer"
    user: str = ""
    password_mark: str = ""
    """Of the account's password when the link was made: any other password voids the link. Empty in links of a release
    without marks."""
    note: str = ""
    """Whom it is for, in the words of who made it."""


class Invitations:
    """All links that are open. `clock` gives Unix seconds.

    Nothing is held in memory: a link that was used or revoked is refused at once by every process.
    """

    max_of_user = MOST_OF_USER

    def __init__(self, records: DocumentTable[Invitation], clock: Callable[[], float]) -> None:
        self._records = records
        self._clock = clock
        # A limiter of its own: unknown links, sent from thousands of IPv6 networks, would occupy all worker threads.
        self._looking = anyio.CapacityLimiter(LOOKUPS)

    async def make(self, invitation: Invitation) -> str:
        """Store an invitation; returns its link's secret. Raises `RecordError` if its user has too many open links."""
        secret = secrets.token_urlsafe(32)
        await anyio.to_thread.run_sync(self._make, _hashed(secret), invitation)
        return secret

    async def peek(self, secret: str) -> Invitation | None:
        """What the link is good for, or None: unknown, used, revoked or too old."""
        found = await anyio.to_thread.run_sync(self._records.get, _hashed(secret), limiter=self._looking)
        return found if found is not None and self._good(found) else None

    async def redeem(self, secret: str) -> Invitation | None:
        """The same, and nobody can use it again."""
        return await anyio.to_thread.run_sync(self._use, _hashed(secret))

    async def open_for(self, site_id: str) -> list[tuple[str, Invitation]]:
        """Invitations to a site (empty: to the installation) that are open, the newest first, each with its id."""
        stored = await anyio.to_thread.run_sync(self._records.all)
        found = [
            (id_, each) for id_, each in stored.items() if each.site == site_id and not each.user and self._good(each)
        ]
        return sorted(found, key=lambda pair: (-pair[1].made, pair[0]))

    async def revoke(self, site_id: str, id_: str) -> Invitation | None:
        """Take back an invitation to a site; returns it, None when there was none."""
        found = await anyio.to_thread.run_sync(self._records.get, id_)
        if found is None or found.site != site_id or found.user:
            return None
        return await anyio.to_thread.run_sync(self._records.delete, id_)

    async def revoke_of(self, user: str) -> None:
        """Take back every link for a new password of that account."""
        await anyio.to_thread.run_sync(self._delete, lambda each: each.user == user)

    def forget_site(self, site_id: str) -> None:
        """A site is no more: invitations to it are void. Blocking."""
        self._delete(lambda each: each.site == site_id)

    def forget_user(self, name: str) -> None:
        """A user is no more: links that they made, or that are for them, are void. Blocking."""
        self._delete(lambda each: name in (each.by, each.user))

    def expires(self, invitation: Invitation) -> int:
        """Unix second from which the link is no longer good."""
        return invitation.made + GOOD_FOR

    def _make(self, id_: str, invitation: Invitation) -> None:
        with self._records.lock:
            own = [each for each in self._records.all().values() if each.by == invitation.by and self._good(each)]
            if len(own) >= self.max_of_user:
                raise RecordError("note", "you have {count} active links; revoke some first", count=self.max_of_user)
            self._records.create(id_, invitation)

    def _delete(self, meant: Callable[[Invitation], bool]) -> None:
        found = [id_ for id_, each in self._records.all().items() if meant(each)]
        for id_ in found:
            self._records.delete(id_)
        if found:
            self._records.purge()

    def _use(self, id_: str) -> Invitation | None:
        # Of two that come at once, to whichever process, the second finds it deleted.
        found = self._records.delete(id_)
        return found if found is not None and self._good(found) else None

    def _good(self, invitation: Invitation) -> bool:
        return self._clock() < self.expires(invitation)


def password_mark(user: User) -> str:
    """What tells the account's present password from another, and nothing else of it."""
    return hashlib.blake2b(user.password.encode(), digest_size=12, person=b"tyst.invitation").hexdigest()


def is_for(invitation: Invitation, user: User) -> bool:
    """Whether a link for a new password was made for this account as it is: its password has not changed since."""
    return user.name == invitation.user and invitation.password_mark in ("", password_mark(user))


def _hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
