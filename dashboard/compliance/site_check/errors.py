"""Errors of the site check."""

from __future__ import annotations

from typing import Literal

from collector.core.errors import TystError

Obstacle = Literal["scheme", "address", "port", "name", "connection", "certificate", "time", "redirects", "encoding"]


class FetchError(TystError):
    """A page of somebody else's could not be fetched. `obstacle` says what was in the way, `host` where."""

    def __init__(self, obstacle: Obstacle, host: str) -> None:
        super().__init__(f"{host}: {obstacle}")
        self.obstacle = obstacle
        self.host = host
