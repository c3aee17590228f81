"""A file that is imported: its content unpacked and decoded as it is read, its beginning known before.

What it is called says nothing. Gzip, Zstandard and bzip2 are unpacked on the way, UTF-16 and UTF-8 told apart by their
first bytes; a zip file is read from a temporary file without a name, which ends with the process.
"""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import lzma
import re
import shutil
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Final, Protocol

from collector.core.errors import ImportRefused
from collector.core.text import without_hidden
from collector.imports.limits import (
    LOG_OF_INNER_WINDOW,
    LOG_OF_WINDOW,
    MAX_DIRECTORY_BYTES,
    ReadingLimits,
    next_layer,
)

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

HEAD_BYTES: Final = 65_536
BROKEN: Final = ["\0"]
"""What stands for a row that is no CSV."""
SEPARATOR: Final = "sep="
"""Beginning of a first line in which a spreadsheet names the delimiter."""
LONGEST_LINE: Final = 1 << 20
"""Characters; what is longer is cut, and no line of any format."""

_ZIP = b"PK\x03\x04"
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)
"""What members of zip files may be packed by. LZMA takes as much memory as the file says that it needs."""
_UNREADABLE = (OSError, EOFError, zlib.error, lzma.LZMAError, zstd.ZstdError, zipfile.BadZipFile, ValueError)
# Of a member that is encrypted, or packed in a way that is not known here.
_UNSUPPORTED = (RuntimeError, NotImplementedError)


class Readable(Protocol):
    """Where a file's bytes come from."""

    def read(self, size: int = -1, /) -> bytes | None:
        """At most so many bytes; nothing at the end."""
        ...


class ImportedFile:
    """A file with its name and its beginning. Its rest can be read once."""

    def __init__(self, name: str, stream: Readable, limits: ReadingLimits | None = None, layers: int = 0) -> None:
        """`layers` is how many times over the stream was packed."""
        self.name = without_hidden(name)
        self._limits = limits or ReadingLimits()
        self._stream, self._layers = _unpacked(_Peekable(stream), self._limits, layers)
        self.head = self._stream.peek(HEAD_BYTES)

    @property
    def is_zip(self) -> bool:
        """Whether it is a zip file."""
        return self.head.startswith(_ZIP)

    @property
    def text(self) -> str:
        """Its beginning, decoded."""
        return self.head.decode(self._encoding, "replace").removeprefix("\ufeff")

    @property
    def header(self) -> list[str]:
        """The names of the columns in its first line, as that of a CSV file."""
        text = self.text
        if text[:4].lower() == SEPARATOR:
            text = text.partition("\n")[2]
        first = text.partition("\n")[0].rstrip("\r")
        try:
            cells = next(csv.reader([first], delimiter=delimiter_of(first)), [])
        except csv.Error:
            return []
        return list(map(column_name, cells))

    def lines(self, *, encoding: str = "") -> Iterator[tuple[int, str]]:
        """Its lines with their numbers, without their ends; decoded as `encoding` where it is not UTF-16."""
        encoding = self._encoding if self._encoding.startswith("utf-16") else encoding or self._encoding
        reader = io.TextIOWrapper(io.BufferedReader(self._stream, HEAD_BYTES), encoding, "replace", newline="\n")
        number = 0
        while True:
            line = self._read(reader)
            if not line:
                return
            number += 1
            while len(line) >= LONGEST_LINE and not line.endswith("\n"):
                rest = self._read(reader)
                line = line[:10] + rest[-1:]
                if not rest or rest.endswith("\n"):
                    break
            yield number, (line.removeprefix("\ufeff") if number == 1 else line).rstrip("\r\n")

    def characters(self) -> Iterator[str]:
        """Its text, in pieces."""
        reader = io.TextIOWrapper(io.BufferedReader(self._stream, HEAD_BYTES), self._encoding, "replace", newline="\n")
        try:
            while piece := reader.read(HEAD_BYTES):
                yield piece
        except _UNREADABLE:
            raise self._broken() from None

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Its rows as a CSV file, with the number of the line that each ends in."""
        first = next((line for line in self.text.splitlines() if line.strip() and not line.startswith("#")), "")
        told = first[:4].lower() == SEPARATOR
        delimiter = (first[4:5] or ",") if told else delimiter_of(first)
        lines = _RowLines(self.lines(encoding=self._table_encoding))
        if told:
            next(lines, None)
        reader = csv.reader(lines, delimiter=delimiter)
        while True:
            lines.begin()
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error:
                row = BROKEN
            except _RowTooLong:
                # What comes next is taken for the beginning of a row.
                row, reader = BROKEN, csv.reader(lines, delimiter=delimiter)
            yield lines.number, row

    def table(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Its rows as a CSV file by the names of its columns; a row with another number of cells is empty, unless those
        that it has in addition are."""
        rows = self.rows()
        _, names = next(rows, (0, []))
        header = list(map(column_name, names))
        for line, cells in rows:
            if any(cells):
                fits = len(cells) >= len(header) and not any(cells[len(header) :])
                yield line, dict(zip(header, cells, strict=False)) if fits else {}

    def bytes(self) -> io.RawIOBase:
        """Its content, unpacked."""
        return self._stream

    def entries(self, directory: Path) -> Iterator[ImportedFile]:
        """The files within a zip file, which is put into a file without a name in `directory` meanwhile."""
        layers = next_layer(self._layers)
        with tempfile.TemporaryFile(dir=directory) as spooled:
            shutil.copyfileobj(_Limited(self._stream, self._limits), spooled)
            try:
                with zipfile.ZipFile(_BoundedReads(spooled, self.name)) as archive:
                    # Counts refer to names, which are in other files.
                    for info in sorted(archive.infolist(), key=lambda each: "stats" in each.filename):
                        if not info.is_dir() and not Path(info.filename).name.startswith("."):
                            if info.compress_type not in _METHODS:
                                raise self._broken()
                            with archive.open(info) as entry:
                                yield ImportedFile(info.filename, _Limited(entry, self._limits), self._limits, layers)
            except (*_UNREADABLE, *_UNSUPPORTED):
                raise self._broken() from None

    def _read(self, reader: io.TextIOWrapper) -> str:
        try:
            return reader.readline(LONGEST_LINE)
        except _UNREADABLE:
            raise self._broken() from None

    def _broken(self) -> ImportRefused:
        return ImportRefused("file", "the file {name} is incomplete or damaged; nothing was imported", name=self.name)

    @property
    def _encoding(self) -> str:
        if self.head.startswith((b"\xff\xfe", b"\xfe\xff")):
            return "utf-16"
        if self.head[1:2] == b"\0" and self.head[:1] not in (b"", b"\0"):
            return "utf-16-le"
        if self.head[:1] == b"\0" and self.head[1:2] not in (b"", b"\0"):
            return "utf-16-be"
        return "utf-8"

    @property
    def _table_encoding(self) -> str:
        """That of a table: spreadsheets on Windows write code page 1252, where it is no UTF-8."""
        try:
            codecs.getincrementaldecoder("utf-8")().decode(self.head)
        except UnicodeDecodeError:
            return "cp1252"
        return "utf-8"


