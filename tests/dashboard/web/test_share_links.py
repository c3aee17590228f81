"""Figures for readers without an account: public dashboards, secret links, and frames in pages of others."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from clickhouse_connect.driver.client import Client

from collector.core.errors import RecordError
from collector.storage.client import ClickHouse
from collector.storage.documents import DocumentTable
from dashboard.access.api_keys import ApiKey
from dashboard.access.passwords import HashingBusy
from dashboard.access.share_links import MOST_SHARES, ShareLink, ShareLinks, read_ancestors
from dashboard.access.users import Role, User, Users
from tests.board import BASE, NOON, PASSWORD, SECRETS, SITE, Board, opened_board, pageview
from tests.length import long
from tests.markup import read

WORD = "open the quiet door"
TOKENS = Path(__file__).parents[3] / "dashboard/static/css/tokens.css"


@pytest.fixture
def board(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> Iterator[Board]:
    """A dashboard with one visited site and another, the admin signed in."""
    with opened_board(clickhouse, database, tmp_path) as opened:
        opened.add_site(SITE)
        opened.add_site("other.example")
        opened.seed([pageview(visitor, "/about" if visitor % 2 else "/") for visitor in range(1, 41)])
        opened.sign_in()
        yield opened


def make(board: Board, **form: str) -> str:
    """The path of a new link."""
    before = links(board.get(f"/{SITE}/sharing").text)
    answer = board.post(f"/{SITE}/sharing", {"name": "For Ada", **form})
    assert answer.status_code == 200, answer.text
    (found,) = links(answer.text) - before
    return found


def links(page: str) -> set[str]:
    """The paths of links on the page of them."""
    return set(re.findall(rf"{BASE}(/share/[\w-]{{32}})(?=[\"<?])", page))


@pytest.mark.parametrize("leaves", ["removed", "site", "role"])
def test_links_of_somebody_who_leaves_open_nothing(board: Board, leaves: str) -> None:
    """Whoever made a link knows it: it ends with what they may see. Links of others stay."""
    mine = make(board)
    board.add_user("olga", "owner", SITE)
    board.sign_in("olga")
    link = make(board)
    board.sign_in()
    if leaves == "removed":
        board.post("/users", {"act": "remove", "name": "olga"})
    elif leaves == "site":
        board.post(f"/{SITE}/people", {"act": "remove", "name": "olga"})
    else:
        anyio.run(board.dashboard.users.update, "olga", lambda user: msgspec.structs.replace(user, sites=()))
    noted = anyio.run(board.dashboard.changes.of, board.site())
    assert [
        (each.who, each.before) for each in noted if each.what == "Shared link revoked, as its creator lost access"
    ] == [("olga", "For Ada")]
    stranger(board)
    assert (board.get(link).status_code, board.get(mine).status_code) == (404, 200)


@pytest.mark.parametrize("leaves", ["removed", "site", "viewer"])
def test_no_link_is_made_by_somebody_who_leaves_meanwhile(board: Board, leaves: str) -> None:
    """While the link's password is hashed its maker may be removed: links end with the access, this one too."""
    users, site = board.dashboard.users, board.site()
    board.add_user("olga", "owner", SITE)
    board.sign_in("olga")

    async def leave() -> None:
        if leaves == "removed":
            await users.remove("olga")
        else:
            role: Role | None = "viewer" if leaves == "viewer" else None
            await users.update("olga", lambda user: user.with_role(site.id, role))

    board.while_hashing(leave)
    answer = board.post(f"/{SITE}/sharing", {"name": "For Ada", "password": "for Ada alone"})
    assert answer.status_code == 403
    assert not board.dashboard.shares.of(site)
    assert "Shared link created" not in [each.what for each in anyio.run(board.dashboard.changes.of, site)]


