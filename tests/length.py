"""How long tests are: short in `make test`, at length where `TESTS=long` says so, as in `make bench ARGS=tests`.

A promise is tested in short wherever it can be: each path once. What is left for the long run is the same with more
examples, on every kind of database and in every form, and what takes seconds by itself: kills, floods, memory,
installations from nothing.
"""

from __future__ import annotations

import os
import zlib
from collections import defaultdict
from collections.abc import Iterable
from typing import Final, TypeVar

import pytest

T = TypeVar("T")

AT_LENGTH: Final = os.environ.get("TESTS") == "long"

STEP: Final = 8
"""Of so many cases of a test that is costly one runs in short."""

long = pytest.mark.long
"""Marks a test, or as `pytestmark` a module, that runs at length only."""


def by_length(short: T, long: T) -> T:
    """How many examples, or which cases: a short test takes each path once, a long one as often as is worth a night."""
    return long if AT_LENGTH else short


def left_out(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """Which of these tests, each of which takes a database or a page of a browser for itself, are for the long run.

    Of a test with several cases one in `STEP` runs in short, the first one of them chosen by its name, so that tests
    of the same cases take different ones.
    """
    cases: defaultdict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        name, several, _ = item.nodeid.partition("[")
        if several:
            cases[name].append(item)
    return [
        item
        for name, each in cases.items()
        for number, item in enumerate(each)
        if number % STEP != zlib.crc32(name.encode()) % min(STEP, len(each))
    ]
