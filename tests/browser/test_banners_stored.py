"""Real banners before a real collector: what it has stored after each answer. In Chromium; `test_banners_firefox.py`
has the same in Firefox."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.banner_pages import (
    COOKIECONSENT,
    COOKIECONSENT_2,
    GCM,
    OSANO_POPUP,
    PAGES,
    REACT,
    TCF,
    WP,
    WP_CONSENT_API,
    BannerPage,
)
from tests.browser.conftest import NewPerson
from tests.browser.readers import FORGET, ChromiumTab, Reader, Site
from tests.browser.recorder import Recorder
from tests.served import Served, served, until

each_banner = pytest.mark.parametrize("banner", PAGES, ids=lambda banner: banner.key)
SOME = [COOKIECONSENT, OSANO_POPUP, REACT, TCF, GCM, WP]
some_banners = pytest.mark.parametrize("banner", SOME, ids=lambda banner: banner.key)


@pytest.fixture(scope="module")
def tyst(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A running server."""
    with served(tmp_path_factory.mktemp("banners"), TYST_FLUSH_SECONDS="0.05") as server:
        yield server


@pytest.fixture
def reader(new_person: NewPerson) -> Reader:
    """Somebody who has said nothing to any site yet."""
    return ChromiumTab(new_person())


@each_banner
def test_from_the_first_question_to_the_withdrawal(
    reader: Reader, recorder: Recorder, tyst: Served, banner: BannerPage
) -> None:
    """Undecided nothing is stored; after a yes the page, and the next. When the banner's memory has ended and it asks
    again, the old yes neither counts nor is erased; a new one counts. The withdrawal erases all, and nothing is stored
    after it."""
    site = Site(recorder, tyst, banner)
    site.go(reader, "/a")
    reader.wait_for(banner.shown)
    site.stays(reader)
    site.answer(reader, banner.accept)
    site.becomes("/a")
    site.go(reader, "/b")
    site.becomes("/a", "/b")
    reader.do(FORGET)
    site.go(reader, "/asks-again")
    reader.wait_for(banner.shown)
    site.stays(reader, "/a", "/b")
    site.answer(reader, banner.accept)
    site.becomes("/a", "/b", "/asks-again")
    site.answer(reader, banner.withdraw)
    site.becomes()
    site.go(reader, "/after")
    site.stays(reader)


@each_banner
def test_a_no_is_kept_until_the_banner_hears_a_yes(
    reader: Reader, recorder: Recorder, tyst: Served, banner: BannerPage
) -> None:
    """After a no nothing is stored, also when the banner asks again; then its yes counts the page that is open."""
    site = Site(recorder, tyst, banner)
    site.go(reader, "/a")
    reader.wait_for(banner.shown)
    site.answer(reader, banner.refuse)
    site.go(reader, "/b")
    site.stays(reader)
    reader.do(FORGET)
    site.go(reader, "/c")
    reader.wait_for(banner.shown)
    site.stays(reader)
    site.answer(reader, banner.accept)
    site.becomes("/c")


@pytest.mark.parametrize("banner", [COOKIECONSENT_2, OSANO_POPUP, REACT], ids=lambda banner: banner.key)
def test_where_pages_count_before_an_answer(
    reader: Reader, recorder: Recorder, tyst: Served, banner: BannerPage
) -> None:
    """Under `exempt` a yes changes nothing about a page that is counted, and the withdrawal erases all; nothing is
    stored after it."""
    site = Site(recorder, tyst, banner, policy="exempt")
    site.go(reader, "/a")
    reader.wait_for(banner.shown)
    site.becomes("/a")
    site.answer(reader, banner.accept)
    site.go(reader, "/b")
    site.becomes("/a", "/b")
    site.answer(reader, banner.withdraw)
    site.becomes()
    site.go(reader, "/c")
    site.stays(reader)


