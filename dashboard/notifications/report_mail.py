"""Report mails: writes the weekly and monthly reports of a site, and plans and sends them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from email.message import EmailMessage
from functools import partial

import anyio.to_thread

from collector.sites.model import Site
from collector.sites.registry import Sites
from dashboard.analytics.service import StatsService
from dashboard.i18n.translations import N_, Translations, _, using
from dashboard.notifications import mail_process
from dashboard.notifications.delivery_worker import Send
from dashboard.notifications.errors import DeliveryError
from dashboard.notifications.message import Content, MailTemplates, build_message
from dashboard.notifications.outbox import Delivery, Outbox, delivery_id
from dashboard.notifications.report_dates import ReportDates, latest, read_key
from dashboard.notifications.site_digest import build_digest
from dashboard.notifications.smtp import MailTransport
from dashboard.notifications.subscriptions import Frequency, Subscription, Subscriptions
from dashboard.notifications.trials import TrialLimit

REPORT = "report"
"""Kind of delivery."""
SUBJECTS: Mapping[Frequency, str] = {
    "weekly": N_("{site}: weekly report, {dates}"),
    "monthly": N_("{site}: monthly report, {dates}"),
}


class ReportMail:
    """Plans and prepares report mails. `base` is the address of the server without a slash at its end, "" where it is
    not known: then nothing is sent. `clock` gives Unix seconds."""

    def __init__(
        self,
        subscriptions: Subscriptions,
        sites: Sites,
        stats: StatsService,
        transport: MailTransport,
        templates: MailTemplates,
        translations: Translations,
        base: str,
        trials: TrialLimit,
        outbox: Outbox,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._subscriptions = subscriptions
        self._sites = sites
        self._stats = stats
        self._transport = transport
        self._templates = templates
        self._translations = translations
        self._base = base
        self._trials = trials
        self._outbox = outbox
        self._clock = clock

    @property
    def missing(self) -> tuple[str, ...]:
        """Settings without which no report is sent."""
        needed = (("TYST_SMTP_HOST", self._transport.enabled), ("TYST_PUBLIC_URL", bool(self._base)))
        return tuple(name for name, there in needed if not there)

    async def planned(self) -> list[Delivery]:
        """A delivery for each subscription whose latest report is due and of use."""
        return [] if self.missing else list(self._due())

    def _due(self) -> Iterator[Delivery]:
        now = self._clock()
        for each in self._subscriptions.all():
            site = self._sites.by_id(each.site)
            dates = latest(each.frequency, site.timezone, now) if site else None
            # Who has subscribed since gets the next one.
            if dates is None or now > dates.until or each.created > dates.due:
                continue
            yield Delivery(
                id=delivery_id(REPORT, each.id, dates.key),
                kind=REPORT,
                lane="mail",
                site=each.site,
                target=each.id,
                payload=dates.key,
                created=int(now),
                until=dates.until,
            )

    async def prepare(self, delivery: Delivery) -> Send | None:
        """The mail of a delivery; None where its recipient or site is no more."""
        subscription = self._subscriptions.get(delivery.target)
        site = self._sites.by_id(delivery.site)
        if subscription is None or site is None:
            return None
        if self.missing:
            raise DeliveryError(f"{self.missing[0]} is not set")
        dates = read_key(delivery.payload, site.timezone)
        message = await self._message(site, subscription, dates, delivery.id)
        return partial(mail_process.send, self._transport, message)

    async def send_now(self, site: Site, subscription: Subscription) -> None:
        """Send the latest report once more, as a trial that counts for nothing. Raises `DeliveryError`,
        `TooManyTrials` among them."""
        if self.missing:
            raise DeliveryError(f"{self.missing[0]} is not set")
        self._trials.count(subscription.address, site.id)
        dates = latest(subscription.frequency, site.timezone, self._clock())
        message = await self._message(site, subscription, dates, secrets.token_hex(12))
        await mail_process.send(self._transport, message, None)
        await anyio.to_thread.run_sync(self._outbox.add_trial, REPORT, "mail", site.id, subscription.id)

    async def content(self, site: Site, dates: ReportDates, language: str, unsubscribe: str = "") -> Content:
        """The report of these dates in that language, English where there is no such language any more."""
        with using(language, self._translations):
            digest = await build_digest(self._stats, site, dates, self._clock())
            subject = _(SUBJECTS[dates.frequency]).format(site=digest.domain, dates=digest.dates)
            return self._templates.render(
                "report",
                subject,
                digest=digest,
                frequency=dates.frequency,
                href=f"{self._base}{digest.href}",
                unsubscribe=unsubscribe,
            )

    async def _message(self, site: Site, subscription: Subscription, dates: ReportDates, key: str) -> EmailMessage:
        unsubscribe = f"{self._base}/unsubscribe/{self._subscriptions.token(subscription)}"
        content = await self.content(site, dates, subscription.language, unsubscribe)
        return build_message(
            content,
            sender=self._transport.sender,
            to=subscription.address,
            domain=self._transport.domain,
            key=key,
            at=self._clock(),
            unsubscribe=unsubscribe,
        )
