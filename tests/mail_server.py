"""A real SMTP server on loopback (aiosmtpd) that keeps what it takes, and can be told what to refuse."""

from __future__ import annotations

import contextlib
import email
import email.policy
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

USER, PASSWORD = "tyst", "a mail password"


@dataclass
class MailServer:
    """What came, in order, as messages and as bytes, with the recipients of the envelope. `refused` are answers to
    recipients, `answer` and `sender_answer` those to every message and sender instead of taking it."""

    port: int = 0
    messages: list[EmailMessage] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    answer: str = ""
    sender_answer: str = ""

    def settings(self, sender: str = "stats@tyst.test") -> dict[str, str]:
        """The settings by which Tyst sends its mails here."""
        return {
            "TYST_SMTP_HOST": "127.0.0.1",
            "TYST_SMTP_PORT": str(self.port),
            "TYST_SMTP_TLS": "none",
            "TYST_SMTP_FROM": sender,
        }

    def to(self, address: str) -> list[EmailMessage]:
        """The messages to that address."""
        return [message for message in self.messages if message["To"] == address]

    async def handle_MAIL(  # noqa: N802 # the interface's
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take the sender, unless told otherwise."""
        if self.sender_answer:
            return self.sender_answer
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802 # the interface's
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Take a recipient, unless told otherwise."""
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 # the interface's
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        """Keep the message."""
        if self.answer:
            return self.answer
        assert isinstance(envelope.content, bytes)
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.recipients.append(list(envelope.rcpt_tos))
        self.messages.append(message)
        self.raw.append(envelope.content)
        return "250 taken"


def free_port() -> int:
    """A port of loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _sign_in(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any) -> AuthResult:
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=good, handled=False)


class _TlsController(Controller):
    """Offers STARTTLS where it is given a context for that."""

    def __init__(self, handler: MailServer, starttls: ssl.SSLContext | None, **options: Any) -> None:
        self._starttls = starttls
        super().__init__(handler, **options)

    def factory(self) -> SMTP:
        """The server of one connection."""
        more: dict[str, Any] = {"tls_context": self._starttls, "require_starttls": True} if self._starttls else {}
        return SMTP(self.handler, **{**self.SMTP_kwargs, **more})


@contextlib.contextmanager
def mail_server(
    *,
    tls: ssl.SSLContext | None = None,
    starttls: ssl.SSLContext | None = None,
    sign_in: bool = False,
    handler: MailServer | None = None,
) -> Iterator[MailServer]:
    """A running server: plain, under TLS from the first byte, or with STARTTLS; with `sign_in` it wants a password."""
    server = handler or MailServer()
    server.port = free_port()
    authentication: dict[str, Any] = (
        {"auth_required": True, "auth_require_tls": bool(tls or starttls), "authenticator": _sign_in} if sign_in else {}
    )
    controller = _TlsController(
        server, starttls, hostname="127.0.0.1", port=server.port, ssl_context=tls, **authentication
    )
    controller.start()
    try:
        yield server
    finally:
        controller.stop()
