"""Normalisation of beacon values: each accepts the forms that trackers send, and limits their size.

The functions take any JSON value and return the normalised value and whether part of it was cut or left out. They
raise `BeaconError`, with field and reason, only where no event is possible without the value.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from collector.core.errors import BeaconError
from collector.core.text import without_hidden
from collector.enrichment.shortening import shortened_url
from collector.enrichment.text_limits import MAX_PROPERTIES_LENGTH
from collector.enrichment.urls import clean_value, host_of

MOST_NAME = 120
MOST_URL = 2_000
MOST_PROPS = 30
MOST_KEY = 300
MOST_VALUE = 2_000
MOST_ONCE = 64
MOST_RECEIPT = 4_000
MOST_DOMAINS = 20
"""One beacon becomes one event per listed domain, so the list has an end."""
MOST_REVENUE = Decimal(10) ** 11
"""Amounts are summed as thousandths in 64 bits, which hold 92,000 of the largest."""

NO_MONEY = (Decimal(0), "")

_THREE_DECIMALS = Decimal("0.001")
# Words by which other programs say no; never a banner's name. They store nothing; only the two of `NOES` erase.
_REFUSALS = frozenset({
    "denied", "0", "false", "no", "deny", "refused", "refuse", "rejected", "reject", "declined", "decline",
    "revoked", "revoke", "withdrawn", "withdraw", "off", "opt-out", "optout", "opt_out", "opted-out",
    "opted_out", "disallow", "disallowed", "disagree", "disagreed", "objected", "blocked", "disabled",
    "essential", "necessary",
})  # fmt: skip
_GRANTS = frozenset({"granted", "1", "true", "yes"})
# Words for "no evidence", and those that the collector itself writes into the column: neither may be claimed.
_NO_EVIDENCE = frozenset({
    "none", "exempt", "limited", "null", "undefined", "undecided", "unknown", "unanswered", "pending", "unset",
    "default", "error", "nan", "object",
})  # fmt: skip
# Sent by our own snippet; accepted without further checks.
USUAL_EVIDENCE = frozenset({"granted", "cookie", "tcf", "gcm", "denied"})
_EVIDENCE = re.compile(r"(?=.*[a-z])[a-z0-9_-]{1,32}")
_ZONE = re.compile(r"[A-Za-z0-9_+/-]{1,64}")
_SWITCHES: dict[str | float, bool] = {1: True, "1": True, "true": True, 0: False, "0": False, "false": False}
_CURRENCY = re.compile(r"[A-Za-z]{3}")
_DATA_URL = re.compile(r"[\s\0]*data:", re.IGNORECASE)


def url_of(given: Any) -> tuple[str, bool]:
    """The page's URL as sent, shortened to 2,000 characters. `data:` URLs are rejected."""
    if given is None or given == "":
        raise BeaconError("url", "is required")
    if not isinstance(given, str):
        raise BeaconError("url", "must be a valid url")
    if _DATA_URL.match(given):
        raise BeaconError("url", "scheme is not allowed")
    return shortened_url(given, MOST_URL), len(given) > MOST_URL


def name_of(given: Any) -> tuple[str, bool]:
    """An event's name without invisible characters and surrounding blanks, cut to 120 characters; 404 is "404"."""
    if isinstance(given, int) and not isinstance(given, bool):
        given = str(given)
    if given is not None and not isinstance(given, str):
        raise BeaconError("event_name", "is invalid")
    name = without_hidden(given or "").strip()
    if not name:
        raise BeaconError("event_name", "can't be blank")
    return (name, False) if len(name) <= MOST_NAME else (name[:MOST_NAME].rstrip(), True)


def domains_of(given: Any, url: str) -> tuple[tuple[str, ...], bool]:
    """The first 20 of the listed sites, once each; where none is listed, the host of `url`."""
    if given is not None and not isinstance(given, str):
        raise BeaconError("domain", "is invalid")
    listed = (host_of(url),) if given is None else given.split(",")
    tidied = (domain.strip().lower().removeprefix("www.") for domain in listed)
    domains = tuple(dict.fromkeys(domain for domain in tidied if domain))
    if not domains:
        raise BeaconError("domain", "can't be blank")
    return domains[:MOST_DOMAINS], len(domains) > MOST_DOMAINS


def referrer_of(given: Any) -> tuple[str, bool]:
    """The referring page's URL as sent, cut to 2,000 characters; its query is not stored anyway."""
    if not isinstance(given, str):
        return "", given is not None
    return given[:MOST_URL], len(given) > MOST_URL


