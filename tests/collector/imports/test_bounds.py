"""Bounds of imports: archives that unpack without end, uploads that take for ever, and who has to wait for whom."""

from __future__ import annotations

import asyncio
import datetime
import gzip
import io
import itertools
import struct
import sys
import zipfile
from collections import deque
from collections.abc import Callable, Iterator

import pytest
from backports import zstd
from clickhouse_connect.driver.client import Client

from collector.core.errors import ImportRefused
from collector.imports.file import BROKEN, LONGEST_LINE, ImportedFile
from collector.imports.formats.goatcounter_json import MOST_BYTES, GoatCounterNames
from collector.imports.formats.json_stream import LONGEST, by_date, objects
from collector.imports.formats.umami import MOST_WEBSITES
from collector.imports.imports import MOST_CHECKED
from collector.imports.limits import (
    LOG_OF_WINDOW,
    MAX_LAYERS,
    MOST_MONTHS,
    MOST_PARTS,
    READING_SECONDS,
    ReadingLimits,
)
from collector.imports.record import ImportRecord
from collector.imports.scratch import EventOrigin, Scratch
from collector.imports.slots import MOST_AT_ONCE, MOST_OF_ONE, ImportSlots
from collector.imports.upload import Upload, _Begin
from collector.sites.model import Site
from collector.storage.client import ClickHouse
from tests.board import importing_into
from tests.collector.imports.imported import SAMPLES, Importing, opened
from tests.collector.storage.test_client import an_event
from tests.length import long

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


@long
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


def test_an_import_has_days_of_twenty_years_at_most(importing: Importing) -> None:
    """Each month is inserted by itself, and everybody's next deletion goes through it. What to do is said."""
    first = datetime.date(1995, 1, 1)
    days = [first + datetime.timedelta(days=31 * number) for number in range(MOST_MONTHS + 5)]
    table = HEADER + "".join(f"{day},1,1,1,1,1\n" for day in days).encode()
    with pytest.raises(ImportRefused, match="of more than 240 months; import them in parts"):
        importing.read(("imported_visitors_19950101_20150131.csv", table))
    assert importing.rows("SELECT count() FROM daily_rollup") == [(0,)]
    assert importing.imports.of(importing.site) == []


def test_imports_do_not_wait_for_each_other_s_statements(importing: Importing, clickhouse: ClickHouse) -> None:
    """A client has one at a time: each import is read by one of its own."""
    clients: list[Client] = []

    def connect() -> Client:
        clients.append(clickhouse.client())
        return clients[-1]

    imports = importing_into(importing.client, importing.sites, lambda: importing.now, importing.directory, connect)
    for _ in range(2):
        importing.now += 1
        assert imports.read(importing.site, [opened(LOG)], by="test").report.accepted > 0
    assert len(clients) == 2


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


def test_members_of_a_zip_file_take_little_memory(importing: Importing) -> None:
    """LZMA has a dictionary as large as the file says."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("access.log", LOG.read_bytes())
    with pytest.raises(ImportRefused, match="incomplete or damaged"):
        importing.read(("log.zip", file.getvalue()))


def test_what_zstandard_looks_back_at_is_bounded(importing: Importing) -> None:
    """As long as `zstd --long` has it, and shorter where it is packed again."""
    line = LOG.read_bytes().splitlines(keepends=True)[0]
    parameters = zstd.CompressionParameter
    options: dict[int, int] = {parameters.compression_level: 1, parameters.window_log: LOG_OF_WINDOW}
    # A stream says how long its window is, as it does not say how long it is itself.
    packer = zstd.ZstdCompressor(options=options)
    long = packer.compress(line) + packer.flush()
    for content in (long, gzip.compress(zstd.compress(line))):
        assert importing.read(("access.log", content)).report.read == 1
    with pytest.raises(ImportRefused, match="incomplete or damaged"):
        importing.read(("access.log", gzip.compress(long)))


def test_a_row_of_a_table_goes_on_for_a_mebibyte_at_most() -> None:
    """Line breaks within quotes are part of it, and it is in memory as a whole."""
    line = "a" * 94 + '\n","'
    content = 'a,b\n"' + line * (2 * LONGEST_LINE // len(line)) + '"\n'
    rows = [row for _, row in opened(("table", content.encode())).rows()]
    assert max(sum(map(len, row)) for row in rows) <= LONGEST_LINE
    assert rows[0] == ["a", "b"]
    assert BROKEN in rows


def test_an_element_of_json_has_two_mebibytes_at_most() -> None:
    """It is decoded in one piece, and takes ten times as much memory; of lists by date each element is one."""
    visit = '{"idVisit":1,"actionDetails":[%s{}]}'
    fits, exceeds = visit % ("{}," * (LONGEST // 4)), visit % ("{}," * (LONGEST // 2))
    assert len(list(objects(opened(("visits", f"[{fits},{fits},{{}}]".encode()))))) == 3
    by_dates = f'{{"2026-01-12": [{",".join([fits] * 4)}], "2026-01-13": {{"a": 1}}, "2026-01-14": [ ], "x": 3}}'
    assert [date for _, date, _ in by_date(opened(("visits", by_dates.encode())))] == ["2026-01-12"] * 4 + [
        "2026-01-13"
    ]
    for content in (f"[{exceeds}]", f'{{"2026-01-12": [{fits},{exceeds}]}}', f'{{"2026-01-12": [{fits},'):
        read = objects if content.startswith("[") else by_date
        with pytest.raises(ImportRefused, match="incomplete or damaged"):
            list(read(opened(("visits", content.encode()))))


def test_names_that_counts_refer_to_are_bounded() -> None:
    """They are in memory until all files were read: about a million of usual ones."""
    names, name = GoatCounterNames(), "/a/page/of/usual/length"
    many = itertools.repeat(name, MOST_BYTES // 200)
    with pytest.raises(ImportRefused, match="too many names"):
        deque(map(names.hold, many), 0)
    assert names.bytes // (200 + sys.getsizeof(name)) > 900_000


def test_websites_of_a_dump_are_bounded(importing: Importing) -> None:
    """As are files and tables; each is remembered until the import was read."""
    rows = "".join(f"{number}\ta.test\n" for number in range(MOST_WEBSITES + 1))
    dump = f"-- PostgreSQL database dump\nCOPY public.website (website_id, domain) FROM stdin;\n{rows}\\.\n"
    with pytest.raises(ImportRefused, match="at most 10000 websites"):
        importing.read(("umami.sql", dump.encode()))
    tables = "# 20260112-20260113\nDate,Total users\n20260112,1\n\n" * (MOST_PARTS + 1)
    with pytest.raises(ImportRefused, match="at most 10000 files and tables"):
        importing.read(("report.csv", tables.encode()))


def test_events_of_one_visitor_take_bounded_memory(importing: Importing) -> None:
    """They are sorted together: a day of millions is refused, before the database refuses what others ask of it."""
    scratch = Scratch(importing.client, "0a", most_bytes=1 << 20)
    scratch.create()
    try:
        for number in range(20_000):
            scratch.add_event(an_event(), EventOrigin(1, number, number))
        assert len(scratch.days()) == 1
        with pytest.raises(ImportRefused, match="millions of events"):
            scratch.build(importing.site.domain, 1, lambda _, __: None)
    finally:
        scratch.drop()


@long
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
