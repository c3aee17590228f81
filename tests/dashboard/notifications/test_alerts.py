"""Alerts: when each kind fires, what it says, and that every channel is told once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import anyio
import msgspec
import pytest
from clickhouse_connect.driver.client import Client

from collector.sites.goals import Goal
from collector.sites.model import Site
from collector.storage.client import ClickHouse
from dashboard.analytics.errors import QueryTooLarge
from dashboard.notifications.alert_rules import AlertRule
from dashboard.notifications.channels import Channel
from dashboard.notifications.occasion import Occasion
from dashboard.notifications.outbox import Delivery
from dashboard.notifications.trouble_watch import LASTING_SECONDS, QUIET_SECONDS, TroubleWatch
from dashboard.notifications.unusual import unusual
from tests.board import BASE, NOON, SITE, Board, opened_board, pageview
from tests.mail_server import MailServer
from tests.webhook_receiver import Receiver, webhook_receiver

DAY, HOUR = 86_400, 3_600


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with webhook_receiver() as running:
        yield running


@pytest.fixture
def board(
    clickhouse: ClickHouse, database: Client, tmp_path: Path, mail: MailServer, receiver: Receiver
) -> Iterator[Board]:
    """A site with a webhook and an address; the receiver is in a network that the operator allows."""
    settings = mail.settings() | {"TYST_PUBLIC_URL": BASE}
    with opened_board(clickhouse, database, tmp_path, **settings, TYST_WEBHOOK_NETWORKS="127.0.0.0/8") as opened:
        opened.add_site(goals=(Goal(kind="event", match="Signup", name="Signup"),))
        add_channel(opened, "standard", receiver.url)
        add_channel(opened, "mail", "anna@example.com", language="sv")
        yield opened


def add_channel(board: Board, shape: str, target: str, *, language: str = "en", site: str | None = None) -> Channel:
    id_ = board.site().id if site is None else site
    add = partial(board.dashboard.notifications.channels.add, language=language, by="admin")
    channel, _secret = anyio.run(add, id_, shape, target)
    return channel


def add_rule(board: Board, kind: str, threshold: int | None = None, goal: str = "") -> AlertRule:
    add = partial(board.dashboard.notifications.rules.add, threshold=threshold, goal=goal, by="admin")
    return anyio.run(add, board.site(), kind)


def tick(board: Board, seconds: float = 0) -> None:
    board.clock.now += seconds
    board.dashboard.stats.clear_cache()
    anyio.run(board.dashboard.notifications.scheduler.tick)


def said(receiver: Receiver) -> list[tuple[str, str]]:
    """Type and sentence of each call."""
    bodies = [json.loads(call.body) for call in receiver.calls]
    return [(body["type"], body["data"]["text"]) for body in bodies]


def visitors(board: Board, count: int, at: float, first: int = 1) -> None:
    board.seed([pageview(first + n, at=int(at)) for n in range(count)])


def test_a_spike_is_told_once_to_every_channel(board: Board, mail: MailServer, receiver: Receiver) -> None:
    """And again when half a day has gone by."""
    add_rule(board, "spike", 5)
    visitors(board, 4, NOON - 60)
    tick(board)
    assert receiver.calls == []
    visitors(board, 2, NOON - 30, first=50)
    for _ in range(3):
        tick(board, 61)
    assert said(receiver) == [("alert.spike", "6 visitors are on the site now; your threshold is 5.")]
    (message,) = mail.to("anna@example.com")
    part = message.get_body(("plain",))
    assert part is not None
    assert "6 besökare" in part.get_content()
    assert message["List-Unsubscribe"].startswith(f"<{BASE}/unsubscribe/")
    visitors(board, 6, board.clock.now + 12 * HOUR, first=90)
    tick(board, 12 * HOUR + 60)
    assert len(receiver.calls) == 2
    assert receiver.calls[0].headers["webhook-id"] != receiver.calls[1].headers["webhook-id"]


def test_a_webhook_is_tried_again_under_its_id(board: Board, receiver: Receiver) -> None:
    """Until it is taken; the page says what came of it."""
    add_rule(board, "spike", 3)
    visitors(board, 3, NOON - 60)
    receiver.status = 503
    tick(board)
    receiver.status = 200
    tick(board, 10)
    assert len(receiver.calls) == 1
    tick(board, 30)
    tick(board, 300)
    assert len(receiver.calls) == 2
    assert len({call.headers["webhook-id"] for call in receiver.calls}) == 1
    board.sign_in()
    page = board.get(f"/{SITE}/alerts").text
    assert "2\N{NO-BREAK SPACE}attempts" in page
    assert "Sent" in page


def test_a_quiet_site_and_a_drop_are_told(board: Board, receiver: Receiver) -> None:
    """Not before a new rule could know, and nothing of a site that never had a visitor."""
    add_rule(board, "silence", 3)
    add_rule(board, "drop", 5)
    tick(board, 13 * HOUR)
    assert [kind for kind, _ in said(receiver)] == ["alert.drop"]
    visitors(board, 1, board.clock.now)
    tick(board, 700)
    tick(board, 3 * HOUR)
    kinds = dict(said(receiver))
    assert kinds["alert.drop"] == "Fewer than 5 visitors in the last 12 hours."
    assert kinds["alert.silence"] == "No data has been received for 3 hours. Check that the tag is still on the page."


def test_one_visitor_to_a_strict_site_is_data(board: Board, receiver: Receiver) -> None:
    """Who is told as nobody has sent some all the same."""
    anyio.run(board.dashboard.sites.update, board.site(), partial(msgspec.structs.replace, strict=True))
    add_rule(board, "silence", 3)
    visitors(board, 1, board.clock.now + 2 * HOUR)
    tick(board, 3 * HOUR)
    assert said(receiver) == []
    tick(board, 3 * HOUR)
    assert [kind for kind, _ in said(receiver)] == ["alert.silence"]


def test_a_goal_is_told_once_a_day(board: Board, receiver: Receiver) -> None:
    """When it was reached so many times, and not where that would tell of too few visitors."""
    add_rule(board, "goal", 2, "Signup")
    board.seed([pageview(1 + n, at=NOON - 60, name="Signup") for n in range(2)])
    tick(board)
    assert receiver.calls == []
    board.seed([pageview(5, at=NOON, name="Signup")])
    tick(board, 120)
    tick(board, 120)
    assert said(receiver) == [("alert.goal", "It was reached 3 times today; your threshold is 2.")]
    board.seed([pageview(100 + n, at=NOON + DAY - 60, name="Signup") for n in range(3)])
    tick(board, DAY)
    assert len(receiver.calls) == 2


def test_an_unusual_hour_is_explained(board: Board, receiver: Receiver) -> None:
    """Beside the same hour of the weeks before, by the site's clock."""
    add_rule(board, "unusual")
    for week in range(1, 8):
        visitors(board, 20 + week, NOON - week * 7 * DAY - 1_800, first=1_000 * week)
    visitors(board, 3, NOON - 60 * DAY, first=90_000)
    visitors(board, 90, NOON - 1_800)
    tick(board, 300)
    sentence = "90 visitors from 11:00 to 12:00; the same hour in the last 8 weeks had 0 to 27."
    assert said(receiver) == [("alert.unusual_spike", sentence)]


