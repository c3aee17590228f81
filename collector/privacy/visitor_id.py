"""Visitor ids: a keyed hash under a random salt that is destroyed after the day.

A salt is random, never derived: what is derived can be derived again. It lives in a file of its own, outside the
database and every backup. Once it is destroyed nobody can tell from an id which address or browser it stood for.

In memory a salt is a `bytearray`, so that it can be overwritten; hashing takes it as it is and leaves no copy.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import os
from hashlib import blake2b
from pathlib import Path
from typing import Protocol

log = logging.getLogger(__name__)

SALT_BYTES = 32

Salt = bytes | bytearray


def visitor_id(salt: Salt, site: str, network: str, user_agent: str) -> int:
    """64-bit id of a visitor of `site` under `salt`; never 0, which is used for anonymous events.

    `network` is the address with an IPv6 one cut to its /64. Different sites give unrelated ids.
    """
    seen = f"{site}\0{network}\0{user_agent}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(seen, digest_size=8, key=salt).digest(), "little") or 1


def random_salt() -> bytearray:
    """From the system's generator straight into its place: `os.urandom` would leave a second copy."""
    salt = bytearray(SALT_BYTES)
    with open("/dev/urandom", "rb", buffering=0) as source:  # noqa: PTH123 # a device
        if source.readinto(salt) != SALT_BYTES:
            raise OSError("the system gives no random bytes")
    return salt


def overwrite(salt: bytearray | None) -> None:
    """Leave nothing of it in memory."""
    if salt is not None:
        salt[:] = bytes(len(salt))


class Salts(Protocol):
    """One random salt per date, for ids of visitors."""

    def salt(self, date: datetime.date) -> Salt:
        """The salt of that date; a new random one where there is none. Hot path: from memory. Do not keep it."""
        ...


class DailySalts(Salts, Protocol):
    """Those of the calendar, which are destroyed day by day."""

    def every(self, date: datetime.date) -> list[Salt]:
        """All salts under which visitors of that date were counted; that of `salt` is the last."""
        ...

    def rotate(self, first: datetime.date, last: datetime.date, *, destroy: bool = True) -> list[datetime.date]:
        """Have a salt for each date from `first` to `last`; destroy all others, and return their dates. Without
        `destroy` none is."""
        ...


class FileSalts:
    """Salts as files `YYYY-MM-DD` in a directory that only its owner can read; overwritten when destroyed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._salts: dict[datetime.date, bytearray] = {}
        self._unstored: set[datetime.date] = set()
        """Dates whose salt the disk has not taken."""

    def salt(self, date: datetime.date) -> Salt:
        """The salt of `date`; one is made when it has none yet."""
        found = self._salts.get(date)
        if found is None:
            found = self._salts[date] = self._read(date) or self._make(date)
        return found

    def every(self, date: datetime.date) -> list[Salt]:
        """The only one that a date has."""
        return [self.salt(date)]

    def rotate(self, first: datetime.date, last: datetime.date, *, destroy: bool = True) -> list[datetime.date]:
        """Make ahead what is missing from `first` to `last`, and destroy every salt of a date outside it."""
        for offset in range((last - first).days + 1):
            self.salt(first + datetime.timedelta(days=offset))
        for date in sorted(self._unstored):
            self._store(date, self._salts[date])
        if not destroy:
            return []
        over = {date for date in self._dates_on_disk() | set(self._salts) if not first <= date <= last}
        for date in sorted(over):
            self._destroy(date)
        return sorted(over)

    def _path(self, date: datetime.date) -> Path:
        return self._directory / date.isoformat()

    def _dates_on_disk(self) -> set[datetime.date]:
        dates = set()
        if self._directory.is_dir():
            for path in self._directory.iterdir():
                with contextlib.suppress(ValueError):
                    dates.add(datetime.date.fromisoformat(path.name))
        return dates

    def _read(self, date: datetime.date) -> bytearray | None:
        salt = bytearray(SALT_BYTES)
        try:
            with self._path(date).open("rb", buffering=0) as file:
                length = file.readinto(salt)
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("the salt of %s cannot be read (%s); a new one is used", date, error.strerror)
            return None
        if length != SALT_BYTES:
            log.warning("the salt of %s is damaged; a new one is used, and visitors of that date count anew", date)
            return None
        return salt

    def _make(self, date: datetime.date) -> bytearray:
        """A new salt, on disk before it is used. If the disk does not take it, memory alone has it until it does."""
        salt = random_salt()
        self._store(date, salt)
        return salt

    def _store(self, date: datetime.date, salt: bytearray) -> None:
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            made = os.open(self._path(date), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                os.write(made, salt)
                os.fsync(made)
            finally:
                os.close(made)
            _sync_directory(self._directory)
        except OSError as error:
            if date not in self._unstored:
                log.warning("the salt of %s cannot be stored (%s); it is tried again", date, error.strerror)
            self._unstored.add(date)
        else:
            self._unstored.discard(date)

    def _destroy(self, date: datetime.date) -> None:
        overwrite(self._salts.pop(date, None))
        self._unstored.discard(date)
        try:
            with self._path(date).open("r+b") as file:
                file.write(bytes(SALT_BYTES))
                file.flush()
                os.fsync(file.fileno())
            self._path(date).unlink()
            _sync_directory(self._directory)
        except FileNotFoundError:
            return
        except OSError as error:
            log.error("the salt of %s cannot be destroyed (%s); it is tried again", date, error.strerror)


def _sync_directory(directory: Path) -> None:
    opened = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
