"""Firefox as Debian ships it, driven through WebDriver BiDi, which it speaks by itself."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from websockets.sync.client import ClientConnection, connect

from tests.served import DEADLINE, until

FIREFOX = "/usr/bin/firefox-esr"

PREFERENCES: dict[str, bool | int | str] = {
    "remote.active-protocols": 1,
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "toolkit.telemetry.enabled": False,
}
# Else the snippet takes the browser for a bot. Nobody reads, so that a slow test says no more than a quick one.
PERSON = """() => {
    Object.defineProperty(Navigator.prototype, 'webdriver', { get: () => false })
    Document.prototype.hasFocus = () => false
}"""
GPC = {"privacy.globalprivacycontrol.enabled": True, "privacy.globalprivacycontrol.functionality.enabled": True}


class FirefoxError(AssertionError):
    """Firefox answered a command with an error."""


class Tab:
    """One tab of a running Firefox."""

    def __init__(self, connection: ClientConnection, context: str = "") -> None:
        self._connection = connection
        self._number = 0
        if not context:
            self._command("session.new", capabilities={})
            self._command("script.addPreloadScript", functionDeclaration=PERSON)
            context = self._command("browsingContext.getTree")["contexts"][0]["context"]
        self._context: str = context

    def another(self) -> Tab:
        """A second tab of the same window."""
        context: str = self._command("browsingContext.create", type="tab")["context"]
        return Tab(self._connection, context)

    def show(self) -> None:
        """Bring it to the front: what is behind another tab is hidden."""
        self._command("browsingContext.activate", context=self._context)

    def go(self, url: str) -> None:
        """Load a page, wholly."""
        self._command("browsingContext.navigate", context=self._context, url=url, wait="complete")

    def do(self, script: str) -> Any:
        """What a line of JavaScript comes to, as JSON can say it; promises are waited for."""
        answer = self._command(
            "script.evaluate",
            expression=f"Promise.resolve({script}).then((value) => JSON.stringify(value ?? null))",
            target={"context": self._context},
            awaitPromise=True,
            userActivation=True,
        )
        if answer["type"] != "success":
            raise FirefoxError(answer["exceptionDetails"]["text"])
        return json.loads(answer["result"]["value"])

    def _command(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        self._connection.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            answer = msgspec.json.decode(self._connection.recv(timeout=DEADLINE), type=dict[str, Any])
            if answer.get("id") == self._number:
                break
        if answer["type"] == "error":
            raise FirefoxError(f"{method}: {answer['message']}")
        found: dict[str, Any] = answer["result"]
        return found


@contextlib.contextmanager
def firefox(profile: Path, preferences: Mapping[str, bool | int | str] | None = None) -> Iterator[Tab]:
    """A Firefox with a fresh profile in a directory of its own, until the block ends."""
    lines = (
        f"user_pref({json.dumps(name)}, {json.dumps(value)});\n"
        for name, value in {**PREFERENCES, **(preferences or {})}.items()
    )
    (profile / "user.js").write_text("".join(lines))
    options = ["--headless", "--no-remote", "--profile", str(profile), "--remote-debugging-port", "0", "about:blank"]
    with (profile / "output").open("wb") as output:
        process = subprocess.Popen([FIREFOX, *options], stdout=output, stderr=output)
    try:
        port = until("Firefox's word", lambda: _port(profile))
        with connect(f"ws://127.0.0.1:{port}/session", open_timeout=DEADLINE, max_size=None, proxy=None) as connection:
            yield Tab(connection)
    finally:
        process.terminate()
        process.wait(DEADLINE)


def _port(profile: Path) -> int | None:
    try:
        return int(json.loads((profile / "WebDriverBiDiServer.json").read_text())["ws_port"])
    except (FileNotFoundError, json.JSONDecodeError):
        return None
