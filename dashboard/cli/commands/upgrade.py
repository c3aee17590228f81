"""`tyst upgrade`: migrate the database's schema while the server is stopped, or say what that would do."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from collector.core.environment import give_to_owner, use_private_umask
from collector.core.errors import DatabaseUnreachable
from collector.core.file_locks import lock_data_dir
from collector.core.setting_values import embedded_directory
from collector.core.settings import read_settings
from dashboard.cli.commands.output import Json, print_json, say

if TYPE_CHECKING:
    from collector.storage.client import ClickHouse
    from collector.storage.migrations import Pending

Check = Annotated[bool, typer.Option("--check", metavar="", help="Say what would change, and change nothing.")]


def upgrade(check: Check = False, json: Json = False) -> None:
    """Migrate the database of an earlier release, with the server stopped; `tyst serve` does the same at its start."""
    use_private_umask()
    settings = read_settings(os.environ)
    if settings.embedded and not embedded_directory(settings.database_dsn).is_dir():
        say("There is no database yet; `tyst serve` creates it.")
        return
    # The embedded engine belongs to one process; a ClickHouse server may be asked while others write to it.
    if settings.embedded or not check:
        lock_data_dir(settings.data_dir)
    # Imported late: the database engine takes its time.
    from clickhouse_connect.driver.exceptions import ClickHouseError

    from collector.storage.client import ClickHouse, plain_reason

    clickhouse = ClickHouse.at(
        settings.database_dsn, backups=settings.data_dir / "backups", cluster=settings.clickhouse_cluster
    )
    try:
        needed, events = _upgrade(clickhouse, check=check)
    except ClickHouseError as error:
        raise DatabaseUnreachable(plain_reason(error)) from None
    finally:
        give_to_owner(settings.data_dir)
    if json:
        steps = [{"version": step.number, "what": step.what} for step in needed.steps]
        print_json({"version": needed.version, "events": events, "steps": steps, "applied": not check})
    else:
        _say(needed, events, check=check)


def _upgrade(clickhouse: ClickHouse, *, check: bool) -> tuple[Pending, int]:
    """What was needed, and how many events there were before."""
    from collector.storage.migrations import pending

    client = clickhouse.create()
    needed = pending(client)
    events = 0 if needed.fresh else client.query("SELECT count() FROM events").result_rows[0][0]
    if not check:
        clickhouse.prepare()
    return needed, events


def _say(needed: Pending, events: int, *, check: bool) -> None:
    if not needed.steps:
        say(f"The schema has version {needed.version}, the newest. There is nothing to do.")
        return
    say(f"The schema has version {needed.version}. {events:,} events are stored.")
    for step in needed.steps:
        say(f"  {step.number}  {step.what}")
    if check:
        say("`tyst upgrade`, or the next start of `tyst serve`, applies these steps. Copy the data directory first.")
    else:
        say("Done. Earlier releases refuse to start on this database from now on.")
