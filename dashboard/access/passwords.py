"""Password hashing with argon2id and limited concurrency.

Each hash takes 64 MiB and tens of milliseconds, and unauthenticated clients can trigger one with the sign-in form. So
at most two run at once, a limited number wait in a queue, and further ones are rejected with `HashingBusy`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

from collector.core.errors import RecordError, TystError

MIN_LENGTH: Final = 8
"""Characters; the minimum of NIST SP 800-63B section 5.1.1 for user-chosen passwords."""
MAX_LENGTH: Final = 1_000
"""Characters; limits the cost of one hash."""

CONCURRENT_HASHES: Final = 2
MAX_WAITING: Final = 20
"""Length of the queue; at about 20 hashes a second the last one waits for a second or two."""
RETRY_SECONDS: Final = 5

T = TypeVar("T")


class HashingBusy(TystError):
    """Too many passwords are being hashed. `retry_after` is in seconds."""

    def __init__(self) -> None:
        super().__init__("too many passwords are being checked at the moment; try again in a few seconds")
        self.retry_after = RETRY_SECONDS


class Passwords:
    """Hashes and verifies passwords. Every method raises `HashingBusy` when the queue is full."""

    def __init__(
        self,
        hasher: PasswordHasher | None = None,
        *,
        concurrent: int = CONCURRENT_HASHES,
        waiting: int = MAX_WAITING,
    ) -> None:
        self._hasher = hasher or PasswordHasher()
        # Verified for unknown users, so that timing does not reveal which names exist.
        self._nobody = self._hasher.hash(secrets.token_urlsafe(16))
        self._max_taken = concurrent + waiting
        self._taken = 0
        self._threads = ThreadPoolExecutor(concurrent, thread_name_prefix="password")

    async def hash(self, password: str) -> str:
        """The hash to store. Raises `RecordError` for a password that is too short or too long."""
        if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
            raise RecordError("password", "expected {least} to {most} characters", least=MIN_LENGTH, most=MAX_LENGTH)
        return await self._in_turn(lambda: self._hasher.hash(password))

    async def matches(self, hashed: str | None, password: str) -> bool:
        """Whether the password matches the hash; False, after the same time, without a hash."""
        right = await self._in_turn(lambda: self._verify(hashed or self._nobody, password))
        return right and hashed is not None

    def _verify(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password[:MAX_LENGTH])
        except VerificationError:
            return False

    async def _in_turn(self, work: Callable[[], T]) -> T:
        if self._taken >= self._max_taken:
            raise HashingBusy
        self._taken += 1
        try:
            return await asyncio.wrap_future(self._threads.submit(work))
        finally:
            self._taken -= 1
