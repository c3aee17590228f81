"""Shared links: hashed, named and revocable access to one site's dashboard.

Stored is a SHA-256 of each token. The token itself is derived from the installation's secret and the link's id, so that
its owner can copy it again, while the database alone opens nothing. A link outlives a change of the secret, but its
address can then no longer be shown; neither can that of a link of an earlier version, whose token was random.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import re
import secrets
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final
from urllib.parse import urlsplit

import anyio.to_thread
import msgspec
from itsdangerous import Signer

from collector.core.app_secret import Secrets
from collector.core.errors import RecordError, RecordGone
from collector.core.text import is_one_line
from collector.sites.model import Site
from collector.sites.registry import Sites
from collector.storage.documents import CachedDocumentTable, DocumentTable
from dashboard.access.users import User
from dashboard.i18n.translations import _

MOST_SHARES: Final = 100
"""Links of one site that one user may have made."""
MOST_ANCESTORS: Final = 10
LONGEST_NAME: Final = 100
LONGEST_ORIGIN: Final = 260
_SALT: Final = "tyst.share-token"

# Only what cannot end the directive or begin another may ever reach the header `Content-Security-Policy`.
_ANCESTOR = re.compile(
    r"(https?)://((?:\*\.)?[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*)(:[0-9]{1,5})?/?"
)


class ShareLink(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept of one link: enough to recognise its token, never the token itself."""

    id: str
    """Names it when it is revoked, and in the list of changes."""
    hash: str
    """SHA-256 of the token, hexadecimal."""
    site: str
    """Id of the site whose figures it shows."""
    name: str = ""
    """What its owner calls it."""
    password: str = ""
    """argon2id hash, or empty when the link alone is enough."""
    expires: datetime.date | None = None
    """Last day, by the site's clock, on which it opens."""
    ancestors: tuple[str, ...] = ()
    """Origins whose pages may show it in a frame (CSP `frame-ancestors`)."""
    created: int = 0
    """Unix seconds."""
    last_used: datetime.date | None = None
    """Day, by the site's clock, of its last use."""
    by: str = ""
    """Name of the user who made it."""


class ShareLinks:
    """All links. Reading is from memory; changes go to ClickHouse first. `clock` gives Unix seconds."""

    def __init__(
        self, records: DocumentTable[ShareLink], sites: Sites, keys: Secrets, clock: Callable[[], float]
    ) -> None:
        self._records = CachedDocumentTable(records, self._index)
        self._sites = sites
        self._signers = [Signer(key, salt=_SALT, digest_method=hashlib.sha256) for key in reversed(keys)]
        self._clock = clock
        self._by_hash: dict[str, ShareLink] = {}

    def refresh(self) -> None:
        """Read every link from ClickHouse. Blocking."""
        self._records.refresh()

    def of(self, site: Site) -> list[ShareLink]:
        """The links of one site, oldest first; those that are over are among them."""
        found = [share for share in self._by_hash.values() if share.site == site.id and _belongs(share, site)]
        return sorted(found, key=lambda share: (share.created, share.id))

    def opened(self, token: str) -> tuple[ShareLink, Site] | None:
        """The shared link of a token; None if it is unknown, revoked, expired, or its site was deleted."""
        share = self._by_hash.get(hashed(token))
        site = self._sites.by_id(share.site) if share else None
        if share is None or site is None or not _belongs(share, site) or self.over(share, site):
            return None
        return share, site

    def token(self, share: ShareLink) -> str | None:
        """The token of a link; None where its secret is no more, or where it was not derived from one."""
        derived = (_token(signer, share.id) for signer in self._signers)
        return next((token for token in derived if hashed(token) == share.hash), None)

    def over(self, share: ShareLink, site: Site) -> bool:
        """Whether the link's last day is over."""
        return share.expires is not None and self.today(site) > share.expires

    def today(self, site: Site) -> datetime.date:
        """The date by the site's clock."""
        return self._sites.zone(site).date(self._clock())

    async def create(
        self,
        site: Site,
        *,
        name: str = "",
        password: str = "",
        expires: datetime.date | None = None,
        ancestors: tuple[str, ...] = (),
        by: str = "",
    ) -> tuple[ShareLink, str]:
        """A new link: its record, and its token. `password` is a hash.

        Raises `RecordError` naming the field that must be mended.
        """
        name = name.strip()
        if not is_one_line(name, LONGEST_NAME):
            raise RecordError("name", _("expected 1 to {count} characters").format(count=LONGEST_NAME))
        if expires is not None and expires < self.today(site):
            raise RecordError("expires", _("expected a date that is not in the past"))
        if password and ancestors:
            raise RecordError("ancestors", _("a link with a password cannot be embedded"))
        id_ = secrets.token_hex(16)
        token = _token(self._signers[0], id_)
        share = ShareLink(
            id=id_,
            hash=hashed(token),
            site=site.id,
            name=name,
            password=password,
            expires=expires,
            ancestors=ancestors,
            created=int(self._clock()),
            by=by,
        )

        def may_add(shares: Mapping[str, ShareLink]) -> None:
            if sum(each.site == site.id and each.by == by for each in shares.values()) >= MOST_SHARES:
                reason = _("a site can have {count} links; revoke one first").format(count=MOST_SHARES)
                raise RecordError("name", reason)

        await anyio.to_thread.run_sync(self._records.create, share.id, share, may_add)
        return share, token

    async def revoke(self, site: Site, id_: str) -> ShareLink:
        """The link opens nothing from now on. Raises `RecordError` if the site has none of that id."""
        share = next((share for share in self.of(site) if share.id == id_), None)
        gone = await anyio.to_thread.run_sync(self._records.delete, share.id) if share else None
        if gone is None:
            raise RecordError("id", _("link not found"))
        return gone

    def forget_site(self, site_id: str) -> None:
        """A site is no more: its links go with it. Blocking."""
        self.refresh()
        for share in [share for share in self._by_hash.values() if share.site == site_id]:
            self._records.delete(share.id)

    def forget_sites_of(self, user: User) -> list[ShareLink]:
        """A user sees fewer sites, or none: delete their links to the others, and return these. Blocking."""
        # Another process may have made some just now.
        self.refresh()
        made = [share for share in self._by_hash.values() if share.by == user.name]
        return [share for share in made if user.role_at(share.site) is None and self._records.delete(share.id)]

    async def note_use(self, share: ShareLink, site: Site) -> None:
        """Note the day of its use."""
        today = self.today(site)
        if share.last_used == today:
            return
        # Revoked meanwhile, it stays so.
        with contextlib.suppress(RecordGone):
            change = partial(msgspec.structs.replace, last_used=today)
            await anyio.to_thread.run_sync(self._records.update, share.id, change)

    def _index(self, shares: Mapping[str, ShareLink]) -> None:
        self._by_hash = {share.hash: share for share in shares.values()}


def _token(signer: Signer, id_: str) -> str:
    """32 characters of base64: 192 bits."""
    return signer.get_signature(id_).decode()[:32]


def hashed(token: str) -> str:
    """The stored hash of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def read_ancestors(text: str) -> tuple[str, ...]:
    """Origins, one a line or separated by commas or spaces, as they go into `frame-ancestors`.

    Raises `RecordError` for what is no origin: `https://www.example.com`, `https://*.example.com`.
    """
    found = []
    for part in text.replace(",", " ").split():
        origin = part.lower() if "://" in part else f"https://{part.lower()}"
        match = _ANCESTOR.fullmatch(_ascii(origin)) if len(origin) <= LONGEST_ORIGIN else None
        if match is None:
            raise RecordError("ancestors", _("expected origins such as https://www.example.com"))
        found.append(f"{match[1]}://{match[2]}{match[3] or ''}")
    if len(found) > MOST_ANCESTORS:
        raise RecordError("ancestors", _("expected at most {count} origins").format(count=MOST_ANCESTORS))
    return tuple(dict.fromkeys(found))


def _ascii(origin: str) -> str:
    """The origin with an international host as browsers send it."""
    try:
        host = urlsplit(origin).hostname or ""
        return origin.replace(host, host.encode("idna").decode(), 1) if not host.isascii() else origin
    except (UnicodeError, ValueError):
        return ""


def _belongs(share: ShareLink, site: Site) -> bool:
    """Whether the link was made for this very site: where ids are names yet, not for one of the name before it."""
    return share.created >= site.created
