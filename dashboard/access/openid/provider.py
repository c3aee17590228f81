"""Requests to the OpenID provider: discovery, the exchange of a code, keys, and the userinfo endpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import anyio
import httpx
import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from dashboard.access.openid.flow import Flow, challenge_of
from dashboard.access.openid.refusal import OpenIdRefused

TIMEOUT: Final = 10.0
"""Seconds for one request and all of its answer."""
MOST_BYTES: Final = 262_144
"""Of one answer."""
CACHE_SECONDS: Final = 3600
"""For which discovery and keys are believed."""
QUIET_SECONDS: Final = 5
"""For which a provider whose metadata could not be read is not asked again: anybody may begin to sign in."""
KEY_TYPES: Final = ("RSA", "EC")
KEY_MEMBERS: Final = frozenset({"kty", "kid", "use", "alg", "n", "e", "crv", "x", "y"})
"""Those of a public key (RFC 7518, 6.2.1 and 6.3.1). Given a private key, the library would
search for its primes without end."""

T = TypeVar("T")


class Discovery(msgspec.Struct, frozen=True):
    """The provider's metadata (OpenID Connect Discovery 1.0, 3), as far as it is used."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str = ""
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


class Tokens(msgspec.Struct, frozen=True):
    """The answer to a code."""

    id_token: str
    access_token: str = ""


class _KeyDocument(msgspec.Struct, frozen=True):
    keys: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class OpenIdClient:
    """What this server is to the provider."""

    issuer: str
    id: str
    secret: str
    redirect_uri: str
    scopes: str = "openid email profile"


class OpenIdProvider:
    """The provider of one issuer. Every method raises `OpenIdRefused`. `clock` gives Unix seconds.

    Nothing is asked before somebody signs in by it. Redirects are not followed, and the environment's proxies not used.
    """

    def __init__(self, client: OpenIdClient, clock: Callable[[], float]) -> None:
        self.client = client
        self._clock = clock
        self._discovery: tuple[float, Discovery] | None = None
        self._discovering = anyio.Lock()
        self._failed: tuple[float, OpenIdRefused] | None = None
        self._keys: tuple[float, KeySet] | None = None

    async def authorization_url(self, flow: Flow) -> str:
        """Where to send the browser to (OpenID Connect Core 1.0, 3.1.2.1; PKCE by RFC 7636)."""
        endpoint = (await self.discovery()).authorization_endpoint
        query = urlencode(
            {
                "response_type": "code",
                "client_id": self.client.id,
                "redirect_uri": self.client.redirect_uri,
                "scope": self.client.scopes,
                "state": flow.state,
                "nonce": flow.nonce,
                "code_challenge": challenge_of(flow.verifier),
                "code_challenge_method": "S256",
            }
        )
        return f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}{query}"

    async def discovery(self) -> Discovery:
        """The provider's metadata; it must be that of the issuer, to the letter."""
        async with self._discovering:
            if self._discovery is None or self._clock() > self._discovery[0] + CACHE_SECONDS:
                if self._failed and self._clock() < self._failed[0] + QUIET_SECONDS:
                    raise OpenIdRefused(self._failed[1].reason, self._failed[1].text)
                try:
                    self._discovery = (self._clock(), await self._discovered())
                except OpenIdRefused as error:
                    self._failed = (self._clock(), error)
                    raise
            return self._discovery[1]

    async def _discovered(self) -> Discovery:
        url = f"{self.client.issuer.rstrip('/')}/.well-known/openid-configuration"
        found = _decoded(await self._ask("GET", url, "discovery"), Discovery, "discovery")
        if found.issuer != self.client.issuer:
            raise OpenIdRefused("the metadata are those of another issuer")
        for address in (found.authorization_endpoint, found.token_endpoint, found.jwks_uri):
            self._must_be_secure(address)
        return found

    async def exchange(self, code: str, verifier: str) -> Tokens:
        """The tokens for a code."""
        found = await self.discovery()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.client.redirect_uri,
            "code_verifier": verifier,
        }
        auth = None
        if not self.client.secret:
            form["client_id"] = self.client.id
        elif "client_secret_basic" in found.token_endpoint_auth_methods_supported:
            # Encoded as a form first (RFC 6749, 2.3.1).
            auth = httpx.BasicAuth(quote(self.client.id, safe=""), quote(self.client.secret, safe=""))
        else:
            form |= {"client_id": self.client.id, "client_secret": self.client.secret}
        body = await self._ask("POST", found.token_endpoint, "token endpoint", data=form, auth=auth)
        return _decoded(body, Tokens, "token endpoint")

    async def keys(self, *, fresh: bool = False) -> KeySet:
        """The keys that ID tokens are signed by. Symmetric ones are none: anybody who has them can sign."""
        if fresh or self._keys is None or self._clock() > self._keys[0] + CACHE_SECONDS:
            body = await self._ask("GET", (await self.discovery()).jwks_uri, "keys")
            given = [key for key in _decoded(body, _KeyDocument, "keys").keys if key.get("kty") in KEY_TYPES]
            found = [{name: value for name, value in key.items() if name in KEY_MEMBERS} for key in given]
            try:
                keys = KeySet.import_key_set({"keys": found})
            except (JoseError, ValueError, TypeError, KeyError):
                raise OpenIdRefused("there are no keys that can be used") from None
            self._keys = (self._clock(), keys)
        return self._keys[1]

    async def userinfo(self, access_token: str) -> dict[str, Any]:
        """Further claims about the person; none where the provider has no such endpoint."""
        endpoint = (await self.discovery()).userinfo_endpoint
        if not endpoint or not access_token:
            return {}
        self._must_be_secure(endpoint)
        headers = {"Authorization": f"Bearer {access_token}"}
        return _decoded(await self._ask("GET", endpoint, "userinfo", headers=headers), dict[str, Any], "userinfo")

    def _must_be_secure(self, address: str) -> None:
        """Plain http only where the issuer itself is on this machine."""
        schemes = ("https", urlsplit(self.client.issuer).scheme)
        if urlsplit(address).scheme not in schemes:
            raise OpenIdRefused("an address in the metadata is not https")

    async def _ask(
        self,
        method: str,
        url: str,
        what: str,
        *,
        data: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: httpx.Auth | None = None,
    ) -> bytes:
        """The body of an answer with status 200."""
        body = b""
        given = {"Accept": "application/json", **(headers or {})}
        try:
            with anyio.fail_after(TIMEOUT):
                async with (
                    httpx.AsyncClient(timeout=TIMEOUT, trust_env=False) as http,
                    http.stream(method, url, data=data, headers=given, auth=auth) as answer,
                ):
                    async for part in answer.aiter_bytes():
                        body += part
                        if len(body) > MOST_BYTES:
                            raise OpenIdRefused(f"{what}: the answer is too long")
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise OpenIdRefused(f"{what}: {type(error).__name__}") from None
        if answer.status_code != httpx.codes.OK:
            raise OpenIdRefused(f"{what}: answered {answer.status_code}{_error_code(body)}")
        return body


def _decoded(body: bytes, kind: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise OpenIdRefused(f"{what}: the answer cannot be read") from None


def _error_code(body: bytes) -> str:
    """The code of an OAuth error, such as `invalid_grant`, if there is one that reads like it."""
    try:
        code = msgspec.json.decode(body, type=dict[str, Any]).get("error")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    plain = isinstance(code, str) and code.isascii() and code.replace("_", "").isalnum() and len(code) < 50
    return f" {code}" if plain else ""
