"""The columns that branches are counted from, and the statement that reads them.

Branches of one relation are read together: each row is then of one of them or of several, which further columns tell.
"""

# ruff: noqa: S608 -- text is names of our own tables and columns; every value is bound
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from collector.components import COMPONENTS, VISIT
from dashboard.branches import Branch
from dashboard.dimensions import DIMENSIONS
from dashboard.sql import EXIT_COLUMN, EXIT_PAGE, GOAL, Grouped
from dashboard.statements import of_chosen_visitors
from dashboard.terms import Term, by_exits, expressions, told
from dashboard.worked import AT, columns_of

# What tells the page that a visit was left from: its last view, of two at a time the greater page.
_FOR_GOALS = {"name": "name", "page": "page"}
_FOR_EXITS = AT | _FOR_GOALS


@dataclass(frozen=True, slots=True)
class Layout:
    """What is read: SQL by the column's name, which of these columns an expression is, and which expressions hold for
    every row."""

    columns: dict[str, str]
    read: dict[str, str]
    shared: frozenset[str]


def layout_of(branches: Sequence[Branch], shared: frozenset[str]) -> Layout:
    """The columns that the branches need; what is `shared` by all rows that are read needs none."""
    wanted, more = [VISIT, "visitor != 0", "1"], dict[str, str]()
    for branch in branches:
        wanted += [each for term in terms_of(branch) for each in expressions(term) if each not in shared]
        wanted += [branch.entered, *(each.row for each in branch.taken)]
        groups = [group for each in branch.groupings for group in each.groups]
        wanted += [value_of(group) for group in groups if not found_here(branch, group) and group.by != GOAL]
        more |= _FOR_GOALS if any(group.by == GOAL for group in groups) else {}
        more |= _FOR_EXITS if branch.exits or any(map(by_exits, terms_of(branch))) else {}
    columns, read = columns_of(wanted)
    return Layout(columns | more, read, shared)


def _every_column() -> Mapping[str, str]:
    own = [each for each in DIMENSIONS.values() if each.level != "time" and each.name not in ("event:goal", EXIT_PAGE)]
    named = {name for each in own for name in (each.column, each.entered) if name}
    wanted = [VISIT, "visitor != 0", "1", *(each.row for each in COMPONENTS.values()), *sorted(named)]
    return columns_of(wanted)[0] | _FOR_EXITS | _FOR_GOALS


EVERY_COLUMN: Final = _every_column()
"""What panels and counts are of, whatever is filtered by: SQL by the column's name."""


def reading_sql(branches: Sequence[Branch], layout: Layout, most: int) -> str:
    """SELECT the rows of any of these branches, which are of one relation; of more than `most`, one more."""
    shared = layout.shared
    # Rows of a branch that asks for all that another one does, and more, are that one's as well.
    asked = dict.fromkeys(frozenset(_where(each)) - shared for each in branches)
    widest = [each for each in asked if not any(other < each for other in asked)]
    either = dict.fromkeys(" AND ".join(sorted(each)) for each in widest)
    where = [*sorted(shared), *([f"({' OR '.join(either)})"] if all(either) else [])]
    columns = ", ".join(f"{sql} AS {name}" for name, sql in layout.columns.items())
    return f"""
SELECT {columns}
FROM {branches[0].relation} WHERE {" AND ".join(where)}
LIMIT {most + 1:d}"""


def terms_of(branch: Branch) -> tuple[Term, ...]:
    """All that must hold of a branch's rows, or of those by which its visits are chosen."""
    return (*branch.among, *branch.where, *branch.chosen)


def found_here(branch: Branch, group: Grouped) -> bool:
    """Whether it is the page that visits were left from, and found in this process."""
    return branch.exits and group.by == EXIT_COLUMN


def value_of(group: Grouped) -> str:
    """What is read of a group: a text, or the number of a date, hour or minute."""
    return group.by if group.text else f"toInt32({group.by})"


def _where(branch: Branch) -> tuple[str, ...]:
    """What must hold of the rows that are read for it. Whose visit is chosen is told here, of all rows of visitors who
    have one."""
    if branch.read:
        return branch.read
    return (*branch.among, *told(branch.where), *([of_chosen_visitors(branch)] if branch.chosen else []))


def shared_of(branches: Sequence[Branch]) -> frozenset[str]:
    """What holds for all rows that are read for these branches."""
    return frozenset.intersection(*(frozenset(_where(each)) for each in branches))
