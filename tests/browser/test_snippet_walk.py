"""The consent contract walked at random: a real browser, a fake banner in every state, and what a real collector kept.

Each walk is a sequence of steps drawn from a seed, in one tab or in two that share cookie and banner. A model of a few
lines follows it: what the banner and the page last said. After each step that lets the snippet act, what the collector
holds about the browser is compared with the model.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Page

from tests.browser import fake_banners
from tests.browser.conftest import USER_AGENT, NewPerson
from tests.browser.people import Visitor
from tests.browser.recorder import Recorder
from tests.length import by_length
from tests.served import NotInTime, Served, served, until

STEPS = 14
SEEDS = by_length(range(2), range(3))
BANNERS = ("mine", "gcm", "tcf", "klaro")


@pytest.fixture(scope="module")
def tyst(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A running server."""
    with served(tmp_path_factory.mktemp("walk"), TYST_FLUSH_SECONDS="0.05") as server:
        yield server


class Model:
    """What the two places that may answer have said: the banner, and the page by calling the snippet."""

    def __init__(self, policy: str) -> None:
        self.exempt = policy == "exempt"
        self.banner: bool | None = None
        self.page: bool | None = None
        self.noes = 0

    @property
    def refused(self) -> bool:
        """A refusal stands until the same place takes it back."""
        return self.banner is False or self.page is False

    @property
    def granted(self) -> bool:
        """Somebody has said yes, and nobody no."""
        return not self.refused and (self.banner is True or self.page is True)

    @property
    def allows(self) -> bool:
        """Whether more may be held than before: under `exempt` also while nobody has answered."""
        return self.granted or (self.exempt and not self.refused)

    def hear(self, place: str, answer: bool) -> None:
        """An explicit answer of one of them."""
        setattr(self, place, answer)
        self.noes += not answer


def held(tyst: Served, domain: str) -> list[str]:
    """Pages that the collector holds about this browser, with consent."""

    def answered() -> httpx.Response | None:
        # One address may ask only so often.
        answer = tyst.http.get(f"/api/me?d={domain}", headers={"user-agent": USER_AGENT})
        return answer if answer.status_code == 200 else None

    events = until("what is held", answered, pause=0.2).json()["events"]
    return sorted(event["page"] for event in events if event["name"] == "pageview")


def step(dice: random.Random, tabs: list[Page], model: Model, number: int, base: str) -> str:
    """Do one thing in one of the tabs, and tell the model what of it was an explicit answer; what was done, for the
    error."""
    tab = dice.randrange(len(tabs)) if len(tabs) > 1 else 0
    page, where = tabs[tab], f" in tab {tab}" if len(tabs) > 1 else ""
    kind = dice.choice(["banner", "banner", "banner", "call", "nonsense", "move", "load", "event"])
    if kind == "banner":
        state = dice.choice(fake_banners.STATES)
        page.evaluate(f"say('{state}')")
        for other in tabs:
            if other is not page:
                other.evaluate("told()")
        # The snippet asks after each second; what the banner said in between, nobody has heard.
        page.clock.run_for(1_000)
        if state in ("yes", "no"):
            model.hear("banner", state == "yes")
        elif state == "ask" and model.banner is False:
            # Its refusal has ended: a yes of the page counts again.
            model.banner = None
        return f"banner: {state}{where}"
    if kind == "call":
        word = dice.choice(["granted", "denied"])
        page.evaluate(f"tyst.consent('{word}')")
        model.hear("page", word == "granted")
        return f"page: {word}{where}"
    if kind == "nonsense":
        call = dice.choice(
            ["tyst.consent()", "tyst.consent('')", "tyst.consent(false)", "tyst()", "tyst('')", "tyst(null)"]
        )
        page.evaluate(f"void {call}")
        return f"{call}{where}"
    if kind == "move":
        page.evaluate(f"history.pushState({{}}, '', '/m{number}')")
        return f"move to /m{number}{where}"
    if kind == "event":
        page.evaluate("tyst('Signup')")
        return f"event{where}"
    page.goto(f"{base}/l{number}")
    return f"load /l{number}{where}"


def settle(somebody: Visitor, tabs: list[Page]) -> None:
    """Give the snippet every chance to send. The answer to what a page sends while it is left, nobody hears."""
    for tab in tabs:
        somebody.page = tab
        with contextlib.suppress(NotInTime):
            somebody.settle(5)
    somebody.beacons.clear()
    somebody.answers.clear()


def walk(
    new_person: NewPerson, recorder: Recorder, tyst: Served, policy: str, banner: str, seed: int, *, tabs: int = 1
) -> None:
    """Walk once, and compare after each step."""
    dice = random.Random(f"{policy} {banner} {seed}")  # noqa: S311 # a walk is to be repeatable
    domain = f"walk-{policy}-{banner}-{seed}-{tabs}.test"
    tyst.add_site(domain, consent=policy)
    recorder.page(
        f'data-domain="{domain}" data-cmp="{banner}" data-consent="{policy}"',
        head=fake_banners.head(banner),
        src=f"{tyst.url}/js/tyst.js",
    )
    recorder.html = recorder.html.replace(f'data-domain="{recorder.domain}"', "")
    somebody = Visitor(new_person(), tyst.url)
    opened = [somebody.page, *(somebody.context.new_page() for _ in range(tabs - 1))]
    model, done = Model(policy), list[str]()
    for number, tab in enumerate(opened):
        tab.goto(f"{recorder.url}/start{number or ''}")
    before: list[str] = []
    for number in range(STEPS):
        noes = model.noes
        done.append(step(dice, opened, model, number, recorder.url))
        settle(somebody, opened)
        now = held(tyst, domain)
        if model.refused and now:
            until(f"an erasure after {done}", lambda: held(tyst, domain) == [])
            now = []
        if not model.allows:
            assert now == [] or now == before, done
        if model.noes == noes:
            assert len(now) >= len(before), f"erased without a no: {done}"
            assert not somebody.withdrawals, done
        somebody.withdrawals.clear()
        somebody.withdrawn = 0
        before = now
    if (model.granted and model.banner) or (model.exempt and not model.noes):
        assert before, done


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("banner", BANNERS)
@pytest.mark.parametrize("policy", ["required", "limited"])
def test_whatever_the_order(
    new_person: NewPerson, recorder: Recorder, tyst: Served, policy: str, banner: str, seed: int
) -> None:
    """Nothing is held that the last explicit answers do not allow, and nothing is erased without an explicit no."""
    walk(new_person, recorder, tyst, policy, banner, seed)


@pytest.mark.parametrize("banner", BANNERS)
def test_whatever_the_order_where_measurement_is_exempt(
    new_person: NewPerson, recorder: Recorder, tyst: Served, banner: str
) -> None:
    """Pages count before anybody has answered; a no erases them, whoever says it, and nothing else does."""
    walk(new_person, recorder, tyst, "exempt", banner, 0)


@pytest.mark.parametrize(("policy", "banner"), [("required", "mine"), ("limited", "gcm"), ("exempt", "klaro")])
def test_whatever_the_order_in_two_tabs(
    new_person: NewPerson, recorder: Recorder, tyst: Served, policy: str, banner: str
) -> None:
    """A no in one tab ends both, and what one has not heard itself erases nothing."""
    walk(new_person, recorder, tyst, policy, banner, 0, tabs=2)
