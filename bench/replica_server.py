"""A ClickHouse server that can be a replica: the one of the tests, with what its library lacks.

    python -m bench.replica_server DIRECTORY HOST HTTP_PORT TCP_PORT

The library has replicated tables and speaks to ZooKeeper. But no part of it listens at the interserver port, where
replicas get data parts from each other, nor reads from the configuration where that is. So three of its functions are
made to answer what a server would have read, and parts are handed over from here, as ClickHouse does it
(`DataPartsExchange`, version 10): files with their sizes and CityHash128.
"""

from __future__ import annotations

import ctypes
import http.client
import importlib.util
import json
import mmap
import struct
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from tests import real_server
from tests.real_server import LIBRARY

# How the functions begin that tell the interserver address, the credentials for it and its scheme, in the one version
# of the library that this was written for (x86-64).
_ADDRESS: Final = bytes.fromhex("415653 4883ec48 4c8b36 490fbe8e67010000")
_CREDENTIALS: Final = bytes.fromhex("41574156 53 4c8b3f 498d9f88010000 4889df")
_SCHEME: Final = bytes.fromhex("488b06 80b88701000000 781a 480570010000")
_RETURN_GIVEN: Final = bytes.fromhex("4889f8 c3")
_STORES: Final = [bytes.fromhex(each) for each in ("488907", "48894708", "48894710")]
_LONGEST_SHORT: Final = 22

_PART: Final = """
SELECT parts.path, parts.part_type FROM system.parts AS parts
INNER JOIN system.replicas AS replicas ON parts.database = replicas.database AND parts.table = replicas.table
WHERE replicas.replica_path = {replica:String} AND parts.name = {part:String} FORMAT JSONCompact"""
_BLOCK: Final = 2048
_NO_SUCH_PART: Final = "232"


def answer_as_server(host: str, port: int) -> ctypes.Array[ctypes.c_char]:
    """Make the loaded library answer that this is its interserver address. Raises `RuntimeError` where it is of another
    version. What is returned has to live as long as the server."""
    nobody = ctypes.create_string_buffer(4096)
    _replace(_ADDRESS, _text(host) + b"\x66\xc7\x47\x18" + struct.pack("<H", port) + _RETURN_GIVEN)
    _replace(_SCHEME, _text("http") + _RETURN_GIVEN)
    _replace(_CREDENTIALS, b"\x48\xb8" + struct.pack("<Q", ctypes.addressof(nobody)) + b"\x31\xd2\xc3")
    return nobody


def _text(text: str) -> bytes:
    """Code that puts a short `std::string` where the caller wants it."""
    if len(text) > _LONGEST_SHORT:
        raise ValueError(f"longer than {_LONGEST_SHORT} bytes: {text}")
    value = text.encode().ljust(23, b"\0") + bytes([len(text)])
    return b"".join(b"\x48\xb8" + value[8 * n : 8 * n + 8] + store for n, store in enumerate(_STORES))


def _replace(beginning: bytes, code: bytes) -> None:
    address, page = _address_of(beginning), mmap.PAGESIZE
    libc, first = ctypes.CDLL(None, use_errno=True), address - address % page
    for protection in (mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC, mmap.PROT_READ | mmap.PROT_EXEC):
        if libc.mprotect(ctypes.c_void_p(first), ctypes.c_size_t(2 * page), protection):
            raise OSError(ctypes.get_errno(), "the library's code cannot be changed")
        if protection & mmap.PROT_WRITE:
            ctypes.memmove(address, code, len(code))


def _address_of(beginning: bytes) -> int:
    with LIBRARY.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        at = content.find(beginning)
        if at < 0 or content.find(beginning, at + 1) >= 0:
            raise RuntimeError(f"{LIBRARY.name} is of another version than this bench knows")
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, _, offset, *_ = line.split()
        begin, end = (int(each, 16) for each in span.split("-"))
        if line.endswith(LIBRARY.name) and 0 <= at - int(offset, 16) < end - begin:
            return begin + at - int(offset, 16)
    raise RuntimeError(f"{LIBRARY.name} is not loaded")


