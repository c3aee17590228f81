"""`tyst mail test` against a running server and a real mail server."""

from __future__ import annotations

from pathlib import Path

from tests.mail_server import mail_server
from tests.running import tyst
from tests.served import served

ANNA = "anna@example.com"


def test_a_test_mail_arrives_and_what_is_wrong_is_said(tmp_path: Path) -> None:
    """Status 0 once the server has taken it, else 1 with what to do; the log has neither address nor password."""
    with mail_server() as mail:
        settings = {
            "TYST_SMTP_HOST": "127.0.0.1", "TYST_SMTP_PORT": str(mail.port), "TYST_SMTP_TLS": "none",
            "TYST_SMTP_FROM": "Tyst <stats@example.com>", "TYST_LOG_LEVEL": "debug",
        }  # fmt: skip
        with served(tmp_path, **settings) as server:

            def send(address: str) -> tuple[int, str]:
                ran = tyst("mail", "test", address, directory=tmp_path, TYST_DATA_DIR=str(server.data_dir))
                return ran.status, ran.out + ran.err

            status, said = send(ANNA)
            assert (status, "has taken the mail" in said) == (0, True)
            assert [message["Subject"] for message in mail.to(ANNA)] == ["A test mail from Tyst"]
            status, said = send("anna")
            assert (status, "expected an e-mail address" in said) == (1, True)
            mail.refused[ANNA] = "550 5.1.1 no such user"
            status, said = send(ANNA)
            assert (status, "check the address" in said) == (1, True)
            assert ANNA not in server.log() + server.output()
