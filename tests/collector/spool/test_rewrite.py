"""Erasures beside the spool: many of them, also while ClickHouse does not answer for hours."""

from __future__ import annotations

import datetime
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from collector.core.errors import SpoolUnavailable
from collector.erasure.visitor_erasure import Eraser
from collector.ingest.event import Event
from collector.spool.rewrite import Erasure, SpoolErasures
from collector.spool.serialization import encode, group, may_have_visitors
from collector.spool.spool import Spool
from tests.collector.spool.test_spool import Clock, a_spool
from tests.collector.storage.test_client import an_event
from tests.timing import processor_seconds

DAY = datetime.date(2026, 3, 1)


def erasures_of(visitors: range) -> list[Erasure]:
    return [Erasure("site.test", DAY, visitor, 2**31) for visitor in visitors]


def unreachable() -> Any:
    """What asks a database that does not answer."""
    raise OSError("it does not answer")


class Unreachable:
    """The members of such a database."""

    def mark(self) -> float:
        unreachable()
        return 0.0

    def others(self) -> list[Any]:
        return []


class Sought:
    """A spool that notes which erasures were looked for in it."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self.visitors: list[int] = []

    def erase(self, erasures: list[Erasure]) -> None:
        self.visitors += [each.visitor for each in erasures]
        self._spool.erase(erasures)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._spool, name)


@pytest.mark.parametrize("options", [{}, {"in_place": unreachable}], ids=["members", "tables"])
def test_each_promise_is_looked_for_in_the_spool_once(tmp_path: Path, options: dict[str, Any]) -> None:
    """However often it is tried to erase it from a database that does not answer, whatever that is asked first."""
    spool = Sought(a_spool(tmp_path, Clock()))
    eraser = Eraser(None, lambda: [spool], Unreachable(), lambda: 1, **options)  # type: ignore[arg-type, list-item]
    for visitors in (range(1, 4), range(4, 6)):
        eraser.enqueue(erasures_of(visitors))
        for _ in range(3):
            with pytest.raises(OSError, match="it does not answer"):
                eraser.run_once()
    assert spool.visitors == [1, 2, 3, 4, 5]
    spool.close()


def rows_of(visitors: range) -> list[Event]:
    return [an_event(visitor=visitor, props={"text": "some words " * 20}) for visitor in visitors]


def test_many_visitors_are_looked_for_as_fast_as_few() -> None:
    """Of thousands of promises none is looked for by itself."""
    held = group(map(encode, rows_of(range(1_000))))
    few, many = ({1_000_000 + number for number in range(count)} for count in (10, 10_000))
    assert not may_have_visitors(held, many)
    assert may_have_visitors(held, many | {999})

    def seconds(visitors: set[int]) -> float:
        return min(processor_seconds(lambda: may_have_visitors(held, visitors)) for _ in range(5))

    assert seconds(many) < 5 * seconds(few)


def test_a_damaged_group_is_looked_through_for_many_visitors_too() -> None:
    """Nobody can tell whose its rows are; it has what names them."""
    held = group(map(encode, rows_of(range(7_777, 7_779))))[:-9]
    assert may_have_visitors(held, set(range(7_778, 9_000)))
    assert not may_have_visitors(held, set(range(8_000, 9_000)))


def test_all_events_of_many_visitors_are_taken_out_of_a_group(tmp_path: Path) -> None:
    """In a time that does not grow with both."""
    erasures = erasures_of(range(1_000, 3_000))
    taken = {(each.site, each.day, each.visitor) for each in erasures}

    def seconds(count: int) -> float:
        directory = tmp_path / str(count)
        held = group(map(encode, rows_of(range(2_000))))
        with closing(a_spool(directory, Clock())) as first:
            first._file.commit("token", 2_000, held, [], [], 0.0)
        spool = a_spool(directory, Clock())
        found = processor_seconds(lambda: list(spool.erasures.rewrite(erasures[:count])))
        left = [event for event in spool.events() if (event.site, event.day, event.visitor) in taken]
        assert len(left) == 1_000 - min(count, 1_000)
        spool.close()
        return found

    assert seconds(2_000) < 10 * seconds(10)


def test_promises_are_bounded(tmp_path: Path) -> None:
    """Beyond a number they are refused, and a page sends them again later; what is done makes room."""
    path = a_spool(tmp_path, Clock()).path
    erasures = SpoolErasures(path, most=3)
    erasures.enqueue(erasures_of(range(1, 4)))
    with pytest.raises(SpoolUnavailable, match="3 erasures wait"):
        erasures.enqueue(erasures_of(range(4, 5)))
    erasures.mark_done(list(erasures.pending())[:1])
    erasures.enqueue(erasures_of(range(4, 5)))
    for each in (erasures, SpoolErasures(path)):
        assert [erasure.visitor for erasure in each.pending().values()] == [2, 3, 4]


def test_many_promises_are_done_at_once(tmp_path: Path) -> None:
    """Each for itself would be written to the disk by itself, and beacons would wait."""

    def seconds(count: int) -> float:
        erasures = SpoolErasures(a_spool(tmp_path / str(count), Clock()).path)
        erasures.enqueue(erasures_of(range(count)))
        return processor_seconds(lambda: erasures.mark_done(erasures.pending()))

    assert seconds(3_000) < 30 * seconds(30)
