"""Real banners before a real collector, as in `test_banners_stored.py`, in Firefox."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.firefox import Tab, firefox
from tests.browser.readers import FORGET, FirefoxTab, Reader
from tests.browser.recorder import Recorder
from tests.browser.test_banners_stored import (
    test_a_banner_whose_revision_is_raised_asks_again,
    test_a_no_is_kept_until_the_banner_hears_a_yes,
    test_a_withdrawal_on_a_page_that_is_not_counted_erases,
    test_from_the_first_question_to_the_withdrawal,
    test_nobody_is_counted_who_was_not_asked,
    test_two_tabs_are_of_one_visitor,
    tyst,
)

__all__ = [
    "test_a_banner_whose_revision_is_raised_asks_again",
    "test_a_no_is_kept_until_the_banner_hears_a_yes",
    "test_a_withdrawal_on_a_page_that_is_not_counted_erases",
    "test_from_the_first_question_to_the_withdrawal",
    "test_nobody_is_counted_who_was_not_asked",
    "test_two_tabs_are_of_one_visitor",
    "tyst",
]


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
