"""Who works on what in the data directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from collector.core.errors import DataDirectoryInUse
from collector.core.file_locks import claim_abandoned_slots, claim_worker_slot, lock_data_dir


def test_an_embedded_database_has_the_directory_for_itself(tmp_path: Path) -> None:
    """The second process is told who has it, and has it once the first is gone."""
    first = lock_data_dir(tmp_path)
    for shared in (False, True):
        with pytest.raises(DataDirectoryInUse, match=str(os.getpid())):
            lock_data_dir(tmp_path, shared=shared)
    os.close(first)
    os.close(lock_data_dir(tmp_path))


def test_workers_share_it(tmp_path: Path) -> None:
    """And keep an embedded database out."""
    held = [lock_data_dir(tmp_path, shared=True), lock_data_dir(tmp_path, shared=True)]
    with pytest.raises(DataDirectoryInUse):
        lock_data_dir(tmp_path)
    for lock in held:
        os.close(lock)


def test_each_worker_has_a_slot_and_a_dead_ones_is_taken_over(tmp_path: Path) -> None:
    """No two have one, and there is none too many."""
    slots = [claim_worker_slot(tmp_path, 3) for _ in range(3)]
    assert [slot.number for slot in slots] == [1, 2, 3]
    assert len({slot.directory for slot in slots}) == 3
    with pytest.raises(DataDirectoryInUse):
        claim_worker_slot(tmp_path, 3)
    slots[1].release()
    assert claim_worker_slot(tmp_path, 3).number == 2


def test_slots_of_more_workers_than_there_are_now_are_taken_over(tmp_path: Path) -> None:
    """By one, and only while nobody works on them."""
    before = [claim_worker_slot(tmp_path, 4) for _ in range(4)]
    for slot in before[:3]:
        slot.release()
    own = claim_worker_slot(tmp_path, 2)
    assert [slot.number for slot in claim_abandoned_slots(tmp_path, 2)] == [3]
    assert own.number == 1
    assert claim_abandoned_slots(tmp_path, 2) == []
