"""People who may sign in: name, password hash, role, and the sites they see."""

from __future__ import annotations

import re
import secrets
from typing import Literal

import anyio.to_thread
import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

from collector.exceptions import RecordError
from collector.records import Records

Role = Literal["admin", "owner", "viewer"]
ROLES: tuple[Role, ...] = ("admin", "owner", "viewer")
SITE_ROLES: tuple[Role, ...] = ("owner", "viewer")
"""What one can be to one site; an administrator is so everywhere."""

ADMIN = "admin"
LEAST_PASSWORD = 8
"""Characters; the least that NIST SP 800-63B section 5.1.1 allows for a password a person chooses."""
MOST_PASSWORD = 1_000
"""Characters; hashing longer ones would only serve who wants to keep the server busy."""

_NAME = re.compile(r"[^\s/\x00-\x1f]{1,100}\Z")


class User(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One account. `password` is an argon2id hash, never the password."""

    name: str
    password: str
    role: Role = "viewer"
    sites: tuple[str, ...] = ()
    """Domains that an owner or viewer sees with the role of the account; an admin sees all."""
    roles: dict[str, Role] = {}
    """Domains where the user's role is another, or given by invitation; it comes before that of the account."""

    def role_on(self, domain: str) -> Role | None:
        """What the user is to that site; None is nobody."""
        if self.role == "admin":
            return "admin"
        return self.roles.get(domain) or (self.role if domain in self.sites else None)

    def sees(self, domain: str) -> bool:
        """Whether the user may look at that site."""
        return self.role_on(domain) is not None

    def may_change(self, domain: str) -> bool:
        """Whether the user may change that site's settings."""
        return self.role_on(domain) in ("admin", "owner")

    @property
    def domains(self) -> tuple[str, ...]:
        """Every site that an owner or viewer sees, in order."""
        return tuple(sorted({*self.sites, *self.roles}))

    def with_role(self, domain: str, role: Role | None) -> User:
        """The user with that role on one site; None takes the site away."""
        roles = {site: given for site, given in self.roles.items() if site != domain}
        sites = tuple(site for site in self.sites if site != domain)
        return msgspec.structs.replace(self, sites=sites, roles={**roles, **({domain: role} if role else {})})

    def with_roles_of_sites(self) -> User:
        """The user with what they are to each site said site by site, so that the account's role may change."""
        if self.role == "admin":
            return self
        return msgspec.structs.replace(
            self, sites=(), roles={site: self.role_on(site) or "viewer" for site in self.domains}
        )

    def renamed(self, old: str, new: str) -> User:
        """The user with the same role on a site that has another name now."""
        role = self.roles.get(old)
        sites = tuple(new if site == old else site for site in self.sites)
        moved = {new if site == old else site: given for site, given in self.roles.items()}
        return msgspec.structs.replace(self, sites=sites, roles=moved) if role or old in self.sites else self

    @property
    def may_add_sites(self) -> bool:
        """Whether the user may register new sites."""
        return self.role in ("admin", "owner")


class Passwords:
    """Hashes and checks passwords with argon2id. Blocking, tens of milliseconds: call through a thread."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        # Checked when the name is unknown, so that an answer takes as long as for a known one.
        self._nobody = self._hasher.hash(secrets.token_urlsafe(16))

    def hash(self, password: str) -> str:
        """The hash to keep. Raises `RecordError` for a password that is too short or too long."""
        if not LEAST_PASSWORD <= len(password) <= MOST_PASSWORD:
            raise RecordError(
                "password", "expected {least} to {most} characters", least=LEAST_PASSWORD, most=MOST_PASSWORD
            )
        return self._hasher.hash(password)

    def matches(self, hashed: str, password: str) -> bool:
        """Whether the password is the one of that hash."""
        try:
            return self._hasher.verify(hashed, password[:MOST_PASSWORD])
        except VerificationError:
            return False

    def right(self, user: User | None, password: str) -> bool:
        """Whether the password is the user's; for no user it takes as long, and is False."""
        try:
            self._hasher.verify(user.password if user else self._nobody, password[:MOST_PASSWORD])
        except VerificationError:
            return False
        return user is not None


def checked(user: User) -> User:
    """The user as it may be stored. Raises `RecordError` naming the field that must be mended."""
    if not _NAME.match(user.name):
        raise RecordError("name", "expected 1 to 100 characters without spaces or slashes")
    if user.role not in ROLES:
        raise RecordError("role", "expected one of {choices}", choices=", ".join(ROLES))
    if any(role not in SITE_ROLES for role in user.roles.values()):
        raise RecordError("roles", "expected one of {choices} for each site", choices=", ".join(SITE_ROLES))
    return user


class Users:
    """All users. Reading is from memory; changes go to ClickHouse first."""

    def __init__(self, records: Records[User]) -> None:
        self._records = records
        self._users: dict[str, User] = {}

    def get(self, name: str) -> User | None:
        """The user of that name, or None."""
        return self._users.get(name)

    def all(self) -> list[User]:
        """Every user, by name."""
        return [self._users[name] for name in sorted(self._users)]

    def refresh(self) -> None:
        """Read every user from ClickHouse. Blocking."""
        self._users = self._records.all()

    async def add(self, user: User) -> User:
        """Create a user. Raises `RecordError` when it is not valid or the name is taken."""
        if user.name in self._users:
            raise RecordError("name", "{name} exists already", name=user.name)
        return await self.change(user)

    async def change(self, user: User) -> User:
        """Store a user's new role, sites or password. Raises `RecordError` when they are not valid."""
        user = checked(user)
        await anyio.to_thread.run_sync(self._records.put, user.name, user)
        self._users[user.name] = user
        return user

    def of(self, domain: str) -> list[User]:
        """Everybody who sees that site, administrators first, then by name."""
        return sorted((user for user in self.all() if user.sees(domain)), key=lambda user: user.role != "admin")

    def last_admin(self, user: User) -> bool:
        """Whether nobody else is an administrator."""
        return user.role == "admin" and not any(
            other.role == "admin" and other.name != user.name for other in self.all()
        )

    def follow(self, old: str, new: str | None) -> None:
        """A site has a new name, or is no more (None): users see it under the new one, or no longer. Blocking."""
        for user in self.all():
            changed = user.renamed(old, new) if new else user.with_role(old, None)
            if changed != user:
                self._records.put(user.name, changed)
        self.refresh()

    async def remove(self, name: str) -> None:
        """Remove a user, which ends all their sign-ins. Raises `RecordError` if the name is unknown."""
        if name not in self._users:
            raise RecordError("name", "there is no user {name}", name=name)
        await anyio.to_thread.run_sync(self._records.delete, name)
        del self._users[name]


async def ensure_admin(users: Users, passwords: Passwords, given: str | None) -> str | None:
    """Create `admin` when nobody can sign in yet; `given` is the operator's password, if one is set.

    Returns the password when it had to be generated, to be shown once; else None.
    """
    if users.all():
        return None
    password = given or secrets.token_urlsafe(12)
    hashed = await anyio.to_thread.run_sync(passwords.hash, password)
    await users.add(User(name=ADMIN, password=hashed, role="admin"))
    return None if given else password
