"""The columns that a branch is counted from, and the statement that reads them.

Branches of one relation are read together: each row is then of one of them or of several, which further columns tell.
"""

# ruff: noqa: S608 -- text is names of our own tables and columns; every value is bound
from __future__ import annotations

from collections.abc import Sequence

from collector.components import VISIT
from dashboard.branches import Branch
from dashboard.sql import Grouped
from dashboard.statements import of_chosen_visitors


def reading_sql(branches: Sequence[Branch], most: int) -> str:
    """SELECT the rows of any of these branches, which are of one relation; of more than `most`, one more."""
    entered = next((each.entered for each in branches if each.entered != "1"), "1")
    terms, shared = terms_of(branches), shared_by(branches)
    columns = [f"({term}) AS {name}" for term, name in terms.items()]
    columns += [f"{text} AS {name}" for text, name in texts_of(branches).items()]
    columns += [f"({row}) AS {name}" for row, name in numbers_of(branches).items()]
    # Rows of a branch that asks for all that another one does, and more, are that one's as well.
    asked = [where_of(each) - shared for each in branches]
    widest = [each for place, each in enumerate(asked) if not any(other < each for other in asked)]
    either = dict.fromkeys(" AND ".join(sorted(terms[term] for term in each)) for each in widest)
    where = [branches[0].among, *sorted(shared), *([f"({' OR '.join(either)})"] if all(either) else [])]
    return f"""
SELECT {entered} AS entered, visitor != 0 AS known, {", ".join(columns)}
FROM {branches[0].relation} WHERE {" AND ".join(where)}
LIMIT {most + 1:d}"""


def where_of(branch: Branch) -> frozenset[str]:
    """What must hold for a branch's rows. Whose visit is chosen is told here, of all rows of visitors who have one."""
    return frozenset((*branch.where, *([of_chosen_visitors(branch)] if branch.chosen else [])))


def shared_by(branches: Sequence[Branch]) -> frozenset[str]:
    """What must hold for all of them."""
    return frozenset.intersection(*map(where_of, branches))


def terms_of(branches: Sequence[Branch]) -> dict[str, str]:
    """Columns by what must hold for some rows and not for others."""
    shared = shared_by(branches)
    found = (term for branch in branches for term in (*sorted(where_of(branch)), *branch.chosen) if term not in shared)
    return {each: f"t{number}" for number, each in enumerate(dict.fromkeys(found))}


def texts_of(branches: Sequence[Branch]) -> dict[str, str]:
    """Columns by what is grouped by, as it is shown."""
    groups = (group for branch in branches for each in branch.groupings for group in each.groups)
    return {each: f"g{number}" for number, each in enumerate(dict.fromkeys(map(shown, groups)))}


def numbers_of(branches: Sequence[Branch]) -> dict[str, str]:
    """Columns by what is counted of a row."""
    rows = [each.row for branch in branches for each in branch.taken]
    rows += [VISIT for branch in branches if branch.chosen or branch.by_visit]
    return {each: f"c{number}" for number, each in enumerate(dict.fromkeys(rows))}


def shown(group: Grouped) -> str:
    """A group's value on one row, as it is shown."""
    return group.shown.format(group.by)
