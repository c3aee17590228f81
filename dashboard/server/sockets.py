"""Listening socket, and the server-info file by which commands find the server."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from pathlib import Path
from typing import Final

import msgspec

from collector.core.errors import TystError
from collector.core.file_locks import is_locked

SERVER_FILE = "server.json"

ACCEPTED_AT_ONCE: Final = 32
"""Connections accepted in one turn of the event loop."""


class CannotListen(TystError):
    """The address and port cannot be bound; the text says why and what to do."""


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """Address and process of the running server, from the server-info file."""

    url: str
    key: str
    pid: int


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to `host`, with or without brackets, and `port` (0: any free one).

    Raises `CannotListen`.
    """
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError):
        raise CannotListen(
            f"{host!r} is no address of this machine. Use 127.0.0.1 (this machine only) or 0.0.0.0 (everywhere)."
        ) from None
    bound = socket.socket(family, kind, protocol)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise CannotListen(_why_not(error, host, port)) from None
    bound.set_inheritable(True)
    return bound


def listening(bound: socket.socket) -> list[socket.socket]:
    """The socket and duplicates of it, to listen on all of them.

    libuv accepts one connection for each descriptor in a turn of the event loop. A turn has a request of every
    connection that has one: a client with a thousand connections makes it so long that nobody else gets in.
    """
    return [bound, *(bound.dup() for _ in range(ACCEPTED_AT_ONCE - 1))]


def url_of(bound: socket.socket) -> str:
    """The address to open in a browser on this machine."""
    host, port = bound.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 # compared, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def write_server_info(directory: Path, server: Server) -> None:
    """Write where the server is, readable only by its owner."""
    new = directory / f"{SERVER_FILE}.new"
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(msgspec.json.encode(server))
    new.replace(directory / SERVER_FILE)


def remove_server_info(directory: Path) -> None:
    """The server is no longer there. On a disk that takes nothing more the file stays, and nobody believes it."""
    with contextlib.suppress(OSError):
        (directory / SERVER_FILE).unlink()


def read_server_info(directory: Path) -> Server | None:
    """Where a server that uses this data directory is, or None: it is not running.

    The file of a server that was killed is still there. Whoever listens on its port now may be anybody, and must not be
    sent the key.
    """
    try:
        server = msgspec.json.decode(_read_ordinary(directory / SERVER_FILE), type=Server)
        return server if is_locked(directory) else None
    except (OSError, msgspec.MsgspecError):
        return None


def _read_ordinary(path: Path) -> bytes:
    """The bytes of a file that this program may have written: of a pipe nobody may ever write any. Raises `OSError`."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), str(path))
        return file.read()


def _why_not(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        holder = _holder(port)
        by = f" by {holder}" if holder else ""
        return (
            f"port {port} is taken{by}. Stop that program, or choose another port: "
            f"--port {port + 1 if port < 65535 else 8000} (or TYST_PORT)."
        )
    if error.errno == errno.EACCES:
        return (
            f"port {port} needs more rights than this user has. "
            "Choose one above 1023, and let a reverse proxy listen on 80 and 443."
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine. Use 127.0.0.1 (this machine only) or 0.0.0.0 (everywhere)."
    return f"cannot listen on {host}, port {port}: {error.strerror}."


def _holder(port: int) -> str | None:
    """Name and process id of the program that listens on `port`, where Linux tells us; else None."""
    wanted = {f"socket:[{inode}]" for inode in _listening(port)}
    if not wanted:
        return None
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(str(descriptor.readlink()) in wanted for descriptor in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (process {process.name})"
    return None


def _listening(port: int) -> set[str]:
    """Inodes of the sockets that listen on `port`, from the kernel's tables of TCP sockets (proc(5))."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                columns = line.split()
                if columns[3] == "0A" and int(columns[1].rpartition(":")[2], 16) == port:
                    inodes.add(columns[9])
    return inodes
