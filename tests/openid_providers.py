"""OpenID providers on loopback: a real one, and one that breaks the rules as a test says."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import httpx
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from tests.served import DEADLINE

HERE = Path(__file__).parent
PACKAGES = HERE.parent / "dashboard/frontend"
NODE = shutil.which("node", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}") or "node"
CLIENT, SECRET = "tyst", "a secret: of & the + client%"
ACCOUNTS: dict[str, dict[str, Any]] = {
    "ada": {"email": "Ada@Example.com", "email_verified": True, "groups": ["staff", "chiefs"]},
    "bob": {"email": "bob@example.com", "email_verified": True, "groups": ["staff"]},
    "eve": {"email": "eve@example.com", "email_verified": False},
    "mia": {"email": "mia@elsewhere.example", "email_verified": True},
    "nil": {},
}


@dataclass(frozen=True, slots=True)
class RealProvider:
    """A running `oidc-provider`."""

    issuer: str

    def sign_in(self, address: str, name: str, *, refuse: bool = False) -> str:
        """Go to where Tyst sends a browser, sign in there, and return where it sends the browser back to."""
        with httpx.Client(base_url=self.issuer, timeout=DEADLINE, trust_env=False) as browser:
            answer = browser.get(address)
            while answer.is_redirect:
                there = answer.headers["location"]
                if not there.startswith((self.issuer, "/")):
                    return str(there)
                answer = browser.get(there)
                if urlsplit(str(answer.url)).path.startswith("/sign-in/") and answer.status_code == httpx.codes.OK:
                    answer = browser.post(str(answer.url), data={"refuse": "yes"} if refuse else {"name": name})
            raise AssertionError(f"the provider answered {answer.status_code}: {answer.text[:500]}")


@contextlib.contextmanager
def real_provider(redirect: str, *, in_token: bool = False, **client: Any) -> Iterator[RealProvider]:
    """`oidc-provider` with the accounts above; `in_token` has claims in the ID token, too. `client` are settings of
    its client."""
    given = {
        "port": 0,
        "client": {"id": CLIENT, "secret": SECRET, "redirect": redirect, "more": client},
        "accounts": ACCOUNTS,
        "inToken": in_token,
    }
    process = subprocess.Popen(
        [NODE, HERE / "openid_provider.mjs", PACKAGES, json.dumps(given)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        issuer = process.stdout.readline().strip()
        assert issuer, "the provider did not start: make .venv/.frontend-test"
        yield RealProvider(issuer)
    finally:
        process.terminate()
        process.communicate(timeout=DEADLINE)


@dataclass
class HostileProvider:
    """A provider that answers what a test tells it to. By itself it is honest, and asks nobody for a password."""

    issuer: str = ""
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one"}, private=True))
    claims: dict[str, Any] = field(default_factory=dict)
    """Over those of an honest ID token; None takes one out."""
    userinfo: dict[str, Any] = field(default_factory=lambda: {"sub": "42"})
    discovery: dict[str, Any] = field(default_factory=dict)
    signed: Callable[[dict[str, Any]], str] | None = None
    """Makes the ID token of its claims."""
    answers: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Status and body in place of an endpoint's answer, by path."""
    asked: list[str] = field(default_factory=list)
    """Paths, in order."""
    nonce: str = ""
    tokens: list[str] = field(default_factory=list)

    def sign_in(self, address: str) -> str:
        """What the browser is sent back with, for the address that Tyst sends it to."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        self.nonce = asked["nonce"]
        query = urlencode({"code": "a-code", "state": asked["state"], "iss": self.issuer})
        return f"{asked['redirect_uri']}?{query}"

    def honest_claims(self) -> dict[str, Any]:
        """Those of an ID token that is in order."""
        now = int(time.time())
        return {
            "iss": self.issuer, "aud": CLIENT, "sub": "42", "exp": now + 300, "iat": now, "nonce": self.nonce,
            "email": "ada@example.com", "email_verified": True,
        }  # fmt: skip

    def token(self) -> str:
        """The ID token that it answers with."""
        claims = {name: value for name, value in (self.honest_claims() | self.claims).items() if value is not None}
        made = self.signed(claims) if self.signed else jwt.encode({"alg": "RS256", "kid": "one"}, claims, self.key)
        self.tokens.append(made)
        return made

    def answer(self, path: str) -> tuple[int, str]:
        """Status and body."""
        self.asked.append(path)
        if path in self.answers:
            return self.answers[path]
        body: dict[str, Any] = {}
        if path == "/.well-known/openid-configuration":
            paths = {"authorization": "auth", "token": "token", "userinfo": "me"}
            body = {f"{name}_endpoint": f"{self.issuer}/{part}" for name, part in paths.items()}
            body |= {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/jwks", **self.discovery}
        elif path == "/jwks":
            body = {"keys": [self.key.as_dict(private=False)]}
        elif path == "/token":
            body = {"id_token": self.token(), "access_token": "access", "token_type": "Bearer"}
        elif path == "/me":
            body = self.userinfo
        return 200, json.dumps(body)


def unsigned(claims: dict[str, Any]) -> str:
    """A token by the algorithm `none`."""
    parts = [json.dumps(each).encode() for each in ({"alg": "none"}, claims)]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts) + "."


def symmetric(secret: str | bytes) -> Callable[[dict[str, Any]], str]:
    """Tokens by HS256 under that secret."""
    return lambda claims: jwt.encode({"alg": "HS256", "kid": "one"}, claims, OctKey.import_key(secret))


def other_key(kid: str) -> Callable[[dict[str, Any]], str]:
    """Tokens by a key that the provider does not have, under that name."""
    key = RSAKey.generate_key(2048, private=True)
    return lambda claims: jwt.encode({"alg": "RS256", "kid": kid}, claims, key)


@contextlib.contextmanager
def hostile_provider() -> Iterator[HostileProvider]:
    """One of them, serving on a free port."""
    provider = HostileProvider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = provider.answer(urlsplit(self.path).path)
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        def do_POST(self) -> None:
            dict(parse_qsl(self.rfile.read(int(self.headers["content-length"])).decode()))
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        provider.issuer = f"http://127.0.0.1:{server.server_port}"
        try:
            yield provider
        finally:
            server.shutdown()
            thread.join()
