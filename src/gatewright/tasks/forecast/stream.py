"""Training on more series than memory holds: a Parquet file, read in parts that fit a buffer.

The file is read once to find the parts, the lengths and scales of series, and the vocabularies; of each series a few
numbers are kept. An epoch then goes through the parts in a random order; the windows of a batch come from one part.
Rows of a series must lie together.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gatewright.tasks.errors import DataError, first_line
from gatewright.tasks.forecast.arrange import Arranged, arrange, check_alike, check_rows, find_frequency
from gatewright.tasks.forecast.columns import Columns
from gatewright.tasks.forecast.data import (
    ForecastData,
    Wanted,
    counts_of,
    is_moment,
    make_source,
    refuse_nothing,
    training_origins,
)
from gatewright.tasks.forecast.reading import measured
from gatewright.tasks.forecast.schema import Schema
from gatewright.tasks.forecast.series import SeriesSet, build
from gatewright.tasks.forecast.source import InMemory, Source
from gatewright.tasks.forecast.survey import Survey
from gatewright.tasks.forecast.time import Frequency, Times
from gatewright.tasks.forecast.windows import Batch, Windows, rolling_windows, thinned
from gatewright.tasks.table.files import parquet_files
from gatewright.tasks.table.table import Table, read_table

if TYPE_CHECKING:
    import pyarrow as pa
    from jaxtyping import Float, Int

__all__ = ["ParquetRows", "Streamed", "prepare_stream"]

READ = 1 << 16


@dataclass(frozen=True)
class ParquetRows:
    """The rows of Parquet files, one after the other.

    paths: the files. columns: those that are read (all). step: rows, at most, that are decoded at a time.
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
            try:
                # A buffer and no reading ahead: a row group is not in memory as a whole.
                with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
                    for batch, place in self._batches(file, at, begin, end):
                        low, high = max(begin - place, 0), batch.num_rows if end is None else end - place
                        if low < min(high, batch.num_rows):
                            yield pa.Table.from_batches([batch.slice(low, min(high, batch.num_rows) - low)])
                    at += file.metadata.num_rows
            except (pa.ArrowInvalid, OSError) as error:
                raise DataError(f"{path}: not a whole Parquet file: {first_line(error)}; write it again") from error

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

    def read(self, begin: int, end: int, library: str) -> Table:
        """Rows begin to end as a table."""
        import pyarrow as pa

        return Part(pa.concat_tables(self.tables(begin, end)), self.name, library, begin=begin)

    def head(self) -> Table:
        """No rows, but the columns. Raises `DataError` where there are no rows at all."""
        first = next(self.tables(), None)
        if first is None:
            raise DataError(f"{self.name}: no rows; give at least one")
        return read_table(first, name=self.name)


@dataclass(frozen=True)
class Part(Table):
    """Rows of a file from row `begin` on."""

    begin: int = 0

    def where(self, row: int) -> str:
        return f"row {row + self.begin}"


@dataclass(frozen=True)
class Piece:
    """Whole series that lie together. rows: begin and end in the file; keys: begin and end among all keys."""

    rows: tuple[int, int]
    keys: tuple[int, int]


