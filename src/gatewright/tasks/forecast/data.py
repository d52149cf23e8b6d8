"""Data for forecasting: from a table in long format to windows that a network is trained on."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gatewright.tasks.errors import DataError, SettingsError
from gatewright.tasks.forecast.arrange import Arranged, arrange, find_frequency, key_name
from gatewright.tasks.forecast.calendar import Calendar
from gatewright.tasks.forecast.columns import Columns
from gatewright.tasks.forecast.reading import forecast_columns, join, measured, rows_after
from gatewright.tasks.forecast.scaling import Scaling
from gatewright.tasks.forecast.schema import REMEMBERED, Inputs, Schema
from gatewright.tasks.forecast.series import SeriesSet, build
from gatewright.tasks.forecast.source import InMemory, Sampling, Source
from gatewright.tasks.forecast.survey import Survey
from gatewright.tasks.forecast.time import Frequency, Times
from gatewright.tasks.forecast.windows import Batch, Windows, every_window, final_windows, rolling_windows, thinned
from gatewright.tasks.table.files import is_parquet
from gatewright.tasks.table.table import Table, read_table
from gatewright.tasks.task_job import Prepared

if TYPE_CHECKING:
    from jaxtyping import Bool, Int

__all__ = [
    "Batch",
    "Calendar",
    "Columns",
    "ForecastData",
    "Frequency",
    "InMemory",
    "Inputs",
    "Sampling",
    "Scaling",
    "Schema",
    "SeriesSet",
    "Source",
    "Table",
    "Windows",
    "final_windows",
    "forecast_columns",
    "prepare_forecast",
    "read_table",
    "rolling_windows",
    "thinned",
]

Context = int | Callable[[int, Any], int]


@dataclass(frozen=True)
class ForecastData(Prepared):
    """Prepared data: what training draws from, and what a model must know of them.

    schema: also in `config["data"]`. source: batches of windows. series: all of them, or the first that fit the buffer
    where data are streamed. counts: what was counted. notes: what a user should know. uncounted: the first value
    that is no count, and where it stands.
    """

    schema: Schema = None  # pyright: ignore[reportAssignmentType] - fields after those of Prepared need a default
    source: Source = None  # pyright: ignore[reportAssignmentType]
    series: SeriesSet = None  # pyright: ignore[reportAssignmentType]
    counts: dict[str, Any] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    uncounted: str | None = None

    def describe(self) -> dict[str, Any]:
        """What metrics.json says of the data; JSON values."""
        return {
            **self.counts,
            "frequency": self.schema.frequency.name,
            "context": self.schema.context,
            "horizon": self.schema.horizon,
            "training_windows": self.source.training_windows,
            "validation_windows": self.source.validation_windows,
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Wanted:
    """What was asked for, for both ways of reading."""

    context: Context
    horizon: int
    scaling: Scaling
    calendar: str | tuple[str, ...]
    periods: tuple[int, ...]
    sampling: Sampling
    evaluation_windows: int | None
    learned: Schema | None

    def schema(self, columns: Columns, frequency: Frequency, survey: Survey, times: Times) -> Schema:
        """What the survey has found, as a model keeps it; what an earlier run has learned, where one goes on."""
        if self.learned is not None:
            return self.learned
        lengths = np.array([n for n in survey.train if n > self.horizon] or [0])
        context = self.context if isinstance(self.context, int) else self.context(frequency.season, lengths)
        if context < 1:
            raise SettingsError(f"setting context: expected a number of at least 1, got {context!r}")
        keep = self.trained(survey) & (len(survey.scales) <= REMEMBERED)
        of_series = np.repeat(keep, len(columns.target)).tolist()
        return Schema(
            columns=columns,
            frequency=frequency,
            scaling=self.scaling,
            calendar=Calendar.make(self.calendar, self.periods, frequency, survey.span, steps=times.steps),
            context=int(context),
            horizon=self.horizon,
            numbers=survey.learner.numbers,
            categories=survey.learner.categories,
            series=tuple(map(key_name, compress(survey.keys, keep))),
            locations=tuple(compress(survey.locations, of_series)),
            scales=tuple(compress(survey.scales, of_series)),
            zone=times.zone,
        )

    def trained(self, survey: Survey) -> Bool[np.ndarray, " G"]:
        """Which keys have training windows: of the others nothing is learned, so that a model must not know them."""
        _, high = training_origins(
            0, self.horizon, np.array(survey.train), np.array(survey.lengths), self.sampling.stride
        )
        known = np.array(survey.known).reshape(len(survey.keys), -1).min(1)
        return (high > 0) & (known > 1)


def prepare_forecast(
    data: Any,
    columns: Columns | None = None,
    *,
    context: Context,
    horizon: int,
    scaling: Scaling | None = None,
    calendar: str | Iterable[str] = "auto",
    periods: Iterable[int] = (),
    sampling: Sampling | None = None,
    validation: Any = None,
    evaluation_windows: int | None = 4096,
    learned: Schema | None = None,
) -> ForecastData:
    """Read, check and measure data, and cut them into windows for training and for validation.

    data: a path (CSV, Parquet, a folder of Parquet files), a pandas, polars or Arrow table or a dictionary of lists, in
    long format: a row is one time of one series. columns: their roles (found by name and type). context, horizon: rows
    that a window sees and forecasts; context may be a function of the season and of the (G,) training rows of the
    series. scaling: see `Scaling`. calendar, periods: see `Calendar`. sampling: see `Sampling`; with `buffer_rows` a
    Parquet file is streamed. validation: what is held out: None, the last tenth of every series and at least a horizon;
    a share; the time at which it begins; or a table that continues the data. evaluation_windows: at most so many are
    used, evenly spaced. learned: the schema of an earlier run on the same data, which is kept.

    Raises:
        DataError: with the file, row, column or series; see `read_table` and docs/forecast.md.
        SettingsError: settings that no data would fit.

    >>> frame = {"time": list(range(40)), "y": [float(k % 4) for k in range(40)]}
    >>> data = prepare_forecast(frame, context=8, horizon=4)
    >>> data.schema.columns.target, data.source.training_windows, data.source.validation_windows
    (('y',), 25, 1)
    >>> batch = data.source.batch(epoch=0, index=0)
    >>> batch.context.shape, batch.target.shape
    (torch.Size([25, 8]), torch.Size([25, 4]))
    """
    if horizon < 1:
        raise SettingsError(f"setting horizon: expected a number of at least 1, got {horizon!r}")
    columns, sampling = columns or Columns(), sampling or Sampling()
    names = calendar if isinstance(calendar, str) else tuple(calendar)
    scaling = scaling or Scaling()
    wanted = Wanted(context, horizon, scaling, names, tuple(periods), sampling, evaluation_windows, learned)
    if sampling.buffer_rows is not None and isinstance(data, (str, Path)) and is_parquet(Path(data)):
        from gatewright.tasks.forecast.stream import prepare_stream

        return prepare_stream(Path(data), columns, wanted, validation)
    return _prepare_in_memory(read_table(data), columns, wanted, validation)


def _prepare_in_memory(table: Table, columns: Columns, wanted: Wanted, validation: Any) -> ForecastData:
    columns = columns.found_in(table)
    later, rows = validation_table(validation), len(table)
    if later is not None:
        more = going_on(table, later, columns)
        if not more:
            raise nothing_later(later, table.name)
        table = join([table, more])
    arranged = arrange(table, columns, wanted.learned)
    frequency = wanted.learned.frequency if wanted.learned else find_frequency(arranged)
    survey = Survey(wanted.horizon, wanted.scaling, validation if later is None else None)
    survey.take(arranged, frequency, None if later is None else training_rows(arranged, frequency, rows))
    schema = wanted.schema(columns, frequency, survey, arranged.times)
    train = np.array(survey.train)
    series = measured(build(arranged, schema), schema, train)
    source = make_source(series, schema, train, np.array(survey.lengths), np.array(survey.sizes), wanted)
    refuse_nothing(table.name, survey, source)
    return ForecastData(
        name=table.short,
        sha256=_digest(series, schema, train),
        config={"data": schema.to_dict()},
        schema=schema,
        source=source,
        series=series,
        counts=counts_of(survey),
        notes=survey.remarks(),
        uncounted=survey.uncounted,
    )


def counts_of(survey: Survey) -> dict[str, Any]:
    """How much data there are; JSON values."""
    return {"series": len(survey.scales), "rows": survey.rows, "gaps": survey.gaps, "missing": survey.missing}


def is_moment(validation: Any) -> bool:
    """Whether validation is given as the time at which it begins, and not as a table or a path."""
    import datetime

    if isinstance(validation, (np.datetime64, np.integer, datetime.date)):
        return True
    return isinstance(validation, str) and validation[:4].isdigit() and not Path(validation).exists()


def validation_table(validation: Any) -> Table | None:
    """The table that continues the data; None where validation is a part of them."""
    if validation is None or isinstance(validation, (float, int)) or is_moment(validation):
        return None
    name = None if isinstance(validation, (str, Path, Table)) else "the validation data"
    return read_table(validation, name=name)


def going_on(table: Table, later: Table, columns: Columns) -> Table:
    """The rows of a later table that come after the first, series by series; all, where nothing says which do."""
    if columns.time is None or columns.irregular == "steps":
        return later
    return later.take(rows_after(arrange(table, columns), arrange(later, columns.found_in(later))))


def nothing_later(later: Table, name: str) -> DataError:
    """What is said of a validation table in which nothing goes on."""
    return DataError(f"{later.name}: no row comes after the training data ({name}); give later ones")


def training_rows(arranged: Arranged, frequency: Frequency, count: int) -> Int[np.ndarray, " G"]:
    """Rows of each key up to its last one among the first `count` rows of the table."""
    times = arranged.times.of(frequency)
    rows = frequency.rows(times[arranged.first[:-1]][arranged.group], times)
    return np.maximum.reduceat(np.where(arranged.order < count, rows, -1), arranged.first[:-1]) + 1


def make_source(
    series: SeriesSet,
    schema: Schema,
    train: Int[np.ndarray, " G"],
    ends: Int[np.ndarray, " G"],
    sizes: Any,
    wanted: Wanted,
    part: int = 0,
) -> InMemory:
    """The windows of training, whose horizons end with the training rows; those of validation begin there.

    ends: the rows of each key up to its last value.
    """
    stride, channels = wanted.sampling.stride, series.channels
    low, high = training_origins(schema.context, schema.horizon, train, ends, stride)
    training = every_window(series, schema, np.repeat(low, channels), np.repeat(high, channels), stride)
    high = ends - schema.horizon
    low = high - (high - np.maximum(train, 1)) // stride * stride  # the last possible origin is among them
    valid = every_window(series, schema, np.repeat(low, channels), np.repeat(high, channels), stride)
    return InMemory(training, thinned(valid, wanted.evaluation_windows), wanted.sampling, sizes, part)


def training_origins(context: int, horizon: int, train: Any, ends: Any, stride: int) -> tuple[Any, Any]:
    """The first and the last origin of each key's training windows, a whole number of strides before its end."""
    high = ends - -(-(ends - train + horizon) // stride) * stride
    low = np.clip(context, 1, np.maximum(high, 1))
    return high - (high - low) // stride * stride, high


def refuse_nothing(name: str, survey: Survey, source: Source) -> None:
    """Raise `DataError` where no window is left for training or for validation."""
    longest = int(np.argmax(survey.lengths))
    key = key_name(survey.keys[longest])
    said = f"the longest series{f' ({key})' if key else ''}"
    rows, train, horizon = survey.lengths[longest], survey.train[longest], survey.horizon
    if not source.training_windows:
        raise DataError(
            f"{name}: nothing to train on: {said} has {train} rows before validation begins, and a horizon of "
            f"{horizon} needs at least {horizon + 1}; give longer series or a shorter horizon"
        )
    if not source.validation_windows:
        raise DataError(
            f"{name}: nothing to validate on: {said} has {rows} rows, of which {train} are for training, and a horizon "
            f"of {horizon} must fit after them; at least {2 * horizon + 1} rows are needed: give longer series, a "
            "shorter horizon, or `validation`"
        )


def _digest(series: SeriesSet, schema: Schema, train: Int[np.ndarray, " G"]) -> str:
    """A digest of all that training sees."""
    whole = hashlib.sha256(json.dumps(schema.to_dict(), sort_keys=True).encode())
    whole.update(json.dumps(series.keys).encode())
    s = series
    for array in (s.lengths, s.starts, train, s.target, s.known, s.known_codes, s.past, s.past_codes, s.static):
        whole.update(np.ascontiguousarray(array).tobytes())
    whole.update(np.ascontiguousarray(s.static_codes).tobytes())
    return whole.hexdigest()
