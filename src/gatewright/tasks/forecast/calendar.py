"""Features of the calendar: where a time stands in the hour, the day, the week, the month and the year.

Each is given as sines and cosines, so that the last moment of a cycle lies beside its first.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from gatewright.tasks.errors import SettingsError
from gatewright.tasks.forecast.time import DAY, HOUR, Frequency, first_day, months_of

if TYPE_CHECKING:
    from jaxtyping import Float, Int

__all__ = ["Calendar", "Cycle"]

YEAR = 365.25 * DAY


@dataclass(frozen=True)
class Cycle:
    """Something that comes round: the share of it that has gone by at a time, and how many harmonics describe it."""

    share: Callable[[Any], Any]
    harmonics: int
    length: float  # microseconds


def _of_month(times: Any) -> Any:
    months, day = months_of(times // DAY)
    return day / (first_day(months + 1) - first_day(months))


def _of_year(times: Any) -> Any:
    days = times // DAY
    years = days.astype("datetime64[D]").astype("datetime64[Y]")
    begin, end = (y.astype("datetime64[D]").astype(np.int64) for y in (years, years + 1))
    return (days - begin) / (end - begin)


CYCLES = {
    "minute": Cycle(lambda t: t % (HOUR // 60) / (HOUR / 60), 1, HOUR / 60),
    "hour": Cycle(lambda t: t % HOUR / HOUR, 1, HOUR),
    "day": Cycle(lambda t: t % DAY / DAY, 3, DAY),
    "week": Cycle(lambda t: (t // DAY + 3) % 7 / 7, 3, 7 * DAY),
    "month": Cycle(_of_month, 1, YEAR / 12),
    "year": Cycle(_of_year, 3, YEAR),
}


@dataclass(frozen=True)
class Calendar:
    """Which features of time a network sees.

    cycles: "minute", "hour", "day" (the time of day), "week" (the weekday), "month" (the day), "year" (the day); for
    each, sines and cosines of the first harmonics. periods: numbers of rows that come round, where times are not
    dates; the place in each is counted from the beginning of time, or from 0. age: the logarithm of a row's number in
    its series, which shows a network how much has gone before (Salinas et al. 2020); only for data that always begin
    where the series does.

    >>> Calendar(("day",)).size, Calendar((), (24, 168)).size
    (6, 12)
    """

    cycles: tuple[str, ...] = ()
    periods: tuple[int, ...] = ()
    age: bool = False

    @classmethod
    def make(
        cls, names: str | Iterable[str], periods: Iterable[int], frequency: Frequency, span: float, *, steps: bool
    ) -> Self:
        """A calendar from "auto", "none" or names of cycles, as a list or with a comma between them.

        auto: the cycles that are longer than a row and of which the data (`span` microseconds) hold at least two.
        Raises `SettingsError` for an unknown name, a period below 2, or cycles where times are no dates.
        """
        periods = tuple(periods)
        if bad := [p for p in periods if not isinstance(p, int) or p < 2]:
            raise SettingsError(f"setting periods: expected whole numbers of at least 2, got {bad[0]!r}")
        if names == "auto":
            return cls(() if steps else _fitting(frequency, span), periods)
        listed = [] if names == "none" else names.split(",") if isinstance(names, str) else names
        listed = [name.strip() for name in listed if name.strip()]
        cycles = tuple(name for name in listed if name != "age")
        for name in cycles:
            if name not in CYCLES:
                near = difflib.get_close_matches(name, CYCLES, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known: auto, none, age, {', '.join(CYCLES)}"
                raise SettingsError(f"setting calendar: unknown cycle {name!r}; {hint}")
        if cycles and steps:
            raise SettingsError(
                f"setting calendar: {', '.join(cycles)} need time stamps, but the times are whole numbers; give periods"
            )
        return cls(cycles, periods, "age" in listed)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """A calendar from what `to_dict` gave."""
        return cls(tuple(values["cycles"]), tuple(values["periods"]), values["age"])

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in dataclasses.asdict(self).items()}

    @property
    def size(self) -> int:
        """Features a row."""
        return 2 * sum([CYCLES[c].harmonics for c in self.cycles] + [_harmonics(p) for p in self.periods]) + self.age

    def features(
        self, clock: Int[np.ndarray, " n"], count: Int[np.ndarray, " n"], row: Int[np.ndarray, " n"]
    ) -> Float[np.ndarray, "n F"]:
        """Features of rows: of their times on the clock, and of their numbers since time began and in the series."""
        columns: list[Any] = []
        for name in self.cycles:
            columns += _waves(CYCLES[name].share(clock), CYCLES[name].harmonics)
        for period in self.periods:
            columns += _waves(count % period / period, _harmonics(period))
        if self.age:
            columns.append(np.log10(2.0 + row))
        return np.stack(columns, -1).astype(np.float32) if columns else np.zeros((len(row), 0), np.float32)


def _fitting(frequency: Frequency, span: float) -> tuple[str, ...]:
    row = {"us": frequency.size, "day": frequency.size * DAY, "business": DAY, "month": frequency.size * YEAR / 12}
    length = row[frequency.unit]
    return tuple(name for name, cycle in CYCLES.items() if 1.5 * length <= cycle.length <= span / 2)


def _harmonics(period: int) -> int:
    return min(3, period // 2)


def _waves(share: Any, harmonics: int) -> list[Any]:
    angle = 2 * np.pi * share
    return [wave(k * angle) for k in range(1, harmonics + 1) for wave in (np.sin, np.cos)]
