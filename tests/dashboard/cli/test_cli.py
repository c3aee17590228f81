"""The command line, run as a person runs it: its answers, its errors, its exit status."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from rich.markup import escape
from rich.table import Table
from typer.testing import CliRunner

from collector.ingest.cookies import has_cookie_fault
from dashboard.cli.commands.output import PlainConsole
from dashboard.cli.main import app
from tests.running import Running, start, stop, tyst


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A demonstration server on a free port."""
    running = start(
        tmp_path_factory.mktemp("cli"), "demo", "--port", "0", "--events", "400", "--days", "3", TYST_RATE_LIMIT="0"
    )
    yield running
    stop(running)


def test_the_greeting_says_where_to_go_and_how_to_sign_in(server: Running) -> None:
    """Addresses that answer, and the generated password once."""
    assert f"{server.url}/demo.localhost" in server.greeting
    assert f"{server.url}/demo " in server.greeting
    assert re.search(r"user admin, password \S{12,}", server.greeting)
    assert httpx.get(f"{server.url}/healthz").status_code == 200


def test_the_log_has_no_addresses(server: Running) -> None:
    """Requests leave no line behind: an access log would be a list of visitors."""
    httpx.get(f"{server.url}/js/tyst.js", headers={"User-Agent": "canary-agent"})
    log = (server.directory / "server.log").read_text()
    assert "started" in log
    assert "127.0.0.1" not in log
    assert "canary-agent" not in log


def test_no_header_names_the_software(server: Running) -> None:
    """What serves is nobody's business."""
    assert "server" not in httpx.get(f"{server.url}/healthz").headers


def test_the_word_it_leaves_is_its_owners_alone(server: Running) -> None:
    """Where the server is and its key: readable by nobody else, and no other secret is either."""
    for name in ("server.json", "admin.key", "secret.key"):
        assert stat.S_IMODE((server.directory / "data" / name).stat().st_mode) == 0o600
    word = json.loads((server.directory / "data" / "server.json").read_text())
    assert word["url"] == server.url
    assert word["pid"] == server.process.pid


def test_a_site_from_first_to_last(server: Running) -> None:
    """Added with its tag to paste, listed, changed, removed."""
    added = server.tyst("site", "add", "shop.test", "--consent", "limited", "--timezone", "Europe/Stockholm")
    assert added.status == 0
    tag = f'<script defer data-domain="shop.test" data-consent="limited" src="{server.url}/js/tyst.js"></script>'
    assert tag in added.out.splitlines()[3]
    assert "/shop.test/install" in added.out
    changed = server.tyst("site", "set", "shop.test", "--min-visitors", "1")
    assert (changed.status, "<script" in changed.out) == (0, False)
    for policy in ("exempt", "required", "limited"):
        changed = server.tyst("site", "set", "shop.test", "--consent", policy)
        assert (changed.out.count("<script"), f'data-consent="{policy}"' in changed.out) == (1, policy != "required")
    (site,) = [site for site in server.tyst("site", "list", "--json").json if site["domain"] == "shop.test"]
    assert (site["consent"], site["timezone"], site["min_visitors"]) == ("limited", "Europe/Stockholm", 1)
    listed = server.tyst("site", "list").out
    assert re.search(r"shop\.test\s+limited\s+Europe/Stockholm\s+760 days\s+1", listed)
    assert server.tyst("site", "remove", "shop.test", "--yes").status == 0
    assert "shop.test" not in server.tyst("site", "list").out


