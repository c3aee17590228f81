"""User accounts: name, password hash, role, and roles on sites.

Rights go by a site's own id, never by its name: a name may be taken by another site later.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import anyio.to_thread
import msgspec

from collector.core.errors import RecordError
from collector.core.text import is_plain_name
from collector.sites.model import Site
from collector.storage.documents import CachedDocumentTable, DocumentTable
from dashboard.access.authenticator import Authenticator
from dashboard.access.passkeys.credential import Passkey
from dashboard.access.passwords import Passwords

Role = Literal["admin", "owner", "viewer"]
ROLES: tuple[Role, ...] = ("admin", "owner", "viewer")
SITE_ROLES: tuple[Role, ...] = ("owner", "viewer")
"""What one can be to one site; an administrator is so everywhere."""

ADMIN = "admin"
LONGEST_NAME = 100


class OpenIdIdentity(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who somebody is to an OpenID provider."""

    issuer: str
    subject: str
    managed: bool = True
    """Whether the account was made by it, so that its role follows the provider's claim."""

    @property
    def key(self) -> tuple[str, str]:
        """What names it among all identities."""
        return self.issuer, self.subject


class User(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One account. `password` is an argon2id hash, never the password; empty where only OpenID Connect signs in."""

    name: str
    password: str
    role: Role = "viewer"
    sites: tuple[str, ...] = ()
    """Ids of sites that an owner or viewer sees with the role of the account; an admin sees all."""
    roles: dict[str, Role] = {}
    """Ids of sites where the user's role is another, or given by invitation; it comes before that of the account."""
    pins: tuple[str, ...] = ()
    """Ids of sites that the user wants on top of the list of sites."""
    authenticator: Authenticator | None = None
    """The app that two-factor authentication asks for; None is without."""
    passkeys: tuple[Passkey, ...] = ()
    """In the order in which they were added."""
    id: str = ""
    """Random, given when the account is created: another account may get the name. Empty in accounts of earlier
    releases."""
    openid: OpenIdIdentity | None = None
    """The identity that signs in to the account by OpenID Connect."""

    def role_at(self, site_id: str) -> Role | None:
        """What the user is to the site of that id; None is nobody."""
        if self.role == "admin":
            return "admin"
        return self.roles.get(site_id) or (self.role if site_id in self.sites else None)

    def role_on(self, site: Site) -> Role | None:
        """What the user is to that site; None is nobody."""
        return self.role_at(site.id)

    def sees(self, site: Site) -> bool:
        """Whether the user has access to that site."""
        return self.role_on(site) is not None

    def may_change(self, site: Site) -> bool:
        """Whether the user may change that site's settings."""
        return self.role_on(site) in ("admin", "owner")

    @property
    def site_ids(self) -> tuple[str, ...]:
        """Ids of every site that an owner or viewer sees, in order."""
        return tuple(sorted({*self.sites, *self.roles}))

    def with_role(self, site_id: str, role: Role | None) -> User:
        """The user with that role on one site; None takes the site away."""
        roles = {site: given for site, given in self.roles.items() if site != site_id}
        sites = tuple(site for site in self.sites if site != site_id)
        return msgspec.structs.replace(self, sites=sites, roles={**roles, **({site_id: role} if role else {})})

    def with_pin_toggled(self, site_id: str) -> User:
        """The user with that site pinned, or no longer."""
        others = tuple(pin for pin in self.pins if pin != site_id)
        return msgspec.structs.replace(self, pins=others if len(others) < len(self.pins) else (*others, site_id))

    def with_roles_of_sites(self) -> User:
        """The user with what they are to each site said site by site, so that the account's role may change."""
        if self.role == "admin":
            return self
        return msgspec.structs.replace(
            self, sites=(), roles={site: self.role_at(site) or "viewer" for site in self.site_ids}
        )

    def passkey(self, id_: str) -> Passkey | None:
        """The user's passkey of that id, or None."""
        return next((each for each in self.passkeys if each.id == id_), None)

    def without_passkey(self, id_: str) -> User:
        """The user without the passkey of that id."""
        return msgspec.structs.replace(self, passkeys=tuple(each for each in self.passkeys if each.id != id_))

    @property
    def may_add_sites(self) -> bool:
        """Whether the user may register new sites."""
        return self.role in ("admin", "owner")


def checked(user: User) -> User:
    """The user, validated. Raises `RecordError` naming the invalid field."""
    # Who is meant must be plain to see.
    if not user.name.isprintable() or not is_plain_name(user.name, LONGEST_NAME) or re.search(r"[\s/]", user.name):
        raise RecordError("name", "expected 1 to 100 characters without spaces or slashes")
    if user.role not in ROLES:
        raise RecordError("role", "expected one of {choices}", choices=", ".join(ROLES))
    if any(role not in SITE_ROLES for role in user.roles.values()):
        raise RecordError("roles", "expected one of {choices} for each site", choices=", ".join(SITE_ROLES))
    return user


class Users:
    """All users. Reading is from memory; changes go to ClickHouse first."""

    def __init__(self, records: DocumentTable[User]) -> None:
        self._records = CachedDocumentTable(records)
        self.followers: list[Callable[[str], None]] = []
        """Called, blocking, with the name of each user who is removed: another may get the name."""
        self.access_reduced: list[Callable[[User], None]] = []
        """Called, blocking, with each user who may see fewer sites than before; who is removed sees none."""

    def get(self, name: str) -> User | None:
        """The user of that name, or None."""
        return self._records.values.get(name)

    def current(self, user: User) -> User | None:
        """The same account as it is now, or None: who has its name may be somebody else."""
        found = self.get(user.name)
        return found if found is not None and found.id == user.id else None

    async def newest(self, name: str) -> User | None:
        """The user of that name as another process may have changed them just now."""
        await anyio.to_thread.run_sync(self.refresh)
        return self.get(name)

    def all(self) -> list[User]:
        """Every user, by name."""
        return _by_name(self._records.values)

    def refresh(self) -> None:
        """Read every user from ClickHouse. Blocking."""
        self._records.refresh()

    async def add(self, user: User, allowed: Callable[[], None] = lambda: None) -> User:
        """Create a user. Raises `RecordError` if it is invalid or the name is taken. `allowed` runs as the `change` of
        an update does, and may raise to prevent it."""
        user = msgspec.structs.replace(checked(user), id=secrets.token_hex(8))

        def must_be_free(users: Mapping[str, User]) -> None:
            allowed()
            if user.name in users:
                raise RecordError("name", "{name} already exists", name=user.name)

        await anyio.to_thread.run_sync(self._records.create, user.name, user, must_be_free)
        return user

    async def update(self, name: str, change: Callable[[User], User]) -> tuple[User, User]:
        """Store what `change` makes of the user as they are now; returns them before and after.

        `change` runs in a thread, and must be quick: whatever is slow, such as hashing, comes before. All users are
        current within it, so that it is where to see whether who asks still may. Raises `RecordError` when the result
        is not valid, when nobody would be administrator any more, and `RecordGone` when the user was removed meanwhile.
        """

        def changed(user: User) -> User:
            # Another process may have demoted or removed others.
            self._records.refresh()
            after = checked(change(user))
            if user.role == "admin" != after.role:
                self._must_leave_an_admin(self._records.values, name)
            return after

        def update() -> tuple[User, User]:
            self._records.refresh()
            known = self.get(name)
            if known is not None:
                # Before and after: a process that is killed in between leaves no access behind.
                self._notify_of_change(known, changed(known))
            before, after = self._records.update(name, changed)
            self._notify_of_change(before, after)
            return before, after

        return await anyio.to_thread.run_sync(update)

    def of(self, site: Site) -> list[User]:
        """Everybody who sees that site, administrators first, then by name."""
        return sorted((user for user in self.all() if user.sees(site)), key=lambda user: user.role != "admin")

    def forget_site(self, site_id: str) -> None:
        """A site is no more: nobody has a role there. Blocking."""
        for user in self.all():
            if site_id in user.site_ids:
                self._records.update(user.name, lambda each: each.with_role(site_id, None))

    async def remove(self, name: str, allowed: Callable[[], None] = lambda: None) -> None:
        """Remove a user, which ends all their sign-ins. Raises `RecordError` for the last administrator, and if the
        name is unknown. `allowed` is as in `add`."""

        def may_go(users: Mapping[str, User]) -> None:
            allowed()
            self._must_leave_an_admin(users, name)

        def remove() -> bool:
            self._records.refresh()
            if self.get(name) is None:
                return False
            may_go(self._records.values)
            # Before and after: killed in between, the user is still there, and can be removed again.
            self._end_all_of(name)
            gone = self._records.delete(name, may_go) is not None
            self._end_all_of(name)
            return gone

        if not await anyio.to_thread.run_sync(remove):
            raise RecordError("name", "there is no user {name}", name=name)

    def _end_all_of(self, name: str) -> None:
        self._notify_access_reduced(User(name=name, password=""))
        for follower in self.followers:
            follower(name)

    def _notify_of_change(self, before: User, after: User) -> None:
        if (before.role, before.sites, before.roles) != (after.role, after.sites, after.roles):
            self._notify_access_reduced(after)

    def _notify_access_reduced(self, user: User) -> None:
        for follower in self.access_reduced:
            follower(user)

    def _must_leave_an_admin(self, users: Mapping[str, User], name: str) -> None:
        admins = {user.name for user in users.values() if user.role == "admin"}
        if admins == {name}:
            raise RecordError("name", "{name} is the only administrator", name=name)


def _by_name(users: Mapping[str, User]) -> list[User]:
    return [users[name] for name in sorted(users)]


def titled(user: User, domains: Mapping[str, str]) -> Iterable[tuple[str, Role]]:
    """The sites of an owner or viewer as domain and role, by domain; `domains` are those of the sites by id."""
    return sorted((domains[id_], user.role_at(id_) or "viewer") for id_ in user.site_ids if id_ in domains)


async def ensure_admin(users: Users, passwords: Passwords, given: str | None) -> str | None:
    """Create `admin` when nobody can sign in yet; `given` is the operator's password, if one is set.

    Returns the password when it had to be generated, to be shown once; else None.
    """
    if users.all():
        return None
    password = given or secrets.token_urlsafe(12)
    try:
        await users.add(User(name=ADMIN, password=await passwords.hash(password), role="admin"))
    except RecordError:
        if not users.all():
            raise
        # Another collector that starts at the same time was first.
        return None
    return None if given else password
