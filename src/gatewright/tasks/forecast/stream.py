"""Training on more series than memory holds: a Parquet file, read in parts that fit a buffer.

The file is read once to find the parts, the lengths and scales of series, and the vocabularies; of each series a few
numbers are kept. An epoch then goes through the parts in a random order; the windows of a batch come from one part.
Rows of a series must lie together. A table of validation is in memory: its rows go on where the series of a part end.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gatewright.tasks.errors import DataError
from gatewright.tasks.forecast.arrange import (
    Arranged,
    arrange,
    check_alike,
    check_rows,
    find_frequency,
    has_pairs,
)
from gatewright.tasks.forecast.columns import Columns
from gatewright.tasks.forecast.data import (
    ForecastData,
    Wanted,
    counts_of,
    going_on,
    make_source,
    nothing_later,
    refuse_nothing,
    training_origins,
    training_rows,
    validation_table,
)
from gatewright.tasks.forecast.parquet import READ, ParquetRows, whole_series
from gatewright.tasks.forecast.reading import join, measured
from gatewright.tasks.forecast.schema import Schema
from gatewright.tasks.forecast.series import SeriesSet, build
from gatewright.tasks.forecast.source import InMemory, Source
from gatewright.tasks.forecast.survey import Survey
from gatewright.tasks.forecast.time import Frequency, Times
from gatewright.tasks.forecast.windows import Batch, Windows, thinned
from gatewright.tasks.table.files import parquet_files
from gatewright.tasks.table.table import Table

if TYPE_CHECKING:
    from jaxtyping import Float, Int

__all__ = ["Streamed", "prepare_stream"]


@dataclass(frozen=True)
class Piece:
    """Whole series that lie together.

    rows: begin and end in the file, none where the series are of the validation table alone. keys: begin and end among
    all keys. later: the rows of the validation table that go on.
    """

    rows: tuple[int, int]
    keys: tuple[int, int]
    later: Table | None = None

    def read(self, rows: ParquetRows) -> Table:
        """All rows as a table."""
        begin, end = self.rows
        tables = [*([rows.read(begin, end)] if end > begin else []), *([self.later] if self.later else [])]
        return join(tables) if len(tables) > 1 else tables[0]


class Streamed(Source):
    """Windows of series that are read from a file part by part, each when its batches come.

    train, lengths: (G,) training rows of every key, and rows up to its last value. sizes: (N,) of every series. pieces:
    the parts.
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
    ) -> None:
        self.rows, self.schema, self.pieces, self.train, self.sizes = rows, schema, pieces, train, sizes
        self.wanted, self.lengths = wanted, lengths
        self.channels = len(schema.columns.target)
        stride = wanted.sampling.stride
        low, high = training_origins(schema.context, schema.horizon, train, lengths, stride)
        usable = self.channels * np.maximum((high - low) // stride + 1, 0)
        held = self.channels * np.maximum((lengths - schema.horizon - np.maximum(train, 1)) // stride + 1, 0)
        self.training = self._by_piece(usable)
        self.held = self._by_piece(held)
        self.training_windows = int(self.training.sum())
        at_most = wanted.evaluation_windows
        count = int(self.held.sum())
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
        if self._validation is None:  # read once: at most `evaluation_windows` are kept
            self._validation = list(self._held(batch_size))
        for batch in self._validation:
            mine = batch[slice(rank, None, world)]
            if len(mine):
                yield mine

    @property
    def valid(self) -> Windows:
        return self.piece(int(np.argmax(self.held))).valid

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
        arranged = arrange(piece.read(self.rows), self.schema.columns, self.schema)
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
    later = validation_table(validation)
    survey = Survey(wanted.horizon, wanted.scaling, validation if later is None else None)
    pieces, frequency, times = _first_reading(rows, columns, survey, wanted, buffer, later)
    schema = wanted.schema(columns, frequency, survey, times)
    train, lengths = np.array(survey.train), np.array(survey.lengths)
    source = Streamed(rows, schema, pieces, train, lengths, np.array(survey.sizes), wanted)
    refuse_nothing(str(path), survey, source)
    return ForecastData(
        name=path.name,
        sha256=_digest(source),
        config={"data": schema.to_dict()},
        schema=schema,
        source=source,
        series=source.series(0),
        counts=counts_of(survey) | {"parts": len(pieces)},
        notes=survey.remarks(),
        uncounted=survey.uncounted,
    )


def _first_reading(
    rows: ParquetRows, columns: Columns, survey: Survey, wanted: Wanted, buffer: int, later: Table | None
) -> tuple[list[Piece], Frequency, Times]:
    """The parts of a file, its frequency, and the times of the last part; the survey takes all of them in."""
    frequency = wanted.learned.frequency if wanted.learned else _frequency(rows, columns, buffer)
    pieces: list[Piece] = []
    times: Times | None = None
    for arranged, (begin, end), more in _parts(rows, columns, buffer, later, wanted.learned):
        times = _of_one_kind(arranged, times)
        if columns.irregular == "error":
            check_rows(arranged, frequency)
        if columns.freq is None and columns.irregular == "error":
            check_alike(arranged, frequency)
        train = None if later is None else training_rows(arranged, frequency, end - begin)
        survey.take(arranged, frequency, train)
        keys = len(survey.keys)
        pieces.append(Piece((begin, end), (keys - len(arranged.keys), keys), more))
    assert times is not None  # head() has seen a row
    if later is not None and not any(piece.later for piece in pieces):
        raise nothing_later(later, rows.name)
    return pieces, frequency, times


def _frequency(rows: ParquetRows, columns: Columns, buffer: int) -> Frequency:
    """The frequency of the first part that shows one."""
    arranged = None
    for part in whole_series(rows, columns, buffer):
        arranged = arrange(part, columns)
        if has_pairs(arranged):
            break
    assert arranged is not None  # head() has seen a row
    return find_frequency(arranged)


def _parts(
    rows: ParquetRows, columns: Columns, buffer: int, later: Table | None, learned: Schema | None
) -> Iterator[tuple[Arranged, tuple[int, int], Table | None]]:
    """The parts of a file with what goes on in the validation table: all rows sorted, which of the file they are, and
    those that go on. At last come the series of that table alone.
    """
    left = {} if later is None else _rows_by_key(arrange(later, columns.found_in(later)))
    seen: set[tuple[str, ...]] = set()
    end = 0
    for part in whole_series(rows, columns, buffer):
        arranged, end = arrange(part, columns, learned), part.begin + len(part)
        _refuse_scattered(arranged, seen)
        seen.update(arranged.keys)
        here = [left.pop(key) for key in arranged.keys if key in left]
        more = going_on(part, later.take(np.concatenate(here)), columns) if later is not None and here else None
        if more:
            arranged = arrange(join([part, more]), columns, learned)
        yield arranged, (part.begin, end), more or None
    if later is not None and left:
        more = later.take(np.concatenate(list(left.values())))
        yield arrange(more, columns, learned), (end, end), more


def _rows_by_key(arranged: Arranged) -> dict[tuple[str, ...], Int[np.ndarray, " n"]]:
    """The rows of the table that belong to each series."""
    return dict(zip(arranged.keys, np.split(arranged.order, arranged.first[1:-1]), strict=True))


def _of_one_kind(arranged: Arranged, before: Times | None) -> Times:
    if before is not None and before.steps != arranged.times.steps:
        raise DataError(
            f"{arranged.table.name}: from {arranged.say(0)} on the times are {'no ' * arranged.times.steps}dates, "
            "unlike those before; write them alike, or say that whole numbers are steps (freq='step')"
        )
    return arranged.times


def _refuse_scattered(arranged: Arranged, seen: set[tuple[str, ...]]) -> None:
    for number, key in enumerate(arranged.keys):
        if key in seen:
            row = int(arranged.order[arranged.first[number]])
            raise DataError(
                f"{arranged.table.name}: {arranged.name(number)} goes on at {arranged.table.where(row)}, after others; "
                "a file that is streamed must be sorted by series: sort it, or read it whole (without buffer_rows)"
            )


def _digest(source: Streamed) -> str:
    """A digest of all that training sees, from the files' bytes and the rows of the validation table."""
    whole = hashlib.sha256(json.dumps(source.schema.to_dict(), sort_keys=True).encode())
    for path in source.rows.paths:
        with path.open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    whole.update(source.train.tobytes())
    for piece in source.pieces:
        if piece.later:
            whole.update(_bytes(piece.later))
    return whole.hexdigest()


def _bytes(table: Table) -> bytes:
    """A table's values as bytes, whatever it was made from."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    arrow = table.arrow.replace_schema_metadata(None).combine_chunks()
    with pa.ipc.new_stream(sink, arrow.schema) as writer:
        writer.write_table(arrow)
    return sink.getvalue().to_pybytes()
