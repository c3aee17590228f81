"""Judgements of which rows the nodes of a cluster have: each returns what is wrong, or an empty text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from collector.storage.cluster import Node

Row = tuple[str, str]
"""By what a row belongs to a shard: its visitor, or of nobody's the page."""
Copies = Mapping[Node, Mapping[Row, int]]
"""How many of these rows each node has."""


def counted(rows: Iterable[Sequence[Any]]) -> dict[Row, int]:
    """Result rows of two columns by which rows are told apart, and of their number."""
    return {(str(first), str(second)): int(count) for first, second, count in rows}


def misplaced(copies: Copies, expected: Mapping[Row, int]) -> str:
    """Whether rows are on no shard or on two, or a shard has none."""
    shards = _by_shard(copies)
    missing = Counter(expected)
    for rows in shards.values():
        missing -= rows
    twice = sum(sum(row in rows for rows in shards.values()) > 1 for row in expected)
    empty = [str(shard) for shard, rows in shards.items() if not rows]
    faults = {
        f"{missing.total()} of {sum(expected.values())} rows are on no shard": missing,
        f"rows of {twice} visitors are on more than one shard": twice,
        f"no row came to shard {', '.join(empty)}": empty,
    }
    return "; ".join(fault for fault, there in faults.items() if there)


def few_copies(copies: Copies) -> str:
    """Whether the rows of a shard are whole on less than most of its replicas."""
    faults = []
    for shard, every in _by_shard(copies).items():
        replicas = [rows for node, rows in copies.items() if node.shard == shard]
        whole, needed = sum(rows == every for rows in replicas), len(replicas) // 2 + 1
        if whole < needed:
            faults.append(f"{whole} of {len(replicas)} replicas have all rows of shard {shard}, {needed} should")
    return "; ".join(faults)


def repeated(copies: Copies, expected: Mapping[Row, int]) -> str:
    """Whether a node has more of any row than were inserted."""
    more = {
        node.host: sum(max(0, count - expected[row]) for row, count in rows.items()) for node, rows in copies.items()
    }
    faulty = [f"{count} on {host}" for host, count in more.items() if count]
    return f"rows that were inserted once and stored again: {', '.join(faulty)}" if faulty else ""


def _by_shard(copies: Copies) -> dict[int, Counter[Row]]:
    """What the replicas of each shard have together."""
    shards: dict[int, Counter[Row]] = {}
    for node, rows in copies.items():
        shards[node.shard] = shards.get(node.shard, Counter()) | Counter(rows)
    return shards
