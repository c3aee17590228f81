"""What arrives on the wire, and nothing else knows it: the keys of a beacon, their spellings, lengths and forms.

A beacon as real trackers send it is decoded straight into a typed struct. Anything unusual (a long spelling,
properties or revenue as JSON text, a key nobody knows, a mistake) is read again slowly, key by key, which is also
where each error finds its exact words.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from collector.exceptions import BeaconError
from collector.sent import (
    MOST_NAME,
    MOST_ONCE,
    MOST_RECEIPT,
    MOST_URL,
    USUAL_EVIDENCE,
    clamp,
    domains_of,
    evidence_of,
    money_of,
    name_of,
    object_of,
    once_of,
    properties_of,
    receipt_of,
    text_of,
    url_of,
    whole_of,
    zone_of,
)

MOST_ENGAGED = 86_400_000
"""Milliseconds: nobody looks at one page for longer than a day; more is a clock that jumped."""
MOST_WIDTH = 100_000

_ZERO = Decimal(0)

Scalar = str | int | float | bool | None


class Beacon(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One beacon, checked and in one form whatever tracker sent it. Text is as sent: cleaning comes later."""

    name: str
    """`pageview`, `engagement`, or a custom event's name, 1 to 120 characters."""
    url: str
    """The page's URL, 1 to 2,000 characters, as sent."""
    domains: tuple[str, ...]
    """The sites it is for, lower case, without `www.`; at least one."""
    referrer: str = ""
    """document.referrer, at most 2,000 characters."""
    props: dict[str, str] = {}
    """At most 30 custom properties."""
    revenue: Decimal = _ZERO
    """Amount in `currency`, three decimals."""
    currency: str = ""
    """ISO 4217 code, upper case; empty without revenue."""
    engaged: int = 0
    """Milliseconds of engagement, 0 for events other than `engagement`."""
    scroll: int = 0
    """Scroll depth in percent, 0 to 100; 0 for events other than `engagement`."""
    hash_mode: bool = False
    """The fragment is part of the path."""
    interactive: bool = True
    """False: the event does not end a bounce."""
    zone: str = ""
    """The browser's IANA time zone, or empty."""
    width: int = 0
    """Viewport width in CSS pixels, or 0."""
    consent: str = ""
    """Claimed evidence of consent (`[a-z0-9_-]{1,32}`), `denied`, or empty."""
    receipt: str = ""
    """Receipts of consent, as the collector issued them; separated by commas where there are several."""
    once: bytes | None = None
    """Random per beacon, so that it may be sent again; None when the sender does not ask for that."""


class _Revenue(msgspec.Struct, gc=False):
    amount: Decimal
    currency: str