def test_funnels_from_first_to_last(server: Running) -> None:
    """Added by steps, listed, counted by the API, removed; what is wrong is said."""
    steps = ("--step", "page=/demo/shop/*", "--step", "event=Add to Cart; product!=vase-tall")
    site = ("demo.localhost", "To the cart")
    added = server.tyst("site", "funnel", "add", *site, *steps, "--window", "day")
    assert (added.status, "To the cart: /demo/shop/* → Add to Cart" in added.out) == (0, True)
    (found,) = [
        each for each in server.tyst("site", "funnel", "list", site[0], "--json").json if each["name"] == site[1]
    ]
    assert found["steps"][1]["where"] == [{"key": "product", "operator": "is_not", "value": "vase-tall"}]
    assert re.search(
        r"To the cart\s+/demo/shop/\* → Add to Cart\s+sequential\s+day",
        server.tyst("site", "funnel", "list", site[0]).out,
    )
    key = (server.directory / "data" / "admin.key").read_text().strip()
    address = f"{server.url}/api/v1/sites/{site[0]}/funnels/{found['id']}"
    result = httpx.get(address, headers={"Authorization": f"Bearer {key}"}).json()
    assert (result["unit"], result["steps"][0]["share_of_first"]) == ("visitors", 100.0)
    assert (
        "steps.1: expected a path"
        in server.tyst("site", "funnel", "add", *site, "--step", "page=x", "--step", "page=/").err
    )
    assert server.tyst("site", "funnel", "add", *site, "--step", "x=/", "--step", "page=/").status == 2
    assert server.tyst("site", "funnel", "remove", *site).out == "To the cart is removed from demo.localhost.\n"
    assert server.tyst("site", "funnel", "remove", *site).status == 2


def test_goals_from_first_to_last(server: Running) -> None:
    """As one types them: kind and what it matches, then the rest; what they replace, and how to have none."""
    assert server.tyst("site", "add", "goals.test", "--goal", "event=Signup", "--strict").status == 0
    spelt = ["page=/thanks; name=Thanked", "scroll=/blog/**;depth=75", "outbound", "event=Buy;currency=SEK"]
    options = [word for text in spelt for word in ("--goal", text)]
    found = server.tyst("site", "set", "goals.test", *options, "--json").json
    assert found["goals"] == [
        {"name": "Thanked", "kind": "page", "match": "/thanks"},
        {"name": "Scroll 75% /blog/**", "kind": "scroll", "match": "/blog/**", "depth": 75},
        {"name": "Outbound Link: Click", "kind": "outbound"},
        {"name": "Buy", "kind": "event", "match": "Buy", "currency": "SEK"},
    ]
    assert found["strict"] is True
    said = server.tyst("site", "set", "goals.test", "--goal", "", "--no-strict").out
    assert "goals is now none" in said
    assert "strict is now False" in said
    wrong = server.tyst("site", "set", "goals.test", "--goal", "form;x=1")
    assert wrong.status == 2
    assert "expected name=" in wrong.err


def test_a_user_from_first_to_last(server: Running) -> None:
    """Added with a generated password or a given one, listed, a new password, removed."""
    added = server.tyst("user", "add", "ada", "--role", "owner", "--site", "demo.localhost")
    assert re.search(r"Password \(shown this once\): \S{12,}", added.out)
    given = server.tyst("user", "add", "grace", "--password-stdin", "--json", stdin="correct horse\n")
    assert given.json == {"name": "grace", "role": "viewer", "sites": [], "roles": {}, "two_factor": False}
    assert re.search(r"ada\s+owner\s+demo\.localhost", server.tyst("user", "list").out)
    changed = server.tyst("user", "passwd", "ada", "--json")
    assert len(changed.json["password"]) >= 12
    assert (
        "grace has neither two-factor authentication nor a passkey"
        in server.tyst("user", "reset-two-factor", "grace").out
    )
    assert server.tyst("user", "reset-two-factor", "grace", "--json").json == {"deleted": False}
    assert "signed out everywhere" in server.tyst("user", "sign-out", "grace").out
    for command in ("reset-two-factor", "sign-out"):
        wrong = server.tyst("user", command, "nobody")
        assert wrong.status == 1
        assert "grace" in wrong.err
    for name in ("ada", "grace"):
        assert server.tyst("user", "remove", name).status == 0
    assert [user["name"] for user in server.tyst("user", "list", "--json").json] == ["admin"]


