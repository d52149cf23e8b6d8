"""Rows in their places: which series each belongs to, in the order of time, and what their frequency is."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gatewright.tasks.errors import DataError
from gatewright.tasks.forecast.time import (
    DAY,
    Frequency,
    Times,
    all_ends,
    months_of,
    most_common,
    on_the_clock,
    read_times,
    spell_length,
    spell_time,
)

if TYPE_CHECKING:
    import pyarrow as pa
    from jaxtyping import Int

    from gatewright.tasks.forecast.columns import Columns
    from gatewright.tasks.forecast.schema import Schema
    from gatewright.tasks.table.table import Table

__all__ = [
    "Arranged",
    "arrange",
    "check_alike",
    "check_rows",
    "find_frequency",
    "has_pairs",
    "key_name",
    "key_parts",
    "places",
    "some_of",
]

CHANGED = 8  # gaps of one length in a row that are no accident: the frequency has changed
ALL_WIDE = 4  # gaps in a whole series without any neighbours that are no accident
ROOM = 100  # rows that filled gaps may add, for each row that there is


def key_name(key: tuple[str, ...]) -> str:
    """The name of a series, of its columns' values: the value, or several with `/` between (and `\\/` within).

    >>> key_name(("a/b",)), key_name(("a", "1")), key_name(("a/b", "1"))
    ('a/b', 'a/1', 'a\\\\/b/1')
    """
    return "/".join(part.replace("\\", r"\\").replace("/", r"\/") for part in key) if len(key) > 1 else "".join(key)


def key_parts(name: str) -> list[str]:
    """The values that `key_name` has joined."""
    return [re.sub(r"\\(.)", r"\1", part) for part in re.findall(r"(?:^|/)((?:\\.|[^/\\])*)", name)]


@dataclass(frozen=True)
class Arranged:
    """A table's rows, sorted by series and time.

    order: (R,) the table's row of each. group: (R,) its series, counted in the order in which they first occur.
    keys: (G,) the series' names, by column. first: (G + 1,) where each series begins. times: as sorted.
    """

    table: Table
    columns: Columns
    order: Int[np.ndarray, " R"]
    group: Int[np.ndarray, " R"]
    keys: tuple[tuple[str, ...], ...]
    key_columns: dict[str, pa.Array]
    first: Int[np.ndarray, " G1"]
    times: Times
    notes: tuple[str, ...] = ()

    def name(self, group: int) -> str:
        """A series' name, for people."""
        return f"series {key_name(self.keys[group])!r}" if self.columns.series else "the series"

    def say(self, row: int) -> str:
        """A sorted row's place and time, for people."""
        return f"{self.table.where(int(self.order[row]))} ({spell_time(self.times.clock[row], self.times.steps)})"

    def sorted(self, values: Any) -> Any:
        """A column's values in the order of the sorted rows."""
        return values[self.order]


def arrange(table: Table, columns: Columns, trained: Schema | None = None) -> Arranged:
    """Sort a table's rows by series and time. trained: what a model knows, so that times are shown by its time zone.

    Raises:
        DataError: a key or a time is missing or cannot be read, two rows of a series have the same time, or times are
            not of the kind that the model was trained with.
    """
    group, keys, key_columns = _groups(table, columns)
    rows = np.arange(len(table))
    steps = _are_steps(columns, trained)
    times = read_times(table, columns.time, as_steps=steps) if columns.time else Times(rows, rows, steps=True)
    if trained is not None and columns.irregular == "error":
        times = _as_trained(table, times, trained)
    order = np.lexsort((rows, times.elapsed, group))
    notes = () if _in_order(group, times.elapsed) else ("rows were sorted by time",)
    if columns.time and table.is_number(columns.time) and not times.steps:
        notes = (*notes, f"the numbers of column {columns.time!r} are read as dates (with freq='step' as steps)")
    times = Times(times.elapsed[order], times.clock[order], times.zone, times.steps)
    first = np.searchsorted(group[order], np.arange(len(keys) + 1))
    made = Arranged(table, columns, order, group[order], keys, key_columns, first, times, notes)
    if columns.time:
        _refuse_doubles(made)
        return _by_rows(made) if columns.irregular == "steps" else made
    return _by_rows(dataclasses.replace(made, notes=("no column of times: rows are a step apart, as they stand",)))


def _are_steps(columns: Columns, trained: Schema | None) -> bool:
    """Whether whole numbers are steps, even where they all look like dates."""
    if trained is not None:
        return trained.frequency.unit == "step"
    return columns.freq is not None and Frequency.parse(columns.freq).unit == "step"


