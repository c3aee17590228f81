"""The web server: startup, shutdown, and the message once it is ready."""

from __future__ import annotations

import contextlib
import gc
import logging
import logging.config
import os
import re
import resource
import signal
import socket
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

import uvicorn
from clickhouse_connect.driver.exceptions import ClickHouseError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from collector.core.app_secret import SHORTEST, short_secrets
from collector.core.environment import restrict_permissions
from collector.core.errors import TystError
from collector.core.settings import Settings
from collector.server.fast_path import FastPathProtocol
from collector.server.header_timeout import HeaderTimeoutProtocol
from collector.storage.client import plain_reason
from dashboard.access.api_keys import admin_key
from dashboard.server.app import build
from dashboard.server.demo.timeline import DemoPlan
from dashboard.server.log_config import log_config
from dashboard.server.sockets import Server, bind, listening, remove_server_info, url_of, write_server_info

log = logging.getLogger(__name__)

# How long requests that are under way may take once the server is told to stop.
GRACE_SECONDS = 10

EARLIEST = 365 * 86_400
"""Unix second before which a clock cannot be right: the end of 1970."""

Greeting = Callable[[str, Any], None]
"""Called once with the server's URL and the application."""


class CannotStart(TystError):
    """The server cannot start; the text says why and what to check."""


class StartupErrorCapture:
    """The application, remembering why its start failed, so that the reason can be told without a traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        # Beacons take the short way past this and the application, where it has one.
        self.beacons = getattr(app, "beacons", None)
        self.malformed = getattr(app, "malformed", None)
        self.error: BaseException | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)
            return

        async def quietly(message: Message) -> None:
            await send({"type": message["type"]})

        try:
            await self.app(scope, receive, quietly)
        except BaseException as error:
            self.error = error
            # Whoever started the server tells the reason; that the start failed needs no line of its own.
            logging.getLogger("uvicorn.error").disabled = True
            raise


class NotifyingServer(uvicorn.Server):
    """A uvicorn server that reports readiness and shutdown."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None], going: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready
        self._going = going

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Say so, then stop."""
        self._going()
        await super().shutdown(sockets)


def serve(settings: Settings, greeting: Greeting, *, demo: DemoPlan | None = None) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises `CannotListen`, `DataDirectoryInUse`, and `CannotStart` when the data directory or ClickHouse cannot be used.
    """
    check_clock(time.time())
    logging.config.dictConfig(log_config(settings.log_level))
    restrict_permissions(settings.data_dir)
    warn_of_secret(settings)
    _allow_connections()
    _leave_no_core()
    bound = bind(settings.host, settings.port)
    signal.signal(signal.SIGTERM, _stopped)
    try:
        _serve_one(settings, greeting, bound, demo)
    except KeyboardInterrupt:
        return
    except ClickHouseError as error:
        raise CannotStart(
            f"ClickHouse cannot be used: {_short(plain_reason(error))}\n"
            "See that it is up and that TYST_CLICKHOUSE_DSN names it."
        ) from None
    except OSError as error:
        raise CannotStart(
            f"the data directory {settings.data_dir} cannot be used: {error.strerror or error}\n"
            "It must be a directory that this user may write to; TYST_DATA_DIR names another."
        ) from None
    except UnicodeDecodeError:
        raise CannotStart(
            f"a key or an id in the data directory {settings.data_dir} is damaged: it is no text.\n"
            "Put back a copy, or move away which of admin.key, secret.key and collector.id is damaged: it is made anew."
        ) from None
    except sqlite3.DatabaseError as error:
        raise CannotStart(
            f"the spool in {settings.data_dir} cannot be read: {error}\n"
            "Put back a copy, or move its events.db away: events that had not reached ClickHouse are lost with it."
        ) from None
    finally:
        bound.close()


def check_clock(now: float) -> None:
    """Raises `CannotStart` where this machine's clock (Unix seconds) was never set: days would be those of 1970."""
    if now < EARLIEST:
        raise CannotStart(
            f"the clock of this machine says {time.strftime('%Y-%m-%d %H:%M', time.gmtime(now))} UTC. "
            "Set it, for example by NTP, and start again."
        )


def warn_of_secret(settings: Settings) -> None:
    """Say in the log that a secret of the settings can be guessed."""
    for name in short_secrets(settings):
        log.warning(
            "%s can be guessed: use %d random characters or more, such as those of `openssl rand -hex 32`; "
            "TYST_SECRET_KEY_PREVIOUS keeps everybody signed in meanwhile",
            name,
            SHORTEST,
        )


def _leave_no_core() -> None:
    """A process that crashes must not leave its memory on the disk: addresses pass through it, and salts are in it."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def tune_garbage_collector() -> None:
    """Beacons are born and gone by the thousand within milliseconds: at Python's own pace what looks for cycles looks
    at them, and at every visit that goes on, again and again. It took a fifth of the rate."""
    gc.set_threshold(50_000, 20, 50)


def _serve_one(settings: Settings, greeting: Greeting, bound: socket.socket, demo: DemoPlan | None) -> None:
    tune_garbage_collector()
    application = build(settings, demo=demo)
    app = StartupErrorCapture(application)

    def ready() -> None:
        _leave_word(settings, bound)
        greeting(url_of(bound), application)

    server = NotifyingServer(_config(app, settings), ready, partial(remove_server_info, settings.data_dir))
    try:
        server.run(sockets=listening(bound))
    except SystemExit:
        if app.error is None:
            raise
        raise app.error from None


def _config(app: ASGIApp, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=log_config(settings.log_level),
        # An access log would be a list of addresses.
        access_log=False,
        http=FastPathProtocol if settings.fast_path else HeaderTimeoutProtocol,
        server_header=False,
        # Forwarding headers are read by the collector, and only from trusted proxies.
        proxy_headers=False,
        lifespan="on",
        ws="none",
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def _allow_connections() -> None:
    """Open as many files as the system lets this process: each connection is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _leave_word(settings: Settings, bound: socket.socket) -> None:
    write_server_info(settings.data_dir, Server(url=url_of(bound), key=admin_key(settings.data_dir), pid=os.getpid()))


def _short(reason: str) -> str:
    """The operating system's own words, where the driver wraps them in its own."""
    found = re.search(r"\[Errno -?\d+\] ([\w ,]+)", reason)
    return found[1] if found else reason


def _stopped(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt
