"""Signed-in sessions, which their user can list and end.

The cookie holds a random token, signed, and is read from memory; what is kept is a hash of the token, the user, the
days of its beginning and last use, and a coarse label such as "Firefox on Linux": no address, no user agent.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import secrets
import threading
from collections.abc import Callable
from typing import Final, Literal

import anyio.to_thread
import msgspec
from itsdangerous import BadData, URLSafeSerializer
from starlette.requests import Request
from starlette.responses import Response

from collector.core.app_secret import Secrets
from collector.core.errors import RecordGone
from collector.enrichment.user_agent import UserAgentParser
from collector.ingest.request_origin import origin_of
from collector.storage.documents import DocumentTable
from dashboard.access.cookies import delete_cookie, read_cookie, set_cookie
from dashboard.access.users import User, Users
from dashboard.i18n.translations import N_

COOKIE: Final = "tyst_session"
DAY: Final = 24 * 3600
SESSION_DAYS: Final = 14
"""Days that a session lasts, and days without use that end it, unless settings say otherwise."""

MOST_OF_USER: Final = 100
"""Browsers that one user may be signed in with; beyond it the oldest is signed out."""

YOUNG: Final = 30
"""Seconds within which another process may not know of a sign-in yet, and asks the database."""


SignInMethod = Literal["password", "code", "recovery", "provider", "passkey"]
"""How somebody signed in: a password alone, with a code of an authenticator app, with a recovery code; by OpenID
Connect; or with a passkey."""

METHOD_NAMES: Final[dict[SignInMethod, str]] = {
    "password": N_("password"),
    "code": N_("password and code"),
    "recovery": N_("password and recovery code"),
    "provider": N_("single sign-on"),
    "passkey": N_("passkey"),
}


class Session(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One signed-in browser."""

    user: str
    fingerprint: str
    """Of the password's hash: a new password ends every sign-in."""
    started: int
    """Unix seconds."""
    last_used: datetime.date
    """Day (UTC) of its last use."""
    browser: str = ""
    """Family, such as Firefox; likewise `system`. Empty when unknown."""
    system: str = ""
    method: SignInMethod = "password"
    host: str = ""
    """The name of this server that it was started under."""


