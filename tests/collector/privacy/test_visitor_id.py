"""Visitor ids and the salts that make them forgettable."""

from __future__ import annotations

import datetime
import logging
from pathlib import Path

import pytest

from collector.privacy.visitor_id import SALT_BYTES, FileSalts, visitor_id

DAY = datetime.date(2026, 3, 1)
SALT = bytes(range(32))


def days(first: int, last: int) -> list[datetime.date]:
    """Dates of March 2026."""
    return [datetime.date(2026, 3, number) for number in range(first, last + 1)]


def test_the_same_visitor_has_the_same_id() -> None:
    """Within a day and a site; and it fits UInt64."""
    first = visitor_id(SALT, "a.test", "192.0.2.1", "UA")
    assert first == visitor_id(SALT, "a.test", "192.0.2.1", "UA")
    assert 0 < first < 2**64


@pytest.mark.parametrize(
    "other",
    [
        (bytes(32), "a.test", "192.0.2.1", "UA"),
        (SALT, "b.test", "192.0.2.1", "UA"),
        (SALT, "a.test", "192.0.2.2", "UA"),
        (SALT, "a.test", "192.0.2.1", "UB"),
        (SALT, "a.test", "192.0.2.1U", "A"),
        (SALT, "a.test192.0.2.1", "", "UA"),
    ],
)
def test_another_salt_site_address_or_browser_is_another_visitor(other: tuple[bytes, str, str, str]) -> None:
    """And no part can be shifted into the next."""
    assert visitor_id(*other) != visitor_id(SALT, "a.test", "192.0.2.1", "UA")


def test_a_salt_survives_a_restart_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    """Visitors keep their id for the day."""
    salt = FileSalts(tmp_path / "salts").salt(DAY)
    assert len(salt) == SALT_BYTES
    assert FileSalts(tmp_path / "salts").salt(DAY) == salt
    assert (tmp_path / "salts").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "salts" / "2026-03-01").stat().st_mode & 0o777 == 0o600


def test_a_damaged_salt_is_replaced_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As a full disk or a power failure leaves it: visitors of that date are counted twice."""
    before = bytes(FileSalts(tmp_path).salt(DAY))
    (tmp_path / DAY.isoformat()).write_bytes(before[:7])
    after = bytes(FileSalts(tmp_path).salt(DAY))
    assert len(after) == len(before)
    assert after != before
    assert f"the salt of {DAY} is damaged" in caplog.text


def test_salts_are_random_per_date(tmp_path: Path) -> None:
    """Nothing derives one from another."""
    salts = FileSalts(tmp_path)
    assert len({bytes(salts.salt(day)) for day in days(1, 5)} | {bytes(FileSalts(tmp_path / "x").salt(DAY))}) == 6


def test_salts_are_made_ahead_and_destroyed_when_their_day_is_over(tmp_path: Path) -> None:
    """What is kept is exactly the dates asked for."""
    salts = FileSalts(tmp_path)
    assert salts.rotate(days(1, 1)[0], days(3, 3)[0]) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2026-03-01", "2026-03-02", "2026-03-03"]
    assert salts.rotate(days(2, 2)[0], days(3, 3)[0]) == days(1, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2026-03-02", "2026-03-03"]


def test_a_destroyed_salt_is_overwritten_before_it_is_unlinked(tmp_path: Path) -> None:
    """A second name of the file sees zeros afterwards."""
    salts = FileSalts(tmp_path / "salts")
    salts.salt(DAY)
    (tmp_path / "watch").hardlink_to(tmp_path / "salts" / "2026-03-01")
    salts.rotate(days(2, 2)[0], days(2, 2)[0])
    assert (tmp_path / "watch").read_bytes() == bytes(SALT_BYTES)


def test_salts_that_an_earlier_process_left_are_destroyed_too(tmp_path: Path) -> None:
    """A process that was off over midnight catches up at its start."""
    FileSalts(tmp_path).salt(DAY)
    assert FileSalts(tmp_path).rotate(days(5, 5)[0], days(5, 5)[0]) == [DAY]


def test_without_a_writable_disk_memory_alone_has_the_salt(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The collector goes on with what it has, and says so once. As soon as the disk takes it, it is there: a process
    that is started again can erase what came before."""
    place = tmp_path / "salts"
    place.write_text("a file where the directory should be")
    salts = FileSalts(place)
    with caplog.at_level(logging.WARNING):
        salt = bytes(salts.salt(DAY))
        for _ in range(2):
            salts.rotate(DAY, DAY)
    assert caplog.text.count("cannot be stored") == 1
    place.unlink()
    salts.rotate(DAY, DAY)
    assert salts.salt(DAY) == salt
    assert FileSalts(place).salt(DAY) == salt
