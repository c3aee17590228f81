"""Detection and masking of personal data in paths and texts.

    :email      an e-mail address
    :uuid       a UUID, with dashes
    :address    an IPv4, IPv6 or hardware address, also in hexadecimal or octal numbers and in digits of other scripts
    :token      a token, or text percent-encoded too often to be read
    :number     a long run of digits: a telephone number, a national identity number, an account

A *run* is a longest stretch of ASCII letters and digits; its *pieces* are its words and numbers (`iphone15Pro` has
three). A run is a token when it looks drawn by lot:

    32 or more characters   always
    20 or more              more than three pieces, other than WordsBegunWithCapitals and numbers
    16 or more              hexadecimal digits and letters, or letters that do not read like words (`collector.words`)
    16 to 19                pieces shorter than 3.4 characters on average
    12 to 15                pieces shorter than 2.5 characters on average

Runs joined by `-`, `_`, `.`, `~`, `+` or `=` belong together. Beside a token and between two, runs go with it until
the next plain word (base64url, JSON Web Tokens). Runs of three or more pieces shorter than 3 characters on average
are a token together when there are three of them (licence keys), or 10 characters of them in a stretch of 16.

A number is *long* from nine digits on, or from eight when it begins with 0 or +; single spaces, dashes, dots and
brackets may stand between the digits. Dates, years, times after dates and dotted versions are none.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from collector.enrichment.words import reads_like_words

_MOST_ENCODINGS = 3

# Words and short numbers, no two numbers side by side: most paths are, and are passed on after this one look.
_ORDINARY = re.compile(
    r"(?:[/_. -]?(?:[A-Z]?[a-zà-öø-ÿ]{1,15}(?![A-Za-z0-9À-ÿ])|[0-9]{1,7}(?=/|\Z|[_. -][A-Za-zà-öø-ÿ])))*+/?"
)
# What can be private has one of these somewhere.
_SUSPECT = re.compile(
    r"[@＠%:．。｡：]|[A-Za-z]\d|\d(?:[A-Za-z]|[\d\s().+_\u2010-\u2015\u2212-]{5,}\d)|[a-z][A-Z]|[A-Za-z]{16}"
)

_EMAIL = re.compile(
    r"[^\s@＠/:;,<>()\[\]?&=#]{1,64}[@＠](?!\dx\.)(?:[\w-]{1,63}\.){1,8}(?:xn--[\w-]{2,}|[^\W\d_]{2,24})"
)
_UUID = re.compile(r"[0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12}", re.IGNORECASE)
_ADDRESS = re.compile(
    r"(?:(?:[0-9a-f]{0,4}:){2,7}|(?<![\d.]))(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\d.]*\d)"
    r"|(?:[0-9a-f]{0,4}:){3,7}[0-9a-f]{1,4}(?![0-9a-z])|(?:[0-9a-f]{1,4}:){3,7}:"
    r"|(?<![0-9a-z])[0-9a-f]{3,4}::[0-9a-f]{1,4}(?![0-9a-z])"
    # As one hexadecimal number, and with each byte as a hexadecimal or octal one.
    r"|(?<![0-9a-z])0x[0-9a-f]{7,8}(?![0-9a-z])|(?<![0-9a-z])(?:0x[0-9a-f]{1,2}\.){3}0x[0-9a-f]{1,2}(?![0-9a-z])"
    r"|(?<![\d.])(?:0[0-7]{1,3}\.){3}0[0-7]{1,3}(?![\d.]*\d)",
    re.IGNORECASE,
)
_STRETCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.~+=-]{10,}[A-Za-z0-9]")
_JOINT = re.compile(r"([_.~+=-]+)")
_PIECE = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")
_HEXADECIMAL = re.compile(r"(?=[A-Fa-f]*[0-9])[0-9]*[A-Fa-f][0-9A-Fa-f]*")
_CAPITALISED = re.compile(r"(?:[A-Z][a-z]+\d{0,4})+")
_PLAIN = re.compile(r"[A-Z]?[a-z]{2,}|\d{1,4}|v\d+")
_NUMBER = re.compile(r"[+(]{0,2}\d(?:[\s().+_\u2010-\u2015\u2212-]{0,3}\d){7,}")
_DATE = re.compile(
    r"(?:(?:19|20)\d\d[-._ ]?){2,}"
    r"|(?:19|20)\d\d([-._]?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])(?:[-._ T]\d\d?)?"
    r"|(?:0[1-9]|[12]\d|3[01])([-._]?)(?:0[1-9]|1[0-2])\2(?:19|20)\d\d"
)
# Digits of other scripts, which `int` reads as well, and the dots and colons that come with wide ones.
_FOREIGN = re.compile(r"[^\D0-9]|[．。｡：]")
_PLAIN_MARKS = str.maketrans("．。｡：", "...:")
_DOTTED = re.compile(r"\d++(?:\.\d++){2,}+")


def is_ordinary(text: str) -> bool:
    """Whether `text`, which may be a whole path, plainly holds nothing private. False says nothing either way."""
    return _ORDINARY.fullmatch(text) is not None


def without_private(text: str) -> str:
    """The text with personal data replaced by placeholders. Ordinary text is returned unchanged."""
    if _ORDINARY.fullmatch(text) or _SUSPECT.search(text) is None:
        return text
    if "%" in text:
        readable = _decoded(text)
        if readable is None:
            return ":token"
        if readable != text:
            cleaned = _replaced(readable)
            return text if cleaned == readable and _replaced(text) == text else _replaced(cleaned)
    return _replaced(text)


def _decoded(text: str) -> str | None:
    """`text` with every layer of percent-encoding taken off; None when there are more layers than anybody means."""
    for _ in range(_MOST_ENCODINGS):
        once = unquote(text)
        if once == text:
            return text
        text = once
    return text if unquote(text) == text else None


def _replaced(text: str) -> str:
    if _FOREIGN.search(text):
        plain = _FOREIGN.sub(_ascii_digit, text)
        cleaned = _replaced(plain)
        return text if cleaned == plain else cleaned
    if "@" in text or "＠" in text:
        text = _EMAIL.sub(":email", text)
    text = _UUID.sub(":uuid", text)
    text = _ADDRESS.sub(":address", text)
    text = _STRETCH.sub(_stretch, text)
    return _NUMBER.sub(_number, text)


def _ascii_digit(match: re.Match[str]) -> str:
    character = match[0]
    return str(int(character)) if character.isdecimal() else character.translate(_PLAIN_MARKS)


def is_token(run: str) -> bool:
    """Whether a run of ASCII letters and digits looks random; see the module's docstring."""
    length = len(run)
    if length < 12 or run.isdigit():
        return False
    if length >= 32:
        return True
    pieces = _PIECE.findall(run)
    if length >= 16 and (_HEXADECIMAL.fullmatch(run) or not reads_like_words(pieces)):
        return True
    if len(pieces) == 1 or _CAPITALISED.fullmatch(run):
        return False
    return len(pieces) > 3 if length >= 20 else len(pieces) * (3.4 if length >= 16 else 2.5) > length


