"""Series as arrays: values, covariates and features of time, end to end, with room for the horizon after each."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from gatewright.tasks.errors import DataError
from gatewright.tasks.forecast.arrange import Arranged, key_name, places, some_of
from gatewright.tasks.forecast.time import Frequency, on_the_clock, spell_time

if TYPE_CHECKING:
    import pyarrow as pa
    from jaxtyping import Bool, Float, Int

    from gatewright.tasks.forecast.schema import Schema

__all__ = ["SeriesSet", "build", "last_seen", "refuse_no_logarithm", "spread"]


@dataclass(frozen=True)
class SeriesSet:
    """G keys with C target columns are N = G·C series; series g·C + c is column c of key g.

    Row r of key g is slot offsets[g] + r of the arrays over slots. After its lengths[g] rows each key has as many slots
    as the horizon, for what is known of the future; before the first there are as many as the context, so that a window
    is always a slice.

    names: (N,). keys: (G,), by column. offsets: (G + 1,). lengths: (G,). starts: (G,), the time of row 0.
    target: (C, slots), NaN where missing; filled: the last value before, NaN where there is none.
    known, past: (slots, ·) numbers; known_codes, past_codes: (slots, ·) categories; known_given: (slots, columns),
    whether the data had it. static, static_codes: (G, ·). calendar: (slots, F). code: (N,), for an embedding.
    location, scale: (N,), the series' part of the scaling. growing: (N,), whether it is measured by what comes before
    each origin instead.
    """

    names: tuple[str, ...]
    keys: tuple[tuple[str, ...], ...]
    key_columns: dict[str, pa.Array]
    frequency: Frequency
    zone: str | None
    steps: bool  # times are whole numbers, not dates
    offsets: Int[np.ndarray, " G1"]
    lengths: Int[np.ndarray, " G"]
    starts: Int[np.ndarray, " G"]
    target: Float[np.ndarray, "C slots"]
    filled: Float[np.ndarray, "C slots"]
    known: Float[np.ndarray, "slots K"]
    known_codes: Int[np.ndarray, "slots KC"]
    known_given: Bool[np.ndarray, "slots KA"]
    past: Float[np.ndarray, "slots P"]
    past_codes: Int[np.ndarray, "slots PC"]
    static: Float[np.ndarray, "G S"]
    static_codes: Int[np.ndarray, "G SC"]
    calendar: Float[np.ndarray, "slots F"]
    code: Int[np.ndarray, " N"]
    location: Float[np.ndarray, " N"]
    scale: Float[np.ndarray, " N"]
    growing: Bool[np.ndarray, " N"]
    name: str = "the data"
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def channels(self) -> int:
        """Target columns, C."""
        return len(self.target)

    @property
    def season(self) -> int:
        """Rows in the natural season of the frequency; 1 where there is none."""
        return self.frequency.season

    @cached_property
    def ends(self) -> Int[np.ndarray, " G"]:
        """One more than the row of the last value of each key, in any target column; 0 where there is none."""
        found = np.zeros(len(self.keys), np.int64)
        slots = np.flatnonzero(np.isfinite(self.target).any(0))
        key = np.searchsorted(self.offsets, slots, side="right") - 1
        found[key] = slots - self.offsets[key] + 1  # the last one of a key stays
        return found

    def length(self, item: int) -> int:
        """Rows of a series."""
        return int(self.lengths[item // self.channels])

    def values(self, item: int) -> Float[np.ndarray, " n"]:
        """The values of a series as they came, NaN where they are missing."""
        begin = self.offsets[item // self.channels]
        return self.target[item % self.channels, begin : begin + self.length(item)]

    def last(self, item: int) -> int:
        """One more than the row of the last value: where a forecast begins; 0 where there is no value."""
        known = np.flatnonzero(np.isfinite(self.values(item)))
        return int(known[-1]) + 1 if len(known) else 0

    def times(self, item: int, begin: int = 0, end: int | None = None) -> np.ndarray:
        """The times of rows: datetime64[us] on the clock of the data's time zone, or whole numbers."""
        stop = self.length(item) if end is None else end
        times = self.frequency.at(self.starts[item // self.channels], np.arange(begin, stop))
        if self.steps:
            return times
        return self.on_the_clock(times).astype("datetime64[us]")

    def on_the_clock(self, times: Int[np.ndarray, ...]) -> Int[np.ndarray, ...]:
        """Times of this set's frequency as the wall clock shows them."""
        return times if self.frequency.by_clock or self.steps else on_the_clock(times, self.zone)

    def say_time(self, item: int, row: int) -> str:
        """A row's time for people."""
        return spell_time(int(self.times(item, row, row + 1).astype(np.int64)[0]), self.steps)


def build(arranged: Arranged, schema: Schema, *, unseen: str = "warn") -> SeriesSet:
    """Series from sorted rows, in the way that a schema says.

    Raises `DataError` where values are infinite or no numbers, a static column varies within a series, a category is
    unseen (with unseen="error"), or values are not positive (with a log scale).
    """
    rows, lengths, starts = places(arranged, schema.frequency)
    ends = np.cumsum(lengths + schema.horizon) + schema.context
    offsets = np.concatenate([[schema.context], ends])
    slots = Slots(arranged, schema, offsets, offsets[arranged.group] + rows, unseen)
    columns, c = schema.columns, len(schema.columns.target)
    target = np.stack([slots.spread(slots.numbers(name, "target")) for name in columns.target])
    if schema.scaling.log:
        refuse_no_logarithm(arranged, columns.target)
    known, known_codes, given = slots.covariates(columns.known, "known")
    past, past_codes, _ = slots.covariates(columns.past, "past")
    static, static_codes = slots.static(columns.static)
    names = _names(map(key_name, arranged.keys), columns.target)
    code = _codes(names, schema)
    location, scale = np.zeros(len(names)), np.ones(len(names))
    if len(schema.locations):
        seen = code > 0
        location[seen] = np.asarray(schema.locations)[code[seen] - 1]
        scale[seen] = np.asarray(schema.scales)[code[seen] - 1]
    begins = slots.begins()
    return SeriesSet(
        names=names,
        keys=arranged.keys,
        key_columns=arranged.key_columns,
        frequency=schema.frequency,
        zone=arranged.times.zone,
        steps=arranged.times.steps,
        offsets=offsets,
        lengths=lengths,
        starts=starts,
        target=target,
        filled=np.stack([_fill(target[k], begins) for k in range(c)]),
        known=known,
        known_codes=known_codes,
        known_given=given,
        past=past,
        past_codes=past_codes,
        static=static,
        static_codes=static_codes,
        calendar=_calendar(arranged, schema, offsets, starts),
        code=code,
        location=location,
        scale=scale,
        growing=np.zeros(len(names), bool),
        name=arranged.table.name,
        notes=arranged.notes,
    )


def _names(keys: Iterable[str], target: tuple[str, ...]) -> tuple[str, ...]:
    """The names of series: of the key, of the column where there is none, of both where there are several columns."""
    if len(target) == 1:
        return tuple(key or target[0] for key in keys)
    return tuple(f"{key}, {column}" if key else column for key in keys for column in target)


def _codes(names: tuple[str, ...], schema: Schema) -> Int[np.ndarray, " N"]:
    """Each series' place among those of training, from 1; 0 where it is new."""
    place = {name: k + 1 for k, name in enumerate(_names(schema.series, schema.columns.target))}
    return np.array([place.get(name, 0) for name in names], np.int64)


def last_seen(valid: Bool[np.ndarray, " slots"], begins: Int[np.ndarray, " slots"]) -> Int[np.ndarray, " slots"]:
    """For every slot the last valid one up to it in the same series, or -1."""
    found = np.maximum.accumulate(np.where(valid, np.arange(len(valid)), -1))
    return np.where(found >= begins, found, -1)


def _fill(values: Float[np.ndarray, " slots"], begins: Int[np.ndarray, " slots"]) -> Float[np.ndarray, " slots"]:
    seen = last_seen(np.isfinite(values), begins)
    return np.where(seen >= 0, values[seen], np.nan)


def spread(values: Any, slots: Int[np.ndarray, " R"], size: int, missing: Any, kind: Any) -> np.ndarray:
    """Values at their slots, `missing` at all others."""
    whole = np.full(size, missing, kind)
    whole[slots] = values
    return whole


@dataclass(frozen=True)
class Slots:
    """Where each sorted row goes, and the columns that are put there."""

    arranged: Arranged
    schema: Schema
    offsets: Int[np.ndarray, " G1"]
    place: Int[np.ndarray, " R"]
    unseen: str

    @property
    def size(self) -> int:
        """All slots."""
        return int(self.offsets[-1])

    def numbers(self, name: str, role: str) -> Float[np.ndarray, " R"]:
        """A column in the order of sorted rows."""
        return self.arranged.sorted(self.arranged.table.numbers(name, role))

    def codes(self, name: str, role: str) -> Int[np.ndarray, " R"]:
        """A column of categories as their numbers, 0 for what is missing or unseen, in the order of sorted rows."""
        words, place = self.arranged.table.words(name, role)
        known = {word: k + 1 for k, word in enumerate(self.schema.categories[name])}
        code = np.array([*(known.get(word, 0) for word in words), 0], np.int64)  # a missing value's place is -1
        new = [k for k, word in enumerate(words) if word and not code[k]]
        if new:
            self._unseen(name, [words[k] for k in new], np.flatnonzero(np.isin(place, new)))
        return self.arranged.sorted(code[place])

    def _unseen(self, name: str, words: list[str], rows: Int[np.ndarray, " n"]) -> None:
        table = self.arranged.table
        message = f"{table.name}, column {name!r}, {table.where(int(rows[0]))}: training had no {some_of(words)}"
        if self.unseen == "error":
            raise DataError(f"{message}; train with such rows, or let them count as unseen (unseen='warn')")
        warnings.warn(f"{message}; {len(rows)} rows count as unseen", stacklevel=2)

    def spread(self, values: Any, missing: Any = np.nan, kind: Any = np.float64) -> np.ndarray:
        """Sorted rows at their slots."""
        return spread(values, self.place, self.size, missing, kind)

    def begins(self) -> Int[np.ndarray, " slots"]:
        """For every slot where its series begins (those before the first series belong to none)."""
        sizes = np.diff(self.offsets)
        return np.concatenate([np.zeros(self.offsets[0], np.int64), np.repeat(self.offsets[:-1], sizes)])

    def covariates(self, names: tuple[str, ...], role: str) -> tuple[Any, Any, Any]:
        """Numbers (then masks of those that were missing in training), categories, and what the data had.

        What is missing is the last before it, then the mean.
        """
        values, masks, codes, given = [], [], [], []
        begins = self.begins()
        for name in names:
            if number := self.schema.numbers.get(name):
                whole = self.spread(self.numbers(name, role))
                given.append(np.isfinite(whole))
                scaled = (_fill(whole, begins) - number.location) / number.scale
                values.append(np.nan_to_num(scaled, nan=0.0))
                masks += [given[-1].astype(np.float64)] if number.missing else []
            else:
                whole = self.spread(self.codes(name, role), -1, np.int64)
                seen = last_seen(whole >= 0, begins)
                given.append(whole >= 0)
                codes.append(np.where(seen >= 0, whole[seen], 0))
        return (
            _columns([*values, *masks], self.size, np.float32),
            _columns(codes, self.size, np.int64),
            _columns(given, self.size, np.bool_),
        )

    def static(self, names: tuple[str, ...]) -> tuple[Any, Any]:
        """Numbers (then masks) and categories of each key. Raises `DataError` where one varies."""
        values, masks, codes = [], [], []
        for name in names:
            if number := self.schema.numbers.get(name):
                first = self._constant(name, self.numbers(name, "static"))
                values.append(np.nan_to_num((first - number.location) / number.scale, nan=0.0))
                masks += [np.isfinite(first).astype(np.float64)] if number.missing else []
            else:
                found = self.codes(name, "static").astype(np.float64)
                first = self._constant(name, np.where(found > 0, found, np.nan))
                codes.append(np.nan_to_num(first, nan=0.0))
        size = len(self.arranged.keys)
        return _columns([*values, *masks], size, np.float32), _columns(codes, size, np.int64)

    def _constant(self, name: str, values: Float[np.ndarray, " R"]) -> Float[np.ndarray, " G"]:
        """The one value of each key, NaN where it has none."""
        a = self.arranged
        rows = np.flatnonzero(np.isfinite(values))
        first = np.full(len(a.keys), -1, np.int64)
        first[a.group[rows][::-1]] = rows[::-1]
        odd = rows[values[rows] != values[first[a.group[rows]]]]
        if len(odd):
            row, other = int(odd[0]), int(first[a.group[odd[0]]])
            raise DataError(
                f"{a.table.name}, column {name!r} (static): {a.name(int(a.group[row]))} has one value at "
                f"{a.say(other)} and another at {a.say(row)}; give one value a series, or call the column past or known"
            )
        return np.where(first >= 0, values[first], np.nan)


def _columns(columns: list[Any], size: int, kind: Any) -> np.ndarray:
    return np.stack(columns, -1).astype(kind) if columns else np.zeros((size, 0), kind)


def _calendar(arranged: Arranged, schema: Schema, offsets: Any, starts: Any) -> Float[np.ndarray, "slots F"]:
    """Features of time of every slot, those of the horizon after each series among them."""
    frequency, sizes = schema.frequency, np.diff(offsets)
    before = np.zeros((int(offsets[0]), schema.calendar.size), np.float32)
    if not schema.calendar.size:
        return np.zeros((int(offsets[-1]), 0), np.float32)
    row = np.arange(offsets[0], offsets[-1]) - np.repeat(offsets[:-1], sizes)
    times = frequency.at(np.repeat(starts, sizes), row) if schema.calendar.cycles else row
    if schema.calendar.cycles and not frequency.by_clock:
        times = on_the_clock(times, arranged.times.zone)
    count = np.repeat([frequency.ordinal(int(start)) for start in starts], sizes) + row
    return np.concatenate([before, schema.calendar.features(times, count, row)])


def refuse_no_logarithm(arranged: Arranged, names: tuple[str, ...]) -> None:
    """Raise `DataError` for a value that is not above 0."""
    for name in names:
        values = arranged.table.numbers(name, "target")
        bad = np.flatnonzero(values <= 0)
        if len(bad):
            where = f"{arranged.table.name}, column {name!r}, {arranged.table.where(int(bad[0]))}"
            raise DataError(f"{where}: {values[bad[0]]:g} has no logarithm; scale without log")
