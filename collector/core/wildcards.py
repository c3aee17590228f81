"""Path patterns: `*` matches within a segment, `**` matches anything.

Here they are matched without regular expressions, which may backtrack for hours: the positions of a text that the
pattern may have reached are the bits of one number, and each part of the pattern moves all of them at once. Time grows
with the length of the text, whatever the pattern. ClickHouse matches by RE2, which is linear as well.
"""

from __future__ import annotations

import re
from functools import lru_cache

LONGEST_PATTERN = 500
MOST_STARS = 20

_Part = tuple[bool, str]
"""Whether a star reaches across segments, and the text behind it."""


@lru_cache(maxsize=1_000)
def expression(pattern: str) -> str:
    """The pattern as an anchored regular expression for ClickHouse."""
    parts = re.split(r"(\*\*?)", pattern)
    return "^" + "".join({"*": "[^/]*", "**": ".*"}.get(part, re.escape(part)) for part in parts) + "$"


def is_bounded(pattern: str) -> bool:
    """Whether the pattern may be stored: neither too long nor with too many stars."""
    return len(pattern) <= LONGEST_PATTERN and len(re.findall(r"\*+", pattern)) <= MOST_STARS


def matches(pattern: str, text: str) -> bool:
    """Whether the pattern matches the text."""
    first, parts = _parsed(pattern)
    if not parts:
        return text == first
    last = parts[-1][1]
    end = len(text) - len(last)
    if not text.startswith(first) or end < len(first) or not text.endswith(last):
        return False
    if len(parts) == 1:
        return parts[0][0] or "/" not in text[len(first) : end]
    return bool(_reached(text, len(first), parts) >> len(text) & 1)


def literal(pattern: str) -> bool:
    """Whether the pattern has no wildcards."""
    return "*" not in pattern


@lru_cache(maxsize=1_000)
def _parsed(pattern: str) -> tuple[str, tuple[_Part, ...]]:
    """The text before the first star, and the parts after it."""
    first, *more = re.split(r"(\*+)", pattern)
    stars, texts = more[::2], more[1::2]
    return first, tuple((len(star) > 1, text) for star, text in zip(stars, texts, strict=True))


def _reached(text: str, begin: int, parts: tuple[_Part, ...]) -> int:
    """The positions of the text, as bits, that all of the parts may end at when they begin at `begin`."""
    reached = 1 << begin
    everywhere = (1 << len(text) + 1) - 1
    within = 0
    places: dict[str, int] = {}
    for number, (across, wanted) in enumerate(parts):
        if across:
            lowest = (reached & -reached).bit_length() - 1
            if number + 1 < len(parts) and parts[number + 1][0]:
                # Of what lies between two such stars the first place reaches whatever a later one does.
                place = text.find(wanted, lowest)
                if place < 0:
                    return 0
                reached = 1 << place + len(wanted)
                continue
            reached = everywhere >> lowest << lowest
        else:
            within = within or everywhere >> 1 & ~_places(text, "/")
            # Adding carries each bit through its run of characters other than `/`, to the position behind it.
            reached |= (within + (reached & within)) ^ within
        if wanted not in places:
            places[wanted] = _places(text, wanted)
        reached = (reached & places[wanted]) << len(wanted)
        if not reached:
            return 0
    return reached


def _places(text: str, wanted: str) -> int:
    """Where `wanted` begins in the text, as bits; everywhere for nothing."""
    if not wanted:
        return (1 << len(text) + 1) - 1
    found, at = bytearray(len(text) // 8 + 1), text.find(wanted)
    while at >= 0:
        found[at >> 3] |= 1 << (at & 7)
        at = text.find(wanted, at + 1)
    return int.from_bytes(found, "little")
