"""Health checks of the running server."""

from __future__ import annotations

from collections import Counter
from importlib.metadata import version

import anyio.to_thread
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

from collector.erasure.job_runner import SiteJobRunner
from collector.server.collector import Collector
from collector.storage.client import plain_reason
from dashboard.compliance.health_report import Check, Status, check_directory, check_secret
from dashboard.notifications.smtp import MailError, MailTransport

SERVER_LOGS = "ClickHouse's logs"
STATEMENT_LOGS = ("query_log", "text_log", "query_thread_log", "query_views_log", "opentelemetry_span_log")
"""Tables of a ClickHouse server that have the text of statements."""


async def status_of(collector: Collector, mail: MailTransport, started: float) -> Status:
    """The status of a process that has served since Unix second `started`."""
    sites = collector.sites.all()
    dropped: Counter[str] = Counter()
    # A beacon for an unknown site is counted under no site's id.
    for id_ in [*(site.id for site in sites), ""]:
        dropped.update(collector.counters.drops(id_))
    return Status(
        version=version("tyst"),
        started=int(started),
        now=int(collector.clock()),
        checks=(
            check_directory(collector.settings.data_dir),
            check_secret(collector.settings),
            await anyio.to_thread.run_sync(_check_database, collector),
            *([] if collector.clickhouse.embedded else [await anyio.to_thread.run_sync(_check_server, collector)]),
            _check_spool(collector),
            check_jobs(collector.deletions),
            _check_sites([site.domain for site in sites]),
            *([await _check_mail(mail)] if mail.enabled else []),
        ),
        dropped=dict(dropped),
        accepted=sum(collector.counters.accepted(site.id) for site in sites),
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


def _check_server(collector: Collector) -> Check:
    try:
        return check_server_logs(collector.client)
    except (ClickHouseError, OSError) as error:
        return Check(name=SERVER_LOGS, state="failed", found=plain_reason(error), advice="see ClickHouse above")


def check_server_logs(client: Client) -> Check:
    """Which logs of a ClickHouse server keep the text of statements; `client` need not be granted to read them."""
    there = [f"system.{name}" for name in STATEMENT_LOGS if _is_there(client, name)]
    found = f"statements are kept in {', '.join(there)}" if there else "no table keeps statements"
    found = f"{found}, and by level in the server's own log file; none has a visitor's id"
    if there in ([], ["system.query_log"]):
        return Check(name=SERVER_LOGS, state="ok", found=found)
    advice = (
        "they have the pages and values by which owners filter and delete: take <text_log>, <query_thread_log>, "
        "<query_views_log> and <opentelemetry_span_log> out of the server's configuration, and have <logger> at level "
        "information"
    )
    return Check(name=SERVER_LOGS, state="warning", found=found, advice=advice)


def _is_there(client: Client, name: str) -> bool:
    try:
        client.query("SELECT 1 FROM system.{name:Identifier} LIMIT 0", parameters={"name": name})
    except DatabaseError as error:
        # Of a table that is not there it says so before it looks at grants.
        if "UNKNOWN_TABLE" not in str(error) and "ACCESS_DENIED" not in str(error):
            raise
        return "UNKNOWN_TABLE" not in str(error)
    return True


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
