"""Parser of beacons. No other module knows the keys of the wire format, their aliases and limits.

A beacon as real trackers send it is decoded straight into a typed struct. Anything unusual (a long spelling,
properties or revenue as JSON text, a key nobody knows, a value out of its bounds) is read again slowly, key by key,
which is also where each error finds its exact words. A part that is odd costs that part: it is cut or left out and
named in `trimmed`. Refused is only what cannot be understood as an event.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from collector.core.errors import BeaconError
from collector.core.metrics import TRIMMED_KEYS, TrimmedKey
from collector.ingest.payload_fields import (
    MOST_NAME,
    MOST_ONCE,
    MOST_RECEIPT,
    MOST_URL,
    NO_MONEY,
    USUAL_EVIDENCE,
    bounded_of,
    domains_of,
    evidence_of,
    money_of,
    name_of,
    once_of,
    properties_of,
    receipt_of,
    referrer_of,
    revenue_of,
    switch_of,
    url_of,
    whole_of,
    zone_of,
)
from collector.privacy.consent import DENIED, NOES

MOST_ENGAGED = 86_400_000
"""Milliseconds: nobody looks at one page for longer than a day; more is a clock that jumped."""
WITHDRAWN = "withdrawn"
"""What `c` says in a withdrawal, and in nothing else."""
MOST_WIDTH = 100_000

_ZERO = NO_MONEY[0]
_HASH = frozenset({None, 0, 1})

Scalar = str | int | float | bool | None


class Beacon(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A validated beacon in one form, whichever tracker sent it. Text is as sent; cleaning comes later."""

    name: str
    """`pageview`, `engagement`, or a custom event's name, 1 to 120 characters."""
    url: str
    """The page's URL, 1 to 2,000 characters, as sent or shortened."""
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
    refuses: bool = False
    """Whether the claim is exactly one of the two refusal words, which erase what was collected before. Other forms of
    refusal store nothing and erase nothing."""
    bare: bool = False
    """Whether the sender marks it as an identifier-free count."""
    once: bytes | None = None
    """Random per beacon, so that it may be sent again; None when the sender does not ask for that."""
    trimmed: tuple[TrimmedKey, ...] = ()
    """Keys whose values were cut or left out, in the order of `TRIMMED_KEYS`."""


class _Revenue(msgspec.Struct, gc=False):
    amount: Decimal
    currency: str


class _Wire(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """The keys as trackers of today send them. Whatever does not fit is read by `_read_slowly`."""

    n: Annotated[str, Meta(min_length=1, max_length=MOST_NAME)]
    u: Annotated[str, Meta(min_length=1, max_length=MOST_URL)]
    d: str
    r: Annotated[str, Meta(max_length=MOST_URL)] | None = None
    p: dict[str, Scalar] | None = None
    revenue: _Revenue | None = msgspec.field(default=None, name="$")
    e: int | None = None
    sd: int | None = None
    h: int | bool | None = None
    i: bool = True
    z: str | None = None
    w: int | None = None
    c: str | None = None
    bare: int | bool | None = msgspec.field(default=None, name="l")
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
    money = money_of(wire.revenue.amount, wire.revenue.currency) if wire.revenue else NO_MONEY
    props, odd_props = properties_of(wire.p) if wire.p else ({}, False)
    zone, odd_zone = zone_of(wire.z) if wire.z else ("", False)
    consent, odd_consent = (wire.c, False) if wire.c in USUAL_EVIDENCE else evidence_of(wire.c)
    engaged, scroll, width = (wire.e or 0, wire.sd or 0, wire.w or 0)
    if money is None or odd_props or odd_zone or odd_consent or not 0 <= width <= MOST_WIDTH or wire.h not in _HASH:
        return _read_slowly(_document(body))
    if engagement and not (0 <= engaged <= MOST_ENGAGED and 0 <= scroll <= 100):
        return _read_slowly(_document(body))
    return Beacon(
        name=name,
        url=wire.u,
        domains=(domain,),
        referrer=wire.r or "",
        props=props,
        revenue=money[0],
        currency=money[1],
        engaged=engaged if engagement else 0,
        scroll=scroll if engagement else 0,
        hash_mode=wire.h == 1,
        interactive=wire.i,
        zone=zone,
        width=width,
        consent=consent or "",
        refuses=wire.c in NOES,
        bare=bool(wire.bare),
        receipt=wire.k or "",
        once=wire.q.encode() if wire.q else None,
    )


def parse_withdrawal(body: bytes) -> Beacon:
    """Read a withdrawal: `{"c": "withdrawn", "d": SITES, "k": RECEIPTS or null}`, in exactly that form.

    It erases, so nothing that only resembles one may pass: a beacon without a name, or a value that a page left out.
    Raises `BeaconError`, and nothing else.
    """
    document = _document(body)
    if document.get("c") != WITHDRAWN:
        raise BeaconError("c", f"must be {WITHDRAWN!r}: nothing else erases")
    if document.keys() - {"c", "d", "k"}:
        raise BeaconError("request", "a withdrawal has the keys 'c', 'd' and 'k' alone")
    receipt = document.get("k")
    if not isinstance(receipt, str | None):
        raise BeaconError("k", "must be a text or null")
    sites = document.get("d")
    if not isinstance(sites, str):
        raise BeaconError("domain", "is required")
    domains, _ = domains_of(sites, "")
    return Beacon(name="", url="", domains=domains, consent=DENIED, refuses=True, receipt=receipt_of(receipt)[0])


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
    """Read every alias and form of every key, and record those whose values are cut or left out."""

    def first(*keys: str) -> Any:
        return next((document[key] for key in keys if document.get(key) is not None), None)

    odd: dict[TrimmedKey, bool] = {}
    url, odd["u"] = url_of(first("u", "url"))
    name, odd["n"] = name_of(first("n", "name"))
    domains, odd["d"] = domains_of(first("d", "domain"), url)
    referrer, odd["r"] = referrer_of(first("r", "referrer"))
    props, odd["p"] = properties_of(first("m", "meta", "p", "props"))
    (revenue, currency), odd["$"] = revenue_of(first("$", "revenue"))
    engaged = scroll = 0
    if name == "engagement":
        if whole_of(first("e")) is None and whole_of(first("sd")) is None:
            raise _no_engagement()
        engaged, odd["e"] = bounded_of(first("e"), MOST_ENGAGED)
        scroll, odd["sd"] = bounded_of(first("sd"), 100)
    hash_mode, odd["h"] = switch_of(first("h", "hashMode"), default=False)
    interactive, odd["i"] = switch_of(first("i", "interactive"), default=True)
    zone, odd["z"] = zone_of(first("z"))
    width, odd["w"] = bounded_of(first("w"), MOST_WIDTH)
    consent, odd["c"] = evidence_of(first("c"))
    receipt, odd["k"] = receipt_of(first("k"))
    once, odd["q"] = once_of(first("q"))
    return Beacon(
        name=name,
        url=url,
        domains=domains,
        referrer=referrer,
        props=props,
        revenue=revenue,
        currency=currency,
        engaged=engaged,
        scroll=scroll,
        hash_mode=hash_mode,
        interactive=interactive,
        zone=zone,
        width=width,
        consent=consent,
        refuses=document.get("c") in tuple(NOES),
        bare=bool(first("l")),
        receipt=receipt,
        once=once,
        trimmed=tuple(key for key in TRIMMED_KEYS if odd.get(key)),
    )


def _no_engagement() -> BeaconError:
    return BeaconError("event_name", "engagement needs a whole number in at least one of 'sd' and 'e'")
