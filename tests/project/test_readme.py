"""The README and the documentation keep up with the program: what exists is there, and what is there exists."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from collector.core.metrics import REASONS, TRIMMED_KEYS
from collector.core.settings import OTHER_VARIABLES
from collector.core.settings_table import SETTINGS
from collector.server.event_endpoint import EVENT_PATH
from collector.server.pixel import PIXEL_PATH
from collector.sites.model import POLICIES
from dashboard.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
DOCS = ROOT / "docs"
SNIPPET = (ROOT / "snippet" / "tyst.js").read_text()


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the tables under a heading of a page in `docs/`, headings of columns left out."""
    section = re.split(rf"(?:\A|\n)##? {heading}\n", (DOCS / page).read_text())[1].split("\n## ")[0]
    lines = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip(" |") for cell in line] for line in lines if not set(line[0]) <= set("-: |")][1:]


def spans(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_is_listed_as_it_is(setting: object) -> None:
    """Name, default and what it does, word for word, in the table's order."""
    listed = {row[0]: row[1:] for row in rows("settings.md", "Settings")}
    name, default, help_ = setting.name, setting.default, setting.help  # type: ignore[attr-defined] # a Setting
    assert listed[f"`{name}`"] == [f"`{default}`" if default else "", help_.replace("](docs/", "](")]


def test_no_setting_is_listed_that_is_none() -> None:
    """And the variables of the command line are named."""
    assert [row[0] for row in rows("settings.md", "Settings")] == [f"`{setting.name}`" for setting in SETTINGS]
    for name in OTHER_VARIABLES - {"TYST_TEST_CLICKHOUSE_DSN"}:
        assert f"`{name}`" in (DOCS / "settings.md").read_text()


def test_every_drop_reason_is_explained() -> None:
    """The closed set, no more and no less."""
    assert [spans(row[0]) for row in rows("events.md", "Drop reasons")] == [[reason] for reason in REASONS]


def test_every_part_that_may_be_cut_is_explained() -> None:
    """The closed set of keys that `X-Tyst-Trimmed` names, in its order."""
    assert [spans(row[0]) for row in rows("events.md", "Trimmed parts of an event")] == [[key] for key in TRIMMED_KEYS]


def test_every_policy_is_explained() -> None:
    """What is kept without consent and with it."""
    for policy in POLICIES:
        assert re.search(rf"^\| `{policy}`", README, flags=re.MULTILINE)


def test_every_banner_of_the_snippet_is_named() -> None:
    """The adapters that the snippet has are those that its README offers."""
    adapters = SNIPPET.split("const banners = {")[1].split("\n  }\n")[0]
    ours = set(re.findall(r"^    (\w+)(?:\(|: )", adapters, flags=re.MULTILINE))
    listed = spans((ROOT / "snippet" / "README.md").read_text().split("`data-cmp`")[1].split("\n")[0])
    assert ours <= set(listed)


def documented() -> set[tuple[str, str]]:
    """Method and path of each endpoint in the table; one cell may hold several of both."""
    pairs = set()
    for row in rows("endpoints.md", "Endpoints"):
        for span in spans(row[0]):
            *methods, path = span.split()
            pairs |= {(method, path) for method in methods}
    return pairs


# In a process of its own: one process opens one embedded database in its life.
LIST_ROUTES = """
import anyio, json
from collector.core.settings import read_settings
from dashboard.server.app import build
from dashboard.server.demo.timeline import DemoPlan

built = build(read_settings({"TYST_DATA_DIR": "data"}), demo=DemoPlan(events=10, days=1))

async def started_and_stopped():
    async with built.router.lifespan_context(built):
        pass

anyio.run(started_and_stopped)
print(json.dumps([[route.path, sorted(route.methods - {"HEAD"})] for route in built.routes]))
"""


def served(directory: Path) -> set[tuple[str, str]]:
    """Method and path of each address that the whole application answers."""
    command = [sys.executable, "-c", LIST_ROUTES]
    listed = subprocess.run(command, cwd=directory, check=True, stdout=subprocess.PIPE).stdout
    pairs = {("POST", EVENT_PATH), ("DELETE", EVENT_PATH), ("GET", PIXEL_PATH)}
    for path, methods in json.loads(listed):
        plain = re.sub(r"\{(\w+)[^}]*\}", lambda name: name[1].upper(), path)
        pairs |= {(method, plain) for method in methods}
    return pairs


def test_every_endpoint_is_listed(tmp_path: Path) -> None:
    """What programs and operators call is in the table, and what is in the table is served."""
    answered = served(tmp_path)
    assert documented() <= answered
    # Pages of the dashboard and of the demonstration are found by clicking.
    inner = re.compile(r"/(?:DOMAIN/|share/TOKEN/|demo/|static/)")
    assert {pair for pair in answered if not inner.match(pair[1])} == documented()


def commands() -> dict[str, set[str]]:
    """Every command of the command line with its options."""
    found: dict[str, set[str]] = {}
    root = get_command(app)
    assert isinstance(root, TyperGroup)
    waiting = list(root.commands.items())
    while waiting:
        name, command = waiting.pop()
        if isinstance(command, TyperGroup):
            waiting += [(f"{name} {verb}", each) for verb, each in command.commands.items()]
            continue
        shown = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
        options = {option for parameter in shown for option in parameter.opts if option.startswith("--")}
        found[name] = options - {"--help", "--json"}
    return found


def test_every_command_is_listed_with_its_options() -> None:
    """The table of the command line has each command once, and each option."""
    listed = {}
    for row in rows("command-line.md", "Command line"):
        name = re.sub(r" [A-Z]+$", "", spans(row[0])[0].removeprefix("tyst "))
        listed[name] = {span for span in spans(row[1]) if span.startswith("--")}
    assert set(listed) == set(commands())
    for name, options in commands().items():
        # `site set` changes what `site add` sets.
        assert listed[name] == options or (name == "site set" and options == listed["site add"])


def test_every_proof_exists() -> None:
    """Each promise names tests, and those that promises, documents and the security page name are there."""
    promises = [spans(row[1]) for row in rows("privacy.md", "Promises and tests")]
    assert len(promises) > 8
    assert all(promises)
    pages = [page.read_text() for page in (*(ROOT / "docs").glob("*.md"), ROOT / "SECURITY.md")]
    named = [span for text in pages for span in spans(text) if span.startswith("tests/")]
    assert len(named) > 40
    for proof in {*named, *(span for proofs in promises for span in proofs)}:
        path, _, function = proof.partition("::")
        names = {node.name for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, TEST)}
        assert not function or function in names, proof
        assert any(name.startswith("test_") for name in names), proof


