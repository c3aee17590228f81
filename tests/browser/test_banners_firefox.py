"""Real banners before a real collector, as in `test_banners_stored.py`, in Firefox.

In short with a banner that keeps its answer itself and one that others ask; at length with all of them:
`python -m bench tests`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser import test_banners_stored as in_chromium
from tests.browser.banner_pages import COOKIECONSENT, PAGES, TCF, BannerPage
from tests.browser.firefox import Tab, firefox
from tests.browser.readers import FORGET, FirefoxTab, Reader
from tests.browser.recorder import Recorder
from tests.browser.test_banners_stored import SOME, tyst
from tests.length import by_length, long
from tests.served import Served

pytestmark = long

__all__ = ["tyst"]

ASKING_AGAIN = [page for page in PAGES if page.asks_again]


@pytest.fixture(scope="module")
def shared_firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """One Firefox for the whole module."""
    with firefox(tmp_path_factory.mktemp("firefox")) as opened:
        yield opened


@pytest.fixture
def reader(shared_firefox: Tab, recorder: Recorder) -> Reader:
    """Somebody who has said nothing to any site yet."""
    tab = FirefoxTab(shared_firefox)
    tab.go(recorder.url + "/fence")
    tab.do(FORGET)
    tab.do("document.cookie = 'tyst_consent=; path=/; max-age=0'")
    return tab


def before(short: list[BannerPage], long: list[BannerPage]) -> pytest.MarkDecorator:
    """The banners that a test is about."""
    return pytest.mark.parametrize("banner", by_length(short, long), ids=lambda banner: banner.key)


@before([COOKIECONSENT, TCF], [*PAGES])
def test_from_the_first_question_to_the_withdrawal(
    reader: Reader, recorder: Recorder, tyst: Served, banner: BannerPage
) -> None:
    """As in Chromium."""
    in_chromium.test_from_the_first_question_to_the_withdrawal(reader, recorder, tyst, banner)


@before([COOKIECONSENT, TCF], [*PAGES])
def test_a_no_is_kept_until_the_banner_hears_a_yes(
    reader: Reader, recorder: Recorder, tyst: Served, banner: BannerPage
) -> None:
    """As in Chromium."""
    in_chromium.test_a_no_is_kept_until_the_banner_hears_a_yes(reader, recorder, tyst, banner)


@before([COOKIECONSENT], ASKING_AGAIN)
def test_a_banner_whose_revision_is_raised_asks_again(
    reader: Reader, recorder: Recorder, tyst: Served, banner: BannerPage
) -> None:
    """As in Chromium."""
    in_chromium.test_a_banner_whose_revision_is_raised_asks_again(reader, recorder, tyst, banner)


@before([COOKIECONSENT, TCF], SOME)
def test_two_tabs_are_of_one_visitor(reader: Reader, recorder: Recorder, tyst: Served, banner: BannerPage) -> None:
    """As in Chromium."""
    in_chromium.test_two_tabs_are_of_one_visitor(reader, recorder, tyst, banner)


@before([TCF], SOME)
def test_a_withdrawal_on_a_page_that_is_not_counted_erases(
    reader: Reader, recorder: Recorder, tyst: Served, banner: BannerPage
) -> None:
    """As in Chromium."""
    in_chromium.test_a_withdrawal_on_a_page_that_is_not_counted_erases(reader, recorder, tyst, banner)


@pytest.mark.parametrize("consent_type", by_length(["optin"], ["", "optout", "optin"]))
def test_nobody_is_counted_who_was_not_asked(
    reader: Reader, recorder: Recorder, tyst: Served, consent_type: str
) -> None:
    """As in Chromium."""
    in_chromium.test_nobody_is_counted_who_was_not_asked(reader, recorder, tyst, consent_type)
