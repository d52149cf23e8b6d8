"""Two ways to compute the same, timed alternately in one process: what is quoted is the median of their ratios.

A clock that drifts, a neighbour that takes the cores, a cache that warms up: they meet both sides alike, since each
round runs both, in an order that changes from round to round. Times themselves are not to be quoted.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

LEAST = 0.002
"""Seconds that one measurement lasts at least, so that the clock's grain does not matter."""


@dataclass(frozen=True)
class Row:
    """One comparison: a name, a shape in words, and `make`, which gives (ours, theirs) when its turn comes.

    `limit` is the ratio that is promised, where one is.
    """

    name: str
    shape: Mapping[str, int]
    dtype: str
    make: Callable[[], tuple[Callable[[], object], Callable[[], object]]]
    limit: float | None = None


@dataclass(frozen=True)
class Result:
    """Ours over theirs: the median of the rounds, and the middle half of them; times in microseconds."""

    name: str
    shape: Mapping[str, int]
    dtype: str
    ratio: float
    low: float
    high: float
    ours: float
    theirs: float
    rounds: int
    limit: float | None

    @property
    def verdict(self) -> str:
        """Where we lose: beyond what was promised, or at all, by more than the rounds differ."""
        if self.limit is not None:
            return "ok" if self.ratio <= self.limit else f"OVER {self.limit}"
        return "SLOWER" if self.low > 1 else ""


def measure(row: Row, seconds: float) -> Result:
    """Alternate both sides for about so many seconds."""
    ours, theirs = row.make()
    calls = [_calls_for(side) for side in (ours, theirs)]
    pairs: list[tuple[float, float]] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(pairs) < 5:
        if len(pairs) % 2:
            second = _time(theirs, calls[1])
            pairs.append((_time(ours, calls[0]), second))
        else:
            pairs.append((_time(ours, calls[0]), _time(theirs, calls[1])))
    ratios = [mine / other for mine, other in pairs]
    low, middle, high = statistics.quantiles(ratios, n=4)
    mine, other = (statistics.median(side) * 1e6 for side in zip(*pairs, strict=True))
    return Result(row.name, row.shape, row.dtype, middle, low, high, mine, other, len(pairs), row.limit)


def _calls_for(side: Callable[[], object]) -> int:
    """How many calls make one measurement long enough; warms up on the way."""
    calls = 1
    while _time(side, calls) * calls < LEAST:
        calls *= 2
    return calls


def _time(side: Callable[[], object], calls: int) -> float:
    """Seconds a call."""
    began = time.perf_counter()
    for _ in range(calls):
        side()
    return (time.perf_counter() - began) / calls
