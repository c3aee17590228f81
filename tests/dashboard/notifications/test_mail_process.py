"""The mail process: it hands a mail over, says why not, and ends what a killed server has begun."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from collector.core.settings import read_settings
from dashboard.notifications import mail_process
from dashboard.notifications.handover_journal import HandoverJournal
from dashboard.notifications.message import Content, build_message
from dashboard.notifications.smtp import CONVERSATIONS, MailError, MailTransport, account_of
from tests.faults.server import until
from tests.mail_server import MailServer, mail_server

ANNA = "anna@example.com"
MESSAGE = build_message(
    Content("Hej på dig", "Veckans siffror\n", "<p>Veckans siffror</p>"),
    sender="Tyst <stats@example.com>", to=ANNA, domain="example.com", key="k", at=0, unsubscribe="https://x/",
)  # fmt: skip


def transport(server: MailServer) -> MailTransport:
    return MailTransport(account_of(read_settings(server.settings())))


def test_a_mail_that_was_taken_is_noted(tmp_path: Path) -> None:
    """It arrives as it was written, under its Message-ID."""
    journal = HandoverJournal(tmp_path)
    with mail_server() as server:
        anyio.run(mail_process.send, transport(server), MESSAGE, journal.handover("aa"))
    (message,) = server.messages
    assert (message["Subject"], message["To"], message["Message-ID"]) == (
        "Hej på dig", ANNA, MESSAGE["Message-ID"]
    )  # fmt: skip
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert journal.ids == ("aa",)
    assert not journal.conversations_go_on()


def test_a_long_address_to_unsubscribe_is_sent_as_it_is() -> None:
    """Mail programs read it in angle brackets (RFC 2369, 2), and not as an encoded word."""
    address = f"https://stats.example.com/unsubscribe/{'a' * 100}"
    message = build_message(
        Content("Hej på dig", "Veckans siffror\n", "<p>Veckans siffror</p>"),
        sender="Tyst <stats@example.com>", to=ANNA, domain="example.com", key="k", at=0, unsubscribe=address,
    )  # fmt: skip
    with mail_server() as server:
        anyio.run(mail_process.send, transport(server), message, None)
    assert f"\r\nList-Unsubscribe: <{address}>\r\n".encode() in server.raw[0]


@pytest.mark.parametrize(("answer", "permanent"), [("550 no", True), ("451 later", False)])
def test_a_mail_that_was_refused_is_not_noted(tmp_path: Path, answer: str, permanent: bool) -> None:
    """Why comes back from the process."""
    journal = HandoverJournal(tmp_path)
    with mail_server() as server:
        server.answer = answer
        with pytest.raises(MailError, match=rf"refused the mail \({answer}\)") as caught:
            anyio.run(mail_process.send, transport(server), MESSAGE, journal.handover("aa"))
    assert caught.value.permanent == permanent
    assert (journal.ids, server.messages) == ((), [])


@pytest.mark.anyio
async def test_a_stalled_mail_server_keeps_nobody_waiting_but_mails() -> None:
    """The threads that everything else is done in are free, however many mails wait for its greeting."""
    everybody = anyio.to_thread.current_default_thread_limiter()
    with socket.create_server(("127.0.0.1", 0)) as stalled:
        waiting = transport(MailServer(stalled.getsockname()[1]))

        async def refused() -> None:
            with pytest.raises(MailError):
                await mail_process.send(waiting, MESSAGE, None)

        async with anyio.create_task_group() as group:
            for _ in range(CONVERSATIONS + 1):
                group.start_soon(refused)
            await anyio.wait_all_tasks_blocked()
            assert (waiting.conversations.borrowed_tokens, everybody.borrowed_tokens) == (CONVERSATIONS, 0)
            stalled.close()


@pytest.mark.anyio
async def test_who_stops_does_not_wait_for_a_stalled_mail_server(tmp_path: Path) -> None:
    """The conversation goes on without it, and the next process can tell."""
    journal = HandoverJournal(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as stalled:
        async with anyio.create_task_group() as group:
            group.start_soon(
                mail_process.send, transport(MailServer(stalled.getsockname()[1])), MESSAGE, journal.handover("aa")
            )
            connection, _ = await anyio.to_thread.run_sync(stalled.accept)
            began = anyio.current_time()
            group.cancel_scope.cancel()
        assert anyio.current_time() - began < 1
        assert journal.conversations_go_on()
        connection.close()
    await anyio.to_thread.run_sync(until, "the end of the conversation", lambda: not journal.conversations_go_on())
    await anyio.to_thread.run_sync(until, "nothing left of its process", lambda: not zombies())


def zombies() -> list[str]:
    """The children of this process that have ended and that nobody has asked how."""
    found = []
    for place in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = place.read_text().rpartition(")")[2].split()[:2]
            found += [place.parent.name] if (state, int(parent)) == ("Z", os.getpid()) else []
    return found


@dataclass
class KillingServer(MailServer):
    """Kills who has the mail sent before it takes it, and takes it then."""

    victim: subprocess.Popen[bytes] | None = None
    taken: threading.Event = field(default_factory=threading.Event)

    async def handle_DATA(  # noqa: N802 # the interface's
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Keep the message of a process that has lost its parent."""
        assert self.victim is not None
        self.victim.kill()
        answer = await super().handle_DATA(server, session, envelope)
        self.taken.set()
        return answer


_BEGIN = """
import sys, anyio
from pathlib import Path
from collector.core.settings import read_settings
from dashboard.notifications import mail_process
from dashboard.notifications.handover_journal import HandoverJournal
from dashboard.notifications.smtp import MailTransport, account_of
from tests.dashboard.notifications.test_mail_process import MESSAGE
port, directory = sys.argv[1:]
names = {"TYST_SMTP_HOST": "127.0.0.1", "TYST_SMTP_PORT": port, "TYST_SMTP_TLS": "none", "TYST_SMTP_FROM": "a@b.test"}
transport = MailTransport(account_of(read_settings(names)))
anyio.run(mail_process.send, transport, MESSAGE, HandoverJournal(Path(directory)).handover("aa"))
"""


def test_a_mail_is_noted_when_the_server_was_killed_before_the_answer(tmp_path: Path) -> None:
    """The next process waits for it, and finds that it was taken."""
    journal = HandoverJournal(tmp_path)
    with mail_server(handler=KillingServer()) as server:
        assert isinstance(server, KillingServer)
        server.victim = subprocess.Popen([sys.executable, "-c", _BEGIN, str(server.port), str(tmp_path)])
        assert server.victim.wait(60) == -signal.SIGKILL
        assert server.taken.wait(60)
        until("the end of the conversation", lambda: not journal.conversations_go_on())
    assert journal.ids == ("aa",)
    assert len(server.messages) == 1
