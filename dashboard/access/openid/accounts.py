"""Accounts that OpenID Connect opens: bound to issuer and subject, created by the first sign-in, roles from a claim."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import anyio.to_thread
import msgspec

from collector.core.errors import RecordError
from dashboard.access.openid.refusal import OpenIdRefused
from dashboard.access.users import OpenIdIdentity, Role, User, Users
from dashboard.i18n.translations import N_

_RANKS: Final[tuple[Role, ...]] = ("viewer", "owner", "admin")

UNVERIFIED: Final = N_("Your e-mail address is not confirmed by the provider. Confirm it there, then try again.")
FOREIGN: Final = N_("Accounts with your e-mail domain cannot sign in here.")
TAKEN: Final = N_(
    "An account with your e-mail address as its name exists already. Sign in with its password and connect it under "
    "“Your account”."
)
CONNECTED: Final = N_("This identity belongs to another account.")
LAST_ADMIN: Final = N_(
    "You are the only administrator, and the provider no longer gives you that role. Make somebody else an "
    "administrator first."
)


class OpenIdAccounts:
    """Finds, creates and binds accounts. `roles` gives the role for a value of the claim `role_claim`; `domains` are
    those of the e-mail addresses that may sign in, all without any. Every method raises `OpenIdRefused`."""

    def __init__(
        self, users: Users, role_claim: str = "", roles: Mapping[str, Role] | None = None, domains: tuple[str, ...] = ()
    ) -> None:
        self._users = users
        self.role_claim = role_claim
        self._roles = roles or {}
        self._domains = domains

    async def sign_in(self, claims: Mapping[str, Any]) -> tuple[User, bool]:
        """The account of the identity, and whether it is new."""
        identity, email = _identity(claims), self._allowed_email(claims)
        role = self._role(claims)
        found = self._of(identity)
        if found is not None:
            return await self._with_role(found, role), False
        user = User(name=email, password="", role=role or "viewer", openid=identity)
        try:
            return await self._users.add(user), True
        except RecordError as error:
            # Another process may have created it just now.
            await anyio.to_thread.run_sync(self._users.refresh)
            found = self._of(identity)
            if found is None:
                raise OpenIdRefused(f"no account: {error.field}", TAKEN if self._users.get(email) else "") from None
            return found, False

    async def connect(self, user: User, claims: Mapping[str, Any]) -> User:
        """Bind the identity to an account that has a password. It keeps its role, whatever the claim says."""
        self._allowed_email(claims)
        identity = msgspec.structs.replace(_identity(claims), managed=False)
        await anyio.to_thread.run_sync(self._users.refresh)
        other = self._of(identity)
        if other is not None and other.name != user.name:
            raise OpenIdRefused("the identity is another account's", CONNECTED)

        def connected(newest: User) -> User:
            if not newest.password:
                raise OpenIdRefused("the account has no password")
            return msgspec.structs.replace(newest, openid=identity)

        _, after = await self._users.update(user.name, connected)
        return after

    def _of(self, identity: OpenIdIdentity) -> User | None:
        key = (identity.issuer, identity.subject)
        return next((each for each in self._users.all() if each.openid and each.openid.key == key), None)

    async def _with_role(self, user: User, role: Role | None) -> User:
        """The role follows the claim, where accounts of this kind have one."""
        if role is None or user.role == role or user.openid is None or not user.openid.managed:
            return user
        try:
            _, after = await self._users.update(
                user.name, lambda newest: msgspec.structs.replace(newest.with_roles_of_sites(), role=role)
            )
        except RecordError:
            raise OpenIdRefused("the last administrator would lose the role", LAST_ADMIN) from None
        return after

    def _role(self, claims: Mapping[str, Any]) -> Role | None:
        """The highest role that the claim gives, viewer where it gives none; None where no claim gives roles."""
        if not self.role_claim:
            return None
        claim = claims.get(self.role_claim)
        values = claim if isinstance(claim, list) else [claim]
        found = [role for value, role in self._roles.items() if value in values]
        return max(found, key=_RANKS.index, default="viewer")

    def _allowed_email(self, claims: Mapping[str, Any]) -> str:
        """The e-mail address in small letters: verified, and of a domain that may sign in."""
        email = claims.get("email")
        # Some providers write the boolean as a text.
        if not isinstance(email, str) or not email or claims.get("email_verified") not in (True, "true"):
            raise OpenIdRefused("no verified e-mail address", UNVERIFIED)
        if self._domains and email.rpartition("@")[2].lower() not in self._domains:
            raise OpenIdRefused("the e-mail address is of another domain", FOREIGN)
        return email.lower()


def _identity(claims: Mapping[str, Any]) -> OpenIdIdentity:
    return OpenIdIdentity(issuer=claims["iss"], subject=claims["sub"])
