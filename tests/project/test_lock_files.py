"""What is installed is what was chosen: every dependency is pinned, with hashes, and no file names a registry."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-build.lock")
_REQUIREMENT = re.compile(r"([a-z0-9][a-z0-9._-]*)(?:\[[a-z0-9,._-]+\])?==([^\s;]+)", re.IGNORECASE)


def pinned(lock: str) -> dict[str, tuple[str, list[str]]]:
    """Version and hashes of each package of a lock file, by name. Raises where a line is anything else."""
    found = {}
    for line in (ROOT / lock).read_text().replace("\\\n", " ").splitlines():
        if not line.strip():
            continue
        requirement = _REQUIREMENT.match(line)
        assert requirement, f"{lock}: {line[:80]}"
        found[_named(requirement[1])] = (requirement[2], re.findall(r"--hash=sha256:([0-9a-f]{64})\b", line))
    return found


def _named(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_is_pinned_with_its_hashes(lock: str) -> None:
    """One version each, and for each file that may be installed its SHA-256."""
    packages = pinned(lock)
    assert packages
    assert [name for name, (_, hashes) in packages.items() if not hashes] == []
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert not re.search(r"^\s*-{1,2}(?:index|extra|find|trusted|e\b|r\b)", text, re.MULTILINE)


def test_what_is_asked_for_is_in_the_lock() -> None:
    """Each dependency of the project, and of its development."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {
        "requirements.lock": project["dependencies"],
        "requirements-dev.lock": [each for extra in project["optional-dependencies"].values() for each in extra],
    }
    for lock, requirements in wanted.items():
        names = {_named(re.split(r"[\[<>=!~; ]", each)[0]) for each in requirements} - {"tyst"}
        assert names - set(pinned(lock)) == set()


def test_both_locks_agree() -> None:
    """What is tested is what is run."""
    run, dev = pinned("requirements.lock"), pinned("requirements-dev.lock")
    assert {name: version for name, (version, _) in run.items()} == {
        name: version for name, (version, _) in dev.items() if name in run
    }


_EXACT = r"(npm:[\w@/.-]+@)?\d+\.\d+\.\d+[\w.+-]*"
"""A version, of a package under another name too."""


def test_packages_from_npm_are_pinned_with_their_hashes() -> None:
    """Exact versions in package.json, and an integrity for everything in its lock."""
    frontend = ROOT / "dashboard" / "frontend"
    package = json.loads((frontend / "package.json").read_text())
    asked = {**package.get("dependencies", {}), **package.get("devDependencies", {})}
    assert [name for name, version in asked.items() if not re.fullmatch(_EXACT, version)] == []
    locked = json.loads((frontend / "package-lock.json").read_text())["packages"]
    unpinned = [name for name, each in locked.items() if name and not each.get("link") and not each.get("integrity")]
    assert unpinned == []
