"""Receipts on the wire: a site that requires them takes no evidence of consent without one, and takes them back."""

from __future__ import annotations

import asyncio
import datetime
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from clickhouse_connect.driver.client import Client

from collector.erasure.consent_withdrawal import GroupedStore
from collector.erasure.retention import RetentionJob
from collector.privacy.consent_receipts import Receipts
from collector.privacy.receipt_revocations import Revocations
from collector.sites.model import Site
from collector.sites.registry import Sites
from collector.storage.backup import NEVER
from collector.storage.client import ClickHouse
from collector.storage.documents import DocumentTable
from tests.collector.erasure.test_subject_access import ME, PAGE, Visiting, visiting
from tests.collector.spool.test_spool import Clock

pytestmark = pytest.mark.anyio

DAY = datetime.date(2026, 3, 1)


@pytest.fixture
async def town(tmp_path: Path, clickhouse: ClickHouse) -> AsyncIterator[Visiting]:
    """A started collector; `site.test` and `limited.test` require receipts, `other.test` does not."""
    async with visiting(tmp_path, clickhouse) as started:
        for site in (
            Site(domain="site.test", receipts=True),
            Site(domain="limited.test", consent="limited", receipts=True),
        ):
            await started.collector.sites.change(site)
        yield started


async def send(town: Visiting, site: str = "site.test", cookie: str = "", **keys: Any) -> httpx.Response:
    """One beacon that claims consent, unless `keys` say otherwise."""
    beacon = {"n": "pageview", "u": f"https://{site}{PAGE}", "d": site, "c": "granted", **keys}
    async with town.client(**({"cookie": cookie} if cookie else {})) as client:
        answer = await client.post("/api/event", json=beacon)
    assert answer.status_code == 202
    return answer


async def take_back(town: Visiting, receipt: str) -> httpx.Response:
    """The browser withdraws, with its receipt."""
    async with town.client() as client:
        return await client.request("DELETE", "/api/event", json={"c": "withdrawn", "d": "site.test", "k": receipt})


def told(answer: httpx.Response) -> tuple[str | None, bool]:
    """The reason of a drop, and whether a receipt came."""
    return answer.headers.get("x-tyst-dropped"), "x-tyst-receipt" in answer.headers


async def test_evidence_counts_with_a_receipt_alone(town: Visiting) -> None:
    """Without one the beacon is dropped, at once to be sent again with what came; with it, it counts and it returns."""
    first = await send(town, q="once")
    assert told(first) == ("consent", True)
    assert first.headers["retry-after"] == "0"
    assert "X-Tyst-Receipt" in first.headers["access-control-expose-headers"]
    receipt = first.headers["x-tyst-receipt"]
    second = await send(town, q="once", k=receipt)
    assert told(second) == (None, True)
    assert second.headers["x-tyst-receipt"] == receipt
    assert "retry-after" not in second.headers
    assert await town.stored() == [PAGE]


@pytest.mark.parametrize(
    ("site", "keys", "cookie", "expected"),
    [
        ("site.test", {"c": ""}, "", ("consent", False)),
        ("site.test", {"c": "denied"}, "", ("consent", False)),
        ("site.test", {"c": ""}, "tyst_consent=granted", ("consent", True)),
        ("site.test", {}, "tyst_consent=denied", ("consent", False)),
        ("site.test", {}, "tyst_consent=excluded", ("consent", False)),
        ("site.test", {"k": "x"}, "", ("consent", True)),
        ("site.test", {"k": 7}, "", ("consent", True)),
        ("site.test", {"k": "x" * 4_001}, "", ("consent", True)),
        ("limited.test", {"c": ""}, "", (None, False)),
        ("limited.test", {}, "", ("consent", True)),
        ("other.test", {}, "", (None, False)),
        ("other.test", {"k": "x"}, "", (None, False)),
    ],
)
async def test_who_is_given_a_receipt(
    town: Visiting, site: str, keys: dict[str, Any], cookie: str, expected: tuple[str | None, bool]
) -> None:
    """Who claims consent where receipts are required and has none, and nobody else."""
    assert told(await send(town, site, cookie, **keys)) == expected


