"""The mail transport: how it connects, and what it says where a server does not take a mail."""

from __future__ import annotations

import contextlib
import email
import socket
import ssl
import subprocess
import threading
import time
from email.message import EmailMessage
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from collector.core.errors import SettingError
from collector.core.mail_address import is_mail_address
from collector.core.settings import read_settings
from dashboard.notifications.message import POLICY, Content, build_message
from dashboard.notifications.smtp import MailError, MailTransport, account_of
from tests.mail_server import PASSWORD, USER, free_port, mail_server

ANNA = "anna@example.com"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost that nobody but itself vouches for, with its key in the same file."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(path), "-days", "30"]
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    made = subprocess.run(["openssl", "req", "-x509", *key, *name], check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + made.stdout)
    return path


def serving(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def transport(
    port: int, context: ssl.SSLContext | None = None, host: str = "localhost", settings: dict[str, str] | None = None
) -> MailTransport:
    """With TLS unless `settings` say otherwise."""
    given = {"TYST_SMTP_HOST": host, "TYST_SMTP_PORT": str(port), "TYST_SMTP_FROM": "Tyst <stats@example.com>"}
    return MailTransport(account_of(read_settings({**given, **(settings or {})})), context)


def a_message(to: str = ANNA) -> EmailMessage:
    content = Content("Hej på dig", "Veckans siffror\n", "<p>Veckans siffror</p>")
    return build_message(
        content, sender="Tyst <stats@example.com>", to=to, domain="example.com", key="k", at=0, unsubscribe="https://x/"
    )


def reason(wanted: MailTransport, to: str = ANNA) -> str:
    """Why the transport does not hand a message over."""
    with pytest.raises(MailError) as caught:
        wanted.hand_over(a_message(to))
    return str(caught.value)


PLAIN = {"TYST_SMTP_TLS": "none"}


def test_a_mail_arrives_as_it_was_written() -> None:
    """Both parts, and the header fields of mails that no person wrote."""
    with mail_server() as server:
        transport(server.port, settings=PLAIN).hand_over(a_message())
    (message,) = server.messages
    assert server.recipients == [[ANNA]]
    assert message["Subject"] == "Hej på dig"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["List-Unsubscribe"] == "<https://x/>"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    body = message.get_body(("plain",))
    assert body is not None
    assert body.get_content().splitlines() == ["Veckans siffror"]


@pytest.mark.parametrize(
    "address",
    [
        "=?utf-8?q?victim=40other=2Etest=2C_b?=@b.test", "=?utf-8?q?=3Cx=40other=2Etest=3E?=@b.test",
        "=?utf-8?q?a=0D=0ABcc=3A_x=40other=2Etest?=@b.test", "a=?us-ascii?b?QG90aGVyLnRlc3Q=?=@b.test",
        "a!b@c.test", "a%other.test@b.test", "a=b?c@d.test", "anna+tag@b.test",
    ],
)  # fmt: skip
def test_a_mail_goes_to_its_address_and_no_other(address: str) -> None:
    """Whatever mail programs read in an address: it is none, or the only one."""
    if not is_mail_address(address):
        return
    with mail_server() as server:
        message = email.message_from_bytes(a_message(address).as_bytes(), policy=POLICY)
        transport(server.port, settings=PLAIN).hand_over(message)
    assert server.recipients == [[address]]


def test_tls_is_the_default_and_the_certificate_is_checked(certificate: Path) -> None:
    """For the name that was set, by an authority that is believed."""
    believing = ssl.create_default_context(cafile=str(certificate))
    with mail_server(tls=serving(certificate)) as server:
        transport(server.port, believing).hand_over(a_message())
        assert len(server.messages) == 1
        assert "certificate" in reason(transport(server.port))
        assert "not valid for 127.0.0.1" in reason(transport(server.port, believing, "127.0.0.1"))
        assert len(server.messages) == 1


def test_starttls_comes_before_anything_is_said(certificate: Path) -> None:
    """And a password is given under it only."""
    believing = ssl.create_default_context(cafile=str(certificate))
    account = {"TYST_SMTP_USER": USER, "TYST_SMTP_PASSWORD": PASSWORD, "TYST_SMTP_TLS": "starttls"}
    with mail_server(starttls=serving(certificate), sign_in=True) as server:
        transport(server.port, believing, settings=account).hand_over(a_message())
        assert len(server.messages) == 1
        said = reason(transport(server.port, believing, settings={**account, "TYST_SMTP_PASSWORD": "wrong"}))
    assert "check TYST_SMTP_USER and TYST_SMTP_PASSWORD" in said
    assert "wrong" not in said


def test_a_check_signs_in_and_sends_nothing(certificate: Path) -> None:
    """It says what a mail would meet with: the certificate, the password, the sender."""
    believing = ssl.create_default_context(cafile=str(certificate))
    account = {"TYST_SMTP_USER": USER, "TYST_SMTP_PASSWORD": PASSWORD, "TYST_SMTP_TLS": "starttls"}

    def problem(wanted: MailTransport) -> str:
        with pytest.raises(MailError) as caught:
            anyio.run(wanted.check)
        return str(caught.value)

    with mail_server(starttls=serving(certificate), sign_in=True) as server:
        anyio.run(transport(server.port, believing, settings=account).check)
        wrong = transport(server.port, believing, settings={**account, "TYST_SMTP_PASSWORD": "wrong"})
        assert "check TYST_SMTP_USER and TYST_SMTP_PASSWORD" in problem(wrong)
        assert "certificate" in problem(transport(server.port, settings=account))
        server.sender_answer = "553 5.7.1 <stats@example.com>: not yours"
        assert "check TYST_SMTP_FROM" in problem(transport(server.port, believing, settings=account))
        assert server.messages == []
    assert "check TYST_SMTP_HOST and TYST_SMTP_PORT" in problem(transport(server.port, settings=PLAIN))


def test_errors_say_what_to_do() -> None:
    """Each names the setting to look at."""
    with mail_server() as server:
        assert "set TYST_SMTP_TLS=starttls" in reason(transport(server.port))
        assert "does not offer STARTTLS" in reason(transport(server.port, settings={"TYST_SMTP_TLS": "starttls"}))
        assert "does not offer signing in" in reason(
            transport(server.port, settings={**PLAIN, "TYST_SMTP_USER": "somebody"})
        )
        server.sender_answer = "553 5.7.1 <stats@example.com>: not yours"
        assert "check TYST_SMTP_FROM" in reason(transport(server.port, settings=PLAIN))
    assert "check TYST_SMTP_HOST and TYST_SMTP_PORT" in reason(transport(free_port(), settings=PLAIN))
    assert "there is no host nowhere.invalid" in reason(transport(25, host="nowhere.invalid", settings=PLAIN))
    assert "there is no host .." in reason(transport(25, host="..", settings=PLAIN))
    assert "set TYST_SMTP_HOST" in reason(MailTransport(account_of(read_settings({}))))


def test_a_server_that_never_ends_is_hung_up_on() -> None:
    """One that says a little all the time, so that no step of the conversation is too long."""
    with socket.create_server(("localhost", 0)) as listening:

        def talk() -> None:
            connection, _ = listening.accept()
            with connection, contextlib.suppress(OSError):
                while True:
                    connection.sendall(b"220-go on\r\n")
                    time.sleep(0.01)

        threading.Thread(target=talk, daemon=True).start()
        wanted = transport(listening.getsockname()[1], settings=PLAIN)
        wanted.longest = 0.2
        assert "ended the conversation" in reason(wanted)


def test_an_error_holds_no_address() -> None:
    """Whatever the server says of the recipient."""
    with mail_server() as server:
        server.refused[ANNA] = f"550 5.1.1 <{ANNA}>: no such user"
        said = reason(transport(server.port, settings=PLAIN))
    assert "550 5.1.1 … no such user" in said
    assert "anna" not in said


@pytest.mark.parametrize(("answer", "permanent"), [("550 no", True), ("451 later", False)])
def test_what_is_refused_for_good_is_told_apart(answer: str, permanent: bool) -> None:
    """A mail that a server will never take is not to be sent for days."""
    with mail_server() as server:
        for place in ("refused", "answer"):
            server.refused = {ANNA: answer} if place == "refused" else {}
            server.answer = answer if place == "answer" else ""
            with pytest.raises(MailError) as caught:
                transport(server.port, settings=PLAIN).hand_over(a_message())
            assert caught.value.permanent == permanent


def test_a_sender_is_needed() -> None:
    """At start, not with the first mail."""
    with pytest.raises(SettingError, match="TYST_SMTP_FROM"):
        read_settings({"TYST_SMTP_HOST": "mail.example.com"})
    with pytest.raises(SettingError, match="TYST_SMTP_FROM"):
        read_settings({"TYST_SMTP_FROM": "stats@example.com\nBcc: x@example.com"})
    with pytest.raises(SettingError, match="TYST_SMTP_TLS"):
        read_settings({"TYST_SMTP_TLS": "ssl"})


def test_a_reply_has_an_end() -> None:
    """A server that greets with line after line is left before all of it is in memory."""
    said: list[bytes] = []
    with socket.create_server(("localhost", 0)) as listening:

        def talk() -> None:
            connection, _ = listening.accept()
            with connection, contextlib.suppress(ConnectionError):
                connection.sendall(b"220-hello\r\n" * 50_000 + b"220 at last\r\n")
                said.append(connection.recv(100))

        talking = threading.Thread(target=talk)
        talking.start()
        assert "ended the conversation" in reason(transport(listening.getsockname()[1], settings=PLAIN))
        talking.join()
    assert said in ([], [b""])
