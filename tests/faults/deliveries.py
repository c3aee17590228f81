"""Kills around the moment at which a report is handed over, in many weeks one after the other.

Each round is a Monday morning. The server is started, and killed with -9 some milliseconds after a mail's
conversation has begun, or after the mail server has the mail, which that one knows; then it is started again and left
alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

from dashboard.notifications.handover_journal import HandoverJournal
from tests.faults.server import Serve, until
from tests.mail_server import MailServer, mail_server

SITE = "site.test"
PEOPLE = tuple(f"reader{number}@example.com" for number in range(3))
MONDAY = datetime.datetime(2027, 1, 4, 6, 0, 5, tzinfo=datetime.UTC)
ROUND_SECONDS = 2.0
SPREAD = 0.02
"""Seconds within which the kill falls: the rest of a conversation takes about as long, and so do, after it, the journal
and the record in ClickHouse."""


@dataclass
class KillingMailServer(MailServer):
    """Takes mails, and kills somebody around the moment of one of them."""

    victim: Serve | None = None
    chosen: int = 0
    """Which of the next mails."""
    late: bool = False
    """Whether the kill waits until the mail is here; otherwise only until its conversation begins."""
    delay: float = 0.0
    """Seconds from then to the kill."""
    killed: threading.Event = field(default_factory=threading.Event)

    async def handle_EHLO(  # noqa: N802 # the interface's
        self, _server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        """Greet; from here to the end of the conversation it takes some milliseconds."""
        session.host_name = hostname
        self.chosen -= 1
        if not self.late:
            self._aim()
        return responses

    async def handle_DATA(  # noqa: N802 # the interface's
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Keep the message; its sender hears of it after this."""
        answer = await super().handle_DATA(server, session, envelope)
        if self.late:
            self._aim()
        return answer

    def _aim(self) -> None:
        if self.victim is not None and self.chosen < 0:
            # No other thread: that would keep the answer waiting.
            asyncio.get_running_loop().call_later(self.delay, self._kill, self.victim)
            self.victim = None

    def _kill(self, victim: Serve) -> None:
        victim.kill()
        self.killed.set()


@dataclass
class DeliveryTally:
    """What came of it. A repeat is a mail that came again under its Message-ID, `doubled` one that came under
    another."""

    rounds: int = 0
    mails: int = 0
    lost: int = 0
    doubled: int = 0
    repeats: int = 0
    killed_before: int = 0
    """Kills before the mail server had the mail; the others came after."""


@dataclass
class Stage:
    """A server whose clock stands on a Monday, its mail server, and what came until now."""

    serve: Serve
    clock: Path
    mail: KillingMailServer
    chance: random.Random
    spread: float = SPREAD
    tally: DeliveryTally = field(default_factory=DeliveryTally)


@contextlib.contextmanager
def delivery_stage(directory: Path, seed: int, spread: float = SPREAD) -> Iterator[Stage]:
    """A server with a site whose weekly report three people get, before the first Monday."""
    clock = directory / "offset"
    clock.parent.mkdir(parents=True, exist_ok=True)
    handler = KillingMailServer()
    with mail_server(handler=handler) as mail:
        environ = mail.settings() | {"TYST_PUBLIC_URL": "http://127.0.0.1"}
        serve = Serve(directory, clock=clock, environ=environ)
        stage = Stage(serve, clock, handler, random.Random(seed), spread)  # noqa: S311 # kills need no secrecy
        set_clock(stage, -1)
        serve.start()
        try:
            until("a server", serve.answers)
            serve.tyst("site", "add", SITE)
            for person in PEOPLE:
                serve.tyst("report", "add", person, "--site", SITE)
            serve.kill()
            yield stage
        finally:
            serve.close()


def set_clock(stage: Stage, week: int) -> None:
    """Monday morning of that week, as of now."""
    monday = MONDAY + datetime.timedelta(weeks=week)
    # The first subscriptions are made on the evening before a Monday.
    wanted = monday - datetime.timedelta(hours=12) if week < 0 else monday
    stage.clock.write_text(f"{wanted.timestamp() - time.time():.3f}")


def play_week(stage: Stage, week: int) -> None:
    """One Monday: a kill, and a start after which everybody has their mail."""
    serve, mail, tally = stage.serve, stage.mail, stage.tally
    set_clock(stage, week)
    before = len(mail.messages)
    mail.killed.clear()
    mail.chosen = chosen = stage.chance.randrange(len(PEOPLE))
    mail.late = stage.chance.random() < 0.5
    mail.delay = stage.chance.uniform(0, stage.spread)
    mail.victim = serve
    serve.start()
    until("the kill", mail.killed.is_set)
    tally.rounds += 1
    tally.killed_before += len(mail.messages) - before <= chosen
    serve.start()
    until("every mail", lambda: {message["To"] for message in mail.messages[before:]} >= set(PEOPLE))
    until("a settled journal", lambda: not HandoverJournal(serve.data_dir).ids)
    serve.kill()


def repeats(stage: Stage) -> int:
    """Mails that came again until now."""
    messages = stage.mail.messages
    return len(messages) - len({message["Message-ID"] for message in messages})


def settle(stage: Stage) -> None:
    """A last start, after which nothing may come, and the count of all that came."""
    serve, tally, messages = stage.serve, stage.tally, stage.mail.messages
    serve.start()
    until("a server", serve.answers)
    # The scheduler's first round comes with the start.
    time.sleep(ROUND_SECONDS)
    serve.kill()
    reports = Counter((message["To"], message["Subject"]) for message in messages)
    ids = {message["Message-ID"] for message in messages}
    tally.mails = len(messages)
    tally.lost = tally.rounds * len(PEOPLE) - len(reports)
    tally.repeats = repeats(stage)
    tally.doubled = len(ids) - len(reports)
