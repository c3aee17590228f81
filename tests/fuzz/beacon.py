"""Feeds bytes of its own making to everything that reads a beacon, guided by what code they reach.

    .venv/bin/python -m tests.fuzz.beacon -runs=100000

Options are libFuzzer's. It ends with an error, and the bytes at fault, on anything but a beacon or a `BeaconError`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris  # type: ignore[import-untyped]  # it ships none

with atheris.instrument_imports(include=["collector"]):
    from collector.core.errors import BeaconError
    from collector.core.settings import read_settings
    from collector.enrichment.client_ip import TrustedProxies, client_address, network_of
    from collector.enrichment.urls import clean_value, read_page, read_referrer
    from collector.ingest.payload import parse_beacon
    from collector.privacy.consent import Signals, decide_consent

TRUSTED = TrustedProxies(read_settings({"TYST_TRUSTED_PROXIES": "10.0.0.0/8"}).trusted_proxies)


def read_one(body: bytes) -> None:
    """Take one body through every room that its text reaches before it is an event."""
    header = body[:200]
    network_of(client_address("10.0.0.1", [(b"x-forwarded-for", header), (b"forwarded", header)], TRUSTED))
    try:
        beacon = parse_beacon(body)
    except BeaconError:
        return
    decide_consent("limited", beacon.consent, Signals(gpc=False, dnt=False, cookie=""))
    page = read_page(beacon.url, hash_mode=beacon.hash_mode, allowed=frozenset({"page"}))
    if not page.path.startswith("/") or not page.hostname:
        raise RuntimeError("a page needs a host and a path")
    read_referrer(beacon.referrer)
    for value in beacon.props.values():
        clean_value(value)


if __name__ == "__main__":
    words = Path(__file__).with_name("beacon.dict")
    atheris.Setup([sys.argv[0], f"-dict={words}", *sys.argv[1:]], read_one)
    atheris.Fuzz()
