"""Tables of any library as one: pandas, polars, Arrow, dictionaries of lists, CSV and Parquet files.

Whatever comes in is held as an Arrow table, so that what is computed does not depend on where it came from;
`Table.frame` gives results back in the library that the user works with. Every complaint names the column, and
the row or the line of the file.
"""

from __future__ import annotations

import difflib
import importlib.util
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gatewright.tasks.errors import DataError, MissingExtra, first_line

if TYPE_CHECKING:
    import pyarrow as pa
    from jaxtyping import Float, Int

__all__ = ["Table", "read_table"]

EXTRA = "tables"
EXPECTED = (
    "expected a path (.csv, .csv.gz, .parquet), a pandas or polars frame, an Arrow table or a dictionary of lists"
)


@dataclass(frozen=True)
class Table:
    """A table, its name for messages, and the library that its user works with.

    >>> table = read_table({"day": ["mon", "tue"], "y": [1, None]})
    >>> table.columns, len(table), table.numbers("y")
    (['day', 'y'], 2, array([ 1., nan]))
    """

    arrow: pa.Table
    name: str
    library: str  # "pandas", "polars" or "pyarrow"
    first_line: int | None = None  # of a text file, where each row is a line

    @property
    def columns(self) -> list[str]:
        """The columns' names."""
        return list(self.arrow.column_names)

    @property
    def short(self) -> str:
        """Its name for titles: of a file without the folders."""
        return Path(self.name).name

    def __len__(self) -> int:
        return self.arrow.num_rows

    def where(self, row: int) -> str:
        """How a message calls a row, counted from 0: by its line in a file that people can open."""
        return f"row {row}" if self.first_line is None else f"line {row + self.first_line}"

    def require(self, *names: str, role: str = "") -> None:
        """Raise `DataError` for a column that is not there, with the nearest that are."""
        for name in names:
            if name not in self.columns:
                near = difflib.get_close_matches(name, self.columns, n=3, cutoff=0.5)
                hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"it has: {', '.join(self.columns)}"
                raise DataError(f"{self.name}: no column {name!r}{f' ({role})' if role else ''}; {hint}")

    def column(self, name: str, role: str = "") -> pa.Array:
        """A column's values, decoded where they were stored as a dictionary. Raises `DataError` where there is none."""
        self.require(name, role=role)
        column = self.arrow.column(name).combine_chunks()
        return column.dictionary_decode() if _is(column.type, "dictionary") else column

    def is_text(self, name: str) -> bool:
        """Whether a column holds text, which is a category in most places."""
        return _is(self.column(name).type, "string", "large_string", "string_view")

    def is_time(self, name: str) -> bool:
        """Whether a column holds dates or time stamps."""
        return _is(self.column(name).type, "timestamp", "date32", "date64")

    def is_number(self, name: str) -> bool:
        """Whether a column holds numbers (or nothing at all), by its type."""
        return _is(self.column(name).type, "integer", "floating", "decimal", "boolean", "null")

    def numbers(self, name: str, role: str = "") -> Float[np.ndarray, " rows"]:
        """A column as numbers, missing ones as NaN.

        Raises:
            DataError: it holds text that is no number, times, or an infinity; the message names row and value.
        """
        column = self.column(name, role)
        if self.is_text(name):
            values = self._parsed(column.to_pylist(), name, role)
        elif self.is_number(name):
            values = self._cast(column)
        else:
            what = f"{self.name}, column {name!r}{f' ({role})' if role else ''}"
            raise DataError(f"{what}: expected numbers, got values of type {column.type}; name another column")
        infinite = np.flatnonzero(np.isinf(values))
        if len(infinite):
            raise DataError(
                f"{self.name}, column {name!r}, {self.where(int(infinite[0]))}: the value is {values[infinite[0]]}"
                f"{f' (and {len(infinite) - 1} more are infinite)' if len(infinite) > 1 else ''}; "
                "leave missing values empty, and cut others to what can be measured"
            )
        return values

    def texts(self, name: str, role: str = "") -> list[str | None]:
        """A column as text, missing values as None; whole numbers are written without a point in every library."""
        words, place = self.words(name, role)
        found = [*words, None]  # a missing value's place is -1
        return [found[k] for k in place]

    def words(self, name: str, role: str = "") -> tuple[list[str], Int[np.ndarray, " rows"]]:
        """A column's different values as text, as they first occur, and which one each row has, -1 where missing."""
        encoded = self.column(name, role).dictionary_encode()
        words = self._spelled(encoded.dictionary)
        place = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        if None in words:  # NaN
            kept = np.cumsum([word is not None for word in words]) - 1
            place = np.where([word is None for word in words], -1, kept)[place] * (place >= 0) - (place < 0)
        return [word for word in words if word is not None], place

    def _spelled(self, values: pa.Array) -> list[str | None]:
        if not _is(values.type, "floating"):
            return [None if value is None else str(value) for value in values.to_pylist()]
        numbers = self._cast(values)
        known = numbers[np.isfinite(numbers)]
        whole = bool((known == np.floor(known)).all())
        return [None if np.isnan(v) else str(int(v)) if whole and np.isfinite(v) else repr(float(v)) for v in numbers]

    def take(self, rows: Any) -> Table:
        """Some rows, as a table of the same kind; messages call them as before."""
        rows = np.asarray(rows)
        return Taken(self.arrow.take(rows), self.name, self.library, whole=self, rows=rows)

    def frame(self, columns: Mapping[str, Any]) -> Any:
        """A frame of the library that the table came in (of files and dictionaries: pandas where it is installed)."""
        import pyarrow as pa

        whole = pa.table(dict(columns))
        if self.library == "pandas":
            return whole.to_pandas()
        if self.library == "polars":
            import polars

            return polars.from_arrow(whole)
        return whole

    def _cast(self, column: pa.Array) -> Float[np.ndarray, " rows"]:
        import pyarrow as pa

        if _is(column.type, "floating"):  # keeps NaN beside missing values, both of which become NaN
            return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)
        whole = column.cast(pa.int8()) if _is(column.type, "boolean") else column
        return np.array(whole.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)

    def _parsed(self, values: list[str | None], name: str, role: str) -> Float[np.ndarray, " rows"]:
        numbers = np.full(len(values), np.nan)
        for row, value in enumerate(values):
            if value is None or not value.strip():
                continue
            try:
                numbers[row] = float(value)
            except ValueError as error:
                raise DataError(
                    f"{self.name}, column {name!r}{f' ({role})' if role else ''}, {self.where(row)}: expected a "
                    f"number, got the text {value!r}; correct it or leave it empty, or name another column"
                ) from error
        return numbers