def test_fewer_yeses_are_told(board: Board, receiver: Receiver) -> None:
    """Yesterday's share beside that of the four weeks before."""
    limited = partial(msgspec.structs.replace, consent="limited")
    anyio.run(board.dashboard.sites.update, board.site(), limited)
    add_rule(board, "consent", 20)
    for day, share in ((3, 8), (2, 8), (1, 3)):
        at = NOON - day * DAY
        visitors(board, share, at, first=100 * day)
        board.seed([pageview(0, at=at + n, consent="none") for n in range(10 - share)])
    tick(board)
    assert said(receiver) == [
        ("alert.consent", "30% of yesterday’s pageviews came with consent; over the four weeks before it was 80%.")
    ]


@pytest.mark.parametrize(
    ("now", "before", "found"),
    [
        (90, [20, 22, 25, 19, 21, 24, 23, 20], "spike"),
        (45, [20, 22, 25, 19, 21, 24, 23, 20], None),
        (9, [0, 0, 1, 0, 0, 0, 1, 0], None),
        (12, [0, 0, 1, 0, 0, 0, 1, 0], "spike"),
        (2, [20, 22, 25, 19, 21, 24, 23, 20], "drop"),
        (15, [20, 22, 25, 19, 21, 24, 23, 20], None),
        (0, [5, 6, 4, 5, 5, 6, 5, 5], None),
        (500, [10, 20, 30], None),
        (300, [100, 400, 90, 380, 110, 390, 120, 400], None),
    ],
)
def test_what_is_unusual(now: int, before: list[int], found: str | None) -> None:
    """Far outside of what was, and not what scatters, is little, or is hardly known."""
    assert unusual(now, before) == found


