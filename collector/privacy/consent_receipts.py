"""Consent receipts: signed tokens that a page obtained consent on a date, for one site.

A site may require them. A beacon that brings evidence of consent and no receipt is then dropped, and its answer
brings one; the page keeps it in memory, returns it with every beacon, and sends the first again. A receipt names the
site, the kind of evidence and the date, and a random number so that it can be revoked. It holds nothing of the
visitor, is stored with no event, and is good on its date and the next, UTC: a page that is open for longer is given
another.

To revoke is to keep the hash of its number for as long as the receipt would have been good. Where too many are
revoked, a new *series* begins: receipts of earlier ones are no consent, and pages get others. See `Revocations`.
"""

from __future__ import annotations

import datetime
import hashlib
import secrets
from collections.abc import Collection, Iterable, Iterator

import msgspec
from itsdangerous import BadSignature, URLSafeSerializer

from collector.core.app_secret import Secrets

LIFETIME = datetime.timedelta(days=1)
MOST_RECEIPTS = 20
"""As many as a beacon may name sites; further ones are not read."""
_NUMBER_BYTES = 12


class Receipt(msgspec.Struct, frozen=True):
    """The payload of a receipt."""

    site: str
    evidence: str
    day: datetime.date
    """The date of the consent, UTC."""
    number: str
    """Random, after the number of the series and a dot if that is not the first; only for revoking."""

    @property
    def series(self) -> int:
        """The number of its series; the first is 0."""
        return series_of(self.number)

    @property
    def id_hash(self) -> str:
        """The mark by which a revoked receipt is stored: a hash, after the number of its series as in `number`."""
        hashed = hashlib.blake2b(self.number.encode(), digest_size=16, person=b"tyst.receipt").hexdigest()
        return f"{mark_of_series(self.series)}{hashed}"


def series_of(text: str) -> int:
    """The series of a receipt's number, or of a mark."""
    series, dot, _ = text.partition(".")
    return int(series) if dot else 0


def mark_of_series(series: int) -> str:
    """The mark that a series has begun; empty for the first."""
    return f"{series}." if series else ""


class Receipts:
    """Issues and checks receipts. `keys` sign them; `revoked` are the marks of those that are no consent."""

    def __init__(self, keys: Secrets, revoked: Collection[str] = ()) -> None:
        # One for each: what an earlier secret signed has its one spelling under that secret.
        self._serializers = [
            URLSafeSerializer(key, salt="tyst.receipt", signer_kwargs={"digest_method": hashlib.sha256})
            for key in reversed(keys)
        ]
        self._revoked = set[str]()
        self.series = 0
        """The series of new receipts. Those of earlier ones are no consent."""
        self.revoke(revoked)

    def issue(self, site: str, evidence: str, day: datetime.date) -> str:
        """A receipt as text, safe in a URL and a header."""
        number = f"{mark_of_series(self.series)}{secrets.token_urlsafe(_NUMBER_BYTES)}"
        return self.encode(Receipt(site, evidence, day, number))

    def encode(self, receipt: Receipt) -> str:
        """The one spelling of a receipt: the same receipt always gives the same text."""
        return _encoded(receipt, self._serializers[0])

    def read(self, text: str, site: str, today: datetime.date) -> Receipt | None:
        """The receipt, revoked or not, or None: not ours, of another site, too old, or from the future.

        Base64 as it is commonly read ignores what follows the padding, and characters that are not in its alphabet.
        Only the spelling that `encode` gives is a receipt.
        """
        receipt = next(filter(None, (_decoded(text, serializer) for serializer in self._serializers)), None)
        if receipt is None:
            return None
        in_time = receipt.day <= today + datetime.timedelta(days=1) and today - receipt.day <= LIFETIME
        return receipt if receipt.site == site and in_time else None

    def read_all(self, texts: str, site: str, today: datetime.date) -> Iterator[Receipt]:
        """Those of `site` among several receipts, separated by commas as the snippet returns them."""
        for text in texts.split(",", MOST_RECEIPTS)[:MOST_RECEIPTS] if texts else ():
            receipt = self.read(text.strip(), site, today)
            if receipt is not None:
                yield receipt

    def find(self, texts: str, site: str, today: datetime.date) -> str:
        """The valid receipt of `site` among several, encoded anew; empty if there is none."""
        for receipt in self.read_all(texts, site, today):
            if not self.is_revoked(receipt):
                return self.encode(receipt)
        return ""

    def is_revoked(self, receipt: Receipt) -> bool:
        """Whether it is no consent any more."""
        return receipt.series < self.series or receipt.id_hash in self._revoked

    def revoke(self, marks: Collection[str]) -> None:
        """From now on these are no consent, nor are receipts of series before one that has begun."""
        self.series = max(self.series, newest_series(marks))
        self._revoked.update(marks)

    def prune_revocations(self, marks: Iterable[str]) -> None:
        """These are no consent, and those that were revoked before no longer."""
        kept = set(marks)
        # What another thread revokes meanwhile is not among these.
        over = self._revoked - kept
        self._revoked |= kept
        self._revoked -= over
        self.series = newest_series(self._revoked.copy())


def newest_series(marks: Collection[str]) -> int:
    """The newest series that has begun."""
    return max((series_of(mark) for mark in marks if mark.endswith(".")), default=0)


def _encoded(receipt: Receipt, serializer: URLSafeSerializer) -> str:
    return str(serializer.dumps([receipt.site, receipt.evidence, receipt.day.isoformat(), receipt.number]))


def _decoded(text: str, serializer: URLSafeSerializer) -> Receipt | None:
    """The receipt, if this serializer has signed it and would spell it so."""
    try:
        receipt = msgspec.convert(dict(zip(Receipt.__struct_fields__, serializer.loads(text), strict=True)), Receipt)
    except (BadSignature, msgspec.ValidationError, TypeError, ValueError):
        return None
    return receipt if _encoded(receipt, serializer) == text else None
