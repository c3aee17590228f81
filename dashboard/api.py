"""The management API: sites, users, keys and status over HTTP, with a bearer key.

Sites are spoken of as in Plausible's Sites API where that says anything. Every error is JSON and names the field:
`{"error": "timezone: …", "errors": {"timezone": ["…"]}}`.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import anyio.to_thread
import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from collector.exceptions import RecordError
from collector.sites import Site, Sites
from dashboard.bearer import ApiError, bearer, json_answer, refused
from dashboard.bearer import readers as readers  # offered to the other APIs from here
from dashboard.bodies import NewKey, NewUser, UserChanges, read_as, read_fields, read_site
from dashboard.keys import ApiKey, Keys
from dashboard.status import Status
from dashboard.users import Passwords, User, Users

Handler = Callable[[Request, ApiKey], Awaitable[Response]]


class Api:
    """The handlers, with what they need."""

    def __init__(
        self,
        sites: Sites,
        users: Users,
        passwords: Passwords,
        keys: Keys,
        status: Callable[[], Awaitable[Status]],
    ) -> None:
        self._sites = sites
        self._users = users
        self._passwords = passwords
        self._keys = keys
        self._status = status

    async def list_sites(self, _: Request, key: ApiKey) -> Response:
        """`GET /api/v1/sites`: the sites that the key may read."""
        return json_answer({"sites": [_shown_site(site) for site in self._sites.all() if key.may_read(site.domain)]})

    async def create_site(self, request: Request, key: ApiKey) -> Response:
        """`POST /api/v1/sites`: `domain`, and any setting of a site."""
        _must_do_everything(key)
        fields = await read_fields(request)
        site = read_site({"created": int(time.time())}, fields)
        return json_answer(_shown_site(await self._sites.add(site)), HTTPStatus.CREATED)

    async def get_site(self, request: Request, key: ApiKey) -> Response:
        """`GET /api/v1/sites/DOMAIN`."""
        return json_answer(_shown_site(self._site(request, key.may_read)))

    async def change_site(self, request: Request, key: ApiKey) -> Response:
        """`PUT /api/v1/sites/DOMAIN`: any setting of a site; what is left out stays."""
        site = self._site(request, key.may_manage)
        fields = await read_fields(request)
        if fields.get("domain", site.domain) != site.domain:
            raise ApiError(HTTPStatus.BAD_REQUEST, "domain", "a site cannot be renamed; add the new one")
        return json_answer(_shown_site(await self._sites.change(read_site(msgspec.structs.asdict(site), fields))))

    async def remove_site(self, request: Request, key: ApiKey) -> Response:
        """`DELETE /api/v1/sites/DOMAIN`: its events stay until they are too old, and come back with the site."""
        site = self._site(request, key.may_manage)
        await self._sites.remove(site.domain)
        return json_answer({"deleted": True})

    async def list_users(self, _: Request, key: ApiKey) -> Response:
        """`GET /api/v1/users`."""
        _must_do_everything(key)
        return json_answer({"users": [_shown_user(user) for user in self._users.all()]})

    async def create_user(self, request: Request, key: ApiKey) -> Response:
        """`POST /api/v1/users`: `name`, `password`, `role`, `sites`."""
        _must_do_everything(key)
        new = read_as(await read_fields(request), NewUser)
        self._must_know(new.sites)
        user = User(name=new.name, password=await self._hashed(new.password), role=new.role, sites=new.sites)
        return json_answer(_shown_user(await self._users.add(user)), HTTPStatus.CREATED)

    async def change_user(self, request: Request, key: ApiKey) -> Response:
        """`PUT /api/v1/users/NAME`: `password`, `role`, `sites`; what is left out stays."""
        _must_do_everything(key)
        user = self._user(request)
        changes = read_as(await read_fields(request), UserChanges)
        given = {name: value for name, value in msgspec.structs.asdict(changes).items() if value is not None}
        if changes.sites is not None:
            self._must_know(changes.sites)
        if changes.role not in (None, "admin"):
            self._must_not_be_last_admin(user)
        if changes.password is not None:
            given["password"] = await self._hashed(changes.password)
        return json_answer(_shown_user(await self._users.change(msgspec.structs.replace(user, **given))))

    async def remove_user(self, request: Request, key: ApiKey) -> Response:
        """`DELETE /api/v1/users/NAME`: ends their sign-ins too."""
        _must_do_everything(key)
        user = self._user(request)
        self._must_not_be_last_admin(user)
        await self._users.remove(user.name)
        return json_answer({"deleted": True})

    async def list_keys(self, _: Request, key: ApiKey) -> Response:
        """`GET /api/v1/keys`: never the keys themselves."""
        _must_do_everything(key)
        return json_answer({"keys": [_shown_key(each) for each in await self._keys.all()]})

    async def create_key(self, request: Request, key: ApiKey) -> Response:
        """`POST /api/v1/keys`: `sites` (none is all), `right`, `name`. The only answer that shows the key."""
        _must_do_everything(key)
        new = read_as(await read_fields(request), NewKey)
        self._must_know(new.sites)
        made, shown = await self._keys.create(sites=new.sites, right=new.right, name=new.name)
        return json_answer({"key": shown, **_shown_key(made)}, HTTPStatus.CREATED)

    async def revoke_key(self, request: Request, key: ApiKey) -> Response:
        """`DELETE /api/v1/keys/ID`: refused from now on."""
        _must_do_everything(key)
        try:
            await self._keys.revoke(request.path_params["id"])
        except RecordError as error:
            raise ApiError(HTTPStatus.NOT_FOUND, error.field, error.reason) from None
        return json_answer({"deleted": True})

    async def status(self, _: Request, key: ApiKey) -> Response:
        """`GET /api/v1/status`."""
        _must_do_everything(key)
        return json_answer(msgspec.to_builtins(await self._status()))

    def guarded(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """The handler behind its key, with its errors as JSON."""

        async def answer(request: Request) -> Response:
            try:
                return await handler(request, await bearer(self._keys, request))
            except ApiError as error:
                return refused(error)
            except RecordError as error:
                return refused(ApiError(HTTPStatus.BAD_REQUEST, error.field, error.reason))

        return answer

    def _site(self, request: Request, may: Callable[[str], bool]) -> Site:
        # A site that the key is not for is answered like one that does not exist: keys do not list others' sites.
        domain = request.path_params["domain"]
        site = self._sites.get(domain)
        if site is None or not may(domain):
            raise ApiError(HTTPStatus.NOT_FOUND, "domain", f"{domain} is not registered, or not for this key")
        return site

    def _user(self, request: Request) -> User:
        name = request.path_params["name"]
        user = self._users.get(name)
        if user is None:
            raise ApiError(HTTPStatus.NOT_FOUND, "name", f"there is no user {name}")
        return user

    async def _hashed(self, password: str) -> str:
        return await anyio.to_thread.run_sync(self._passwords.hash, password)

    def _must_know(self, domains: tuple[str, ...]) -> None:
        for domain in domains:
            if self._sites.get(domain) is None:
                raise ApiError(HTTPStatus.BAD_REQUEST, "sites", f"{domain} is not registered")

    def _must_not_be_last_admin(self, user: User) -> None:
        others = [each for each in self._users.all() if each.role == "admin" and each.name != user.name]
        if user.role == "admin" and not others:
            raise ApiError(HTTPStatus.BAD_REQUEST, "name", f"{user.name} is the only administrator")


def routes(
    *,
    sites: Sites,
    users: Users,
    passwords: Passwords,
    keys: Keys,
    status: Callable[[], Awaitable[Status]],
) -> list[Route]:
    """The API's routes."""
    api = Api(sites, users, passwords, keys, status)
    table: list[tuple[str, str, Handler]] = [
        ("GET", "/api/v1/sites", api.list_sites),
        ("POST", "/api/v1/sites", api.create_site),
        ("GET", "/api/v1/sites/{domain}", api.get_site),
        ("PUT", "/api/v1/sites/{domain}", api.change_site),
        ("DELETE", "/api/v1/sites/{domain}", api.remove_site),
        ("GET", "/api/v1/users", api.list_users),
        ("POST", "/api/v1/users", api.create_user),
        ("PUT", "/api/v1/users/{name}", api.change_user),
        ("DELETE", "/api/v1/users/{name}", api.remove_user),
        ("GET", "/api/v1/keys", api.list_keys),
        ("POST", "/api/v1/keys", api.create_key),
        ("DELETE", "/api/v1/keys/{id}", api.revoke_key),
        ("GET", "/api/v1/status", api.status),
    ]
    return [Route(path, api.guarded(handler), methods=[method]) for method, path, handler in table]


def _must_do_everything(key: ApiKey) -> None:
    if not key.everything:
        raise ApiError(HTTPStatus.FORBIDDEN, "authorization", "this needs a key that may manage every site")


def _shown_site(site: Site) -> dict[str, Any]:
    return msgspec.structs.asdict(site)


def _shown_user(user: User) -> dict[str, Any]:
    return {"name": user.name, "role": user.role, "sites": user.sites}


def _shown_key(key: ApiKey) -> dict[str, Any]:
    return {name: value for name, value in msgspec.structs.asdict(key).items() if name != "hash"}
