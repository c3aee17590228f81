"""Passkeys of accounts: adding them, and signing in."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from collector.core.app_secret import Secrets
from collector.core.errors import RecordError, RecordGone
from collector.core.text import is_one_line
from dashboard.access.passkeys.challenges import Challenge, Challenges
from dashboard.access.passkeys.credential import Passkey
from dashboard.access.passkeys.refusal import CounterWentBack, PasskeyRefused
from dashboard.access.passkeys.relying_party import RelyingParty, read_assertion, relying_party
from dashboard.access.users import User, Users

MOST_PASSKEYS: Final = 20
"""Of one account."""
LONGEST_NAME: Final = 60


class Passkeys:
    """Passkeys of all accounts at one relying party. `clock` gives Unix seconds, `keys` sign challenges.

    A challenge counts once: under the lock of the accounts, against the newest record, a passkey answers only
    challenges that were made after the last one that it answered, to whichever process.
    """

    def __init__(self, users: Users, party: RelyingParty, keys: Secrets, clock: Callable[[], float]) -> None:
        self._users = users
        self._clock = clock
        self.party = party
        self.challenges = Challenges(keys, clock)

    def begin_adding(self, user: User, name: str) -> Challenge:
        """A challenge for a new passkey of that name. Raises `RecordError`."""
        name = " ".join(name.split())
        if not is_one_line(name, LONGEST_NAME):
            raise RecordError("name", "expected a name of 1 to {count} characters", count=LONGEST_NAME)
        _must_have_room(user)
        return self.challenges.new(user.name, name)

    def creation_options(self, user: User, challenge: Challenge) -> Mapping[str, Any]:
        """What the browser needs to make it."""
        return self.party.creation_options(challenge, handle_of(user), user.name, user.passkeys)

    async def add(self, user: User, challenge: Challenge, answer: str) -> Passkey:
        """Add the passkey that was made. Raises `PasskeyRefused`, and `RecordError` for one too many."""
        made = self.party.registered(challenge, answer)
        new = Passkey(id=made.id, name=challenge.name, key=made.key, count=made.counter, added=int(self._clock()))
        if self._owner(new.id) is not None:
            raise PasskeyRefused("it is there already")

        def changed(newest: User) -> User:
            _must_have_room(newest)
            if newest.passkey(new.id) is not None:
                raise PasskeyRefused("it is there already")
            return msgspec.structs.replace(newest, passkeys=(*newest.passkeys, new))

        await self._users.update(user.name, changed)
        return new

    async def sign_in(self, challenge: Challenge, text: str) -> User:
        """Whose passkey answered. Raises `PasskeyRefused`."""
        answer = read_assertion(text)
        found = self._owner(answer.id)
        if found is None:
            raise PasskeyRefused("nobody has it")
        user, passkey = found
        count = self.party.asserted(challenge, passkey, handle_of(user), answer)
        try:
            _, after = await self._users.update(user.name, lambda newest: self._used(newest, passkey, challenge, count))
        except RecordGone:
            raise PasskeyRefused("nobody has it") from None
        return after

    def _owner(self, id_: str) -> tuple[User, Passkey] | None:
        for user in self._users.all():
            passkey = user.passkey(id_)
            if passkey is not None:
                return user, passkey
        return None

    def _used(self, user: User, used: Passkey, challenge: Challenge, count: int) -> User:
        newest = user.passkey(used.id)
        if newest is None or newest.key != used.key:
            raise PasskeyRefused("nobody has it")
        if challenge.at <= newest.last_challenge:
            raise PasskeyRefused("the challenge was answered before")
        # Web Authentication, 6.1.1: passkeys that are on several devices have none, and say 0.
        if (count or newest.count) and count <= newest.count:
            raise CounterWentBack(user.name, newest.name)
        today = datetime.datetime.fromtimestamp(self._clock(), datetime.UTC).date()
        after = msgspec.structs.replace(newest, count=count, last_used=today, last_challenge=challenge.at)
        return msgspec.structs.replace(
            user, passkeys=tuple(after if each.id == used.id else each for each in user.passkeys)
        )


def passkeys_at(public_url: str, users: Users, keys: Secrets, clock: Callable[[], float]) -> Passkeys | None:
    """The service for that public address; None where there can be no passkeys."""
    party = relying_party(public_url)
    return None if party is None else Passkeys(users, party, keys, clock)


def handle_of(user: User) -> bytes:
    """What names the account to authenticators, and is nothing to anybody else."""
    return hashlib.blake2b((user.id or user.name).encode(), digest_size=32, person=b"tyst.passkey").digest()


def _must_have_room(user: User) -> None:
    if len(user.passkeys) >= MOST_PASSKEYS:
        raise RecordError("name", "expected at most {count} passkeys", count=MOST_PASSKEYS)
