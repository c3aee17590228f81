"""API keys: hashed, revocable, for some or all sites, with read or full access.

A key is `tyst_ID_SECRET`. The secret has 256 random bits, so a plain SHA-256 of it is as safe at rest as a slow hash.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import re
import secrets
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Literal

import anyio
import anyio.to_thread
import msgspec
from starlette.types import Scope

from collector.core.app_secret import stored_secret
from collector.core.errors import RecordError, RecordGone
from collector.core.text import is_one_line
from collector.sites.model import Site
from collector.storage.documents import DocumentTable
from dashboard.access.api_quota import ApiQuota
from dashboard.access.key_attempts import KeyAttempts
from dashboard.access.key_slots import KeySlots
from dashboard.access.users import User

Right = Literal["read", "manage"]
RIGHTS: tuple[Right, ...] = ("read", "manage")

ADMIN_KEY_FILE = "admin.key"

DEFAULT_DAYS = 365
"""A key is good for so many days unless it is made for others."""
MOST_KEYS = 200
"""Keys that are good at a time, made by one maker."""

LOOKUPS, LOOKUPS_OF_GOOD = 2, 8
"""Keys looked up at a time: of those that were not good here before, and of those that were."""

# The secret is 256 bits in base64. What has another form is no key, and is not looked up.
_FORM = re.compile(r"tyst_([0-9a-f]{8})_[A-Za-z0-9_-]{43}")


class TooManyKeys(Exception):
    """Too many unknown keys came from one network; `wait` is in seconds."""

    def __init__(self, wait: int) -> None:
        super().__init__(f"wait {wait} s")
        self.wait = wait


class ApiKey(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept of one key: enough to recognise it, never the key itself."""

    id: str
    """Public part of the key; names it when it is listed or revoked."""
    hash: str
    """SHA-256 of the whole key, hexadecimal; empty for the key of the data directory."""
    sites: tuple[str, ...] = ()
    """Ids of the sites it is good for; empty is every site. One that is no more stays: without it a key for this site
    alone would be for every site."""
    right: Right = "read"
    """`read` queries statistics; `manage` also changes sites."""
    name: str = ""
    """What its owner calls it."""
    created: datetime.date | None = None
    last_used: datetime.date | None = None
    """Day (UTC) of its last use, or None."""
    expires: datetime.date | None = None
    """Last day (UTC) on which it is good; None is for ever, as keys of earlier releases are."""
    by: str = ""
    """Who made it, as in the list of changes."""
    user: str = ""
    """Name of the account that it belongs to, whose access bounds it; "" is none."""

    @property
    def everything(self) -> bool:
        """Whether it may do all there is to do: users and keys too."""
        return self.right == "manage" and not self.sites

    def may_read(self, site: Site) -> bool:
        """Whether it may query the statistics of a site."""
        if not self.sites:
            return True
        # Where an id is a name yet: not that of a site of the same name before it.
        made = self.created or datetime.date.max
        began = datetime.datetime.fromtimestamp(site.created, datetime.UTC).date()
        return site.id in self.sites and (site.id != site.domain or made >= began)

    def may_manage(self, site: Site) -> bool:
        """Whether it may change a site."""
        return self.right == "manage" and self.may_read(site)

    def is_within(self, user: User) -> bool:
        """Whether the user may do what the key may."""
        if not self.sites:
            return user.role == "admin"
        roles = (user.role_at(site_id) for site_id in self.sites)
        return all(role in ("admin", "owner") if self.right == "manage" else role is not None for role in roles)

    def over(self, today: datetime.date) -> bool:
        """Whether its last day is over."""
        return self.expires is not None and today > self.expires


ADMIN = ApiKey(id="admin", hash="", right="manage", name="key of the data directory")


