"""Two-factor authentication: setting up an authenticator app, checking codes, recovery codes, turning it off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

import msgspec
import pyotp

from collector.core.errors import RecordError
from collector.core.rate_limits import AttemptLimit
from dashboard.access.authenticator import (
    Authenticator,
    KeyCipher,
    after_app_code,
    after_recovery_code,
    hashed,
    is_app_code,
    matching_step,
    new_key,
    new_recovery_codes,
    typed_code,
)
from dashboard.access.sessions import Session
from dashboard.access.users import User, Users

ATTEMPTS: Final = 5
"""Wrong codes of one account in a quarter of an hour, whatever network they come from: who tries has the password."""
WINDOW: Final = 15 * 60
"""Seconds."""

SETUP_SECONDS: Final = 3600
"""A key that was shown must be confirmed within this time."""


class Setup(NamedTuple):
    """An app that is being set up."""

    key: str
    """In base32."""
    encrypted: str
    """The same, for the form that confirms it."""


class TwoFactorAuth:
    """Two-factor authentication of all accounts. `clock` gives Unix seconds; with `required` everybody with a password
    must set it up.

    Codes are checked under the lock of the accounts, against the newest record: of two that come at once with the same
    code, to whichever process, the second is refused.
    """

    def __init__(self, users: Users, cipher: KeyCipher, clock: Callable[[], float], *, required: bool = False) -> None:
        self._users = users
        self._cipher = cipher
        self._clock = clock
        self._attempts = AttemptLimit(clock, ATTEMPTS, WINDOW)
        self.required = required

    def is_due(self, user: User, session: Session) -> bool:
        """Whether the user has to set it up before anything else. Who signed in with a passkey has shown two factors;
        who did by OpenID Connect need not: how they prove who they are is their provider's business."""
        return self.required and user.authenticator is None and session.method not in ("provider", "passkey")

    def wants_passkey(self, user: User) -> bool:
        """Whether the password signs nobody in: two factors are required, and a passkey is the second that there is.
        Who had the password only could set up another one."""
        return self.required and user.authenticator is None and bool(user.passkeys)

    def begin(self, user: User) -> Setup:
        """A new key for an app."""
        key = new_key()
        return Setup(key, self._cipher.encrypt(user.name, key, self._clock()))

    def resume(self, user: User, encrypted: str) -> Setup | None:
        """The setup of a form that was shown; None once it is too old."""
        key = self._cipher.decrypt(user.name, encrypted, valid=(SETUP_SECONDS, self._clock()))
        return Setup(key, encrypted) if key else None

    async def turn_on(self, user: User, setup: Setup, code: str) -> list[str]:
        """Confirm an app by a code of it; returns the recovery codes. Raises `RecordError` for a wrong code, and where
        another app is set up."""
        now = self._clock()
        step = matching_step(setup.key, typed_code(code), now)
        if step is None:
            raise RecordError("code", "Incorrect code.")
        codes = new_recovery_codes()
        key = self._cipher.encrypt(user.name, setup.key, now)
        app = Authenticator(key=key, since=int(now), last_step=step, recovery=tuple(map(hashed, codes)))

        def changed(newest: User) -> User:
            if newest.authenticator is not None:
                raise RecordError("code", "Two-factor authentication is already on.")
            return msgspec.structs.replace(newest, authenticator=app)

        await self._users.update(user.name, changed)
        return codes

    def wait(self, user: User) -> int:
        """Seconds until another code of the account may be tried; 0 is now."""
        return self._attempts.wait(user.name)

    async def verify(self, user: User, text: str) -> Literal["code", "recovery"]:
        """Use a code of the app, or a recovery code; returns which of them it was. Raises `RecordError` for a wrong
        one, one that was used before, and one too many."""
        if self.wait(user):
            raise RecordError("code", "Too many attempts. Try again later.")
        self._attempts.count(user.name)
        code = typed_code(text)
        await self._users.update(user.name, lambda newest: self._after(newest, code))
        self._attempts.refund(user.name)
        return "code" if is_app_code(code) else "recovery"

    async def renew_recovery_codes(self, user: User) -> list[str]:
        """New recovery codes in place of those there are."""
        codes = new_recovery_codes()

        def changed(newest: User) -> User:
            app = msgspec.structs.replace(_app(newest), recovery=tuple(map(hashed, codes)))
            return msgspec.structs.replace(newest, authenticator=app)

        await self._users.update(user.name, changed)
        return codes

    async def turn_off(self, name: str) -> bool:
        """Ask for the password only from now on; whether it was on. Raises `RecordGone` without such a user."""
        before, _ = await self._users.update(name, lambda newest: msgspec.structs.replace(newest, authenticator=None))
        return before.authenticator is not None

    async def reset(self, name: str) -> bool:
        """The same, and without passkeys, for who has lost them, or into whose account somebody else has put one;
        whether there was anything. Raises `RecordGone` without such a user."""
        before, _ = await self._users.update(
            name, lambda newest: msgspec.structs.replace(newest, authenticator=None, passkeys=())
        )
        return before.authenticator is not None or bool(before.passkeys)

    async def reencrypt(self) -> int:
        """Bring keys that an earlier secret has encrypted under the one in force; how many there were."""
        stale = [user for user in self._users.all() if self._reencrypted(user) is not user]
        for user in stale:
            await self._users.update(user.name, self._reencrypted)
        return len(stale)

    def _reencrypted(self, user: User) -> User:
        app = user.authenticator
        if app is None or self._cipher.is_current(app.key):
            return user
        key = self._cipher.decrypt(user.name, app.key)
        if key is None:
            return user
        renewed = msgspec.structs.replace(app, key=self._cipher.encrypt(user.name, key, self._clock()))
        return msgspec.structs.replace(user, authenticator=renewed)

    def _after(self, user: User, code: str) -> User:
        app = _app(user)
        if not is_app_code(code):
            return msgspec.structs.replace(user, authenticator=after_recovery_code(app, code))
        key = self._cipher.decrypt(user.name, app.key)
        if key is None:
            raise RecordError(
                "code",
                "The app’s codes cannot be checked, because the server’s secret key was changed. Use a recovery code, "
                "or ask an administrator to reset your two-factor authentication.",
            )
        return msgspec.structs.replace(user, authenticator=after_app_code(app, key, code, self._clock()))


def provisioning_uri(user: User, key: str, host: str) -> str:
    """What the QR code says to an app: the key, and the name to show it under."""
    return pyotp.TOTP(key).provisioning_uri(name=f"{user.name} ({host})", issuer_name="Tyst")


def _app(user: User) -> Authenticator:
    if user.authenticator is None:
        raise RecordError("code", "Two-factor authentication is off.")
    return user.authenticator