def test_a_removed_channel_hears_nothing(board: Board, mail: MailServer, receiver: Receiver) -> None:
    """Whoever unsubscribes by the mail's link, and what an owner removes."""
    add_rule(board, "spike", 3)
    visitors(board, 3, NOON - 60)
    tick(board)
    link = mail.messages[0]["List-Unsubscribe"].strip("<>").removeprefix(BASE)
    assert board.post(link, {}).status_code == 200
    (webhook,) = board.dashboard.notifications.channels.of(board.site().id)
    anyio.run(board.dashboard.notifications.channels.remove, webhook)
    visitors(board, 6, board.clock.now + 13 * HOUR - 60, first=90)
    tick(board, 13 * HOUR)
    assert (len(mail.messages), len(receiver.calls)) == (1, 1)


def test_rules_that_are_added_again_and_again_tell_nobody_without_end(board: Board) -> None:
    """A rule is quiet after it has fired; a new one would not be."""
    visitors(board, 6, NOON - 60)
    alerts = board.dashboard.notifications.alerts
    alerts.max_fired = 2
    for _ in range(4):
        rule = add_rule(board, "spike", 3)
        anyio.run(alerts.planned)
        anyio.run(board.dashboard.notifications.rules.remove, rule)
    assert len(board.dashboard.notifications.outbox.of(board.site().id, "alert")) == 2 * 2
    board.clock.now += DAY
    visitors(board, 6, NOON + DAY - 60, first=50)
    add_rule(board, "spike", 3)
    assert len(anyio.run(alerts.planned)) == 2


def test_a_clock_that_was_ahead_silences_no_rule(board: Board) -> None:
    """What it has told of then was of days that have not come."""
    alerts = board.dashboard.notifications.alerts
    add_rule(board, "spike", 3)
    board.clock.now += 400 * DAY
    visitors(board, 6, board.clock.now - 60)
    assert len(anyio.run(alerts.planned)) == 2
    board.clock.now -= 400 * DAY
    visitors(board, 6, board.clock.now - 60, first=50)
    assert len(anyio.run(alerts.planned)) == 2


def test_a_rule_that_cannot_be_evaluated_stops_no_other(board: Board, receiver: Receiver) -> None:
    """Nor a planner that fails what is to be sent."""
    visitors(board, 6, NOON - 60)
    alerts = board.dashboard.notifications.alerts
    heavy, _ = add_rule(board, "goal", 1, "Signup"), add_rule(board, "spike", 3)
    evaluate = alerts._conditions.occasion

    async def occasion(rule: AlertRule, site: Site, now: float) -> Occasion | None:
        if rule.id == heavy.id:
            raise QueryTooLarge("too large")
        return await evaluate(rule, site, now)

    alerts._conditions.occasion = occasion  # type: ignore[method-assign]
    scheduler = board.dashboard.notifications.scheduler

    async def failing() -> list[Delivery]:
        raise RuntimeError("planner")

    scheduler._planners = (failing, *scheduler._planners)
    tick(board)
    assert [kind for kind, _ in said(receiver)] == ["alert.spike"]


