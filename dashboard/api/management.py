"""The management API: sites, users, keys and status.

Sites are spoken of as in Plausible's Sites API where that says anything. Every error is JSON and names the field:
`{"error": "timezone: …", "errors": {"timezone": ["…"]}}`.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final

import anyio.to_thread
import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from collector.core.errors import RecordError
from collector.erasure.job_runner import SiteJobRunner
from collector.erasure.site_job import Kind, SiteJob, new_job
from collector.ingest.request_origin import public_base
from collector.sites.hostnames import unicode_host
from collector.sites.model import Site, checked
from collector.sites.registry import Sites
from dashboard.access.api_keys import ApiKey, ApiKeys
from dashboard.access.audit_log import EVERYWHERE, AuditLog
from dashboard.access.passwords import Passwords
from dashboard.access.sessions import Sessions
from dashboard.access.two_factor import TwoFactorAuth
from dashboard.access.users import Role, User, Users, titled
from dashboard.api.auth import ApiError, json_answer
from dashboard.api.goals import GoalsApi
from dashboard.api.key_handlers import KeyHandler, answering, key_name, require_full_key, site_of
from dashboard.api.request_bodies import NewKey, NewUser, UserChanges, read_as, read_fields, read_site
from dashboard.compliance.health_report import Status
from dashboard.i18n.translations import N_

DELETED_SITE: Final = "(deleted site)"


class ManagementApi:
    """The handlers, with what they need."""

    def __init__(
        self,
        sites: Sites,
        users: Users,
        passwords: Passwords,
        sessions: Sessions,
        two_factor: TwoFactorAuth,
        keys: ApiKeys,
        status: Callable[[], Awaitable[Status]],
        audit_log: AuditLog,
        jobs: SiteJobRunner,
    ) -> None:
        self._sites = sites
        self._users = users
        self._passwords = passwords
        self._sessions = sessions
        self._two_factor = two_factor
        self._keys = keys
        self._status = status
        self._changes = audit_log
        self._deletions = jobs

    async def list_sites(self, _: Request, key: ApiKey) -> Response:
        """`GET /api/v1/sites`: the sites that the key may read."""
        return json_answer({"sites": [_shown_site(site) for site in self._sites.all() if key.may_read(site)]})

    async def create_site(self, request: Request, key: ApiKey) -> Response:
        """`POST /api/v1/sites`: `domain`, and any setting of a site."""
        require_full_key(key)
        fields = await read_fields(request)
        site = await self._sites.add(read_site(Site(domain="", created=int(time.time())), fields))
        await self._changes.note(key_name(key), site.domain, N_("Site added"))
        return json_answer(_shown_at(site, request), HTTPStatus.CREATED)

    async def get_site(self, request: Request, key: ApiKey) -> Response:
        """`GET /api/v1/sites/DOMAIN`."""
        return json_answer(_shown_at(site_of(self._sites, request, key.may_read), request))

    async def change_site(self, request: Request, key: ApiKey) -> Response:
        """`PUT /api/v1/sites/DOMAIN`: any setting of a site; what is left out stays. `domain` renames it: figures
        move to the new name within seconds, and beacons of the old one count there too."""
        site = site_of(self._sites, request, key.may_manage)
        fields = await read_fields(request)
        domain = fields.pop("domain", site.domain)
        if not isinstance(domain, str):
            raise ApiError(HTTPStatus.BAD_REQUEST, "domain", "expected a name such as example.com")
        new = unicode_host(domain.strip().lower())
        # Nothing is changed unless all of it may be and can be.
        if new != site.domain:
            require_full_key(key)
        checked(read_site(site, fields))
        if new != site.domain:
            task = await self._ask(key, site, "rename", to=new)
            await self._changes.note(key_name(key), new, N_("Site renamed"), task.site, new)
            site = self._sites.by_id(site.id) or site
        if fields:
            before, site = await self._sites.update(site, lambda newest: read_site(newest, fields))
            await self._changes.note_site(key_name(key), before, site)
        return json_answer(_shown_at(site, request))

    async def reset_site(self, request: Request, key: ApiKey) -> Response:
        """`POST /api/v1/sites/DOMAIN/reset`: delete all statistics of a site; settings stay."""
        site = site_of(self._sites, request, key.may_manage)
        task = await self._ask(key, site, "reset")
        await self._changes.note(key_name(key), site.domain, N_("Statistics reset"), f"{task.rows} events")
        return json_answer({"deleted": True, "events": task.rows}, HTTPStatus.ACCEPTED)

    async def remove_site(self, request: Request, key: ApiKey) -> Response:
        """`DELETE /api/v1/sites/DOMAIN`: delete a site with its settings and statistics."""
        site = site_of(self._sites, request, key.may_manage)
        task = await self._ask(key, site, "remove")
        await self._changes.note(key_name(key), site.domain, N_("Site deleted"), f"{task.rows} events", site_id=site.id)
        return json_answer({"deleted": True})

    async def list_users(self, _: Request, key: ApiKey) -> Response:
        """`GET /api/v1/users`."""
        require_full_key(key)
        return json_answer({"users": [self._shown_user(user) for user in self._users.all()]})

    async def create_user(self, request: Request, key: ApiKey) -> Response:
        """`POST /api/v1/users`: `name`, `password`, `role`, `sites`, `roles` (by site, before `role`)."""
        require_full_key(key)
        new = read_as(await read_fields(request), NewUser)
        sites, roles = self._ids(new.sites), self._ids_of_roles(new.roles)
        hashed = await self._passwords.hash(new.password)
        user = await self._users.add(User(name=new.name, password=hashed, role=new.role, sites=sites, roles=roles))
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
            given["sites"] = self._ids(changes.sites)
        if changes.roles is not None:
            given["roles"] = self._ids_of_roles(changes.roles)
        if changes.password is not None:
            given["password"] = await self._passwords.hash(changes.password)
        before, after = await self._users.update(user.name, lambda newest: msgspec.structs.replace(newest, **given))
        what = N_("Password set") if changes.password is not None else N_("Role changed")
        await self._changes.note(key_name(key), EVERYWHERE, what, self._described(before), self._described(after))
        return json_answer(self._shown_user(after))

    async def remove_user(self, request: Request, key: ApiKey) -> Response:
        """`DELETE /api/v1/users/NAME`: ends their sign-ins too."""
        require_full_key(key)
        user = self._user(request)
        await self._users.remove(user.name)
        await self._changes.note(key_name(key), EVERYWHERE, N_("User removed"), self._described(user))
        return json_answer({"deleted": True})

    async def reset_two_factor(self, request: Request, key: ApiKey) -> Response:
        """`DELETE /api/v1/users/NAME/two-factor`: signing in asks for the password only, until they set it up anew."""
        require_full_key(key)
        user = self._user(request)
        was_on = await self._two_factor.turn_off(user.name)
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

    async def list_keys(self, _: Request, key: ApiKey) -> Response:
        """`GET /api/v1/keys`: never the keys themselves."""
        require_full_key(key)
        return json_answer({"keys": [self._shown_key(each) for each in await self._keys.all()]})

    async def create_key(self, request: Request, key: ApiKey) -> Response:
        """`POST /api/v1/keys`: `sites` (none is all), `right`, `name`, `expires` (a day, or `never`). The only answer
        that shows the key."""
        require_full_key(key)
        new = read_as(await read_fields(request), NewKey)
        made, shown = await self._keys.create(
            sites=self._ids(new.sites), right=new.right, name=new.name, expires=new.expires, by=key_name(key)
        )
        await self._changes.note(key_name(key), EVERYWHERE, N_("API key created"), "", self._described_key(made))
        return json_answer({"key": shown, **self._shown_key(made)}, HTTPStatus.CREATED)

    async def revoke_key(self, request: Request, key: ApiKey) -> Response:
        """`DELETE /api/v1/keys/ID`: refused from now on."""
        require_full_key(key)
        try:
            gone = await self._keys.revoke(request.path_params["id"])
        except RecordError as error:
            raise ApiError(HTTPStatus.NOT_FOUND, error.field, error.reason) from None
        await self._changes.note(key_name(key), EVERYWHERE, N_("API key revoked"), self._described_key(gone))
        return json_answer({"deleted": True})

    async def status(self, _: Request, key: ApiKey) -> Response:
        """`GET /api/v1/status`."""
        require_full_key(key)
        return json_answer(msgspec.to_builtins(await self._status()))

    def _user(self, request: Request) -> User:
        name = request.path_params["name"]
        user = self._users.get(name)
        if user is None:
            raise ApiError(HTTPStatus.NOT_FOUND, "name", f"there is no user {name}")
        return user

    def _id(self, domain: str) -> str:
        site = self._sites.get(domain)
        if site is None:
            raise ApiError(HTTPStatus.BAD_REQUEST, "sites", f"{domain} is not registered")
        return site.id

    def _ids(self, domains: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(self._id, domains))

    def _ids_of_roles(self, roles: dict[str, Role]) -> dict[str, Role]:
        return {self._id(domain): role for domain, role in roles.items()}

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

    def _shown_key(self, key: ApiKey) -> dict[str, Any]:
        """Sites by the names that they have now."""
        fields = {name: value for name, value in msgspec.structs.asdict(key).items() if name != "hash"}
        return {**fields, "sites": self._domains_of(key)}

    def _described_key(self, key: ApiKey) -> str:
        until = f", until {key.expires}" if key.expires else ""
        sites = ", ".join(self._domains_of(key)) or "all sites"
        return f"{key.id}{f' ({key.name})' if key.name else ''}: {key.right} {sites}{until}"

    def _domains_of(self, key: ApiKey) -> list[str]:
        """An empty list is every site: one that is no more stands in it as such."""
        domains = self._sites.domains
        return sorted(domains.get(id_, DELETED_SITE) for id_ in key.sites)

    async def _ask(self, key: ApiKey, site: Site, kind: Kind, **fields: object) -> SiteJob:
        """Have something done to the site as a whole."""
        task = new_job(kind, site, key_name(key), time.time(), **fields)
        return await anyio.to_thread.run_sync(self._deletions.enqueue, task)


def routes(
    *,
    sites: Sites,
    users: Users,
    passwords: Passwords,
    sessions: Sessions,
    two_factor: TwoFactorAuth,
    keys: ApiKeys,
    status: Callable[[], Awaitable[Status]],
    audit_log: AuditLog,
    jobs: SiteJobRunner,
) -> list[Route]:
    """The API's routes."""
    api = ManagementApi(sites, users, passwords, sessions, two_factor, keys, status, audit_log, jobs)
    goals = GoalsApi(sites, audit_log)
    table: list[tuple[str, str, KeyHandler]] = [
        ("GET", "/api/v1/sites/goals", goals.list_goals),
        ("PUT", "/api/v1/sites/goals", goals.put_goal),
        ("DELETE", "/api/v1/sites/goals/{goal_id}", goals.delete_goal),
        ("GET", "/api/v1/sites", api.list_sites),
        ("POST", "/api/v1/sites", api.create_site),
        ("GET", "/api/v1/sites/{domain}", api.get_site),
        ("PUT", "/api/v1/sites/{domain}", api.change_site),
        ("DELETE", "/api/v1/sites/{domain}", api.remove_site),
        ("POST", "/api/v1/sites/{domain}/reset", api.reset_site),
        ("GET", "/api/v1/users", api.list_users),
        ("POST", "/api/v1/users", api.create_user),
        ("PUT", "/api/v1/users/{name}", api.change_user),
        ("DELETE", "/api/v1/users/{name}", api.remove_user),
        ("DELETE", "/api/v1/users/{name}/two-factor", api.reset_two_factor),
        ("DELETE", "/api/v1/users/{name}/sessions", api.end_sessions),
        ("GET", "/api/v1/keys", api.list_keys),
        ("POST", "/api/v1/keys", api.create_key),
        ("DELETE", "/api/v1/keys/{id}", api.revoke_key),
        ("GET", "/api/v1/status", api.status),
    ]
    return [Route(path, answering(keys, handler), methods=[method]) for method, path, handler in table]


def _shown_site(site: Site) -> dict[str, Any]:
    return msgspec.structs.asdict(site)


def _shown_at(site: Site, request: Request) -> dict[str, Any]:
    """A site with the address that its pages load the tag from."""
    return _shown_site(site) | {"url": public_base(request)}