def _is_mixed(run: str) -> bool:
    """Whether a run, however short, changes between small letters, capitals and digits like a part of a token."""
    pieces = len(_PIECE.findall(run))
    return pieces >= 3 and pieces * 3 > len(run) and not _CAPITALISED.fullmatch(run)


def _stretch(match: re.Match[str]) -> str:
    """A stretch of joined runs, with its tokens and what belongs to them replaced."""
    parts = _JOINT.split(match[0])
    places = range(0, len(parts), 2)
    drawn = [place for place in places if is_token(parts[place])]
    mixed = [place for place in places if _is_mixed(parts[place])]
    if not drawn and len(mixed) < 3 and (len(match[0]) < 16 or sum(len(parts[place]) for place in mixed) < 10):
        return ":token" if len(match[0]) >= 20 and _are_odd(parts[::2]) else match[0]
    first, last = min(drawn + mixed), max(drawn + mixed)
    while first >= 2 and not _PLAIN.fullmatch(parts[first - 2]):
        first -= 2
    while last + 2 < len(parts) and not _PLAIN.fullmatch(parts[last + 2]):
        last += 2
    return "".join((*parts[:first], ":token", *parts[last + 1 :]))


def _are_odd(runs: list[str]) -> bool:
    """Whether runs that are each too short to tell are together no words: a token that happens to have joints."""
    odd = [run for run in runs if not _PLAIN.fullmatch(run) and (len(run) > 4 or not (run.isupper() or run.isdigit()))]
    return sum(map(len, odd)) >= 12 and not reads_like_words(piece for run in odd for piece in _PIECE.findall(run))


def _number(match: re.Match[str]) -> str:
    """A run of digits as it is when short or plainly a date or version, else the word for it."""
    text = match[0]
    digits = sum(character.isdigit() for character in text)
    if digits < 9 and not text.lstrip("(").startswith(("0", "+")):
        return text
    if _DATE.fullmatch(text) or _is_version(text):
        return text
    return ":number"


def _is_version(text: str) -> bool:
    """Whether numbers with dots between them are a version: one of those within has a single digit."""
    return _DOTTED.fullmatch(text) is not None and any(len(part) == 1 for part in text.split(".")[1:-1])
