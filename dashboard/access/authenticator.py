"""Authenticator apps: time-based one-time codes (TOTP, RFC 6238), and recovery codes for when the app is lost."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from typing import Final

import msgspec
import pyotp
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from collector.core.app_secret import Secrets
from collector.core.errors import RecordError

STEP_SECONDS: Final = 30
TOLERANCE: Final = 1
"""Steps by which a phone's clock may be off (RFC 6238, 5.2)."""

RECOVERY_CODES: Final = 10
_RECOVERY_BYTES: Final = 10
"""80 random bits, so that a plain hash keeps them."""

_TOTP: Final = re.compile(r"[0-9]{6}")


class Authenticator(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The authenticator app of an account."""

    key: str
    """The key that the app shares, encrypted."""
    since: int
    """Unix seconds."""
    last_step: int
    """The newest time step of which a code was used: none up to it counts again."""
    recovery: tuple[str, ...] = ()
    """SHA-256 of each recovery code that is unused."""


class KeyCipher:
    """Encrypts the keys of apps, each for one account, under keys derived from the installation's secrets."""

    def __init__(self, keys: Secrets) -> None:
        fernets = [Fernet(_derived(key)) for key in reversed(keys)]
        self._current = MultiFernet(fernets[:1])
        self._all = MultiFernet(fernets)

    def encrypt(self, user: str, key: str, now: float) -> str:
        """The key as it may be stored or put into a form."""
        return self._current.encrypt_at_time(f"{user}\0{key}".encode(), int(now)).decode()

    def decrypt(self, user: str, encrypted: str, *, valid: tuple[int, float] | None = None) -> str | None:
        """The key, or None: not of this account, or under a secret that is no more. With `valid`, a number of seconds
        and the present moment, it must have been encrypted within that time."""
        try:
            if valid is None:
                text = self._all.decrypt(encrypted.encode())
            else:
                text = self._all.decrypt_at_time(encrypted.encode(), valid[0], int(valid[1]))
        except InvalidToken:
            return None
        owner, _, key = text.decode().partition("\0")
        return key if owner == user else None

    def is_current(self, encrypted: str) -> bool:
        """Whether the secret in force has encrypted it."""
        try:
            self._current.decrypt(encrypted.encode())
        except InvalidToken:
            return False
        return True


def new_key() -> str:
    """A random key, in base32 as apps take it."""
    return pyotp.random_base32()


def matching_step(key: str, code: str, now: float) -> int | None:
    """The time step that a code of an app belongs to, or None for a wrong one."""
    if not is_app_code(code):
        return None
    app, present = pyotp.TOTP(key), int(now) // STEP_SECONDS
    steps = range(present - TOLERANCE, present + TOLERANCE + 1)
    return next((step for step in steps if secrets.compare_digest(app.generate_otp(step), code)), None)


def typed_code(text: str) -> str:
    """A code as somebody may have typed it, without spaces, dashes and capitals."""
    return re.sub(r"[\s-]+", "", text).lower()


def is_app_code(code: str) -> bool:
    """Whether it looks like a code of an app; else it may be a recovery code."""
    return bool(_TOTP.fullmatch(code))


def after_app_code(app: Authenticator, key: str, code: str, now: float) -> Authenticator:
    """The app once the code is used. Raises `RecordError` for one that is wrong or was used before."""
    step = matching_step(key, code, now)
    if step is None:
        raise RecordError("code", "Incorrect code.")
    if step <= app.last_step:
        raise RecordError("code", "This code has already been used. Wait for the next one.")
    return msgspec.structs.replace(app, last_step=step)


def after_recovery_code(app: Authenticator, code: str) -> Authenticator:
    """The app once the recovery code is used up. Raises `RecordError` for one that is wrong or was used before."""
    used = hashed(code)
    if used not in app.recovery:
        raise RecordError("code", "Incorrect code.")
    return msgspec.structs.replace(app, recovery=tuple(each for each in app.recovery if each != used))


def new_recovery_codes() -> list[str]:
    """Random codes, in groups of four characters."""
    texts = [base64.b32encode(secrets.token_bytes(_RECOVERY_BYTES)).decode().lower() for _ in range(RECOVERY_CODES)]
    return ["-".join(re.findall("....", text)) for text in texts]


def hashed(recovery_code: str) -> str:
    """What is stored of a recovery code."""
    return hashlib.sha256(typed_code(recovery_code).encode()).hexdigest()


def _derived(secret: str) -> bytes:
    digest = hashlib.blake2b(secret.encode(), digest_size=32, person=b"tyst.totp")
    return base64.urlsafe_b64encode(digest.digest())
