"""Health reports: a list of checks with findings and advice."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path
from typing import Literal

import msgspec

from collector.core.app_secret import SHORTEST, short_secrets
from collector.core.settings import Settings

State = Literal["ok", "warning", "failed"]

LITTLE_ROOM = 1_000_000_000  # bytes


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at. `advice` says what to do and is empty when all is well; `code` is there to copy."""

    name: str
    state: State
    found: str
    advice: str = ""
    code: str = ""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Status of the server. No part contains an address, a user agent or a password."""

    version: str
    started: int
    """Unix second at which this process began to serve."""
    now: int
    """The server's clock, Unix seconds."""
    checks: tuple[Check, ...]
    dropped: dict[str, int] = {}
    """Beacons dropped since the start, by reason."""
    accepted: int = 0
    """Beacons accepted since the start."""


def check_directory(directory: Path) -> Check:
    """Whether the data directory is there, private and has room."""
    name = "data directory"
    if not directory.is_dir():
        return Check(
            name=name,
            state="failed",
            found=f"{directory} is not there",
            advice="start Tyst once: tyst serve. Or set TYST_DATA_DIR.",
        )
    secrets = [path for path in directory.iterdir() if path.name in SECRET_FILES]
    open_ = [path.name for path in secrets if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)]
    if open_:
        return Check(
            name=name,
            state="failed",
            found=f"others on this machine can read {', '.join(sorted(open_))}",
            advice=f"chmod 600 {' '.join(str(directory / file) for file in sorted(open_))}",
        )
    rights = stat.S_IMODE(directory.stat().st_mode)
    if rights & (stat.S_IRWXG | stat.S_IRWXO):
        return Check(
            name=name,
            state="warning",
            found=f"others on this machine may look into {directory} (mode {rights:04o})",
            advice=f"chmod 700 {directory}",
        )
    free = shutil.disk_usage(directory).free
    room = f"{directory}, {free / 1e9:,.1f} GB free"
    if free < LITTLE_ROOM:
        return Check(name=name, state="warning", found=room, advice="make room on this disk, or move the directory")
    return Check(name=name, state="ok", found=room)


def check_secret(settings: Settings) -> Check:
    """Whether the secret that signs sessions and encrypts keys is long enough."""
    name = "secret key"
    short = short_secrets(settings)
    if short:
        return Check(
            name=name,
            state="warning",
            found=f"{' and '.join(short)} can be guessed: shorter than {SHORTEST} characters",
            advice="rotate it, as docs/sign-in.md says, to a random one such as:",
            code="openssl rand -hex 32",
        )
    return Check(name=name, state="ok", found=f"{SHORTEST} characters or more")


# Files of the data directory that hold a secret.
SECRET_FILES = frozenset({"admin.key", "server.json", "secret.key", "salts.json", "salts"})
