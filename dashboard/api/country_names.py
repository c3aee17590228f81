"""The dimension `visit:country_name` of the Stats API: English names of countries in place of their codes.

Stored are codes. A query by names is answered as the same query by the codes that have these names.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, Final

from dashboard.analytics.dimensions import NOT_SET
from dashboard.analytics.errors import QueryError
from dashboard.i18n.formatting import countries

COUNTRY, COUNTRY_NAME = "visit:country", "visit:country_name"

# What no country is called; a comparison needs a value.
_NONE: Final = "-"


Matching = Callable[[Sequence[str], Sequence[str]], Awaitable[Collection[str]]]
"""Which of some texts one of some regular expressions (RE2) matches. The database judges: by Python's own `re` a few
characters may take for ever."""


async def by_code(filters: Any, matching: Matching) -> Any:
    """Filters (JSON of the API, within `check_bounds`) with comparisons of names as comparisons of codes. Raises
    `QueryError`."""
    match filters:
        case [str(operator), "visit:country_name", list(values), *modifiers]:
            name = operator.removesuffix("_not")
            codes = await _codes(name, values, modifiers, matching)
            return ["is_not" if operator.endswith("_not") else "is", COUNTRY, codes or [_NONE]]
        case list():
            return [await by_code(part, matching) for part in filters]
    return filters


def country_name(code: str) -> str:
    """The English name of a country's code; the code where it has none."""
    return countries("en").get(code, code)


async def _codes(operator: str, values: Sequence[Any], modifiers: Sequence[Any], matching: Matching) -> list[str]:
    exact = not (modifiers and modifiers[0] == {"case_sensitive": False})
    fold: Callable[[str], str] = str if exact else str.casefold
    texts = [fold(str(value)) for value in values]
    named = {NOT_SET: NOT_SET, **countries("en")}
    match operator:
        case "is":
            return [code for code, name in named.items() if fold(name) in texts]
        case "contains":
            return [code for code, name in named.items() if any(text in fold(name) for text in texts)]
        case "matches":
            patterns = [f"{'' if exact else '(?i)'}{value}" for value in values]
            matched = await matching(patterns, [*named.values()])
            return [code for code, name in named.items() if name in matched]
    raise QueryError("filters", f"expected is, contains or matches with {COUNTRY_NAME}")
