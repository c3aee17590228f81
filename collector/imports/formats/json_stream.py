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

LONGEST: Final = 1 << 21
"""Characters of one element, which is in memory as a whole and decoded while nothing else can be done."""
LONGEST_KEY: Final = 1 << 16
BY_DATE: Final = re.compile(r'\s*\{\s*"\d{4}-[\d,-]+"\s*:')
_KEY = re.compile(r'[\s,{]*"([^"\\]*)"\s*:\s*')
_BETWEEN = re.compile(r"[\s\[,\]\ufeff]*")
_SPACE = re.compile(r"\s*")
_OF_LIST = re.compile(r"[\s,]*")
_END = re.compile(r"[\s}]*")


def objects(file: ImportedFile) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of an array, or one after the other, each with the number of the line in which it ends. Raises
    `ImportRefused` for what breaks off."""
    text = _Text(file)
    while text.skip(_BETWEEN):
        found = text.value()
        if isinstance(found, dict):
            yield text.line, found


def by_date(file: ImportedFile) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """The objects that an object has under each key, one or a list of them, with the key and the number of the line in
    which each ends. Raises `ImportRefused` for what breaks off."""
    text = _Text(file)
    while (key := text.key()) is not None:
        for found in text.values():
            if isinstance(found, dict):
                yield text.line, key, found


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

    def values(self) -> Iterator[Any]:
        """The next value; of a list its elements, one after the other."""
        self.skip(_SPACE)
        if not self._text.startswith("[", self._at):
            yield self.value()
            return
        self._take(self._at + 1)
        while self.skip(_OF_LIST) and not self._text.startswith("]", self._at):
            yield self.value()
        if self._at == len(self._text):
            raise self._broken()
        self._take(self._at + 1)

    def value(self) -> Any:
        """The next value. What is not whole yet is tried again when there is twice as much of it."""
        while True:
            try:
                found, end = self._decoder.raw_decode(self._text, self._at)
            except (ValueError, RecursionError):
                size = len(self._text) - self._at
                if size > LONGEST or not self._more(min(size, LONGEST + 1 - size)):
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