def test_a_key_from_first_to_last(server: Running) -> None:
    """Printed once, works at once, listed without itself, refused once revoked."""
    made = server.tyst("key", "create", "--site", "demo.localhost", "--json").json
    key = made["key"]
    assert made["sites"] == ["demo.localhost"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", made["expires"])
    assert server.tyst("key", "create", "--expires", "never", "--json").json["expires"] is None
    assert server.tyst("key", "create", "--expires", "2020-01-01").status == 1
    seen = server.tyst("site", "list", "--json", TYST_URL=server.url, TYST_API_KEY=key).json
    assert [site["domain"] for site in seen] == ["demo.localhost"]
    listed = server.tyst("key", "list")
    assert made["id"] in listed.out
    assert key not in listed.out
    assert server.tyst("key", "revoke", made["id"]).status == 0
    refused = server.tyst("site", "list", TYST_URL=server.url, TYST_API_KEY=key)
    assert refused.status == 1
    assert "unknown or revoked" in refused.err


def test_closed_days_are_built_anew(server: Running) -> None:
    """All of a site's, or those between two dates."""
    built = server.tyst("rollup", "demo.localhost", "--json").json
    assert built["days"] >= 1
    assert built["rows"] > 0
    none = server.tyst("rollup", "demo.localhost", "--last", "2020-01-01")
    assert none.out == "demo.localhost: 0 days were built from 0 events\n"
    unknown = server.tyst("rollup", "nowhere.test")
    assert (unknown.status, "nowhere.test is not registered" in unknown.err) == (1, True)


def test_check_finds_all_well(server: Running) -> None:
    """What was looked at, line by line; status 0."""
    found = server.tyst("check")
    assert found.status == 0
    for name in ("settings", "server", "clock", "snippet", "data directory", "ClickHouse", "spool", "sites"):
        assert re.search(rf"^ok +{name} ", found.out, flags=re.MULTILINE), found.out
    states = {check["name"]: check["state"] for check in server.tyst("check", "--json").json}
    assert states.pop("interpreter") == ("warning" if has_cookie_fault() else "ok")
    assert set(states.values()) == {"ok"}


def test_check_says_what_to_do(server: Running, tmp_path: Path) -> None:
    """Without a server: that, and how to start one. With a secret that others can read: the command that mends it."""
    alone = tyst("check", directory=tmp_path)
    assert alone.status == 1
    assert "tyst serve" in alone.out
    secret = server.directory / "data" / "secret.key"
    secret.chmod(0o644)
    open_ = server.tyst("check")
    secret.chmod(0o600)
    assert open_.status == 1
    assert "chmod 600 data/secret.key" in open_.out


WRONG: list[tuple[list[str], int, str]] = [
    (["site", "add", "demo.localhost"], 1, "already registered"),
    (["site", "add", "no spaces"], 1, "such as example.com"),
    (["site", "add", "x.test", "--timezone", "Europe/Stokholm"], 2, "Europe/Stockholm"),
    (["site", "add", "x.test", "--timezone", "oslo"], 2, "Europe/Oslo"),
    (["site", "add", "x.test", "--consent", "maybe"], 2, "required"),
    (["site", "set", "demo.localhst", "--min-visitors", "1"], 1, "Did you mean demo.localhost?"),
    (["site", "set", "demo.localhost", "--min-visitors", "0"], 2, "--min-visitors"),
    (["site", "set", "demo.localhost"], 2, "at least one setting"),
    (["site", "remove", "zzz"], 1, "Known: demo.localhost"),
    (["user", "remove", "nobody"], 1, "There are: admin"),
    (["user", "remove", "admin"], 1, "only administrator"),
    (["user", "add", "bo", "--site", "none.test"], 1, "none.test is not registered"),
    (["key", "create", "--site", "demo.local"], 1, "Did you mean demo.localhost?"),
    (["key", "revoke", "00000000"], 1, "tyst key list"),
    (["nonsense"], 2, "nonsense"),
    (["serve", "--workers", "2"], 2, "several `tyst serve`"),
    (["serve", "--port", "99999"], 2, "--port"),
    (["serve", "--port", "0", "--host", "192.0.2.1"], 1, "no address of this machine"),
]


@pytest.mark.parametrize(("args", "status", "says"), WRONG, ids=[" ".join(args) for args, _, _ in WRONG])
def test_what_goes_wrong_is_said_in_a_sentence(server: Running, args: list[str], status: int, says: str) -> None:
    """On standard error, with what to do, and with the right exit status; never a traceback."""
    ran = server.tyst(*args)
    assert ran.status == status
    assert ran.out == ""
    assert says in re.sub(r"[\s│]+", " ", ran.err)


@pytest.mark.parametrize(
    ("environ", "status", "says"),
    [
        ({}, 1, "tyst serve"),
        ({"TYST_URL": "http://127.0.0.1:1"}, 1, "TYST_API_KEY is not"),
        ({"TYST_URL": "http://127.0.0.1:1", "TYST_API_KEY": "x"}, 1, "nothing answers at http://127.0.0.1:1"),
        ({"TYST_URL": "stats.example.com", "TYST_API_KEY": "x"}, 1, "https://stats.example.com"),
        ({"TYST_DATADIR": "x"}, 2, "TYST_DATADIR"),
        ({"TYST_PORT": "many"}, 2, "TYST_PORT"),
    ],
)
def test_a_server_that_cannot_be_found(tmp_path: Path, environ: dict[str, str], status: int, says: str) -> None:
    """Where it was looked for, and what to do."""
    ran = tyst("site", "list", directory=tmp_path, **environ)
    assert (ran.status, ran.out) == (status, "")
    assert says in ran.err


def test_a_wrong_key_is_told_apart_from_no_server(server: Running) -> None:
    """The message names the variable to look at."""
    ran = server.tyst("site", "list", TYST_API_KEY="tyst_00000000_wrong")
    assert ran.status == 1
    assert "TYST_API_KEY" in ran.err


def test_the_key_of_the_data_directory_is_not_sent_elsewhere(server: Running) -> None:
    """An address from TYST_URL gets the key of TYST_API_KEY or none."""
    ran = server.tyst("site", "list", TYST_URL=server.url)
    assert ran.status == 1
    assert "TYST_API_KEY" in ran.err


def test_a_taken_port_names_who_has_it(tmp_path: Path) -> None:
    """And how to choose another."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = tyst("serve", "--port", str(port), directory=tmp_path)
    assert ran.status == 1
    assert f"port {port} is taken" in ran.err
    assert f"(process {os.getpid()})" in ran.err
    assert "--port" in ran.err


def test_a_data_directory_in_use_names_the_process(server: Running) -> None:
    """And where it serves."""
    ran = server.tyst("serve", "--port", "0")
    assert ran.status == 1
    assert f"process {server.process.pid}" in ran.err
    assert server.url in ran.err


@pytest.mark.parametrize("place", ["a-file", "/proc/tyst"])
def test_a_data_directory_that_cannot_be_is_said(tmp_path: Path, place: str) -> None:
    """Before anything else is tried."""
    (tmp_path / "a-file").touch()
    ran = tyst("serve", "--port", "0", directory=tmp_path, TYST_DATA_DIR=place)
    assert ran.status == 1
    assert f"the data directory {place} cannot be used" in ran.err


@pytest.mark.parametrize(("file", "reason"), [("secret.key", "no text"), ("spool/1/events.db", "not a database")])
def test_a_data_directory_that_is_damaged_is_said(tmp_path: Path, file: str, reason: str) -> None:
    """With what to do about it, and without a traceback."""
    damaged = tmp_path / "data" / file
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"\xff damaged" * 200)
    ran = tyst("serve", "--port", "0", directory=tmp_path, TYST_DATA_DIR="data")
    assert ran.status == 1
    assert reason in ran.err
    assert "Put back a copy" in ran.err
    assert "Traceback" not in ran.err


def test_a_clickhouse_that_does_not_answer_is_said_without_its_password(tmp_path: Path) -> None:
    """In the operating system's words; what was sent to whom stays out of the terminal."""
    ran = tyst("serve", "--port", "0", directory=tmp_path, TYST_CLICKHOUSE_DSN="http://tyst:s3cret@127.0.0.1:1/tyst")
    assert ran.status == 1
    assert "Connection refused" in ran.err
    assert "s3cret" not in ran.err


def test_starting_and_stopping_again(tmp_path: Path) -> None:
    """The password is printed once, what was set stays, and both signals end it with status 0."""
    first = start(tmp_path, "serve", "--port", "0")
    password = re.search(r"password (\S+)", first.greeting)
    assert password
    assert first.tyst("site", "add", "kept.test").status == 0
    assert stop(first, signal.SIGINT) == (0, "Stopped.\n")
    assert not (tmp_path / "data" / "server.json").exists()
    second = start(tmp_path, "serve", "--port", "0", TYST_ADMIN_PASSWORD="another one")
    assert password[1] not in second.greeting
    assert "kept.test" in second.tyst("site", "list").out
    assert stop(second, signal.SIGTERM) == (0, "Stopped.\n")
    assert password[1] not in (tmp_path / "server.log").read_text()


def test_the_version_and_help_need_no_server(tmp_path: Path) -> None:
    """`--version` is one line; every command explains itself."""
    assert re.fullmatch(r"tyst \d+\.\d+\.\d+\n", tyst("--version", directory=tmp_path).out)
    assert tyst("serve", "--help", directory=tmp_path).status == 0
    site = ("add", "list", "set", "rename", "reset", "remove")
    commands = ["serve", "demo", "check", *(f"site {verb}" for verb in site)]
    commands += [*(f"user {verb}" for verb in ("add", "list", "remove", "passwd"))]
    commands += [*(f"key {verb}" for verb in ("create", "list", "revoke"))]
    for command in commands:
        ran = CliRunner().invoke(app, [*command.split(), "--help"], env={"COLUMNS": "80"}, prog_name="tyst")
        assert ran.exit_code == 0
        assert f"Usage: tyst {command}" in ran.output
        assert max(map(len, ran.output.splitlines())) <= 80


def test_output_is_plain_where_nobody_looks(server: Running) -> None:
    """No colour codes in a pipe."""
    for args in (["site", "list"], ["check"], ["site", "remove", "zzz"]):
        ran = server.tyst(*args)
        assert "\x1b" not in ran.out + ran.err


def test_a_terminal_obeys_no_name(server: Running) -> None:
    """Neither of a file nor of what a server says: what would clear the screen or set its title is shown. Bold text is
    still bold."""
    odd = "evil\x1b[2J\x1b]0;title\x07.csv"
    (server.directory / odd).write_text("no table of any product\n")
    for args in (["import", odd, "--site", "site.test"], ["restore", f"gone-{odd}", "--yes"], ["site", "add", odd]):
        ran = server.tyst(*args)
        assert ran.status != 0
        assert "\x1b" not in ran.out + ran.err, args
    screen = io.StringIO()
    shown = PlainConsole(file=screen, force_terminal=True, color_system="standard", highlight=False, width=80)
    table = Table()
    table.add_column("Name")
    table.add_row(escape(odd))
    shown.print(table)
    shown.print(f"[bold]{escape(odd)}[/]")
    text = screen.getvalue()
    assert text.count("evil\\x1b[2J\\x1b]") == 2
    assert "\x1b[1m" in text
    assert "\x1b[2J" not in text