@pytest.mark.parametrize("banner", [COOKIECONSENT_2, OSANO_POPUP, REACT], ids=lambda banner: banner.key)
def test_where_pages_are_only_counted_without_a_yes(
    reader: Reader, recorder: Recorder, tyst: Served, banner: BannerPage
) -> None:
    """Under `limited` the open page counts once more with a yes; the withdrawal erases what the yes has added, and the
    anonymous counts stay and go on."""
    site = Site(recorder, tyst, banner, policy="limited")
    site.go(reader, "/a")
    reader.wait_for(banner.shown)
    site.becomes("/a")
    site.answer(reader, banner.accept)
    site.becomes("/a", "/a")
    site.go(reader, "/b")
    site.becomes("/a", "/a", "/b")
    site.answer(reader, banner.withdraw)
    site.becomes("/a", "/b")
    site.go(reader, "/c")
    site.becomes("/a", "/b", "/c")


@pytest.mark.parametrize("banner", [page for page in PAGES if page.asks_again], ids=lambda banner: banner.key)
def test_a_banner_whose_revision_is_raised_asks_again(
    reader: Reader, recorder: Recorder, tyst: Served, banner: BannerPage
) -> None:
    """A yes to what it asked before is none to what it asks now."""
    site = Site(recorder, tyst, banner)
    site.go(reader, "/a")
    site.answer(reader, banner.accept)
    site.becomes("/a")
    site.show(banner, banner.lines.replace("revision: 0", banner.asks_again))
    site.go(reader, "/b")
    reader.wait_for(banner.shown)
    site.stays(reader, "/a")
    site.answer(reader, banner.accept)
    site.becomes("/a", "/b")


@some_banners
def test_two_tabs_are_of_one_visitor(reader: Reader, recorder: Recorder, tyst: Served, banner: BannerPage) -> None:
    """A no in one tab and then a yes in the other: what was consented to stays, whatever the first tab does next. A
    withdrawal in the second ends the first as well."""
    site = Site(recorder, tyst, banner)
    site.go(reader, "/a")
    reader.wait_for(banner.shown)
    second = reader.another()
    site.go(second, "/b")
    second.wait_for(banner.shown)
    reader.show()
    site.answer(reader, banner.refuse)
    second.show()
    site.stays(second)
    site.answer(second, banner.accept)
    # Some banners tell the first tab, which counts its page then.
    until("the page of the second tab is stored", lambda: "/b" in site.stored())
    reader.show()
    site.settle(reader)
    reader.do("history.pushState({}, '', '/of-the-first')")
    site.settle(reader)
    assert "/b" in site.stored()
    second.show()
    site.answer(second, banner.withdraw)
    site.becomes()
    reader.show()
    reader.do("history.pushState({}, '', '/later')")
    site.stays(reader)


@some_banners
def test_a_withdrawal_on_a_page_that_is_not_counted_erases(
    reader: Reader, recorder: Recorder, tyst: Served, banner: BannerPage
) -> None:
    """It is the choice that is told, not the page."""
    site = Site(recorder, tyst, banner, 'data-exclude="/private*"')
    site.go(reader, "/a")
    site.answer(reader, banner.accept)
    site.becomes("/a")
    site.go(reader, "/private/b")
    site.stays(reader, "/a")
    site.answer(reader, banner.withdraw)
    site.becomes()


@pytest.mark.parametrize("consent_type", ["", "optout", "optin"])
def test_nobody_is_counted_who_was_not_asked(
    reader: Reader, recorder: Recorder, tyst: Served, consent_type: str
) -> None:
    """WP Consent API says yes for everybody where no banner is, or where visitors have to opt out."""
    site = Site(recorder, tyst, WP)
    site.show(WP, WP_CONSENT_API.replace("TYPE", consent_type))
    site.go(reader, "/a")
    assert reader.do("wp_has_consent('statistics')") is (consent_type != "optin")
    site.stays(reader)
    site.answer(reader, WP.accept)
    site.becomes("/a")
    site.answer(reader, WP.withdraw)
    site.becomes()
