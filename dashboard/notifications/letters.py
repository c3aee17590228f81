"""Single mails that somebody asked for: a test, an invitation, a link for a new password."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

from collector.core.errors import RecordError
from collector.core.mail_address import is_mail_address
from dashboard.i18n.translations import _
from dashboard.notifications import mail_process
from dashboard.notifications.message import Content, MailTemplates, build_message
from dashboard.notifications.smtp import MailTransport
from dashboard.notifications.trials import TrialLimit


class Letters:
    """Writes and sends them, in the language that is spoken. `clock` gives Unix seconds.

    Each method raises `RecordError` for what is no address, `MailError` where the server does not take the mail, and
    all but `test` `TooManyTrials`.
    """

    def __init__(
        self,
        transport: MailTransport,
        templates: MailTemplates,
        trials: TrialLimit,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._transport = transport
        self._templates = templates
        self._trials = trials
        self._clock = clock

    @property
    def enabled(self) -> bool:
        """Whether mails can be sent at all."""
        return self._transport.enabled

    async def test(self, to: str, base: str) -> None:
        """A mail that says that mail works."""
        content = self._templates.render(
            "letter",
            _("A test mail from Tyst"),
            title=_("Mail works"),
            lines=[_("Tyst can send mail: reports, alerts, invitations and password links.")],
            href="",
            action="",
            unsubscribe="",
            reason=_("You receive this mail because whoever runs Tyst at {url} sent a test.").format(url=base),
        )
        await self._send(to, content)

    async def invitation(self, to: str, *, by: str, site: str, site_id: str, href: str) -> None:
        """A link that lets somebody in; `site` and its id are empty where it is to the installation."""
        self._trials.count(to, site_id)
        title = _("You are invited to {site}").format(site=site) if site else _("You are invited to Tyst")
        content = self._templates.render(
            "letter",
            title,
            title=title,
            lines=[
                _(
                    "{name} invites you to view the statistics of {site} in Tyst, privacy-friendly web analytics."
                ).format(name=by, site=site)
                if site
                else _("{name} invites you to Tyst, privacy-friendly web analytics.").format(name=by),
                _("Open the link to create an account or sign in to an existing one. It works once, within 7 days."),
            ],
            href=href,
            unsubscribe="",
            action=_("Accept the invitation"),
            reason=_("If you were not expecting this, you can ignore it."),
        )
        await self._send(to, content)

    async def password(self, to: str, *, name: str, href: str) -> None:
        """A link for a new password."""
        self._trials.count(to, "")
        content = self._templates.render(
            "letter",
            _("Choose a new password"),
            title=_("Choose a new password"),
            lines=[
                _("An administrator has created a password reset link for your account {name}.").format(name=name),
                _("It works once, within 7 days. Your password stays the same until you use it."),
            ],
            href=href,
            unsubscribe="",
            action=_("Choose a new password"),
            reason=_("If you were not expecting this, tell your administrator."),
        )
        await self._send(to, content)

    async def _send(self, to: str, content: Content) -> None:
        address = to.strip()
        if not is_mail_address(address):
            raise RecordError("address", "expected an e-mail address such as anna@example.com")
        message = build_message(
            content,
            sender=self._transport.sender,
            to=address,
            domain=self._transport.domain,
            key=secrets.token_hex(16),
            at=self._clock(),
        )
        await mail_process.send(self._transport, message, None)
