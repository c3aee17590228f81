"""`python -m bench tests`: every test at length; what is given is pytest's.

`make test` runs them in short, as `tests.length` says: here each has all its cases and examples, on every kind of
database and in every form, and those that take long run at all.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence

from tests.launcher import ROOT


def main(arguments: Sequence[str]) -> int:
    """Run them as `make test` does, unit and browser tests side by side; the exit status."""
    command = ["make", "--no-print-directory", "--jobs=2", "--keep-going", "--output-sync=target", "unit", "browser"]
    environ = {**os.environ, "TESTS": "long"}
    return subprocess.run([*command, f"ARGS={shlex.join(arguments)}"], cwd=ROOT, env=environ, check=False).returncode