class ApiKeys:
    """Every key, in ClickHouse; nothing is cached, so a revoked key is refused at once by every process."""

    max_of_maker = MOST_KEYS

    def __init__(
        self,
        records: DocumentTable[ApiKey],
        admin_key: str,
        today: Callable[[], datetime.date] = lambda: datetime.datetime.now(datetime.UTC).date(),
        quota: ApiQuota | None = None,
        attempts: KeyAttempts | None = None,
    ) -> None:
        """`admin_key` is the key that the data directory holds; it has all rights. `quota` is that of each other, and
        `attempts` limits unknown ones."""
        self.quota = quota or ApiQuota(0)
        self.slots = KeySlots()
        self._attempts = attempts or KeyAttempts()
        self._records = records
        self._admin = _hash(admin_key)
        self._attempts.remember(self._admin)
        # Of their own: from thousands of networks (IPv6), or by a key beyond its quota, they would have all threads.
        self._looking = anyio.CapacityLimiter(LOOKUPS)
        self._looking_good = anyio.CapacityLimiter(LOOKUPS_OF_GOOD)
        self._today = today

    async def create(
        self,
        *,
        sites: Collection[str] = (),
        right: Right = "read",
        name: str = "",
        expires: str = "",
        by: str = "",
        user: str = "",
        maker: ApiKey = ADMIN,
    ) -> tuple[ApiKey, str]:
        """A new key: its record, and the key itself, which is shown once. Raises `RecordError`, and `RecordGone` where
        the key `maker`, which asks for it, was revoked meanwhile.

        `sites` are ids. `expires` is the last day on which it is good (ISO 8601), or `never`; empty is in
        `DEFAULT_DAYS`.
        """
        if right not in RIGHTS:
            raise RecordError("right", f"expected one of {', '.join(RIGHTS)}")
        if name and not is_one_line(name, 100):
            raise RecordError("name", "expected one line of at most 100 characters")
        today = self._today()
        last = _last_day(expires, today)
        id_ = secrets.token_hex(4)
        shown = f"tyst_{id_}_{secrets.token_urlsafe(32)}"
        key = ApiKey(
            id=id_,
            hash=_hash(shown),
            sites=tuple(sorted(sites)),
            right=right,
            name=name,
            created=today,
            expires=last,
            by=by,
            user=user,
        )
        await anyio.to_thread.run_sync(self._create, key, maker)
        return key, shown

    def must_stand(self, key: ApiKey) -> None:
        """Raises `RecordGone` for a key that was revoked since a request came with it, as those of an account are
        before it loses rights. Blocking; to be called under the lock of a change that gives access."""
        if key is not ADMIN and self._records.get(key.id) is None:
            raise RecordGone

    async def all(self) -> list[ApiKey]:
        """Every key, by its id."""
        return list((await anyio.to_thread.run_sync(self._records.all)).values())

    async def of(self, user: User) -> list[ApiKey]:
        """The keys of that account, the newest first."""
        own = [key for key in await self.all() if key.user == user.name]
        return sorted(own, key=lambda key: (key.created or datetime.date.min, key.id), reverse=True)

    def forget_access_of(self, user: User) -> list[ApiKey]:
        """Revoke the keys of the account that may do more than its user may now; returns them. Blocking."""
        gone = [key for key in self._records.all().values() if key.user == user.name and not key.is_within(user)]
        return [key for key in gone if self._records.delete(key.id) is not None]

    async def get(self, id_: str) -> ApiKey:
        """The key of that id. Raises `RecordError` if there is none."""
        key = await anyio.to_thread.run_sync(self._records.get, id_)
        if key is None:
            raise RecordError("id", f"there is no key {id_}")
        return key

    async def revoke(self, id_: str) -> ApiKey:
        """The key is refused from now on; returns it. Raises `RecordError` if there is none."""
        key = await anyio.to_thread.run_sync(self._records.delete, id_)
        if key is None:
            raise RecordError("id", f"there is no key {id_}")
        return key

    async def authenticate(self, shown: str, scope: Scope) -> ApiKey | None:
        """As `check`, of a key that comes with a request. Raises `TooManyKeys` for one that is not known to be good
        from a network that has sent too many unknown ones."""
        given = _hash(shown)
        wait = self._attempts.begin(given, scope) if _FORM.fullmatch(shown) else 0
        if wait:
            raise TooManyKeys(wait)
        key = await self.check(shown, self._looking_good if self._attempts.is_good(given) else self._looking)
        if key is not None:
            self._attempts.succeed(given, scope)
        else:
            self._attempts.forget(given)
        return key

    async def check(self, shown: str, limiter: anyio.CapacityLimiter | None = None) -> ApiKey | None:
        """The key that was shown, or None for one that is unknown, revoked, over or wrong. Notes the day of its use.
        `limiter` is that of the thread in which it is looked up."""
        given = _hash(shown)
        if secrets.compare_digest(given, self._admin):
            return ADMIN
        found = _FORM.fullmatch(shown)
        if found is None:
            return None
        id_ = found[1]
        key = await anyio.to_thread.run_sync(self._records.get, id_, limiter=limiter)
        today = self._today()
        if key is None or not secrets.compare_digest(given, key.hash) or key.over(today):
            return None
        if key.last_used != today:
            # Revoked meanwhile, it stays so.
            with contextlib.suppress(RecordGone):
                await anyio.to_thread.run_sync(
                    self._records.update, id_, partial(msgspec.structs.replace, last_used=today)
                )
        return key

    def _create(self, key: ApiKey, maker: ApiKey) -> None:
        with self._records.lock:
            own = [each for each in self._records.all().values() if each.by == key.by and not each.over(self._today())]
            if len(own) >= self.max_of_maker:
                raise RecordError("name", f"there are {self.max_of_maker} keys already; revoke some first")
            self.must_stand(maker)
            self._records.create(key.id, key)


def _last_day(text: str, today: datetime.date) -> datetime.date | None:
    if text == "never":
        return None
    try:
        last = datetime.date.fromisoformat(text) if text else today + datetime.timedelta(days=DEFAULT_DAYS)
    except ValueError:
        last = datetime.date.min
    if last < today:
        raise RecordError("expires", "expected a date that is not in the past, such as 2027-01-31, or never")
    return last


def admin_key(directory: Path) -> str:
    """The full-access key of the data directory, readable only by its owner; created if missing."""
    directory.mkdir(parents=True, exist_ok=True)
    return stored_secret(directory / ADMIN_KEY_FILE, "tyst_admin_")


def _hash(shown: str) -> str:
    return hashlib.sha256(shown.encode()).hexdigest()