def test_operators_are_told_of_trouble(board: Board, mail: MailServer, receiver: Receiver) -> None:
    """What lasts, once in six hours, also to those beside one who cannot be reached."""
    problems: list[str] = []
    notifications = board.dashboard.notifications
    for shape, target in (("mail", "gone@example.com"), ("mail", "op@example.com"), ("standard", receiver.url)):
        add_channel(board, shape, target, site="")
    mail.refused["gone@example.com"] = "550 5.1.1 unknown"
    watch = TroubleWatch(lambda: tuple(problems), notifications.channels, notifications.alerts, board.clock)

    def check(seconds: float) -> int:
        board.clock.now += seconds
        anyio.run(watch.check)
        return len(receiver.calls)

    assert check(0) == 0
    problems.append("The spool is full.")
    assert check(60) == 0
    assert check(LASTING_SECONDS) == 1
    assert check(QUIET_SECONDS - 10) == 1
    assert check(20) == 2
    problems.clear()
    assert check(QUIET_SECONDS * 2) == 2
    assert said(receiver)[0] == ("trouble", "The spool is full.")
    assert [message["To"] for message in mail.messages] == ["op@example.com"] * 2


def test_the_page_adds_tests_and_removes(board: Board, receiver: Receiver) -> None:
    """A webhook's secret is shown once, its address never; the list of changes has neither."""
    board.sign_in()
    page = f"/{SITE}/alerts"
    added = board.post(
        page, {"act": "add_channel", "shape": "standard", "target": f"{receiver.url}/quiet", "language": "en"}
    )
    assert "whsec_" in added.text
    assert "/quiet" not in added.text
    assert "whsec_" not in board.get(page).text
    channels = board.dashboard.notifications.channels
    endpoints = {each.id: channels.endpoint(each) for each in channels.of(board.site().id) if each.sealed}
    id_ = next(id_ for id_, endpoint in endpoints.items() if endpoint and endpoint.url.endswith("/quiet"))
    assert board.post(page, {"act": "test_channel", "id": id_}).status_code == 303
    assert [call.path for call in receiver.calls] == ["/hook/quiet"]
    assert re.search(r"<strong>Test message</strong> <span class=\"badge\">Sent<", board.get(page).text)
    assert json.loads(receiver.calls[0].body)["type"] == "test"
    receiver.status = 500
    failed = board.post(page, {"act": "test_channel", "id": id_})
    assert (failed.status_code, "status 500" in failed.text) == (422, True)
    for form in ({"kind": "goal", "goal": "Nothing"}, {"kind": "spike", "threshold": "-1"}, {"kind": "moon"}):
        assert board.post(page, {"act": "add_rule", **form}).status_code == 422
    assert board.post(page, {"act": "add_rule", "kind": "goal", "goal": "Signup", "threshold": "3"}).status_code == 303
    assert "Signup: 3 times in a day" in board.get(page).text
    board.post(page, {"act": "remove_channel", "id": id_})
    rule = board.dashboard.notifications.rules.of(board.site())[0]
    changed = {"act": "change_rule", "id": rule.id, "goal": "Signup"}
    refused = board.post(page, {**changed, "threshold": "0"})
    assert (refused.status_code, f'id="threshold-{rule.id}-problem"' in refused.text) == (422, True)
    assert board.post(page, {**changed, "threshold": "4"}).status_code == 303
    assert "Signup: 4 times in a day" in board.get(page).text
    board.post(page, {"act": "remove_rule", "id": rule.id})
    assert "No alerts yet." in board.get(page).text
    changes = board.get(f"/{SITE}/changes").text
    assert "Alert channel added" in changes
    assert "Goal reached: Signup, 3" in changes
    assert "Goal reached: Signup, 4" in changes
    assert "127.0.0.1" not in changes
    assert board.get("/alerts").status_code == 200
    assert board.post("/alerts", {"act": "add_rule", "kind": "spike"}).status_code == 400
