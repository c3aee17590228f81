"""Files of an HTTP request, read by a thread while they arrive: what is in them is never on a disk as a whole.

The request waits for the reader: a few blocks are in memory, however large the files are.
"""

from __future__ import annotations

import contextlib
import io
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Final, TypeVar

import anyio.to_thread
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser
from starlette.requests import ClientDisconnect, Request

from collector.core.errors import ImportRefused
from collector.core.field_parameters import read_parameters
from collector.imports.file import ImportedFile
from collector.imports.limits import ReadingLimits

BLOCKS: Final = 32
"""Blocks that wait for their reader."""
SILENT_SECONDS: Final = 60.0
"""For which a client may send nothing: meanwhile nobody else imports into the site, and it may have gone for good."""
SLOWEST: Final = 512
"""Bytes a second that have to come beyond that, of the time in which they are waited for."""
PATIENCE: Final = 0.5
"""Seconds between two looks at whether the upload was abandoned."""
LONGEST_FIELD: Final = 1_000
MOST_FILES: Final = 500
MOST_FIELDS: Final = 20

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

T = TypeVar("T")


class _Begin:
    """A file begins."""

    def __init__(self, name: str) -> None:
        self.name = name


class _End:
    """All files have ended; `broken` when the client went away before."""

    def __init__(self, *, broken: bool = False) -> None:
        self.broken = broken


_Item = bytes | _Begin | _End


class Upload:
    """The files of one request, and the fields of its form that came before them. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.fields: dict[str, str] = {}
        self._began, self._clock = clock(), clock
        self._limits = self._new_limits()
        self._items: queue.Queue[_Item] = queue.Queue(BLOCKS)
        self._next: _Item | None = None
        self._over = threading.Event()
        self._abandoned = threading.Event()

    def files(self) -> Iterator[ImportedFile]:
        """Each file; its rest is skipped when the next is asked for. Raises `ImportRefused` where they break off."""
        while True:
            item = self._take()
            if isinstance(item, _End):
                return
            if isinstance(item, _Begin):
                yield ImportedFile(item.name, _Content(self), self._new_limits())

    def read(self) -> bytes:
        """The next block of the file; empty at its end. Raises `ImportRefused` when it does not come in time."""
        if self._next is None:
            self._next = self._take()
        if not isinstance(self._next, bytes):
            return b""
        found, self._next = self._next, None
        return found

    def close(self) -> None:
        """The reader wants no more."""
        self._over.set()
        with contextlib.suppress(queue.Empty):
            while True:
                self._items.get_nowait()

    def abandon(self) -> None:
        """Nothing more comes, and nobody can be told."""
        self._abandoned.set()

    async def put(self, item: _Item) -> None:
        """Hand a block to the reader, when it has room."""
        while not self._over.is_set():
            try:
                self._items.put_nowait(item)
            except queue.Full:
                await anyio.sleep(0.002)
            else:
                return

    def _new_limits(self) -> ReadingLimits:
        """Those of one more file: the time is that of the whole upload."""
        return ReadingLimits(self._began, self._clock)

    def _take(self) -> _Item:
        found, self._next = self._next, None
        while found is None:
            self._limits.check()
            try:
                found = self._items.get(timeout=PATIENCE)
            except queue.Empty:
                found = _End(broken=True) if self._abandoned.is_set() else None
        if isinstance(found, _End) and found.broken:
            raise _interrupted()
        if isinstance(found, _End):
            # Whoever asks again gets the same.
            self._next = found
        return found


class _Content(io.RawIOBase):
    """The content of the file that is being read."""

    def __init__(self, upload: Upload) -> None:
        self._upload = upload
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # of bytes
        if not self._left:
            self._left = self._upload.read()
        chunk = self._left[: len(buffer)]
        self._left = self._left[len(chunk) :]
        buffer[: len(chunk)] = chunk
        return len(chunk)


async def read_upload(request: Request, handle: Callable[[Upload], T], *, silent: float = SILENT_SECONDS) -> T:
    """What `handle`, in a thread, makes of the files of a request, which is a form or one file as it is. Nothing may
    come for `silent` seconds."""
    upload = Upload()
    result: list[T] = []

    def work() -> None:
        try:
            result.append(handle(upload))
        finally:
            upload.close()

    async def feed() -> None:
        try:
            await _feed(request, upload, silent)
        except ClientDisconnect:
            await upload.put(_End(broken=True))
        except BaseException:
            upload.abandon()
            raise

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(feed)
            await anyio.to_thread.run_sync(work)
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
    return result[0]


async def _feed(request: Request, upload: Upload, silent: float) -> None:
    media_type, given = read_parameters(request.headers.get("content-type", ""))
    boundary = given.get("boundary", "")
    if media_type != "multipart/form-data" or not boundary:
        await upload.put(_Begin(request.query_params.get("name", "upload")[:200]))
        async for chunk in _received(request, silent):
            await upload.put(chunk)
        await upload.put(_End())
        return
    parts = _Parts(upload.fields)
    try:
        parser = MultipartParser(boundary.encode(), parts.callbacks())
        async for chunk in _received(request, silent):
            parser.write(chunk)
            for item in parts.taken():
                await upload.put(item)
    except FormParserError:
        raise ImportRefused("body", "expected files as multipart/form-data") from None
    await upload.put(_End(broken=not parts.complete))


async def _received(request: Request, silent: float) -> AsyncIterator[bytes]:
    """The body as it arrives. Raises `ImportRefused` when it does not go on."""
    chunks, waited = aiter(request.stream()), 0.0
    while True:
        began = anyio.current_time()
        try:
            with anyio.fail_after(silent - waited):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise _interrupted() from None
        waited = max(0.0, waited + anyio.current_time() - began - len(chunk) / SLOWEST)
        if chunk:
            yield chunk


def _interrupted() -> ImportRefused:
    return ImportRefused("file", "the upload was interrupted; nothing was imported")


class _Parts:
    """Parts of a multipart body: fields are kept, files become blocks."""

    def __init__(self, fields: dict[str, str]) -> None:
        self._fields = fields
        self._items: list[_Item] = []
        self._headers: dict[str, str] = {}
        self._name, self._value = b"", b""
        self._field: str | None = None
        self._files = self._number_of_fields = 0
        self.complete = False

    def callbacks(self) -> MultipartCallbacks:
        """For the parser."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_end": self._end,
        }

    def taken(self) -> list[_Item]:
        """What has come since it was last asked for."""
        items, self._items = self._items, []
        return items

    def _begin(self) -> None:
        self._headers = {}

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._name.decode("latin-1").lower()] = self._value.decode("utf-8", "replace")
        self._name, self._value = b"", b""

    def _headers_finished(self) -> None:
        _, given = read_parameters(self._headers.get("content-disposition", ""))
        filename = given.get("filename")
        self._field = given.get("name", "") if filename is None else None
        if filename is not None:
            self._files += 1
            if self._files > MOST_FILES:
                raise ImportRefused("file", "expected at most {count} files", count=MOST_FILES)
            self._items.append(_Begin(filename[:200]))
        elif self._field is not None:
            self._fields[self._field] = ""
            self._number_of_fields += 1
            if self._number_of_fields > MOST_FIELDS:
                raise ImportRefused("body", "expected at most {count} fields", count=MOST_FIELDS)

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._field is None:
            self._items.append(data[start:end])
        else:
            value = self._fields.get(self._field, "") + data[start:end].decode("utf-8", "replace")
            self._fields[self._field] = value[:LONGEST_FIELD]

    def _end(self) -> None:
        self.complete = True
