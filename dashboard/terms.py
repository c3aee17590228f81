"""What must hold of a row: the database tells it, or this process from all rows of a visit.

Whether a visit was left from a page, or has another event, the database tells by a set of visits that it has to build;
where the rows of all visits are read anyway, their own columns say the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AtExit:
    """That `page` holds of the view with which the visit ended; of visits that viewed no page, `none`."""

    page: str
    none: str


@dataclass(frozen=True, slots=True)
class OfVisit:
    """That all of these hold of some row of the visit."""

    parts: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class AllOf:
    """That all of them hold."""

    parts: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """That at least one of them holds."""

    parts: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Opposite:
    """That it does not hold."""

    part: Term


Term = str | AtExit | OfVisit | AllOf | AnyOf | Opposite
"""A text is an expression over one row, for the database."""


def told(terms: Iterable[Term]) -> tuple[str, ...]:
    """The terms that the database tells. Raises `TypeError` where one is not for it."""
    found = []
    for term in terms:
        if not isinstance(term, str):
            raise TypeError(f"{term!r} needs all rows of a visit")
        found.append(term)
    return tuple(found)


def expressions(term: Term) -> Iterator[str]:
    """Every expression over one row that it is made of."""
    match term:
        case str():
            yield term
        case AtExit(page, none):
            yield from (page, none)
        case OfVisit(parts) | AllOf(parts) | AnyOf(parts):
            for part in parts:
                yield from expressions(part)
        case Opposite(part):
            yield from expressions(part)


def by_exits(term: Term) -> bool:
    """Whether it speaks of the page that a visit was left from."""
    match term:
        case AtExit():
            return True
        case OfVisit(parts) | AllOf(parts) | AnyOf(parts):
            return any(map(by_exits, parts))
        case Opposite(part):
            return by_exits(part)
    return False