def test_nothing_is_made_by_somebody_who_was_removed_at_another_collector(board: Board, database: Client) -> None:
    """This one has not read it yet: neither a link nor an API key is left."""
    board.add_user("olga", "owner", SITE)
    board.sign_in("olga")
    elsewhere = Users(DocumentTable(database, "users", User))
    elsewhere.refresh()
    anyio.run(elsewhere.remove, "olga")
    assert board.post(f"/{SITE}/sharing", {"name": "For Ada"}).status_code == 403
    board.add_user("olle", "owner", SITE)
    board.sign_in("olle")
    elsewhere.refresh()
    anyio.run(elsewhere.remove, "olle")
    board.post("/account", {"act": "create_key", "key_name": "Report", "site": SITE})
    assert DocumentTable(database, "shares", ShareLink).all() == {}
    assert DocumentTable(database, "api_keys", ApiKey).all() == {}


@pytest.mark.parametrize("leaves", ["removed", "demoted"])
def test_whoever_is_not_wholly_gone_is_still_there(board: Board, database: Client, leaves: str) -> None:
    """A process may be killed at any step of it: links and keys that nobody sees any more would stay for good."""
    board.add_user("olga", "owner", SITE)
    board.sign_in("olga")
    make(board)
    board.post("/account", {"act": "create_key", "key_name": "Report", "site": SITE})
    users = board.dashboard.users
    steps: list[list[int]] = []

    def broken_off(_: User) -> None:
        left = [len(DocumentTable(database, *each).all()) for each in (("shares", ShareLink), ("api_keys", ApiKey))]
        steps.append(left)
        raise OSError("killed")

    users.access_reduced.append(broken_off)
    site_id = board.site().id

    async def leave() -> None:
        if leaves == "removed":
            await users.remove("olga")
        else:
            await users.update("olga", lambda user: user.with_role(site_id, None))

    with pytest.raises(OSError, match="killed"):
        anyio.run(leave)
    assert steps == [[0, 0]]
    left = DocumentTable(database, "users", User).get("olga")
    assert left is not None
    assert left.may_change(board.site())


def test_links_that_were_made_at_another_collector_end_with_access(board: Board, database: Client) -> None:
    """Just now: this one has not read them."""
    board.add_user("olga", "owner", SITE)
    sites, table = board.dashboard.sites, DocumentTable(database, "shares", ShareLink)
    elsewhere = ShareLinks(table, sites, SECRETS, board.clock)

    async def make_and_go() -> None:
        await elsewhere.create(board.site(), name="For Ada", by="olga")
        await board.dashboard.users.remove("olga")

    anyio.run(make_and_go)
    assert table.all() == {}


def test_links_of_somebody_who_becomes_a_viewer_stay(board: Board) -> None:
    """They show nothing that their maker does not see."""
    board.add_user("olga", "owner", SITE)
    board.sign_in("olga")
    link = make(board)
    board.sign_in()
    board.post(f"/{SITE}/people", {"act": "role", "name": "olga", "role": "viewer"})
    olga = board.dashboard.users.get("olga")
    assert olga is not None
    assert olga.role_on(board.site()) == "viewer"
    stranger(board)
    assert board.get(link).status_code == 200


def stranger(board: Board) -> None:
    """Go on as somebody without any cookie."""
    board.cookies.clear()


def test_a_secret_link_shows_the_figures_and_nothing_else(board: Board) -> None:
    """The report of that one site, without a way to anything that needs an account."""
    link = make(board)
    stranger(board)
    page = board.page(link)
    assert SITE in page.text
    assert page.attributes(id="figure-visitors")["href"].startswith(link)
    assert "noindex" in page.attributes(name="robots")["content"]
    assert [each.href for each in page.links if not each.href.startswith((link, "#"))] == []
    forms = [given["action"] for name, given in page.elements if name == "form"]
    assert [action for action in forms if not action.startswith((link, "/language"))] == []
    for path in ("/", f"/{SITE}", f"/{SITE}/status", f"/{SITE}/settings", f"/{SITE}/sharing"):
        assert board.get(path).status_code == 303


