"""Platforms that the tag is installed on, from `data/platforms.toml`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec

DATA: Final = Path(__file__).resolve().parents[2] / "data" / "platforms.toml"

Form = Literal["html", "astro", "wordpress", "gtm", "nextjs"]


class Platform(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A platform; the head of the data file describes every field."""

    name: str
    form: Form
    steps: str
    banner: str = ""


PLATFORMS: Final[Mapping[str, Platform]] = msgspec.toml.decode(DATA.read_bytes(), type=dict[str, Platform])
"""Every platform by its key, in the order of the file."""

PLAIN: Final = "html"
"""Key of the form that is pasted where there is no platform."""
