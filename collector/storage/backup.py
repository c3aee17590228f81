"""Backup and restore of everything stored in ClickHouse, by its own `BACKUP` and `RESTORE`.

The table of salts is left out: with it, whoever has an old backup could tell who a visitor was. So are sign-ins and
invitations: what was ended or used since must not come back.
So is that of revoked receipts: an old backup must not make them good again. And that of collectors: those of then are
not those of now. And what was sent, which is not to be sent again. And scratch tables, whose rows are on their way
somewhere else.

What was revoked or removed since stays so: users, keys, links and subscriptions that are deleted in the database that
is there stay deleted, and of a user who is in both, the newer record counts, as an old role or an old password could be
one that was taken away. Nor is a promise to visitors taken back: of settings such as the consent policy, retention and
the protection of small counts each site has the stricter of now and then, and what differs is told. On another machine
nothing is known of what came after the backup; there all of it is as it was.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import NamedTuple

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from collector.core.errors import BackupError
from collector.storage.backup_check import check_definitions, ordinary_tables, read_whole
from collector.storage.backup_files import is_whole
from collector.storage.client import SCRATCH, ClickHouse, apply_schema, plain_reason
from collector.storage.document_lock import ALL_RECORDS, CLAIMS, RESTORATION, WAIT_SECONDS, DocumentLock
from collector.storage.migrations import migrate
from collector.storage.schema import quoted, tables
from collector.storage.table_exchange import drop_exchanged, exchange, finish_exchanges, left_over

RIGHTS = ("users", "api_keys", "shares", "subscriptions", "channels")
"""Tables of which no backup brings back what was deleted since."""

NEVER = frozenset({"salts", "revoked_receipts", "sessions", "invitations", "collectors", "deliveries"})


class SettingDifference(NamedTuple):
    """A setting of a site that was another when the backup was made: its value before it was restored, in the backup,
    and from then on."""

    site: str
    setting: str
    before: str
    backup: str
    restored: str


class Restored(NamedTuple):
    """What was restored: the names of tables, and settings that differ."""

    tables: list[str]
    settings: list[SettingDifference]


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}\Z")

_STATUS = "SELECT status, error FROM system.backups WHERE id = {id:String}"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.5  # seconds

_ID_OF_EVENTS = "SELECT toString(uuid) FROM system.tables WHERE database = currentDatabase() AND name = 'events'"
_TABLES = """
SELECT name FROM system.tables WHERE database = {database:String} AND engine LIKE '%MergeTree' ORDER BY name"""


# Versions decide: what was deleted and created anew before the backup is there.
_KEEP_DELETED = """
INSERT INTO {table} SELECT id, record, version, deleted FROM {there}.{table} WHERE deleted"""
_KEEP_CHANGED = """
INSERT INTO users SELECT id, record, version, deleted FROM {there}.users WHERE id IN (SELECT id FROM users)"""


def back_up(clickhouse: ClickHouse, name: str) -> list[str]:
    """Write a backup `name` where the engine may write backups; returns the tables that are in it. Blocking.

    Raises `BackupError`.
    """
    _refuse_cluster(clickhouse, name)
    with _alone(clickhouse, name), contextlib.closing(clickhouse.client()) as client:
        found = _tables(client, clickhouse.database)
        parts = ", ".join(f"TABLE {quoted(clickhouse.database)}.{quoted(table)}" for table in found)
        _run(client, f"BACKUP {parts} TO File({{name:String}})", name)
        _must_be_whole(clickhouse, name)
    return found


def _must_be_whole(clickhouse: ClickHouse, name: str) -> None:
    """Raises `BackupError` for one that a full disk has cut, and removes it where this machine has it."""
    if clickhouse.embedded:
        directory = clickhouse.backups / name if clickhouse.backups is not None else None
        whole = directory is None or is_whole(directory)
        if directory is not None and not whole:
            shutil.rmtree(directory, ignore_errors=True)
    else:
        whole = _is_listed(clickhouse, name)
    if not whole:
        raise BackupError(name, "it could not be written as a whole; see that the disk has room, and try again")


def _is_listed(clickhouse: ClickHouse, name: str) -> bool:
    """Whether a server finds in its backup what there is in it, which is written last. Without the grants for
    restoring it cannot be asked."""
    try:
        return bool(_tables_in(clickhouse, name))
    except BackupError as error:
        return "ACCESS_DENIED" in error.reason
    except DatabaseError as error:
        return "ACCESS_DENIED" in str(error)


def restore(
    clickhouse: ClickHouse,
    name: str,
    keep_protection: Callable[[Client, Client], list[SettingDifference]],
    exchanging: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
) -> Restored:
    """Put the tables of the backup `name` in the place of those that are there. Blocking.

    They are restored beside them first, brought to this release's schema and checked to be of it, and then exchanged
    one by one: whoever reads meanwhile sees a table before or after, never half of it. `keep_protection` gets a client
    of the present and one of the restored database before that; from then on until the tables have changed places no
    record is changed by any collector, and `exchanging` is entered.
    Raises `BackupError`, and `SchemaTooNew` for a backup of a later release; then nothing has changed.
    """
    _refuse_cluster(clickhouse, name)
    with _alone(clickhouse, name):
        return _restore(clickhouse, name, keep_protection, exchanging)


def _restore(
    clickhouse: ClickHouse,
    name: str,
    keep_protection: Callable[[Client, Client], list[SettingDifference]],
    exchanging: Callable[[], contextlib.AbstractContextManager[None]],
) -> Restored:
    found = _tables_in(clickhouse, name)
    beside = _beside(clickhouse)
    with contextlib.closing(beside.create()) as client:
        try:
            database = quoted(clickhouse.database)
            parts = [f"TABLE {database}.{each} AS {quoted(beside.database)}.{each}" for each in map(quoted, found)]
            _run(client, f"RESTORE {', '.join(parts)} FROM File({{name:String}})", name)
            migrate(client)
            apply_schema(client)
            own = check_definitions(client, _beside(clickhouse), name) - NEVER
            restored = [table for table in _tables(client, beside.database) if table in own]
            for table in restored:
                read_whole(client, table)
            with (
                contextlib.closing(clickhouse.client()) as present,
                exchanging(),
                # What is revoked or asked for from here on would be put aside.
                _locked(present, ALL_RECORDS, name),
            ):
                _keep_rights(client, clickhouse.database, set(RIGHTS) - {"users"})
                settings = keep_protection(present, client)
                # Users last: `keep_protection` compares those of the backup with those of the present.
                _keep_rights(client, clickhouse.database, {"users"})
                exchange(client, clickhouse.database, beside.database, restored)
        except DatabaseError as error:
            raise BackupError(name, plain_reason(error)) from None
        finally:
            drop_exchanged(client, clickhouse.database, beside.database)
    return Restored(restored, settings)


def _keep_rights(client: Client, there: str, tables: Collection[str] = RIGHTS) -> None:
    """Have deleted what is deleted in the database `there`, and have its users as they are, as far as it has these
    `tables`."""
    for table in RIGHTS:
        if table in tables:
            client.command(_KEEP_DELETED.format(table=table, there=quoted(there)))
    if "users" in tables:
        client.command(_KEEP_CHANGED.format(there=quoted(there)))


def _tables_in(clickhouse: ClickHouse, name: str) -> list[str]:
    """The tables that are in the backup. Raises `BackupError`, also where others than Tyst's are."""
    beside = _beside(clickhouse)
    with contextlib.closing(beside.create()) as client:
        try:
            _run(
                client,
                f"RESTORE DATABASE {quoted(clickhouse.database)} AS {quoted(beside.database)} "
                "FROM File({name:String}) SETTINGS create_database = 0, structure_only = 1",
                name,
            )
            found = ordinary_tables(client, name)
        finally:
            client.command(f"DROP DATABASE {quoted(beside.database)} SYNC")
    if not found:
        raise BackupError(name, "there are no tables in it")
    return found


