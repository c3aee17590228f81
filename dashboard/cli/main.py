"""The entry point of the `tyst` command.

`serve` and `demo` are the server; every other command talks to the running one over its HTTP API. Exit status:
0 done, 1 failed, 2 bad usage. What can be foreseen to go wrong ends in a sentence that says what to do.
"""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from collector.core.environment import clear_secrets, use_private_umask
from collector.core.errors import DataDirectoryInUse, SettingError, TystError
from collector.core.settings import read_settings
from dashboard.cli.commands import (
    alert,
    audit,
    backup,
    check,
    collector,
    export_site,
    import_files,
    imports,
    key,
    lists,
    mail,
    notice,
    preview,
    report,
    rollup,
    site,
    site_funnel,
    upgrade,
    user,
    verify,
)
from dashboard.cli.commands.output import console, say
from dashboard.cli.http_client import Refused
from dashboard.server.sockets import read_server_info

if TYPE_CHECKING:
    from dashboard.server.demo.timeline import DemoPlan

app = typer.Typer(
    name="tyst",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Privacy-friendly, anonymous web analytics. Start with: tyst demo",
)
site.app.add_typer(site_funnel.app, name="funnel")
app.add_typer(site.app, name="site")
app.add_typer(user.app, name="user")
app.add_typer(key.app, name="key")
app.add_typer(lists.app, name="lists")
app.add_typer(collector.app, name="collector")
app.add_typer(imports.app, name="imports")
app.add_typer(mail.app, name="mail")
app.add_typer(report.app, name="report")
app.add_typer(alert.app, name="alert")
app.add_typer(alert.channels, name="channel")

Host = Annotated[
    str | None,
    typer.Option(metavar="HOST", help="Address to listen on; else TYST_HOST, else 127.0.0.1.", show_default=False),
]
Port = Annotated[
    int | None,
    typer.Option(
        metavar="PORT",
        min=0,
        max=65_535,
        help="Port to listen on; else TYST_PORT, else 8000. 0 takes a free one.",
        show_default=False,
    ),
]


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tyst {version('tyst')}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool,
        typer.Option("--version", metavar="", help="Print the version.", is_eager=True, callback=_show_version),
    ] = False,
) -> None:
    pass


@app.command()
def serve(
    host: Host = None,
    port: Port = None,
    workers: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run the server: collector and dashboard, with the database inside unless TYST_CLICKHOUSE_DSN says otherwise."""
    if workers is not None:
        raise SettingError(
            "--workers",
            workers,
            "one process serves. For more, run several `tyst serve`, each with its own TYST_DATA_DIR, against one "
            "ClickHouse server, behind a proxy that hashes by address; see docs/scale.md.",
        )
    _run(host, port)


@app.command()
def demo(
    host: Host = None,
    port: Port = None,
    events: Annotated[int, typer.Option(metavar="N", min=1, help="About so many generated events.")] = 60_000,
    days: Annotated[int, typer.Option(metavar="D", min=1, max=3_650, help="Over so many days until now.")] = 90,
    seed: Annotated[int, typer.Option(metavar="S", help="The same seed draws the same events.")] = 1,
) -> None:
    """Run the server with a demonstration: a small site with a real consent banner, and generated visits."""
    from dashboard.server.demo.timeline import DemoPlan

    say(f"Preparing about {events:,} generated events over {days} days …")
    _run(host, port, plan=DemoPlan(events=events, days=days, seed=seed))


app.command()(check.check)
app.command()(notice.notice)
app.command()(preview.preview)
app.command()(audit.audit)
app.command()(rollup.rollup)
app.command()(verify.verify)
app.command("import")(import_files.import_files)
app.command("export")(export_site.export_site)
app.command()(backup.backup)
app.command()(backup.restore)
app.command()(backup.retry)
app.command()(upgrade.upgrade)


def _run(host: str | None, port: int | None, *, plan: DemoPlan | None = None) -> None:
    use_private_umask()
    settings = read_settings(os.environ, host=host, port=port)
    clear_secrets()
    # Imported late: it brings the database engine, which no other command needs to wait for.
    from dashboard.server.serve import serve as serve_until_stopped

    def greet(url: str, application: Any) -> None:
        say(f"\nTyst {version('tyst')} is ready.\n")
        say(f"  Dashboard   {url}/" + (f"{plan.site(0).domain}" if plan else ""))
        if plan:
            say(f"  Demo site   {url}/demo   (accept its banner, click around, and watch the dashboard)")
        say(f"  Sign in     {_sign_in(application, given=settings.admin_password is not None)}")
        say("\nStop it with Ctrl-C.")

    serve_until_stopped(settings, greet, demo=plan)
    say("Stopped.")


def _sign_in(application: Any, *, given: bool) -> str:
    generated = getattr(getattr(application, "state", None), "generated_password", None)
    if generated:
        return f"user admin, password {generated}   (shown this once)"
    if given:
        return "user admin, with the password of TYST_ADMIN_PASSWORD at the first start"
    return "as before. Password forgotten? In another terminal: tyst user passwd admin"


def main() -> int:
    """The console script. Returns the exit status."""
    try:
        app()
    except SettingError as error:
        option = error.name.startswith("--")
        return _fail(f"{error.name} {error.value}: {error.problem}" if option else str(error), 2)
    except DataDirectoryInUse as error:
        server = read_server_info(Path(error.directory))
        return _fail(f"{error}\nTyst runs there at {server.url}" if server else str(error), 1)
    except Refused as error:
        return _fail(f"{error}{ADVICE.get(error.status, '')}", 1)
    except TystError as error:
        return _fail(str(error), 1)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _fail(f"{place}{error.strerror or type(error).__name__}", 1)
    return 0


ADVICE = {
    401: ". Check TYST_API_KEY, or unset it to use the key of the data directory.",
    403: ". Make one with: tyst key create --right manage",
}


def _fail(text: str, status: int) -> int:
    console(error=True).print(f"[bold red]Error:[/] {escape(text)}")
    return status
