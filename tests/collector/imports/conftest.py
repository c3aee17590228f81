"""The fixture of imports."""

from __future__ import annotations

from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from tests.collector.imports.imported import Importing


@pytest.fixture
def importing(database: Client, tmp_path: Path) -> Importing:
    """A site that imports files."""
    return Importing(database, tmp_path)