def _beside(clickhouse: ClickHouse) -> ClickHouse:
    """A database beside it, of a new name."""
    name = f"{_prefix(clickhouse)}{secrets.token_hex(4)}"
    return ClickHouse(clickhouse.dsn, name, backups=clickhouse.backups)


def _prefix(clickhouse: ClickHouse) -> str:
    return f"{clickhouse.database}_restored_"


def finish_interrupted(clickhouse: ClickHouse) -> None:
    """Complete or undo what a process was at when it was killed, unless another one is restoring. What it has left
    would go on having what is erased. Blocking."""
    with contextlib.closing(clickhouse.outside()) as client:
        if left_over(client, _prefix(clickhouse)):
            # Whoever restores holds the lock.
            with (
                contextlib.suppress(BackupError),
                _alone(clickhouse, "", patience=0),
                contextlib.closing(clickhouse.client()) as present,
            ):
                keep = partial(_keep_rights, present)
                finish_exchanges(client, clickhouse.database, _prefix(clickhouse), keep)


class TablesInPlace(NamedTuple):
    """The id of the table of events, which is another one once a backup is restored, and whether a restoration is under
    way or was interrupted: what is deleted before it is over may come back."""

    events: str
    restoring: bool


def tables_in_place(clickhouse: ClickHouse, client: Client) -> TablesInPlace:
    """Which tables there are now. Blocking."""
    ids = client.query(_ID_OF_EVENTS).result_rows
    return TablesInPlace(ids[0][0] if ids else "", restoring=bool(left_over(client, _prefix(clickhouse))))


