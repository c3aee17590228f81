"""Detection, removal and display of invisible and bidirectional control characters in user-supplied text.

Controls (Unicode category Cc), line and paragraph separators, surrogates, and of the format characters (Cf) all but
the joiners U+200C and U+200D, which scripts and emoji need (UAX 31, 2.3).
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_REFUSED: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_JOINERS: Final = frozenset("\u200c\u200d")
# What else is shown as nothing (Default_Ignorable_Code_Point): fillers, and variation selectors, which emoji need.
_IGNORED: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
# Fast path: printable characters below U+0300 except U+00AD.
_COMMON: Final = re.compile(r"[ -~\u00a0-\u00ac\u00ae-\u02ff]*")


def has_hidden(text: str) -> bool:
    """Whether the text contains control, invisible or bidirectional formatting characters."""
    return _COMMON.fullmatch(text) is None and any(map(_is_hidden, text))


def without_hidden(text: str) -> str:
    """The text without control, invisible and bidirectional formatting characters."""
    return text if _COMMON.fullmatch(text) else "".join(each for each in text if not _is_hidden(each))


def with_hidden_shown(text: str) -> str:
    """The text with hidden characters but line breaks as escape sequences of Python, as where a terminal would obey."""
    if _COMMON.fullmatch(text):
        return text
    return "".join(_shown(each) if _is_hidden(each) and each != "\n" else each for each in text)


def _shown(character: str) -> str:
    return character.encode("unicode_escape").decode()


def is_one_line(text: str, longest: int) -> bool:
    """Whether the text is valid as a name: 1 to `longest` characters, at least one visible, none hidden."""
    return 0 < len(text) <= longest and not has_hidden(text) and any(_is_seen(each) for each in text)


def is_plain_name(text: str, longest: int) -> bool:
    """Whether the text is a name that shows all that it is made of: no joiners, fillers or variation selectors."""
    return is_one_line(text, longest) and _JOINERS.isdisjoint(text) and _IGNORED.search(text) is None


def _is_hidden(character: str) -> bool:
    return unicodedata.category(character) in _REFUSED and character not in _JOINERS


def _is_seen(character: str) -> bool:
    return unicodedata.category(character) not in {"Cf", "Zs", "Mn"} and _IGNORED.match(character) is None
