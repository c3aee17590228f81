"""HTTP client of the command line: finds the running server and calls its management API."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from collector.core.errors import TystError
from collector.core.settings import read_settings
from dashboard.server.sockets import read_server_info

DELIVERY_SECONDS = 200.0
"""How long a delivery may take: the server waits half a minute for each step of the conversation."""


class ServerNotReached(TystError):
    """No server answers; the text says how to start one, or where it was looked for."""


class Refused(TystError):
    """The server answered with an error: its HTTP status, the field that it names, and why."""

    def __init__(self, status: int, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.status = status
        self.field = field
        self.reason = reason


class Client:
    """HTTP client of one running server."""

    def __init__(self, url: str, key: str, *, trust_env: bool = False, timeout: float = 20) -> None:
        self.url = url
        self._http = httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=timeout, trust_env=trust_env
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, *path: str) -> dict[str, Any]:
        """The resource below `/api/v1/`. Raises `Refused` and `ServerNotReached`, as do the other methods."""
        return self._ask("GET", path, None)

    def post(self, *path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create something."""
        return self._ask("POST", path, body)

    def put(self, *path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Change something."""
        return self._ask("PUT", path, body)

    def delete(self, *path: str) -> dict[str, Any]:
        """Remove something."""
        return self._ask("DELETE", path, None)

    def upload(self, *path: str, query: Mapping[str, str], files: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        """Send files, each a name with what is read of it, as they are read."""
        form = [("file", (name, file, "application/octet-stream")) for name, file in files]
        try:
            answer = self._http.post(_address(path), params=dict(query), files=form)
        except httpx.HTTPError as error:
            raise self._not_reached(error) from None
        return self._read(answer)

    def download(self, directory: Path, *path: str, default: str, query: Mapping[str, str] | None = None) -> Path:
        """Write an answer to a file in the directory, under the name that the server gives it, else `default`."""
        partial: Path | None = None
        try:
            with self._http.stream("GET", _address(path), params=dict(query or {})) as answer:
                if not answer.is_success:
                    answer.read()
                    self._read(answer)
                given = answer.headers.get("content-disposition", "").partition('filename="')[2].rstrip('"')
                file = directory / (Path(given).name or default)
                # In the place of what is there, a link included, once it is whole.
                with tempfile.NamedTemporaryFile(dir=directory, delete=False) as written:
                    partial = Path(written.name)
                    for block in answer.iter_bytes():
                        written.write(block)
                partial.replace(file)
        except httpx.HTTPError as error:
            raise self._not_reached(error) from None
        finally:
            if partial is not None:
                partial.unlink(missing_ok=True)
        return file

    def stream(self, *path: str, body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Start long work; yields each line of the response as it arrives."""
        try:
            with self._http.stream("POST", _address(path), json=body) as answer:
                if not answer.is_success:
                    answer.read()
                    self._read(answer)
                for line in answer.iter_lines():
                    yield msgspec.json.decode(line, type=dict[str, Any])
        except httpx.HTTPError as error:
            raise self._not_reached(error) from None

    def fetch(self, path: str) -> httpx.Response:
        """Any address of the server, as anybody sees it. Raises `ServerNotReached`."""
        try:
            return self._http.get(path, headers={"Authorization": ""})
        except httpx.HTTPError as error:
            raise self._not_reached(error) from None

    def _ask(self, method: str, path: tuple[str, ...], body: Mapping[str, Any] | None) -> dict[str, Any]:
        try:
            answer = self._http.request(method, _address(path), json=body)
        except httpx.HTTPError as error:
            raise self._not_reached(error) from None
        return self._read(answer)

    def _read(self, answer: httpx.Response) -> dict[str, Any]:
        try:
            fields = msgspec.json.decode(answer.content, type=dict[str, Any])
        except msgspec.MsgspecError:
            raise ServerNotReached(
                f"{self.url} answers, but not as Tyst does (status {answer.status_code}). Check TYST_URL."
            ) from None
        if answer.is_success:
            return fields
        field, reasons = next(iter(fields.get("errors", {}).items()), ("answer", [f"status {answer.status_code}"]))
        raise Refused(answer.status_code, field, "; ".join(reasons))

    def _not_reached(self, error: httpx.HTTPError) -> ServerNotReached:
        if isinstance(error, httpx.TimeoutException):
            return ServerNotReached(f"{self.url} does not answer in time. Look at its log.")
        return ServerNotReached(f"nothing answers at {self.url} ({type(error).__name__}). Is Tyst running there?")


def _address(path: tuple[str, ...]) -> str:
    return "/api/v1/" + "/".join(quote(part, safe="") for part in path)


def _is_closed(directory: Path) -> bool:
    """Whether it belongs to somebody else, who keeps it private."""
    try:
        directory.stat()
    except OSError as error:
        return isinstance(error, PermissionError)
    return not os.access(directory, os.R_OK | os.X_OK)


def connect(environ: Mapping[str, str] = os.environ, timeout: float = 20) -> Client:
    """A client of the server that `TYST_URL` and `TYST_API_KEY` name, else of the one that uses the data directory.

    Raises `ServerNotReached` when there is none, `SettingError` for a setting that cannot be used.
    """
    url, key = environ.get("TYST_URL", "").rstrip("/"), environ.get("TYST_API_KEY", "")
    if url:
        if not url.startswith(("http://", "https://")):
            raise ServerNotReached(f"TYST_URL is {url!r}; expected something like https://stats.example.com")
        if not key:
            # The data directory's own key is never sent to an address from elsewhere.
            raise ServerNotReached("TYST_URL is set but TYST_API_KEY is not; make a key there: tyst key create")
        return Client(url, key, trust_env=True, timeout=timeout)
    directory = Path(read_settings(environ).data_dir)
    server = read_server_info(directory)
    if server is None and _is_closed(directory):
        raise ServerNotReached(
            f"The data directory {directory} can be read by its owner only.\nRun the command as that user, or as root."
        )
    if server is None:
        raise ServerNotReached(
            f"Tyst is not running with the data directory {directory}.\n"
            "Start it with: tyst serve\n"
            "Or name another directory with TYST_DATA_DIR, or another server with TYST_URL and TYST_API_KEY."
        )
    return Client(server.url, key or server.key, timeout=timeout)
