"""Errors of analytics queries."""

from __future__ import annotations

from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

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


def classified(error: DatabaseError) -> Exception | None:
    """What a reader is told of an error, by its number in ClickHouse's ErrorCodes.cpp."""
    match error.code:
        # SOCKET_TIMEOUT, NETWORK_ERROR, ALL_CONNECTION_TRIES_FAILED, NO_REMOTE_SHARD_AVAILABLE
        case 209 | 210 | 279 | 519:
            return OperationalError("a node of the ClickHouse cluster does not answer")
        case 158 | 159 | 396 | 241:  # TOO_MANY_ROWS, TIMEOUT_EXCEEDED, TOO_MANY_ROWS_OR_BYTES, MEMORY_LIMIT_EXCEEDED
            return QueryTooLarge("the query takes too long or finds too much; narrow its dates or filters")
        case 427:  # CANNOT_COMPILE_REGEXP, and Hyperscan's form of it
            return QueryError("filters", "expected regular expressions in RE2 syntax")
    return None
