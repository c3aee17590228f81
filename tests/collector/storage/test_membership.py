"""Which collectors share a database, which one leads, and what waits for all of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, cast

import pytest
from clickhouse_connect.driver.client import Client

from collector.core.errors import CannotJoin
from collector.storage.membership import ALIVE_SECONDS, ID_FILE, LEASE_SECONDS, NUMBERS, Membership
from tests.length import long
from tests.members import alone, member

Pair = tuple[Membership, Membership]


@pytest.fixture
def pair(database: Client, tmp_path: Path) -> Pair:
    """Two collectors that know of each other, in order of their ids."""
    for name, id_ in (("a", "11111111"), ("b", "22222222")):
        (tmp_path / name).mkdir()
        (tmp_path / name / ID_FILE).write_text(id_)
    first, second = (member(database, tmp_path / name, name=name) for name in ("a", "b"))
    first.beat()
    return first, second


def silent(database: Client, id_: str, seconds: float) -> None:
    """Nothing has been heard of a collector for so long."""
    parameters = {"id": id_, "ms": int(seconds * 1_000)}
    database.command("DELETE FROM collectors WHERE collector = {id:String}", parameters=parameters)
    database.command(
        "INSERT INTO collectors SELECT {id:String}, {id:String}, now64(3) - toIntervalMillisecond({ms:UInt64}),"
        " toDateTime64(0, 3, 'UTC'), 0, 0",
        parameters=parameters,
    )


def test_the_only_collector_leads_and_waits_for_nobody(database: Client) -> None:
    """Where the database is embedded there is no heartbeat."""
    own = alone(database)
    own.join()
    own.beat()
    assert own.leads
    assert own.stored_by_all(own.mark())
    assert database.query("SELECT count() FROM collectors").result_rows == [(0,)]


def test_one_of_several_leads(pair: Pair) -> None:
    """The one with the smallest id."""
    first, second = pair
    assert (first.leads, second.leads) == (True, False)


def test_another_leads_when_the_leader_is_silent(database: Client, pair: Pair) -> None:
    """After a while, and the operator is told who is missing."""
    first, second = pair
    silent(database, first.id, ALIVE_SECONDS + 1)
    second.beat()
    assert second.leads
    assert "tyst collector remove" in (second.problem or "")


def test_a_leader_without_a_heartbeat_stops_before_another_begins(database: Client, tmp_path: Path) -> None:
    """As while ClickHouse does not answer it."""
    now = [0.0]
    own = member(database, tmp_path / "own", monotonic=lambda: now[0])
    assert own.leads
    now[0] = LEASE_SECONDS + 1
    assert not own.leads
    assert LEASE_SECONDS < ALIVE_SECONDS


def test_what_another_has_not_stored_is_waited_for(database: Client, tmp_path: Path) -> None:
    """Until the segments that it held at that moment are in ClickHouse; later ones are not waited for."""
    held = {1}
    other = member(database, tmp_path / "other", held=lambda: frozenset(held))
    own = member(database, tmp_path / "own")
    mark = own.mark()

    def seen() -> bool:
        other.beat()
        own.beat()
        return own.stored_by_all(mark)

    assert not seen()
    held.add(2)
    assert not seen()
    held.discard(1)
    assert seen()
    assert not own.stored_by_all(own.mark())


def test_what_waits_for_a_slow_disk_is_waited_for(database: Client, tmp_path: Path) -> None:
    """It is in no segment yet, and may be of a visitor whose events are being erased."""
    waited = [60.0]
    other = member(database, tmp_path / "other", uncommitted=lambda: waited[0])
    own = member(database, tmp_path / "own")
    mark = own.mark()
    other.beat()
    own.beat()
    assert not own.stored_by_all(mark)
    waited[0] = 0.0
    other.beat()
    own.beat()
    assert own.stored_by_all(mark)


@long
def test_an_outage_takes_bounded_memory_and_keeps_the_moment(database: Client, tmp_path: Path) -> None:
    """However long a segment waits, what was stored before it stays known."""
    held: set[int] = set()
    other = member(database, tmp_path / "other", held=lambda: frozenset(held))
    own = member(database, tmp_path / "own")
    before = own.mark()
    other.beat()
    held.add(1)
    for _ in range(200):
        other.beat()
    own.beat()
    assert own.stored_by_all(before)
    assert not own.stored_by_all(own.mark())
    assert len(other._accepted) <= 65


def test_a_collector_that_stops_with_an_empty_spool_leaves(database: Client, tmp_path: Path) -> None:
    """With events in it, it stays and is waited for."""
    held = {1}
    own = member(database, tmp_path / "own")
    other = member(database, tmp_path / "other", held=lambda: frozenset(held))
    other.leave()
    own.beat()
    assert [each.id for each in own.others()] == [other.id]
    held.clear()
    other.leave()
    own.beat()
    assert own.others() == []


def test_a_removed_collector_is_not_waited_for_and_may_not_come_back_with_events(
    database: Client, tmp_path: Path
) -> None:
    """What its spool holds may have been erased meanwhile; with an empty spool it joins as a new one."""
    held = {1}
    own = member(database, tmp_path / "own")
    other = member(database, tmp_path / "other", name="gone", held=lambda: frozenset(held))
    assert own.remove("gone") is None
    silent(database, other.id, ALIVE_SECONDS + 1)
    removed = own.remove(other.id)
    assert removed is not None
    assert own.stored_by_all(own.mark())
    with pytest.raises(CannotJoin, match="spool"):
        member(database, tmp_path / "other", held=lambda: frozenset(held))
    again = member(database, tmp_path / "other")
    assert again.id != other.id


def test_a_removed_collector_that_goes_on_stays_removed(database: Client, tmp_path: Path) -> None:
    """As when its network was away and is there again: what it holds is not to be stored, and it says so. With an empty
    spool it goes on as a new one."""
    held = {1}
    own = member(database, tmp_path / "own")
    other = member(database, tmp_path / "other", name="gone", held=lambda: frozenset(held))
    third = member(database, tmp_path / "third")
    for each in (other, third):
        each.must_not_be_removed()
        silent(database, each.id, ALIVE_SECONDS + 1)
        assert own.remove(each.id) is not None
        with pytest.raises(CannotJoin, match="spool"):
            each.must_not_be_removed()
    for _ in range(2):
        other.beat()
    assert (other.is_removed, other.leads) == (True, False)
    assert "Delete" in (other.problem or "")
    own.beat()
    assert own.stored_by_all(own.mark())
    former = third.id
    third.beat()
    assert third.id != former
    third.must_not_be_removed()


def test_of_two_with_a_copied_data_directory_one_takes_a_new_id(database: Client, tmp_path: Path) -> None:
    """As when a machine is cloned to be the second collector: each waits for what the other has not stored."""
    held = {1}
    original = member(database, tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    copy = member(database, tmp_path / "b", held=lambda: frozenset(held))
    assert copy.id == original.id
    for _ in range(4):
        original.beat()
        copy.beat()
    assert copy.id != original.id
    assert [each.id for each in original.others()] == [copy.id]
    assert [each.id for each in copy.others()] == [original.id]
    assert not original.stored_by_all(original.mark())
    assert [original.leads, copy.leads].count(True) == 1
    again = [member(database, tmp_path / name).id for name in ("a", "b")]
    assert again == [original.id, copy.id]


class Unanswered:
    """A client whose inserts arrive and are not answered."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.cut = False

    def insert(self, *args: Any, **more: Any) -> None:
        self._client.insert(*args, **more)
        if self.cut:
            raise OSError("cut off")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def test_a_heartbeat_without_an_answer_or_of_the_process_before_is_no_copys(database: Client, tmp_path: Path) -> None:
    """A new id would leave the old one behind, and erasures would wait for it."""
    client = Unanswered(database)
    own = member(cast("Client", client), tmp_path / "own")
    before = own.id
    client.cut = True
    with pytest.raises(OSError, match="cut off"):
        own.beat()
    client.cut = False
    # The insert of a process that was killed, carried out late.
    own.beat()
    database.command(
        "INSERT INTO collectors (collector, name, stored, secret) SELECT collector, name, stored - 30, secret"
        " FROM collectors FINAL"
    )
    for _ in range(3):
        own.beat()
    assert (own.id, own.others()) == (before, [])


