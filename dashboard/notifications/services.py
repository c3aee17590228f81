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
from dashboard.notifications.delivery_worker import DeliveryWorker
from dashboard.notifications.handover_journal import HandoverJournal
from dashboard.notifications.letters import Letters
from dashboard.notifications.message import MailTemplates
from dashboard.notifications.outbox import Delivery, Outbox
from dashboard.notifications.report_mail import REPORT, ReportMail
from dashboard.notifications.scheduler import Scheduler
from dashboard.notifications.smtp import MailTransport
from dashboard.notifications.subscriptions import Subscription, Subscriptions


@dataclass(frozen=True, slots=True)
class Notifications:
    """What pages, API and server need of them."""

    letters: Letters
    subscriptions: Subscriptions
    reports: ReportMail
    outbox: Outbox
    scheduler: Scheduler

    def forget_site(self, site_id: str) -> None:
        """A site is no more: nothing of it is sent. Blocking."""
        self.subscriptions.forget_site(site_id)
        self.outbox.forget_site(site_id)

    def refresh(self) -> None:
        """Read from ClickHouse what other processes have changed. Blocking."""
        self.subscriptions.refresh()


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
) -> Notifications:
    """Put them together. `keys` sign; `leads` says whether this process plans and sends."""
    transport, templates = MailTransport(settings), MailTemplates()
    subscriptions = Subscriptions(DocumentTable(client, "subscriptions", Subscription), keys, clock)
    subscriptions.refresh()
    reports = ReportMail(subscriptions, sites, stats, transport, templates, translations, settings.public_url, clock)
    outbox = Outbox(DocumentTable(client, "deliveries", Delivery), members, clock)
    worker = DeliveryWorker(outbox, HandoverJournal(settings.data_dir), {REPORT: reports}, clock)
    return Notifications(
        letters=Letters(transport, templates, clock),
        subscriptions=subscriptions,
        reports=reports,
        outbox=outbox,
        scheduler=Scheduler(outbox, worker, [reports.planned], leads),
    )
