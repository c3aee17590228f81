"""The wire: what a beacon may look like, and the exact words for what it may not."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.core.errors import BeaconError
from collector.core.metrics import TRIMMED_KEYS as TRIMMABLE
from collector.ingest.payload import Beacon, parse_beacon

URL = "https://example.com/a"


def beacon(**keys: Any) -> Beacon:
    """Parse a pageview of example.com with `keys` added; `...` leaves a key out."""
    document = {"n": "pageview", "u": URL, "d": "example.com"} | keys
    return parse_beacon(json.dumps({key: value for key, value in document.items() if value is not ...}).encode())


def refusal(body: bytes) -> tuple[str, str]:
    with pytest.raises(BeaconError) as caught:
        parse_beacon(body)
    return caught.value.field, caught.value.reason


# What official trackers sent, observed in a browser.
TRACKERS = {
    "K-pageview": (
        b'{"n":"pageview","v":36,"u":"http://h/a?utm_source=news&ref=x#top","d":"site.test","r":null,"p":{"plan":"free"}}',
        Beacon(
            name="pageview",
            url="http://h/a?utm_source=news&ref=x#top",
            domains=("site.test",),
            props={"plan": "free"},
        ),
    ),
    "K-revenue": (
        b'{"n":"Purchase","v":36,"u":"http://h/a","d":"site.test","r":null,"$":{"amount":15.99,"currency":"USD"}}',
        Beacon(
            name="Purchase",
            url="http://h/a",
            domains=("site.test",),
            revenue=Decimal("15.990"),
            currency="USD",
        ),
    ),
    "K-tagged-revenue": (
        b'{"n":"Add To Cart","v":36,"u":"http://h/a","d":"site.test","r":null,"$":{"amount":"9.5","currency":"EUR"}}',
        Beacon(name="Add To Cart", url="http://h/a", domains=("site.test",), revenue=Decimal("9.500"), currency="EUR"),
    ),
    "K-not-interactive": (
        b'{"n":"autoplay","v":36,"u":"http://h/a","d":"site.test","r":null,"i":false,"p":{"plan":"free"}}',
        Beacon(name="autoplay", url="http://h/a", domains=("site.test",), interactive=False, props={"plan": "free"}),
    ),
    "K-engagement": (
        b'{"n":"engagement","sd":54,"d":"site.test","u":"http://h/a","p":{"plan":"free"},"e":4521,"v":36}',
        Beacon(
            name="engagement",
            url="http://h/a",
            domains=("site.test",),
            props={"plan": "free"},
            engaged=4521,
            scroll=54,
        ),
    ),
    "K-older-tracker": (
        b'{"n":"signup","u":"http://h/b","d":"site.test","r":null,"w":1280,"h":0,"p":"{\\"tier\\":\\"startup\\",\\"n\\":3}"}',
        Beacon(
            name="signup",
            url="http://h/b",
            domains=("site.test",),
            width=1280,
            props={"tier": "startup", "n": "3"},
        ),
    ),
    "own-snippet": (
        b'{"n":"pageview","u":"https://a.test/","d":"a.test","r":"https://b.test/","h":1,"z":"Europe/Oslo","w":390,"c":"cookie","q":"Zm9v"}',
        Beacon(
            name="pageview",
            url="https://a.test/",
            domains=("a.test",),
            referrer="https://b.test/",
            hash_mode=True,
            zone="Europe/Oslo",
            width=390,
            consent="cookie",
            once=b"Zm9v",
        ),
    ),
}


@pytest.mark.parametrize(("body", "expected"), TRACKERS.values(), ids=TRACKERS)
def test_trackers_are_understood(body: bytes, expected: Beacon) -> None:
    """What a tracker of today sends is read key by key as that tracker means it."""
    assert parse_beacon(body) == expected


REFUSED = {
    "A3": (b"", "request", "Unable to parse request body as json"),
    "A4-text": (b'"<script>"', "request", "Unable to parse request body as json"),
    "A4-rubbish": (b"defnotjson", "request", "Unable to parse request body as json"),
    "A4-list": (b"[]", "request", "Unable to parse request body as json"),
    "A4-utf8": (b'{"n":"\xff"}', "request", "Unable to parse request body as json"),
    "A4-lone-surrogate": (rb'{"n":"\ud800","u":"http://h/"}', "request", "Unable to parse request body as json"),
    "A4-nan": (b'{"n":"x","u":"http://h/","e":NaN}', "request", "Unable to parse request body as json"),
    "A4-deep": (b"[" * 16_000, "request", "Unable to parse request body as json"),
    "A4-deep-object": (b'{"a":' * 3_000, "request", "Unable to parse request body as json"),
    "A5": (b'{"name":"pageview","domain":"site.test"}', "url", "is required"),
    "A5-null": (b'{"n":"pageview","u":null,"d":"site.test"}', "url", "is required"),
    "A5-empty": (b'{"n":"pageview","u":"","d":"site.test"}', "url", "is required"),
    "A6": (b'{"name":"","url":"http://h/","domain":"site.test"}', "event_name", "can't be blank"),
    "A6-short": (b'{"n":"","u":"http://h/","d":"site.test"}', "event_name", "can't be blank"),
    "A6-null": (b'{"n":null,"u":"http://h/","d":"site.test"}', "event_name", "can't be blank"),
    "A6-missing": (b'{"u":"http://h/","d":"site.test"}', "event_name", "can't be blank"),
    "A6-blank": (b'{"n":"  ","u":"http://h/","d":"site.test"}', "event_name", "can't be blank"),
    "A6-null-byte": (rb'{"n":"\u0000","u":"http://h/","d":"site.test"}', "event_name", "can't be blank"),
    "A7": (b'{"n":["a","b"],"u":"http://h/","d":"site.test"}', "event_name", "is invalid"),
    "A7-true": (b'{"n":true,"u":"http://h/","d":"site.test"}', "event_name", "is invalid"),
    "A11": (b'{"n":"x","u":"data:text/html,x","d":"site.test"}', "url", "scheme is not allowed"),
    "A11-case": (b'{"n":"x","u":" DATA:text/html,x","d":"site.test"}', "url", "scheme is not allowed"),
    "A12": (b'{"n":"x","u":{"a":1},"d":"site.test"}', "url", "must be a valid url"),
    "A13": (b'{"n":"x","u":"about:config","d":null}', "domain", "can't be blank"),
    "A14": (b'{"n":"x","u":"http://h/","d":""}', "domain", "can't be blank"),
    "A14-blank": (b'{"n":"x","u":"http://h/","d":" , "}', "domain", "can't be blank"),
    "A14-number": (b'{"n":"x","u":"http://h/","d":7}', "domain", "is invalid"),
    "H1": (
        b'{"n":"engagement","u":"http://h/","d":"h"}',
        "event_name",
        "engagement needs a whole number in at least one of 'sd' and 'e'",
    ),
    "H1-long": (
        b'{"name":"engagement","url":"http://h/","domain":"h","e":"soon"}',
        "event_name",
        "engagement needs a whole number in at least one of 'sd' and 'e'",
    ),
}


@pytest.mark.parametrize(("body", "field", "reason"), REFUSED.values(), ids=REFUSED)
def test_mistakes_are_named(body: bytes, field: str, reason: str) -> None:
    """A beacon that breaks the contract is refused with the field and the exact words for the mistake."""
    assert refusal(body) == (field, reason)


# The short spelling of a key, and others that mean the same.
SPELLINGS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "A19-all": (
        {"n": "x", "u": URL, "d": "a.test", "r": "https://b.test/", "h": 1, "p": {"k": "v"}, "i": False},
        {
            "name": "x",
            "url": URL,
            "domain": "a.test",
            "referrer": "https://b.test/",
            "hashMode": 1,
            "props": {"k": "v"},
            "interactive": False,
        },
    ),
    "A19-revenue": (
        {"n": "x", "u": URL, "d": "a.test", "$": {"amount": 5, "currency": "SEK"}},
        {"n": "x", "u": URL, "d": "a.test", "revenue": {"amount": "5.0", "currency": "sek"}},
    ),
    "A19-m": (
        {"n": "x", "u": URL, "d": "a.test", "p": {"k": "v"}},
        {"n": "x", "u": URL, "d": "a.test", "m": {"k": "v"}},
    ),
    "A19-meta": (
        {"n": "x", "u": URL, "d": "a.test", "p": {"k": "v"}},
        {"n": "x", "u": URL, "d": "a.test", "meta": '{"k": "v"}'},
    ),
    "G2": (
        {"n": "x", "u": URL, "d": "a.test", "p": {"k": "v"}},
        {"n": "x", "u": URL, "d": "a.test", "p": '{"k": "v"}'},
    ),
    "G8-text": (
        {"n": "x", "u": URL, "d": "a.test", "$": {"amount": 99.5, "currency": "SEK"}},
        {"n": "x", "u": URL, "d": "a.test", "$": '{"amount": "99.50", "currency": "SEK"}'},
    ),
    "A20": (
        {"n": "x", "u": URL, "d": "a.test"},
        {"n": "x", "u": URL, "d": "a.test", "screen_width": 1280, "nobody": {"knows": [1, None]}},
    ),
    "A15": ({"n": "x", "u": "http://www.a.test/", "d": "a.test"}, {"n": "x", "u": "http://www.a.test/"}),
    "H4": (
        {"n": "engagement", "u": URL, "d": "a.test", "sd": 1, "e": 789},
        {"n": "engagement", "u": URL, "d": "a.test", "sd": "1", "e": "789"},
    ),
    "duplicate-null": (
        {"n": "x", "u": URL, "d": "a.test"},
        {"n": "x", "u": URL, "d": "a.test", "name": "y", "r": None, "p": None, "$": None, "h": None, "z": None},
    ),
    "trimmed": ({"n": "x", "u": URL, "d": "a.test"}, {"n": " x ", "u": URL, "d": " WWW.A.test "}),
}


@pytest.mark.parametrize(("short", "other"), SPELLINGS.values(), ids=SPELLINGS)
def test_spellings_mean_the_same(short: dict[str, Any], other: dict[str, Any]) -> None:
    """Every accepted spelling of a beacon gives the very same beacon as the short one."""
    assert parse_beacon(json.dumps(other).encode()) == parse_beacon(json.dumps(short).encode())


READ: dict[str, tuple[dict[str, Any], str, Any]] = {
    "A7-404": ({"n": 404}, "name", "404"),
    "A9-just": ({"n": "ö" * 120}, "name", "ö" * 120),
    "A10-just": ({"u": "https://h/".ljust(2000, "ö")}, "url", "https://h/".ljust(2000, "ö")),
    "A11-others": ({"u": "javascript:void(0)"}, "url", "javascript:void(0)"),
    "A13-named": ({"u": "about:config"}, "domains", ("example.com",)),
    "domains": ({"d": "a.test, www.B.test,a.test,"}, "domains", ("a.test", "b.test")),
    "C13": ({"r": "https://h/".ljust(3000, "x")}, "referrer", "https://h/".ljust(2000, "x")),
    "referrer-object": ({"r": {"a": 1}}, "referrer", ""),
    "B6": ({"h": 1}, "hash_mode", True),
    "hash-true": ({"h": True}, "hash_mode", True),
    "hash-text": ({"h": "1"}, "hash_mode", True),
    "B7": ({"h": 0}, "hash_mode", False),
    "G1": ({"p": {"a": True, "b": 12, "c": 1.5, "d": 3.0, "e": False}}, "props",
           {"a": "true", "b": "12", "c": "1.5", "d": "3", "e": "false"}),
    "G3": ({"p": '"text"'}, "props", {}),
    "G3-rubbish": ({"p": "text"}, "props", {}),
    "G3-list": ({"p": [1, 2]}, "props", {}),
    "G3-deep-text": ({"p": "[" * 10_000}, "props", {}),
    "G5": ({"p": {"a": "", "b": None, "": "x", " ": "x", "c": "  ", "d": "kept"}}, "props", {"d": "kept"}),
    "G6": ({"p": {str(n): "v" for n in range(40)}}, "props", {str(n): "v" for n in range(30)}),
    "G6-blanks-first": ({"p": {f"b{n}": "" for n in range(40)} | {"k": "v"}}, "props", {"k": "v"}),
    "nested": ({"p": {"a": {"b": 1}, "c": [1], "d": 1}}, "props", {"d": "1"}),
    "G7-just": ({"p": {"k" * 300: "v" * 2000}}, "props", {"k" * 300: "v" * 2000}),
    "controls-only": ({"p": {"\u0000": "a", "b": "\u0007\n"}}, "props", {}),
    "controls": ({"p": {"a\u0000b": "c\nd"}}, "props", {"ab": "cd"}),
    "refund": ({"$": {"amount": -5, "currency": "eur"}}, "revenue", Decimal("-5.000")),
    "revenue-rounded": ({"$": {"amount": "0.12345", "currency": "eur"}}, "revenue", Decimal("0.123")),
    "revenue-empty": ({"$": {}}, "currency", ""),
    "G12": ({"i": False}, "interactive", False),
    "interactive-null": ({"i": None}, "interactive", True),
    "H2-e": ({"n": "engagement", "sd": 25, "e": 789}, "engaged", 789),
    "H2-sd": ({"n": "engagement", "sd": 25, "e": 789}, "scroll", 25),
    "H3": ({"n": "engagement", "sd": 101}, "scroll", 100),
    "H6-negative": ({"n": "engagement", "sd": 1, "e": -100}, "engaged", 0),
    "H6-missing": ({"n": "engagement", "sd": 1}, "engaged", 0),
    "H-fraction": ({"n": "engagement", "e": 12.7}, "engaged", 12),
    "H-a-day": ({"n": "engagement", "e": 10**15}, "engaged", 86_400_000),
    "H8-e": ({"e": 5, "sd": 5}, "engaged", 0),
    "H8-sd": ({"e": 5, "sd": 5}, "scroll", 0),
    "H-zero": ({"n": "engagement", "e": 0}, "engaged", 0),
    "zone": ({"z": "America/Argentina/Buenos_Aires"}, "zone", "America/Argentina/Buenos_Aires"),
    "zone-offset": ({"z": "Etc/GMT+8"}, "zone", "Etc/GMT+8"),
    "zone-long": ({"z": "A" * 65}, "zone", ""),
    "zone-odd": ({"z": "Europe/<b>"}, "zone", ""),
    "zone-number": ({"z": 7}, "zone", ""),
    "width": ({"w": 1280}, "width", 1280),
    "width-fraction": ({"w": 411.43}, "width", 411),
    "width-negative": ({"w": -1}, "width", 0),
    "width-huge": ({"w": 10**12}, "width", 100_000),
    "width-object": ({"w": {}}, "width", 0),
    "once": ({"q": "abc"}, "once", b"abc"),
    "once-number": ({"q": 7}, "once", b"7"),
    "once-none": ({}, "once", None),
    "once-empty": ({"q": ""}, "once", None),
    "once-list": ({"q": []}, "once", None),
}  # fmt: skip


@pytest.mark.parametrize(("keys", "field", "expected"), READ.values(), ids=READ)
def test_values_are_read(keys: dict[str, Any], field: str, expected: object) -> None:
    """Each key is read in every form it may have, and brought into its bounds."""
    assert getattr(beacon(**keys), field) == expected


LONG_LANDING = f"{URL}?utm_source=ads&state={'s' * 2300}"
# Keys of a beacon, the wire's keys that are named for them, and what is read in place of what was sent.
TRIMMED: dict[str, tuple[dict[str, Any], tuple[str, ...], dict[str, Any]]] = {
    "nothing": ({"p": {"a": "b"}, "w": 390, "z": "Europe/Oslo", "c": "granted"}, (), {}),
    "state in the address": ({"u": LONG_LANDING}, ("u",), {"url": f"{URL}?utm_source=ads"}),
    "tokens in the fragment": ({"u": f"{URL}#access_token={'t' * 3000}"}, ("u",), {"url": URL}),
    "long path": ({"u": f"{URL}/{'x/' * 3000}"}, ("u",), {"url": f"{URL}/{'x/' * 3000}"[:2000]}),
    "name": ({"n": "x" * 121}, ("n",), {"name": "x" * 120}),
    "sites": ({"d": ",".join(f"s{n}.test" for n in range(30))}, ("d",),
              {"domains": tuple(f"s{n}.test" for n in range(20))}),
    "referrer": ({"r": "https://h/".ljust(3000, "x")}, ("r",), {"referrer": "https://h/".ljust(2000, "x")}),
    "referrer-object": ({"r": {"a": 1}}, ("r",), {"referrer": ""}),
    "referrer-empty": ({"r": ""}, (), {"referrer": ""}),
    "property's value": ({"p": {"k": "v" * 2001, "l": "1"}}, ("p",), {"props": {"k": "v" * 2000, "l": "1"}}),
    "property's key": ({"p": {"k" * 301: "v", "l": "1"}}, ("p",), {"props": {"l": "1"}}),
    "property's object": ({"p": {"k": {"a": 1}, "l": "1"}}, ("p",), {"props": {"l": "1"}}),
    "property's list": ({"p": {"k": [1]}}, ("p",), {"props": {}}),
    "31 properties": ({"p": {str(n): "v" for n in range(31)}}, ("p",), {"props": {str(n): "v" for n in range(30)}}),
    "30 properties and blanks": ({"p": {str(n): "v" for n in range(30)} | {"b": " ", "c": None}}, (), {}),
    "properties as text": ({"p": "text"}, ("p",), {"props": {}}),
    "properties as a list": ({"p": [1]}, ("p",), {"props": {}}),
    "properties as nothing": ({"p": ""}, (), {"props": {}}),
    "properties as deep text": ({"p": "[" * 10_000}, ("p",), {"props": {}}),
    "amount in words": ({"$": {"amount": "dear", "currency": "SEK"}}, ("$",), {"revenue": 0, "currency": ""}),
    "amount nan": ({"$": {"amount": "NaN", "currency": "SEK"}}, ("$",), {"revenue": 0, "currency": ""}),
    "amount huge": ({"$": {"amount": "1e999999", "currency": "SEK"}}, ("$",), {"revenue": 0, "currency": ""}),
    "amount of 100 billion": ({"$": {"amount": 10**11, "currency": "SEK"}}, ("$",), {"revenue": 0, "currency": ""}),
    "amount below it": ({"$": {"amount": 10**11 - 1, "currency": "SEK"}}, (), {"revenue": 10**11 - 1}),
    "amount true": ({"$": {"amount": True, "currency": "SEK"}}, ("$",), {"revenue": 0, "currency": ""}),
    "amount missing": ({"$": {"currency": "SEK"}}, ("$",), {"revenue": 0, "currency": ""}),
    "currency in words": ({"$": {"amount": 1, "currency": "kronor"}}, ("$",), {"revenue": 0, "currency": ""}),
    "currency missing": ({"$": {"amount": 1}}, ("$",), {"revenue": 0, "currency": ""}),
    "revenue as a number": ({"$": 99}, ("$",), {"revenue": 0, "currency": ""}),
    "revenue as a list": ({"$": [99, "SEK"]}, ("$",), {"revenue": 0, "currency": ""}),
    "engaged in words": ({"n": "engagement", "e": "soon", "sd": 5}, ("e",), {"engaged": 0, "scroll": 5}),
    "engaged for years": ({"n": "engagement", "e": 10**15}, ("e",), {"engaged": 86_400_000}),
    "engaged less than nothing": ({"n": "engagement", "e": -100, "sd": 1}, ("e",), {"engaged": 0}),
    "scrolled beyond": ({"n": "engagement", "sd": 101}, ("sd",), {"scroll": 100}),
    "scrolled in words": ({"n": "engagement", "e": 5, "sd": "deep"}, ("sd",), {"engaged": 5, "scroll": 0}),
    "scrolled on a pageview": ({"sd": "deep", "e": []}, (), {"engaged": 0, "scroll": 0}),
    "hash mode": ({"h": "maybe"}, ("h",), {"hash_mode": False}),
    "hash mode as an object": ({"h": {}}, ("h",), {"hash_mode": False}),
    "hash mode 2": ({"h": 2}, ("h",), {"hash_mode": False}),
    "interactive": ({"i": "perhaps"}, ("i",), {"interactive": True}),
    "interactive as text": ({"i": "false"}, (), {"interactive": False}),
    "zone": ({"z": "Europe/<b>"}, ("z",), {"zone": ""}),
    "zone too long": ({"z": "A" * 65}, ("z",), {"zone": ""}),
    "zone as a number": ({"z": 7}, ("z",), {"zone": ""}),
    "width in words": ({"w": "wide"}, ("w",), {"width": 0}),
    "width less than nothing": ({"w": -1}, ("w",), {"width": 0}),
    "width huge": ({"w": 10**12}, ("w",), {"width": 100_000}),
    "width as an object": ({"w": {}}, ("w",), {"width": 0}),
    "evidence": ({"c": "<script>"}, ("c",), {"consent": ""}),
    "evidence as an object": ({"c": {"granted": True}}, ("c",), {"consent": ""}),
    "evidence that is none": ({"c": "undecided"}, (), {"consent": ""}),
    "receipt": ({"k": "r" * 4001}, ("k",), {"receipt": ""}),
    "receipt as a number": ({"k": 7}, ("k",), {"receipt": ""}),
    "once": ({"q": "q" * 65}, ("q",), {"once": None}),
    "once as a list": ({"q": []}, ("q",), {"once": None}),
    "several": ({"z": 7, "u": LONG_LANDING, "p": [1]}, ("u", "p", "z"), {"url": f"{URL}?utm_source=ads"}),
}  # fmt: skip


@pytest.mark.parametrize(("keys", "trimmed", "fields"), TRIMMED.values(), ids=TRIMMED)
def test_an_odd_part_costs_that_part(keys: dict[str, Any], trimmed: tuple[str, ...], fields: dict[str, Any]) -> None:
    """What is out of bounds is cut or left out and named by its key; the rest of the beacon is read as ever."""
    read = beacon(**keys)
    assert read.trimmed == trimmed
    assert {name: getattr(read, name) for name in fields} == fields


def test_each_key_is_tried() -> None:
    """No key can be cut or left out that is not tried here."""
    assert {key for _, trimmed, _ in TRIMMED.values() for key in trimmed} == set(TRIMMABLE)


EVIDENCE: dict[str, tuple[Any, str]] = {
    "granted": ("granted", "granted"),
    "cookie": ("cookie", "cookie"),
    "tcf": ("tcf", "tcf"),
    "gcm": ("gcm", "gcm"),
    "banner": ("CookieConsent", "cookieconsent"),
    "number": (1, "granted"),
    "true": (True, "granted"),
    "denied": ("denied", "denied"),
    "denied-case": (" Denied ", "denied"),
    "zero": (0, "denied"),
    "zero-text": ("0", "denied"),
    "false": (False, "denied"),
    "null": (None, ""),
    "empty": ("", ""),
    "absent": (..., ""),
    "ours-exempt": ("exempt", ""),
    "ours-none": ("none", ""),
    "undecided": ("undecided", ""),
    **{word: (word, "") for word in ("pending", "unset", "default", "error", "NaN", "-", "2")},
    **{word: (word, "denied") for word in ("withdrawn", "refused", "rejected", "declined", "revoked", "deny", "off")},
    **{word: (word, "denied") for word in ("opt-out", "opted_out", "disagree", "necessary")},
    "long": ("b" * 33, ""),
    "odd": ("<script>", ""),
    "object": ({"granted": True}, ""),
    "fraction": (0.5, ""),
    "identifier": ("0f8fad5bd9cb469fa16570867728950e", "granted"),
}


@pytest.mark.parametrize(("sent", "expected"), EVIDENCE.values(), ids=EVIDENCE)
def test_evidence_has_a_closed_shape(sent: Any, expected: str) -> None:
    """Evidence of consent is a known word or a banner's name; a refusal is `denied`; nothing else counts. Of refusals
    two words alone erase."""
    found = beacon(c=sent)
    assert found.consent == expected
    assert found.refuses == (sent == "denied")


def test_address_agent_and_time_cannot_be_sent() -> None:
    """Nobody can choose the address, user agent or time of an event: a beacon has no place for them."""
    plain = beacon()
    assert beacon(ip="9.9.9.9", ua="x", user_agent="x", t=1, timestamp=1, ts=1, ip_address="9.9.9.9") == plain
    assert not {"ip", "address", "user_agent", "ts"} & set(Beacon.__struct_fields__)


def test_wide_and_deep_bodies_are_answered() -> None:
    """A body of many keys, deep values in unknown keys, or one very long text is read or refused, never a crash."""
    assert beacon(**{f"k{n}": n for n in range(1000)}).name == "pageview"
    deep: Any = 1
    for _ in range(200):
        deep = {"a": deep}
    assert beacon(deep=deep).name == "pageview"
    assert beacon(p={"a": deep}).props == {}
    assert refusal(b'{"n":"x","u":"http://h/","deep":' + b"[" * 15_000)[0] == "request"


THOROUGH = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
MAIN_KEYS = st.sampled_from(
    ("n", "name", "u", "url", "d", "domain", "r", "referrer", "p", "props", "m", "meta", "$", "revenue", "e", "sd")
)
KEYS = MAIN_KEYS | st.sampled_from(("h", "hashMode", "i", "interactive", "z", "w", "c", "q", "v", "x"))
LIKELY = st.sampled_from(
    [
        "pageview",
        "engagement",
        URL,
        "data:x",
        "a.test,b.test",
        '{"a":1}',
        {"amount": "1", "currency": "SEK"},
        1,
        0,
        "1e9",
    ]
)


def check(body: bytes) -> None:
    """A body gives a beacon within its bounds, or a `BeaconError`."""
    try:
        read = parse_beacon(body)
    except BeaconError as error:
        refused = error.field
    else:
        check_bounds(read)
        return
    assert refused in {"request", "url", "event_name", "domain"}


def check_bounds(read: Beacon) -> None:
    assert 1 <= len(read.name) <= 120
    assert 1 <= len(read.url) <= 2000
    assert 1 <= len(read.domains) <= 20
    assert set(read.trimmed) <= set(TRIMMABLE)
    assert all(len(key) <= 300 and len(value) <= 2000 for key, value in read.props.items())
    assert len(read.referrer) <= 2000
    assert len(read.props) <= 30
    assert 0 <= read.engaged <= 86_400_000
    assert 0 <= read.scroll <= 100
    assert 0 <= read.width <= 100_000
    assert len(read.zone) <= 64
    assert len(read.consent) <= 32
    assert read.once is None or len(read.once.decode()) <= 64
    assert abs(read.revenue) < 10**14
    assert bool(read.currency) or read.revenue == 0
    msgspec.msgpack.encode(read)


@THOROUGH
@given(st.dictionaries(KEYS, LIKELY | ANYTHING, max_size=12))
def test_any_document_is_answered(document: dict[str, Any]) -> None:
    """Whatever a JSON object holds, the answer is a beacon within its bounds or a `BeaconError`."""
    check(json.dumps(document).encode())


@THOROUGH
@given(st.binary(max_size=300) | st.text(alphabet='{}[]":,\\u0nudpe$ ', max_size=120).map(str.encode))
def test_any_bytes_are_answered(body: bytes) -> None:
    """Whatever the bytes, the answer is a beacon within its bounds or a `BeaconError`."""
    check(body)


@THOROUGH
@given(
    name=st.text(min_size=1, max_size=130),
    props=st.dictionaries(
        st.text(max_size=10), st.text(max_size=10) | st.integers(-99, 99) | st.booleans(), max_size=4
    ),
    engaged=st.none() | st.integers(-5, 10**9),
    width=st.none() | st.integers(-5, 5000),
    evidence=st.none() | st.sampled_from(["granted", "cookie", "denied", "Klaro", "?"]),
    listed=st.sampled_from(["a.test", "www.a.test", "A.test ", "a.test,b.test"]),
)
def test_both_ways_of_reading_agree(
    name: str, props: dict[str, Any], engaged: int | None, width: int | None, evidence: str | None, listed: str
) -> None:
    """A beacon with an unknown key beside the others, which is read slowly, means the same as without it."""
    document = {"n": name, "u": URL, "d": listed, "p": props, "e": engaged, "w": width, "c": evidence}

    def outcome(body: dict[str, Any]) -> Beacon | tuple[str, str]:
        try:
            return parse_beacon(json.dumps(body).encode())
        except BeaconError as error:
            return error.field, error.reason

    assert outcome(document) == outcome(document | {"unknown": 1})