def _as_trained(table: Table, times: Times, trained: Schema) -> Times:
    steps = trained.frequency.unit == "step"
    if times.steps != steps:
        kinds = ("whole numbers", "time stamps")
        raise DataError(f"{table.name}: the times are {kinds[not times.steps]}; training had {kinds[not steps]}")
    if times.zone == trained.zone or times.steps:
        return times
    if times.zone is None or trained.zone is None:
        had, has = (f"the time zone {zone}" if zone else "no time zone" for zone in (trained.zone, times.zone))
        raise DataError(f"{table.name}: the times have {has}; those of training had {had}; give them alike")
    return Times(times.elapsed, on_the_clock(times.elapsed, trained.zone), trained.zone)


def _groups(table: Table, columns: Columns) -> tuple[Any, tuple[tuple[str, ...], ...], dict[str, pa.Array]]:
    if not columns.series:
        return np.zeros(len(table), np.int64), ((),), {}
    words, row_words = zip(*(_words(table, name) for name in columns.series), strict=True)
    whole = np.ravel_multi_index(row_words, [len(w) for w in words])
    _, firsts, code = np.unique(whole, return_index=True, return_inverse=True)
    by_row = np.argsort(firsts)  # keys in the order in which they first occur
    group = np.argsort(by_row)[code]
    firsts = firsts[by_row]
    keys = tuple(tuple(w[place[row]] for w, place in zip(words, row_words, strict=True)) for row in firsts)
    return group, keys, {name: table.column(name).take(firsts) for name in columns.series}


def _words(table: Table, name: str) -> tuple[list[str], Int[np.ndarray, " rows"]]:
    words, place = table.words(name, "series")
    missing = np.flatnonzero(place < 0)
    if len(missing):
        raise DataError(
            f"{table.name}, column {name!r} (series), {table.where(int(missing[0]))}: the series' name is missing; "
            "give every row one"
        )
    return words, place


def _in_order(group: Any, times: Any) -> bool:
    order = np.argsort(group, kind="stable")
    same = np.diff(group[order]) == 0
    return bool((np.diff(times[order])[same] >= 0).all())


def _by_rows(arranged: Arranged) -> Arranged:
    """The same with times that count the rows of each series."""
    steps = np.arange(len(arranged.group)) - arranged.first[arranged.group]
    times = Times(steps, steps, steps=True)
    return dataclasses.replace(arranged, times=times)


def _refuse_doubles(arranged: Arranged) -> None:
    """Raise `DataError` where two rows of one series have one time."""
    same = (np.diff(arranged.group) == 0) & (np.diff(arranged.times.elapsed) == 0)
    if not same.any():
        return
    rows = np.flatnonzero(same)
    at = int(rows[0])
    one, two = (arranged.table.where(int(arranged.order[k])) for k in (at, at + 1))
    time = spell_time(arranged.times.clock[at], arranged.times.steps)
    if not arranged.columns.series:
        advice = "if the table holds several series, name the column that tells them apart (series); else keep one row"
    else:
        advice = "keep one row, or add the column that tells the rows apart (series)"
    times = arranged.times
    if not times.zone and not times.steps and (times.clock % DAY).any():
        advice += "; where the clock was put back, give times with a time zone or in UTC"
    raise DataError(
        f"{arranged.table.name}: {one} and {two} of {_named(arranged, at)} have the same time, {time} "
        f"({len(rows)} such pairs); {advice}"
    )


def find_frequency(arranged: Arranged) -> Frequency:
    """How far apart the rows are: what `freq` says, else what most rows are; checked on every row.

    Raises:
        DataError: rows are irregular, series differ in their frequency, one changes it, or one row is not enough.
    """
    if arranged.columns.time is None or arranged.columns.irregular == "steps":
        return Frequency()
    given = arranged.columns.freq
    inside = np.flatnonzero(np.diff(arranged.group) == 0)
    if given is not None:
        frequency = Frequency.parse(given)
        if (frequency.unit == "step") != arranged.times.steps:
            kind = "whole numbers" if arranged.times.steps else "time stamps"
            raise DataError(f"{arranged.table.name}: freq is {given!r} but the times are {kind}; give another freq")
        check_rows(arranged, frequency)
        return frequency
    if not has_pairs(arranged):
        raise DataError(f"{arranged.table.name}: no series has two rows, so that there is no frequency; give freq")
    frequency = _guess(arranged, inside)
    check_rows(arranged, frequency)
    check_alike(arranged, frequency)
    return frequency


def has_pairs(arranged: Arranged) -> bool:
    """Whether any series has two rows."""
    return len(arranged.group) > len(arranged.keys)


