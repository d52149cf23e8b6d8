"""What a forecasting model knows of the data that it was trained on, to read others in the same way."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from gatewright.tasks.forecast.calendar import Calendar
from gatewright.tasks.forecast.columns import Columns
from gatewright.tasks.forecast.scaling import Scaling
from gatewright.tasks.forecast.time import Frequency

if TYPE_CHECKING:
    from gatewright.tasks.forecast.series import SeriesSet

__all__ = ["Inputs", "Learner", "Number", "Schema"]

REMEMBERED = 100_000  # series whose scales and names are kept; of more, each is measured when it is read


@dataclass(frozen=True)
class Number:
    """A covariate that is a number: what it is measured by, and whether values were missing in training."""

    location: float
    scale: float
    missing: bool


@dataclass(frozen=True)
class Inputs:
    """Sizes of what a network is given.

    past, known, calendar, static: numeric features. past_categories, known_categories, static_categories: the sizes
    of their embeddings, index 0 for what is missing or was not seen in training. channels: target columns. series: the
    size of an embedding of the series, index 0 for those that were not seen in training.
    """

    past: int = 0
    known: int = 0
    calendar: int = 0
    static: int = 0
    past_categories: tuple[int, ...] = ()
    known_categories: tuple[int, ...] = ()
    static_categories: tuple[int, ...] = ()
    channels: int = 1
    series: int = 1


@dataclass(frozen=True)
class Schema:
    """Columns, frequency, scales and vocabularies of the training data, and the shape of windows.

    context, horizon: rows that a window sees and forecasts. numbers, categories: of the covariates, by column. series:
    the names of the training's series (none, where there were more than 100,000); locations, scales: of these, one for
    each target column. zone: the time zone of the times, if they have one.
    """

    columns: Columns
    frequency: Frequency
    scaling: Scaling
    calendar: Calendar
    context: int
    horizon: int
    numbers: Mapping[str, Number] = field(default_factory=dict)
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    series: tuple[str, ...] = ()
    locations: tuple[float, ...] = ()
    scales: tuple[float, ...] = ()
    zone: str | None = None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """A schema from what `to_dict` gave."""
        return cls(
            columns=Columns.from_dict(values["columns"]),
            frequency=Frequency.parse(values["frequency"]),
            scaling=Scaling.from_dict(values["scaling"]),
            calendar=Calendar.from_dict(values["calendar"]),
            context=values["context"],
            horizon=values["horizon"],
            numbers={name: Number(*number) for name, number in values["numbers"].items()},
            categories={name: tuple(known) for name, known in values["categories"].items()},
            series=tuple(values["series"]),
            locations=tuple(values["locations"]),
            scales=tuple(values["scales"]),
            zone=values["zone"],
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "columns": self.columns.to_dict(),
            "frequency": self.frequency.name,
            "scaling": self.scaling.to_dict(),
            "calendar": self.calendar.to_dict(),
            "context": self.context,
            "horizon": self.horizon,
            "numbers": {name: [n.location, n.scale, n.missing] for name, n in self.numbers.items()},
            "categories": {name: list(known) for name, known in self.categories.items()},
            "series": list(self.series),
            "locations": list(self.locations),
            "scales": list(self.scales),
            "zone": self.zone,
        }

    @property
    def inputs(self) -> Inputs:
        """What a network is built from."""
        c = self.columns
        return Inputs(
            past=self.features(c.past),
            known=self.features(c.known),
            calendar=self.calendar.size,
            static=self.features(c.static),
            past_categories=self._vocabularies(c.past),
            known_categories=self._vocabularies(c.known),
            static_categories=self._vocabularies(c.static),
            channels=len(c.target),
            series=len(self.series) * len(c.target) + 1,
        )

    def features(self, names: tuple[str, ...]) -> int:
        """Numeric features of some covariates: values, and masks of those that were missing in training."""
        return sum(1 + self.numbers[name].missing for name in names if name in self.numbers)

    def _vocabularies(self, names: tuple[str, ...]) -> tuple[int, ...]:
        return tuple(len(self.categories[name]) + 1 for name in names if name in self.categories)

    def read(self, data: Any, future: Any = None, *, unseen: str = "warn", name: str | None = None) -> SeriesSet:
        """Series from any table that has the training's columns.

        future: a table of series, time and known covariates after the last row of `data`; the same may stand in `data`
        itself, as rows whose target is missing. unseen: what a category that training had not means: "warn" (once; it
        counts as unseen) or "error". A series that training had not is measured by its own values. Without a time
        column rows are taken as they stand, where the model uses no calendar.

        Raises `DataError` with the row, column or series.
        """
        from gatewright.tasks.forecast.reading import read_series

        return read_series(self, data, future, unseen=unseen, name=name)


class Learner:
    """Means, spreads and vocabularies of covariates, from one part of the data after the other."""

    def __init__(self) -> None:
        self.sums: dict[str, tuple[int, float, float, bool]] = {}  # count, mean, sum of squares about it, missing
        self.words: dict[str, set[str]] = {}

    def number(self, name: str, values: Any) -> None:
        """Take in values of a numeric covariate (Chan et al. 1979: sums of parts)."""
        known = values[np.isfinite(values)]
        count, mean, squares, missing = self.sums.get(name, (0, 0.0, 0.0, False))
        missing = missing or len(known) < len(values)
        if len(known):
            more, total = float(known.mean()), count + len(known)
            squares += float(((known - more) ** 2).sum()) + (more - mean) ** 2 * count * len(known) / total
            mean += (more - mean) * len(known) / total
            count = total
        self.sums[name] = (count, mean, squares, missing)

    def category(self, name: str, values: list[str]) -> None:
        """Take in values of a categorical covariate."""
        self.words.setdefault(name, set()).update(value for value in values if value)

    @property
    def numbers(self) -> dict[str, Number]:
        """What numbers are measured by; 1 where they do not vary."""
        found = {}
        for name, (count, mean, squares, missing) in self.sums.items():
            spread = math.sqrt(squares / count) if count else 0.0
            found[name] = Number(mean, spread if spread > 1e-9 * abs(mean) else 1.0, missing)
        return found

    @property
    def categories(self) -> dict[str, tuple[str, ...]]:
        """Vocabularies, sorted, so that they do not depend on the order of rows."""
        return {name: tuple(sorted(words)) for name, words in self.words.items()}
