"""Update the translation catalogues from the code: `make catalogues`, or `python -m dashboard.i18n.catalogues`.

Every text that the code marks is written into `languages/tyst.pot`, from which a new language begins, and each
`languages/CODE.po` gets what is new with an empty translation and loses what is gone. The same code gives the same
files: they carry no dates and no line numbers.
"""

from __future__ import annotations

import io
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from babel import Locale
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_file
from babel.messages.pofile import read_po, write_po

from dashboard.i18n.translations import SHIPPED

ROOT: Final = Path(__file__).resolve().parents[2]
TEMPLATE: Final = SHIPPED / "tyst.pot"

KEYWORDS: Final[dict[str, Any]] = {
    "_": None,
    "N_": None,
    "gettext": None,
    "ngettext": (1, 2),
    "plural": (1, 2),
    # Errors carry their text as a template, translated where a page shows it.
    "RecordError": (2,),
    "ImportRefused": (2,),
    "_wrong": (3,),
    # Formats of imports carry their title.
    "Format": (2,),
}
COMMENTS: Final = ["Translators:"]
_OPTIONS: Final = {"trimmed": "true", "trim_blocks": "true", "lstrip_blocks": "true"}
_HEADERS: Final = (b'"Language:', b'"Plural-Forms:', b'"MIME-Version:', b'"Content-T')
"""What the head of a file says; all else there would be empty, or change by the day."""


def extract_data(file: io.BufferedReader, *_: object, **__: object) -> Iterator[tuple[int, str, str, list[str]]]:
    """The texts of a data file that readers see, as Babel's extractors give theirs."""
    for entry in tomllib.load(file).values():
        banner = isinstance(entry, dict) and "name" in entry
        shown = [entry[field] for field in _SHOWN if entry.get(field)] if banner else _strings(entry)
        for text in dict.fromkeys(shown):
            yield 0, "_", text, []


def _strings(value: Any) -> Iterator[str]:
    """Every text of a structure of tables and arrays."""
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _strings(each)
    if isinstance(value, str):
        yield value


_SHOWN: Final = ("adapt", "steps")
"""Fields of entries in data files that hold a text for readers."""
_SOURCES: Final = (
    ("collector", "**/*.py", "python"),
    ("dashboard", "**/*.py", "python"),
    ("dashboard/data", "*.toml", "dashboard.i18n.catalogues:extract_data"),
    ("dashboard/templates", "**/*.html", "jinja2"),
    ("dashboard/templates/mail", "*.txt", "jinja2"),
)
"""Directories, files in them, and how Babel extracts their texts."""
_ABROAD: Final = ("dashboard/frontend/", "dashboard/templates/demo/")
"""What speaks English alone: the demonstration's website stands for somebody else's."""


def extracted(root: Path = ROOT) -> Catalog:
    """Every text that the code below `root` marks, as a catalogue without translations."""
    found = Catalog(project="Tyst", charset="utf-8", fuzzy=False, header_comment="# Texts of Tyst, to be translated.")
    for directory, pattern, method in _SOURCES:
        for path in sorted((root / directory).glob(pattern)):
            name = path.relative_to(root).as_posix()
            if not name.startswith(_ABROAD):
                for _line, text, comments, _context in extract_from_file(method, path, KEYWORDS, COMMENTS, _OPTIONS):
                    found.add(text, locations=[(name, 0)], auto_comments=comments)
    return found


def updated(path: Path, template: Catalog) -> Catalog:
    """The language's catalogue with the texts of `template`: what it had of them, and no others."""
    with path.open("rb") as file:
        catalogue = read_po(file, locale=path.stem)
    catalogue.header_comment = f"# Texts of Tyst in {Locale.parse(path.stem).english_name}."
    catalogue.update(template, no_fuzzy_matching=True)
    return catalogue


def written(catalogue: Catalog) -> bytes:
    """The catalogue as its file has it."""
    text = io.BytesIO()
    write_po(text, catalogue, width=110, sort_by_file=True, include_lineno=False, ignore_obsolete=True)
    head, separator, rest = text.getvalue().partition(b"\n\n")
    lines = [line for line in head.split(b"\n") if not line.startswith(b'"') or line.startswith(_HEADERS)]
    return b"\n".join(lines) + separator + rest


def update() -> None:
    """Update the template and every catalogue."""
    template = extracted()
    TEMPLATE.write_bytes(written(template))
    for path in sorted(SHIPPED.glob("*.po")):
        path.write_bytes(written(updated(path, template)))


if __name__ == "__main__":
    update()