def _guess(arranged: Arranged, inside: Any) -> Frequency:
    times = arranged.times
    elapsed, clock = (np.diff(t)[inside] for t in (times.elapsed, times.clock))
    if times.steps:
        return Frequency("step", most_common(elapsed))
    if (clock % DAY).any():
        return Frequency("us", most_common(elapsed))
    days, apart = times.clock // DAY, clock // DAY
    if apart.min() >= 28:
        months = most_common(np.diff(months_of(days)[0])[inside])
        if months and (months % 12 == 0 or 12 % months == 0):
            monthly = Frequency("month", months, all_ends(days))
            if not _off(arranged, monthly).any():
                return monthly
    usual = most_common(apart)
    weekday = (days + 3) % 7  # from Monday; 1970 began on a Thursday
    over = (weekday[:-1][inside] == 4) & (apart == 3)
    if usual == 1 and (weekday < 5).all() and over.any():
        return Frequency("business")
    return Frequency("day", usual)


def _off(arranged: Arranged, frequency: Frequency) -> Any:
    """Which rows are not on the frequency's grid from their series' first row on."""
    times = arranged.times.of(frequency)
    anchor = times[arranged.first[:-1]][arranged.group]
    return frequency.at(anchor, frequency.rows(anchor, times)) != times


def check_rows(arranged: Arranged, frequency: Frequency) -> None:
    """Raise `DataError` where a row is not on the frequency's grid."""
    off = np.flatnonzero(_off(arranged, frequency))
    if len(off):
        row = int(off[0])
        if row in arranged.first:  # only these two begin somewhere of their own
            said = f"is no {'business day' if frequency.unit == 'business' else 'last day of a month'}"
        else:
            said = f"comes {_between(arranged, row - 1)} after {arranged.say(row - 1)}"
        raise DataError(
            f"{arranged.table.name}, {_named(arranged, row)}: the frequency is {frequency.name!r}, but "
            f"{arranged.say(row)} {said}; {_ADVICE}"
        )


_ADVICE = "bring the rows to one frequency, name it (freq), or let times order the rows only (irregular='steps')"


def check_alike(arranged: Arranged, frequency: Frequency) -> None:
    """Raise `DataError` where a whole series, or a stretch of one, has a lower frequency than the rest."""
    times = arranged.times.of(frequency)
    rows = frequency.rows(times[arranged.first[:-1]][arranged.group], times)
    apart, inside = np.diff(rows), np.diff(arranged.group) == 0
    wide = inside & (apart > 1)
    run = wide.copy()
    for back in range(1, CHANGED):
        run[back:] &= wide[:-back] & (apart[back:] == apart[:-back])
        run[:back] = False
    rare = [
        g
        for g, (a, b) in enumerate(zip(arranged.first[:-1], arranged.first[1:], strict=True))
        if b - a > ALL_WIDE and apart[a : b - 1].min() > 1
    ]
    at = int(arranged.first[rare[0]]) if rare else int(np.flatnonzero(run)[0]) - CHANGED + 1 if run.any() else None
    if at is None:
        return
    usual = np.flatnonzero(inside & (apart == 1))  # none in a part of a file, perhaps
    one = f"{_pair(arranged, int(usual[0]))} apart" if len(usual) else f"the frequency is {frequency.name!r}"
    raise DataError(f"{arranged.table.name}: mixed frequencies: {one}, but {_pair(arranged, at)}; {_ADVICE}")


def _pair(arranged: Arranged, row: int) -> str:
    one, two, series = arranged.say(row), arranged.say(row + 1), _named(arranged, row)
    return f"{one} and {two} of {series} are {_between(arranged, row)}"


def _named(arranged: Arranged, row: int) -> str:
    return arranged.name(int(arranged.group[row]))


def _between(arranged: Arranged, row: int) -> str:
    times = arranged.times
    return spell_length(int(times.elapsed[row + 1] - times.elapsed[row]), times.steps)


def places(arranged: Arranged, frequency: Frequency) -> tuple[Any, Any, Any]:
    """Each row's place in its series with gaps filled, each series' length, and the time of its first row.

    Raises `DataError` where a gap is so long that filling it would take far more room than the data.
    """
    times = arranged.times.of(frequency)
    starts = times[arranged.first[:-1]]
    rows = frequency.rows(starts[arranged.group], times)
    lengths = rows[arranged.first[1:] - 1] + 1
    most = ROOM * len(rows) + 1_000_000
    if int(lengths.sum()) > most:
        widest = int(np.argmax(np.where(np.diff(arranged.group) == 0, np.diff(rows), 0)))
        raise DataError(
            f"{arranged.table.name}, {_named(arranged, widest)}: between {arranged.say(widest)} and "
            f"{arranged.say(widest + 1)} {int(rows[widest + 1] - rows[widest]) - 1:,} rows are missing; correct the "
            "time or cut the series there"
        )
    return rows, lengths, starts


def some_of(names: list[str]) -> str:
    """The first three of some names, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