def test_guests_reach_every_report(board: Board) -> None:
    """Funnels, journeys and retention are in the navigation, below the link, and open without an account."""
    link = make(board)
    stranger(board)
    names = ["Dashboard", "Funnels", "Journeys", "Retention"]
    reports = {each.text: each.href for each in board.page(link).links if each.text in names}
    assert list(reports) == names
    for href in reports.values():
        assert href.startswith(link)
        assert board.get(href).status_code == 200


@long
def test_the_whole_state_is_in_the_address_below_the_link(board: Board) -> None:
    """Periods, tabs, filters and details of a shared view stay below it, and work there."""
    link = make(board)
    stranger(board)
    # The open day of few visitors is not told to guests.
    board.clock.now += 86_400
    seen, waiting = set[str](), [link]
    while waiting and len(seen) < 25:
        path = waiting.pop(0)
        seen.add(path)
        page = board.page(path)
        # Pages of the site itself open elsewhere, in tabs of their own.
        targets = [each.href for each in page.links if not each.href.startswith(("#", f"https://{SITE}/"))]
        assert [target for target in targets if not target.startswith(link)] == []
        waiting += [target for target in targets if target not in seen]
        # What scripts ask for stays there too.
        asked = [text for _, given in page.elements for text in given.values() if text.startswith((f"/{SITE}", BASE))]
        assert asked == [], path
    filtered = board.page(f"{link}?f=is,event:page,/about")
    assert "/about" in filtered.text
    assert any(each.href == link for each in filtered.links)
    details = board.page(f"{link}/details/pages")
    assert any(each.href.startswith(f"{link}?f=is,event:page,/about") for each in details.links)


def test_a_token_is_not_kept(board: Board) -> None:
    """Only its hash is: the database does not have it; yet its owner sees it again."""
    link = make(board)
    token = link.rpartition("/")[2]
    rows = board.database.query("SELECT record FROM shares").result_rows
    assert all(token not in record for (record,) in rows)
    assert links(board.get(f"/{SITE}/sharing").text) == {link}
    assert "For Ada" in board.page(f"/{SITE}/sharing").text


def test_a_link_outlives_a_change_of_the_secret(board: Board, database: Client) -> None:
    """It is shown while the secret before is known, and opens what it opened afterwards, too."""
    token = make(board).rpartition("/")[2]
    for keys, shown in (((*SECRETS, "another"), token), (("another",), None)):
        records = DocumentTable(database, "shares", ShareLink)
        later = ShareLinks(records, board.dashboard.sites, keys, board.clock)
        later.refresh()
        opened = later.opened(token)
        assert opened is not None
        assert later.token(opened[0]) == shown


def test_a_link_that_cannot_be_displayed_is_explained(board: Board) -> None:
    """Its token was random, as those of earlier versions."""
    share = ShareLink(id="0a1b2c3d", hash="0" * 64, site=board.site().id, name="Old", by="admin")
    DocumentTable(board.database, "shares", ShareLink).create("0a1b2c3d", share)
    board.dashboard.shares.refresh()
    assert "This link works but cannot be displayed" in board.page(f"/{SITE}/sharing").text


def test_a_revoked_link_opens_nothing(board: Board) -> None:
    """From the next request on; and it does not come back by having been used meanwhile."""
    link = make(board)
    shares = board.dashboard.shares
    (share,) = shares.of(board.site())
    board.clock.now += 86_400
    assert board.post(f"/{SITE}/sharing/revoke", {"id": share.id}).status_code == 303
    site = board.dashboard.sites.get(SITE)
    assert site is not None
    anyio.run(shares.note_use, share, site)
    shares.refresh()
    assert shares.of(board.site()) == []
    stranger(board)
    assert board.get(link).status_code == 404
    assert board.get(f"{link}/details/pages").status_code == 404


