"""How long tests are: in short, or at length where `TYST_TESTS=long` says so, as `python -m bench tests` does."""

from __future__ import annotations

import os
from typing import Final, TypeVar

T = TypeVar("T")

AT_LENGTH: Final = os.environ.get("TYST_TESTS") == "long"


def by_length(short: T, long: T) -> T:
    """How many examples, or which cases: a short test takes each path once, a long one as often as is worth a night."""
    return long if AT_LENGTH else short
