"""After its destruction a salt is in no memory of the running process and on no disk: an id cannot be made again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from collector.privacy.visitor_id import SALT_BYTES, visitor_id
from tests.held_salts import ADDRESS, SITE, USER_AGENT

ROOT = Path(__file__).resolve().parents[3]
CHUNK = 16 << 20


def memory_of(pid: int) -> Iterator[bytes]:
    """Everything that the process can read and write, piece by piece, each with the end of the one before."""
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights = line.split()[:2]
            if not rights.startswith("rw"):
                continue
            start, end = (int(text, 16) for text in span.split("-"))
            for at in range(start, end, CHUNK):
                memory.seek(max(start, at - SALT_BYTES))
                try:
                    yield memory.read(min(CHUNK + SALT_BYTES, end - at + SALT_BYTES))
                except OSError:
                    continue  # a page that is reserved and not there


def copies(pid: int, salt: bytes) -> int:
    """How many times the salt is in the process's memory; as text in hexadecimal it would be in none either."""
    return sum(piece.count(salt) + piece.count(salt.hex().encode()) for piece in memory_of(pid))


def test_a_destroyed_salt_is_in_no_memory_and_on_no_disk(tmp_path: Path) -> None:
    """Who has the process's memory and every byte on its disk, and knows address, user agent and site, does not find
    the key of the id that is stored. While the salt was there the same search found it in both."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.held_salts", str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    ) as process:  # fmt: skip
        assert process.stdin
        assert process.stdout
        stored = json.loads(process.stdout.readline())["visitor"]
        salt = (tmp_path / "salts" / "2041-03-09").read_bytes()
        assert visitor_id(salt, SITE, ADDRESS, USER_AGENT) == stored
        assert copies(process.pid, salt) >= 1
        assert on_disk(tmp_path, salt)
        process.stdin.write("on\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline()) == ["2041-03-10", "2041-03-11"]
        assert copies(process.pid, salt) == 0
        assert not on_disk(tmp_path, salt)
        kept = (tmp_path / "salts" / "2041-03-10").read_bytes()
        assert copies(process.pid, kept) >= 1, "the search still sees"
        process.stdin.close()
        assert process.wait(60) == 0
    assert not on_disk(tmp_path, salt)


def on_disk(directory: Path, salt: bytes) -> list[Path]:
    """Files that have the salt."""
    found = []
    for path in directory.rglob("*"):
        try:
            if path.is_file() and salt in path.read_bytes():
                found.append(path)
        except OSError:
            continue
    return found