async def test_the_pixel_and_foreign_trackers_have_no_receipt(town: Visiting) -> None:
    """So their evidence counts for nothing there."""
    async with town.client(cookie="tyst_consent=granted") as client:
        answer = await client.get(f"/api/event.gif?d=site.test&u=https://site.test{PAGE}")
    assert answer.headers["x-tyst-dropped"] == "consent"
    plausible = {"n": "pageview", "u": f"https://site.test{PAGE}", "d": "site.test", "r": None}
    async with town.client() as client:
        answer = await client.post("/api/event", json=plausible)
    assert told(answer) == ("consent", False)
    assert await town.stored() == []


async def test_each_site_has_a_receipt_of_its_own(town: Visiting) -> None:
    """A beacon for two sites returns both, in one text; one site's receipt is nothing to another."""
    both = "site.test,limited.test"
    receipts = (await send(town, d=both)).headers["x-tyst-receipt"]
    assert len(receipts.split(",")) == 2
    assert told(await send(town, d=both, k=receipts)) == (None, True)
    of_one = receipts.partition(",")[0]
    assert told(await send(town, "limited.test", k=of_one)) == ("consent", True)


@pytest.mark.parametrize("how", ["the withdrawal", "a beacon"])
async def test_after_a_no_the_receipt_is_worthless(town: Visiting, how: str) -> None:
    """Also with the word granted; nothing of the visitor is kept of it, only a hash of a random number and a date."""
    receipt = (await send(town)).headers["x-tyst-receipt"]
    assert told(await send(town, k=receipt)) == (None, True)
    if how == "a beacon":
        assert told(await send(town, c="denied", k=receipt)) == ("consent", False)
    else:
        assert (await take_back(town, receipt)).headers.get("x-tyst-receipt") is None
    again = await send(town, k=receipt)
    assert told(again) == ("consent", True)
    assert again.headers["x-tyst-receipt"] != receipt
    ((mark, day),) = town.collector.client.query("SELECT id_hash, day FROM revoked_receipts").result_rows
    assert (len(mark), day) == (32, datetime.datetime.now(datetime.UTC).date())
    assert ME not in mark
    assert await town.stored() == []


async def test_a_no_that_cannot_be_kept_is_not_acknowledged(town: Visiting) -> None:
    """503, so that it is sent again; in this process the receipt is worthless already. When it is acknowledged, the
    next process knows of it too."""
    receipt = (await send(town)).headers["x-tyst-receipt"]
    town.collector.client.command("RENAME TABLE revoked_receipts TO away")
    denial = {"n": "pageview", "u": "https://site.test/", "d": "site.test", "c": "denied", "k": receipt}
    async with town.client() as client:
        for answer in (await client.post("/api/event", json=denial), await take_back(town, receipt)):
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert told(await send(town, k=receipt)) == ("consent", True)
        town.collector.client.command("RENAME TABLE away TO revoked_receipts")
        assert (await client.post("/api/event", json=denial)).status_code == 202
    assert (await take_back(town, receipt)).status_code == 202
    assert town.collector.client.query("SELECT count() FROM revoked_receipts").first_row == (1,)


async def test_a_receipt_ends_after_the_next_day(tmp_path: Path, clickhouse: ClickHouse) -> None:
    """A page that is open for longer is given another."""
    clock = Clock(datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC).timestamp())
    async with visiting(tmp_path, clickhouse, clock) as town:
        await town.collector.sites.change(Site(domain="site.test", receipts=True))
        receipt = (await send(town)).headers["x-tyst-receipt"]
        clock.now += 86_400
        assert told(await send(town, k=receipt)) == (None, True)
        clock.now += 86_400
        assert told(await send(town, k=receipt)) == ("consent", True)


