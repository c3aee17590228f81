"""The snippet beside real consent banners: it follows their word, whatever each means by silence.

In short beside every banner under the strictest policy and beside two under the others; at length under each:
`python -m bench tests`.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.browser.banner_pages import COOKIECONSENT, PAGES, TCF, BannerPage
from tests.browser.conftest import WITHDRAWAL, Visit
from tests.length import by_length
from tests.served import until

OTHERS = by_length((COOKIECONSENT, TCF), PAGES)
"""Banners under the policies that let something be sent before an answer."""
pytestmark = pytest.mark.parametrize(
    ("banner", "policy"),
    [
        pytest.param(banner, policy, id=f"{banner.key}-{policy}")
        for policy, banners in {"required": PAGES, "limited": OTHERS, "exempt": OTHERS}.items()
        for banner in banners
    ],
)


UNDECIDED = {"required": [], "limited": [("pageview", "/a", None)], "exempt": [("pageview", "/a?q=1", None)]}


def open_page(visit: Visit, banner: BannerPage, policy: str) -> None:
    """Open a page that asks, and see that while the visitor is undecided no more is sent than the policy allows."""
    visit.recorder.page(f'{banner.attributes} data-consent="{policy}"', head=banner.lines)
    visit.go("/a?q=1")
    visit.pass_time(1_000)
    await_shown(visit, banner.shown)
    assert visit.events() == UNDECIDED[policy]
    assert visit.do("tyst.consent()") is None


def await_shown(visit: Visit, selector: str) -> None:
    """Let time pass until it is there: what a banner loads by itself may come late, and its timers begin then."""

    def shown() -> bool:
        visit.pass_time(100)
        return visit.page.is_visible(selector)

    until(selector, shown)


def answer(visit: Visit, steps: Sequence[str]) -> None:
    """Click, or run, each of the steps."""
    for step in steps:
        if step.startswith("js: "):
            visit.do(f"void ({step.removeprefix('js: ')})")
            visit.pass_time(200)  # for what opens by itself a moment later
        else:
            await_shown(visit, step)
            visit.page.click(step)


def without(policy: str, *paths: str) -> list[tuple[str, str, str | None]]:
    """What page loads send after a refusal."""
    return [("pageview", path, None) for path in paths] if policy == "limited" else []


def test_accept_then_withdraw(visit: Visit, banner: BannerPage, policy: str) -> None:
    """Undecided, accepted, reloaded, withdrawn, reloaded: what the policy allows, with the banner as evidence. The
    withdrawal itself is told to the collector, once."""
    open_page(visit, banner, policy)
    answer(visit, banner.accept)
    visit.do("tyst('Signup')")
    counted = [] if policy == "exempt" else [("pageview", "/a?q=1", banner.cmp)]
    assert visit.events() == [*counted, ("Signup", "/a?q=1", banner.cmp)]
    visit.go("/b")
    sent = [event for event in visit.events() if event[0] != "engagement"]
    assert [event[:2] for event in sent] == [("pageview", "/b")]
    assert sent[0][2] in (banner.cmp, "cookie")
    answer(visit, banner.withdraw)
    # Under `limited` the open page becomes a bare count, too.
    assert visit.events() == [WITHDRAWAL, *without(policy, "/b")]
    visit.do("tyst('Signup'); history.pushState({}, '', '/c')")
    assert visit.events() == without(policy, "/c")
    visit.go("/d")
    assert visit.events() == without(policy, "/d")


def test_refuse(visit: Visit, banner: BannerPage, policy: str) -> None:
    """Refused: nothing more, also after a reload; or under limited, the count alone. Where pages were counted before
    the visitor was asked, the refusal takes them back."""
    open_page(visit, banner, policy)
    answer(visit, banner.refuse)
    visit.do("tyst('Signup'); history.pushState({}, '', '/b')")
    assert visit.events() == [*([WITHDRAWAL] if policy == "exempt" else []), *without(policy, "/b")]
    visit.go("/c")
    assert visit.events() == without(policy, "/c")