def test_a_heartbeat_that_a_replica_does_not_have_yet_is_no_copys(database: Client, tmp_path: Path) -> None:
    """The heartbeat before it is this collector's own, too."""
    own = member(database, tmp_path / "own")
    before = own.id
    rows = database.query("SELECT * FROM collectors FINAL").result_rows
    for _ in range(3):
        own.beat()
        database.command("TRUNCATE TABLE collectors")
        database.insert("collectors", rows)
    assert own.id == before


def test_collectors_with_different_secrets_do_not_mix(database: Client, tmp_path: Path) -> None:
    """Sign-ins and receipts of one would be refused by the other."""
    member(database, tmp_path / "own")
    with pytest.raises(CannotJoin, match="TYST_SECRET_KEY"):
        member(database, tmp_path / "other", secrets=("another",))


class AtOnce:
    """A client before whose first insert another collector, with another secret, joins."""

    def __init__(self, client: Client, directory: Path) -> None:
        self._client = client
        self._directory: Path | None = directory

    def insert(self, *args: Any, **more: Any) -> None:
        directory, self._directory = self._directory, None
        if directory is not None:
            member(self._client, directory, secrets=("another",))
        self._client.insert(*args, **more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def test_of_two_that_join_at_once_with_different_secrets_the_later_one_is_refused(
    database: Client, tmp_path: Path
) -> None:
    """Neither has seen the other before its own first heartbeat."""
    with pytest.raises(CannotJoin, match="TYST_SECRET_KEY"):
        member(cast("Client", AtOnce(database, tmp_path / "other")), tmp_path / "own")
    other = member(database, tmp_path / "other", secrets=("another",))
    assert other.others() == []


def test_collectors_have_different_numbers(database: Client, tmp_path: Path) -> None:
    """Versions of builds are told apart by them, and there are fewer than ids."""
    for name, id_ in (("own", 1), ("other", 1 + NUMBERS)):
        (tmp_path / name).mkdir()
        (tmp_path / name / ID_FILE).write_text(f"{id_:08x}")
    own, other = member(database, tmp_path / "own"), member(database, tmp_path / "other")
    own.beat()
    assert own.number != other.number
    assert [each.id for each in own.others()] == [other.id]


def test_the_secret_is_rotated_one_collector_after_the_other(database: Client, tmp_path: Path) -> None:
    """Each accepts the other's: first all learn the new secret, then all sign with it."""
    member(database, tmp_path / "own", secrets=("old",))
    member(database, tmp_path / "other", secrets=("new", "old"))
    member(database, tmp_path / "own", secrets=("old", "new"))
    with pytest.raises(CannotJoin, match="TYST_SECRET_KEY"):
        member(database, tmp_path / "third", secrets=("old",))


def test_an_id_outlives_the_process(database: Client, tmp_path: Path) -> None:
    """It is the data directory's."""
    assert member(database, tmp_path / "own").id == member(database, tmp_path / "own").id


@pytest.mark.parametrize("left", ["", "\0" * 9], ids=["empty", "zeros"])
def test_an_id_that_is_damaged_is_made_anew(database: Client, tmp_path: Path, left: str) -> None:
    """As a power failure or a full disk may leave it: its own days are closed, and others can join."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / ID_FILE).write_text(left)
    own, other = member(database, tmp_path / "own"), member(database, tmp_path / "other")
    assert own.number != other.number
    assert (tmp_path / "own" / ID_FILE).read_text().strip() == own.id
    assert [each.id for each in other.others()] == [own.id]
