"""The commands of the README, as they stand there, into a directory in the place of `/`."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.length import long
from tests.project.test_wheel import built_distributions
from tests.running import Running, environment, start, stop

pytestmark = long

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^## (?P<title>[^\n]+)\n(?:(?!^## ).)*?^```sh\n(?P<commands>.*?)^```", re.S | re.M)
ELSEWHERE = ("apt ", "systemctl ", "journalctl ")
"""What changes or asks the whole machine. The unit's own lines stand for it, and tests of the proxies for Caddy."""


def commands(title: str) -> list[str]:
    """The commands below a heading, one by one, without `sudo` and comments."""
    (block,) = (each["commands"] for each in BLOCK.finditer((ROOT / "README.md").read_text()) if each["title"] == title)
    lines = [re.sub(r"\s+#.*", "", line) for line in block.splitlines()]
    return [part.strip().replace("sudo ", "") for line in lines for part in line.split(" && ")]


class Machine:
    """A directory in the place of `/`, and in it a home with what `make dist` made and `deploy/`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._aliases = ""
        for folder in ("build", "home/dist", "opt", "etc/systemd/system", "etc/caddy", "var/lib", "var/backups"):
            (root / folder).mkdir(parents=True)
        for file in built_distributions(root / "build"):
            file.rename(root / "home/dist" / file.name)
        (root / "home/deploy").symlink_to(ROOT / "deploy")

    def path(self, text: str) -> str:
        """A text with this machine's paths."""
        return re.sub(r"(?<![\w.*])/(opt|etc|var)/", rf"{self._root}/\1/", text)

    def run(self, command: str, answer: str = "") -> subprocess.CompletedProcess[str]:
        """What a shell makes of the command."""
        if command.startswith("alias "):
            self._aliases += self.path(command) + "\n"
        done = subprocess.run(
            ["/bin/sh", "-c", f"{self._aliases}{self.path(command)}"],
            cwd=self._root / "home",
            env={**environment(), "PATH": os.environ["PATH"], "PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1"},
            input=answer,
            capture_output=True,
            text=True,
            check=False,
        )
        if " -m venv " in command:
            # What the wheel depends on comes from where the tests run.
            (packages,) = (self._root / "opt/tyst/lib").glob("python3.*/site-packages")
            (packages / "tests.pth").write_text(str(Path(httpx.__file__).parents[1]))
        return done

    def serve(self) -> Running:
        """What the unit starts, with its environment."""
        unit = self.path((self._root / "etc/systemd/system/tyst.service").read_text())
        (command,) = re.findall(r"^ExecStart=(.*)$", unit, re.M)
        (settings,) = re.findall(r"^EnvironmentFile=-(.*)$", unit, re.M)
        lines = [*re.findall(r"^Environment=(.*)$", unit, re.M), *Path(settings).read_text().split()]
        environ = dict(line.split("=", 1) for line in lines)
        return start(
            self._root / "home", *shlex.split(command)[1:], command=(shlex.split(command)[0],), TYST_PORT="0", **environ
        )


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """Where Tyst was installed by the README."""
    found = Machine(tmp_path_factory.mktemp("machine"))
    for command in commands("Run it in production"):
        if not command.startswith(ELSEWHERE):
            done = found.run(command.replace("python3 ", f"{sys.executable} ", 1) if "-m venv" in command else command)
            assert done.returncode == 0, f"{command}: {done.stderr}"
    return found


@pytest.fixture(scope="module")
def server(machine: Machine) -> Iterator[Running]:
    """What systemd would have started then."""
    running = machine.serve()
    yield running
    stop(running)


def test_it_serves_under_its_public_name_and_tells_the_first_password(machine: Machine, server: Running) -> None:
    """And sites are added by the command that stands there, whose tag has the public address."""
    assert re.search(r"password \S+", server.greeting, re.I)
    done = machine.run("tyst site add example.com --timezone Europe/Stockholm")
    assert done.returncode == 0, done.stderr
    assert 'src="https://stats.example.com/js/tyst.js"' in done.stdout


@pytest.mark.usefixtures("server")
def test_it_is_backed_up_upgraded_and_restored(machine: Machine) -> None:
    """A restore asks first, and has then everything of the backup."""
    backup, upgrade, _restart, restore = commands("Upgrade and back up")
    for command in (backup, upgrade):
        done = machine.run(command)
        assert done.returncode == 0, f"{command}: {done.stderr}"
    machine.run("tyst site add later.example")
    asked = machine.run(restore)
    assert asked.returncode != 0
    assert "would replace everything" in asked.stderr
    assert machine.run(f"{restore} --yes").returncode == 0
    sites = machine.run("tyst site list").stdout
    assert "example.com" in sites
    assert "later.example" not in sites
