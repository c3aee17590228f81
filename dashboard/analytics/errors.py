"""Errors of analytics queries."""

from __future__ import annotations

from collector.core.errors import TystError


class QueryError(TystError):
    """A query that cannot be answered as asked. `field` is its key in the request, `expected` what belongs there."""

    def __init__(self, field: str, expected: str) -> None:
        super().__init__(f"{field}: {expected}")
        self.field = field
        self.expected = expected


class QueryTooLarge(TystError):
    """A query took longer, or found more rows, than one reader may ask for."""


class QueueFull(TystError):
    """Too many statements wait at the moment. `retry_after` is in seconds."""

    retry_after = 5
