"""Mail process: a conversation with the mail server in a process of its own, which ends when the answer is noted.

The answer to a mail is on its way to one process. Were that the server, a server that is killed there would send the
mail again. This one does nothing else, is signalled by nobody, and goes on when the server is gone.
"""

from __future__ import annotations

import email
import email.policy
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from typing import Final

import anyio.to_thread
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
    """Why the mail was not taken, on its standard output; where it was, there is nothing."""

    reason: str
    permanent: bool


async def send(transport: MailTransport, message: EmailMessage, handover: Handover | None) -> None:
    """Hand the message over, to its `To`, and have that noted. Raises `MailError`."""
    await anyio.to_thread.run_sync(_run, transport.account, message, handover, limiter=transport.conversations)


def _run(account: MailAccount, message: EmailMessage, handover: Handover | None) -> None:
    entry = str(handover.entry) if handover else ""
    order = MailOrder(account, message.as_bytes(policy=email.policy.SMTP), entry)
    with ExitStack() as stack:
        held = [stack.enter_context(handover.conversation())] if handover else []
        done = subprocess.run(  # noqa: S603 # this program itself
            # Without the working directory among the places that modules come from.
            [sys.executable, "-P", "-m", __name__],
            input=msgspec.msgpack.encode(order),
            stdout=subprocess.PIPE,
            # A traceback may have addresses.
            stderr=subprocess.DEVNULL,
            env={name: value for name, value in os.environ.items() if not name.startswith("TYST_")},
            pass_fds=held,
            # Signals to the server's group are not for it.
            start_new_session=True,
            check=False,
        )
    if done.stdout:
        refusal = msgspec.msgpack.decode(done.stdout, type=MailRefusal)
        raise MailError(refusal.reason, permanent=refusal.permanent)
    if done.returncode != 0:
        raise MailError(_ENDED)


def main() -> int:
    """Carry out the order; the exit status is 0 where the mail was taken."""
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    signal.alarm(int(LONGEST))
    order = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=MailOrder)
    message = email.message_from_bytes(order.message, EmailMessage, policy=email.policy.SMTP)
    noted = partial(Handover(Path(order.entry), Path()).note) if order.entry else lambda: None
    try:
        MailTransport(order.account).hand_over(message, noted)
    except MailError as error:
        sys.stdout.buffer.write(msgspec.msgpack.encode(MailRefusal(str(error), error.permanent)))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
