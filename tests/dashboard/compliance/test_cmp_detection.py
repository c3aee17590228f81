"""The data file of consent banners, its documentation, and what the check says of a page with each."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import msgspec
import pytest

from collector.ingest.payload_fields import evidence_of
from collector.sites.model import Site
from dashboard.compliance.health_report import Check
from dashboard.compliance.site_check.cmp_detection import ADAPTERS, BANNERS, FUNCTIONS, Banner, load_banners
from dashboard.compliance.site_check.fetcher import Fetched
from dashboard.compliance.site_check.findings import findings
from dashboard.compliance.site_check.html_scan import read_source
from dashboard.compliance.site_check.page_inspection import PageInspection
from dashboard.compliance.site_check.tag_finder import find_tags
from dashboard.compliance.site_check.tag_snippets import script_lines, tag_of

ROOT = Path(__file__).parents[3]
DOCUMENT = (ROOT / "docs" / "banners.md").read_text()
PAGES = Path(__file__).parents[2] / "fixtures" / "banners"
SITE = Site(domain="example.com")
BASE = "https://stats.example.net/"
TAG = tag_of(SITE, BASE)
each_banner = pytest.mark.parametrize("banner", BANNERS.values(), ids=BANNERS)


def test_banners_are_sorted_by_name() -> None:
    """As the installation page and the documentation list them; no name is there twice."""
    names = [banner.name.casefold() for banner in BANNERS.values()]
    assert names == sorted(set(names))
    assert all(re.fullmatch(r"[a-z0-9-]+", key) for key in BANNERS)


def test_a_misspelt_field_is_refused(tmp_path: Path) -> None:
    """And so is what lacks a field."""
    for text in (
        'name = "A"\ncmp = "a"\ntested = "package"\nscipt = ""',
        'name = "A"\ncmp = "a"',
        'name = "A"\ntested = "no"',
    ):
        (tmp_path / "banners.toml").write_text(f"[a]\n{text}\n")
        with pytest.raises(msgspec.ValidationError):
            load_banners(tmp_path / "banners.toml")


def test_a_banner_is_followed_by_the_snippet_or_by_a_function() -> None:
    """Every `data-cmp` is one that the snippet has, or a function of the banner's lines that evidence can name."""
    assert all(banner.script or banner.cmp in ADAPTERS for banner in BANNERS.values())
    assert len(FUNCTIONS) == len([banner for banner in BANNERS.values() if banner.script])
    for banner in FUNCTIONS.values():
        assert re.findall(r"^function (\w+)\(\) \{", banner.script, flags=re.MULTILINE) == [banner.cmp]
        assert evidence_of(banner.cmp) == (banner.cmp, False)
        assert banner.cmp not in ADAPTERS
    for banner in BANNERS.values():
        assert set(banner.also) <= set(ADAPTERS)


@pytest.mark.parametrize("banner", FUNCTIONS.values(), ids=FUNCTIONS)
def test_functions_are_plain_javascript(banner: Banner) -> None:
    """What tag managers take, and what no form of the tag has to escape."""
    for newer in ("=>", "?.", "??", "`", "let ", "const ", "${", "</"):
        assert newer not in banner.script


@each_banner
def test_a_page_with_the_banner_is_recognised(banner: Banner) -> None:
    """The check names it before all else, and prints what to put in place of the tag; with that, all is well."""
    page = (PAGES / f"{banner.key}.html").read_text()
    found = finding(page.replace("</head>", f"{TAG}\n</head>"))
    assert found.state == "failed"
    assert found.found.startswith(f"The page has a banner ({banner.name}")
    assert found.code == "\n".join([*script_lines(banner.key), tag_of(SITE, BASE, banner.key)])
    assert banner.adapt in found.advice
    followed = finding(page.replace("</head>", f"{found.code}\n</head>"))
    assert (followed.state, followed.found) == ("ok", f"The tag follows {name_of(banner)}.")
    assert finding(page).state == "warning"


def name_of(banner: Banner) -> str:
    return banner.name if banner.script else ADAPTERS[banner.cmp].name


def finding(page: str) -> Check:
    """What is said of the page's banner."""
    source = read_source(page)
    answer = Fetched(httpx.URL("https://example.com/"), 200, httpx.Headers(), page, whole=True)
    script = Fetched(httpx.URL(f"{BASE}js/tyst.js"), 200, httpx.Headers(), "tyst_consent", whole=True)
    (found,) = [
        check
        for check in findings(PageInspection(SITE, BASE, answer, source, find_tags(source), script))
        if check.name == "Banner"
    ]
    return found


def test_every_fixture_is_of_a_banner() -> None:
    """No more and no less."""
    assert {path.stem for path in PAGES.glob("*.html")} == set(BANNERS)


@each_banner
def test_the_documentation_has_every_banner(banner: Banner) -> None:
    """A section by its name, with the lines to use word for word, how visitors withdraw, and what was run."""
    _, heading, rest = DOCUMENT.partition(f"\n### {banner.name}\n")
    assert heading
    section = re.split(r"\n##", rest)[0]
    assert f'data-cmp="{banner.cmp}"' in section
    assert banner.script in section
    assert "Withdrawal:" in section
    ran = "Run: the banner itself" if banner.tested == "package" else "Run: a stand-in"
    assert ran in section


def test_the_documentation_has_no_other_banner() -> None:
    """And lists them in the order of the file."""
    section = DOCUMENT.split("\n## The banners\n")[1].split("\n## ")[0]
    assert re.findall(r"^### (.+)$", section, flags=re.MULTILINE) == [banner.name for banner in BANNERS.values()]
