"""Large files of JSON, read one element after the other: an array, objects by date, or one object a line.

How the text is broken into lines says nothing: whole files are one line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from collector.core.errors import ImportRefused
from collector.imports.file import ImportedFile

LONGEST: Final = 1 << 26
"""Characters of one element."""
LONGEST_KEY: Final = 1 << 16
BY_DATE: Final = re.compile(r'\s*\{\s*"\d{4}-[\d,-]+"\s*:')
_KEY = re.compile(r'[\s,{]*"([^"\\]*)"\s*:\s*')
_BETWEEN = re.compile(r"[\s\[,\]\ufeff]*")
_END = re.compile(r"[\s}]*")


def objects(file: ImportedFile) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of an array, or one after the other, each with the number of the line in which it ends. Raises
    `ImportRefused` for what breaks off."""
    text = _Text(file)
    while text.skip(_BETWEEN):
        found = text.value()
        if isinstance(found, dict):
            yield text.line, found


def by_date(file: ImportedFile) -> Iterator[tuple[int, str, Any]]:
    """The values of an object with their keys. Raises `ImportRefused` for what breaks off."""
    text = _Text(file)
    while (key := text.key()) is not None:
        yield text.line, key, text.value()


class _Text:
    """The text that has been read and not yet taken."""

    def __init__(self, file: ImportedFile) -> None:
        self._file = file
        self._pieces = file.characters()
        self._decoder = json.JSONDecoder()
        self._text = ""
        self._at = 0
        self._over = False
        self.line = 1

    def skip(self, pattern: re.Pattern[str]) -> bool:
        """Skip what matches; whether anything follows."""
        while True:
            found = pattern.match(self._text, self._at)
            self._take(found.end() if found else self._at)
            if self._at < len(self._text):
                return True
            if not self._more(1):
                return False

    def key(self) -> str | None:
        """The next key of an object, None after the last."""
        while True:
            found = _KEY.match(self._text, self._at)
            if found:
                self._take(found.end())
                return found[1].removeprefix("\ufeff")
            if len(self._text) - self._at > LONGEST_KEY:
                raise self._broken()
            if not self._more(1):
                if _END.fullmatch(self._text, self._at):
                    return None
                raise self._broken()

    def value(self) -> Any:
        """The next value. What is not whole yet is tried again when there is twice as much of it."""
        while True:
            try:
                found, end = self._decoder.raw_decode(self._text, self._at)
            except (ValueError, RecursionError):
                size = len(self._text) - self._at
                if size > LONGEST or not self._more(size):
                    raise self._broken() from None
            else:
                self._take(end)
                return found

    def _take(self, end: int) -> None:
        self.line += self._text.count("\n", self._at, end)
        self._at = end

    def _more(self, size: int) -> bool:
        """Read at least so many characters more; whether there were any."""
        pieces, got = [self._text[self._at :]], 0
        while got < size and (piece := next(self._pieces, "")):
            pieces.append(piece)
            got += len(piece)
        self._text, self._at = "".join(pieces), 0
        return got > 0

    def _broken(self) -> ImportRefused:
        return ImportRefused(
            "file", "the file {name} is incomplete or damaged; nothing was imported", name=self._file.name
        )
