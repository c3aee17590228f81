"""Channels: where alerts of a site, or of the installation, are sent: an e-mail address, or a webhook."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import secrets
from collections.abc import Callable, Mapping
from typing import Final, Literal, get_args

import anyio.to_thread
import httpx
import msgspec
from itsdangerous import BadData, URLSafeSerializer

from collector.core.app_secret import Secrets
from collector.core.errors import RecordError, RecordGone
from collector.core.mail_address import is_mail_address
from collector.storage.documents import DocumentTable
from collector.storage.site_records import SiteRecord, SiteRecords
from dashboard.access.authenticator import KeyCipher
from dashboard.i18n.translations import ENGLISH, N_, languages

Shape = Literal["mail", "standard", "slack", "mattermost", "teams", "discord", "ntfy"]
SHAPES: Final[tuple[Shape, ...]] = get_args(Shape)
SHAPE_NAMES: Final[dict[Shape, str]] = {
    "mail": N_("E-mail"),
    "standard": N_("Webhook"),
    "slack": N_("Slack"),
    "mattermost": N_("Mattermost"),
    "teams": N_("Microsoft Teams"),
    "discord": N_("Discord"),
    "ntfy": N_("ntfy"),
}

MOST_CHANNELS: Final = 20
"""Of one site."""
LONGEST_URL: Final = 2_000
INSTALLATION: Final = ""
"""The site of what is about the installation."""


class Channel(SiteRecord, frozen=True, kw_only=True, omit_defaults=True):
    """One channel. Of a webhook's address only the host can be read: the rest often is a password."""

    shape: Shape
    name: str
    """The address of a mail, the host of a webhook."""
    sealed: str = ""
    """Address and secret of a webhook, encrypted."""
    language: str = ENGLISH
    created: int = 0
    by: str = ""

    @property
    def lane(self) -> Literal["mail", "webhook"]:
        """How it is sent to."""
        return "mail" if self.shape == "mail" else "webhook"


class Endpoint(msgspec.Struct, frozen=True):
    """Where a webhook is, and the secret that its calls are signed with (Standard Webhooks: `whsec_` and base64)."""

    url: str
    secret: str

    @property
    def key(self) -> bytes:
        """The bytes of the secret."""
        return base64.b64decode(self.secret.removeprefix("whsec_"))


class Channels(SiteRecords[Channel]):
    """All channels. Reading is from memory; changes go to ClickHouse first. `keys` sign and encrypt; `plain_http` says
    whether addresses without TLS are taken; `clock` gives Unix seconds."""

    max_of_site = MOST_CHANNELS

    def __init__(
        self, records: DocumentTable[Channel], keys: Secrets, clock: Callable[[], float], *, plain_http: bool = False
    ) -> None:
        super().__init__(records)
        self._cipher = KeyCipher(keys)
        self._serializer = URLSafeSerializer(keys, salt="tyst.channel", signer_kwargs={"digest_method": hashlib.sha256})
        self._clock = clock
        self._schemes = ("https", "http") if plain_http else ("https",)

    def of(self, site_id: str) -> list[Channel]:
        """The channels of one site, or of the installation."""
        return sorted(self._of_site(site_id), key=lambda each: (each.created, each.id))

    def get(self, id_: str) -> Channel | None:
        """The channel of that id, or None."""
        return self._records.values.get(id_)

    def of_site(self, site_id: str, id_: str) -> Channel:
        """The same, of that site. Raises `RecordError` where it has none."""
        found = self._find(site_id, id_)
        if found is None:
            raise RecordError("id", "channel not found")
        return found

    async def add(self, site_id: str, shape: str, target: str, *, language: str, by: str) -> tuple[Channel, str]:
        """Create a channel; returns it with the secret of a webhook, which is shown once. Raises `RecordError` naming
        the invalid field."""
        known = next((each for each in SHAPES if each == shape), None)
        if known is None:
            raise RecordError("shape", "expected one of {choices}", choices=", ".join(SHAPES))
        if language not in languages():
            raise RecordError("language", "expected one of {choices}", choices=", ".join(languages()))
        id_, target = secrets.token_hex(8), target.strip()
        secret = "" if known == "mail" else f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
        new = Channel(
            id=id_,
            site=site_id,
            shape=known,
            name=_address(target) if known == "mail" else self._host(target),
            sealed=self._seal(id_, Endpoint(target, secret)) if secret else "",
            language=language,
            created=int(self._clock()),
            by=by,
        )

        def may_add(stored: Mapping[str, Channel]) -> None:
            own = [each for each in stored.values() if each.site == site_id]
            if len(own) >= self.max_of_site:
                raise RecordError("target", "expected at most {count} channels", count=self.max_of_site)
            if known == "mail" and any(each.name.lower() == new.name.lower() for each in own):
                raise RecordError("target", "a channel with this address already exists")

        await anyio.to_thread.run_sync(self._records.create, new.id, new, may_add)
        return new, secret

    def endpoint(self, channel: Channel) -> Endpoint | None:
        """Address and secret of a webhook; None where they were encrypted under a key that is no more."""
        text = self._cipher.decrypt(channel.id, channel.sealed)
        return None if text is None else msgspec.json.decode(text, type=Endpoint)

    async def reencrypt(self) -> int:
        """Bring webhooks that an earlier secret has encrypted under the one in force; how many there were."""
        stale = [each for each in self._records.values.values() if self._resealed(each) is not each]
        for each in stale:
            with contextlib.suppress(RecordGone):
                await anyio.to_thread.run_sync(self._records.update, each.id, self._resealed)
        return len(stale)

    def token(self, channel: Channel) -> str:
        """What the recipient of a mail ends it by."""
        return str(self._serializer.dumps(channel.id))

    def id_of(self, token: str) -> str | None:
        """The id of the channel that a token was signed for; None for a token that was not."""
        try:
            return str(self._serializer.loads(token))
        except BadData:
            return None

    def _resealed(self, channel: Channel) -> Channel:
        if not channel.sealed or self._cipher.is_current(channel.sealed):
            return channel
        endpoint = self.endpoint(channel)
        return msgspec.structs.replace(channel, sealed=self._seal(channel.id, endpoint)) if endpoint else channel

    def _seal(self, id_: str, endpoint: Endpoint) -> str:
        return self._cipher.encrypt(id_, msgspec.json.encode(endpoint).decode(), self._clock())

    def _host(self, url: str) -> str:
        try:
            parsed = httpx.URL(url)
        except (httpx.InvalidURL, ValueError, UnicodeError):
            parsed = httpx.URL()
        if len(url) > LONGEST_URL or parsed.scheme not in self._schemes or not parsed.host or parsed.userinfo:
            raise RecordError("target", "expected an https:// URL")
        return parsed.host


def _address(text: str) -> str:
    if not is_mail_address(text):
        raise RecordError("target", "expected an e-mail address such as anna@example.com")
    return text
