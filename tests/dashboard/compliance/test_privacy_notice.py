"""The privacy notice: complete, in both languages, from the settings alone, with a version and its changes."""

from __future__ import annotations

import hashlib
import html.parser
import re
from pathlib import Path

import msgspec
import pytest
from clickhouse_connect.driver.client import Client

from collector.core.errors import RecordError
from collector.sites.model import POLICIES, Site, checked
from collector.storage.documents import DocumentTable
from dashboard.api.privacy import write_notice
from dashboard.compliance.notice_versions import History, NoticeVersions
from dashboard.compliance.privacy_notice import EDITION, NoticeVersion, changed, facts_of, sections
from dashboard.compliance.privacy_notice_texts import english, notice_texts
from dashboard.compliance.visitor_privacy_texts import page_texts
from dashboard.i18n.translations import SHIPPED, Translations, using
from tests.collector.spool.test_spool import Clock
from tests.running import tyst
from tests.served import served

SITE = Site(
    domain="site.test",
    timezone="Europe/Stockholm",
    controller="Föreningen <b>Sol</b> & Vind",
    contact="hej@site.test",
    hosting="Sverige, egen maskin",
)
PAGE = "https://stats.test/privacy/site.test"
FIRST = NoticeVersion(1, 1_772_366_400, facts_of(SITE))


def text_of(site: Site, language: str) -> str:
    """All paragraphs and items of a notice."""
    return "\n".join(
        line
        for section in sections(facts_of(site), language, PAGE)
        for line in (section.title, *section.paragraphs, *section.items)
    )


@pytest.mark.parametrize("language", ["en", "sv"])
@pytest.mark.parametrize("policy", POLICIES)
def test_a_notice_says_all_that_article_13_asks_for(language: str, policy: str) -> None:
    """Who, why, what, legal basis, how long, who gets it, rights, complaints; and no blank is left."""
    site = msgspec.structs.replace(SITE, consent=policy)
    text = text_of(site, language)
    wanted = [SITE.controller, SITE.contact, SITE.hosting, PAGE, "25 m", "imy.se", "Integritetsskyddsmyndigheten"]
    wanted += ["6.1" if language == "sv" else "6(1)", "tyst_consent", "Global Privacy Control", "JSON"]
    for part in wanted:
        assert part in text, part
    assert "{" not in text
    assert "[" not in text
    assert len(sections(facts_of(site), language, PAGE)) == 10


@pytest.mark.parametrize("language", ["en", "sv"])
def test_what_only_the_operator_knows_is_marked_where_it_is_missing(language: str) -> None:
    """Three blanks, each in brackets."""
    assert len(re.findall(r"\[[^]]+\]", text_of(Site(domain="site.test"), language))) == 3


def test_the_legal_basis_follows_the_policy() -> None:
    """Consent where that is asked for, a legitimate interest where it is not, both where both lanes are used."""
    basis = {
        policy: (
            "6(1)(a)" in text_of(msgspec.structs.replace(SITE, consent=policy), "en"),
            "6(1)(f)" in text_of(msgspec.structs.replace(SITE, consent=policy), "en"),
        )
        for policy in POLICIES
    }
    assert basis == {"required": (True, False), "limited": (True, True), "exempt": (False, True)}


def test_today_only_is_said_as_such() -> None:
    """One day of retention is until the day is over."""
    text = text_of(msgspec.structs.replace(SITE, retention_days=1), "en")
    assert english().kept_today in text
    assert "1 days" not in text


def test_both_languages_say_the_same_things() -> None:
    """The same number of points in each list, the same names of facts, the same words on the page."""
    ours, swedish = (msgspec.structs.asdict(notice_texts(language)) for language in ("en", "sv"))
    for name, value in ours.items():
        assert type(swedish[name]) is type(value), name
        if not isinstance(value, str):
            assert len(swedish[name]) == len(value), name
    assert list(ours["labels"]) == list(swedish["labels"])
    assert set(page_texts("en")) == set(page_texts("sv"))
    assert len([name for name, text in page_texts("en").items() if text == page_texts("sv")[name]]) < 5
    for name, text in page_texts("en").items():
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", page_texts("sv")[name])), name


def test_a_third_language_is_a_catalogue_alone(tmp_path: Path) -> None:
    """The page and the notice are in every language that there is a catalogue of; what it lacks is in English."""
    text = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\nmsgid "Your choice"\nmsgstr "Ihre Wahl"\n'
    text += '\nmsgid "Server: {hosting}."\nmsgstr "Standort: {hosting}."\n'
    (tmp_path / "de.po").write_text(text, "utf-8")
    with using("de", Translations(SHIPPED, tmp_path)):
        assert page_texts("de")["choice_title"] == "Ihre Wahl"
        assert page_texts("de")["erase"] == page_texts("en")["erase"]
        assert page_texts("sv")["choice_title"] == "Ditt val"
        assert "Standort: Sverige, egen maskin." in text_of(SITE, "de")
        assert notice_texts("de").complaint == english().complaint


class Tags(html.parser.HTMLParser):
    """Which tags are open, and which there were."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 # its signature
        self.open.append(tag)
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("language", ["en", "sv"])
def test_what_the_owner_wrote_is_text_in_either_format(language: str) -> None:
    """No tag of theirs becomes one of the page's; every tag of ours is closed."""
    page = write_notice(SITE, [FIRST], language, "html", PAGE).text
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert set(tags.seen) == {"h1", "h2", "p", "ul", "li"}
    assert "&lt;b&gt;Sol&lt;/b&gt; &amp; Vind" in page
    plain = write_notice(SITE, [FIRST], language, "md", PAGE).text
    assert "<b>" not in plain
    assert plain.startswith("# ")


