"""Whether a beacon may be kept: the whole table of policy, claim, cookie and browser signals."""

from __future__ import annotations

import itertools
from typing import Literal

import pytest

from collector.privacy.consent import ConsentDecision, Signals, decide_consent
from collector.sites.model import POLICIES, Policy

FULL_COOKIE = ConsentDecision("full", "cookie", "")
FULL_TCF = ConsentDecision("full", "tcf", "")
COUNT = ConsentDecision("limited", "none", "")
REFUSED = ConsentDecision("none", "", "consent")
EXEMPT = ConsentDecision("full", "exempt", "")

# claimed, cookie: what becomes of it under required, limited and exempt.
TABLE = {
    ("", ""): (REFUSED, COUNT, EXEMPT),
    ("", "granted"): (FULL_COOKIE, FULL_COOKIE, FULL_COOKIE),
    ("", "denied"): (REFUSED, COUNT, REFUSED),
    ("", "rubbish"): (REFUSED, COUNT, EXEMPT),
    ("tcf", ""): (FULL_TCF, FULL_TCF, FULL_TCF),
    ("tcf", "granted"): (FULL_TCF, FULL_TCF, FULL_TCF),
    ("tcf", "denied"): (REFUSED, COUNT, REFUSED),
    ("denied", ""): (REFUSED, COUNT, REFUSED),
    ("denied", "granted"): (REFUSED, COUNT, REFUSED),
    ("denied", "denied"): (REFUSED, COUNT, REFUSED),
    ("granted", "excluded"): (REFUSED, REFUSED, REFUSED),
    ("excluded", "granted"): (REFUSED, REFUSED, REFUSED),
}
ROWS = [
    pytest.param(policy, claimed, cookie, verdict, id=f"{policy}-claims:{claimed or '-'}-cookie:{cookie or '-'}")
    for (claimed, cookie), verdicts in TABLE.items()
    for policy, verdict in zip(POLICIES, verdicts, strict=True)
]


@pytest.mark.parametrize(("policy", "claimed", "cookie", "expected"), ROWS)
def test_policy_and_evidence_decide(policy: Policy, claimed: str, cookie: str, expected: ConsentDecision) -> None:
    """Evidence decides as the site's policy says, and of two sources that disagree the refusal wins."""
    assert decide_consent(policy, claimed, Signals(gpc=False, dnt=False, cookie=cookie)) == expected


BARE = {
    ("", ""): (REFUSED, COUNT, COUNT),
    ("", "granted"): (REFUSED, COUNT, COUNT),
    ("tcf", ""): (REFUSED, COUNT, COUNT),
    ("denied", ""): (REFUSED, COUNT, REFUSED),
    ("", "denied"): (REFUSED, COUNT, REFUSED),
    ("", "excluded"): (REFUSED, REFUSED, REFUSED),
}


@pytest.mark.parametrize(("claimed", "cookie"), BARE)
def test_a_bare_count_is_never_more(claimed: str, cookie: str) -> None:
    """The tag allows no more than a count: of its policy and the site's the stricter holds, whatever else is said."""
    signals = Signals(gpc=False, dnt=False, cookie=cookie)
    assert tuple(decide_consent(policy, claimed, signals, bare=True) for policy in POLICIES) == BARE[claimed, cookie]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(("gpc", "dnt", "reason"), [(True, False, "gpc"), (False, True, "dnt"), (True, True, "gpc")])
def test_browser_signals_refuse(policy: Policy, gpc: bool, dnt: bool, reason: Literal["gpc", "dnt"]) -> None:
    """Global Privacy Control and Do Not Track keep everything out under every policy, whatever else is claimed."""
    for claimed, cookie in itertools.product(("", "granted", "tcf", "denied"), ("", "granted", "denied")):
        assert decide_consent(policy, claimed, Signals(gpc=gpc, dnt=dnt, cookie=cookie)) == ConsentDecision(
            "none", "", reason
        )


def test_what_is_dropped_has_a_reason_and_what_is_kept_has_evidence() -> None:
    """A verdict has a reason exactly when nothing is kept, and a kind of evidence exactly when something is."""
    choices = itertools.product(
        POLICIES, ("", "gcm", "denied"), ("", "granted", "denied"), (True, False), (True, False)
    )
    for policy, claimed, cookie, gpc, dnt in choices:
        verdict = decide_consent(policy, claimed, Signals(gpc=gpc, dnt=dnt, cookie=cookie))
        assert bool(verdict.reason) == (verdict.lane == "none")
        assert bool(verdict.evidence) == (verdict.lane != "none")
