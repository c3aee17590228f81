"""`python -m tests.faults.clocked PORT FILE`: the server, with a clock that is off by the seconds that FILE holds."""

from __future__ import annotations

import logging.config
import os
import sys
import time
from pathlib import Path

import uvicorn

from collector.core.clock_monitor import uptime
from collector.core.settings import read_settings
from dashboard.access.api_keys import admin_key
from dashboard.server.app import build
from dashboard.server.log_config import log_config
from dashboard.server.sockets import Server, write_server_info


def main(port: int, offset: Path) -> None:
    """Serve until told to stop."""
    settings = read_settings(os.environ)

    def clock() -> float:
        return time.time() + float(offset.read_text() or 0)

    logging.config.dictConfig(log_config(settings.log_level))
    app = build(settings, clock=clock, since_boot=uptime)
    write_server_info(
        settings.data_dir, Server(url=f"http://127.0.0.1:{port}", key=admin_key(settings.data_dir), pid=os.getpid())
    )
    uvicorn.run(
        app, host="127.0.0.1", port=port, log_config=log_config(settings.log_level), access_log=False, lifespan="on"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
