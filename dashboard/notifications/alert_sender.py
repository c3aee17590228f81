"""Alerts: evaluates rules now and then, and sends what they find to every channel of their site."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import anyio.to_thread
import msgspec

from collector.sites.model import Site
from collector.sites.registry import Sites
from dashboard.analytics.errors import QueryError, QueryTooLarge
from dashboard.i18n.translations import N_, Translations, _, using
from dashboard.notifications import mail_process
from dashboard.notifications.alert_conditions import AlertConditions
from dashboard.notifications.alert_rules import AlertKind, AlertRule, AlertRules
from dashboard.notifications.channels import Channel, Channels
from dashboard.notifications.delivery_worker import Send
from dashboard.notifications.errors import DeliveryError
from dashboard.notifications.message import MailTemplates, build_message
from dashboard.notifications.occasion import Occasion, sentence, title
from dashboard.notifications.outbox import Delivery, Outbox, delivery_id
from dashboard.notifications.smtp import MailTransport
from dashboard.notifications.trials import TrialLimit
from dashboard.notifications.webhook import Notice, build_call
from dashboard.notifications.webhook_transport import WebhookTransport

log = logging.getLogger(__name__)

ALERT: Final = "alert"
"""Kind of delivery."""
EVERY_SECONDS: Final[dict[AlertKind, int]] = {
    "spike": 60, "drop": 600, "unusual": 600, "goal": 60, "silence": 600, "consent": 3_600
}  # fmt: skip
"""How often each kind is evaluated."""
QUIET_SECONDS: Final[dict[AlertKind, int]] = {
    "spike": 43_200, "drop": 43_200, "unusual": 43_200, "goal": 0, "silence": 86_400, "consent": 86_400
}  # fmt: skip
"""How long a rule is quiet after it has fired. A goal's fires once on each day of the site."""
MOST_FIRED: Final = 60
"""Alerts of one site in 24 hours: more than all its rules are good for, unless they are removed and added again."""
LATE_SECONDS: Final = 86_400
"""After so long an alert is of no use."""
SENDING_ADDRESS: Final = N_("You receive this alert because someone who manages {site} set it up.")