class _Wire(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """The keys as trackers of today send them. Whatever does not fit is read by `_read_slowly`."""

    n: Annotated[str, Meta(min_length=1, max_length=MOST_NAME)]
    u: Annotated[str, Meta(min_length=1, max_length=MOST_URL)]
    d: str
    r: str | None = None
    p: dict[str, Scalar] | None = None
    revenue: _Revenue | None = msgspec.field(default=None, name="$")
    e: int | None = None
    sd: int | None = None
    h: int | bool | None = None
    i: bool = True
    z: str | None = None
    w: int | None = None
    c: str | None = None
    k: Annotated[str, Meta(max_length=MOST_RECEIPT)] | None = None
    q: Annotated[str, Meta(max_length=MOST_ONCE)] | None = None
    v: int | str | None = None


_decode = msgspec.json.Decoder(_Wire).decode


def parse_beacon(body: bytes) -> Beacon:
    """Read one beacon, at most 16 KiB of JSON whatever its content type. Raises `BeaconError`, and nothing else."""
    try:
        wire = _decode(body)
    except (ValueError, RecursionError):
        return _read_slowly(_document(body))
    name, domain = wire.n.strip(), wire.d.strip().lower()
    plain = name.isprintable() and "," not in domain and domain[:4] != "www."
    if not (plain and name and domain and wire.u.startswith(("https://", "http://"))):
        return _read_slowly(_document(body))
    engagement = name == "engagement"
    if engagement and wire.e is None and wire.sd is None:
        raise _no_engagement()
    amount, currency = money_of(wire.revenue.amount, wire.revenue.currency) if wire.revenue else (_ZERO, "")
    return Beacon(
        name=name,
        url=wire.u,
        domains=(domain,),
        referrer=wire.r[:MOST_URL] if wire.r else "",
        props=properties_of(wire.p) if wire.p else {},
        revenue=amount,
        currency=currency,
        engaged=clamp(wire.e, MOST_ENGAGED) if engagement and wire.e else 0,
        scroll=clamp(wire.sd, 100) if engagement and wire.sd else 0,
        hash_mode=wire.h == 1,
        interactive=wire.i,
        zone=zone_of(wire.z) if wire.z else "",
        width=clamp(wire.w, MOST_WIDTH) if wire.w else 0,
        consent=wire.c if wire.c in USUAL_EVIDENCE else evidence_of(wire.c),
        receipt=wire.k or "",
        once=wire.q.encode() if wire.q else None,
    )


def parse_withdrawal(body: bytes) -> Beacon:
    """Read what takes beacons back: the sites (`d`) and the receipts (`k`), as a beacon that says no and has no name.

    Raises `BeaconError`, and nothing else.
    """
    document = _document(body)
    domains = domains_of(document.get("d"), "")
    return Beacon(name="", url="", domains=domains, consent="denied", receipt=receipt_of(document.get("k")))


def _document(body: bytes) -> dict[str, Any]:
    """The body as a JSON object."""
    try:
        document = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        raise BeaconError("request", "Unable to parse request body as json") from None
    if not isinstance(document, dict):
        raise BeaconError("request", "Unable to parse request body as json")
    return document


def _read_slowly(document: dict[str, Any]) -> Beacon:
    """Read every spelling and form of every key, with an exact error for each."""

    def first(*keys: str) -> Any:
        return next((document[key] for key in keys if document.get(key) is not None), None)

    url = url_of(first("u", "url"))
    name = name_of(first("n", "name"))
    amount, currency = _revenue(first("$", "revenue"))
    engaged, scroll = _engagement(document) if name == "engagement" else (0, 0)
    return Beacon(
        name=name,
        url=url,
        domains=domains_of(first("d", "domain"), url),
        referrer=text_of(first("r", "referrer"))[:MOST_URL],
        props=properties_of(object_of(first("m", "meta", "p", "props"))),
        revenue=amount,
        currency=currency,
        engaged=engaged,
        scroll=scroll,
        hash_mode=first("h", "hashMode") in (1, "1", "true"),
        interactive=first("i", "interactive") not in (False, "false", "0"),
        zone=zone_of(first("z")),
        width=clamp(whole_of(first("w")) or 0, MOST_WIDTH),
        consent=evidence_of(first("c")),
        receipt=receipt_of(first("k")),
        once=once_of(first("q")),
    )


def _revenue(given: Any) -> tuple[Decimal, str]:
    """Amount and currency of `{"amount": 99.0, "currency": "SEK"}`; of nothing, zero and empty."""
    revenue = object_of(given)
    if not revenue:
        return _ZERO, ""
    amount = revenue.get("amount")
    if isinstance(amount, bool) or not isinstance(amount, int | float | str):
        raise BeaconError("revenue", "amount must be a number")
    try:
        number = Decimal(amount.strip()) if isinstance(amount, str) else Decimal(repr(amount))
    except InvalidOperation:
        raise BeaconError("revenue", "amount must be a number") from None
    return money_of(number, revenue.get("currency"))


def _engagement(document: dict[str, Any]) -> tuple[int, int]:
    engaged, scroll = whole_of(document.get("e")), whole_of(document.get("sd"))
    if engaged is None and scroll is None:
        raise _no_engagement()
    return clamp(engaged or 0, MOST_ENGAGED), clamp(scroll or 0, 100)


def _no_engagement() -> BeaconError:
    return BeaconError("event_name", "engagement needs a whole number in at least one of 'sd' and 'e'")
