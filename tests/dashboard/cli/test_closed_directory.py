"""A data directory that belongs to somebody else, as a service's does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

NOBODY = 65534
CONNECT = """
import os, sys
from dashboard.cli.http_client import ServerNotReached, connect
os.geteuid() or os.setuid(int(sys.argv[2]))
try:
    connect({"TYST_DATA_DIR": sys.argv[1]})
except ServerNotReached as error:
    print(error)
"""


def test_a_directory_that_only_its_owner_reads_is_said_to_be_so(tmp_path: Path) -> None:
    """The server may run there: that it does not is nothing that anybody else can tell."""
    data = tmp_path / "private" / "data"
    data.mkdir(parents=True)
    (tmp_path / "private").chmod(0o700 if os.geteuid() == 0 else 0)
    done = subprocess.run(
        [sys.executable, "-c", CONNECT, data, str(NOBODY)], capture_output=True, text=True, timeout=60, check=True
    )
    (tmp_path / "private").chmod(0o700)
    assert "can be read by its owner only" in done.stdout
    assert "not running" not in done.stdout
