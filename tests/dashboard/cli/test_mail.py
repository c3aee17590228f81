"""`tyst mail`, `report`, `channel` and `alert` against a running server, a mail server and a webhook's receiver."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.mail_server import mail_server
from tests.running import Ran, tyst
from tests.served import served
from tests.webhook_receiver import webhook_receiver

ANNA = "anna@example.com"


def test_a_test_mail_arrives_and_what_is_wrong_is_said(tmp_path: Path) -> None:
    """Status 0 once the server has taken it, else 1 with what to do, of which `tyst check` speaks, too; the log has
    neither address nor password."""
    with mail_server() as mail:
        settings = mail.settings("Tyst <stats@example.com>") | {"TYST_LOG_LEVEL": "debug"}
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

            def checked() -> dict[str, Any]:
                ran = tyst("check", "--json", directory=tmp_path, TYST_DATA_DIR=str(server.data_dir))
                (found,) = [each for each in ran.json if each["name"] == "mail"]
                return {**found, "status": ran.status}

            came = len(mail.messages)
            assert checked()["state"] == "ok"
            mail.sender_answer = "530 5.7.0 sign in first"
            refused = checked()
            assert (refused["status"], refused["state"]) == (1, "failed")
            assert "TYST_SMTP_USER" in refused["advice"]
            assert len(mail.messages) == came


def test_reports_channels_and_alerts_are_managed(tmp_path: Path) -> None:
    """Added, listed, tried and removed; what is wrong ends with status 1."""
    with mail_server() as mail, webhook_receiver() as hook:
        settings = mail.settings("stats@example.com") | {
            "TYST_PUBLIC_URL": "http://127.0.0.1",
            "TYST_WEBHOOK_NETWORKS": "127.0.0.0/8",
        }
        with served(tmp_path, **settings) as server:
            server.add_site("site.test")

            def run(*words: str, site: bool = True) -> Ran:
                arguments = (*words, *(("--site", "site.test") if site else ()))
                return tyst(*arguments, directory=tmp_path, TYST_DATA_DIR=str(server.data_dir), NO_COLOR="1")

            added = run("report", "add", ANNA, "--frequency", "monthly", "--language", "sv", "--json").json
            assert ANNA in run("report", "list").out
            assert run("report", "send", added["id"]).status == 0
            assert "månadsrapport" in mail.to(ANNA)[0]["Subject"]
            assert run("report", "remove", added["id"]).status == 0
            assert run("report", "remove", added["id"]).status == 1
            assert "Nobody gets reports" in run("report", "list").out

            channel = run("channel", "add", hook.url, "--shape", "standard", "--json").json
            assert channel["secret"].startswith("whsec_")
            assert run("channel", "test", channel["id"]).status == 0
            assert len(hook.calls) == 1
            hook.status = 500
            refused = run("channel", "test", channel["id"])
            assert (refused.status, "status 500" in refused.err) == (1, True)
            assert "127.0.0.1" in run("channel", "list").out
            operator = run("channel", "add", ANNA, "--json", site=False).json
            assert run("channel", "test", operator["id"], site=False).status == 0
            assert run("channel", "test", operator["id"]).status == 1

            alert = run("alert", "add", "silence", "--threshold", "6", "--json").json
            assert (alert["kind"], alert["threshold"]) == ("silence", 6)
            assert "silence" in run("alert", "list").out
            assert run("alert", "add", "silence", "--threshold", "0").status == 1
            assert run("alert", "remove", alert["id"]).status == 0
            assert run("channel", "remove", channel["id"]).status == 0
            assert run("channel", "remove", operator["id"], site=False).status == 0
            assert ANNA not in server.log()
