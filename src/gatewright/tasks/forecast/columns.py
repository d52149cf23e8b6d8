"""Which columns of a table hold what a forecast needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from gatewright.tasks.errors import DataError, SettingsError
from gatewright.tasks.forecast.time import Frequency

if TYPE_CHECKING:
    from gatewright.tasks.table.table import Table

__all__ = ["Columns"]

TIMES = ("time", "date", "datetime", "timestamp", "ds", "month", "day", "week", "quarter", "year", "step", "t")
SERIES = ("series", "unique_id", "series_id", "item_id", "id")
TARGETS = ("y", "target", "value")


@dataclass(frozen=True)
class Columns:
    """The columns of a table in long format, by their role.

    series: what tells one series from another (none: the table is one series; several: their combination). time: the
    time stamps, or whole numbers of steps (none: rows are a step apart, as they stand). target: what is forecast;
    several are series of their own that share covariates. known: covariates whose future is known; past: covariates
    that are known until now; static: one value a series. Text is a category, anything else a number.
    freq: the frequency, where it shall not be found ("15min", "h", "D", "W", "B", "MS", "ME", "QS", "YS", or a number
    of steps). irregular: "steps" lets times order the rows only, however far apart they are.

    >>> Columns.of(target="y", known=["price", "holiday"]).known
    ('price', 'holiday')
    """

    series: tuple[str, ...] = ()
    time: str | None = None
    target: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    past: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    freq: str | None = None
    irregular: Literal["error", "steps"] = "error"

    @classmethod
    def of(
        cls,
        *,
        series: str | Iterable[str] | None = None,
        time: str | None = None,
        target: str | Iterable[str] | None = None,
        known: str | Iterable[str] | None = (),
        past: str | Iterable[str] | None = (),
        static: str | Iterable[str] | None = (),
        freq: str | int | None = None,
        irregular: Literal["error", "steps"] = "error",
    ) -> Self:
        """Columns from one name or several for each role.

        Raises `SettingsError` where a column has two roles, or `freq` or `irregular` is none of the known.
        """
        if freq is not None:
            Frequency.parse(freq)
        if irregular not in ("error", "steps"):
            raise SettingsError(f"setting irregular: expected error or steps, got {irregular!r}")
        made = cls(
            series=_several(series),
            time=time,
            target=_several(target),
            known=_several(known),
            past=_several(past),
            static=_several(static),
            freq=None if freq is None else str(freq),
            irregular=irregular,
        )
        made._refuse_two_roles()
        return made

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Columns from what `to_dict` gave."""
        several = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return cls(**{**values, **several})

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in dataclasses.asdict(self).items()}

    @property
    def covariates(self) -> tuple[str, ...]:
        """All but series, time and target."""
        return (*self.known, *self.past, *self.static)

    @property
    def all(self) -> tuple[str, ...]:
        """Every column that is read."""
        return (*self.series, *([self.time] if self.time else []), *self.target, *self.covariates)

    def found_in(self, table: Table) -> Self:
        """These columns with those filled in that were left open: the time, the series and the target.

        The time is the only column of time stamps, or one that is called so (time, date, ds, …); the series a column
        that is called series, unique_id, series_id, item_id or id; the target one called y, target or value, or the
        only column of numbers that is left.

        Raises `DataError` where a named column is not there, or several could be the target.
        """
        for role in ("series", "target", "known", "past", "static"):
            table.require(*getattr(self, role), role=role)
        if self.time is not None:
            table.require(self.time, role="time")
        named = dataclasses.replace(self, time=self.time or _find_time(table, self.all))
        if not named.series:
            named = dataclasses.replace(named, series=_called(table, SERIES, named.all)[:1])
        return named if named.target else dataclasses.replace(named, target=(_find_target(table, named.all),))

    def _refuse_two_roles(self) -> None:
        roles = {role: getattr(self, role) for role in ("series", "target", "known", "past", "static")}
        roles["time"] = (self.time,) if self.time else ()
        seen: dict[str, str] = {}
        for role, names in roles.items():
            for name in names:
                if name in seen:
                    raise SettingsError(f"column {name!r} is named as {seen[name]} and as {role}; leave one out")
                seen[name] = role


def _several(names: str | Iterable[str] | None) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names or ())


def _called(table: Table, names: tuple[str, ...], taken: tuple[str, ...]) -> tuple[str, ...]:
    """The columns that are called one of some names, the first name's first."""
    lower = {column.lower(): column for column in table.columns if column not in taken}
    return tuple(lower[name] for name in names if name in lower)


def _find_time(table: Table, taken: tuple[str, ...]) -> str | None:
    times = [column for column in table.columns if column not in taken and table.is_time(column)]
    if len(times) == 1:
        return times[0]
    called = _called(table, TIMES, taken)
    if len(times) > 1 and not any(name in times for name in called):
        raise DataError(
            f"{table.name}: the columns {', '.join(times)} all hold times; say which one orders the rows (time)"
        )
    return next((name for name in called if not times or name in times), None)


def _find_target(table: Table, taken: tuple[str, ...]) -> str:
    called = _called(table, TARGETS, taken)
    if called:
        return called[0]
    numbers = [column for column in table.columns if column not in taken and table.is_number(column)]
    if len(numbers) == 1:
        return numbers[0]
    left = [column for column in table.columns if column not in taken]
    if numbers:
        said = f"any of {', '.join(numbers)} could be the target; name the column that is to be forecast (target)"
    else:
        said = f"none of the columns left ({', '.join(left) or 'there are none'}) holds numbers, so there is no target"
        said += "; name the column that is to be forecast (target)"
    raise DataError(f"{table.name}: {said}")
