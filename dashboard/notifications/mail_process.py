"""Mail process: a conversation with the mail server in a process of its own, which ends when the answer is noted.

The answer to a mail is on its way to one process. Were that the server, a server that is killed there would send the
mail again. This one does nothing else, is signalled by nobody, and goes on when the server is gone.
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, suppress
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from dashboard.notifications.handover_journal import Handover
from dashboard.notifications.smtp import LONGEST, MailAccount, MailError, MailTransport

_ENDED: Final = "the conversation with the mail server did not come to an end"


class MailOrder(msgspec.Struct, frozen=True):
    """What the process is to do, on its standard input. `entry` is the file to make when the mail was taken."""

    account: MailAccount
    message: bytes
    entry: str


class MailRefusal(msgspec.Struct, frozen=True):
    """Why the mail was not taken, on its standard output; where it was, there is null."""

    reason: str
    permanent: bool


async def send(transport: MailTransport, message: EmailMessage, handover: Handover | None) -> None:
    """Hand the message over, to its `To`, and have that noted. Raises `MailError`."""
    entry = str(handover.entry) if handover else ""
    order = MailOrder(transport.account, message.as_bytes(), entry)
    async with transport.conversations:
        outcome = await _converse(msgspec.msgpack.encode(order), handover)
    if not outcome:
        raise MailError(_ENDED)
    refusal = msgspec.msgpack.decode(outcome, type=MailRefusal | None)
    if refusal is not None:
        raise MailError(refusal.reason, permanent=refusal.permanent)


async def _converse(order: bytes, handover: Handover | None) -> bytes:
    """What a new process says of that order. On the event loop: a server that stops would wait for a thread. Cancelled,
    it leaves the process to itself."""
    ours, its = socket.socketpair()
    with ours:
        with its:
            process = _start(its.fileno(), handover)
        try:
            outcome = await _exchange(ours, order)
        except asyncio.CancelledError:
            # Whoever stops does not wait for it; without a wait at all it would stay a zombie.
            threading.Thread(target=process.wait, name="tyst-mail", daemon=True).start()
            raise
    process.wait()
    return outcome


async def _exchange(ours: socket.socket, order: bytes) -> bytes:
    loop, outcome = asyncio.get_running_loop(), b""
    ours.setblocking(False)
    # Of a process that has died.
    with suppress(ConnectionError):
        await loop.sock_sendall(ours, order)
        ours.shutdown(socket.SHUT_WR)
        while part := await loop.sock_recv(ours, 4_096):
            outcome += part
    return outcome


def _start(standard: int, handover: Handover | None) -> subprocess.Popen[bytes]:
    """The process, with its standard input and output, and the lock of conversations."""
    with ExitStack() as stack:
        return subprocess.Popen(  # noqa: S603 # this program itself
            # Without the working directory among the places that modules come from.
            [sys.executable, "-P", "-m", __name__],
            stdin=standard,
            stdout=standard,
            # A traceback may have addresses.
            stderr=subprocess.DEVNULL,
            env={name: value for name, value in os.environ.items() if not name.startswith("TYST_")},
            pass_fds=[stack.enter_context(handover.conversation())] if handover else [],
            # Signals to the server's group are not for it.
            start_new_session=True,
        )


def main() -> None:
    """Carry out the order and say what came of it."""
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    signal.alarm(int(LONGEST))
    order = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=MailOrder)
    policy = email.policy.SMTP.clone(refold_source="none")
    message = email.message_from_bytes(order.message, EmailMessage, policy=policy)
    noted = partial(Handover(Path(order.entry), Path()).note) if order.entry else lambda: None
    refusal = None
    try:
        MailTransport(order.account).hand_over(message, noted)
    except MailError as error:
        refusal = MailRefusal(str(error), error.permanent)
    sys.stdout.buffer.write(msgspec.msgpack.encode(refusal))


if __name__ == "__main__":
    main()
