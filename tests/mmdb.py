"""Writes files in the MaxMind DB format 2.0, small ones, so that the real reader can read them in tests.

Three sections (the format's own specification): a binary tree over the address's bits with records of 24 bits, the
values, and the metadata. IPv4 networks stand in a tree of IPv6 below ::/96, as in the files that people use.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path

Value = str | int | Mapping[str, "Value"] | list["Value"]

_SEPARATOR = bytes(16)
_MARKER = b"\xab\xcd\xefMaxMind.com"
_TEXT, _UINT16, _UINT32, _MAP, _ARRAY = 2, 5, 6, 7, 11


def write_mmdb(path: Path, networks: Mapping[str, Value], *, version: int = 6) -> None:
    """Write a file with a value for each network. `version` 4 makes a tree of IPv4 only."""
    tree: list[list[int | None]] = [[None, None]]
    values = bytearray()
    offsets: dict[tuple[int, int], int] = {}
    for network, value in networks.items():
        node, bit = _walk(tree, _bits(network, version))
        offsets[node, bit] = len(values)
        values += _encode(value)
    nodes = len(tree)
    for (node, bit), offset in offsets.items():
        tree[node][bit] = nodes + len(_SEPARATOR) + offset
    records = b"".join((nodes if record is None else record).to_bytes(3, "big") for pair in tree for record in pair)
    path.write_bytes(records + _SEPARATOR + bytes(values) + _MARKER + _encode(_metadata(nodes, version)))


def _bits(network: str, version: int) -> str:
    parsed = ipaddress.ip_network(network)
    bits = format(int(parsed.network_address), f"0{parsed.max_prefixlen}b")[: parsed.prefixlen]
    return "0" * 96 + bits if parsed.version == 4 and version == 6 else bits


def _walk(tree: list[list[int | None]], bits: str) -> tuple[int, int]:
    """Make the nodes for all bits but the last; return where the last one's record is."""
    node = 0
    for bit in map(int, bits[:-1]):
        following = tree[node][bit]
        if following is None:
            following = tree[node][bit] = len(tree)
            tree.append([None, None])
        node = following
    return node, int(bits[-1])


def _metadata(nodes: int, version: int) -> Mapping[str, Value]:
    return {
        "binary_format_major_version": 2,
        "binary_format_minor_version": 0,
        "build_epoch": 1_700_000_000,
        "database_type": "Test-Country",
        "description": {"en": "written by a test"},
        "ip_version": version,
        "languages": ["en"],
        "node_count": nodes,
        "record_size": 24,
    }


def _encode(value: Value) -> bytes:
    if isinstance(value, str):
        text = value.encode()
        return _control(_TEXT, len(text)) + text
    if isinstance(value, int):
        number = value.to_bytes((value.bit_length() + 7) // 8, "big")
        return _control(_UINT32 if value >= 2**16 else _UINT16, len(number)) + number
    if isinstance(value, list):
        return _control(_ARRAY, len(value)) + b"".join(map(_encode, value))
    return _control(_MAP, len(value)) + b"".join(_encode(key) + _encode(item) for key, item in value.items())


def _control(kind: int, size: int) -> bytes:
    """The byte before a value: three bits of kind, five of size; kinds above seven need a second byte."""
    more = b""
    if size >= 29:
        size, more = 29, bytes([size - 29])
    if kind > 7:
        return bytes([size, kind - 7]) + more
    return bytes([kind << 5 | size]) + more
