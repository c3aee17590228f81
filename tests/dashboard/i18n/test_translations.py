"""The reader's language: which it is, and that a catalogue is all that a language needs."""

from __future__ import annotations

import datetime
from pathlib import Path

import anyio
import httpx
import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from collector.core.errors import CatalogueError, RecordError
from dashboard.i18n import formatting
from dashboard.i18n.translations import SHIPPED, Translations, _, error_text, language, languages, plural
from dashboard.web.language import choose_language
from dashboard.web.locale_middleware import COOKIE, LocaleMiddleware, preferred

POLISH = """msgid ""
msgstr ""
"Language: pl\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Plural-Forms: nplurals=3; plural=(n==1 ? 0 : n%10>=2 && n%10<=4 && (n%100<12 || n%100>14) ? 1 : 2);\\n"

msgid "Visitors"
msgstr "Odwiedzający"

msgid "{count} day"
msgid_plural "{count} days"
msgstr[0] "{count} dzień"
msgstr[1] "{count} dni"
msgstr[2] "{count} dniów"

#, fuzzy
msgid "Sources"
msgstr "Maybe"

msgid "{name} is taken"
msgstr "{name} jest zajęte"
"""


async def say(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with what a reader is told, in the language that the request is answered in."""
    if scope["method"] == "POST":
        await (await choose_language(Request(scope, receive)))(scope, receive, send)
        return
    days = ", ".join(plural("{count} day", "{count} days", count).format(count=count) for count in (1, 2, 5))
    told = [language(), _("Visitors"), _("Sources"), days]
    await PlainTextResponse("\n".join(told))(scope, receive, send)


def speaking(directory: Path) -> ASGIApp:
    """The same in the languages that Tyst comes with, and those of the directory."""
    return LocaleMiddleware(say, Translations(SHIPPED, directory))


def ask(app: ASGIApp, method: str = "GET", **options: object) -> httpx.Response:
    """One request."""

    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="https://tyst.test") as client:
            return await client.request(method, "/", **options)  # type: ignore[arg-type]

    return anyio.run(once)


@pytest.fixture
def polish(tmp_path: Path) -> Path:
    """A directory with one catalogue more."""
    (tmp_path / "pl.po").write_text(POLISH)
    return tmp_path


@pytest.mark.parametrize(
    ("cookie", "accepted", "expected"),
    [
        ("", "", "en"),
        ("", "sv", "sv"),
        ("", "sv-SE,sv;q=0.9,en;q=0.8", "sv"),
        ("", "de-CH, fr;q=0.9", "en"),
        ("", "de, pl;q=0.2, en;q=0.1", "pl"),
        ("", "en;q=0.5, sv;q=0.5, pl;q=0.4", "en"),
        ("", "sv;q=0, pl;q=nonsense", "en"),
        ("sv", "pl", "sv"),
        ("en", "sv", "en"),
        ("xx", "pl", "pl"),
        ("../sv", "", "en"),
    ],
)
def test_the_language_is_the_readers_choice_then_the_browsers(
    polish: Path, cookie: str, accepted: str, expected: str
) -> None:
    """The cookie comes first, then what the browser prefers of what there is, then English."""
    headers = {"accept-language": accepted} | ({"cookie": f"__Host-{COOKIE}={cookie}"} if cookie else {})
    assert ask(speaking(polish), headers=headers).text.splitlines()[0] == expected


def test_territories_are_told_apart_where_there_are_catalogues_of_them() -> None:
    """The closest catalogue speaks: that of the territory, else that of the language."""
    known = ("en", "pt_BR", "pt")
    assert [preferred(text, known) for text in ("pt-BR", "pt-PT", "pt", "PT-br;q=0.3")] == [
        "pt_BR",
        "pt",
        "pt",
        "pt_BR",
    ]


def test_a_file_is_all_that_a_language_needs(polish: Path) -> None:
    """With its catalogue in the directory a language is there: by its own name, with plurals of its own rules.

    What a catalogue lacks, or is not sure of, is said in English.
    """
    assert ask(LocaleMiddleware(say, Translations(SHIPPED)), headers={"accept-language": "pl"}).text.startswith(
        "en\nVisitors\n"
    )
    answer = ask(speaking(polish), headers={"accept-language": "pl"})
    assert answer.text.splitlines() == ["pl", "Odwiedzający", "Sources", "1 dzień, 2 dni, 5 dniów"]
    assert Translations(SHIPPED, polish).names == {**Translations(SHIPPED).names, "pl": "Polski"}


def test_a_later_directory_overrules(tmp_path: Path) -> None:
    """An operator may word a language that Tyst comes with in another way."""
    head = POLISH.split("\n\n")[0].replace("pl", "sv").replace("nplurals=3", "nplurals=2")
    (tmp_path / "sv.po").write_text(f'{head}\n\nmsgid "Visitors"\nmsgstr "Gäster"\n')
    assert ask(speaking(tmp_path), headers={"accept-language": "sv"}).text.splitlines()[1] == "Gäster"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("klingon.po", POLISH),
        ("pl.po", "neither"),
        ("pl.po", 'msgid "a"\nmsgstr[x] "b"\n'),
        ("pl.po", POLISH.replace("n==1", "import os")),
    ],
)
def test_a_broken_catalogue_is_named(tmp_path: Path, name: str, text: str) -> None:
    """The start is refused with the file's path, not the first request of somebody who reads that language."""
    (tmp_path / name).write_text(text)
    with pytest.raises(CatalogueError, match=name):
        Translations(SHIPPED, tmp_path)


def test_choosing_a_language_is_remembered_and_leads_back(polish: Path) -> None:
    """The form's language goes into a cookie for a year, and the reader is where they were."""
    app = speaking(polish)
    origin = {"sec-fetch-site": "same-origin", "referer": "https://tyst.test/site?period=day"}
    answer = ask(app, "POST", data={"language": "pl"}, headers=origin)
    assert (answer.status_code, answer.headers["location"]) == (303, "/site?period=day")
    assert (
        f"__Host-{COOKIE}=pl; HttpOnly; Max-Age=31536000; Path=/; SameSite=lax; Secure" in answer.headers["set-cookie"]
    )
    forgotten = ask(app, "POST", data={"language": "xx"}, headers={**origin, "referer": "https://elsewhere.test/x"})
    assert forgotten.headers["location"] == "/"
    assert "Max-Age=0" in forgotten.headers["set-cookie"]


def test_nobody_elses_page_chooses_the_language(polish: Path) -> None:
    """A post from another origin is refused."""
    app = speaking(polish)
    with pytest.raises(HTTPException) as refused:
        ask(app, "POST", data={"language": "pl"}, headers={"sec-fetch-site": "cross-site"})
    assert refused.value.status_code == 403


def test_errors_of_records_are_said_in_the_readers_language(polish: Path) -> None:
    """A record's error is English to programs; a page says its template, filled in, in the language of its reader."""

    async def fail(scope: Scope, receive: Receive, send: Send) -> None:
        error = RecordError("name", "{name} is taken", name="ola")
        await PlainTextResponse(f"{error}|{error_text(error)}|{languages()['pl']}")(scope, receive, send)

    app = LocaleMiddleware(fail, Translations(polish))
    assert ask(app, headers={"accept-language": "pl"}).text == "name: ola is taken|ola jest zajęte|Polski"


def test_figures_and_dates_follow_the_language() -> None:
    """Marks between digits, units, names of months and of countries are those of the reader's language."""

    async def figures(scope: Scope, receive: Receive, send: Send) -> None:
        day = datetime.date(2026, 5, 20)
        change = formatting.change("bounce_rate", 46, 45)
        texts = [
            formatting.number(1_234_567),
            formatting.compact(12_345),
            formatting.percent(7.25),
            formatting.percent(0.04),
            formatting.duration(65),
            formatting.duration(7_380),
            formatting.date(day),
            formatting.dates(day, day),
            formatting.dates(day.replace(day=1), day),
            formatting.month(day),
            formatting.weekday(day),
            formatting.country("SE"),
            formatting.money(99.5, "SEK"),
            formatting.waiting(61),
            change.text if change else "",
            change.spoken if change else "",
        ]
        await PlainTextResponse("|".join(texts))(scope, receive, send)

    told = ask(LocaleMiddleware(figures), headers={"accept-language": "sv"}).text.replace("\N{NO-BREAK SPACE}", " ")
    assert told.split("|") == [
        "1 234 567",
        "12,3 tn",
        "7,2 %",
        "<0,1 %",
        "1 min 05 s",
        "2 tim 03 min",
        "20 maj 2026",
        "onsdag 20 maj 2026",
        "1–20 maj 2026",
        "maj 2026",
        "ons 20 maj 2026",
        "Sverige",
        "99,50 kr",
        "61 sekunder",
        "1 p.e.",
        "upp 1 procentenhet",
    ]
