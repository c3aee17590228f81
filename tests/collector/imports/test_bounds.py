"""Bounds of imports: archives that unpack without end, uploads that take for ever, and who has to wait for whom."""

from __future__ import annotations

import asyncio
import gzip
import io
import itertools
import struct
import zipfile
from collections.abc import Callable, Iterator

import pytest

from collector.core.errors import ImportRefused
from collector.imports.file import ImportedFile
from collector.imports.imports import MOST_CHECKED
from collector.imports.limits import MAX_LAYERS, READING_SECONDS, ReadingLimits
from collector.imports.record import ImportRecord
from collector.imports.slots import MOST_AT_ONCE, MOST_OF_ONE, ImportSlots
from collector.imports.upload import Upload, _Begin
from collector.sites.model import Site
from tests.collector.imports.imported import SAMPLES, Importing, opened

LOG = SAMPLES / "logs" / "combined.log"
HEADER = b"date,visitors,pageviews,bounces,visits,visit_duration\n"
MANY = gzip.compress(HEADER) + gzip.compress(b"x" * (64 << 20), 1) * 17
"""A table of one endless line: 1.1 GiB, of 5 MB."""


def zipped(*members: tuple[str, bytes]) -> bytes:
    """A zip file with these members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


@pytest.mark.parametrize("packed", [zipped(("a.csv.gz", MANY)), gzip.compress(MANY, 1)], ids=["zip", "gzip"])
def test_an_archive_has_a_gibibyte_at_most(importing: Importing, packed: bytes) -> None:
    """What comes out counts, not what the archive says of itself; nothing is left of it."""
    with pytest.raises(ImportRefused, match="more than 1 GiB of content"):
        importing.read(("visitors", packed))
    assert importing.rows("SELECT count() FROM daily_rollup") == [(0,)]
    assert importing.imports.of(importing.site) == []


@pytest.mark.parametrize(
    "pack", [gzip.compress, lambda content: zipped(("log", content))], ids=["gzip", "zip"]
)  # fmt: skip
def test_a_file_is_packed_a_few_times_at_most(importing: Importing, pack: Callable[[bytes], bytes]) -> None:
    """Three times is read, four times is refused."""
    content = LOG.read_bytes()
    for _ in range(MAX_LAYERS):
        content = pack(content)
    assert importing.read(("access.log", content)).report.accepted > 0
    with pytest.raises(ImportRefused, match="more than 3 layers"):
        importing.read(("access.log", pack(content)))


def test_a_zip_file_of_very_many_members_is_not_listed(importing: Importing) -> None:
    """Their list would be read into memory."""
    many = zipped(*((f"{number:05}", b"") for number in range(22_000)))
    with pytest.raises(ImportRefused, match="too many members"):
        importing.read(("many.zip", many))


def test_a_long_list_of_members_cannot_be_hidden(importing: Importing) -> None:
    """By another end record within the end record, in fields that nobody reads."""
    whole = zipped(("log", b""))
    start, end = whole.rindex(b"PK\x01\x02"), whole.rindex(b"PK\x05\x06")
    members = whole[start:end] * 25_000
    record = b"PK\x05\x06" + b"PK\x05\x06" + struct.pack("<HHIIH", 1, 1, len(members), 0, 0)
    with pytest.raises(ImportRefused, match="too many members"):
        importing.read(("hidden.zip", whole[:start] + members + record))


def test_a_zip_file_that_cannot_be_read_is_refused(importing: Importing) -> None:
    """One that is damaged, one that is encrypted, one packed in an unknown way."""
    whole = zipped(("log", LOG.read_bytes()))
    directory = whole.rindex(b"PK\x01\x02")
    damaged = whole[:60] + bytes(200) + whole[260:]
    encrypted = whole[:6] + b"\x01" + whole[7 : directory + 8] + b"\x01" + whole[directory + 9 :]
    unknown = whole[: directory + 10] + b"\x61" + whole[directory + 11 :]
    for content in (damaged, encrypted, unknown):
        with pytest.raises(ImportRefused, match="incomplete or damaged"):
            importing.read(("log.zip", content))


def test_imports_that_nobody_confirms_do_not_pile_up(importing: Importing) -> None:
    """Each has its rows in the database for a day; those that are confirmed at once are not kept waiting."""
    line = ("access.log", LOG.read_bytes().splitlines(keepends=True)[0])
    waiting = [importing.read(line) for _ in range(MOST_CHECKED)]
    with pytest.raises(ImportRefused, match="too many imports wait"):
        importing.read(line)
    importing.read(line, confirmed=True)
    importing.imports.remove(importing.site, waiting[0].id)
    importing.read(line)


def test_an_import_is_read_in_time(importing: Importing) -> None:
    """An hour, then it is broken off."""
    clock = itertools.count(0, READING_SECONDS / 4)
    content = gzip.compress(LOG.read_bytes() * 400)
    slow = ImportedFile("access.log", io.BytesIO(content), ReadingLimits(clock=lambda: next(clock)))
    with pytest.raises(ImportRefused, match="longer than 60 minutes"):
        importing.imports.read(importing.site, [slow], by="test")
    assert importing.rows("SELECT count() FROM imports FINAL WHERE NOT deleted") == [(0,)]


def test_an_upload_that_stalls_ends(importing: Importing) -> None:
    """Its sender is there and sends nothing: no block comes in time."""
    now = [0.0]
    upload = Upload(lambda: now[0])

    async def stalled() -> None:
        await upload.put(_Begin("access.log"))
        await upload.put(LOG.read_bytes()[:200])
        reading = asyncio.to_thread(importing.imports.read, importing.site, upload.files(), by="test")
        now[0] = READING_SECONDS + 1
        await reading

    with pytest.raises(ImportRefused, match="longer than 60 minutes"):
        asyncio.run(stalled())


def test_a_long_import_keeps_no_other_site_waiting(importing: Importing) -> None:
    """While one is being read another site's is read and counts; of the same site one is enough."""
    asyncio.run(importing.sites.change(Site(domain="other.test")))
    other = importing.sites.get("other.test")
    assert other
    found: list[ImportRecord] = []

    def files() -> Iterator[ImportedFile]:
        yield opened(LOG)
        found.append(importing.imports.read(other, [opened(LOG)], by="another"))
        with pytest.raises(ImportRefused, match="another import is in progress"):
            importing.imports.read(importing.site, [opened(LOG)], by="another")

    record = importing.imports.read(importing.site, files(), by="test")
    assert record.report.accepted == found[0].report.accepted > 0
    assert importing.imports.read(importing.site, [opened(LOG)], by="test").report.accepted > 0


def test_nobody_takes_every_slot() -> None:
    """Two imports of one member, four in all; what ends makes room."""
    slots = ImportSlots()

    def refused(site: str, by: str) -> bool:
        try:
            with slots.taken(site, by):
                return False
        except ImportRefused:
            return True

    with slots.taken("1", "anna"), slots.taken("2", "anna"):
        assert refused("3", "anna")
        with slots.taken("3", "berit"), slots.taken("4", "berit"):
            assert refused("5", "cilla")
        assert not refused("5", "cilla")
    assert slots.idle
    assert (MOST_OF_ONE, MOST_AT_ONCE) == (2, 4)