@contextlib.contextmanager
def _alone(clickhouse: ClickHouse, name: str, patience: float = WAIT_SECONDS) -> Iterator[None]:
    """No backup is made or restored besides for as long as the block lasts. Raises `BackupError` where one is."""
    with contextlib.closing(clickhouse.client()) as client:
        # What an earlier release has left may be without it.
        client.command(next(table.statement for table in tables() if table.name == CLAIMS))
        with _locked(client, RESTORATION, name, patience):
            yield


@contextlib.contextmanager
def _locked(client: Client, what: str, name: str, patience: float = WAIT_SECONDS) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(DocumentLock(client, what, patience=patience).renewed())
        except TimeoutError:
            raise BackupError(name, "another backup or change is under way; try again in a minute") from None
        yield


def _refuse_cluster(clickhouse: ClickHouse, name: str) -> None:
    if clickhouse.cluster:
        raise BackupError(name, "a cluster is backed up by ClickHouse itself, node by node; see docs/scale.md")


def _run(client: Client, statement: str, name: str) -> None:
    """Start a backup or a restoration, and wait until it is done, however much longer than one answer that takes."""
    if not _NAME.match(name):
        raise BackupError(name, "expected letters, digits, dots, dashes and underscores as a name")
    try:
        id_ = client.query(f"{statement} ASYNC", parameters={"name": name}).result_rows[0][0]
        pause = _FIRST_PAUSE
        while (state := _state(client, id_)).running:
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
    except DatabaseError as error:
        raise BackupError(name, plain_reason(error)) from None
    if state.error:
        raise BackupError(name, plain_reason(RuntimeError(state.error)))


class _State(NamedTuple):
    """Of a backup or restoration: whether it goes on, and the engine's message where it has failed."""

    running: bool
    error: str


def _state(client: Client, id_: str) -> _State:
    rows = client.query(_STATUS, parameters={"id": id_}).result_rows
    if not rows:
        return _State(running=False, error="ClickHouse was restarted meanwhile")
    status, error = rows[0]
    done = status in ("BACKUP_CREATED", "RESTORED")
    running = status in ("CREATING_BACKUP", "RESTORING")
    return _State(running, "" if done or running else error or status)


def _tables(client: Client, database: str) -> list[str]:
    rows = client.query(_TABLES, parameters={"database": database}).result_rows
    return [name for (name,) in rows if name not in NEVER and not name.startswith(SCRATCH)]
