"""Time stamps as whole numbers, and the frequency of a series: how one row follows the other.

A time is a whole number: of steps, or of microseconds since 1970. Steps of less than a day are counted in elapsed time
(so daylight saving changes nothing), days and longer ones on the wall clock of the data's time zone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from gatewright.tasks.errors import DataError, SettingsError

if TYPE_CHECKING:
    import pyarrow as pa
    from jaxtyping import Int

    from gatewright.tasks.table.table import Table

__all__ = [
    "DAY",
    "HOUR",
    "Frequency",
    "Times",
    "as_stamps",
    "has_zone",
    "moments",
    "on_the_clock",
    "read_times",
    "spell_time",
]

SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND
CLOCKS = ("", " %H:%M", " %H:%M:%S", "T%H:%M", "T%H:%M:%S")
DATES = ("%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d-%m-%Y")
FORMATS = ("%Y-%m", "%Y/%m", "%b %Y", "%B %Y", "%b-%Y", *(date + clock for date in DATES for clock in CLOCKS))
CARRIED = 3  # days of the next month that a month of 31 days has where it has 28
LENGTHS = {"us": 1, "ms": 1000, "s": SECOND, "min": MINUTE, "h": HOUR}
MONTHS = {"M": 1, "Q": 3, "Y": 12}


@dataclass(frozen=True)
class Frequency:
    """How far apart the rows of a series are.

    unit: "step", "us" (microseconds), "day", "business" (Monday to Friday) or "month". size: units a row. end: whether
    months are named by their last day.

    >>> Frequency.parse("2h").name, Frequency.parse("MS").season, Frequency.parse("D").season
    ('2h', 12, 7)
    """

    unit: Literal["step", "us", "day", "business", "month"] = "step"
    size: int = 1
    end: bool = False

    @classmethod
    def parse(cls, text: str | int) -> Frequency:
        """A frequency from its name: a whole number of steps, or 15min, h, D, W, B, MS, ME, QS, QE, YS, YE, "2h", …

        Raises `SettingsError` for another.
        """
        found = re.fullmatch(r"(\d*)\s*(us|ms|s|min|h|D|W|B|MS|ME|M|QS|QE|Q|YS|YE|Y|step)", str(text).strip())
        if isinstance(text, int) or (not found and str(text).strip().isdigit()):
            found = re.fullmatch(r"(\d+)(step)?", str(text).strip())
        size = int(found[1] or 1) if found else 0
        if not found or size < 1 or (found[2] == "B" and size > 1):
            raise SettingsError(
                f"setting freq: {text!r} is no frequency; give a number of steps or one of s, min, h, D, W, B, MS, ME, "
                'QS, QE, YS, YE, with a number before where there are several ("15min")'
            )
        unit = found[2] or "step"
        if unit in LENGTHS:
            return cls("us", size * LENGTHS[unit])
        if unit in ("D", "W"):
            return cls("day", size * (7 if unit == "W" else 1))
        if unit == "B":
            return cls("business")
        return cls("step", size) if unit == "step" else cls("month", size * MONTHS[unit[0]], unit[1:] == "E")

    @property
    def name(self) -> str:
        """The name that `parse` reads."""
        if self.unit in ("step", "business"):
            return "B" if self.unit == "business" else f"{self.size if self.size > 1 else ''}step"
        if self.unit == "us":
            names = {length: name for name, length in LENGTHS.items()}
        else:
            names = {1: "D", 7: "W"} if self.unit == "day" else {v: k + "SE"[self.end] for k, v in MONTHS.items()}
        length = max(length for length in names if self.size % length == 0)
        return f"{'' if self.size == length else self.size // length}{names[length]}"

    @property
    def season(self) -> int:
        """Rows in the natural season: of a day (a minute, below that), a week, a year; 1 where there is none."""
        if self.unit == "us":
            whole = DAY if self.size >= MINUTE else MINUTE
            return max(1, whole // self.size) if whole % self.size == 0 else 1
        if self.unit == "day":
            return {1: 7, 7: 52}.get(self.size, 1)
        return {"business": 5, "month": max(1, 12 // self.size)}.get(self.unit, 1)

    @property
    def by_clock(self) -> bool:
        """Whether rows are counted on the wall clock (days and longer) and not in elapsed time."""
        return self.unit in ("day", "business", "month")

    def at(self, anchor: Any, rows: Any) -> Int[np.ndarray, ...]:
        """The times of rows that are counted from `anchor`, the time of row 0."""
        anchor, rows = np.broadcast_arrays(np.asarray(anchor, np.int64), np.asarray(rows, np.int64))
        if self.unit in ("step", "us"):
            return anchor + rows * self.size
        days, clock = anchor // DAY, anchor % DAY
        if self.unit == "day":
            return anchor + rows * self.size * DAY
        if self.unit == "business":
            moved = np.busday_offset(days.astype("datetime64[D]"), rows, roll="forward")
            return moved.astype(np.int64) * DAY + clock
        months, day = months_of(days)
        begin = first_day(months + rows * self.size)
        last = first_day(months + rows * self.size + 1) - 1
        return (last if self.end else np.minimum(begin + day, last)) * DAY + clock

    def rows(self, anchor: Any, times: Any) -> Int[np.ndarray, ...]:
        """The rows of times: the last row that is not after each."""
        anchor, times = np.asarray(anchor, np.int64), np.asarray(times, np.int64)
        if self.unit in ("step", "us"):
            return (times - anchor) // self.size
        if self.unit == "day":
            return (times - anchor) // (self.size * DAY)
        if self.unit == "business":
            days = (
                times - anchor % DAY
            ) // DAY  # the moment of the day decides whether a business day has been reached
            return business_days(days) - business_days(anchor // DAY)
        months = months_of(times // DAY)[0] - months_of(anchor // DAY)[0]
        guess = months // self.size
        return guess - (self.at(anchor, guess) > times)

    def ordinal(self, anchor: int) -> int:
        """The number of a row's time in the count of all rows since 1970 (or 0), for features of its remainder."""
        if self.unit in ("step", "us"):
            return int(anchor // self.size)
        if self.unit == "month":
            return int(months_of(np.asarray(anchor // DAY))[0]) // self.size
        if self.unit == "business":
            return int(business_days(anchor // DAY))
        return int(anchor // DAY) // self.size


def months_of(days: Any) -> tuple[Any, Any]:
    """Months since January 1970 and the day in the month, from 0, of days since 1970."""
    months = np.asarray(days).astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    return months, np.asarray(days) - first_day(months)


def business_days(days: Any) -> Any:
    """Mondays to Fridays from the beginning of the calendar up to days since 1970, these included."""
    return np.busday_count("0001-01-01", np.asarray(days + 1).astype("datetime64[D]")).astype(np.int64)


def first_day(months: Any) -> Any:
    """Days since 1970 at which months since 1970 begin."""
    return np.asarray(months).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)


@dataclass(frozen=True)
class Times:
    """A column of times.

    elapsed: (rows,) steps, or microseconds since 1970, in UTC where there is a time zone. clock: the same on the wall
    clock. zone: the time zone, if the data have one. steps: whether they are whole numbers and no times.
    """

    elapsed: Int[np.ndarray, " rows"]
    clock: Int[np.ndarray, " rows"]
    zone: str | None = None
    steps: bool = False

    def of(self, frequency: Frequency) -> Int[np.ndarray, " rows"]:
        """The times in which a frequency counts."""
        return self.clock if frequency.by_clock else self.elapsed


def read_times(table: Table, name: str, *, as_steps: bool = False) -> Times:
    """A column of a table as times: time stamps, dates, whole numbers, or text that says one of them.

    Whole numbers that all are dates, 20240131 or 202401, are read as such, and as steps with `as_steps`.

    Raises:
        DataError: a time is missing or no time, or the text can be read in two ways; with row and value.
    """
    import pyarrow as pa

    column = table.column(name, "time")
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise DataError(f"{_at(table, name, row)}: the time is missing; give every row one, or leave the row out")
    if table.is_text(name):
        column = _parse(table, name, column)
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return _stamped(column)
    if pa.types.is_integer(column.type):  # also of whole numbers that are written as text
        return _counted(column.cast(pa.int64()).to_numpy(zero_copy_only=False), as_steps)
    if not table.is_number(name) or pa.types.is_boolean(column.type):
        raise DataError(f"{table.name}, column {name!r} (time): expected times, got values of type {column.type}")
    values = table.numbers(name, "time")
    odd = np.flatnonzero(values != np.floor(values))
    if len(odd):
        raise DataError(
            f"{_at(table, name, int(odd[0]))}: expected a whole number of steps or a time stamp, got {values[odd[0]]:g}"
        )
    return _counted(values.astype(np.int64), as_steps)


def _counted(whole: Int[np.ndarray, " rows"], as_steps: bool) -> Times:
    """Whole numbers as the dates that they spell, or as steps."""
    days = None if as_steps else _spelled_days(whole)
    return Times(whole, whole, steps=True) if days is None else Times(days * DAY, days * DAY)


def _spelled_days(whole: Int[np.ndarray, " rows"]) -> Int[np.ndarray, " rows"] | None:
    """Days since 1970 of numbers that all are YYYYMMDD, or the first days of those that all are YYYYMM."""
    low, high = whole.min(initial=2101_00_00), whole.max(initial=0)
    if low >= 1900_01 and high <= 2100_12:
        whole = whole * 100 + 1
    elif not (low >= 1900_01_01 and high <= 2100_12_31):
        return None
    month, day = whole // 100 % 100, whole % 100
    months = (whole // 10_000 - 1970) * 12 + month - 1
    days = first_day(months) + day - 1
    dates = (month >= 1) & (month <= 12) & (day >= 1) & (days < first_day(months + 1))
    return days if dates.all() else None


def to_microseconds(column: pa.Array) -> Int[np.ndarray, " rows"]:
    """Time stamps or dates of any unit as microseconds since 1970."""
    import pyarrow as pa

    zone = getattr(column.type, "tz", None)
    return column.cast(pa.timestamp("us", zone), safe=False).cast(pa.int64()).to_numpy(zero_copy_only=False)


def moments(clock: Int[np.ndarray, " rows"], zone: str | None) -> pa.Array:
    """What a wall clock shows as time stamps of a zone: the first of two where it was put back."""
    import pyarrow as pa
    import pyarrow.compute as pc

    compute: Any = pc
    stamps = pa.array(clock).cast(pa.timestamp("us"))
    return stamps if zone is None else compute.assume_timezone(stamps, zone, ambiguous="earliest", nonexistent="latest")


def as_stamps(times: Int[np.ndarray, " rows"], frequency: Frequency, zone: str | None) -> pa.Array:
    """Times as a frequency counts them as time stamps of a zone."""
    import pyarrow as pa

    return moments(times, zone) if frequency.by_clock else pa.array(times).cast(pa.timestamp("us", zone))


def _stamped(column: pa.Array) -> Times:
    zone = getattr(column.type, "tz", None)
    elapsed = to_microseconds(column)
    return Times(elapsed, on_the_clock(elapsed, zone), zone)


def on_the_clock(elapsed: Int[np.ndarray, ...], zone: str | None) -> Int[np.ndarray, ...]:
    """What the wall clock of a time zone shows at moments in UTC, as microseconds."""
    if zone is None:
        return elapsed
    import pyarrow as pa
    import pyarrow.compute as pc

    stamps = pa.array(elapsed.ravel()).cast(pa.timestamp("us", zone))
    return to_microseconds(pc.local_timestamp(stamps)).reshape(elapsed.shape)  # pyright: ignore[reportAttributeAccessIssue]


def _parse(table: Table, name: str, column: pa.Array) -> pa.Array:
    """Text as time stamps in the one of the known forms that fits every row."""
    import pyarrow as pa
    import pyarrow.compute as pc

    compute: Any = pc
    try:
        return column.cast(pa.timestamp("us", "UTC") if has_zone(column[0].as_py()) else pa.timestamp("us"))
    except pa.ArrowInvalid:  # it is not ISO 8601 throughout: other forms are tried, and none found is an error
        pass
    parsed = {f: compute.strptime(column, format=f, unit="us", error_is_null=True) for f in FORMATS}
    nulls = {f: array.null_count for f, array in parsed.items()}
    fitting = [f for f in FORMATS if nulls[f] == 0]
    if fitting:
        _refuse_two_readings(table, name, column, [parsed[f] for f in fitting])
        _refuse_no_days(table, name, column, fitting[0], parsed[fitting[0]])
        return parsed[fitting[0]]
    if all(_is_whole(value) for value in column.to_pylist()):
        return column.cast(pa.int64())
    best = min(FORMATS, key=lambda f: nulls[f])
    row = int(np.flatnonzero(parsed[best].is_null().to_numpy(zero_copy_only=False))[0])
    raise DataError(
        f"{_at(table, name, row)}: {column[row].as_py()!r} cannot be read as a time; write times as "
        "2024-01-31 or 2024-01-31 18:00:00, all in one form, or as whole numbers"
    )


def _refuse_two_readings(table: Table, name: str, column: pa.Array, readings: list[pa.Array]) -> None:
    for other in readings[1:]:
        differ = np.flatnonzero(to_microseconds(other) != to_microseconds(readings[0]))
        if len(differ):
            row = int(differ[0])
            one, two = (spell_time(to_microseconds(reading)[row]) for reading in (readings[0], other))
            raise DataError(
                f"{_at(table, name, row)}: {column[row].as_py()!r} may be {one} or {two}; write times as 2024-01-31"
            )


def _refuse_no_days(table: Table, name: str, column: pa.Array, form: str, parsed: pa.Array) -> None:
    """Arrow reads the 30th of February as the 1st or 2nd of March."""
    import pyarrow.compute as pc

    compute: Any = pc
    for row in np.flatnonzero(compute.day(parsed).to_numpy() <= CARRIED if "%d" in form else ()):
        text = column[int(row)].as_py()
        try:
            datetime.strptime(text.strip(), form)
        except ValueError as error:
            raise DataError(f"{_at(table, name, int(row))}: {text!r} is no day of the calendar; correct it") from error


def has_zone(text: str) -> bool:
    return re.search(r"\d{2}:\d{2}.*(Z|[+-]\d{2}:?\d{2})$", text.strip()) is not None


def _is_whole(text: str) -> bool:
    return re.fullmatch(r"\s*-?\d+\s*", text) is not None


def _at(table: Table, name: str, row: int) -> str:
    return f"{table.name}, column {name!r} (time), {table.where(row)}"


def spell_time(time: int, steps: bool = False) -> str:
    """A time for people: 2024-01-31, 2024-01-31 18:00, or the number of a step."""
    if steps:
        return str(int(time))
    text = str(np.datetime64(int(time), "us")).replace("T", " ")
    text = text.removesuffix(".000000").removesuffix(":00")
    return text.removesuffix(" 00:00")


def spell_length(length: int, steps: bool = False) -> str:
    """The time between two rows for people."""
    if steps:
        return f"{length} steps"
    for name, unit in (("days", DAY), ("hours", HOUR), ("minutes", MINUTE)):
        if length % unit == 0:
            return f"{length // unit} {name if length != unit else name[:-1]}"
    return f"{length / SECOND:g} seconds"


def most_common(values: Int[np.ndarray, " n"]) -> int:
    """The value that occurs most, the smallest of those that occur as often."""
    found, counts = np.unique(values, return_counts=True)
    return int(found[np.argmax(counts)])


def all_ends(days: Int[np.ndarray, " n"]) -> bool:
    """Whether all days are the last of their months."""
    months, _ = months_of(days)
    return bool((first_day(months + 1) - 1 == days).all())
