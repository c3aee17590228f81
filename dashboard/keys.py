"""API keys: hashed at rest, for some sites or all, to read or to manage, revocable.

A key is `tyst_ID_SECRET`. The secret has 256 random bits, so a plain SHA-256 of it is as safe at rest as a slow hash.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import os
import secrets
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Literal

import anyio
import anyio.to_thread
import msgspec

from collector.exceptions import RecordError
from collector.records import Records
from dashboard.quota import Quota

Right = Literal["read", "manage"]
RIGHTS: tuple[Right, ...] = ("read", "manage")

ADMIN_KEY_FILE = "admin.key"


class ApiKey(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept of one key: enough to recognise it, never the key itself."""

    id: str
    """Public part of the key; names it when it is listed or revoked."""
    hash: str
    """SHA-256 of the whole key, hexadecimal; empty for the key of the data directory."""
    sites: tuple[str, ...] = ()
    """Domains it is good for; empty is every site."""
    right: Right = "read"
    """`read` queries statistics; `manage` also changes sites."""
    name: str = ""
    """What its owner calls it."""
    created: datetime.date | None = None
    last_used: datetime.date | None = None
    """Day (UTC) of its last use, or None."""

    @property
    def everything(self) -> bool:
        """Whether it may do all there is to do: users and keys too."""
        return self.right == "manage" and not self.sites

    def may_read(self, domain: str) -> bool:
        """Whether it may query the statistics of a site."""
        return not self.sites or domain in self.sites

    def may_manage(self, domain: str) -> bool:
        """Whether it may change a site."""
        return self.right == "manage" and self.may_read(domain)


ADMIN = ApiKey(id="admin", hash="", right="manage", name="key of the data directory")


class Keys:
    """Every key, in ClickHouse; nothing is cached, so a revoked key is refused at once by every process."""

    def __init__(
        self,
        records: Records[ApiKey],
        admin_key: str,
        today: Callable[[], datetime.date] = lambda: datetime.datetime.now(datetime.UTC).date(),
        quota: Quota | None = None,
    ) -> None:
        """`admin_key` is the key that the data directory holds; it has all rights. `quota` is that of each other."""
        self.quota = quota or Quota(0)
        self._records = records
        self._admin = _hash(admin_key)
        self._today = today
        self._changing = anyio.Lock()

    async def create(self, *, sites: Collection[str] = (), right: Right = "read", name: str = "") -> tuple[ApiKey, str]:
        """A new key, as it is kept and as it is shown this once. Raises `RecordError` for a right that is none."""
        if right not in RIGHTS:
            raise RecordError("right", f"expected one of {', '.join(RIGHTS)}")
        if len(name) > 100:
            raise RecordError("name", "at most 100 characters")
        id_ = secrets.token_hex(4)
        shown = f"tyst_{id_}_{secrets.token_urlsafe(32)}"
        key = ApiKey(
            id=id_, hash=_hash(shown), sites=tuple(sorted(sites)), right=right, name=name, created=self._today()
        )
        await anyio.to_thread.run_sync(self._records.put, id_, key)
        return key, shown

    async def all(self) -> list[ApiKey]:
        """Every key, by its id."""
        return list((await anyio.to_thread.run_sync(self._records.all)).values())

    async def get(self, id_: str) -> ApiKey:
        """The key of that id. Raises `RecordError` if there is none."""
        key = await anyio.to_thread.run_sync(self._records.get, id_)
        if key is None:
            raise RecordError("id", f"there is no key {id_}")
        return key

    def follow(self, old: str, new: str | None) -> None:
        """A site has a new name: keys for it are for the new one. Blocking.

        A site that is no more stays in its keys: without it a key for this site alone would be for every site.
        """
        for id_, key in self._records.all().items():
            if new and old in key.sites:
                sites = tuple(sorted({new if site == old else site for site in key.sites}))
                self._records.put(id_, msgspec.structs.replace(key, sites=sites))

    async def revoke(self, id_: str) -> None:
        """The key is refused from now on. Raises `RecordError` if there is none."""
        async with self._changing:
            await self.get(id_)
            await anyio.to_thread.run_sync(self._records.delete, id_)

    async def check(self, shown: str) -> ApiKey | None:
        """The key that was shown, or None for one that is unknown, revoked or wrong. Notes the day of its use."""
        given = _hash(shown)
        if secrets.compare_digest(given, self._admin):
            return ADMIN
        prefix, _, rest = shown.partition("_")
        id_ = rest.partition("_")[0]
        if prefix != "tyst" or not id_:
            return None
        key = await anyio.to_thread.run_sync(self._records.get, id_)
        if key is None or not secrets.compare_digest(given, key.hash):
            return None
        if key.last_used != self._today():
            await self._note_use(id_)
        return key

    async def _note_use(self, id_: str) -> None:
        async with self._changing:
            # Read again: noting the use of a key that was revoked meanwhile would bring it back.
            key = await anyio.to_thread.run_sync(self._records.get, id_)
            if key is not None:
                used = msgspec.structs.replace(key, last_used=self._today())
                await anyio.to_thread.run_sync(self._records.put, id_, used)


def admin_key(directory: Path) -> str:
    """The key with all rights that the data directory holds, readable only by its owner; made when there is none."""
    path = directory / ADMIN_KEY_FILE
    directory.mkdir(parents=True, exist_ok=True)
    # Several workers may come here at once: the one whose link is first wins, whole.
    if not path.exists():
        new = directory / f"{ADMIN_KEY_FILE}.{os.getpid()}"
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"tyst_admin_{secrets.token_urlsafe(32)}\n")
        with contextlib.suppress(FileExistsError):
            os.link(new, path)
        new.unlink()
    return path.read_text().strip()


def _hash(shown: str) -> str:
    return hashlib.sha256(shown.encode()).hexdigest()
