"""Output of commands: tables for people, JSON for programs.

Names of files and what a server answers may be anybody's: a terminal obeys none of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import msgspec
import typer
from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment
from rich.table import Table

from collector.core.text import with_hidden_shown

Json = Annotated[bool, typer.Option("--json", metavar="", help="Print JSON for programs.")]


class PlainConsole(Console):
    """A console on which control characters of texts are shown, never obeyed."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of what is printed; their styles become control characters only later."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=with_hidden_shown(segment.text))


def console(*, error: bool = False) -> Console:
    """Standard output, or standard error. Colour only on a terminal, and never with NO_COLOR."""
    return PlainConsole(stderr=error, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """One line, or a few, for people."""
    console().print(escape(text))


def print_json(value: Any) -> None:
    """One JSON value on one line."""
    typer.echo(msgspec.json.encode(value).decode())


def print_result(value: Any, text: str, *, json: bool) -> None:
    """What came of a command: the value for programs, or the text for people."""
    if json:
        print_json(value)
    else:
        say(text)


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str) -> None:
    """A table for people, or the sentence `empty` when there are no rows."""
    if not rows:
        say(empty)
        return
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(escape(with_hidden_shown(cell)) for cell in row))
    PlainConsole(highlight=False).print(table)
