"""`python -m bench tests`: the tests that are short in `make test`, at length; what is given is pytest's.

Those that import `tests.length`: more examples of the same properties, on every kind of database and in every form.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from tests.launcher import ROOT


def modules() -> list[str]:
    """The test modules that have a long form."""
    found = (ROOT / "tests").rglob("test_*.py")
    return sorted(str(path.relative_to(ROOT)) for path in found if "from tests.length import" in path.read_text())


def main(arguments: Sequence[str]) -> int:
    """Run them in one process; its exit status."""
    unit, browser = (
        [name for name in modules() if name.startswith("tests/browser/") is shown] for shown in (False, True)
    )
    environ = {**os.environ, "TYST_TESTS": "long"}
    # The browser's driver keeps an event loop running in its process.
    commands = [[sys.executable, "-m", "pytest", "-q", *arguments, *each] for each in (unit, browser) if each]
    return max(subprocess.run(each, cwd=ROOT, env=environ, check=False).returncode for each in commands)
