"""Subscriptions: who gets a site's report by mail, how often and in which language."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping
from typing import Final, Literal, get_args

import anyio.to_thread
from itsdangerous import BadData, URLSafeSerializer

from collector.core.app_secret import Secrets
from collector.core.errors import RecordError
from collector.core.mail_address import is_mail_address
from collector.sites.model import Site
from collector.storage.documents import DocumentTable
from collector.storage.site_records import SiteRecord, SiteRecords
from dashboard.i18n.translations import ENGLISH, N_, languages

Frequency = Literal["weekly", "monthly"]
FREQUENCIES: Final[tuple[Frequency, ...]] = get_args(Frequency)
FREQUENCY_NAMES: Final[dict[Frequency, str]] = {"weekly": N_("Weekly"), "monthly": N_("Monthly")}

MOST_SUBSCRIPTIONS: Final = 200
"""Of one site."""


class Subscription(SiteRecord, frozen=True, kw_only=True, omit_defaults=True):
    """One recipient of one site's report. `created` is a Unix second."""

    address: str
    frequency: Frequency = "weekly"
    language: str = ENGLISH
    created: int = 0
    by: str = ""
    """Name of the user who added it."""


class Subscriptions(SiteRecords[Subscription]):
    """All subscriptions. Reading is from memory; changes go to ClickHouse first. `keys` sign the links by which
    recipients unsubscribe; `clock` gives Unix seconds."""

    max_of_site = MOST_SUBSCRIPTIONS

    def __init__(self, records: DocumentTable[Subscription], keys: Secrets, clock: Callable[[], float]) -> None:
        super().__init__(records)
        self._serializer = URLSafeSerializer(
            keys, salt="tyst.unsubscribe", signer_kwargs={"digest_method": hashlib.sha256}
        )
        self._clock = clock

    def of(self, site: Site) -> list[Subscription]:
        """The subscriptions of one site, by address."""
        return sorted(self._of_site(site.id), key=lambda each: (each.address, each.frequency))

    def get(self, id_: str) -> Subscription | None:
        """The subscription of that id, or None."""
        return self._records.values.get(id_)

    def of_site(self, site: Site, id_: str) -> Subscription:
        """The same, of that site. Raises `RecordError` where it has none."""
        found = self._find(site.id, id_)
        if found is None:
            raise RecordError("id", "subscription not found")
        return found

    async def add(self, site: Site, address: str, *, frequency: str, language: str, by: str) -> Subscription:
        """Create a subscription. Raises `RecordError` naming the invalid field."""
        known = next((each for each in FREQUENCIES if each == frequency), None)
        if known is None:
            raise RecordError("frequency", "expected one of {choices}", choices=", ".join(FREQUENCIES))
        if language not in languages():
            raise RecordError("language", "expected one of {choices}", choices=", ".join(languages()))
        if not is_mail_address(address.strip()):
            raise RecordError("address", "expected an e-mail address such as anna@example.com")
        new = Subscription(
            id=secrets.token_hex(8),
            site=site.id,
            address=address.strip(),
            frequency=known,
            language=language,
            created=int(self._clock()),
            by=by,
        )

        def may_add(stored: Mapping[str, Subscription]) -> None:
            own = [each for each in stored.values() if each.site == site.id]
            if any(_is_same(each, new) for each in own):
                raise RecordError("address", "this address already receives that report")
            if len(own) >= self.max_of_site:
                raise RecordError("address", "a site can have {count} recipients", count=self.max_of_site)

        await anyio.to_thread.run_sync(self._records.create, new.id, new, may_add)
        return new

    def token(self, subscription: Subscription) -> str:
        """What the recipient unsubscribes by."""
        return str(self._serializer.dumps(subscription.id))

    def id_of(self, token: str) -> str | None:
        """The id of the subscription that a token was signed for, whether or not there still is one; None for a token
        that was not."""
        try:
            return str(self._serializer.loads(token))
        except BadData:
            return None


def _is_same(one: Subscription, other: Subscription) -> bool:
    return (one.address.lower(), one.frequency) == (other.address.lower(), other.frequency)
