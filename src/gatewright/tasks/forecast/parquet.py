"""The rows of Parquet files that are read part by part: whole series, of about as many rows as a buffer holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gatewright.tasks.errors import DataError, first_line
from gatewright.tasks.forecast.columns import Columns
from gatewright.tasks.table.table import Table, read_table

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["READ", "ParquetRows", "whole_series"]

READ = 1 << 16


@dataclass(frozen=True)
class ParquetRows:
    """The rows of Parquet files, one after the other.

    paths: the files, whose columns may differ in type as far as one fits all. columns: those that are read (all). step:
    rows, at most, that are decoded at a time.
    """

    paths: tuple[Path, ...]
    name: str
    columns: tuple[str, ...] | None = None
    step: int = READ

    def tables(self, begin: int = 0, end: int | None = None) -> Iterator[pa.Table]:
        """Rows begin to end, in pieces. Raises `DataError` where a file is damaged."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        at = 0
        for path in self.paths:
            # A buffer and no reading ahead: a row group is not in memory as a whole.
            with whole_file(path), pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
                for batch, place in self._batches(file, at, begin, end):
                    low, high = max(begin - place, 0), batch.num_rows if end is None else end - place
                    if low < min(high, batch.num_rows):
                        some = pa.Table.from_batches([batch.slice(low, min(high, batch.num_rows) - low)])
                        yield self._fitted(some)
                at += file.metadata.num_rows

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns that are read, each with the type that fits all files. Raises `DataError` where none does."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        found = []
        for path in self.paths:
            with whole_file(path):
                found.append(pq.read_schema(path).remove_metadata())
        try:
            schema = pa.unify_schemas(found, promote_options="permissive")
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise DataError(f"{self.name}: the files' columns do not fit together: {first_line(error)}") from error
        return pa.schema([field for field in schema if self.columns is None or field.name in self.columns])

    def _fitted(self, table: pa.Table) -> pa.Table:
        """Rows of one file with the columns and types of all."""
        import pyarrow as pa

        if table.schema.equals(self.schema):
            return table
        return pa.concat_tables([self.schema.empty_table(), table], promote_options="permissive")

    def _batches(self, file: Any, at: int, begin: int, end: int | None) -> Iterator[tuple[Any, int]]:
        """Batches of the row groups that hold wanted rows, and the row at which each begins."""
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if at + rows > begin and (end is None or at < end):
                place = at
                columns = None if self.columns is None else list(self.columns)
                for batch in file.iter_batches(self.step, row_groups=[group], columns=columns):
                    yield batch, place
                    place += batch.num_rows
            at += rows

    def read(self, begin: int, end: int) -> Table:
        """Rows begin to end as a table."""
        import pyarrow as pa

        return Part(pa.concat_tables(self.tables(begin, end)), self.name, "pyarrow", begin=begin)

    def head(self) -> Table:
        """No rows, but the columns. Raises `DataError` where there are no rows at all."""
        first = next(self.tables(), None)
        if first is None:
            raise DataError(f"{self.name}: no rows; give at least one")
        return read_table(first, name=self.name)


@contextmanager
def whole_file(path: Path) -> Iterator[None]:
    """Raise `DataError` where a Parquet file turns out to be damaged."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path}: not a whole Parquet file: {first_line(error)}; write it again") from error


@dataclass(frozen=True)
class Part(Table):
    """Rows of a file from row `begin` on."""

    begin: int = 0

    def where(self, row: int) -> str:
        return f"row {row + self.begin}"


def whole_series(rows: ParquetRows, columns: Columns, buffer: int) -> Iterator[Part]:
    """Stretches of whole series of about `buffer` rows.

    Raises `DataError` where a series is longer.
    """
    import pyarrow as pa

    begin, kept = 0, None
    for table in rows.tables():
        kept = table if kept is None else pa.concat_tables([kept, table])
        if kept.num_rows >= buffer:
            cut = _last_change(kept, columns.series)
            if cut == 0:
                name = "/".join(str(kept.column(column)[0].as_py()) for column in columns.series)
                raise DataError(
                    f"{rows.name}: series {name!r} (from row {begin} on) does not fit the buffer of {buffer:,} rows; "
                    "raise buffer_rows"
                )
            yield Part(kept.slice(0, cut).combine_chunks(), rows.name, "pyarrow", begin=begin)
            begin, kept = begin + cut, kept.slice(cut).combine_chunks()
    if kept is not None and kept.num_rows:
        yield Part(kept, rows.name, "pyarrow", begin=begin)


def _last_change(table: pa.Table, names: tuple[str, ...]) -> int:
    """The row from which on the series is the last row's; 0 where it is one series."""
    import pyarrow as pa
    import pyarrow.compute as pc

    compute: Any = pc
    alike = np.ones(table.num_rows, bool)
    for name in names:
        column = table.column(name).combine_chunks()
        column = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        alike &= compute.equal(column, column[-1]).fill_null(False).to_numpy(zero_copy_only=False)
    others = np.flatnonzero(~alike)
    return int(others[-1]) + 1 if len(others) else 0
