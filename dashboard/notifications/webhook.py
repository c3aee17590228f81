"""Webhook calls: the body in the shape that its receiver reads, and the signature of Standard Webhooks 1.0."""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from dashboard.notifications.channels import Endpoint, Shape

LONGEST_TEXT: Final = 1_900
"""Characters of a message: Discord takes 2,000."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What a call says: `type` for programs, such as `alert.spike`, with `data`; for people a sentence under a title,
    and where to look."""

    type: str
    title: str
    text: str
    href: str
    data: dict[str, Any]

    @property
    def whole(self) -> str:
        """Title, sentence and address as one text."""
        return "\n".join(filter(None, (self.title, self.text, self.href)))[:LONGEST_TEXT]


@dataclass(frozen=True, slots=True)
class WebhookCall:
    """A request to be posted."""

    url: str
    headers: dict[str, str]
    body: bytes


def build_call(endpoint: Endpoint, shape: Shape, id_: str, at: float, notice: Notice) -> WebhookCall:
    """The call. The same `id_` says that it is the same, however often it comes; `at` is the Unix second."""
    media, body = _body(shape, at, notice)
    message_id, timestamp = f"msg_{id_}", str(int(at))
    headers = {
        "content-type": media,
        "user-agent": "Tyst (webhook)",
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": signature(endpoint.key, message_id, timestamp, body),
    }
    return WebhookCall(endpoint.url, headers, body)


def signature(key: bytes, id_: str, timestamp: str, body: bytes) -> str:
    """The value of `webhook-signature`: HMAC-SHA256 of id, timestamp and body, joined by dots."""
    signed = hmac.digest(key, f"{id_}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(signed).decode()}"


def _body(shape: Shape, at: float, notice: Notice) -> tuple[str, bytes]:
    match shape:
        case "ntfy":
            return "text/plain; charset=utf-8", notice.whole.encode()
        case "slack":
            shown: dict[str, Any] = {"text": _escaped(notice.whole)}
        case "mattermost":
            shown = {"text": _unmentioned(notice.whole)}
        case "discord":
            shown = {"content": notice.whole, "allowed_mentions": {"parse": []}}
        case "teams":
            shown = {"type": "message", "attachments": [_card(notice)]}
        case _:
            moment = datetime.datetime.fromtimestamp(int(at), datetime.UTC).isoformat().replace("+00:00", "Z")
            words = {"title": notice.title, "text": notice.text, "url": notice.href}
            shown = {"type": notice.type, "timestamp": moment, "data": {**notice.data, **words}}
    return "application/json", msgspec.json.encode(shown)


def _escaped(text: str) -> str:
    """Text in which Slack finds neither links nor mentions (its three control characters)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _unmentioned(text: str) -> str:
    """Text in which Mattermost finds nobody to call, such as `@all`."""
    return text.replace("@", "@\N{ZERO WIDTH SPACE}")


def _card(notice: Notice) -> dict[str, Any]:
    """An adaptive card, as workflows of Teams take it."""
    lines = [
        {"type": "TextBlock", "text": notice.title, "weight": "Bolder", "wrap": True},
        {"type": "TextBlock", "text": notice.text, "wrap": True},
    ]
    actions = [{"type": "Action.OpenUrl", "title": "Tyst", "url": notice.href}] if notice.href else []
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": lines,
        "actions": actions,
    }
    return {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
