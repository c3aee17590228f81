"""The lock on the data directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from collector.core.errors import DataDirectoryInUse
from collector.core.file_locks import lock_data_dir


def test_one_process_has_the_data_directory(tmp_path: Path) -> None:
    """The second process is told who has it, and has it once the first is gone."""
    first = lock_data_dir(tmp_path)
    with pytest.raises(DataDirectoryInUse, match=str(os.getpid())):
        lock_data_dir(tmp_path)
    os.close(first)
    os.close(lock_data_dir(tmp_path))