class _Hash128(ctypes.Structure):
    _fields_ = (("low", ctypes.c_uint64), ("high", ctypes.c_uint64))


def _city_hash() -> ctypes._CFuncPtr:
    """CityHash128 with a seed, of the version that ClickHouse uses: only the library of that package has it."""
    found = importlib.util.find_spec("clickhouse_cityhash.cityhash")
    if found is None or found.origin is None:
        raise RuntimeError("the bench needs clickhouse-cityhash: pip install clickhouse-cityhash")
    function = ctypes.CDLL(found.origin)["_Z19CityHash128WithSeedPKcmSt4pairImmE"]
    function.restype, function.argtypes = _Hash128, [ctypes.c_char_p, ctypes.c_size_t, _Hash128]
    return function


class Parts(BaseHTTPRequestHandler):
    """Hands over data parts of the server at `clickhouse`."""

    protocol_version = "HTTP/1.1"
    clickhouse = ("", 0)
    city_hash: ctypes._CFuncPtr

    def do_POST(self) -> None:
        """A part, or that there is none: the other replica then tries again."""
        asked = dict(parse_qsl(urlsplit(self.path).query))
        try:
            body = b"".join(self._part(asked["endpoint"].removeprefix("DataPartsExchange:"), asked["part"]))
        except (OSError, LookupError, ValueError, http.client.HTTPException):
            body = b"There is no such part."
            self.send_response(500)
            self.send_header("X-ClickHouse-Exception-Code", _NO_SUCH_PART)
        else:
            self.send_response(200)
            self.send_header("Set-Cookie", "server_protocol_version=10")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - the name of the library
        """Nothing is logged."""

    def _part(self, replica: str, part: str) -> Iterator[bytes]:
        connection = http.client.HTTPConnection(*self.clickhouse, timeout=30)
        connection.request("POST", f"/?{urlencode({'param_replica': replica, 'param_part': part})}", _PART)
        directory, kind = json.load(connection.getresponse())["data"][0]
        files = [
            file for file in sorted(Path(directory).iterdir()) if file.is_file() and file.name != "txn_version.txt"
        ]
        contents = {file.name: file.read_bytes() for file in files}
        yield struct.pack("<Q", sum(map(len, contents.values())))
        yield from map(_string, ("ttl format version: 1\n{}", kind))
        yield b"00000000-0000-0000-0000-000000000000" + struct.pack("<QQ", 0, len(contents))
        for name, content in contents.items():
            yield _string(name) + struct.pack("<Q", len(content)) + content + self._hash(content)

    def _hash(self, content: bytes) -> bytes:
        found = _Hash128(0, 0)
        for begin in range(0, len(content), _BLOCK):
            block = content[begin : begin + _BLOCK]
            found = type(self).city_hash(block, len(block), found)
        return struct.pack("<QQ", found.low, found.high)


def _string(text: str) -> bytes:
    length, prefix = len(text.encode()), b""
    while length >= 0x80:
        prefix, length = prefix + bytes([length & 0x7F | 0x80]), length >> 7
    return prefix + bytes([length]) + text.encode()


def main(directory: str, host: str, http_port: str, tcp_port: str) -> int:
    """Serve until the process is ended, or whoever started it is gone."""
    library = ctypes.CDLL(str(LIBRARY))
    given = {"clickhouse": (host, int(http_port)), "city_hash": staticmethod(_city_hash())}
    parts = ThreadingHTTPServer((host, 0), type("PartsHere", (Parts,), given))
    threading.Thread(target=parts.serve_forever, daemon=True).start()
    kept = answer_as_server(host, parts.server_port)
    try:
        return real_server.main(directory, host, http_port, tcp_port)
    finally:
        del kept, library


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
