"""The listening socket, and the file by which commands find the server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dashboard.server.sockets import (
    CannotListen,
    Server,
    bind,
    read_server_info,
    remove_server_info,
    write_server_info,
)

_HOLDER = """
import sys
from pathlib import Path
from collector.core.file_locks import lock_data_dir
lock_data_dir(Path(sys.argv[1]))
print("locked", flush=True)
sys.stdin.read()
"""

_READER = """
import sys
from pathlib import Path
from dashboard.server.sockets import read_server_info
print(read_server_info(Path(sys.argv[1])))
"""


@pytest.mark.parametrize("host", ["..", "a" * 300, "[::1", "http://127.0.0.1", "nowhere.invalid"])
def test_what_is_no_address_is_said_to_be_none(host: str) -> None:
    """Also what cannot be a name at all."""
    with pytest.raises(CannotListen, match="is no address of this machine"):
        bind(host, 0)


def test_the_key_goes_to_no_server_that_was_killed(tmp_path: Path) -> None:
    """Its file stays, and its port is free for any user of the machine."""
    server = Server(url="http://127.0.0.1:8000", key="secret", pid=os.getpid())
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"locked\n"
    write_server_info(tmp_path, server)
    assert read_server_info(tmp_path) == server
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert read_server_info(tmp_path) is None


@pytest.mark.parametrize("kind", ["pipe", "link", "directory"])
def test_what_is_no_file_of_a_server_keeps_no_command_waiting(tmp_path: Path, kind: str) -> None:
    """As root reads a directory that somebody else owns: nobody ever writes into that pipe."""
    place, pipe = tmp_path / "server.json", tmp_path / "pipe"
    if kind == "directory":
        place.mkdir()
    else:
        os.mkfifo(pipe)
        place.symlink_to(pipe) if kind == "link" else pipe.rename(place)
    done = subprocess.run([sys.executable, "-c", _READER, tmp_path], capture_output=True, timeout=60, check=True)
    assert done.stdout == b"None\n"


def test_a_stop_on_a_disk_that_takes_nothing_is_no_error(tmp_path: Path) -> None:
    """What else is to be done at the end is done."""
    (tmp_path / "server.json").mkdir()
    remove_server_info(tmp_path)
