"""What is in the files of a database, clean-up of its tables that does not take minutes, and disks that are full."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from clickhouse_connect.driver.client import Client


def bytes_below(*directories: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file below the directories. These come and go meanwhile, which `os.walk` passes over."""
    for directory in directories:
        for place, _, names in os.walk(directory):
            for path in (Path(place, name) for name in names):
                with contextlib.suppress(OSError):
                    yield path, path.read_bytes()


def findable_words(count: int) -> list[str]:
    """Words of twelve letters that a compressed file has as they are: no four of their letters in a row come again, in
    any of them or in what else is there, which has vowels or hexadecimal digits."""
    letters = random.SystemRandom().sample("ghjklmnpqrstvwxz", k=16)
    # Each goes through the letters by an odd step of its own; there are eight.
    return ["".join(letters[(2 * word + 1) * place % 16] for place in range(12)) for word in range(count)]


def clean_up_at_once(client: Client, table: str) -> None:
    """Delete parts that were merged within a second: the table's clean-up takes its pace when it is attached."""
    client.command(
        f"ALTER TABLE {table} MODIFY SETTING old_parts_lifetime = 1, cleanup_delay_period = 1, "
        "max_cleanup_delay_period = 1, cleanup_delay_period_random_add = 0"
    )
    client.command(f"DETACH TABLE {table} SYNC")
    client.command(f"ATTACH TABLE {table}")


@contextlib.contextmanager
def small_disk(place: Path, size: int) -> Iterator[None]:
    """A disk in memory at `place`, of so many bytes. Needs the right to mount."""
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@contextlib.contextmanager
def filled(place: Path, *, left: int = 0) -> Iterator[None]:
    """Nothing more goes onto the disk at `place`, or only so many bytes that are `left`."""
    filler = place / "filler"

    def fill() -> None:
        with contextlib.suppress(OSError), filler.open("ab") as file:
            while not left or shutil.disk_usage(place).free > left:
                free = shutil.disk_usage(place).free - left
                file.write(bytes(max(1, min(free, 1 << 20))))
                file.flush()

    fill()
    try:
        yield
    finally:
        filler.unlink(missing_ok=True)
