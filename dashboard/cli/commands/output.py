"""Output of commands: tables for people, JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

Json = Annotated[bool, typer.Option("--json", metavar="", help="Print JSON for programs.")]


def console() -> Console:
    """Standard output. Colour only on a terminal, and never with NO_COLOR."""
    return Console(highlight=False, soft_wrap=True)


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
        table.add_row(*(escape(cell) for cell in row))
    Console(highlight=False).print(table)