def delimiter_of(line: str) -> str:
    """What separates the cells of a line."""
    return max(",\t;|", key=line.count)


_CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_SPACES = re.compile(r"[\s\-]+")


def column_name(cell: str) -> str:
    """Name of a column in one spelling: `Session ID`, `session-id` and `sessionId` are `session_id`."""
    return _SPACES.sub("_", _CAPITAL.sub("_", cell.strip(" \t\r\n\"'")).lower())


class _RowTooLong(Exception):
    """A row of a table goes on over line after line."""


class _RowLines:
    """The lines of a CSV file. A row may have several, by line breaks within quotes, up to `LONGEST_LINE` together."""

    def __init__(self, lines: Iterator[tuple[int, str]]) -> None:
        self._lines = lines
        self._length = 0
        self.number = 0
        """Of the line that was read last."""

    def begin(self) -> None:
        """A row begins."""
        self._length = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        """Raises `_RowTooLong`."""
        self.number, line = next(self._lines)
        self._length += len(line) + 1
        if self._length > LONGEST_LINE + 1:
            raise _RowTooLong
        return line + "\n"


class _BoundedReads:
    """A zip file of which no read gives more than a list of members may have: `zipfile` reads that in one, wherever it
    finds it."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file = file
        self._name = name
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        """Raises `ImportRefused` where that is more."""
        whole = 0 <= size <= MAX_DIRECTORY_BYTES
        found = self._file.read(size if whole else MAX_DIRECTORY_BYTES + 1)
        if len(found) > MAX_DIRECTORY_BYTES:
            raise ImportRefused("file", "{name} has too many members; nothing was imported", name=self._name)
        return found


class _Limited(io.RawIOBase):
    """What comes out of an archive: it has to be read in time, and where it is `counted`, its bytes are limited."""

    def __init__(self, stream: Readable, limits: ReadingLimits, *, counted: bool = True) -> None:
        self._stream = stream
        self._limits = limits
        self._counted = counted

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # of bytes
        chunk = self._stream.read(len(buffer)) or b""
        self._limits.spend(len(chunk) if self._counted else 0)
        buffer[: len(chunk)] = chunk
        return len(chunk)


class _Peekable(io.RawIOBase):
    """A stream whose beginning can be read ahead, however little each read gives."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._ahead = b""

    def peek(self, size: int) -> bytes:
        while len(self._ahead) < size:
            more = self._stream.read(size - len(self._ahead))
            if not more:
                break
            self._ahead += more
        return self._ahead[:size]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # of bytes
        chunk = self._ahead[: len(buffer)] or self._stream.read(len(buffer)) or b""
        self._ahead = self._ahead[len(chunk) :]
        buffer[: len(chunk)] = chunk
        return len(chunk)


def _unpacked(stream: _Peekable, limits: ReadingLimits, layers: int) -> tuple[_Peekable, int]:
    """The stream without its layers of packing, and how many these are. What is packed once may be of any size, as
    logs are."""
    start = stream.peek(4)
    unpack = next((each for magic, each in _UNPACKERS.items() if start.startswith(magic)), None)
    if unpack is None:
        return stream, layers
    layers = next_layer(layers)
    try:
        unpacked = _Peekable(_Limited(unpack(stream, layers), limits, counted=layers > 1))
        unpacked.peek(HEAD_BYTES)
        return _unpacked(unpacked, limits, layers)
    except _UNREADABLE:
        raise ImportRefused("file", "a compressed file is incomplete or damaged; nothing was imported") from None


def _zstandard(stream: _Peekable, layers: int) -> Readable:
    """What is packed by Zstandard. Its window is in memory: inside of other layers one as most files have."""
    longest = LOG_OF_WINDOW if layers == 1 else LOG_OF_INNER_WINDOW
    return zstd.ZstdFile(stream, options={zstd.DecompressionParameter.window_log_max: longest})


_UNPACKERS: Final[dict[bytes, Callable[[_Peekable, int], Readable]]] = {
    b"\x1f\x8b": lambda stream, _: gzip.GzipFile(fileobj=stream),
    b"\x28\xb5\x2f\xfd": _zstandard,
    b"BZh": lambda stream, _: bz2.BZ2File(stream),
}
