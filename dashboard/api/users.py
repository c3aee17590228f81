"""The API's handlers of users."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from collector.sites.registry import Sites
from dashboard.access.api_keys import ApiKey, ApiKeys
from dashboard.access.audit_log import EVERYWHERE, AuditLog
from dashboard.access.passwords import Passwords
from dashboard.access.sessions import Sessions
from dashboard.access.two_factor import TwoFactorAuth
from dashboard.access.users import Role, User, Users, titled
from dashboard.api.auth import ApiError, json_answer
from dashboard.api.key_handlers import id_of, ids_of, key_name, require_full_key
from dashboard.api.request_bodies import NewUser, UserChanges, read_as, read_fields
from dashboard.i18n.translations import N_


class UsersApi:
    """The handlers, with what they need."""

    def __init__(
        self,
        sites: Sites,
        users: Users,
        passwords: Passwords,
        sessions: Sessions,
        two_factor: TwoFactorAuth,
        keys: ApiKeys,
        audit_log: AuditLog,
    ) -> None:
        self._sites = sites
        self._users = users
        self._passwords = passwords
        self._sessions = sessions
        self._two_factor = two_factor
        self._keys = keys
        self._changes = audit_log

    async def list_users(self, _: Request, key: ApiKey) -> Response:
        """`GET /api/v1/users`."""
        require_full_key(key)
        return json_answer({"users": [self._shown_user(user) for user in self._users.all()]})

    async def create_user(self, request: Request, key: ApiKey) -> Response:
        """`POST /api/v1/users`: `name`, `password`, `role`, `sites`, `roles` (by site, before `role`)."""
        require_full_key(key)
        new = read_as(await read_fields(request), NewUser)
        sites, roles = ids_of(self._sites, new.sites), self._ids_of_roles(new.roles)
        hashed = await self._passwords.hash(new.password)
        wanted = User(name=new.name, password=hashed, role=new.role, sites=sites, roles=roles)
        user = await self._users.add(wanted, partial(self._keys.must_stand, key))
        await self._changes.note(key_name(key), EVERYWHERE, N_("User added"), "", self._described(user))
        return json_answer(self._shown_user(user), HTTPStatus.CREATED)

    async def change_user(self, request: Request, key: ApiKey) -> Response:
        """`PUT /api/v1/users/NAME`: `password`, `role`, `sites`, `roles`; what is left out stays."""
        require_full_key(key)
        user = self._user(request)
        changes = read_as(await read_fields(request), UserChanges)
        given: dict[str, Any] = {}
        if changes.role is not None:
            given["role"] = changes.role
        if changes.sites is not None:
            given["sites"] = ids_of(self._sites, changes.sites)
        if changes.roles is not None:
            given["roles"] = self._ids_of_roles(changes.roles)
        if changes.password is not None:
            given["password"] = await self._passwords.hash(changes.password)

        def changed(newest: User) -> User:
            self._keys.must_stand(key)
            return msgspec.structs.replace(newest, **given)

        before, after = await self._users.update(user.name, changed)
        what = N_("Password set") if changes.password is not None else N_("Role changed")
        await self._changes.note(key_name(key), EVERYWHERE, what, self._described(before), self._described(after))
        return json_answer(self._shown_user(after))

    async def remove_user(self, request: Request, key: ApiKey) -> Response:
        """`DELETE /api/v1/users/NAME`: ends their sign-ins too."""
        require_full_key(key)
        user = self._user(request)
        await self._users.remove(user.name, partial(self._keys.must_stand, key))
        await self._changes.note(key_name(key), EVERYWHERE, N_("User removed"), self._described(user))
        return json_answer({"deleted": True})

    async def reset_two_factor(self, request: Request, key: ApiKey) -> Response:
        """`DELETE /api/v1/users/NAME/two-factor`: signing in asks for the password only, until they set it up anew;
        their passkeys are removed."""
        require_full_key(key)
        user = self._user(request)
        was_on = await self._two_factor.reset(user.name)
        if was_on:
            await self._changes.note(key_name(key), EVERYWHERE, N_("Two-factor authentication reset"), "", user.name)
        return json_answer({"deleted": was_on})

    async def end_sessions(self, request: Request, key: ApiKey) -> Response:
        """`DELETE /api/v1/users/NAME/sessions`: sign somebody out everywhere."""
        require_full_key(key)
        user = self._user(request)
        await self._sessions.end_all(user)
        await self._changes.note(key_name(key), EVERYWHERE, N_("Signed out everywhere"), "", user.name)
        return json_answer({"deleted": True})

    def _user(self, request: Request) -> User:
        name = request.path_params["name"]
        user = self._users.get(name)
        if user is None:
            raise ApiError(HTTPStatus.NOT_FOUND, "name", f"there is no user {name}")
        return user

    def _ids_of_roles(self, roles: dict[str, Role]) -> dict[str, Role]:
        return {id_of(self._sites, domain): role for domain, role in roles.items()}

    def _shown_user(self, user: User) -> dict[str, Any]:
        """Sites by the names that they have now."""
        domains = self._sites.domains
        sites = sorted(domains[id_] for id_ in user.sites if id_ in domains)
        roles = {domains[id_]: role for id_, role in user.roles.items() if id_ in domains}
        two_factor = user.authenticator is not None
        return {"name": user.name, "role": user.role, "sites": sites, "roles": roles, "two_factor": two_factor}

    def _described(self, user: User) -> str:
        sites = ", ".join(f"{domain} ({role})" for domain, role in titled(user, self._sites.domains))
        return f"{user.name}: {user.role}{f', {sites}' if sites and user.role != 'admin' else ''}"