def test_a_link_is_over_after_its_last_day(board: Board) -> None:
    """By the site's clock: it opens until that day has passed."""
    today = datetime.date(2026, 5, 20)
    link = make(board, expires=str(today))
    stranger(board)
    assert board.get(link).status_code == 200
    board.clock.now += 43_200 - 1
    assert board.get(link).status_code == 200
    board.clock.now += 1
    assert board.get(link).status_code == 404
    board.sign_in()
    assert "expired" in board.page(f"/{SITE}/sharing").text


def test_the_day_of_the_last_use_is_shown(board: Board) -> None:
    """A day and no more: of who used it nothing is kept."""
    link = make(board)
    assert "Never used" in board.page(f"/{SITE}/sharing").text
    board.get(link)
    assert "Last used today" in board.page(f"/{SITE}/sharing").text
    board.clock.now += 86_400
    assert "Last used on 20 May 2026" in board.page(f"/{SITE}/sharing").text
    assert set(ShareLink.__struct_fields__) == {
        "id", "hash", "site", "name", "password", "expires", "ancestors", "created", "last_used", "by"
    }  # fmt: skip


def test_a_password_stands_before_the_figures(board: Board) -> None:
    """Every page below the link asks for it; the right one is remembered for that link alone, and for a while."""
    link, other = make(board, password=WORD), make(board, name="Another", password=f"{WORD} 2")
    stranger(board)
    for path in (link, f"{link}/details/pages", f"{link}?embed=true"):
        assert "This link is password-protected" in board.page(path).text
        assert "figure-visitors" not in board.get(path).text
    assert board.post(link, {"password": "wrong one"}).status_code == 401
    answer = board.post(f"{link}?period=7d", {"password": WORD})
    assert (answer.status_code, answer.headers["location"]) == (303, f"{link}?period=7d")
    cookie = answer.headers["set-cookie"]
    assert f"Path={link};" in cookie
    assert all(word in cookie for word in ("HttpOnly", "Secure", "SameSite=lax"))
    assert "figure-visitors" in board.get(link).text
    assert "This link is password-protected" in board.page(other).text


def test_passwords_cannot_be_tried_for_long(board: Board) -> None:
    """Ten for a link from one network; the right one then waits as well. Other links and networks are untouched."""
    link, other = make(board, password=WORD), make(board, name="Another", password=WORD)
    stranger(board)
    for number in range(10):
        assert board.post(link, {"password": "guess"}, peer="192.0.2.99").status_code == 401
        assert board.post(link, {"password": "guess"}, peer=f"2001:db8::{number:x}").status_code == 401
    assert board.post(link, {"password": WORD}, peer="2001:db8::ffff").status_code == 429
    assert board.post(link, {"password": WORD}, peer="192.0.2.1").status_code == 303
    stranger(board)
    refused = board.post(link, {"password": WORD}, peer="192.0.2.99")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "900")
    assert board.post(other, {"password": WORD}, peer="192.0.2.99").status_code == 303
    board.clock.now += 900
    assert board.post(link, {"password": WORD}, peer="192.0.2.99").status_code == 303


@pytest.mark.parametrize("what", ["link", "account"])
def test_passwords_that_were_not_checked_do_not_count(board: Board, what: str) -> None:
    """While too many are being hashed, trying again locks nobody out."""
    link = make(board, password=WORD)
    form = {"act": "password", "old": PASSWORD, "password": "another quiet one"}
    path, form = (link, {"password": WORD}) if what == "link" else ("/account", form)
    matches = board.dashboard.passwords.matches

    async def busy(_: str | None, __: str) -> bool:
        raise HashingBusy

    object.__setattr__(board.dashboard.passwords, "matches", busy)
    assert {board.post(path, form).status_code for _ in range(11)} == {503}
    object.__setattr__(board.dashboard.passwords, "matches", matches)
    assert board.post(path, form).status_code == 303


