"""Clients of the embedded engine. Importing this loads the engine, so it is imported when the first one is opened."""

from __future__ import annotations

import sys
from typing import Any, ClassVar

# chDB imports pyarrow where that is installed, which takes 28 MB of memory, and needs it for Arrow tables only.
_held_back = "pyarrow" not in sys.modules
if _held_back:
    sys.modules["pyarrow"] = None  # type: ignore[assignment]
try:
    import chdb.state.sqlitelike  # noqa: F401
    from clickhouse_connect.driver._chdbclient import ChdbClient
finally:
    if _held_back:
        del sys.modules["pyarrow"]


class EmbeddedClient(ChdbClient):
    """A client that knows the engine's version and settings from the first one. Both are those of the process, and the
    driver would read a thousand settings for each client, which takes longer than most statements."""

    _known: ClassVar[Any] = None

    def _init_common_settings(self, *policy: Any) -> None:
        if self._known is None:
            super()._init_common_settings(*policy)
        else:
            super()._apply_init_result(self._known)

    def _apply_init_result(self, found: Any) -> None:
        type(self)._known = found
        super()._apply_init_result(found)
