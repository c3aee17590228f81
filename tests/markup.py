"""What a reader of a page gets: its text, links, tables and forms, without the markup between."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


@dataclass
class Link:
    """An `a` with its text."""

    href: str
    text: str = ""
    current: bool = False


@dataclass
class Markup:
    """One page, read."""

    text: str = ""
    title: str = ""
    links: list[Link] = field(default_factory=list)
    tables: dict[str, list[list[str]]] = field(default_factory=dict)
    """Body rows of each table by its caption."""
    elements: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """Every element's name and attributes, in order."""

    def link(self, text: str) -> str:
        """Address of the one link with this text."""
        (href,) = {link.href for link in self.links if link.text == text}
        return href

    def attributes(self, **wanted: str) -> dict[str, str]:
        """Attributes of the one element that has these."""
        (found,) = [given for _, given in self.elements if wanted.items() <= given.items()]
        return found


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = Markup()
        self.open: list[str] = []
        self.words: list[str] = []
        self.rows: list[list[str]] = []
        self.caption = ""
        self.joined = False
        """Whether what follows may only be broken from what came before."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.page.elements.append((tag, given))
        self.joined = tag == "wbr"
        if tag not in VOID:
            self.open.append(tag)
        if tag == "a":
            self.page.links.append(Link(given.get("href", ""), current="aria-current" in given))
        elif tag == "table":
            self.rows, self.caption = [], ""
        elif tag == "tr" and "tbody" in self.open:
            self.rows.append([])
        elif tag in ("td", "th") and "tbody" in self.open:
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self.joined = False
        if tag in self.open:
            while self.open.pop() != tag:
                pass
        if tag == "table":
            self.page.tables[_plain(self.caption)] = [[_plain(cell) for cell in row] for row in self.rows]

    def handle_data(self, data: str) -> None:
        if "script" in self.open or "datalist" in self.open:
            return
        if "title" in self.open:
            self.page.title += data
            return
        between = "" if self.joined else " "
        self.words += [between, data]
        if "a" in self.open:
            self.page.links[-1].text = _plain(f"{self.page.links[-1].text}{between}{data}")
        if "caption" in self.open:
            self.caption += data
        elif "tbody" in self.open and self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def read(html: str) -> Markup:
    """Read a page or a fragment of one."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    reader.page.text = _plain("".join(reader.words))
    return reader.page


def _plain(text: str) -> str:
    return " ".join(text.split())