@dataclass(frozen=True)
class Taken(Table):
    """Some rows of a whole table, by number."""

    whole: Table | None = None
    rows: Int[np.ndarray, " rows"] | None = None

    def where(self, row: int) -> str:
        assert self.whole is not None and self.rows is not None
        return self.whole.where(int(self.rows[row]))


def read_table(source: Any, *, name: str | None = None) -> Table:
    """A table from a path, a frame, an Arrow table or a dictionary of lists.

    source: a CSV file (also gzipped, with `,` `;` tab or `|` between), a Parquet or Feather file, a folder of Parquet
    files; a pandas, polars (also lazy) or Arrow table or anything else that narwhals knows; a dictionary of lists.
    An index of a pandas frame that says something (named, or of times) becomes a column. name: for messages.

    Raises:
        DataError: there is no such file, it is empty, not UTF-8, damaged or without a header, columns have one name or
            several lengths or mix types, there are no rows, or it is no table.
        MissingExtra: narwhals or pyarrow is not installed.
    """
    for library in ("pyarrow", "narwhals"):
        if importlib.util.find_spec(library) is None:
            raise MissingExtra(library, EXTRA, "reading tables")
    if isinstance(source, Table):
        return source
    if isinstance(source, (str, os.PathLike)):
        from gatewright.tasks.table.files import read_file

        arrow, line = read_file(Path(source))
        return _checked(Table(arrow, name or str(source), _usual_library(), line))
    if isinstance(source, Mapping):
        return _checked(
            Table(_from_lists(source, name or "the dictionary"), name or "the dictionary", _usual_library())
        )
    return _checked(_from_frame(source, name))


def _usual_library() -> str:
    return "pandas" if importlib.util.find_spec("pandas") else "pyarrow"


def _checked(table: Table) -> Table:
    names = table.columns
    twice = next((name for k, name in enumerate(names) if name in names[:k]), None)
    if twice is not None:
        raise DataError(f"{table.name}: two columns are called {twice!r}; rename one of them")
    if not len(table):
        columns = f"has the columns {', '.join(names)} but no rows" if names else "has no columns and no rows"
        raise DataError(f"{table.name}: {columns}; give at least one row")
    return table


