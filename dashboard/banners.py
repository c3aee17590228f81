"""Which consent banners a page has, by what their scripts are called and how they are started."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from dashboard.page_source import Script


@dataclass(frozen=True, slots=True)
class Trace:
    """What a banner leaves in a page. `cmp` is the `data-cmp` that follows it."""

    title: str
    cmp: str
    source: re.Pattern[str] | None = None
    """In the address of a script."""
    inner: re.Pattern[str] | None = None
    """In the text of a script."""


def _trace(title: str, cmp: str, source: str = "", inner: str = "") -> Trace:
    compiled = [re.compile(pattern, re.IGNORECASE) if pattern else None for pattern in (source, inner)]
    return Trace(title, cmp, *compiled)


TRACES: Final = (
    _trace(
        "CookieConsent",
        "cookieconsent",
        r"vanilla-cookieconsent|cookieconsent(\.umd|\.esm)?(\.min)?\.js",
        r"\bCookieConsent\.run\(",
    ),
    _trace("Klaro", "klaro", r"\bklaro[-\w.]*\.js", r"\bklaroConfig\b|\bklaro\.setup\("),
    _trace("tarteaucitron", "tarteaucitron", r"tarteaucitron[-\w.]*\.js", r"\btarteaucitron\.(init|job)\b"),
    _trace("Orejime", "orejime", r"orejime[-\w.]*\.js", r"\borejimeConfig\b"),
    _trace("Complianz", "wp", r"complianz"),
    _trace("WP Consent API", "wp", r"wp-consent-api"),
    _trace("Cookiebot", "gcm", r"consent\.cookiebot\.(com|eu)"),
    _trace("CookieYes", "gcm", r"cdn-cookieyes\.com|cookie-law-info"),
    _trace("CookieHub", "gcm", r"cookiehub\.(net|eu|com)"),
    _trace("Cookie Information", "gcm", r"policy\.app\.cookieinformation\.com"),
    _trace("Osano", "gcm", r"cmp\.osano\.com"),
    _trace("Termly", "gcm", r"app\.termly\.io"),
    _trace("OneTrust", "gcm", r"cdn\.cookielaw\.org|otSDKStub"),
    _trace("Usercentrics", "tcf", r"\.usercentrics\.eu"),
    _trace("Didomi", "tcf", r"sdk\.privacy-center\.org", r"\bdidomiConfig\b"),
    _trace("iubenda", "tcf", r"cdn\.iubenda\.com"),
    _trace("consentmanager", "tcf", r"\.consentmanager\.net", r"\bcmp_autoblocking\b"),
    _trace("Sourcepoint", "tcf", r"\.privacy-mgmt\.com|sp-prod\.net"),
    _trace("InMobi CMP", "tcf", r"cmp\.(inmobi|quantcast)\.com"),
    _trace("Google’s own", "tcf", r"fundingchoicesmessages\.google\.com"),
    # Last, because many of the above speak these languages too.
    _trace("IAB TCF", "tcf", inner=r"\b__tcfapi\b"),
    _trace("Google Consent Mode", "gcm", inner=r"gtag\(\s*['\"]consent['\"]"),
)


def banners_of(scripts: Iterable[Script]) -> list[Trace]:
    """Every banner that has left a trace, the most telling first."""
    scripts = list(scripts)
    return [trace for trace in TRACES if any(_left(trace, script) for script in scripts)]


def _left(trace: Trace, script: Script) -> bool:
    by_source = trace.source is not None and trace.source.search(script.source[:2_000])
    return bool(by_source) or (trace.inner is not None and trace.inner.search(script.inner) is not None)
