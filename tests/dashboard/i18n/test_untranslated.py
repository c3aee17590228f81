"""Nothing that a reader sees escapes translation, and what is translated is whole."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po, write_po
from clickhouse_connect.driver.client import Client

from collector.enrichment.channels import CHANNELS
from collector.storage.client import ClickHouse
from dashboard.compliance.site_check.cmp_detection import BANNERS
from dashboard.compliance.site_check.platforms import PLATFORMS
from dashboard.i18n.catalogues import TEMPLATE, extracted, updated, written
from dashboard.i18n.translations import SHIPPED, Translations
from dashboard.reports import labels
from tests import plain_words
from tests.board import NOON, SITE, Board, opened_board, pageview

TEMPLATES = Path(__file__).parents[3] / "dashboard/templates"
LANGUAGES = sorted(path.stem for path in SHIPPED.glob("*.po"))
REMEDY = "make catalogues, then fill in what is empty in dashboard/languages"


@pytest.fixture(scope="module")
def texts() -> Catalog:
    """Every text that the code marks."""
    return extracted()


@pytest.mark.parametrize("template", sorted(TEMPLATES.glob("*.html")), ids=lambda path: path.name)
def test_templates_have_no_words_of_their_own(template: Path) -> None:
    """Texts, and attributes that are read out, are given to the catalogue."""
    assert plain_words.written(template.read_text()) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("<p>Hello</p>", ["Hello"]),
        ('<p>{{ _("Hello") }}</p>', []),
        ("<p>{% trans %}Hello <b>you</b>{% endtrans %}</p>", []),
        ('<a title="Hello" class="hello" href="/hello">{{ name }}</a>', ["Hello"]),
        ('<a class="{{ "good" if x else "bad" }}">{{ "yes" if x else _("no") }}</a>', ["yes"]),
        ('<p>{{ {"a": "Only this"}[x] }}</p>{{ "of " ~ x }}', ["Only this", "of"]),
        ('{% set title = "Hello" %}{% set kind = "hello" %}', ["Hello"]),
        ('{% for a in ("Hello", "hello") %}{{ a }}{% endfor %}', ["Hello"]),
        ('{{ f("Hello") }}{{ f("hello") }}', ["Hello"]),
        ('<input type="submit" value="Send"><input type="text" value="Send">', ["Send"]),
        ("<code>Hello</code><p>tyst</p>", []),
        ('<p data-say="Two words" data-name="one"></p>', ["Two words"]),
    ],
)
def test_words_of_a_template_are_found(source: str, found: list[str]) -> None:
    """In texts, attributes, branches, tables, loops and what macros are given; names that no reader sees are not."""
    assert plain_words.written(source) == found


def test_the_catalogues_are_those_of_the_code(texts: Catalog) -> None:
    """The template and every catalogue have exactly the texts that the code marks."""
    assert TEMPLATE.read_bytes() == written(texts), REMEDY
    for code in LANGUAGES:
        path = SHIPPED / f"{code}.po"
        assert path.read_bytes() == written(updated(path, texts)), REMEDY


@pytest.mark.parametrize("code", LANGUAGES)
def test_the_row_of_small_groups_has_no_invisible_characters(code: str) -> None:
    """A value that reads like that row is put in quotation marks, so the two are compared as they are seen."""
    with (SHIPPED / f"{code}.po").open("rb") as file:
        message = read_po(file, locale=code).get("Other (grouped for privacy)")
    assert message is not None
    assert str(message.string).isprintable()


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_language_is_complete(code: str, texts: Catalog) -> None:
    """No text is missing, doubtful or empty, and each keeps the names that are filled in, and its markup."""
    with (SHIPPED / f"{code}.po").open("rb") as file:
        catalogue = read_po(file, locale=code)
    wanted = {message.id for message in texts if message.id}
    assert {message.id for message in catalogue if message.id} == wanted, REMEDY
    wrong = [message.id for message in catalogue if message.id and not _sound(message)]
    assert wrong == []


def _sound(message: Message) -> bool:
    ids = [message.id] if isinstance(message.id, str) else list(message.id)
    strings = [message.string or ""] if isinstance(message.string, str | None) else list(message.string)
    if message.fuzzy or not all(strings):
        return False
    # One of one thing may be said without its number.
    forms = {tuple(sorted(_parts(text).items())) for text in ids}
    return all(tuple(sorted(_parts(text).items())) in forms for text in strings)


_PART = re.compile(r"%\(\w+\)s|\{\w+[^}]*\}|</?\w+[^>]*>|https?://\S+")


def _parts(text: str) -> Counter[str]:
    return Counter(_PART.findall(text))


def test_swedish_is_spoken() -> None:
    """The dashboard comes in English and Swedish."""
    assert {"en": "English", "sv": "Svenska"}.items() <= Translations(SHIPPED).names.items()


def test_every_channel_has_a_name() -> None:
    """Channels are values with names of their own, so a reader reads them in their language."""
    assert set(labels.CHANNELS) == set(CHANNELS)


# A language whose catalogue is made of the English texts in brackets. All data is Greek, and so are the names of
# countries and months in Greek: what is left in Latin letters outside of brackets was given to no catalogue.
CODE = "el"
GREEK = {
    "source": "Πηγή", "referrer": "αναφορά", "channel": "Organic Search", "country": "SE", "browser": "Αλεπού",
    "browser_version": "145", "os": "Πιγκουίνος", "os_version": "7", "device": "desktop", "size": "lg",
    "utm_source": "πηγή", "utm_medium": "μέσο", "utm_campaign": "άνοιξη", "utm_content": "ένα", "utm_term": "όρος",
    "hostname": "παράδειγμα",
}  # fmt: skip
NAMED = (*(each.name for each in PLATFORMS.values()), *(each.name for each in BANNERS.values()))
PRODUCTS = re.compile("|".join(re.escape(escape(name)) for name in sorted(NAMED, key=len, reverse=True)))
NAMES = re.compile(
    r"""^(?: tyst | (?:https?://)?(?:\w+\.)*(?:example|tyst)\.(?:com|test)\S* | admin | UTC | [A-Z]\w+/[A-Z]\w+\S*
        | English | Svenska | csv | png | https?://\S* | tyst\S*\(.* )$""",
    re.VERBOSE | re.IGNORECASE,
)
ODD = (
    f"/{SITE}?period=custom&from=never",
    f"/{SITE}?period=custom&from=0999-01-01&to=0999-01-02",
    f"/{SITE}?period=day&f=is,visit:country,SE&f=contains_not,event:page,σελίδα",
    f"/{SITE}?f=is,event:goal,Εγγραφή&metric=conversion_rate",
    f"/{SITE}?f=is,event:page,/σελίδα&metric=time_on_page",
    f"/{SITE}/details/sources?search=τίποτα",
    "/share/nothing",
    "/invitation/nothing",
    "/password/nothing",
)
"""Addresses that no link leads to."""
MOST_PAGES = 120


@pytest.fixture
def board(clickhouse: ClickHouse, database: Client, tmp_path: Path, texts: Catalog) -> Iterator[Board]:
    """A dashboard with one site full of events and one without any, whose reader's language is the brackets."""
    bracketed = Catalog(locale=CODE, charset="utf-8")
    for message in texts:
        if message.id:
            bracketed.add(message.id, _bracketed(message.id, bracketed.num_plurals))
    with (tmp_path / f"{CODE}.po").open("wb") as file:
        write_po(file, bracketed)
    with opened_board(clickhouse, database, tmp_path) as opened:
        opened.catalogues = Translations(tmp_path)
        opened.add_site(SITE)
        opened.add_site("quiet.example.com")
        opened.seed(
            [pageview(visitor, f"/σελίδα/{visitor % 3}", NOON - 600 * visitor, **GREEK) for visitor in range(1, 9)]
        )
        opened.seed([pageview(1, "/σελίδα", NOON - 60, **{**GREEK, "name": "Εγγραφή", "props": {"χρώμα": "μπλε"}})])
        opened.seed([pageview(visitor, "/σελίδα", NOON - 60) for visitor in range(20, 25)])
        yield opened


def _bracketed(text: str | Sequence[str], forms: int) -> str | tuple[str, ...]:
    if isinstance(text, str):
        return f"{plain_words.OPEN}{text}{plain_words.CLOSE}"
    return tuple(f"{plain_words.OPEN}{each}{plain_words.CLOSE}" for each in (text[0], *[text[1]] * (forms - 1)))


def test_no_page_has_words_outside_the_catalogue(board: Board) -> None:
    """Every page that a link leads to, and what is said of forms that are sent empty."""
    found: dict[str, list[str]] = {}
    spoken = {"accept-language": CODE}

    def look(name: str, html: str) -> None:
        words = [
            word for word in plain_words.outside(PRODUCTS.sub("", html)) if not NAMES.match(word.strip("·—–-:;,.()“”"))
        ]
        if words:
            found[name] = words

    look("/login", board.get("/login", headers=spoken).text)
    wrong = board.post("/login", {"name": "admin", "password": "wrong"}, headers=spoken)
    assert f'lang="{CODE}"' in wrong.text
    look("/login, wrong", wrong.text)
    board.sign_in()
    seen: set[object] = set()
    waiting = ["/", f"/{SITE}", "/nothing.example.com", *ODD]
    while waiting and len(seen) < MOST_PAGES:
        path = waiting.pop(0)
        if _shape(path) in seen:
            continue
        seen.add(_shape(path))
        answer = board.get(path, headers=spoken)
        if "text/html" not in answer.headers.get("content-type", ""):
            continue
        look(path, answer.text)
        waiting += re.findall(
            r'(?:href|hx-get)="(/(?!static|js/|api/|privacy/)[^"#]*)', answer.text.replace("&amp;", "&")
        )
        for action, values in _forms(answer.text):
            if (action, *sorted(values)) in seen or action in ("/logout", "/language"):
                continue
            seen.add((action, *sorted(values)))
            sent = board.post(action, values, headers=spoken)
            if "text/html" in sent.headers.get("content-type", ""):
                look(f"POST {action} {values}", sent.text)
    assert len(seen) > 30
    assert "\n".join(f"{name}: {' '.join(words)}" for name, words in found.items()) == ""


def _forms(html: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Forms that are posted: where to, and what is sent by somebody who fills nothing in."""
    for form in re.findall(r'<form[^>]*method="post".*?</form>', html, re.DOTALL):
        action = re.search(r'action="([^"]+)', form)
        hidden = re.findall(r'<(?:input type="hidden"|button)[^>]*name="([^"]+)" value="([^"]*)', form)
        if action:
            yield action[1], dict(hidden)


def _shape(path: str) -> tuple[str, tuple[str, ...]]:
    """What pages of the same making have in common: the address without the values of its query."""
    parts = urlsplit(path)
    names = sorted(
        {name for name, _ in parse_qsl(parts.query)} - {"period", "date", "from", "to", "metric", "interval"}
    )
    return re.sub(r"/[0-9a-f]{12,}", "/…", parts.path), tuple(names)
