"""Several ways to compute the same, timed alternately in one process: what is quoted is the median of their ratios.

A clock that drifts, a neighbour that takes the cores, a cache that warms up: they meet all sides alike, since each
round runs all of them, in an order that changes from round to round. Times themselves are not to be quoted.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

LEAST_TIME = 0.002
"""Seconds that one measurement lasts at least, so that the clock's grain does not matter."""
LEAST_ROUNDS = 7
SLACK = 0.97
"""A row against a peer counts from this part of its figure on: so much two runs differ."""

Side = Callable[[], object]
Rounds = list[dict[str, float]]
"""Seconds a call of each side, round by round."""


@dataclass(frozen=True)
class Result:
    """One row: a figure, the middle half of its rounds, and what it must be at least or at most.

    `times` are microseconds a call, by side; `peer` says that below 1 somebody else is faster than we are.
    """

    group: str
    name: str
    shape: Mapping[str, int]
    mode: str
    value: float
    low: float
    high: float
    rounds: int
    unit: str = ""
    least: float | None = None
    most: float | None = None
    slack: float = 1.0
    peer: bool = False
    times: Mapping[str, float] | None = None
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether it is what it must be; so is whatever must be nothing."""
        enough = self.least is None or self.value >= self.least * self.slack
        return enough and (self.most is None or self.value <= self.most / self.slack)

    @property
    def slower(self) -> bool:
        """Whether we lose."""
        return self.peer and self.value < 1

    @property
    def verdict(self) -> str:
        required = self.least is not None or self.most is not None
        words = [("ok" if self.passed else "MISSED") if required else "", "SLOWER" if self.slower else ""]
        return " ".join(filter(None, words))


@dataclass(frozen=True)
class Line:
    """One row of a race: `scale` times the ratio of two sides' times, and what it must be.

    `top` may be several sides: the quickest of them counts. `least_of` asks for a part of what `top` loses against
    another side: (0.9, "plain") is 0.9 times top / plain.
    """

    name: str
    top: str | tuple[str, ...]
    bottom: str
    scale: float = 1.0
    unit: str = ""
    least: float | None = None
    most: float | None = None
    least_of: tuple[float, str] | None = None
    slack: float = 1.0
    peer: bool = False


@dataclass(frozen=True)
class Race:
    """Sides that run alternately. `make` gives them when their turn comes; `note` is what else is to be said."""

    group: str
    shape: Mapping[str, int]
    mode: str
    make: Callable[[], Mapping[str, Side]]
    lines: tuple[Line, ...]
    note: Callable[[], str] | None = None

    def run(self, seconds: float) -> list[Result]:
        """Measure for about so many seconds."""
        sides = self.make()
        quiet = wait_until_quiet()
        return self.judge(measure(sides, seconds), "" if quiet else "others use the CPUs")

    def judge(self, rounds: Rounds, note: str = "") -> list[Result]:
        """The rows that the measured times give."""
        times = {name: statistics.median(r[name] for r in rounds) * 1e6 for name in rounds[0]}
        notes = ", ".join(filter(None, (self.note() if self.note else "", note)))
        found = []
        for line in self.lines:
            tops = (line.top,) if isinstance(line.top, str) else line.top
            top = min(tops, key=times.__getitem__)
            low, value, high = _quartiles([line.scale * r[top] / r[line.bottom] for r in rounds])
            least = line.least
            if line.least_of:
                part, other = line.least_of
                least = part * _quartiles([r[top] / r[other] for r in rounds])[1]
            sides = {name: times[name] for name in (top, line.bottom)}
            found.append(
                Result(
                    self.group, line.name, self.shape, self.mode, value, low, high, len(rounds), line.unit,
                    least, line.most, line.slack, line.peer, sides, notes,
                )
            )  # fmt: skip
        return found


def _quartiles(values: list[float]) -> tuple[float, float, float]:
    low, middle, high = statistics.quantiles(values, n=4)
    return low, middle, high


# -- measuring -------------------------------------------------------------------------------------


def measure(sides: Mapping[str, Side], seconds: float) -> Rounds:
    """Alternate the sides for about so many seconds, and for `LEAST_ROUNDS` rounds at least."""
    calls = {name: _calls_for(side) for name, side in sides.items()}
    rounds: Rounds = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(rounds) < LEAST_ROUNDS:
        order = order_of(list(sides), len(rounds))
        rounds.append({name: _time(sides[name], calls[name]) for name in order})
    return rounds


def order_of(names: list[str], number: int) -> list[str]:
    """The order of a round: everyone is first, and behind everyone else, equally often."""
    cut = number // 2 % len(names)
    turned = names[cut:] + names[:cut]
    return turned[::-1] if number % 2 else turned


def _calls_for(side: Side) -> int:
    """How many calls make one measurement long enough; warms up on the way."""
    side()
    calls = 1
    while _time(side, calls) * calls < LEAST_TIME:
        calls *= 2
    return calls


def _time(side: Side, calls: int) -> float:
    """Seconds a call."""
    began = time.perf_counter()
    for _ in range(calls):
        side()
    return (time.perf_counter() - began) / calls


# -- quiet CPUs ------------------------------------------------------------------------------------

STATISTICS = Path("/proc/stat")
LOOK = 0.15
BUSY = 0.05
_patience = 60.0


def wait_until_quiet() -> bool:
    """Wait until nobody else uses the CPUs; False where that does not come true.

    All rows of a run share a minute of waiting: behind it they only look. Where the system does not tell, all is
    taken to be quiet.
    """
    global _patience
    if not STATISTICS.exists():
        return True
    while True:
        began = time.perf_counter()
        if _used(LOOK) < BUSY:
            return True
        _patience -= time.perf_counter() - began
        if _patience < 0:
            return False


def _used(seconds: float) -> float:
    """The part of all CPUs that is used in the next seconds."""
    before = _ticks()
    time.sleep(seconds)
    used, total = (after - b for after, b in zip(_ticks(), before, strict=True))
    return used / max(total, 1)


def _ticks() -> tuple[int, int]:
    """(used, all) since the machine began."""
    ticks = [int(word) for word in STATISTICS.read_text(encoding="utf-8").partition("\n")[0].split()[1:9]]
    idle, waiting = ticks[3:5]
    return sum(ticks) - idle - waiting, sum(ticks)
