"""The built wheel is whole: installed elsewhere, it serves all there is to serve."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.length import long
from tests.running import Running, start, stop

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("pyproject.toml", "README.md", "LICENSE", ".gitignore", "schema.sql", "collector", "dashboard", "snippet")
MAIN = (sys.executable, "-c", "import sys; from dashboard.cli.main import main; sys.exit(main())")


def built_distributions(copy: Path) -> list[Path]:
    """The source distribution and the wheel, built in `copy` from a copy of the checkout, as `make dist` does."""
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, copy / part, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
        else:
            shutil.copy(source, copy / part)
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", "dist"], cwd=copy, check=True)
    return sorted((copy / "dist").iterdir())


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Both, in order of name."""
    return built_distributions(tmp_path_factory.mktemp("checkout"))


@pytest.fixture(scope="module")
def wheel(distributions: list[Path]) -> Path:
    """The wheel."""
    (found,) = (path for path in distributions if path.suffix == ".whl")
    return found


@long
def test_the_source_distribution_makes_the_same_wheel(distributions: list[Path], wheel: Path, tmp_path: Path) -> None:
    """Without npm: what it built is in there."""
    (source,) = (path for path in distributions if path.suffix == ".gz")
    with tarfile.open(source) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.iterdir()
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "again")]
    subprocess.run(command, cwd=unpacked, check=True)
    (again,) = (tmp_path / "again").iterdir()
    assert zipfile.ZipFile(again).namelist() == zipfile.ZipFile(wheel).namelist()


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that holds the installed wheel alone; what it depends on comes from where the tests run."""
    target = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", target, wheel]
    subprocess.run([*map(str, pip)], env={**os.environ, "PIP_ROOT_USER_ACTION": "ignore"}, check=True)
    return target


@pytest.fixture(scope="module")
def server(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """`tyst serve` of the installed wheel, started in an empty directory."""
    empty = tmp_path_factory.mktemp("empty")
    running = start(empty, "serve", "--port", "0", command=MAIN, PYTHONPATH=str(installed))
    yield running
    stop(running)


def test_the_wheel_has_what_the_program_reads(wheel: Path) -> None:
    """Schema, snippet, data files, templates, languages, styles and vendored scripts are in it.

    Sources of the front end and tests are not.
    """
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"collector/files/schema.sql", "collector/files/tyst.js", "collector/files/tyst.js.br"} <= names
    for part in ("collector/files", "dashboard/data", "dashboard/templates", "dashboard/static", "dashboard/languages"):
        ours = {path.relative_to(ROOT).as_posix() for path in (ROOT / part).rglob("*") if path.is_file()}
        assert ours
        assert ours <= names
    assert any(name.startswith("dashboard/static/vendor/") and name.endswith(".js") for name in names)
    assert not [name for name in names if name.startswith(("tests/", "snippet/", "dashboard/frontend/"))]
    assert any(name.endswith("licenses/LICENSE") for name in names)


@long
def test_it_runs_from_where_it_was_installed(installed: Path, tmp_path: Path) -> None:
    """Not from the checkout that the tests run in."""
    ask = "import collector, dashboard; print(collector.__file__, dashboard.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", ask],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert [Path(name).parents[1] for name in done.stdout.split()] == [installed, installed]


def test_it_serves_from_an_empty_directory(server: Running) -> None:
    """Dashboard, snippet, health, and every file that its pages name."""
    assert server.tyst("site", "add", "wheel.test").status == 0
    password = re.search(r"password (\S+)", server.greeting)
    assert password
    with httpx.Client(base_url=server.url, follow_redirects=True, timeout=60) as client:
        client.post("/login", data={"name": "admin", "password": password[1], "next": "/"})
        pages = [client.get(path) for path in ("/", "/wheel.test", "/wheel.test/install")]
        assert [page.status_code for page in pages] == [200, 200, 200]
        files = {file for page in pages for file in re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text)}
        assert {".css", ".js", ".svg"} <= {Path(file).suffix for file in files}
        for file in files:
            assert client.get(file).status_code == 200, file
        snippet = client.get("/js/tyst.js")
        assert snippet.status_code == 200
        assert "javascript" in snippet.headers["content-type"]
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code == 200
    assert (server.directory / "data" / "clickhouse").is_dir()