async def test_what_is_revoked_is_so_in_every_process_and_after_a_restart(database: Client) -> None:
    """Another process learns it when it next looks; one that comes later, from its start."""
    first, second, later = (Receipts(("one secret",)) for _ in range(3))
    # The table forgets by the real clock.
    today = datetime.datetime.now(datetime.UTC).date()
    here, there = Revocations(database, first, time.time), Revocations(database, second, time.time)
    text = first.issue("site.test", "tcf", today)
    receipt = second.read(text, "site.test", today)
    assert receipt is not None
    there.refresh()
    here.note(receipt)
    here.store()
    assert first.is_revoked(receipt)
    assert not second.is_revoked(receipt)
    there.refresh()
    Revocations(database, later, time.time).refresh()
    for receipts in (first, second, later):
        assert receipts.is_revoked(receipt)


async def test_a_revocation_is_kept_once_whoever_comes_first(database: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The upkeep may come while the one who asked is still writing; and it waits until that is on disk."""
    receipts, began, insert = Receipts(("one secret",)), threading.Event(), database.insert
    today = datetime.datetime.now(datetime.UTC).date()
    receipt = receipts.read(receipts.issue("site.test", "tcf", today), "site.test", today)
    assert receipt is not None
    rows: list[Any] = []

    def slow(table: str, data: Any, **options: Any) -> None:
        began.set()
        time.sleep(0.2)
        rows.extend(data)
        insert(table, data, **options)

    monkeypatch.setattr(database, "insert", slow)
    revocations = Revocations(database, receipts, time.time)
    revocations.note(receipt)
    asked = threading.Thread(target=revocations.store)
    asked.start()
    assert began.wait(10)
    revocations.refresh()
    assert rows == [[receipt.id_hash, today]]
    asked.join()
    assert rows == [[receipt.id_hash, today]]


async def test_receipts_are_taken_back_a_few_a_second(town: Visiting) -> None:
    """However many come with one request: each is kept for two days. A browser has one of each site."""
    receipts = [(await send(town)).headers["x-tyst-receipt"] for _ in range(10)]
    answers = [await take_back(town, ",".join(some)) for some in (receipts[:5], receipts[5:])]
    assert [answer.status_code for answer in answers] == [202, 429]
    ((kept,),) = town.collector.client.query("SELECT count() FROM revoked_receipts").result_rows
    assert kept == 5


async def test_what_has_ended_anyway_is_forgotten(database: Client) -> None:
    """The list is as long as the receipts of two days; and no backup has it, which could bring one back."""
    receipts = Receipts(("one secret",))
    clock = Clock(datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC).timestamp())
    revocations = Revocations(database, receipts, clock)
    receipt = receipts.read(receipts.issue("site.test", "tcf", DAY), "site.test", DAY)
    assert receipt is not None
    revocations.note(receipt)
    revocations.store()
    after = Clock(clock.now + 30 * 86_400)
    RetentionJob(database, Sites(DocumentTable(database, "sites", Site)), after).keep()
    assert database.query("SELECT count() FROM revoked_receipts").first_row == (0,)
    assert "revoked_receipts" in NEVER


async def test_a_receipt_is_in_no_event(town: Visiting) -> None:
    """Neither it nor its number is stored with what it came with."""
    receipt = (await send(town)).headers["x-tyst-receipt"]
    await send(town, k=receipt)
    await town.stored()
    (row,) = town.collector.client.query("SELECT * FROM events").result_rows
    number = town.collector.receipts.read(receipt, "site.test", town.collector.revocations.today())
    assert number is not None
    text = msgspec.json.encode([str(value) for value in row]).decode()
    assert receipt not in text
    assert number.number not in text


async def test_a_beacon_for_several_sites_counts_once_at_each(town: Visiting) -> None:
    """One keeps it at once and another asks for its receipt: the repetition is a duplicate for the first alone."""
    both = "other.test,site.test"
    first = await send(town, d=both, q="once")
    assert told(first) == ("consent", True)
    again = await send(town, d=both, q="once", k=first.headers["x-tyst-receipt"])
    assert told(again) == (None, True)
    assert told(await send(town, d=both, q="once", k=first.headers["x-tyst-receipt"])) == (None, True)
    await town.stored()
    rows = town.collector.client.query("SELECT site FROM events ORDER BY site").result_rows
    assert [site for (site,) in rows] == ["other.test", "site.test"]


def test_many_receipts_that_are_taken_back_begin_a_new_series(database: Client) -> None:
    """Beyond the bound all receipts so far are worthless, here, in another process and after a restart; new ones are
    good and can be taken back; and of the earlier ones nothing is kept but that."""
    first, second, later = (Receipts(("one secret",)) for _ in range(3))
    today = datetime.datetime.now(datetime.UTC).date()
    here = Revocations(database, first, time.time, most=20)
    there = Revocations(database, second, time.time, most=20)
    untouched = first.issue("site.test", "tcf", today)
    for number in range(21):
        text = first.issue("site.test", "tcf", today)
        revoked = first.read(text, "site.test", today)
        assert revoked is not None
        (here if number % 2 else there).note(revoked)
    here.refresh()
    there.refresh()
    here.refresh()
    Revocations(database, later, time.time, most=20).refresh()
    assert [each.find(untouched, "site.test", today) for each in (first, second, later)] == ["", "", ""]
    assert database.query("SELECT id_hash FROM revoked_receipts").result_rows == [("1.",)]
    new, kept = second.issue("site.test", "tcf", today), first.issue("site.test", "tcf", today)
    receipt = first.read(new, "site.test", today)
    assert receipt is not None
    here.note(receipt)
    here.store()
    for revocations in (here, there):
        revocations.refresh()
    assert [each.find(f"{new},{kept}", "site.test", today) for each in (first, second)] == [kept, kept]
    assert database.query("SELECT count() FROM revoked_receipts").first_row == (2,)


class Outage:
    """A database that takes no rows until it is back."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.is_over = False

    def insert(self, *arguments: Any, **options: Any) -> None:
        if not self.is_over:
            raise OSError("it does not answer")
        self._client.insert(*arguments, **options)


def test_receipts_that_are_taken_back_in_an_outage_do_not_pile_up(database: Client) -> None:
    """They are void at once, beyond a number with all others of their series; and so they are in other processes when
    the database is back."""
    first, second, outage = Receipts(("one secret",)), Receipts(("one secret",)), Outage(database)
    here = Revocations(outage, first, time.time, most=20)  # type: ignore[arg-type] # as much of a client as it needs
    today = here.today()
    taken = [first.issue("site.test", "tcf", today) for _ in range(100)]
    for text in taken:
        receipt = first.read(text, "site.test", today)
        assert receipt is not None
        here.note(receipt)
        with pytest.raises(OSError, match="it does not answer"):
            here.store()
    outage.is_over = True
    here.store()
    Revocations(database, second, time.time, most=20).refresh()
    assert database.query("SELECT id_hash FROM revoked_receipts").result_rows == [("1.",)]
    new = first.issue("site.test", "tcf", today)
    for receipts in (first, second):
        assert [receipts.find(text, "site.test", today) for text in (*taken, new)] == [*[""] * 100, new]


async def test_what_is_taken_back_within_a_second_is_stored_together() -> None:
    """By one insert, which whoever comes meanwhile does not miss; what it raises all who wait for it are told."""
    waiting: set[int] = set()
    stored: list[set[int]] = []

    def store() -> None:
        stored.append(waiting.copy())
        if len(waiting) > 20:
            raise OSError

    async def revoke(number: int) -> None:
        waiting.add(number)
        await grouped.stored()
        assert any(number in group for group in stored)

    grouped = GroupedStore(store, seconds=0.05)
    await asyncio.gather(*map(revoke, range(10)))
    await asyncio.gather(*map(revoke, range(10, 20)))
    assert stored == [set(range(10)), set(range(20))]
    told = await asyncio.gather(*map(revoke, range(20, 30)), return_exceptions=True)
    assert [type(each) for each in told] == [OSError] * 10
