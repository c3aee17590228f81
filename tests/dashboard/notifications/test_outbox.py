"""The outbox: one process at a time has a delivery, and what is sent stays sent."""

from __future__ import annotations

import subprocess
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec
import pytest
from clickhouse_connect.driver.client import Client

from collector.storage.documents import DocumentTable
from collector.storage.membership import Membership
from dashboard.notifications.delivery_worker import DeliveryWorker, Send
from dashboard.notifications.handover_journal import Handover, HandoverJournal
from dashboard.notifications.outbox import BACKOFF, LONGEST_SECONDS, Delivery, Outbox, delivery_id
from tests.board import NOON, Clock
from tests.disk import small_disk

ID = delivery_id("report", "one")
MAIL = Delivery(id=ID, kind="report", lane="mail", site="s", created=NOON, until=NOON + 86_400)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def member(client: Client, directory: Path, *, shared: bool = True) -> Membership:
    directory.mkdir(exist_ok=True)
    joined = Membership(client, directory, name="", secrets=("s",), held=frozenset, shared=shared)
    joined.join()
    return joined


def outbox(client: Client, members: Membership, clock: Clock) -> Outbox:
    return Outbox(DocumentTable(client, "deliveries", Delivery), members, clock)


def test_what_is_planned_twice_is_there_once(database: Client, tmp_path: Path, clock: Clock) -> None:
    """Its id says what it is."""
    box = outbox(database, member(database, tmp_path), clock)
    assert [box.add(MAIL), box.add(MAIL)] == [True, False]
    box.claim(ID)
    box.finish(ID, "sent")
    assert box.add(MAIL) is False
    assert box.current()[ID].state == "sent"


def test_each_round_reads_what_is_not_over(database: Client, tmp_path: Path, clock: Clock) -> None:
    """Not what was sent or given up in 90 days, of which an owner may have made very much."""
    box = outbox(database, member(database, tmp_path), clock)
    box.add(MAIL)
    box.add_trial(MAIL.kind, MAIL.lane, MAIL.site, MAIL.target)
    clock.now += 1
    assert [*box.current()] == [ID]
    assert len(box.of(MAIL.site, MAIL.kind)) == 2
    clock.now = MAIL.until + 1
    assert [*box.current()] == [ID]
    box.finish(ID, "failed", "too late")
    assert box.current() == {}
    box.forget_site(MAIL.site)
    assert box.of(MAIL.site, MAIL.kind) == []


def test_of_two_collectors_one_gets_it(database: Client, tmp_path: Path, clock: Clock) -> None:
    """Until it lets go of it."""
    members = [member(database, tmp_path / name) for name in ("one", "two")]
    for each in members:
        each.beat()
    one, two = (outbox(database, each, clock) for each in members)
    one.add(MAIL)
    assert one.claim(ID) is not None
    assert two.claim(ID) is None
    one.postpone(ID, "later")
    assert two.claim(ID) is None
    clock.now += BACKOFF[0]
    taken = two.claim(ID)
    assert taken is not None
    assert taken.attempts == 2


def test_a_claim_ends_with_its_process(database: Client, tmp_path: Path, clock: Clock) -> None:
    """With an earlier start of the same collector at once; with another one when its heartbeat has stopped."""
    members = member(database, tmp_path / "one")
    outbox(database, members, clock).add(MAIL)
    assert outbox(database, members, clock).claim(ID) is not None
    again = outbox(database, members, clock)
    assert again.claim(ID) is not None
    assert again.claim(ID) is None
    other = member(database, tmp_path / "two")
    two = outbox(database, other, clock)
    assert two.claim(ID) is None
    # As if it had not been heard of for a minute.
    database.command("ALTER TABLE collectors DELETE WHERE collector = {id:String}", parameters={"id": members.id})
    other.beat()
    assert two.claim(ID) is None
    stale = DocumentTable(database, "deliveries", Delivery)
    stale.update(ID, lambda each: msgspec.structs.replace(each, claimed=each.claimed - 60))
    assert two.claim(ID) is not None


def test_what_could_not_be_recorded_is_tried_again(database: Client, tmp_path: Path, clock: Clock) -> None:
    """By the same process once it has let go, by another one when no conversation takes so long."""
    members = [member(database, tmp_path / name) for name in ("one", "two")]
    for each in members:
        each.beat()
    one, two = (outbox(database, each, clock) for each in members)
    one.add(MAIL)
    assert one.claim(ID) is not None
    assert one.claim(ID) is None
    one.let_go(ID)
    assert one.claim(ID) is not None
    records = DocumentTable(database, "deliveries", Delivery)
    records.update(ID, lambda each: msgspec.structs.replace(each, claimed=each.claimed - 60))
    assert two.claim(ID) is None
    records.update(ID, lambda each: msgspec.structs.replace(each, claimed=each.claimed - LONGEST_SECONDS))
    assert two.claim(ID) is not None