def test_a_link_without_a_password_needs_none(board: Board) -> None:
    """Whoever sends one all the same is led to the figures."""
    link = make(board)
    stranger(board)
    answer = board.post(link, {"password": WORD})
    assert (answer.status_code, answer.headers["location"]) == (303, link)


def test_passwords_come_from_the_page_itself(board: Board) -> None:
    """A form elsewhere cannot send one."""
    link = make(board, password=WORD)
    stranger(board)
    answer = board.post(link, {"password": WORD}, headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 403


def test_unknown_tokens_keep_nobody_from_a_valid_link(board: Board) -> None:
    """Any web page can make the browsers of an office request unknown ones."""
    link = make(board)
    stranger(board)
    assert {board.get(f"/share/guess{number}").status_code for number in range(100)} == {404}
    assert board.get(link).status_code == 200


def test_a_link_goes_with_its_site(board: Board) -> None:
    """One to a site that was deleted opens nothing, not even when a site of the same name is added later."""
    link = make(board)
    site = board.dashboard.sites.get(SITE)
    assert site is not None
    anyio.run(board.dashboard.sites.remove, SITE)
    stranger(board)
    assert board.get(link).status_code == 404
    board.add_site(SITE)
    assert board.get(link).status_code == 404
    assert board.dashboard.shares.of(board.site()) == []


def test_a_link_follows_a_site_to_its_new_name(board: Board) -> None:
    """Whoever has it sees the same figures."""
    make(board)
    renamed = board.dashboard.sites.rename_now(board.site(), "other.example")
    assert [share.name for share in board.dashboard.shares.of(renamed)] == ["For Ada"]


def test_another_worker_agrees(board: Board, database: Client) -> None:
    """A link made here opens there after the next refresh, and a revoked one does not."""
    token = make(board).rpartition("/")[2]
    elsewhere = ShareLinks(DocumentTable(database, "shares", ShareLink), board.dashboard.sites, SECRETS, board.clock)
    elsewhere.refresh()
    opened = elsewhere.opened(token)
    assert opened is not None
    anyio.run(board.dashboard.shares.revoke, board.site(), opened[0].id)
    elsewhere.refresh()
    assert elsewhere.opened(token) is None


# ---- Frames


def test_only_named_origins_may_embed(board: Board) -> None:
    """The embedded view names them, and no other page and no other view of the link may be in a frame."""
    link = make(board, ancestors="https://www.example.com https://*.partner.example:8443")
    stranger(board)
    embedded = board.get(f"{link}?embed=true")
    policy = embedded.headers["content-security-policy"]
    assert "frame-ancestors https://www.example.com https://*.partner.example:8443;" in policy
    assert "x-frame-options" not in embedded.headers
    assert embedded.headers["cross-origin-resource-policy"] == "cross-origin"
    assert "set-cookie" not in embedded.headers
    plain = board.get(link)
    assert "frame-ancestors 'none';" in plain.headers["content-security-policy"]
    assert plain.headers["x-frame-options"] == "DENY"


def test_without_an_origin_nobody_embeds(board: Board) -> None:
    """As it is for a new link."""
    link = make(board)
    stranger(board)
    answer = board.get(f"{link}?embed=true")
    assert "frame-ancestors 'none';" in answer.headers["content-security-policy"]
    assert answer.headers["x-frame-options"] == "DENY"


def test_an_embedded_view_has_neither_head_nor_foot_and_stays_embedded(board: Board) -> None:
    """Only the figures; every link keeps that and the colours."""
    link = make(board, ancestors="https://www.example.com")
    stranger(board)
    page = board.page(f"{link}?embed=true&theme=dark")
    assert [name for name, _ in page.elements if name in ("header",)] == []
    assert ("html", {"lang": "en", "data-theme": "dark"}) in page.elements
    for each in page.links:
        assert each.href.startswith("#") or ("embed=true" in each.href and "theme=dark" in each.href), each
    hidden = [given for name, given in page.elements if name == "input" and given.get("name") == "embed"]
    assert hidden
    assert "data-theme" not in dict(board.page(f"{link}?embed=true&theme=pink").elements)["html"]


def test_each_colour_is_written_once_for_light_and_dark() -> None:
    """One palette: every colour names both of its values, and the scheme alone decides between them."""
    css = TOKENS.read_text()
    colours = re.findall(r"--[\w-]+: [^;]*(?:#|rgb)[^;]+;", css)
    assert len(colours) > 20
    assert [colour for colour in colours if "light-dark(" not in colour] == []
    assert "prefers-color-scheme" not in css


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("", ()),
        ("https://www.example.com", ("https://www.example.com",)),
        ("www.example.com, HTTP://Other.Example/", ("https://www.example.com", "http://other.example")),
        ("https://a.example https://a.example", ("https://a.example",)),
        ("https://*.example.com:8443", ("https://*.example.com:8443",)),
        ("http://localhost:3000", ("http://localhost:3000",)),
        ("https://blåbär.example", ("https://xn--blbr-noae.example",)),
    ],
)
def test_origins_are_read(text: str, origins: tuple[str, ...]) -> None:
    """One or several, with a scheme or without."""
    assert read_ancestors(text) == origins