class Streamed(Source):
    """Windows of series that are read from a file part by part, each when its batches come.

    train: (G,) training rows of every key. sizes: (N,) of every series. pieces: the parts.
    """

    def __init__(
        self,
        rows: ParquetRows,
        schema: Schema,
        pieces: list[Piece],
        train: Int[np.ndarray, " G"],
        lengths: Int[np.ndarray, " G"],
        sizes: Float[np.ndarray, " N"],
        wanted: Wanted,
        valid: Any = None,
    ) -> None:
        self.rows, self.schema, self.pieces, self.train, self.sizes = rows, schema, pieces, train, sizes
        self.wanted, self.lengths, self.given = wanted, lengths, valid
        self.channels = len(schema.columns.target)
        stride = wanted.sampling.stride
        low, high = training_origins(schema, train, lengths, stride)
        usable = self.channels * np.maximum((high - low) // stride + 1, 0)
        held = self.channels * np.maximum((lengths - schema.horizon - np.maximum(train, 1)) // stride + 1, 0)
        self.training = self._by_piece(usable)
        self.held = self._by_piece(held)
        self.training_windows = int(self.training.sum())
        at_most = wanted.evaluation_windows
        count = int(self.held.sum()) if valid is None else len(valid)
        self.validation_windows = count if at_most is None else min(count, at_most)
        self._mass = self._masses(usable)
        self._piece: tuple[int, InMemory] | None = None
        self._validation: list[Batch] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_piece": None, "_validation": None}

    def _by_piece(self, counts: Any) -> Any:
        return np.array([counts[slice(*piece.keys)].sum() for piece in self.pieces])

    def _masses(self, usable: Int[np.ndarray, " G"]) -> Float[np.ndarray, " pieces"]:
        """How often windows come from each part."""
        weights = self.wanted.sampling.weights
        if weights == "windows":
            return self.training
        sizes = self.sizes.reshape(-1, self.channels).sum(1) if weights == "scale" else np.ones(len(usable))
        found = self._by_piece(np.where(usable > 0, sizes, 0.0))
        return found if found.any() else self._by_piece(np.where(usable > 0, 1.0, 0.0))

    def _plan(self) -> Int[np.ndarray, " pieces"]:
        """Batches of an epoch from each part; one at least of each that has windows."""
        size = self.wanted.sampling.batch_size
        whole = (self.wanted.sampling.windows or self.training_windows) / size
        share = np.maximum(np.floor(whole * self._mass / self._mass.sum() + 1e-9), 1)
        return np.where(self.training > 0, share, 0).astype(np.int64)

    def batches(self, epoch: int) -> int:  # noqa: ARG002 - every epoch has as many
        return int(self._plan().sum())

    def batch(self, epoch: int, index: int, rank: int = 0, world: int = 1) -> Batch:
        order = np.random.default_rng([self.wanted.sampling.seed, epoch]).permutation(len(self.pieces))
        ends = self._plan()[order].cumsum()
        place = int(np.searchsorted(ends, index, side="right"))
        piece = int(order[place])
        before = int(ends[place - 1]) if place else 0
        source = self.piece(piece)
        # A part may have fewer batches than come from it; then its windows come again, in another order.
        again, within = divmod(index - before, source.batches(epoch))
        return source.batch(epoch + again * 1_000_003, within, rank, world)

    def validation(self, batch_size: int, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        if self.given is not None:
            yield from self.given[rank::world].batches(batch_size)
            return
        if self._validation is None:  # read once: at most `evaluation_windows` are kept
            self._validation = list(self._held(batch_size))
        for batch in self._validation:
            mine = batch[slice(rank, None, world)]
            if len(mine):
                yield mine

    @property
    def valid(self) -> Windows:
        return self.piece(0).valid if self.given is None else self.given

    def _held(self, batch_size: int) -> Iterator[Batch]:
        ends = self.held.cumsum()
        share = np.diff(np.round(ends / max(ends[-1], 1) * self.validation_windows), prepend=0).astype(np.int64)
        for number, count in enumerate(share):
            if count:
                yield from thinned(self.piece(number).valid, int(count)).batches(batch_size)

    def piece(self, number: int) -> InMemory:
        """A part in memory; the last one stays there."""
        if self._piece is None or self._piece[0] != number:
            self._piece = None  # its room is free before the next one is read
            self._piece = number, self._load(number)
        return self._piece[1]

    def _load(self, number: int) -> InMemory:
        piece = self.pieces[number]
        train, ends = (rows[slice(*piece.keys)] for rows in (self.train, self.lengths))
        series = self.series(number)
        sizes = self.sizes[piece.keys[0] * self.channels : piece.keys[1] * self.channels]
        source = make_source(series, self.schema, train, ends, sizes, self.wanted, part=number)
        if self.training[number] and not source.training_windows:
            raise DataError(
                f"{self.rows.name}, rows {piece.rows[0]} to {piece.rows[1]}: no window has a value both before and "
                "after its origin; leave these series out"
            )
        return source

    def series(self, number: int) -> SeriesSet:
        """The series of a part."""
        piece = self.pieces[number]
        arranged = arrange(self.rows.read(*piece.rows, library="pyarrow"), self.schema.columns)
        return measured(build(arranged, self.schema), self.schema, self.train[slice(*piece.keys)])


def prepare_stream(path: Path, columns: Columns, wanted: Wanted, validation: Any) -> ForecastData:
    """What `prepare_forecast` does, for a Parquet file that is streamed."""
    whole = ParquetRows(tuple(parquet_files(path)), str(path))
    head = whole.head()
    columns = columns.found_in(head)
    if not columns.series or columns.time is None:
        raise DataError(
            f"{path}: a file that is streamed must have a column of series and one of times; name them, or read it as "
            "a whole (without buffer_rows)"
        )
    buffer = wanted.sampling.buffer_rows or READ
    rows = ParquetRows(whole.paths, whole.name, columns.all, min(READ, buffer))
    own = validation is None or isinstance(validation, (float, int)) or is_moment(validation)
    survey = Survey(wanted.horizon, wanted.scaling, validation if own else None, hold_out=own)
    pieces, frequency, times = _first_reading(rows, columns, survey, wanted, buffer)
    schema = wanted.schema(columns, frequency, survey, times)
    valid = None
    if not own:
        valid = rolling_windows(schema.read(validation), schema, at_most=wanted.evaluation_windows)
    train, lengths = np.array(survey.train), np.array(survey.lengths)
    source = Streamed(rows, schema, pieces, train, lengths, np.array(survey.sizes), wanted, valid)
    refuse_nothing(str(path), survey, source)
    return ForecastData(
        name=path.name,
        sha256=_digest(rows, schema, train),
        config={"data": schema.to_dict()},
        schema=schema,
        source=source,
        series=source.series(0),
        counts=counts_of(survey) | {"parts": len(pieces)},
        notes=survey.remarks(),
    )


def _first_reading(
    rows: ParquetRows, columns: Columns, survey: Survey, wanted: Wanted, buffer: int
) -> tuple[list[Piece], Frequency, Times]:
    """The parts of a file, its frequency, and the times of the last part; the survey takes all of them in."""
    pieces: list[Piece] = []
    seen: set[tuple[str, ...]] = set()
    frequency, times = wanted.learned.frequency if wanted.learned else None, None
    for begin, table in _whole_series(rows, columns, buffer):
        arranged = arrange(Part(table, rows.name, "pyarrow", begin=begin), columns)
        _refuse_scattered(arranged, seen)
        frequency, times = frequency or find_frequency(arranged), arranged.times
        if columns.irregular == "error":
            check_rows(arranged, frequency)
        if columns.freq is None and columns.irregular == "error":
            check_alike(arranged, frequency)
        survey.take(arranged, frequency)
        pieces.append(Piece((begin, begin + len(arranged.table)), (len(seen), len(survey.keys))))
        seen.update(arranged.keys)
    assert frequency is not None and times is not None  # head() has seen a row
    return pieces, frequency, times


def _refuse_scattered(arranged: Arranged, seen: set[tuple[str, ...]]) -> None:
    for number, key in enumerate(arranged.keys):
        if key in seen:
            row = int(arranged.order[arranged.first[number]])
            raise DataError(
                f"{arranged.table.name}: {arranged.name(number)} goes on at {arranged.table.where(row)}, after others; "
                "a file that is streamed must be sorted by series: sort it, or read it whole (without buffer_rows)"
            )


def _whole_series(rows: ParquetRows, columns: Columns, buffer: int) -> Iterator[tuple[int, pa.Table]]:
    """Stretches of whole series of about `buffer` rows, each with the row at which it begins.

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
            yield begin, kept.slice(0, cut).combine_chunks()
            begin, kept = begin + cut, kept.slice(cut).combine_chunks()
    if kept is not None and kept.num_rows:
        yield begin, kept


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


def _digest(rows: ParquetRows, schema: Schema, train: Int[np.ndarray, " G"]) -> str:
    """A digest of all that training sees, from the files' bytes."""
    whole = hashlib.sha256(json.dumps(schema.to_dict(), sort_keys=True).encode())
    for path in rows.paths:
        with path.open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    whole.update(train.tobytes())
    return whole.hexdigest()