def _from_lists(source: Mapping[Any, Any], name: str) -> pa.Table:
    import pyarrow as pa

    columns = {}
    for key, values in source.items():
        if isinstance(values, (str, bytes)) or not isinstance(values, (Sequence, np.ndarray)):
            raise DataError(f"{name}, column {key!r}: expected a list of values, got {type(values).__name__}")
        columns[str(key)] = _array(values, f"{name}, column {str(key)!r}")
    lengths = {key: len(values) for key, values in columns.items()}
    if len(set(lengths.values())) > 1:
        (first, n), (other, m) = next((a, b) for a in lengths.items() for b in lengths.items() if a[1] != b[1])
        raise DataError(f"{name}: column {first!r} has {n} values and {other!r} has {m}; give one value a row to each")
    return pa.table(columns)


def _array(values: Any, where: str) -> pa.Array:
    """An Arrow array, or a `DataError` that names the first value of another type than those before."""
    import pyarrow as pa

    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError) as error:
        listed = list(values)
        known = [(row, value) for row, value in enumerate(listed) if value is not None]
        row, odd = next(((r, v) for r, v in known if type(v) is not type(known[0][1])), (None, None))
        if row is None:
            raise DataError(f"{where}: cannot be read as a column: {first_line(error)}") from error
        first_row, first = known[0]
        raise DataError(
            f"{where}: row {row} is {odd!r} ({type(odd).__name__}) where row {first_row} is {first!r} "
            f"({type(first).__name__}); give values of one type"
        ) from error


def _from_frame(source: Any, name: str | None) -> Table:
    import narwhals as nw

    if type(source).__module__.partition(".")[0] == "pandas":
        source = _with_index(source)
    try:
        frame = nw.from_native(source)
    except TypeError as error:
        kind = f"{type(source).__module__}.{type(source).__qualname__}".removeprefix("builtins.")
        raise DataError(f"{name or 'the data'}: {EXPECTED}; got {kind}") from error
    if isinstance(frame, nw.LazyFrame):
        frame = frame.collect()
    library = frame.implementation.value
    name = name or f"the {'Arrow table' if library == 'pyarrow' else f'{library} frame'}"
    library = library if library in ("pandas", "polars") else "pyarrow"
    return Table(_to_arrow(frame, name), name, library)


def _with_index(source: Any) -> Any:
    """A pandas frame whose index, where it says something, is a column; periods become their first moments."""
    import pandas as pd

    if isinstance(source, pd.Series):
        source = source.to_frame("value" if source.name is None else source.name)
    if not isinstance(source, pd.DataFrame):
        return source
    of_times = isinstance(source.index, (pd.DatetimeIndex, pd.PeriodIndex))
    named = [name if name is not None else "time" if of_times else None for name in source.index.names]
    if any(name is not None for name in named):
        levels = [f"level_{k}" if name is None else name for k, name in enumerate(named)]
        source = source.drop(columns=_repeated(source, levels)).reset_index(names=levels)
    else:
        source = source.reset_index(drop=True)
    source = source.rename(columns=str)
    if not source.columns.is_unique:
        twice = source.columns[source.columns.duplicated()][0]
        raise DataError(f"the pandas frame: two columns are called {twice!r}; rename one of them")
    periods = [name for name in source.columns if isinstance(source.dtypes.get(name), pd.PeriodDtype)]
    return source.assign(**{name: source[name].dt.start_time for name in periods})


def _repeated(source: Any, levels: list[Any]) -> list[Any]:
    """The columns that an index repeats, as after `set_index(…, drop=False)`; of one name only, where they differ."""
    import pandas as pd

    both = [name for name in levels if list(source.columns).count(name) == 1]
    for name in both:
        if not source.index.get_level_values(levels.index(name)).equals(pd.Index(source[name])):
            raise DataError(f"the pandas frame: the index and a column are both called {name!r}; rename one of them")
    return both


def _to_arrow(frame: Any, name: str) -> pa.Table:
    import pyarrow as pa

    try:
        return frame.to_arrow()
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        columns = {key: _array(frame[key].to_list(), f"{name}, column {key!r}") for key in frame.columns}
        return pa.table(columns)


def _is(kind: pa.DataType, *names: str) -> bool:
    import pyarrow.types as types

    return any(getattr(types, f"is_{name}")(kind) for name in names)
