"""The notifications put together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client

from collector.core.app_secret import Secrets
from collector.core.settings import Settings
from collector.sites.registry import Sites
from collector.storage.documents import DocumentTable
from collector.storage.membership import Membership
from dashboard.analytics.service import StatsService
from dashboard.i18n.translations import Translations
from dashboard.notifications.alert_conditions import AlertConditions
from dashboard.notifications.alert_rules import AlertRule, AlertRules
from dashboard.notifications.alert_sender import ALERT, AlertSender
from dashboard.notifications.channels import Channel, Channels
from dashboard.notifications.delivery_worker import Courier, DeliveryWorker
from dashboard.notifications.handover_journal import HandoverJournal
from dashboard.notifications.letters import Letters
from dashboard.notifications.message import MailTemplates
from dashboard.notifications.outbox import Delivery, Outbox
from dashboard.notifications.report_mail import REPORT, ReportMail
from dashboard.notifications.scheduler import Scheduler
from dashboard.notifications.smtp import MailTransport, account_of
from dashboard.notifications.subscriptions import Subscription, Subscriptions
from dashboard.notifications.trials import TrialLimit
from dashboard.notifications.trouble_watch import TroubleWatch
from dashboard.notifications.webhook_transport import WebhookTransport


@dataclass(frozen=True, slots=True)
class Notifications:
    """What pages, API and server need of them."""

    transport: MailTransport
    letters: Letters
    subscriptions: Subscriptions
    reports: ReportMail
    channels: Channels
    rules: AlertRules
    alerts: AlertSender
    outbox: Outbox
    scheduler: Scheduler
    trouble: TroubleWatch

    def forget_site(self, site_id: str) -> None:
        """A site is no more: nothing of it is sent. Blocking."""
        self.subscriptions.forget_site(site_id)
        self.channels.forget_site(site_id)
        self.rules.forget_site(site_id)
        self.outbox.forget_site(site_id)

    def forget_user(self, name: str) -> None:
        """A user is no more: what they added stays, without their name. Blocking."""
        self.subscriptions.forget_user(name)
        self.channels.forget_user(name)
        self.rules.forget_user(name)

    def refresh(self) -> None:
        """Read from ClickHouse what other processes have changed. Blocking."""
        self.subscriptions.refresh()
        self.channels.refresh()
        self.rules.refresh()


def build_notifications(
    settings: Settings,
    client: Client,
    sites: Sites,
    stats: StatsService,
    keys: Secrets,
    members: Membership,
    translations: Translations,
    clock: Callable[[], float],
    *,
    leads: Callable[[], bool] = lambda: True,
    problems: Callable[[], tuple[str, ...]] = tuple,
) -> Notifications:
    """Put them together. `keys` sign and encrypt; `leads` says whether this process plans and sends, and `problems`,
    blocking, what operators should know of it."""
    transport, templates, trials = MailTransport(account_of(settings)), MailTemplates(), TrialLimit(clock)
    subscriptions = Subscriptions(DocumentTable(client, "subscriptions", Subscription), keys, clock)
    subscriptions.refresh()
    base = settings.public_url
    outbox = Outbox(DocumentTable(client, "deliveries", Delivery), members, clock)
    reports = ReportMail(subscriptions, sites, stats, transport, templates, translations, base, trials, outbox, clock)
    plain_http = bool(settings.webhook_networks)
    channels = Channels(DocumentTable(client, "channels", Channel), keys, clock, plain_http=plain_http)
    channels.refresh()
    rules = AlertRules(DocumentTable(client, "alerts", AlertRule), clock)
    rules.refresh()
    alerts = AlertSender(
        rules,
        channels,
        sites,
        AlertConditions(stats),
        outbox,
        transport,
        templates,
        WebhookTransport(settings.webhook_networks),
        translations,
        base,
        trials,
        clock,
    )
    couriers: dict[str, Courier] = {REPORT: reports, ALERT: alerts}
    worker = DeliveryWorker(outbox, HandoverJournal(settings.data_dir), couriers, clock)
    return Notifications(
        transport=transport,
        letters=Letters(transport, templates, trials, clock),
        subscriptions=subscriptions,
        reports=reports,
        channels=channels,
        rules=rules,
        alerts=alerts,
        outbox=outbox,
        scheduler=Scheduler(outbox, worker, [reports.planned, alerts.planned], leads),
        trouble=TroubleWatch(problems, channels, alerts, clock),
    )
