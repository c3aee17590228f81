"""The installation's signing secrets, from which keys for cookies, receipts and encryption are derived."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import Final

from collector.core.settings import Settings

KEY_FILE = "secret.key"

SHORTEST: Final = 32
"""Characters of a secret that nobody guesses offline from what it signed: 128 bits in hexadecimal."""


Secrets = tuple[str, ...]
"""In the order of itsdangerous's key rotation: the last one signs and encrypts, earlier ones verify and decrypt."""


def secrets_of(settings: Settings) -> Secrets:
    """The operator's `TYST_SECRET_KEY`, or the secret stored in the data directory; before it the previous one."""
    current = settings.secret_key or stored_secret(settings.data_dir / KEY_FILE)
    previous = settings.secret_key_previous
    return (previous, current) if previous else (current,)


def short_secrets(settings: Settings) -> tuple[str, ...]:
    """Names of the settings whose secret can be guessed."""
    given = {"TYST_SECRET_KEY": settings.secret_key, "TYST_SECRET_KEY_PREVIOUS": settings.secret_key_previous}
    return tuple(name for name, secret in given.items() if secret and len(secret) < SHORTEST)


def stored_secret(path: Path, prefix: str = "") -> str:
    """A random secret in a file that only its owner can read; made when there is none. One that is empty, as a power
    failure may leave it, is none."""
    empty = path.exists() and not path.stat().st_size
    if empty or not path.exists():
        new = path.with_name(f"{path.name}.{os.getpid()}")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(f"{prefix}{secrets.token_urlsafe(32)}\n")
            file.flush()
            os.fsync(file.fileno())
        if empty:
            new.replace(path)
        else:
            # Several processes may come here at once: the one whose link is first wins, whole.
            with contextlib.suppress(FileExistsError):
                os.link(new, path)
            new.unlink()
    return path.read_text().strip()
