"""Mail transport: one message to one recipient over SMTP, with errors that say what to do.

Blocking `smtplib`: a handful of mails a day needs no client of its own. Mails are sent in processes of their own, which
are few, and a conversation is cut off in the end: a mail server that stalls keeps nobody waiting but mails. No address
and no password is in an error or a log: what a server says is repeated without the words that hold an address.
"""

from __future__ import annotations

import re
import smtplib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from email.utils import parseaddr
from typing import IO, Any, Final

import anyio
import anyio.to_thread
import msgspec

from collector.core.mail_address import domain_of
from collector.core.setting_values import SMTP_SECURITY
from collector.core.settings import Settings
from dashboard.notifications.errors import DeliveryError

SECONDS: Final = 20.0
"""For each step of the conversation."""
LONGEST: Final = 300.0
"""For all of it: a server may send a byte now and then."""
MOST_SAID: Final = 65_536
"""Bytes that the server says in a conversation, before and after TLS begins."""
CHECK_SECONDS: Final = 5.0
"""The same for each step, and all, of one that somebody waits for: `tyst check` gives the server 20."""
CONVERSATIONS: Final = 4
"""At a time."""
_DONE: Final = 250
"""The reply to what was carried out (RFC 5321, 4.2.3)."""
_LONGEST_REPLY: Final = 200
_WITH_ADDRESS: Final = re.compile(r"\S*@\S*")


class MailError(DeliveryError):
    """A mail that the mail server did not take."""


class MailAccount(msgspec.Struct, frozen=True):
    """Where mails go and who sends them. `security` is `tls`, `starttls` or `none`."""

    host: str
    port: int
    security: str
    user: str
    password: str
    sender: str


def account_of(settings: Settings) -> MailAccount:
    """The account of the settings; its host is empty where none is set."""
    return MailAccount(
        host=settings.smtp_host,
        port=settings.smtp_port or SMTP_SECURITY[settings.smtp_tls],
        security=settings.smtp_tls,
        user=settings.smtp_user,
        password=settings.smtp_password or "",
        sender=settings.smtp_from,
    )