@pytest.mark.parametrize(
    "text",
    ["*", "https://*", "https:", "'self'", "https://a.example;", "https://a.example;script-src", "https://a.example/x",
     "https://a.example\r\nx-y:z", "javascript://a.example", "https://a..example", "https://user@a.example", "data:",
     "https://-a.example", "https://" + "a" * 300, " ".join(f"https://a{n}.example" for n in range(11))],
)  # fmt: skip
def test_what_is_no_origin_is_refused(text: str) -> None:
    """Nothing that could end the directive, begin another, or let everybody in."""
    with pytest.raises(RecordError):
        read_ancestors(text)


# ---- The page for owners


WRONG = (
    ({"name": ""}, "Enter 1 to 100 characters"),
    ({"expires": "2026-05-19"}, "Enter a date that is not in the past"),
    ({"expires": "soon"}, "Enter a day such as"),
    ({"password": "short"}, "Enter 8 to 1000 characters"),
    ({"ancestors": "*"}, "Enter origins such as"),
    ({"ancestors": "https://a.example", "password": WORD}, "A link with a password cannot be embedded"),
)


def test_a_link_that_cannot_be_made_is_explained(board: Board) -> None:
    """The form comes back as it was filled in, without the password."""
    for form, problem in WRONG:
        answer = board.post(f"/{SITE}/sharing", {"name": "For Ada", **form})
        assert answer.status_code == 422
        page = read(answer.text)
        assert problem in page.text
        assert page.attributes(id="name")["value"] == form.get("name", "For Ada")
        assert WORD not in answer.text
    assert board.dashboard.shares.of(board.site()) == []


@long
def test_a_site_has_a_bounded_number_of_links(board: Board) -> None:
    """The hundredth is the last."""

    async def fill(count: int) -> None:
        site = board.dashboard.sites.get(SITE)
        assert site is not None
        for number in range(count):
            await board.dashboard.shares.create(site, name=str(number))

    anyio.run(fill, MOST_SHARES)
    with pytest.raises(RecordError):
        anyio.run(fill, 1)


def test_only_owners_share(board: Board) -> None:
    """Viewers neither see the links nor make or revoke any; owners do so for their own sites."""
    make(board)
    (share,) = board.dashboard.shares.of(board.site())
    board.add_user("vera", "viewer", SITE)
    board.add_user("olle", "owner", "other.example")
    for name, status in (("vera", 403), ("olle", 404)):
        board.sign_in(name)
        assert board.get(f"/{SITE}/sharing").status_code == status
        assert board.post(f"/{SITE}/sharing", {"name": "x"}).status_code == status
        assert board.post(f"/{SITE}/sharing/revoke", {"id": share.id}).status_code == status
    assert board.post("/other.example/sharing/revoke", {"id": share.id}).status_code == 404
    assert board.dashboard.shares.of(board.site()) == [share]


