"""Tables into series: in training, where scales and vocabularies are learned, and afterwards."""

from __future__ import annotations

import dataclasses
import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from gatewright.tasks.errors import DataError
from gatewright.tasks.forecast.arrange import Arranged, arrange, check_rows
from gatewright.tasks.forecast.scaling import series_scale
from gatewright.tasks.forecast.schema import Learner, Schema
from gatewright.tasks.forecast.series import SeriesSet, build
from gatewright.tasks.forecast.time import Frequency, as_stamps, moments, on_the_clock, read_times, to_microseconds
from gatewright.tasks.table.table import Table, read_table

if TYPE_CHECKING:
    from jaxtyping import Bool, Int

__all__ = [
    "ends_in",
    "ends_of",
    "forecast_columns",
    "join",
    "learn",
    "measured",
    "moment_of",
    "read_series",
    "rows_after",
    "rows_from",
]


@dataclasses.dataclass(frozen=True)
class Joined(Table):
    """Several tables, one after the other; messages call a row by the table that it came from."""

    parts: tuple[Table, ...] = ()

    def where(self, row: int) -> str:
        for part in self.parts:
            if row < len(part):
                return f"{part.where(row)} of {part.name}"
            row -= len(part)
        raise IndexError(row)


def join(tables: list[Table]) -> Table:
    """Tables one after the other; a column that one has not is missing there.

    Raises `DataError` where a column has types that do not fit together.
    """
    import pyarrow as pa

    first = tables[0]
    try:
        whole = pa.concat_tables([table.arrow for table in tables], promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        kinds = {name: [t.arrow.schema.field(name).type for t in tables if name in t.columns] for name in first.columns}
        name = next((n for n, types in kinds.items() if len(set(types)) > 1), first.columns[0])
        raise DataError(
            f"{' and '.join(table.name for table in tables)}: column {name!r} has the types "
            f"{' and '.join(map(str, kinds[name]))}; bring them to one"
        ) from error
    return Joined(whole, first.name, first.library, parts=tuple(tables))


def read_series(schema: Schema, data: Any, future: Any, *, unseen: str, name: str | None) -> SeriesSet:
    """What `Schema.read` does."""
    table = read_table(data, name=name)
    columns = schema.columns
    if columns.time and columns.time not in table.columns:
        schema = _without_times(schema, table)
        columns = schema.columns
    table.require(*columns.target, role="target")
    table.require(*columns.past, role="past")
    if future is not None:
        later = read_table(future, name=None if isinstance(future, Table) else "future")
        wanted = [*columns.series, *([columns.time] if columns.time else []), *columns.known]
        later.require(*wanted, role="future")
        kept = [c for c in later.columns if c in wanted]
        later = Table(later.arrow.select(kept), later.name, later.library, later.first_line)
        if columns.time and columns.irregular == "error":
            later = later.take(rows_after(arrange(table, columns, schema), arrange(later, columns, schema)))
        table = join([table, later])
    arranged = arrange(table, columns, schema)
    check_rows(arranged, schema.frequency)
    return measured(build(arranged, schema, unseen=unseen), schema)


def rows_after(first: Arranged, later: Arranged) -> Int[np.ndarray, " n"]:
    """The rows of a later table that come after the last one of their series in the first, or are of new series."""
    return np.sort(later.order[later.times.elapsed > ends_in(later, ends_of(first))])


def ends_of(arranged: Arranged) -> dict[tuple[str, ...], int]:
    """The last time of each series."""
    return dict(zip(arranged.keys, arranged.times.elapsed[arranged.first[1:] - 1].tolist(), strict=True))


def ends_in(arranged: Arranged, ends: dict[tuple[str, ...], int]) -> Int[np.ndarray, " R"]:
    """For each row the last time of its series, before all times where the series is a new one."""
    return np.array([ends.get(key, -(2**62)) for key in arranged.keys])[arranged.group]


def _without_times(schema: Schema, table: Table) -> Schema:
    calendar = schema.calendar
    if calendar.cycles or calendar.periods:
        uses = ", ".join([*calendar.cycles, *(f"period {p}" for p in calendar.periods)])
        table.require(str(schema.columns.time), role=f"time; the model uses {uses}")
    columns = dataclasses.replace(schema.columns, time=None)
    return dataclasses.replace(schema, columns=columns, frequency=Frequency())


def measured(series: SeriesSet, schema: Schema, train: Int[np.ndarray, " G"] | None = None) -> SeriesSet:
    """A set whose new series have scales of their own.

    train: rows of each key for training, which measure a series where the model is to remember none; else a series that
    it does not know is measured by what comes before each origin.
    """
    location, scale = series.location.copy(), series.scale.copy()
    unknown = series.code == 0
    for item in np.flatnonzero(unknown):
        values = series.values(int(item))
        values = values if train is None else values[: train[item // series.channels]]
        values = np.log(values) if schema.scaling.log else values
        location[item], scale[item] = series_scale(values, schema.scaling.series)
    growing = unknown & (train is None or len(schema.series) > 0)
    return dataclasses.replace(series, location=location, scale=scale, growing=growing)


def learn(learner: Learner, arranged: Arranged, train: Bool[np.ndarray, " R"]) -> None:
    """Take in the covariates of sorted rows that training may look at."""
    table = arranged.table
    for name in arranged.columns.covariates:
        if table.is_text(name):
            words, place = table.words(name)
            learner.category(name, [words[k] for k in np.unique(place[arranged.order[train]]) if k >= 0])
        else:
            learner.number(name, arranged.sorted(table.numbers(name, "covariate"))[train])


def rows_from(
    frequency: Frequency, starts: Int[np.ndarray, " G"], zone: str | None, steps: bool, when: Any
) -> Int[np.ndarray, " G"]:
    """Each series' first row that is not before a time. when: a date as text or datetime, or a step.

    Raises `DataError` where it is no time of the data's kind.
    """
    moment = moment_of(frequency, zone, steps, when)
    return frequency.rows(starts, np.full_like(starts, moment - 1)) + 1


def moment_of(frequency: Frequency, zone: str | None, steps: bool, when: Any) -> int:
    """A time as a frequency counts; without an offset it is of the time zone. Raises `DataError` where it is none."""
    if steps != (isinstance(when, (int, np.integer)) and not isinstance(when, bool)):
        kind = "a whole number of steps" if steps else "a date (2024-01-31)"
        raise DataError(f"{when!r}: expected {kind}, as the data's times are")
    if steps:
        return int(when)
    value = when.item() if isinstance(when, np.datetime64) else when
    if not isinstance(value, (str, datetime.date)):
        raise DataError(f"{when!r}: expected a date (2024-01-31), as the data's times are")
    column = read_table({"date": [value]}, name=repr(when))
    try:
        times = read_times(column, "date")
    except DataError as error:
        raise DataError(f"{when!r}: expected a date (2024-01-31), as the data's times are") from error
    if times.steps:
        raise DataError(f"{when!r}: expected a date (2024-01-31), as the data's times are")
    if zone is None:
        return int(times.elapsed[0])
    elapsed = times.elapsed if times.zone else to_microseconds(moments(times.clock, zone))
    return int((on_the_clock(elapsed, zone) if frequency.by_clock else elapsed)[0])


def forecast_columns(windows: Any, table: Table) -> dict[str, Any]:
    """The series columns and the time of all steps that windows forecast, in the table's own types and time zone.

    Rows are window by window, step by step; with several target columns, windows of one key follow each other, and each
    gets its rows.
    """
    import pyarrow as pa

    series, schema = windows.series, windows.schema
    horizon = schema.horizon
    columns: dict[str, Any] = {}
    for name, column in series.key_columns.items():
        columns[name] = column.take(pa.array(np.repeat(windows.key, horizon)))
    rows = windows.origin[:, None] + np.arange(horizon)
    times = series.frequency.at(series.starts[windows.key][:, None], rows).ravel()
    name = schema.columns.time or "step"
    given = table.arrow.schema.field(name).type if name in table.columns else None
    if series.steps:
        whole = given is not None and pa.types.is_integer(given)
        return {**columns, name: pa.array(times).cast(given) if whole else pa.array(times)}
    stamps = as_stamps(times, series.frequency, series.zone)
    if given is None or not (pa.types.is_timestamp(given) or pa.types.is_date(given)):
        days = series.frequency.by_clock and not (times % 86_400_000_000).any()
        given = pa.date32() if days and not series.zone else stamps.type
    return {**columns, name: stamps.cast(given, safe=False)}
