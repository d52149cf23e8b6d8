"""What is learned from the training part of the data before there are windows: lengths, scales, vocabularies."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from gatewright.tasks.errors import DataError, SettingsError
from gatewright.tasks.forecast.arrange import Arranged, key_name, places, some_of
from gatewright.tasks.forecast.reading import learn, rows_from
from gatewright.tasks.forecast.scaling import Scaling, series_scale
from gatewright.tasks.forecast.schema import Learner
from gatewright.tasks.forecast.series import refuse_no_logarithm

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from gatewright.tasks.forecast.time import Frequency

__all__ = ["Survey"]

TENTH = 0.1  # of each series is for validation, and at least a horizon


@dataclass
class Survey:
    """Taken of all the data at once, or of one part after the other.

    horizon, scaling: as asked for. validation: a share, a time, or None for the last tenth. keys, lengths, train: of
    each key its name, the rows up to its last value, and those for training. locations, scales, sizes, known: of each
    series; size is the mean of |y|, known the number of values in training. uncounted: the first value that is no
    count, for people.
    """

    horizon: int
    scaling: Scaling
    validation: Any = None
    learner: Learner = field(default_factory=Learner)
    keys: list[tuple[str, ...]] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    train: list[int] = field(default_factory=list)
    locations: list[float] = field(default_factory=list)
    scales: list[float] = field(default_factory=list)
    sizes: list[float] = field(default_factory=list)
    known: list[int] = field(default_factory=list)
    rows: int = 0
    gaps: int = 0  # rows that were not in the table
    missing: int = 0  # values that were, but empty
    constant: list[str] = field(default_factory=list)
    span: int = 0  # of the longest training part, in the times' units
    notes: list[str] = field(default_factory=list)
    uncounted: str | None = None

    def take(self, arranged: Arranged, frequency: Frequency, train: Int[np.ndarray, " G"] | None = None) -> None:
        """Take in sorted rows. train: rows of each key that are for training, where a table says so.

        Raises `DataError` for a series without values, or without a logarithm.
        """
        columns = arranged.columns
        if self.scaling.log:
            refuse_no_logarithm(arranged, columns.target)
        rows, lengths, starts = places(arranged, frequency)
        values = np.stack([arranged.sorted(arranged.table.numbers(name, "target")) for name in columns.target])
        present = np.isfinite(values)
        _refuse_empty(arranged, np.add.reduceat(present, arranged.first[:-1], axis=1, dtype=np.int64))
        ends = np.maximum.reduceat(np.where(present.any(0), rows, -1), arranged.first[:-1]) + 1
        train = self._split(frequency, starts, ends, arranged) if train is None else np.minimum(train, ends)
        seen = rows < train[arranged.group]
        learn(self.learner, arranged, seen)
        self._measure(arranged, values, seen)
        self._count(arranged, rows, lengths, ends, present)
        self.uncounted = self.uncounted or _no_count(arranged, values)
        times = arranged.times.elapsed
        last = arranged.first[1:] - 1
        self.span = max(self.span, int((times[last] - times[arranged.first[:-1]]).max()))
        self.keys += arranged.keys
        self.lengths += ends.tolist()
        self.train += train.tolist()

    def _split(self, frequency: Frequency, starts: Any, ends: Any, arranged: Arranged) -> Int[np.ndarray, " G"]:
        """Rows of each key that are for training."""
        if self.validation is None or isinstance(self.validation, float):
            share = TENTH if self.validation is None else self.validation
            if not 0 < share < 1:
                raise SettingsError(f"setting validation: expected a share between 0 and 1, got {share!r}")
            held = ends - np.maximum(self.horizon, np.round(share * ends).astype(np.int64))
            short = ends - self.horizon
            return np.where(held > self.horizon, held, np.where(short > self.horizon, short, ends))
        times = arranged.times
        return np.clip(rows_from(frequency, starts, times.zone, times.steps, self.validation), 0, ends)

    def _measure(self, arranged: Arranged, values: Any, seen: Any) -> None:
        for key in range(len(arranged.keys)):
            rows = slice(arranged.first[key], arranged.first[key + 1])
            for channel in range(len(values)):
                known = values[channel, rows][seen[rows]]
                known = known[np.isfinite(known)]
                location, scale = series_scale(np.log(known) if self.scaling.log else known, self.scaling.series)
                self.locations.append(location)
                self.scales.append(scale)
                self.sizes.append(float(np.abs(known).mean()) if len(known) else 0.0)
                self.known.append(len(known))
                if len(known) > 1 and known.min() == known.max():
                    self.constant.append(key_name(arranged.keys[key]) or arranged.columns.target[channel])

    def _count(self, arranged: Arranged, rows: Any, lengths: Any, ends: Any, present: Any) -> None:
        self.rows += len(rows)
        self.gaps += int(lengths.sum()) - len(rows)
        self.missing += int((~present)[:, rows < ends[arranged.group]].sum())
        self.notes += [note for note in arranged.notes if note not in self.notes]

    def remarks(self) -> tuple[str, ...]:
        """What a user should know, in sentences."""
        said = list(self.notes)
        if self.gaps:
            said.append(f"{self.gaps:,} rows are not in the table; they count as missing values")
        if self.missing:
            said.append(f"{self.missing:,} values are missing; they are masked")
        if self.constant:
            said.append(f"constant in training: {some_of(self.constant)}")
        short = [key_name(k) or "the series" for k, n in zip(self.keys, self.train, strict=True) if n <= self.horizon]
        if short:
            said.append(f"too short to train on (at most {self.horizon} rows): {some_of(short)}")
        return tuple(said)


def _no_count(arranged: Arranged, values: Float[np.ndarray, "C R"]) -> str | None:
    """The first value that is no whole number from 0 on, and where it stands."""
    wrong = np.argwhere((values < 0) | (values != np.round(values)) & ~np.isnan(values))
    if not len(wrong):
        return None
    channel, row = (int(k) for k in wrong[0])
    name = arranged.columns.target[channel]
    return (
        f"{arranged.table.name}, column {name!r}, {arranged.name(int(arranged.group[row]))}, {arranged.say(row)}: "
        f"{values[channel, row]:g}"
    )


def _refuse_empty(arranged: Arranged, counts: Int[np.ndarray, "C G"]) -> None:
    empty = np.argwhere(counts == 0)
    if len(empty):
        channel, key = (int(k) for k in empty[0])
        name = arranged.name(key)
        raise DataError(
            f"{arranged.table.name}, column {arranged.columns.target[channel]!r}: {name} has no value at all"
            f"{f' (and {len(empty) - 1} more have none)' if len(empty) > 1 else ''}; leave it out"
        )