def test_what_is_shared_is_noted(board: Board) -> None:
    """Who made a link and who revoked it stands in the list of changes, under the link's name."""
    make(board)
    (share,) = board.dashboard.shares.of(board.site())
    board.post(f"/{SITE}/sharing/revoke", {"id": share.id})
    noted = anyio.run(board.dashboard.changes.of, board.site())
    assert {(each.who, each.what, each.before, each.after) for each in noted} >= {
        ("admin", "Shared link created", "", "For Ada"),
        ("admin", "Shared link revoked", "For Ada", ""),
    }


# ---- Public dashboards


def publish(board: Board, **settings: Any) -> None:
    """Make the site public."""
    board.add_site("public.example", public=True, **settings)
    board.seed([pageview(visitor, "/", site="public.example") for visitor in range(1, 9)])
    stranger(board)


def test_guests_may_set_fewer_filters_than_members(board: Board) -> None:
    """Each link of a page repeats them all: a stranger must not have pages of megabytes made."""
    publish(board)
    some = [f"f=is_not,event:page,/{number}" for number in range(50)]
    many = [*some, "f=is_not,event:page,/more"]
    long = [f"f=is_not,event:page,/{number}{'x' * 1_300}" for number in range(2)]
    various = [f"f=is_not,event:props:{number},x" for number in range(11)]
    assert board.get(f"/public.example?{'&'.join(some)}").status_code == 200
    for filters in (many, long, various):
        assert board.get(f"/public.example?{'&'.join(filters)}").status_code == 400
        assert board.get(f"/public.example/details/pages.csv?{'&'.join(filters)}").status_code == 400


def test_a_public_dashboard_is_read_by_anybody(board: Board) -> None:
    """The figures and their details; everything else asks for an account, and search engines are sent away."""
    publish(board)
    page = board.page("/public.example")
    assert "8" in page.text
    assert "noindex" in page.attributes(name="robots")["content"]
    assert page.link("Sign in") == "/login?next=/public.example"
    assert board.get("/public.example/details/pages").status_code == 200
    for path in ("status", "consent", "install", "settings", "sharing"):
        assert board.get(f"/public.example/{path}").status_code == 303
        assert f"/public.example/{path}" not in {each.href for each in page.links}
    for path in ("settings", "delete", "sharing", "install/check", "notes"):
        assert board.post(f"/public.example/{path}", {}).status_code in (303, 404, 405)
    assert board.get(f"/{SITE}").status_code == 303


def test_whoever_is_signed_in_reads_public_dashboards_too(board: Board) -> None:
    """As a guest where the site is not theirs, as themselves where it is."""
    publish(board)
    board.add_user("vera", "viewer", SITE)
    board.sign_in("vera")
    assert "Sign in" in board.page("/public.example").text
    board.add_user("olle", "owner", "public.example")
    board.sign_in("olle")
    assert board.page("/public.example").link("Settings") == "/public.example/settings"


def test_small_groups_are_protected_from_guests(board: Board) -> None:
    """A filter down to two visitors tells nothing, in public and behind a link alike."""
    board.seed([pageview(visitor, "/secret") for visitor in (90, 91)])
    link = make(board)
    stranger(board)
    page = board.page(f"{link}?f=is,event:page,/secret")
    assert page.attributes(id="figure-visitors")
    figure = re.search(
        r'id="figure-visitors".*?<strong title="(\w+)"', board.get(f"{link}?f=is,event:page,/secret").text, re.S
    )
    assert figure is not None
    assert figure[1] == "0"


def test_times_are_the_boards(board: Board) -> None:
    """The link's beginning is kept in Unix seconds."""
    make(board)
    assert [share.created for share in board.dashboard.shares.of(board.site())] == [NOON]
