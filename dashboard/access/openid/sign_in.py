"""Sign-in by OpenID Connect as a service: from the way to the provider to the account."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import msgspec

from collector.core.app_secret import Secrets
from collector.core.settings import Settings
from dashboard.access.openid.accounts import OpenIdAccounts
from dashboard.access.openid.flow import Flow, Flows
from dashboard.access.openid.id_token import UnknownKey, checked_claims, with_userinfo
from dashboard.access.openid.provider import OpenIdClient, OpenIdProvider, Tokens
from dashboard.access.openid.refusal import OpenIdRefused
from dashboard.access.users import Role, Users
from dashboard.i18n.translations import N_

CALLBACK: Final = "/login/openid/callback"
CANCELLED: Final = N_("The provider did not sign you in.")
EXPIRED: Final = N_("This sign-in took too long, or began in another browser. Try again.")


class OpenIdSignIn:
    """Sign-in by one provider; `name` is what its button says. `clock` gives Unix seconds."""

    def __init__(
        self, provider: OpenIdProvider, flows: Flows, accounts: OpenIdAccounts, name: str, clock: Callable[[], float]
    ) -> None:
        self.provider = provider
        self.flows = flows
        self.accounts = accounts
        self.name = name
        self._clock = clock

    async def claims(self, answer: Mapping[str, str], flow: Flow | None) -> dict[str, Any]:
        """Who signed in, from the query that the provider sent the browser back with. Raises `OpenIdRefused`."""
        if flow is None:
            raise OpenIdRefused("no such flow in this browser", EXPIRED)
        await self._check_issuer(answer)
        if "error" in answer or not answer.get("code"):
            raise OpenIdRefused("the provider sent no code", CANCELLED)
        tokens = await self.provider.exchange(answer["code"], flow.verifier)
        claims = await self._checked(tokens, flow)
        wanted = {"email", "email_verified", self.accounts.role_claim} - {""}
        if wanted <= claims.keys():
            return claims
        return with_userinfo(claims, await self.provider.userinfo(tokens.access_token))

    async def _check_issuer(self, answer: Mapping[str, str]) -> None:
        """The answer must be this provider's, where it says whose it is (RFC 9207)."""
        says = (await self.provider.discovery()).authorization_response_iss_parameter_supported
        if answer.get("iss", None if says else self.provider.client.issuer) != self.provider.client.issuer:
            raise OpenIdRefused("the answer is another issuer's")

    async def _checked(self, tokens: Tokens, flow: Flow) -> dict[str, Any]:
        client = self.provider.client
        check = partial(
            checked_claims,
            tokens.id_token,
            issuer=client.issuer,
            client_id=client.id,
            nonce=flow.nonce,
            now=self._clock(),
        )
        try:
            return check(await self.provider.keys())
        except UnknownKey:
            return check(await self.provider.keys(fresh=True))


def openid_sign_in(settings: Settings, users: Users, keys: Secrets, clock: Callable[[], float]) -> OpenIdSignIn | None:
    """The service for these settings; None where no provider is set."""
    if not settings.oidc_issuer:
        return None
    client = OpenIdClient(
        issuer=settings.oidc_issuer,
        id=settings.oidc_client_id,
        secret=settings.oidc_client_secret or "",
        redirect_uri=f"{settings.public_url}{CALLBACK}",
        scopes=settings.oidc_scopes,
    )
    roles = msgspec.convert(dict(settings.oidc_roles), dict[str, Role])
    accounts = OpenIdAccounts(users, settings.oidc_role_claim, roles, settings.oidc_email_domains)
    return OpenIdSignIn(OpenIdProvider(client, clock), Flows(keys, clock), accounts, settings.oidc_name, clock)
