"""Arrow tables of rows of parts: taken apart by these, and put together again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from dashboard.counting import numbered
from dashboard.day_numbers import number_of
from dashboard.parts import TooMany
from dashboard.sql import Days

Columns = dict[str, Any]
"""Arrow arrays by their names: the rows of a site in one part, as they lie there."""


def load_arrow() -> None:
    """Have it at hand: that takes a moment, and so does its first array, with which it looks for pandas."""
    import pyarrow.compute  # type: ignore[import-untyped] # it has no types; loaded late, as in dashboard.reading

    pyarrow.array(np.empty(0))


def by_part(table: Any, names: Sequence[str], parts: Sequence[str]) -> list[Columns]:
    """The columns of each part's rows, as they lie there; of one without rows, empty ones."""
    import pyarrow

    table = table.unify_dictionaries().combine_chunks()
    which = table.column("in_part").combine_chunks()
    codes, known = which.indices.to_numpy(), which.dictionary.to_pylist()
    offsets, wanted = table.column("at_row").to_numpy(), table.select(names)
    found = []
    for part in parts:
        rows = np.flatnonzero(codes == known.index(part)) if part in known else np.empty(0, np.int64)
        # What is read of a part at another time has to lie beside this, row by row. Mostly it came so.
        rows = rows[np.argsort(offsets[rows], kind="stable")]
        side_by_side = len(rows) > 0 and bool((np.diff(rows) == 1).all())
        own = wanted.slice(rows[0], len(rows)) if side_by_side else wanted.take(pyarrow.array(rows))
        own = pyarrow.table([_own_texts(column.combine_chunks()) for column in own.columns], names=list(names))
        found.append({name: column.combine_chunks() for name, column in zip(names, _alone(own).columns, strict=True)})
    return found


def _own_texts(column: Any) -> Any:
    """A column of coded texts with none but its own: those of other parts, or sites, may be erased before it."""
    import pyarrow

    if not isinstance(column, pyarrow.DictionaryArray):
        return column
    used, codes = numbered(column.indices.to_numpy(), len(column.dictionary))
    texts = column.dictionary.take(pyarrow.array(used))
    return pyarrow.DictionaryArray.from_arrays(pyarrow.array(codes, column.type.index_type), texts)


def _alone(table: Any) -> Any:
    """The same without the memory of the answer that it came in."""
    import pyarrow

    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return pyarrow.ipc.open_stream(sink.getvalue()).read_all()


def put_together(parts: Sequence[Columns], days: Days, most: int) -> Any:
    """The rows of all parts; of these days, when given: then they lie in order of these."""
    import pyarrow

    pieces = [piece for columns in parts for piece in (_of_days(columns, days) if days else (columns,))]
    if sum(len(piece["date"]) for piece in pieces) > most:
        raise TooMany
    return pyarrow.table({name: pyarrow.chunked_array([piece[name] for piece in pieces]) for name in pieces[0]})


def _of_days(columns: Columns, days: Days) -> Iterator[Columns]:
    dates = columns["date"].to_numpy()
    for first, last in days:
        begin, end = (_begins(dates, number) for number in (number_of(first), number_of(last) + 1))
        yield {name: column.slice(begin, end - begin) for name, column in columns.items()}


def _begins(dates: Any, number: int) -> int:
    """Where the days from that number on begin. Numbers are asked for that no row can have."""
    most = np.iinfo(dates.dtype).max
    return len(dates) if number > most else int(np.searchsorted(dates, dates.dtype.type(max(number, 0))))