class Sessions:
    """Writes and reads the sign-in cookie.

    Reading is from memory; signing in and out go to ClickHouse first. The day of the last use is written with the
    next `refresh`. `clock` gives Unix seconds. `keys` sign cookies, so that made-up ones cost nothing. A session ends
    `days` after its start, and after `idle_days` without use.
    """

    max_of_user = MOST_OF_USER

    def __init__(
        self,
        records: DocumentTable[Session],
        users: Users,
        keys: Secrets,
        clock: Callable[[], float],
        *,
        days: int = SESSION_DAYS,
        idle_days: int = SESSION_DAYS,
    ) -> None:
        self._records = records
        self._users = users
        self._clock = clock
        self._devices = UserAgentParser(100)
        self.days = days
        self.idle_days = idle_days
        self._lifetime = days * DAY
        self._serializer = URLSafeSerializer(
            keys, salt="tyst.session.2", signer_kwargs={"digest_method": hashlib.sha256}
        )
        self._sessions: dict[str, Session] = {}
        self._used: dict[str, Session] = {}
        self._over: set[str] = set()
        """Ids of sessions that were looked up since the last `refresh` and not found."""
        self._changing = threading.Lock()

    async def start(
        self, request: Request, response: Response, user: User, method: SignInMethod = "password"
    ) -> Session:
        """Sign the user in: note the browser, and set the cookie on `response`."""
        token, now = secrets.token_urlsafe(32), int(self._clock())
        device = self._devices.read(request.headers.get("user-agent", ""))
        session = Session(
            user=user.name,
            fingerprint=_fingerprint(user),
            started=now,
            last_used=self._today(),
            browser=device.browser,
            system=device.os,
            method=method,
            host=origin_of(request).host,
        )
        await anyio.to_thread.run_sync(self._put, _hashed(token), session)
        if method == "password" and user.authenticator is None:
            newest = await self._users.newest(user.name)
            if newest is not None and newest.authenticator:
                # Two-factor authentication was turned on meanwhile, maybe at another collector, and has signed out
                # whoever has shown no code.
                await anyio.to_thread.run_sync(self._delete, _hashed(token))
        for id_, _oldest in self.of(user)[self.max_of_user :]:
            await anyio.to_thread.run_sync(self._delete, id_)
        value = str(self._serializer.dumps([token, now]))
        set_cookie(request.scope, response, COOKIE, value, max_age=self._lifetime)
        return session

    async def end(self, request: Request, response: Response) -> None:
        """Sign out: delete the session and its cookie."""
        id_ = self.id(request)
        if id_ in self._sessions:
            await anyio.to_thread.run_sync(self._delete, id_)
        delete_cookie(request.scope, response, COOKIE)

    def user(self, request: Request) -> User | None:
        """Who is signed in, or None: no cookie, a forged, old or ended one, or the password has changed since."""
        found = self.current(request)
        return found[0] if found else None

    def current(self, request: Request) -> tuple[User, Session] | None:
        """Who is signed in, and the session of the request's browser."""
        token, started = self._read(request)
        if not token:
            return None
        id_ = _hashed(token)
        session = self._sessions.get(id_) or self._unseen(id_, started)
        user = self._users.get(session.user) if session else None
        if session is None or user is None or not self._is_good(session, user):
            return None
        if session.last_used != self._today():
            session = msgspec.structs.replace(session, last_used=self._today())
            self._used[id_] = self._sessions[id_] = session
        return user, session

    def id(self, request: Request) -> str:
        """Names the request's own session among those of its user; empty without one."""
        token, _ = self._read(request)
        return _hashed(token) if token else ""

    def of(self, user: User) -> list[tuple[str, Session]]:
        """The user's signed-in browsers, the newest first, each with what names it."""
        found = [
            (id_, session)
            for id_, session in self._sessions.items()
            if session.user == user.name and self._is_good(session, user)
        ]
        return sorted(found, key=lambda pair: (-pair[1].started, pair[0]))

    def hosts_of_admins(self) -> frozenset[str]:
        """The names of this server under which administrators are signed in."""
        admins = {user.name for user in self._users.all() if user.role == "admin"}
        return frozenset(session.host for session in self._sessions.values() if session.user in admins) - {""}

    def forget_user(self, name: str) -> None:
        """A user is no more: their sign-ins are over. Blocking."""
        # Another process may have started some that this one has not read yet.
        self.refresh()
        for id_ in [id_ for id_, session in self._sessions.items() if session.user == name]:
            self._delete(id_)

    async def end_one(self, user: User, id_: str) -> bool:
        """End one of the user's sign-ins; whether there was such a one."""
        session = self._sessions.get(id_)
        if session is None or session.user != user.name:
            return False
        await anyio.to_thread.run_sync(self._delete, id_)
        return True

    async def end_all(self, user: User, *, but: str = "") -> None:
        """End all of the user's sign-ins, except that of id `but`."""
        # Another process may have started some that this one has not read yet.
        await anyio.to_thread.run_sync(self.refresh)
        for id_ in [id_ for id_, session in self._sessions.items() if session.user == user.name and id_ != but]:
            await anyio.to_thread.run_sync(self._delete, id_)

    def refresh(self) -> None:
        """Store the days of last use, reload all sessions, and remove expired ones. Blocking."""
        with self._changing:
            used, self._used = self._used, {}
            stored = self._records.all()
            for id_, session in used.items():
                # One that another process has ended must not come back.
                if id_ in stored:
                    with contextlib.suppress(RecordGone):
                        self._records.save(id_, session)
                        stored[id_] = session
            for id_ in [id_ for id_, session in stored.items() if self._is_over(session)]:
                self._records.delete(id_)
                del stored[id_]
            self._sessions, self._over = stored, set()

    def _is_good(self, session: Session, user: User) -> bool:
        same_password = secrets.compare_digest(_fingerprint(user), session.fingerprint)
        return same_password and not self._is_over(session)

    def _is_over(self, session: Session) -> bool:
        idle = (self._today() - session.last_used).days
        return self._clock() > session.started + self._lifetime or idle > self.idle_days

    def _put(self, id_: str, session: Session) -> None:
        with self._changing:
            self._records.create(id_, session)
            self._sessions[id_] = session

    def _delete(self, id_: str) -> None:
        with self._changing:
            self._records.delete(id_)
            self._used.pop(id_, None)
            self._sessions.pop(id_, None)

    def _unseen(self, id_: str, started: float) -> Session | None:
        """A sign-in that another process has just noted. Only a young one can be unknown here."""
        if self._clock() > started + YOUNG or id_ in self._over:
            return None
        session = self._records.get(id_)
        if session is None:
            # A session is stored before its cookie is sent, so this one has ended. Each lookup blocks the event loop.
            self._over.add(id_)
        else:
            self._sessions[id_] = session
        return session

    def _read(self, request: Request) -> tuple[str, float]:
        try:
            token, started = self._serializer.loads(read_cookie(request.scope, COOKIE))
        except (BadData, ValueError, TypeError):
            return "", 0.0
        return (token, float(started)) if isinstance(token, str) and isinstance(started, int) else ("", 0.0)

    def _today(self) -> datetime.date:
        return datetime.datetime.fromtimestamp(self._clock(), datetime.UTC).date()


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _fingerprint(user: User) -> str:
    return hashlib.blake2b(user.password.encode(), digest_size=12, person=b"tyst.session").hexdigest()