def properties_of(given: Any) -> tuple[dict[str, str], bool]:
    """The first 30 properties with a scalar value, as text; values are cut to 2,000 characters, and properties beyond
    4,000 characters in total are left out.

    Blank keys and values are ignored. Keys of more than 300 characters are left out, since truncated keys could
    collide.
    """
    given, odd = object_of(given)
    kept: dict[str, str] = {}
    left = MAX_PROPERTIES_LENGTH
    for key, value in given.items():
        text = value if isinstance(value, str) else _scalar_text(value)
        odd = odd or isinstance(value, dict | list)
        if not (text.isprintable() and key.isprintable()):
            key, text = without_hidden(key), without_hidden(text)
        if not text or text.isspace() or not key or key.isspace():
            continue
        if len(key) > MOST_KEY or len(kept) == MOST_PROPS:
            odd = True
            continue
        odd = odd or len(text) > MOST_VALUE
        text = text[:MOST_VALUE]
        left -= len(key) + len(text)
        if left < 0:
            return kept, True
        kept[key] = text
    return kept, odd


def _scalar_text(value: Any) -> str:
    """A JSON scalar the way JavaScript writes it; what is none is empty."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return str(value) if isinstance(value, int) else ""


def revenue_of(given: Any) -> tuple[tuple[Decimal, str], bool]:
    """Amount and currency of `{"amount": 99.0, "currency": "SEK"}`; zero and empty if either is invalid."""
    revenue, odd = object_of(given)
    if not revenue:
        return NO_MONEY, odd
    amount = revenue.get("amount")
    if isinstance(amount, bool) or not isinstance(amount, int | float | str):
        return NO_MONEY, True
    try:
        number = Decimal(amount.strip()) if isinstance(amount, str) else Decimal(repr(amount))
    except InvalidOperation:
        return NO_MONEY, True
    money = money_of(number, revenue.get("currency"))
    return money or NO_MONEY, money is None


def money_of(amount: Decimal, currency: Any) -> tuple[Decimal, str] | None:
    """Amount, rounded to the three decimals of the finest currencies, and currency; None if either is invalid."""
    if not amount.is_finite() or not -MOST_REVENUE < amount < MOST_REVENUE:
        return None
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        return None
    return amount.quantize(_THREE_DECIMALS), currency.upper()


def evidence_of(given: Any) -> tuple[str, bool]:
    """Evidence of consent as a token. A refusal is `denied`; anything malformed is no evidence."""
    if isinstance(given, bool | int):
        given = str(int(given))
    if not isinstance(given, str):
        return "", given is not None
    word = given.strip().lower()
    if word in _REFUSALS:
        return "denied", False
    if not word or word in _NO_EVIDENCE:
        return "", False
    if word in _GRANTS:
        return "granted", False
    if not _EVIDENCE.fullmatch(word):
        return "", True
    # A banner's name names a banner; an identifier smuggled in as one would be stored with every event.
    return "granted" if clean_value(word) != word else word, False


def once_of(given: Any) -> tuple[bytes | None, bool]:
    """The random text of a beacon that may be sent again, at most 64 characters; None when there is none."""
    if isinstance(given, int):
        given = str(given)
    if given is None or given == "":
        return None, False
    if not isinstance(given, str) or len(given) > MOST_ONCE:
        return None, True
    return given.encode(), False


def receipt_of(given: Any) -> tuple[str, bool]:
    """Receipts of consent as text; what is none, or longer than twenty sites' receipts are, counts as none."""
    if isinstance(given, str) and len(given) <= MOST_RECEIPT:
        return given, False
    return "", given is not None


def zone_of(given: Any) -> tuple[str, bool]:
    """The name of a time zone by its shape alone, at most 64 characters; empty for anything else."""
    if isinstance(given, str) and _ZONE.fullmatch(given):
        return given, False
    return "", given is not None and given != ""


def switch_of(given: Any, *, default: bool) -> tuple[bool, bool]:
    """True or false in the ways that trackers write them; `default` for anything else."""
    if given is None or given == "":
        return default, False
    if isinstance(given, str):
        given = given.lower()
    if isinstance(given, str | int | float) and given in _SWITCHES:
        return _SWITCHES[given], False
    return default, True


def object_of(given: Any) -> tuple[dict[str, Any], bool]:
    """A JSON object, also where it was sent as JSON text; anything else counts as an empty one."""
    if isinstance(given, str) and given:
        try:
            given = msgspec.json.decode(given)
        except (ValueError, RecursionError):
            return {}, True
    if isinstance(given, dict):
        return given, False
    return {}, given is not None and given != ""


def whole_of(given: Any) -> int | None:
    """An integer, also from text or a fraction."""
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        return None
    if isinstance(given, str):
        return int(given) if re.fullmatch(r"-?[0-9]{1,15}", given) else None
    return int(given)


def bounded_of(given: Any, most: int) -> tuple[int, bool]:
    """An integer clamped to 0 and `most`; 0 for anything else."""
    number = whole_of(given)
    if number is None:
        return 0, given is not None and given != ""
    bounded = min(max(number, 0), most)
    return bounded, bounded != number