def test_each_attack_of_the_threat_model_has_an_answer_and_says_what_shows_it() -> None:
    """No cell of its tables of attacks is empty, and a line that no test shows says so in words."""
    model = (ROOT / "docs" / "threat-model.md").read_text().split("## Who might attack")[1].split("## What is left")[0]
    attacks = [line.strip("| ").split(" | ") for line in model.splitlines() if line.startswith("| ")]
    attacks = [cells for cells in attacks if cells[0] not in ("can they", "---")]
    assert len(attacks) > 20
    for cells in attacks:
        assert len(cells) == 3, cells
        assert all(cells), cells


TEST = (ast.FunctionDef, ast.AsyncFunctionDef)


def test_the_table_of_changes_leads_somewhere() -> None:
    """Every path that CONTRIBUTING.md names exists."""
    contributing = re.sub(r"```.*?```", "", (ROOT / "CONTRIBUTING.md").read_text(), flags=re.DOTALL)
    named = [span for span in spans(contributing) if re.fullmatch(r"[\w./-]+/[\w./-]*", span)]
    assert len(named) > 40
    for path in named:
        assert (ROOT / path).exists(), path


def test_the_readme_is_short() -> None:
    """What a reader decides by is on at most 180 lines; all else is in `docs/`."""
    assert len(README.splitlines()) <= 180


ANCHOR = re.compile(r"^#+ (.*)$", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the documentation site make them."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        for heading in ANCHOR.findall(page.read_text())
    }


@pytest.mark.parametrize(
    "page",
    [
        *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")),
        ROOT / "snippet" / "README.md",
        *sorted(DOCS.glob("*.md")),
    ],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_every_link_leads_somewhere(page: Path) -> None:
    """To a file that is there, and to a heading that it has; pictures among them."""
    for target, _, anchor in re.findall(r"\]\(([^)#\s]*)(#([^)\s]+))?\)", page.read_text()):
        if target.startswith(("https://", "http://127.0.0.1")):
            continue
        file = (page.parent / target).resolve() if target else page
        assert file.is_file(), target
        assert not anchor or anchor in anchors(file), (target, anchor)


def test_every_page_is_in_the_navigation() -> None:
    """Of the documentation site; the API, the wire format and the platforms are made for it."""
    named = set(re.findall(r'"([\w-]+\.md)"', (DOCS / "zensical.toml").read_text()))
    assert named == {page.name for page in DOCS.glob("*.md")} | {"api.md", "snippet.md", "platforms.md"}
