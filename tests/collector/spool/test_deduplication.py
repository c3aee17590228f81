"""Keys of beacons: remembered for ten minutes at any rate, in bounded memory."""

from __future__ import annotations

import random
from time import process_time

import pytest

from collector.spool.deduplication import ONCE_SECONDS, DeduplicationWindow, idempotency_key, pack


def test_a_key_is_64_bits_and_never_zero() -> None:
    """Zero marks a free slot."""
    keys = {idempotency_key(str(number).encode()) for number in range(1_000)}
    assert len(keys) == 1_000
    assert min(keys) > 0
    assert max(keys) < 2**64


def test_a_key_is_there_for_ten_minutes_and_gone_after_fifteen() -> None:
    """At whatever moment of a table's life it was added."""
    for offset in (0, 1, 299, 300, 301):
        keys = DeduplicationWindow(now=0)
        keys.add([1], 0)
        keys.add([7], offset)
        for now in range(offset, offset + ONCE_SECONDS, 20):
            keys.add([], now)
            assert 7 in keys
        keys.add([2], offset + ONCE_SECONDS)
        keys.add([3], offset + ONCE_SECONDS * 1.5)
        keys.add([4], offset + ONCE_SECONDS * 1.5 + 1)
        assert 7 not in keys
        assert 4 in keys


def test_what_an_earlier_process_stored_is_known_for_ten_to_fifteen_minutes() -> None:
    """In whatever order it lay on disk."""
    keys = DeduplicationWindow([pack([9, 2**63]), pack([3])], now=1_000)
    assert all(key in keys for key in (3, 9, 2**63))
    assert 4 not in keys
    keys.add([], 1_000 + ONCE_SECONDS)
    assert 9 in keys
    keys.add([], 1_001 + ONCE_SECONDS / 2)
    keys.add([], 1_001 + ONCE_SECONDS * 1.5)
    assert 9 not in keys


def test_a_clock_that_steps_back_neither_forgets_nor_keeps_for_longer() -> None:
    """Ages go on from the moment of the step."""
    keys = DeduplicationWindow(now=10_000)
    keys.add([7], 10_000)
    keys.add([], 6_400)
    assert 7 in keys
    for later in range(0, 1_000, 50):
        keys.add([], 6_400 + later)
    assert 7 not in keys


@pytest.mark.parametrize("count", [10, 3_000, 200_000])
def test_every_key_is_found_and_no_other(count: int) -> None:
    """Through every growth of the tables, also when keys share their low bits."""
    random_ = random.Random(count)  # noqa: S311 # keys to look up, no secrets
    known = [random_.getrandbits(64) | 1 for _ in range(count)] + [(number << 40) | 5 for number in range(1, 50)]
    keys = DeduplicationWindow()
    keys.add(known, 1)
    assert len(keys) == len(known)
    assert all(key in keys for key in known)
    others = {random_.getrandbits(64) for _ in range(10_000)} - set(known)
    assert not any(key in keys for key in others)


def test_keys_that_were_sought_out_cost_no_more_than_others() -> None:
    """Their lowest bits are the same, as a sender's that looks for such random values: what is looked up is not walked
    past all of them. The time is that of the processor, beside keys of any kind."""
    random_ = random.Random(1)  # noqa: S311 # likewise

    def seconds(keys: list[int]) -> float:
        window = DeduplicationWindow()
        window.add(keys, 1)
        began = process_time()
        assert all(key in window and key ^ 1 << 63 not in window for key in keys[:1_000])
        return process_time() - began

    chosen, others = ([random_.getrandbits(64 - bits) << bits | 5 for _ in range(20_000)] for bits in (22, 3))
    assert seconds(chosen) < 10 * seconds(others)


def test_memory_follows_the_rate_and_falls_again() -> None:
    """Half a million keys take less than 13 MB; after a quiet quarter of an hour next to nothing."""
    keys = DeduplicationWindow()
    keys.add(range(1, 500_001), 0)
    assert keys.bytes < 13_000_000
    for now in range(0, 2_000, 100):
        keys.add([], now)
    assert keys.bytes < 200_000
