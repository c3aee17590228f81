"""Webhooks: signatures, shapes, and where they may go."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from collector.core.errors import RecordError
from collector.storage.documents import DocumentTable
from dashboard.i18n.translations import shipped, using
from dashboard.notifications.channels import Channel, Channels, Endpoint, Shape
from dashboard.notifications.handover_journal import HandoverJournal
from dashboard.notifications.webhook import Notice, WebhookCall, build_call, signature
from dashboard.notifications.webhook_transport import WebhookError, WebhookTransport, reason_text
from tests.mail_server import free_port
from tests.webhook_receiver import Receiver, webhook_receiver

NOTICE = Notice("alert.spike", "Traffic spike on <b>", "5 visitors & @all", "https://stats.test/a", {"value": 5})
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with webhook_receiver() as running:
        yield running


def call(shape: Shape, url: str = "https://hook.test/x") -> WebhookCall:
    return build_call(Endpoint(url, SECRET), shape, "p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, NOTICE)


def test_the_signature_is_that_of_the_standard() -> None:
    """The example of the Standard Webhooks specification's reference libraries."""
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    signed = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_call_arrives_signed(receiver: Receiver, tmp_path: Path) -> None:
    """A receiver that knows the secret can tell that it is ours, which one it is, and when it was made."""
    journal = HandoverJournal(tmp_path)
    transport = WebhookTransport(LOOPBACK)
    anyio.run(transport.send, call("standard", receiver.url), journal.handover("aa"))
    (came,) = receiver.calls
    assert journal.ids == ("aa",)
    signed = f"{came.headers['webhook-id']}.{came.headers['webhook-timestamp']}.".encode() + came.body
    expected = base64.b64encode(hmac.digest(Endpoint("", SECRET).key, signed, hashlib.sha256)).decode()
    assert came.headers["webhook-signature"] == f"v1,{expected}"
    said = json.loads(came.body)
    assert (said["type"], said["timestamp"]) == ("alert.spike", "2021-02-25T15:02:10Z")
    assert said["data"] == {
        "value": 5, "title": NOTICE.title, "text": NOTICE.text, "url": NOTICE.href
    }  # fmt: skip


def test_each_shape_is_what_its_receiver_reads() -> None:
    """Nobody is mentioned, and markup is text."""
    bodies: dict[Shape, Any] = {
        shape: json.loads(call(shape).body) for shape in ("slack", "mattermost", "discord", "teams")
    }
    assert bodies["slack"]["text"].splitlines()[:2] == ["Traffic spike on &lt;b&gt;", "5 visitors &amp; @all"]
    assert "@all" not in bodies["mattermost"]["text"]
    assert bodies["discord"]["allowed_mentions"] == {"parse": []}
    assert bodies["discord"]["content"].splitlines()[1] == NOTICE.text
    (card,) = bodies["teams"]["attachments"]
    assert [block["text"] for block in card["content"]["body"]] == [NOTICE.title, NOTICE.text]
    plain = call("ntfy")
    assert plain.headers["content-type"].startswith("text/plain")
    assert plain.body.decode().splitlines() == [NOTICE.title, NOTICE.text, NOTICE.href]


@pytest.mark.parametrize(("status", "permanent"), [(500, False), (404, False), (429, False), (410, True)])
def test_what_is_not_taken_is_an_error(receiver: Receiver, status: int, permanent: bool) -> None:
    """And one that is gone is gone for good."""
    receiver.status = status
    with pytest.raises(WebhookError, match=f"status {status}") as caught:
        anyio.run(WebhookTransport(LOOPBACK).send, call("standard", receiver.url))
    assert caught.value.permanent == permanent


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    """It could lead into a network that the address itself does not."""
    receiver.status, receiver.location = 307, receiver.url
    with pytest.raises(WebhookError, match="redirects"):
        anyio.run(WebhookTransport(LOOPBACK).send, call("standard", receiver.url))
    assert len(receiver.calls) == 1


def test_private_networks_are_out_of_reach(receiver: Receiver) -> None:
    """By address and by name, unless an operator allows them."""

    async def inside(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    for transport, url in (
        (WebhookTransport(), receiver.url),
        (WebhookTransport(resolver=inside), f"http://public.example:{receiver.port}/"),
        (WebhookTransport(), "http://169.254.169.254/latest/meta-data/"),
    ):
        with pytest.raises(WebhookError, match="private network") as caught:
            anyio.run(transport.send, call("standard", url))
        assert caught.value.permanent
    assert receiver.calls == []


def test_nobody_there_is_tried_again() -> None:
    """A receiver that is down may come back."""
    with pytest.raises(WebhookError, match="cannot be connected") as caught:
        anyio.run(WebhookTransport(LOOPBACK).send, call("standard", f"http://127.0.0.1:{free_port()}/"))
    assert not caught.value.permanent


def test_reasons_are_told_in_the_readers_language(receiver: Receiver) -> None:
    """With the status that came; one that is not a webhook's is left as it is."""
    receiver.status = 503
    with pytest.raises(WebhookError) as caught:
        anyio.run(WebhookTransport(LOOPBACK).send, call("standard", receiver.url))
    with using("sv", shipped()):
        assert reason_text(str(caught.value)) == "den svarar med status 503"
        assert reason_text("there is no such host") == "värden finns inte"
        assert reason_text("TYST_SMTP_HOST is not set") == "TYST_SMTP_HOST is not set"
        assert reason_text("") == ""


def test_addresses_are_kept_encrypted(database: Any) -> None:
    """With the old secret they can be read, without it not, unless encrypted anew before; plain http is for private
    networks."""
    records = DocumentTable(database, "channels", Channel)
    channels = Channels(records, ("old",), lambda: 0.0)

    async def add(shape: str, target: str) -> tuple[Channel, str]:
        return await channels.add("s", shape, target, language="en", by="admin")

    made, secret = anyio.run(add, "standard", "https://hooks.example.com/services/T0/B0/password")
    assert made.name == "hooks.example.com"
    stored = database.query("SELECT record FROM channels").result_rows[0][0]
    assert "password" not in stored
    assert secret not in stored
    rotated = Channels(records, ("old", "new"), lambda: 0.0)
    rotated.refresh()
    assert rotated.endpoint(made) == Endpoint("https://hooks.example.com/services/T0/B0/password", secret)
    assert Channels(records, ("new",), lambda: 0.0).endpoint(made) is None
    assert anyio.run(rotated.reencrypt) == 1
    assert anyio.run(rotated.reencrypt) == 0
    alone = Channels(records, ("new",), lambda: 0.0)
    alone.refresh()
    (kept,) = alone.of("s")
    assert alone.endpoint(kept) == Endpoint("https://hooks.example.com/services/T0/B0/password", secret)
    for shape, target in (
        ("standard", "http://hooks.example.com/"), ("slack", "ftp://x/"), ("teams", "https://a:b@x/"),
        ("mail", "anna@"), ("pigeon", "https://x/"),
    ):  # fmt: skip
        with pytest.raises(RecordError):
            anyio.run(add, shape, target)
