"""Records of a restored backup: one that cannot be used keeps all of it from being restored."""

from __future__ import annotations

import datetime
import secrets
from contextlib import closing
from functools import partial

import pytest
from clickhouse_connect.driver.client import Client

from collector.core.errors import BackupError
from collector.sites.model import Site
from collector.storage.backup import NEVER, back_up, restore
from collector.storage.client import ClickHouse
from collector.storage.documents import DocumentTable
from dashboard.access.api_keys import ApiKey
from dashboard.access.users import User
from dashboard.api.restored_records import AUTHORS, RECORDS, keep_checked
from dashboard.notifications.alert_rules import AlertRule
from dashboard.reports.annotations import Annotation
from dashboard.reports.segments import Segment
from tests.databases import Databases
from tests.real_server import RealServer

SITE = '{"domain":"site.test","id":"1"}'


def test_every_table_of_records_is_checked(database: Client) -> None:
    """But those that no backup has."""
    rows = database.query(
        "SELECT table FROM system.columns WHERE database = currentDatabase() AND name = 'record'"
    ).result_rows
    assert {table for (table,) in rows} - NEVER == RECORDS.keys()


@pytest.mark.parametrize(
    ("table", "record", "version"),
    [
        ("sites", "{", 1),
        ("users", '{"name": 7}', 1),
        ("shares", "", 1),
        ("sites", SITE, 2**64 - 1),
    ],
)
def test_a_record_that_cannot_be_used_is_refused(database: Client, table: str, record: str, version: int) -> None:
    """The server would not start again with one that it cannot read, and could not change one of the last version."""
    columns = ["id", "record", "version", "deleted"]
    database.insert("sites", [["1", SITE, 1, 0]], column_names=columns)
    assert keep_checked("backup", [], database, database) == []
    database.insert(table, [["2", record, version, 0]], column_names=columns)
    with pytest.raises(BackupError, match=f"table {table} cannot be used; nothing was restored"):
        keep_checked("backup", [], database, database)


def test_names_of_removed_users_are_not_restored(database: Client) -> None:
    """Nor are their private segments: whoever gets the name next would have them. What others made is as it was."""
    columns = ["id", "record", "version", "deleted"]
    for name in ("anna", "nora"):
        database.insert("users", [[name, f'{{"name":"{name}","password":""}}', 1, 0]], column_names=columns)
        note = f'{{"id":"of-{name}","site":"1","day":"2026-05-01","text":"Launch","by":"{name}"}}'
        database.insert("annotations", [[f"of-{name}", note, 1, 0]], column_names=columns)
        for id_, shared in ((f"{name}-1", "true"), (f"{name}-2", "false")):
            segment = f'{{"id":"{id_}","site":"1","name":"x","filters":[],"owner":"{name}","shared":{shared}}}'
            database.insert("segments", [[id_, segment, 1, 0]], column_names=columns)
    database.insert("users", [["nora", "", 2, 1]], column_names=columns)
    keep_checked("backup", [], database, database)
    notes = DocumentTable(database, "annotations", Annotation).all()
    segments = DocumentTable(database, "segments", Segment).all()
    assert {note.id: note.by for note in notes.values()} == {"of-anna": "anna", "of-nora": ""}
    assert {id_: segment.owner for id_, segment in segments.items()} == {
        "anna-1": "anna",
        "anna-2": "anna",
        "nora-1": "",
    }
    assert database.query("SELECT count() FROM annotations WHERE position(record, 'nora\"}') > 0").result_rows == [(0,)]


def test_the_documented_grants_are_enough(clickhouse_server: RealServer) -> None:
    """On a server the restored tables are in a database on which its user may do less."""
    place = ClickHouse.at(clickhouse_server.dsn("tyst"))
    with closing(place.prepare()) as client:
        users, notes = DocumentTable(client, "users", User), DocumentTable(client, "annotations", Annotation)
        users.store("nora", User(name="nora", password=""))
        day = datetime.date(2026, 5, 1)
        notes.store("launch", Annotation(id="launch", site="1", day=day, text="Launch", by="nora"))
        name = f"b-{secrets.token_hex(4)}"
        back_up(place, name)
        users.delete("nora")
        restore(place, name, partial(keep_checked, name, []))
        assert notes.all()["launch"].by == ""


def test_who_got_the_name_of_a_removed_user_has_nothing_of_theirs(clickhouse: ClickHouse) -> None:
    """Their role and password are as they were, and private segments of the one before are not restored."""
    with closing(clickhouse.client()) as client:
        users, segments = DocumentTable(client, "users", User), DocumentTable(client, "segments", Segment)
        users.store("nora", User(name="nora", password="", id="1", role="owner"))
        segments.store("s", Segment(id="s", site="1", name="x", filters=(), owner="nora"))
        name = f"b-{secrets.token_hex(4)}"
        back_up(clickhouse, name)
        for table, id_ in ((users, "nora"), (segments, "s")):
            table.delete(id_)
        users.create("nora", User(name="nora", password="", id="2", role="viewer"))
        restore(clickhouse, name, partial(keep_checked, name, []))
        assert segments.all() == {}
        assert users.all()["nora"].id == "2"
        assert users.all()["nora"].role == "viewer"


def test_no_key_opens_a_site_again_that_was_removed(database: Client, databases: Databases) -> None:
    """One for it alone ends, as without a site it would be for all; others are for the sites that are there. Where
    nothing is known of the site, as on a new machine, they are as they were."""
    with databases.lent() as other, closing(other.client()) as restored:
        gone, there = Site(domain="gone.test", id="1"), Site(domain="there.test", id="2")
        keys = DocumentTable(restored, "api_keys", ApiKey)
        for site in (gone, there):
            DocumentTable(restored, "sites", Site).store(site.domain, site)
        for id_, sites in (("of one", ("1",)), ("of both", ("1", "2")), ("of all", ())):
            keys.store(id_, ApiKey(id=id_, hash="", sites=sites))
        keep_checked("backup", [], database, restored)
        assert {id_: key.sites for id_, key in keys.all().items()} == {
            "of one": ("1",),
            "of both": ("1", "2"),
            "of all": (),
        }
        sites_now = DocumentTable(database, "sites", Site)
        for site in (gone, there):
            sites_now.store(site.domain, site)
        sites_now.delete(gone.domain)
        keep_checked("backup", [], database, restored)
        assert {id_: key.sites for id_, key in keys.all().items()} == {"of both": ("2",), "of all": ()}


def test_an_alert_has_fired_when_it_last_did(database: Client, databases: Databases) -> None:
    """Else its next occasion has the id of what was sent since the backup, and is not sent."""
    with databases.lent() as other, closing(other.client()) as restored:
        for client, fired in ((database, 2_000), (restored, 1_000)):
            rules = DocumentTable(client, "alerts", AlertRule)
            rules.store("kept", AlertRule(id="kept", site="1", kind="spike", threshold=10, fired=fired))
        rules.store("deleted since", AlertRule(id="deleted since", site="1", kind="spike", fired=500))
        keep_checked("backup", [], database, restored)
        assert {id_: rule.fired for id_, rule in rules.all().items()} == {"kept": 2_000, "deleted since": 500}


def test_every_record_with_an_author_is_among_them() -> None:
    """But those that end with the access of who made them."""
    named = {table for table, kind in RECORDS.items() if {"by", "owner"} & set(kind.__struct_fields__)}
    assert named - {"api_keys", "shares", "site_jobs"} == AUTHORS.keys()
