"""Values of a beacon in the forms that trackers send them, each brought into one form and within its bounds.

The functions take what JSON may hold, any of it, and either give the value or raise `BeaconError` with the field's
name and the exact words for what is wrong. Which key a value came under is not known here.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import msgspec

from collector.exceptions import BeaconError
from collector.page import clean_value, host_of

MOST_NAME = 120
MOST_URL = 2_000
MOST_PROPS = 30
MOST_KEY = 300
MOST_VALUE = 2_000
MOST_ONCE = 64
MOST_RECEIPT = 4_000
MOST_DOMAINS = 20
"""One beacon becomes one event per listed domain, so the list has an end."""
MOST_REVENUE = Decimal(10) ** 14

_THREE_DECIMALS = Decimal("0.001")
_REFUSALS = frozenset({"denied", "0", "false", "no"})
_GRANTS = frozenset({"granted", "1", "true", "yes"})
# Words for "no evidence", and those that the collector itself writes into the column: neither may be claimed.
_NO_EVIDENCE = frozenset({"none", "exempt", "limited", "null", "undefined", "undecided", "unknown"})
# Those of our own snippet, which need no second look.
USUAL_EVIDENCE = frozenset({"granted", "cookie", "tcf", "gcm", "denied"})
_EVIDENCE = re.compile(r"[a-z0-9_-]{1,32}")
_ZONE = re.compile(r"[A-Za-z0-9_+/-]{1,64}")
_CURRENCY = re.compile(r"[A-Za-z]{3}")
_DATA_URL = re.compile(r"[\s\0]*data:", re.IGNORECASE)


def url_of(given: Any) -> str:
    """The page's URL as sent, 1 to 2,000 characters; `data:` has no place among pages."""
    if given is None or given == "":
        raise BeaconError("url", "is required")
    if not isinstance(given, str) or len(given) > MOST_URL:
        raise BeaconError("url", "must be a valid url")
    if _DATA_URL.match(given):
        raise BeaconError("url", "scheme is not allowed")
    return given


def name_of(given: Any) -> str:
    """An event's name, trimmed, 1 to 120 characters without control characters; 404 is the name "404"."""
    if isinstance(given, int) and not isinstance(given, bool):
        given = str(given)
    if given is not None and not isinstance(given, str):
        raise BeaconError("event_name", "is invalid")
    name = _printable(given or "").strip()
    if not name:
        raise BeaconError("event_name", "can't be blank")
    if len(name) > MOST_NAME:
        raise BeaconError("event_name", f"should be at most {MOST_NAME} character(s)")
    return name


def domains_of(given: Any, url: str) -> tuple[str, ...]:
    """The listed sites, once each; where none is listed, the host of `url`."""
    if given is not None and not isinstance(given, str):
        raise BeaconError("domain", "is invalid")
    listed = (host_of(url),) if given is None else given.split(",")
    tidied = (domain.strip().lower().removeprefix("www.") for domain in listed)
    domains = tuple(dict.fromkeys(domain for domain in tidied if domain))
    if not domains:
        raise BeaconError("domain", "can't be blank")
    if len(domains) > MOST_DOMAINS:
        raise BeaconError("domain", f"should have at most {MOST_DOMAINS} item(s)")
    return domains


def properties_of(given: dict[str, Any]) -> dict[str, str]:
    """The first 30 properties with a scalar value, as text; blank keys and values are left out."""
    kept: dict[str, str] = {}
    for key, value in given.items():
        text = value if isinstance(value, str) else _scalar_text(value)
        if not (text.isprintable() and key.isprintable()):
            key, text = _printable(key), _printable(text)
        if not text or text.isspace() or not key or key.isspace():
            continue
        if len(key) > MOST_KEY or len(text) > MOST_VALUE:
            raise BeaconError("props", f"keys should have at most {MOST_KEY} characters and values {MOST_VALUE}")
        kept[key] = text
        if len(kept) == MOST_PROPS:
            break
    return kept


def _scalar_text(value: Any) -> str:
    """A JSON scalar the way JavaScript writes it; what is none is empty."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return str(value) if isinstance(value, int) else ""


def money_of(amount: Decimal, currency: Any) -> tuple[Decimal, str]:
    """Check a sum of money. Amounts are kept to three decimals, as the finest currencies have."""
    if not amount.is_finite() or not -MOST_REVENUE < amount < MOST_REVENUE:
        raise BeaconError("revenue", "amount must be a number")
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        raise BeaconError("revenue", "currency must be a code of three letters")
    return amount.quantize(_THREE_DECIMALS), currency.upper()


def evidence_of(given: Any) -> str:
    """Evidence of consent in its closed shape. A refusal is `denied`; what has another shape is no evidence."""
    if isinstance(given, bool | int):
        given = str(int(given))
    if not isinstance(given, str):
        return ""
    word = given.strip().lower()
    if word in _REFUSALS:
        return "denied"
    if word in _NO_EVIDENCE or not _EVIDENCE.fullmatch(word):
        return ""
    # A banner's name names a banner; an identifier smuggled in as one would be stored with every event.
    return "granted" if word in _GRANTS or clean_value(word) != word else word


def once_of(given: Any) -> bytes | None:
    """The random text of a beacon that may be sent again, at most 64 characters; None when there is none."""
    if isinstance(given, int):
        given = str(given)
    if not isinstance(given, str) or not given:
        return None
    if len(given) > MOST_ONCE:
        raise BeaconError("q", f"should be at most {MOST_ONCE} character(s)")
    return given.encode()


def receipt_of(given: Any) -> str:
    """Receipts of consent as text; what is none, or longer than twenty sites' receipts are, counts as none."""
    return given if isinstance(given, str) and len(given) <= MOST_RECEIPT else ""


def zone_of(given: Any) -> str:
    """The name of a time zone by its shape alone, at most 64 characters; empty for anything else."""
    return given if isinstance(given, str) and _ZONE.fullmatch(given) else ""


def object_of(given: Any) -> dict[str, Any]:
    """A JSON object, also where it was sent as JSON text; anything else counts as an empty one."""
    if isinstance(given, str):
        try:
            given = msgspec.json.decode(given)
        except (ValueError, RecursionError):
            return {}
    return given if isinstance(given, dict) else {}


def whole_of(given: Any) -> int | None:
    """A whole number, also where it was sent as text or with a fraction."""
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        return None
    if isinstance(given, str):
        return int(given) if re.fullmatch(r"-?[0-9]{1,15}", given) else None
    return int(given)


def text_of(given: Any) -> str:
    """Text; empty for anything else."""
    return given if isinstance(given, str) else ""


def clamp(number: int, most: int) -> int:
    """`number`, but not under 0 and not over `most`."""
    return 0 if number < 0 else most if number > most else number


def _printable(text: str) -> str:
    """Without control characters, which no name has and which break what is shown."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", "", text)
