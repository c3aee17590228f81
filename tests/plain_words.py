"""Finds words that a reader sees and no catalogue can translate: in templates as they are written, in pages as they
are sent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from html.parser import HTMLParser
from typing import Final

from jinja2 import Environment, nodes

from dashboard.i18n import translations
from tests.markup import VOID

OPEN, CLOSE = "⟦⟧"
"""What the texts of a catalogue for tests stand in."""

SILENT: Final = frozenset({"script", "style", "code", "pre", "kbd", "datalist"})
"""Elements whose content is not prose."""
SAID: Final = frozenset(
    {"title", "aria-label", "placeholder", "alt", "label", "aria-description", "aria-roledescription"}
)
"""Attributes that a reader sees or hears."""
_CODES: Final = frozenset({"width", "lang"})
"""Blocks of templates that stand within an attribute's value."""
_NAMES: Final = re.compile(r"\b[Tt]yst\b|(https://)?(www\.)?example\.com|https://\S*|^\s*[\w-]+=\".*", re.DOTALL)
"""What is the same in every language: names, addresses, and attributes that a macro writes."""
_TRANSLATING: Final = frozenset({"_", "gettext", "ngettext", "N_"})
_SENTENCE: Final = re.compile(r"\s*[^\W\d_{(]\S* [^{}]*$")
_WORD: Final = re.compile(r"[^\W\d_]{2,}")
_LATIN: Final = re.compile(r"[A-Za-zÀ-ɏ]{2,}(?:[^\s<>]*)")


class _Reader(HTMLParser):
    """Collects the texts of a page in order, each with whether it is an attribute's."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, bool]] = []
        self._open: list[tuple[str, bool]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if not self._silent():
            self.found += [(value, True) for name, value in given.items() if self._said(tag, name, value, given)]
        if tag not in VOID:
            self._open.append((tag, tag in SILENT or given.get("translate") == "no"))

    def handle_endtag(self, tag: str) -> None:
        if any(tag == each for each, _ in self._open):
            while self._open.pop()[0] != tag:
                pass

    def handle_data(self, data: str) -> None:
        if not self._silent():
            self.found.append((data, False))

    def _silent(self) -> bool:
        return any(silent for _, silent in self._open)

    @staticmethod
    def _said(tag: str, name: str, value: str, given: dict[str, str]) -> bool:
        if name == "value":
            return tag == "input" and given.get("type") in ("submit", "button", "reset")
        if name == "content":
            return given.get("name") == "description"
        # What scripts show of data attributes are sentences; what they compare are names.
        return name in SAID or (name.startswith("data-") and bool(_SENTENCE.match(value)))


def _texts(html: str) -> list[tuple[str, bool]]:
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.found


def outside(html: str) -> list[str]:
    """Words in Latin letters of a page that stand outside of brackets, whether in texts or attributes."""
    found: list[str] = []
    depth = 0
    for text, attribute in _texts(html):
        rest, left = _unbracketed(text, 0 if attribute else depth)
        depth = depth if attribute else left
        found += _LATIN.findall(rest)
    return found


def _unbracketed(text: str, depth: int) -> tuple[str, int]:
    kept = []
    for character in text:
        if character == OPEN:
            depth += 1
        elif character == CLOSE:
            depth -= 1
        elif depth <= 0:
            kept.append(character)
    return "".join(kept), depth


def written(source: str) -> list[str]:
    """Texts of a template that are not given to a catalogue."""
    environment = Environment(autoescape=True)
    translations.install(environment)
    environment.tests["guest"] = lambda _: True
    environment.filters.update(dict.fromkeys(("number", "compact", "day"), str))
    template = environment.parse(source)
    shown = (text for text, _ in _texts("".join(_html(template))))
    return [" ".join(text.split()) for text in (*shown, *_prose(template)) if _WORD.search(_NAMES.sub("", text))]


def _html(node: nodes.Node) -> Iterator[str]:
    """The template as HTML that has every branch, with the texts of its expressions in their places."""
    if isinstance(node, nodes.TemplateData):
        yield node.data
    elif isinstance(node, nodes.Output):
        for part in node.nodes:
            texts = _html(part) if isinstance(part, nodes.TemplateData) else map(escape, _shown(part))
            yield from texts
    elif not (isinstance(node, nodes.Block) and node.name in _CODES):
        for child in node.iter_child_nodes():
            if isinstance(child, nodes.Stmt):
                yield from _html(child)


def _shown(node: nodes.Node) -> Iterator[str]:
    """Every text that the expression may put into the page by itself."""
    match node:
        case nodes.Const(value=str() as text):
            yield f" {text} "
        case nodes.CondExpr():
            yield from _shown(node.expr1)
            yield from _shown(node.expr2) if node.expr2 else ()
        case nodes.Concat():
            for each in node.nodes:
                yield from _shown(each)
        case nodes.Or() | nodes.Add():
            yield from _shown(node.left)
            yield from _shown(node.right)
        case nodes.Filter(node=nodes.Expr() as inner):
            yield from _shown(inner)
        case nodes.Getitem(node=nodes.Dict() as table):
            for pair in table.items:
                yield from _shown(pair.value)


def _prose(node: nodes.Node) -> Iterator[str]:
    """Sentences and titles that the template gives to macros, loops and names."""
    if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name) and node.node.name in _TRANSLATING:
        return
    if isinstance(node, nodes.Call | nodes.For | nodes.Assign):
        parts = node.iter_child_nodes(only=("args", "kwargs", "iter", "node"))
        for part in parts:
            yield from _constants(part)
    for child in node.iter_child_nodes():
        yield from _prose(child)


def _constants(node: nodes.Node) -> Iterator[str]:
    if isinstance(node, nodes.Const) and isinstance(node.value, str) and re.match(r"[A-Z]\w*[a-z]|\S+ \w", node.value):
        yield node.value
    if isinstance(
        node, nodes.Tuple | nodes.List | nodes.Dict | nodes.Pair | nodes.Keyword | nodes.Concat | nodes.CondExpr
    ):
        for child in node.iter_child_nodes():
            yield from _constants(child)
