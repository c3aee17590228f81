"""Translation of texts. Each language is a catalogue `CODE.po`; English needs none.

Texts stand in the code in English. What is said while a request is answered goes through `_` and `plural`; what is
defined before any request, such as the title of a panel, is marked by `N_` and goes through `_` where it is shown.

To add a language, put its catalogue beside the others, or into `languages` of the data directory, and start again.
Nothing has to be built.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Final, TypeVar, cast

from babel import Locale
from babel.core import UnknownLocaleError
from babel.messages.mofile import write_mo
from babel.messages.pofile import PoFileError, read_po
from babel.support import NullTranslations
from babel.support import Translations as BabelTranslations
from jinja2 import Environment

from collector.core.errors import CatalogueError, ImportRefused, RecordError, RecordGone

SHIPPED: Final = Path(__file__).resolve().parents[1] / "languages"
ENGLISH: Final = "en"

T = TypeVar("T")


class Translations:
    """Catalogues of the given directories; of several for one language, the last directory's is used."""

    def __init__(self, *directories: Path) -> None:
        """Raises `CatalogueError` for a file that cannot be read, or is named after no language."""
        files = {path.stem: path for directory in directories for path in sorted(directory.glob("*.po"))}
        self.names: Mapping[str, str] = {ENGLISH: "English"} | {code: _name(path) for code, path in files.items()}
        """Every language by its code, under its own name."""
        self._texts = {code: _read(path) for code, path in files.items()} | {ENGLISH: NullTranslations()}

    def texts(self, code: str) -> NullTranslations:
        """The texts in that language, which must be one of `names`."""
        return self._texts[code]


def _name(path: Path) -> str:
    try:
        locale = Locale.parse(path.stem)
    except (UnknownLocaleError, ValueError):
        raise CatalogueError(path, "is named after no language; sv.po or pt_BR.po would be") from None
    return (locale.get_display_name(locale) or path.stem).capitalize()


def _read(path: Path) -> NullTranslations:
    compiled = io.BytesIO()
    try:
        with path.open("rb") as file:
            write_mo(compiled, read_po(file, locale=path.stem, abort_invalid=True))
        compiled.seek(0)
        return BabelTranslations(compiled)
    except (PoFileError, ValueError, OSError) as error:
        raise CatalogueError(path, f"is no catalogue: {error}") from None


@cache
def shipped() -> Translations:
    """The languages included in Tyst."""
    return Translations(SHIPPED)


_current: ContextVar[tuple[str, Translations] | None] = ContextVar("language", default=None)


def _spoken() -> tuple[str, Translations]:
    """The language that is answered in, and all there are; outside of any request these are English and Tyst's own."""
    return _current.get() or (ENGLISH, shipped())


def language() -> str:
    """The language that is answered in: an ISO 639-1 code, possibly with a territory, such as `pt_BR`."""
    return _spoken()[0]


def languages() -> Mapping[str, str]:
    """Every language there is, by its code, under its own name."""
    return _spoken()[1].names


def set_locale(code: str) -> None:
    """Answer in this language from here on, within the running request."""
    _current.set((code if code in languages() else ENGLISH, _spoken()[1]))


@contextmanager
def using(code: str, translations: Translations) -> Iterator[None]:
    """Translate into this language within the block, or into English where there is no such catalogue."""
    token = _current.set((code if code in translations.names else ENGLISH, translations))
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def speaking(code: str) -> Iterator[None]:
    """Speak this language for as long."""
    with using(code, _spoken()[1]):
        yield


@contextmanager
def in_english() -> Iterator[None]:
    """Speak English for as long, as files do that programs read."""
    with speaking(ENGLISH):
        yield


def _texts() -> NullTranslations:
    code, catalogues = _spoken()
    return catalogues.texts(code)


def _(text: str) -> str:
    """The text in the reader's language."""
    return str(_texts().ugettext(text))


def translated(texts: T, code: str) -> T:
    """Texts, or any structure of lists and dictionaries of them, in one of `languages()`."""
    match texts:
        case str():
            return cast("T", str(_spoken()[1].texts(code).ugettext(texts)) if texts else texts)
        case Mapping():
            return cast("T", {name: translated(text, code) for name, text in texts.items()})
        case Sequence():
            return cast("T", [translated(text, code) for text in texts])
    return texts


def plural(one: str, many: str, count: int) -> str:
    """The one or the other by `count`, in the reader's language; `{count}` stays to be filled in."""
    return str(_texts().ungettext(one, many, count))


def error_text(error: RecordError | ImportRefused) -> str:
    """Why a record cannot be stored or a file cannot be imported, in the reader's language."""
    if isinstance(error, RecordGone):
        return instruction(_("this has been deleted in the meantime; nothing was changed"))
    text = _(error.template).format(**error.values) if error.values else _(error.template)
    return text if error.template.startswith("{") else instruction(text)


def instruction(problem: str) -> str:
    """What is wrong with a field as a form says it: what to enter, where errors of the API say what was expected."""
    if language() == "en":
        problem = re.sub(r"(^|: )expected ", r"\1enter ", problem)
    return problem[:1].upper() + problem[1:] if re.match(r"\w+[ ,]", problem) else problem


def N_(text: str) -> str:  # noqa: N802 - the name that extractors of messages know
    """The same text, marked to be translated where it is shown."""
    return text


def tag() -> str:
    """The language that is answered in as an attribute of HTML has it (BCP 47), such as `pt-BR`."""
    return language().replace("_", "-")


def direction() -> str:
    """Which way the language that is answered in is written: `ltr` or `rtl`."""
    return "rtl" if Locale.parse(language()).character_order == "right-to-left" else "ltr"


def install(environment: Environment) -> None:
    """Give templates `_`, `gettext`, `ngettext` and `{% trans %}`, and the reader's language."""
    environment.add_extension("jinja2.ext.i18n")
    environment.install_gettext_callables(_, plural, newstyle=True)  # type: ignore[attr-defined]
    environment.globals["reader_language"] = language
    environment.globals["language_tag"] = tag
    environment.globals["text_direction"] = direction
    environment.globals["languages"] = languages
