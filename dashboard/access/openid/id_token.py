"""Checks of an ID token (OpenID Connect Core 1.0, 3.1.3.7), and of what the userinfo endpoint adds."""

from __future__ import annotations

from typing import Any, Final

from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from dashboard.access.openid.refusal import OpenIdRefused

ALGORITHMS: Final = ("RS256", "PS256", "ES256")
"""Signatures by a private key of the provider. `none` is no signature, and by HS256 whoever has the client's secret, or
takes a public key for one, could sign."""

LEEWAY: Final = 60
"""Seconds by which the provider's clock may differ."""

LONGEST_SUBJECT: Final = 255
"""Characters, which are of ASCII (OpenID Connect Core 1.0, 2)."""


class UnknownKey(OpenIdRefused):
    """The token is signed by a key that is not among these: the provider may have a new one."""


def checked_claims(token: str, keys: KeySet, *, issuer: str, client_id: str, nonce: str, now: float) -> dict[str, Any]:
    """The claims of a token that this issuer made for this client in this flow. Raises `OpenIdRefused`."""
    registry = jwt.JWTClaimsRegistry(
        now=int(now),
        leeway=LEEWAY,
        iss={"essential": True, "value": issuer},
        aud={"essential": True, "value": client_id},
        sub={"essential": True},
        exp={"essential": True},
        iat={"essential": True},
        nonce={"essential": True, "value": nonce},
    )
    try:
        claims = jwt.decode(token, keys, algorithms=ALGORITHMS).claims
        registry.validate(claims)
    except InvalidKeyIdError:
        raise UnknownKey("ID token: signed by an unknown key") from None
    except (JoseError, ValueError, TypeError) as error:
        raise OpenIdRefused(f"ID token: {getattr(error, 'error', type(error).__name__)}{_claim(error)}") from None
    _check_party(claims, client_id)
    if not (isinstance(claims["nonce"], str) and claims["sub"].isascii() and len(claims["sub"]) <= LONGEST_SUBJECT):
        raise OpenIdRefused("ID token: nonce or sub of the wrong form")
    return claims


def with_userinfo(claims: dict[str, Any], userinfo: dict[str, Any]) -> dict[str, Any]:
    """The claims, and what userinfo adds to them. Raises `OpenIdRefused` where it is about somebody else (5.3.2).

    Address and whether it is verified are from one of both: else an address that the provider has not verified would
    be, by what it says of another.
    """
    if userinfo and userinfo.get("sub") != claims["sub"]:
        raise OpenIdRefused("userinfo: about another subject")
    if not {"email", "email_verified"} <= claims.keys():
        claims = {name: value for name, value in claims.items() if name not in ("email", "email_verified")}
    return {**userinfo, **claims}


def _check_party(claims: dict[str, Any], client_id: str) -> None:
    """A token for several parties, or that names the one it was issued to, must have been issued to this one."""
    several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
    if claims.get("azp", None if several else client_id) != client_id:
        raise OpenIdRefused("ID token: issued to another party")


def _claim(error: Exception) -> str:
    """Which claim is wrong, by its name."""
    claim = getattr(error, "claim", "")
    return f" ({claim})" if claim else ""
