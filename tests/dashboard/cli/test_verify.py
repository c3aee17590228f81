"""`tyst verify`: the running server looks at a page, and the command says what it found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import Ran, tyst
from tests.served import Served, served
from tests.website import Website, website


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that may look at websites on this machine, with two sites."""
    with served(tmp_path_factory.mktemp("verify"), TYST_VERIFY_NETWORKS="127.0.0.0/8") as running:
        running.add_site("example.com")
        running.add_site("127.0.0.1", consent="exempt")
        yield running


@pytest.fixture
def site() -> Iterator[Website]:
    """A website."""
    with website() as running:
        yield running


def verify(server: Served, *arguments: str) -> Ran:
    return tyst("verify", *arguments, directory=Path.cwd(), TYST_DATA_DIR=str(server.data_dir), NO_COLOR="1")


def test_a_good_page_ends_with_status_zero(server: Served, site: Website) -> None:
    """Each finding is a line; the site is the one whose name the address has."""
    site.page(
        "/", f'<script defer data-domain="127.0.0.1" data-consent="exempt" src="{server.url}/js/tyst.js"></script>'
    )
    ran = verify(server, f"{site.url}/")
    assert (ran.status, ran.err) == (0, "")
    assert [line.split()[:2] for line in ran.out.splitlines()[2:] if line.startswith("ok")] == [
        ["ok", "Page"], ["ok", "Tag"], ["ok", "Domain"], ["ok", "Script"], ["ok", "Policy"]
    ]  # fmt: skip


def test_a_page_to_mend_ends_with_status_one(server: Served, site: Website) -> None:
    """With what to do; as JSON for programs."""
    site.page("/", "<title>Nothing here</title>")
    ran = verify(server, f"{site.url}/", "--site", "example.com")
    assert ran.status == 1
    assert "The page has no tag." in ran.out
    found = verify(server, f"{site.url}/", "--site", "example.com", "--json")
    assert (found.status, {(each["name"], each["state"]) for each in found.json}) == (
        1, {("Page", "ok"), ("Tag", "failed"), ("Banner", "warning")}
    )  # fmt: skip


def test_what_cannot_be_looked_at_is_said(server: Served) -> None:
    """A page inside another network, a site that is not there, an address of no site."""
    ran = verify(server, "http://10.0.0.1/", "--site", "example.com")
    assert (ran.status, "public address" in " ".join(ran.out.split())) == (1, True)
    ran = verify(server, "https://example.com/", "--site", "exampel.com")
    assert (ran.status, "Did you mean example.com?" in ran.err) == (1, True)
    ran = verify(server, "https://elsewhere.example/")
    assert (ran.status, "name one with --site" in ran.err) == (1, True)
    assert verify(server).status == 2
