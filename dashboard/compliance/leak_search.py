"""Search for a known address or user agent in files and tables, in all encodings in which it could be stored."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

import msgspec
from clickhouse_connect.driver.client import Client

HASHES = ("md5", "sha1", "sha224", "sha256", "sha512", "sha3_256", "blake2b", "blake2s")
CHUNK = 16 << 20
"""Bytes of a file that are looked through at once."""

NOT_LOGGED = {"log_queries": 0}
"""A server's list of its queries is searched too: it must not have what is looked for from the search itself."""

NEEDLES = 200
"""How many ClickHouse looks for at once; it takes at most 255."""


class EncodedNeedle(msgspec.Struct, frozen=True):
    """A searched value in one encoding: its name, the encoding, and the bytes in lower case."""

    owner: str
    how: str
    needle: bytes


UNREADABLE = "unreadable"


class Place(msgspec.Struct, frozen=True):
    """A searched file or table: its name and size in bytes or rows, or why it could not be read."""

    name: str
    size: int
    unit: str


class SearchReport(msgspec.Struct, frozen=True):
    """What was searched, and what was found."""

    places: tuple[Place, ...]
    found: tuple[str, ...]


def forms_of_text(owner: str, text: str) -> Iterator[EncodedNeedle]:
    """Text as it is, in wide encodings, escaped, encoded and hashed."""
    for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
        yield EncodedNeedle(owner, encoding, text.lower().encode(encoding))
    yield EncodedNeedle(owner, "percent", quote(text, safe="").lower().encode())
    yield EncodedNeedle(owner, "hex", text.encode().hex().encode())
    for offset, skipped in ((0, 0), (1, 2), (2, 3)):
        whole = (offset + len(text.encode())) * 8 // 6
        encoded = base64.b64encode(bytes(offset) + text.encode())[skipped:whole]
        yield EncodedNeedle(owner, "base64", encoded.lower())
    yield from _hashes(owner, text.encode())


def forms_of_address(address: str) -> Iterator[EncodedNeedle]:
    """An address as text, in full, mapped, as a number, packed and hashed."""
    parsed = ipaddress.ip_address(address)
    texts = {address, parsed.exploded, *((f"::ffff:{address}",) if parsed.version == 4 else ())}
    for text in sorted(texts):
        yield from forms_of_text(address, text)
    # Between separators: ten digits in the middle of a longer number are chance.
    yield EncodedNeedle(address, "number", b"\0%d\0" % int(parsed))
    yield EncodedNeedle(address, "hex of the number", parsed.packed.hex().encode())
    if parsed.version == 6:
        yield EncodedNeedle(address, "packed", parsed.packed.lower())
        yield EncodedNeedle(address, "packed network", parsed.packed[:8].lower())
    yield from _hashes(address, parsed.packed)


def forms_joined(owner: str, *parts: str) -> Iterator[EncodedNeedle]:
    """Hashes over several texts together."""
    yield from _hashes(owner, "".join(parts).encode())


def _hashes(owner: str, raw: bytes) -> Iterator[EncodedNeedle]:
    for name in HASHES:
        digest = hashlib.new(name, raw, usedforsecurity=False).digest()[:8]
        yield EncodedNeedle(owner, name, digest.hex().encode())
        yield EncodedNeedle(owner, f"{name} packed", digest.lower())
        for order in ("big", "little"):
            number = int.from_bytes(digest, order)
            yield EncodedNeedle(owner, f"{name} as a number", b"\0%d\0" % number)


def search_files(directories: Iterable[Path], forms: Sequence[EncodedNeedle]) -> SearchReport:
    """Every file below the directories, or the files themselves. Those that go meanwhile are gone; those that cannot
    be read are named as such."""
    places, found = [], []
    for directory in directories:
        for path in files_below(directory, lambda refused: places.append(Place(_shown(refused), 0, UNREADABLE))):
            name = _shown(path)
            try:
                size, hits = _search_file(path, forms)
            except FileNotFoundError:
                continue
            except OSError:
                places.append(Place(name, 0, UNREADABLE))
                continue
            places.append(Place(name, size, "bytes"))
            found += [f"{form.owner} ({form.how}) in {name}" for form in hits]
    return SearchReport(tuple(places), tuple(sorted(found)))


def _shown(path: Path | str) -> str:
    """A path as text: file systems take names that are none."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def files_below(place: Path, refuse: Callable[[str], object]) -> Iterator[Path]:
    """The file itself, or every file below the directory, in order. A directory that goes meanwhile is gone, as one
    that the database merges away; one that cannot be listed is told to `refuse`, and so is a link to a file, which may
    be anywhere and without end."""

    def missed(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            refuse(str(error.filename))

    if place.is_file():
        yield place
        return
    for folder, inner, names in os.walk(place, onerror=missed):
        inner.sort()
        for path in (Path(folder, name) for name in sorted(names)):
            if path.is_symlink():
                if path.is_file():
                    refuse(str(path))
            elif path.is_file():
                yield path


def _search_file(path: Path, forms: Sequence[EncodedNeedle]) -> tuple[int, list[EncodedNeedle]]:
    overlap = max((len(form.needle) for form in forms), default=1)
    size, before, hits = 0, b"", dict[bytes, EncodedNeedle]()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            size += len(chunk)
            content = (before + chunk).lower()
            hits |= {form.needle: form for form in forms if form.needle in content}
            before = content[-overlap:]
    return size, list(hits.values())


_COLUMNS = """
SELECT database, table, groupArray(name) AS names FROM system.columns
INNER JOIN (SELECT database, name AS table FROM system.tables
    WHERE database NOT IN ('INFORMATION_SCHEMA', 'information_schema')
    AND (database != 'system' OR engine LIKE '%MergeTree')) AS tables USING (database, table)
GROUP BY database, table ORDER BY database, table"""


def search_tables(client: Client, forms: Sequence[EncodedNeedle]) -> SearchReport:
    """Every column of every table that the engine keeps, its own logs among them, as text."""
    places, found = [], []
    for database, table, names in client.query(_COLUMNS).result_rows:
        name, rows = f"{database}.{table}", 0
        # Names come from the engine itself; a backquote in one would end it.
        joined = ", '\\0', ".join(f"toString(`{column.replace('`', '')}`)" for column in names)
        sql = (
            f"SELECT count(), {{needles:Array(String)}} AS hexes, "  # noqa: S608 # names of the engine's own columns
            "sumForEach(arrayMap(needle -> toUInt64(position(row, unhex(needle)) > 0), hexes)) "
            f"FROM (SELECT lower(concat('\\0', {joined}, '\\0')) AS row FROM `{database}`.`{table}`)"
        )
        for at in range(0, len(forms), NEEDLES):
            part = forms[at : at + NEEDLES]
            needles = [form.needle.hex() for form in part]
            rows, _, hits = client.query(sql, parameters={"needles": needles}, settings=NOT_LOGGED).result_rows[0]
            found += [f"{form.owner} ({form.how}) in {name}" for form, hit in zip(part, hits, strict=False) if hit]
        places.append(Place(name, rows, "rows"))
    return SearchReport(tuple(places), tuple(sorted(set(found))))