class AlertSender:
    """Plans and prepares alerts. `base` is the address of the server, "" where it is not known."""

    max_fired = MOST_FIRED

    def __init__(
        self,
        rules: AlertRules,
        channels: Channels,
        sites: Sites,
        conditions: AlertConditions,
        outbox: Outbox,
        mail: MailTransport,
        templates: MailTemplates,
        webhooks: WebhookTransport,
        translations: Translations,
        base: str,
        trials: TrialLimit,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._rules = rules
        self._channels = channels
        self._sites = sites
        self._conditions = conditions
        self._outbox = outbox
        self._mail = mail
        self._templates = templates
        self._webhooks = webhooks
        self._translations = translations
        self._base = base
        self._trials = trials
        self._clock = clock
        self._evaluated: dict[str, float] = {}
        self._fired: dict[str, deque[float]] = {}

    async def planned(self) -> list[Delivery]:
        """Deliveries of the rules whose occasion has come. They are in the outbox before it is noted that the rule has
        fired: a process that dies between plans the same ones again."""
        found = []
        for rule in self._rules.all():
            site, now = self._sites.by_id(rule.site), self._clock()
            if site is None or not self._is_time(rule, now) or not self._channels.of(site.id):
                continue
            self._evaluated[rule.id] = now
            try:
                occasion = await self._conditions.occasion(rule, site, now)
            except (QueryError, QueryTooLarge) as error:
                log.warning("an alert could not be evaluated", extra={"rule": rule.id, "reason": type(error).__name__})
                continue
            if occasion is None or not self._may_fire(site, now):
                continue
            deliveries = [self._delivery(rule, occasion, each, now) for each in self._channels.of(site.id)]
            for delivery in deliveries:
                await anyio.to_thread.run_sync(self._outbox.add, delivery)
            await anyio.to_thread.run_sync(self._rules.note_fired, rule, int(now))
            found += deliveries
        return found

    async def prepare(self, delivery: Delivery) -> Send | None:
        """The mail or call of a delivery; None where its channel or site is no more."""
        channel, site = self._channels.get(delivery.target), self._sites.by_id(delivery.site)
        if channel is None or site is None:
            return None
        occasion = msgspec.json.decode(delivery.payload, type=Occasion)
        return self._send(channel, delivery.id, self._notice(channel, site, occasion), site.domain)

    async def send_test(self, channel: Channel, site: Site | None) -> None:
        """Send a trial, now. Raises `DeliveryError`, `TooManyTrials` among them."""
        endpoint = self._channels.endpoint(channel) if channel.sealed else None
        self._trials.count(endpoint.url if endpoint else channel.name, channel.site)
        name = site.domain if site else "Tyst"
        with using(channel.language, self._translations):
            notice = Notice(
                "test", _("A test from Tyst"), _("Alerts of {site} will look like this.").format(site=name),
                self._href(site), {"site": name},
            )  # fmt: skip
        await self._send(channel, delivery_id("test", channel.id, str(self._clock())), notice, name)(None)
        if site:
            await anyio.to_thread.run_sync(self._outbox.add_trial, ALERT, channel.lane, site.id, channel.id)

    def trouble(self, channel: Channel, problems: tuple[str, ...]) -> Send:
        """The mail or call that tells an operator what is wrong; each problem is a sentence in English."""
        with using(channel.language, self._translations):
            notice = Notice(
                "trouble", _("Tyst needs attention"), " ".join(problems), self._base, {"problems": problems}
            )
        return self._send(channel, delivery_id("trouble", channel.id, str(self._clock())), notice, "Tyst")

    def _is_time(self, rule: AlertRule, now: float) -> bool:
        # What was noted at a later time than now was noted before the clock was set back.
        quiet = 0 <= now - rule.fired < QUIET_SECONDS[rule.kind]
        return not quiet and not 0 <= now - self._evaluated.get(rule.id, 0) < EVERY_SECONDS[rule.kind]

    def _may_fire(self, site: Site, now: float) -> bool:
        """Whether the site has alerts left in these 24 hours; then this is one of them."""
        fired = self._fired.setdefault(site.id, deque())
        while fired and fired[0] <= now - LATE_SECONDS:
            fired.popleft()
        if len(fired) >= self.max_fired:
            return False
        fired.append(now)
        return True

    def _delivery(self, rule: AlertRule, occasion: Occasion, channel: Channel, now: float) -> Delivery:
        return Delivery(
            id=delivery_id(ALERT, rule.id, str(rule.fired), channel.id),
            kind=ALERT,
            lane=channel.lane,
            site=rule.site,
            target=channel.id,
            payload=msgspec.json.encode(occasion).decode(),
            created=int(now),
            until=int(now) + LATE_SECONDS,
        )

    def _notice(self, channel: Channel, site: Site, occasion: Occasion) -> Notice:
        data: dict[str, Any] = {"site": site.domain, **msgspec.to_builtins(occasion)}
        with using(channel.language, self._translations):
            return Notice(
                f"alert.{occasion.kind}", title(occasion, site.domain), sentence(occasion), self._href(site), data
            )

    def _href(self, site: Site | None) -> str:
        return f"{self._base}/{site.domain}" if self._base and site else self._base

    def _send(self, channel: Channel, id_: str, notice: Notice, name: str) -> Send:
        if channel.shape == "mail":
            return self._by_mail(channel, id_, notice, name)
        endpoint = self._channels.endpoint(channel)
        if endpoint is None:
            raise DeliveryError("its secret can no longer be read: add the webhook again", permanent=True)
        call = build_call(endpoint, channel.shape, id_, self._clock(), notice)
        return partial(self._webhooks.send, call)

    def _by_mail(self, channel: Channel, id_: str, notice: Notice, name: str) -> Send:
        unsubscribe = f"{self._base}/unsubscribe/{self._channels.token(channel)}" if self._base else ""
        with using(channel.language, self._translations):
            reason = _(SENDING_ADDRESS).format(site=name)
            content = self._templates.render(
                "letter",
                notice.title,
                title=notice.title,
                lines=[notice.text],
                href=notice.href,
                action=_("Open the dashboard"),
                reason=reason,
                unsubscribe=unsubscribe,
            )
        message = build_message(
            content,
            sender=self._mail.sender,
            to=channel.name,
            domain=self._mail.domain,
            key=id_,
            at=self._clock(),
            unsubscribe=unsubscribe,
        )
        return partial(mail_process.send, self._mail, message)
