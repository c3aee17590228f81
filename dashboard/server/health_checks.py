"""Health checks of the running server."""

from __future__ import annotations

from collections import Counter
from importlib.metadata import version

import anyio.to_thread
from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.erasure.job_runner import SiteJobRunner
from collector.server.collector import Collector
from collector.storage.client import plain_reason
from dashboard.compliance.health_report import Check, Status, check_directory
from dashboard.notifications.smtp import MailError, MailTransport


async def status_of(collector: Collector, mail: MailTransport, started: float) -> Status:
    """The status of a process that has served since Unix second `started`."""
    domains = [site.domain for site in collector.sites.all()]
    dropped: Counter[str] = Counter()
    # A beacon for an unknown site is counted under no site's name.
    for domain in [*domains, ""]:
        dropped.update(collector.counters.drops(domain))
    return Status(
        version=version("tyst"),
        started=int(started),
        now=int(collector.clock()),
        checks=(
            check_directory(collector.settings.data_dir),
            await anyio.to_thread.run_sync(_check_database, collector),
            _check_spool(collector),
            check_jobs(collector.deletions),
            _check_sites(domains),
            *([await _check_mail(mail)] if mail.enabled else []),
        ),
        dropped=dict(dropped),
        accepted=sum(collector.counters.accepted(domain) for domain in domains),
    )


def problems_of(collector: Collector) -> tuple[str, ...]:
    """What needs an operator, in sentences. Blocking."""
    checks = (check_directory(collector.settings.data_dir), check_jobs(collector.deletions))
    found = (f"{each.name}: {each.found}." for each in checks if each.state != "ok")
    return (*collector.readiness().problems, *found)


def _check_database(collector: Collector) -> Check:
    name = "ClickHouse"
    kind = "embedded" if collector.clickhouse.embedded else "server"
    try:
        row = collector.client.query("SELECT version(), (SELECT count() FROM events)").result_rows[0]
    except (ClickHouseError, OSError) as error:
        return Check(
            name=name,
            state="failed",
            found=f"{kind}: {plain_reason(error)}",
            advice="events wait in the spool until it answers; see TYST_CLICKHOUSE_DSN",
        )
    return Check(name=name, state="ok", found=f"{kind}, version {row[0]}, {row[1]:,} events")


def _check_spool(collector: Collector) -> Check:
    name = "spool"
    readiness = collector.readiness()
    room = collector.settings.spool_max_bytes
    found = f"{readiness.spool_rows:,} events wait, {readiness.spool_bytes / room:.0%} full"
    if readiness.ready:
        return Check(name=name, state="ok", found=found)
    return Check(name=name, state="failed", found=found, advice="\n".join(readiness.problems))


def check_jobs(jobs: SiteJobRunner) -> Check:
    """Whether something that was to be deleted or renamed was set aside."""
    name = "jobs"
    given_up = jobs.set_aside()
    if given_up:
        listed = "; ".join(f"{job.kind} of {job.site}: {job.error}" for job in given_up[:3])
        return Check(
            name=name,
            state="failed",
            found=f"{len(given_up)} set aside ({listed})",
            advice="what was to be deleted or renamed is not; mend the cause, then: tyst retry",
        )
    waiting = sum(job.waiting for job in jobs.all())
    return Check(name=name, state="ok", found=f"{waiting} in hand, none set aside")


async def _check_mail(mail: MailTransport) -> Check:
    name = "mail"
    try:
        await mail.check()
    except MailError as error:
        found, _, advice = str(error).partition("; ")
        return Check(name=name, state="failed", found=found, advice=advice)
    return Check(name=name, state="ok", found=f"{mail.address} accepts the sender; tyst mail test ADDRESS sends a mail")


def _check_sites(domains: list[str]) -> Check:
    if domains:
        return Check(name="sites", state="ok", found=", ".join([*domains[:3], *(["…"] if len(domains) > 3 else [])]))
    return Check(name="sites", state="warning", found="none yet", advice="tyst site add DOMAIN")