@pytest.mark.parametrize("page", [write_notice(SITE, [FIRST], "sv", kind, PAGE).text for kind in ("md", "html")])
def test_every_notice_ends_with_its_version(page: str) -> None:
    """Its number, what tells it from others, its date, and the changes."""
    assert f"Version 1 ({FIRST.facts.digest}), gäller sedan 1 mars 2026." in page
    assert "Version 1, 1 mars 2026: första versionen" in page


@pytest.mark.anyio
async def test_a_changed_setting_makes_a_new_version_that_says_what_changed(database: Client) -> None:
    """Numbers count on; what does not concern the notice changes nothing; a new process knows the old ones."""
    clock = Clock()
    editions = NoticeVersions(DocumentTable(database, "notices", History), clock)
    assert [edition.number for edition in await editions.of(SITE)] == [1]
    shorter = msgspec.structs.replace(SITE, retention_days=1, min_visitors=9)
    clock.now += 86_400
    assert [edition.number for edition in await editions.of(shorter)] == [1, 2]
    editions.note([msgspec.structs.replace(shorter, min_visitors=3, rate_limit=7)])
    known = await NoticeVersions(DocumentTable(database, "notices", History), clock).of(shorter)
    assert [edition.number for edition in known] == [1, 2]
    assert changed(known[0].facts, known[1].facts, "en") == ["Days that single events are kept: 760 → 1"]
    assert write_notice(shorter, known, "en", "md", PAGE).changes == [
        "Version 2, 2 Mar 2026: Days that single events are kept: 760 → 1",
        "Version 1, 1 Mar 2026: first version",
    ]


@pytest.mark.anyio
async def test_settings_that_are_changed_again_and_again_fill_no_page(database: Client) -> None:
    """The oldest versions go, numbers count on, and the newest say what they changed. The longest version that there
    may be is kept beside the one before it."""
    records = DocumentTable(database, "notices", History)
    editions, ours = NoticeVersions(records, Clock()), tuple[NoticeVersion, ...]()
    for number in range(200):
        keys = tuple(f"{name:060d}" for name in range(20)) if number % 2 else ()
        ours = await editions.of(msgspec.structs.replace(SITE, controller=f"number {number}", query_keys=keys))
    assert [edition.number for edition in ours] == list(range(201 - len(ours), 201))
    assert 20 <= len(ours) <= 100
    notice = write_notice(SITE, ours, "en", "md", PAGE)
    assert len(notice.text) < 200_000
    assert (len(notice.changes), notice.version) == (len(ours), 200)
    assert "number 198 → number 199" in notice.changes[0]
    assert notice.changes[-1] == f"Version {201 - len(ours)}, 1 Mar 2026: …"
    longest = tuple("ü" * 290 + str(name) for name in range(200))
    found = await editions.of(msgspec.structs.replace(SITE, query_keys=longest))
    assert [edition.number for edition in found] == [200, 201]


@pytest.mark.anyio
async def test_a_revised_text_makes_a_new_version(database: Client) -> None:
    """Also of a notice that was stored under the first text, which is kept as none."""
    records, clock = DocumentTable(database, "notices", History), Clock()
    records.save("site.test", History((NoticeVersion(1, 0, msgspec.structs.replace(FIRST.facts, edition=1)),)))
    editions = await NoticeVersions(records, clock).of(SITE)
    assert [(edition.number, edition.facts.edition) for edition in editions] == [(1, 1), (2, EDITION)]
    assert write_notice(SITE, editions, "en", "md", PAGE).changes[0].endswith(english().reworded)


def test_who_changes_the_text_says_so() -> None:
    """Words that differ are another edition: then raise `EDITION`, and put its words' digest here."""
    said = msgspec.json.encode([msgspec.structs.asdict(words) for words in (notice_texts("en"), notice_texts("sv"))])
    assert (EDITION, hashlib.sha256(said).hexdigest()[:16]) == (10, "b45f3762536e1cc2")


@pytest.mark.parametrize("field", ["controller", "contact", "hosting"])
def test_what_the_operator_says_is_one_line(field: str) -> None:
    """No line break, no control character, no novel."""
    for text in ("a\nb", "a\x00b", "x" * 301):
        with pytest.raises(RecordError, match=field):
            checked(msgspec.structs.replace(SITE, **{field: text}))


def test_the_command_prints_the_notice(tmp_path: Path) -> None:
    """Text on standard output, what is missing beside it; with the settings given nothing is missing."""
    with served(tmp_path) as server:
        environ = {"TYST_DATA_DIR": str(server.data_dir)}
        server.add_site("site.test")
        bare = tyst("notice", "site.test", "--lang", "sv", directory=tmp_path, **environ)
        assert bare.status == 0
        assert bare.out.startswith("# Så räknas besök på site.test\n")
        assert "--controller" in bare.err
        options = ("--controller", "Sol AB", "--contact", "hej@site.test", "--hosting", "Sverige")
        assert tyst("site", "set", "site.test", *options, directory=tmp_path, **environ).status == 0
        ran = tyst("notice", "site.test", "--format", "html", "--url", "https://s.test", directory=tmp_path, **environ)
        assert (ran.status, ran.err) == (0, "")
        assert "Sol AB" in ran.out
        assert "https://s.test/privacy/site.test" in ran.out
        assert "Version 2," in ran.out
        unknown = tyst("notice", "sitte.test", directory=tmp_path, **environ)
        assert unknown.status == 1
        assert "site.test" in unknown.err
