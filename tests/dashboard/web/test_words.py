"""The words on the pages: standard terms, and no sentence that the site's policy makes untrue."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from collector.sites.model import POLICIES, Policy, Site
from collector.storage.client import ClickHouse
from dashboard.compliance.privacy_notice import facts_of, sections
from tests.board import SITE, Board, opened_board, pageview
from tests.markup import read

PAGES = (
    "/", f"/{SITE}", f"/{SITE}/realtime", f"/{SITE}/details/pages", f"/{SITE}/details/technology", f"/{SITE}/goals",
    f"/{SITE}/segments", f"/{SITE}/status", f"/{SITE}/settings", f"/{SITE}/people", f"/{SITE}/sharing", f"/{SITE}/data",
    "/account", "/account/two-factor", "/users", "/sites/new",
)  # fmt: skip
# Words of an earlier release that nobody found anything by.
ENGLISH = (
    "Systems", "Kinds", "Sizes", "Hosts", "Figures", "All figures", "Note on a date", "Numbers as CSV",
    "Picture as PNG", "These keys choose", "Small groups together", "Collected under", "Told by the site",
    "Remembered choice",
    "What arrives", "Not kept, and why", "Rules in force", "What reaches it", "Missing page", "Smallest group shown",
    "without a filter too", "Keys of the query", "Who answers for it", "Who may look", "Secret links", "Last day",
    "In a page of yours", "Begin anew", "Rename and delete", "Let it go", "Present password",
)  # fmt: skip
SWEDISH = ("Perioden före", "Siffror", "kakruta", "Vem som får titta", "Meddelat av webbplatsen", "Ingång ", "Utgång ")


@pytest.fixture
def board(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> Iterator[Board]:
    """A dashboard with one visited site, its admin signed in."""
    with opened_board(clickhouse, database, tmp_path) as opened:
        opened.add_site(SITE)
        events = [pageview(number, browser="Firefox", os="Linux", consent="cookie") for number in range(1, 5)]
        opened.seed([*events, *(pageview(number, consent="granted") for number in range(5, 9))])
        opened.sign_in()
        yield opened


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(("code", "words"), [("en", ENGLISH), ("sv", SWEDISH)], ids=["English", "Swedish"])
def test_pages_speak_in_standard_terms(board: Board, path: str, code: str, words: tuple[str, ...]) -> None:
    """None of the words that had to be explained is on a page."""
    answer = board.get(path, headers={"accept-language": code})
    assert answer.status_code == 200
    text = read(answer.text).text
    assert [word for word in words if re.search(rf"\b{re.escape(word)}(?!\w)", text)] == []


def test_the_report_names_things_as_other_products_do(board: Board) -> None:
    """Tabs, columns and rows."""
    text = board.page(f"/{SITE}").text
    for word in (
        "Operating systems", "Device types", "Screen sizes", "Hostnames", "Entry pages", "Exit pages",
        "Consent basis", "Saved choice", "Website’s own code", "Add annotation", "Installation",
    ):  # fmt: skip
        assert word in text, word


@pytest.mark.parametrize("policy", POLICIES)
def test_the_footer_is_true_under_every_policy(
    clickhouse: ClickHouse, database: Client, tmp_path: Path, policy: Policy
) -> None:
    """Only one policy counts nothing without consent, so the footer of every page is silent about that."""
    with opened_board(clickhouse, database, tmp_path) as board:
        board.add_site(SITE, consent=policy, public=True)
        for _ in range(2):
            for code in ("en", "sv"):
                text = board.get(f"/{SITE}", headers={"accept-language": code}).text
                footer = read(text.split("<footer")[1]).text
                assert "consent" not in footer.lower()
                assert "samtycke" not in footer.lower()
            # A guest first, then a member.
            board.sign_in()


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("code", ["en", "sv"])
def test_the_privacy_notice_says_what_the_policy_does(policy: Policy, code: str) -> None:
    """Nothing before consent, a count of pages, or everything until an objection: never two of these."""
    notice = sections(facts_of(Site(domain=SITE, consent=policy)), code, "https://x.test")
    text = " ".join(paragraph for part in notice for paragraph in part.paragraphs)
    claims = {
        "required": {"en": "Nothing before you have agreed", "sv": "Ingenting innan du har sagt ja"},
        "limited": {"en": "Without your consent only a count", "sv": "Utan ditt samtycke bara en räkning"},
        "exempt": {"en": "Unless you have objected", "sv": "Om du inte har invänt"},
    }
    assert {name for name, claim in claims.items() if claim[code] in text} == {policy}