class _Replies:
    """What a server says, as far as it is read: a reply may have lines without end, which would all be kept."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._left = MOST_SAID

    def readline(self, size: int) -> bytes:
        line = self._file.readline(min(size, self._left))
        self._left -= len(line)
        return line

    def close(self) -> None:
        self._file.close()


class _BoundedSmtp(smtplib.SMTP):
    """An SMTP client whose connection ends after `longest` seconds, or where the server says too much."""

    def __init__(self, *args: Any, longest: float, **options: Any) -> None:
        self._timer = threading.Timer(longest, self._cut)
        self._timer.daemon = True
        self._timer.start()
        try:
            super().__init__(*args, **options)
        except BaseException:
            self._timer.cancel()
            raise

    def getreply(self) -> tuple[int, bytes]:
        if self.file is None and self.sock is not None:
            self.file = _Replies(self.sock.makefile("rb"))
        return super().getreply()

    def close(self) -> None:
        self._timer.cancel()
        super().close()

    def _cut(self) -> None:
        """The thread that reads is told that nothing more comes."""
        if self.sock is not None:
            with suppress(OSError):
                # Not by TLS, which that thread is in.
                socket.socket.shutdown(self.sock, socket.SHUT_RDWR)


class _BoundedSmtps(_BoundedSmtp, smtplib.SMTP_SSL):
    """The same under TLS from the first byte."""


class MailTransport:
    """Hands messages to the mail server of an account. `context` says whose certificates are believed."""

    longest = LONGEST

    def __init__(self, account: MailAccount, context: ssl.SSLContext | None = None) -> None:
        self.account = account
        self._context = context
        self.conversations = anyio.CapacityLimiter(CONVERSATIONS)
        """Those that mail processes of this one have."""
        self._checks = anyio.CapacityLimiter(1)

    @property
    def enabled(self) -> bool:
        """Whether there is a mail server."""
        return bool(self.account.host)

    @property
    def address(self) -> str:
        """Host and port of the mail server."""
        return f"{self.account.host}:{self.account.port}"

    @property
    def sender(self) -> str:
        """Who sends, as mails say it."""
        return self.account.sender

    @property
    def domain(self) -> str:
        """Domain of the sender, which names messages."""
        return domain_of(parseaddr(self.sender)[1])

    def hand_over(self, message: EmailMessage, taken: Callable[[], None] = lambda: None) -> None:
        """Hand the message over, to its `To`; `taken` is called at once when the server has said yes. Blocking. Raises
        `MailError`."""
        if not self.enabled:
            raise MailError("no mail server is set; set TYST_SMTP_HOST and TYST_SMTP_FROM, and start again")
        with self._explained(), self._connected(SECONDS, self.longest) as server:
            server.send_message(message)
            taken()

    async def check(self) -> None:
        """Connect, sign in and name the sender, and send nothing. Raises `MailError`."""
        await anyio.to_thread.run_sync(self._check, limiter=self._checks)

    def _check(self) -> None:
        with self._explained(), self._connected(CHECK_SECONDS, CHECK_SECONDS) as server:
            server.ehlo_or_helo_if_needed()
            sender = parseaddr(self.sender)[1]
            code, reply = server.mail(sender)
            if code != _DONE:
                raise smtplib.SMTPSenderRefused(code, reply, sender)

    @contextmanager
    def _connected(self, seconds: float, longest: float) -> Iterator[smtplib.SMTP]:
        """A conversation of whom the settings name, under TLS where they want it; `seconds` are for each step. Its end
        is no error: the message is handed over."""
        # The default context checks certificate and name.
        context = self._context or ssl.create_default_context()
        account = self.account
        where = (account.host, account.port, self.domain)
        server = (
            _BoundedSmtps(*where, timeout=seconds, longest=longest, context=context)
            if account.security == "tls"
            else _BoundedSmtp(*where, timeout=seconds, longest=longest)
        )
        try:
            if account.security == "starttls":
                server.starttls(context=context)
            if account.user:
                server.login(account.user, account.password)
            yield server
            # Its answer changes nothing.
            server.putcmd("quit")
        finally:
            server.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Errors of the conversation as `MailError`, each with what to do."""
        where = self.address
        try:
            yield
        except smtplib.SMTPAuthenticationError as error:
            reason = f"{where} does not accept the user name and password ({_reply(error)})"
            raise MailError(f"{reason}; check TYST_SMTP_USER and TYST_SMTP_PASSWORD") from None
        except smtplib.SMTPNotSupportedError:
            raise MailError(self._unsupported(where)) from None
        except smtplib.SMTPSenderRefused as error:
            reason = f"{where} does not accept the sender ({_reply(error)})"
            raise MailError(f"{reason}; check TYST_SMTP_FROM, and whether it wants TYST_SMTP_USER") from None
        except smtplib.SMTPRecipientsRefused as error:
            code, text = next(iter(error.recipients.values()))
            reason = f"{where} does not accept the recipient ({_words(code, text)})"
            raise MailError(f"{reason}; check the address", permanent=code >= 500) from None
        except smtplib.SMTPResponseException as error:
            refused = isinstance(error, smtplib.SMTPDataError) and error.smtp_code >= 500
            raise MailError(f"{where} refused the mail ({_reply(error)})", permanent=refused) from None
        except smtplib.SMTPException:
            reason = f"{where} ended the conversation"
            raise MailError(f"{reason}; check whether TYST_SMTP_TLS and TYST_SMTP_PORT fit together") from None
        except ssl.SSLCertVerificationError as error:
            reason = f"the certificate of {where} is not valid for {self.account.host} ({error.verify_message})"
            raise MailError(f"{reason}; check TYST_SMTP_HOST, or have the certificate renewed") from None
        except ssl.SSLError:
            reason = f"{where} does not speak TLS from the first byte"
            raise MailError(f"{reason}; for port 587 set TYST_SMTP_TLS=starttls") from None
        except (socket.gaierror, UnicodeError):
            raise MailError(f"there is no host {self.account.host}; check TYST_SMTP_HOST") from None
        except TimeoutError:
            reason = f"{where} does not answer"
            advice = "check TYST_SMTP_PORT and TYST_SMTP_TLS, and whether a firewall lets mail out"
            raise MailError(f"{reason}; {advice}") from None
        except OSError as error:
            reason = f"{where} cannot be reached ({error.strerror or type(error).__name__})"
            raise MailError(f"{reason}; check TYST_SMTP_HOST and TYST_SMTP_PORT") from None

    def _unsupported(self, where: str) -> str:
        if self.account.security == "starttls":
            return f"{where} does not offer STARTTLS; set TYST_SMTP_TLS=tls with its port for that, usually 465"
        return f"{where} does not offer signing in; unset TYST_SMTP_USER, or use the port that it signs users in at"


def _reply(error: smtplib.SMTPResponseException) -> str:
    return _words(error.smtp_code, error.smtp_error)


def _words(code: int, text: bytes | str) -> str:
    """What the server said, on one line, without addresses."""
    said = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return f"{code} {' '.join(_WITH_ADDRESS.sub('…', said).split())}"[:_LONGEST_REPLY]
