"""Errors that cross a module's edge of the dashboard."""

from __future__ import annotations

from typing import Literal

from collector.exceptions import TystError


class QueryError(TystError):
    """A query that cannot be answered as asked. `field` is its key in the request, `expected` what belongs there."""

    def __init__(self, field: str, expected: str) -> None:
        super().__init__(f"{field}: {expected}")
        self.field = field
        self.expected = expected


class QueryTooLarge(TystError):
    """A query took longer, or found more rows, than one reader may ask for."""


Obstacle = Literal["scheme", "address", "port", "name", "connection", "certificate", "time", "redirects", "encoding"]


class FetchError(TystError):
    """A page of somebody else's could not be fetched. `obstacle` says what was in the way, `host` where."""

    def __init__(self, obstacle: Obstacle, host: str) -> None:
        super().__init__(f"{host}: {obstacle}")
        self.obstacle = obstacle
        self.host = host
