"""Check of the records in a restored backup: a server starts only where it can read each of them. Names of users who
were removed since are not restored."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

import msgspec
from clickhouse_connect.driver.client import Client

from collector.core.errors import BackupError
from collector.erasure.site_job import SiteJob
from collector.imports.record import ImportRecord
from collector.sites.model import Site
from collector.sites.restoration import keep_protection
from collector.storage.backup import SettingDifference
from collector.storage.documents import DocumentTable
from collector.storage.mutations import mutate
from dashboard.access.api_keys import ApiKey
from dashboard.access.share_links import ShareLink
from dashboard.access.users import User
from dashboard.analytics.funnels import Funnel
from dashboard.compliance.notice_versions import History
from dashboard.notifications.alert_rules import AlertRule
from dashboard.notifications.channels import Channel
from dashboard.notifications.subscriptions import Subscription
from dashboard.reports.annotations import Annotation
from dashboard.reports.segments import Segment, Segments

RECORDS: Final[Mapping[str, type[msgspec.Struct]]] = {
    "alerts": AlertRule,
    "annotations": Annotation,
    "api_keys": ApiKey,
    "channels": Channel,
    "funnels": Funnel,
    "imports": ImportRecord,
    "notices": History,
    "segments": Segment,
    "shares": ShareLink,
    "site_jobs": SiteJob,
    "sites": Site,
    "subscriptions": Subscription,
    "users": User,
}
"""What the records of each table are that a backup has."""

AUTHORS: Final = {
    "alerts": "by",
    "annotations": "by",
    "channels": "by",
    "imports": "by",
    "segments": Segments.author,
    "subscriptions": "by",
}
"""The field with the name of the user who made a record, of records that stay when that user is removed."""

MOST_VERSION: Final = 2**62
"""Versions are nanoseconds: of a record beyond it there would be no newer one."""
_NEWEST: Final = "SELECT max(version) FROM {table:Identifier}"
_REMOVED: Final = "SELECT id FROM users GROUP BY id HAVING argMax(deleted, version)"
_DELETE: Final = "ALTER TABLE {table:Identifier} DELETE WHERE id IN {ids:Array(String)}"


def keep_checked(backup: str, jobs: Collection[SiteJob], present: Client, restored: Client) -> list[SettingDifference]:
    """As `keep_protection`, once every record was read. Raises `BackupError`, also where the `jobs` on sites are others
    than when the restoration began: what one copies would be of one database, and what it deletes of the other; and
    what was deleted meanwhile would come back."""
    now = DocumentTable(present, "site_jobs", SiteJob).all()
    if now != {job.id: job for job in jobs}:
        raise BackupError(backup, "a site was changed or deleted from meanwhile; nothing was restored, try again")
    for table, kind in RECORDS.items():
        newest = restored.query(_NEWEST, parameters={"table": table}).result_rows[0][0]
        try:
            DocumentTable(restored, table, kind).all()
        except (msgspec.MsgspecError, UnicodeDecodeError):
            newest = MOST_VERSION
        if newest >= MOST_VERSION:
            raise BackupError(backup, f"a record of its table {table} cannot be used; nothing was restored")
    _forget_removed(_removed(present, restored), restored)
    _end_keys(_removed_sites(present, restored), restored)
    _keep_fired(present, restored)
    return keep_protection(present, restored)


def _removed(present: Client, restored: Client) -> set[str]:
    """Names of users of the backup who were removed since, also where another user has the name now."""
    now, then = (DocumentTable(client, "users", User).all() for client in (present, restored))
    removed = {name for (name,) in present.query(_REMOVED).result_rows}
    return removed | {name for name, user in now.items() if name in then and then[name].id != user.id}


def _forget_removed(names: Collection[str], restored: Client) -> None:
    """What these users made for a site is restored without their name, and their private segments are not."""
    for table, author in AUTHORS.items():
        records = DocumentTable(restored, table, RECORDS[table])
        made = {id_: record for id_, record in records.all().items() if getattr(record, author) in names}
        if made:
            # Every version: one that is merely older would stay on the disk for a time.
            mutate(restored, table, _DELETE, {"table": table, "ids": list(made)})
        for id_, record in made.items():
            if not isinstance(record, Segment) or record.shared:
                records.store(id_, msgspec.structs.replace(record, **{author: ""}))


def _removed_sites(present: Client, restored: Client) -> set[str]:
    """Ids of sites of the backup that were removed since."""
    now = {site.id for site in DocumentTable(present, "sites", Site).all().values()}
    known = {name for (name,) in present.query("SELECT DISTINCT id FROM sites").result_rows}
    then = DocumentTable(restored, "sites", Site).all()
    return {site.id for name, site in then.items() if name in known and site.id not in now}


def _end_keys(removed: Collection[str], restored: Client) -> None:
    """Take these sites from API keys. A key without sites would be for all of them, so one that has none left is
    deleted."""
    keys = DocumentTable(restored, "api_keys", ApiKey)
    for id_, key in keys.all().items():
        left = tuple(site for site in key.sites if site not in removed)
        if key.sites and not left:
            keys.delete(id_)
        elif left != key.sites:
            keys.save(id_, msgspec.structs.replace(key, sites=left))


def _keep_fired(present: Client, restored: Client) -> None:
    """Alerts have fired when they last did: what is to be sent the next time has another id than what was sent since,
    which no backup has."""
    now, rules = DocumentTable(present, "alerts", AlertRule).all(), DocumentTable(restored, "alerts", AlertRule)
    for id_, then in rules.all().items():
        if id_ in now and now[id_].fired > then.fired:
            rules.save(id_, msgspec.structs.replace(then, fired=now[id_].fired))
