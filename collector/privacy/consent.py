"""Consent decision: a pure function of the site's policy, the claim, the cookie and browser signals.

Under each policy of a site:

    required   evidence of consent, or nothing is kept
    limited    with evidence everything; without it, or after a refusal at the banner, an identifier-free count
    exempt     everything unless refused

A beacon may say that it is an identifier-free count, because the page's own tag allows no more: of the two policies
the stricter one holds.

Global Privacy Control and Do Not Track are refusals under every policy: nothing is kept, not even a count.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from collector.sites.model import Policy

EXCLUDED = "excluded"
"""What a cookie says when the visitor has objected for good."""

DENIED = "denied"
"""What a claim or a cookie says when consent was refused or withdrawn."""

NOES = frozenset({EXCLUDED, DENIED})
"""Explicit refusals: they erase what was collected before."""


class Signals(msgspec.Struct, frozen=True):
    """Consent signals of the browser outside the beacon's body."""

    gpc: bool
    """`Sec-GPC: 1`, which page script can neither forge nor strip (Global Privacy Control)."""
    dnt: bool
    """`DNT: 1` (Tracking Preference Expression)."""
    cookie: str
    """Choice that the cookie `tyst_consent` holds: `granted`, `denied` or `excluded`; empty without one."""


NO_SIGNALS = Signals(gpc=False, dnt=False, cookie="")


class ConsentDecision(msgspec.Struct, frozen=True):
    """The lane a beacon takes, the kind of evidence stored with it, and why it is dropped when it is."""

    lane: Literal["full", "limited", "none"]
    evidence: str
    reason: Literal["", "consent", "gpc", "dnt"]

    @property
    def by_evidence(self) -> bool:
        """Whether everything may be stored because there is evidence of consent."""
        return self.lane == "full" and self.evidence != "exempt"


GPC = ConsentDecision("none", "", "gpc")
DNT = ConsentDecision("none", "", "dnt")
WITHOUT_CONSENT = ConsentDecision("none", "", "consent")
LIMITED = ConsentDecision("limited", "none", "")
EXEMPT = ConsentDecision("full", "exempt", "")


def decide_consent(policy: Policy, claimed: str, signals: Signals, *, bare: bool = False) -> ConsentDecision:
    """Decide on one beacon. `claimed` is the beacon's own evidence, a refusal, or empty; `bare` when the beacon says
    that it is an identifier-free count.

    Of two sources that disagree the refusal wins: a cookie that says denied beats a beacon that says granted,
    and the other way round, since the one that does not know yet may be an old page in another tab.
    """
    if signals.gpc:
        return GPC
    if signals.dnt:
        return DNT
    if EXCLUDED in (claimed, signals.cookie):
        return WITHOUT_CONSENT
    if claimed == DENIED or signals.cookie == DENIED:
        return LIMITED if policy == "limited" else WITHOUT_CONSENT
    if bare:
        return WITHOUT_CONSENT if policy == "required" else LIMITED
    evidence = claimed or ("cookie" if signals.cookie == "granted" else "")
    if evidence:
        return ConsentDecision("full", evidence, "")
    if policy == "exempt":
        return EXEMPT
    return LIMITED if policy == "limited" else WITHOUT_CONSENT