def test_slow_receivers_keep_no_other_site_waiting(database: Client, tmp_path: Path, clock: Clock) -> None:
    """However many one site has, and however long they have been waiting."""
    box = outbox(database, member(database, tmp_path, shared=False), clock)
    slow = [msgspec.structs.replace(MAIL, id=f"{n:x}", lane="webhook", site="slow", created=NOON - 9) for n in range(9)]
    quick = msgspec.structs.replace(MAIL, id="q", lane="webhook", site="quick")
    for each in (*slow, quick):
        box.add(each)

    class Receivers:
        async def prepare(self, delivery: Delivery) -> Send:
            async def send(handover: Handover | None) -> None:
                if delivery.site == "slow":
                    await anyio.sleep_forever()
                assert handover is not None
                handover.note()

            return send

    worker = DeliveryWorker(box, HandoverJournal(tmp_path), {"report": Receivers()}, clock)

    async def until_it_is_sent() -> None:
        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                group.start_soon(worker.run_due, box.current())
                while box.current()["q"].state != "sent":  # noqa: ASYNC110 # records tell nobody
                    await anyio.sleep(0.02)
                group.cancel_scope.cancel()

    anyio.run(until_it_is_sent)
    assert {each.state for each in box.current().values() if each.site == "slow"} <= {"pending", "claimed"}


def test_after_its_time_it_is_not_tried_again(database: Client, tmp_path: Path, clock: Clock) -> None:
    """It has failed, with the last reason."""
    box = outbox(database, member(database, tmp_path, shared=False), clock)
    box.add(MAIL)
    for number in range(20):
        if box.claim(ID) is None:
            break
        box.postpone(ID, f"reason {number}")
        clock.now += BACKOFF[-1]
    (found,) = box.of(MAIL.site, MAIL.kind)
    assert (found.state, found.attempts < 10, found.error.startswith("reason")) == ("failed", True, True)


def test_the_journal_outlives_the_process(tmp_path: Path) -> None:
    """What is recorded is in it no more; nobody else may read it."""
    journal = HandoverJournal(tmp_path)
    journal.handover("bb").note()
    journal.handover("aa").note()
    journal.handover("bb").note()
    journal.sync()
    again = HandoverJournal(tmp_path)
    assert again.ids == ("aa", "bb")
    for id_ in ("aa", "bb", "bb"):
        again.remove(id_)
    assert HandoverJournal(tmp_path).ids == ()
    assert (tmp_path / "handed-over.d").stat().st_mode & 0o077 == 0


def test_nothing_is_sent_where_that_cannot_be_noted(database: Client, tmp_path: Path, clock: Clock) -> None:
    """As on a disk that has become read-only while ClickHouse is on another: it would be sent time and again."""
    box = outbox(database, member(database, tmp_path, shared=False), clock)
    box.add(MAIL)
    sent = list[str]()

    class Receiver:
        async def prepare(self, delivery: Delivery) -> Send:
            async def send(handover: Handover | None) -> None:
                sent.append(delivery.id)
                assert handover is not None
                handover.note()

            return send

    def run() -> None:
        worker = DeliveryWorker(box, HandoverJournal(tmp_path), {"report": Receiver()}, clock)
        anyio.run(worker.run_due, box.current())

    with small_disk(tmp_path / "handed-over.d", 1 << 20):
        subprocess.run(["mount", "-o", "remount,ro", tmp_path / "handed-over.d"], check=True)
        run()
        assert (sent, box.current()[ID].state, box.current()[ID].attempts) == ([], "pending", 1)
        assert "data directory" in box.current()[ID].error
        subprocess.run(["mount", "-o", "remount,rw", tmp_path / "handed-over.d"], check=True)
        clock.now += BACKOFF[0]
        run()
        run()
        assert sent == [ID]


def test_a_conversation_of_an_earlier_process_is_waited_for(database: Client, tmp_path: Path, clock: Clock) -> None:
    """It may be that the mail is being taken: only then is it known whether to send it."""
    box = outbox(database, member(database, tmp_path, shared=False), clock)
    box.add(MAIL)
    sent = list[str]()

    class Receiver:
        async def prepare(self, delivery: Delivery) -> Send:
            async def send(_: Handover | None) -> None:
                sent.append(delivery.id)

            return send

    earlier = HandoverJournal(tmp_path).handover(ID)
    journal = HandoverJournal(tmp_path)
    worker = DeliveryWorker(box, journal, {"report": Receiver()}, clock)

    async def begin() -> None:
        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                with earlier.conversation():
                    group.start_soon(worker.run_due, box.current())
                    await anyio.sleep(0.3)
                    assert journal.conversations_go_on()
                    earlier.note()

    anyio.run(begin)
    assert not journal.conversations_go_on()
    assert (sent, journal.ids) == ([], (ID,))
    worker.settle()
    assert (box.current()[ID].state, journal.ids) == ("sent", ())
