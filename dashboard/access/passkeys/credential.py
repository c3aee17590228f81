"""What an account keeps of a passkey."""

from __future__ import annotations

import datetime

import msgspec


class Passkey(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One passkey. Neither the maker of its authenticator nor a serial number is kept."""

    id: str
    """The credential's id, in base64url."""
    name: str
    """What its owner calls it."""
    key: str
    """The public key, as COSE (RFC 9052) in base64url."""
    added: int
    """Unix seconds."""
    count: int = 0
    """The authenticator's signature counter; 0 where it has none."""
    last_used: datetime.date | None = None
    """Day (UTC) of its last use."""
    last_challenge: int = 0
    """When the newest challenge that it answered was made, in Unix milliseconds: none up to it counts again."""
