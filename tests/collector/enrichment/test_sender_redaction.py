"""Nothing that is stored tells the address or the user agent of the request, whatever a page sends."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote, quote_plus

import msgspec
import pytest

from collector.enrichment.sender_redaction import redact_user_agent
from collector.ingest.context import PipelineServices
from collector.ingest.pipeline import run
from tests.collector.ingest.test_pipeline import CHROME, NOON, arrival, kept
from tests.collector.ingest.test_pipeline import rooms as rooms  # the fixture

ME = "203.0.113.77"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.2 "
    "Mobile/15E148 Safari/604.1"
)
SHORT = "Tester/12.5 (quiet)"

PLACES: dict[str, dict[str, Any]] = {
    "property": {"props": {"agent": "{}"}},
    "property in small letters": {"props": {"agent": "{lower}"}},
    "property with more": {"props": {"agent": "from {} at noon"}},
    "property's name": {"props": {"{}": "x"}},
    "name": {"name": "{}"},
    "name, cut": {"name": "{cut}"},
    "path": {"url": "https://site.test/ua/{quoted}/x"},
    "path, encoded twice": {"url": "https://site.test/{twice}"},
    "campaign": {"url": "https://site.test/?utm_campaign={quoted}"},
    "source": {"url": "https://site.test/?ref={plus}"},
    "fragment": {"url": "https://site.test/#/{quoted}", "hash_mode": True},
    "referrer": {"referrer": "https://other.example/{quoted}"},
    "slug": {"url": "https://site.test/{slug}", "props": {"ua": "{slug}"}},
    "underscores": {"name": "{underscores}", "props": {"ua": "ua_{underscores}_x"}},
    "other blanks": {"props": {"ua": "{blanks}"}},
}


def filled(text: Any, value: str) -> Any:
    """The beacon's fields with `value` where they have a place for it."""
    if isinstance(text, dict):
        return {filled(key, value): filled(each, value) for key, each in text.items()}
    if not isinstance(text, str):
        return text
    return text.format(
        value, lower=value.lower(), cut=value[:110], quoted=quote(value, safe=""),
        twice=quote(quote(value, safe=""), safe=""), plus=quote_plus(value),
        slug=re.sub(r"\W+", "-", value).strip("-"), underscores=value.replace(" ", "_"),
        blanks=value.replace(" ", "\u00a0"),
    )  # fmt: skip


def stored_text(services: PipelineServices, fields: dict[str, Any], agent: str, address: str = ME) -> str:
    """All that is stored of a beacon, as one text in small letters."""
    event = kept(run(arrival(**{"user_agent": agent, "address": address} | fields), "site.test", services))
    return json.dumps(msgspec.to_builtins(event, str_keys=True), ensure_ascii=False, default=str).lower()


@pytest.mark.parametrize("agent", [CHROME, IPHONE])
@pytest.mark.parametrize("place", PLACES)
def test_a_user_agent_is_stored_nowhere(rooms: PipelineServices, place: str, agent: str) -> None:
    """Neither whole nor what cleaning would leave of it."""
    text = stored_text(rooms, filled(PLACES[place], agent), agent)
    for piece in ("mozilla", "applewebkit", "khtml"):
        assert piece not in text, text


@pytest.mark.parametrize("value", [SHORT, SHORT.upper(), quote(SHORT)])
def test_a_short_user_agent_is_recognised_as_a_whole(value: str) -> None:
    """Part of one may be an ordinary word."""
    assert redact_user_agent(value, SHORT) == ":agent"
    assert redact_user_agent("Tester", SHORT) == "Tester"
    assert redact_user_agent("Firefox", CHROME) == "Firefox"
    assert redact_user_agent("x" * 300, CHROME) == "x" * 300
    assert redact_user_agent("", "") == ""


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("address", [ME, "2001:db8:85a3::8a2e:370:7334"])
def test_the_address_of_the_request_is_stored_nowhere(rooms: PipelineServices, place: str, address: str) -> None:
    """In no value that a page sends."""
    assert address not in stored_text(rooms, filled(PLACES[place], address), CHROME, address)


@pytest.mark.parametrize("fields", [{"url": f"http://{ME}/a"}, {"referrer": f"http://{ME}/a"}])
def test_a_host_that_is_the_senders_own_address_is_not_stored(rooms: PipelineServices, fields: dict[str, Any]) -> None:
    """As of somebody who runs a page at home; under any policy."""
    assert ME not in stored_text(rooms, fields, CHROME)
    event = kept(run(arrival(address=ME, consent="", **fields), "limited.test", rooms))
    assert ME not in json.dumps(msgspec.to_builtins(event), default=str)


def test_without_consent_the_minute_is_kept(rooms: PipelineServices) -> None:
    """Not the second, by which a row could be found in a log of requests; with consent the second is."""
    assert kept(run(arrival(consent="", at=NOON + 119), "limited.test", rooms)).ts == NOON + 60
    assert kept(run(arrival(at=NOON + 119), "limited.test", rooms)).ts == NOON + 119
