"""Places along an axis: from numbers or dates to pixels, and round numbers for the ticks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gatewright.inside.pictures.scene import Axis

__all__ = ["Place", "words"]


def words(value: float) -> str:
    """A number as a person writes it: no more digits than it needs, thousands apart.

    >>> words(0.30000000000000004), words(12500.0), words(3e-7), words(2.0)
    ('0.3', '12,500', '3e-07', '2')
    """
    if not math.isfinite(value):
        return str(value)
    if value and not 1e-4 <= abs(value) < 1e7:
        return f"{value:.3g}"
    return f"{value:,.0f}" if value == round(value) else f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.1f}"


@dataclass(frozen=True)
class Place:
    """low, high: the ends, as they are laid out (logarithms, milliseconds); size: pixels; up: low is at the bottom."""

    axis: Axis
    low: float
    high: float
    size: float
    up: bool = False

    @classmethod
    def of(cls, axis: Axis, values: np.ndarray, size: float, *, padded: bool = False, up: bool = False) -> Place:
        """The places of an axis on which `values` are to be seen; `padded`: with some room at ends that are free."""
        flat = _flat(values, log=axis.log)
        flat = flat[np.isfinite(flat)]
        low, high = (float(flat.min()), float(flat.max())) if len(flat) else (0.0, 1.0)
        if padded:
            room = 0.06 * (high - low) or max(abs(high), 1e-9) * 0.1
            low, high = low - room * (low != 0 or axis.log), high + room
        fixed = [
            None if end is None else float(_flat(np.array([end]), log=axis.log)[0]) for end in (axis.low, axis.high)
        ]
        low = low if fixed[0] is None else fixed[0]
        high = high if fixed[1] is None else fixed[1]
        return cls(axis, low, high if high > low else low + 1.0, size, up)

    def at(self, values: np.ndarray) -> np.ndarray:
        """Pixels from the left, or from the top."""
        share = (_flat(np.asarray(values), log=self.axis.log) - self.low) / (self.high - self.low)
        return (1 - share if self.up else share) * self.size

    def ticks(self, most: int) -> list[tuple[float, str]]:
        """At most about so many places in pixels, with their words."""
        if self.axis.ticks is not None:
            at = self.at(np.array([place for place, _ in self.axis.ticks], np.float64))
            return [(float(a), word) for a, (_, word) in zip(at, self.axis.ticks, strict=True)]
        if self.axis.dates:
            dates = _round_dates(self.low, self.high, max(2, most // 2))
            return [(float(self.at(np.array([d]))[0]), str(d).replace("T", " ")) for d in dates]
        numbers = self._decades(most) if self.axis.log else _round_numbers(self.low, self.high, most)
        return [(float(a), words(float(v))) for a, v in zip(self.at(np.array(numbers)), numbers, strict=True)]

    def _decades(self, most: int) -> list[float]:
        first, last = math.ceil(self.low - 1e-9), math.floor(self.high + 1e-9)
        if last - first >= 1:
            stride = max(1, math.ceil((last - first + 1) / most))
            return [10.0**k for k in range(first, last + 1, stride)]
        within = [s * 10.0**k for k in range(first - 2, last + 2) for s in (1, 2, 3, 5, 7)]
        return [v for v in within if self.low <= math.log10(v) <= self.high]


STEPS = {  # between dates, of each unit
    "s": (1, 5, 15, 30),
    "m": (1, 5, 15, 30),
    "h": (1, 3, 6, 12),
    "D": (1, 2, 7, 14),
    "M": (1, 2, 3, 6),
    "Y": tuple(s * 10**k for k in range(6) for s in (1, 2, 5)),
}
COUNTED_FROM = {"D": -3, "Y": -1970}  # from a Monday, and from year 0; 1970 began on a Thursday
DAY = 86_400_000


def _round_dates(low: float, high: float, most: int) -> np.ndarray:
    """At most so many dates in an even distance that people count in; low and high in milliseconds since 1970.

    >>> ends = np.array(["1958-11-01", "1960-10-01"], "datetime64[ms]").astype(float)
    >>> _round_dates(*ends, 4).astype(str).tolist(), _round_dates(*ends, 3).astype(str).tolist()
    (['1959-01', '1959-07', '1960-01', '1960-07'], ['1959', '1960'])
    """
    ends = np.array([low, high]).astype("int64").astype("datetime64[ms]")
    for unit, steps in STEPS.items():
        first, last = ends.astype(f"datetime64[{unit}]")
        shift = COUNTED_FROM.get(unit, 0)
        begin, end = int(first.astype("int64")) + int(first < ends[0]) - shift, int(last.astype("int64")) - shift
        for step in steps:
            places = range(-(-begin // step) * step, end + 1, step)
            if 1 < len(places) <= most:
                found = (np.array(places) + shift).astype(f"datetime64[{unit}]")
                return found.astype("datetime64[m]") if unit == "h" else found
    return ends.astype("datetime64[D]" if high - low >= DAY else "datetime64[s]")


def _flat(values: np.ndarray, *, log: bool) -> np.ndarray:
    """Numbers as they lie along the axis; what has no place is NaN."""
    if values.dtype.kind == "M":
        return values.astype("datetime64[ms]").astype(np.float64)
    found = values.astype(np.float64)
    if not log:
        return found
    return np.log10(np.where(found > 0, found, np.nan))


def _round_numbers(low: float, high: float, most: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten.

    >>> _round_numbers(0.0, 1.0, 5)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 5, 10) if s * power >= rough * 0.99)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    if last - first < 1 and most < 64:  # one place says nothing of the scale
        return _round_numbers(low, high, 2 * most)
    return [round(k * step, 12) for k in range(first, last + 1)]
