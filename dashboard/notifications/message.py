"""Mail messages: text and HTML, with the header fields of mails that no person wrote."""

from __future__ import annotations

import email.policy
import hashlib
import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import BaseHeader, HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage
from email.policy import Policy
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from dashboard.i18n import translations


class _Address(UnstructuredHeader, BaseHeader):
    """A field that is an address in angle brackets. It is in one line: folded, it would be an encoded word, which has
    no place there (RFC 2047, 5) and which mail programs do not follow."""

    def fold(self, *, policy: Policy) -> str:
        return f"{self.name}: {self}{policy.linesep}"


_HEADERS: Final = HeaderRegistry()
_HEADERS.map_to_type("list-unsubscribe", _Address)
POLICY: Final = email.policy.SMTP.clone(header_factory=_HEADERS)

TEMPLATES: Final = Path(__file__).resolve().parents[1] / "templates" / "mail"


@dataclass(frozen=True, slots=True)
class Content:
    """What a mail says, as text and as HTML."""

    subject: str
    text: str
    html: str


class MailTemplates:
    """Renders `NAME.txt` and `NAME.html` of the mail templates in the language that is spoken."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=select_autoescape(["html"], default=False),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        translations.install(self._environment)
        self._environment.filters["padded"] = padded

    def render(self, name: str, subject: str, **values: Any) -> Content:
        """The mail with these values. Text has no more than one empty line in a row."""
        text, html = (
            self._environment.get_template(f"{name}.{kind}").render(subject=subject, **values)
            for kind in ("txt", "html")
        )
        return Content(subject, re.sub(r"\n{3,}", "\n\n", text).strip() + "\n", html)


def padded(text: str, width: int, *, right: bool = False) -> str:
    """The text in a column of that width, cut where it is longer. East Asian characters take two places."""
    shown, taken = "", 0
    for character in text:
        places = 0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if taken + places > width:
            shown, taken = f"{shown[:-1]}…", width
            break
        shown, taken = shown + character, taken + places
    space = " " * (width - taken)
    return space + shown if right else shown + space


def build_message(
    content: Content, *, sender: str, to: str, domain: str, key: str, at: float, unsubscribe: str = ""
) -> EmailMessage:
    """The message. `key` says which mail to whom it is: the same key gives the same Message-ID, by which mail servers
    recognise a repetition. `at` is a Unix second, `unsubscribe` an address that a POST to unsubscribes (RFC 8058)."""
    message = EmailMessage(policy=POLICY)
    message["Subject"] = " ".join(content.subject.split())
    message["From"] = sender
    message["To"] = to
    message["Date"] = format_datetime(datetime.fromtimestamp(int(at), UTC))
    message["Message-ID"] = message_id(key, domain)
    # RFC 3834 and what Exchange looks at: no out-of-office notes in return.
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    if unsubscribe:
        message["List-Unsubscribe"] = f"<{unsubscribe}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content(content.text, cte="quoted-printable")
    message.add_alternative(content.html, subtype="html", cte="quoted-printable")
    return message


def message_id(key: str, domain: str) -> str:
    """The Message-ID of the mail that `key` names."""
    return f"<{hashlib.blake2b(key.encode(), digest_size=16, person=b'tyst.message').hexdigest()}@{domain}>"
