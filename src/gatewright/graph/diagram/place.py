"""Where each piece stands: a row and a column of a grid.

Belts have the top rows, one each; below them are rows for pointwise operations, one row of learned layers, a row
for every other state and for merges, and the inputs last. Columns are found by a search that tries small changes and
keeps those that make the picture better (threshold accepting: Dueck and Scheuer 1990), the same ones every time.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import TypeVar

from .cost import Costs, Place
from .pieces import Sketch

T = TypeVar("T")

TRIES, STEPS, MOST_STEPS, WARMTH = 4, 130, 3000, 5.0
"""Searches; small changes a piece, and at most; by how much a change may be for the worse at first."""
MIDDLE = 3
"""Rows for pointwise operations between belts and layers, at least."""


@dataclass
class Rows:
    """Which rows a piece may stand in, by its number."""

    allowed: list[tuple[int, ...]]
    belts: frozenset[int]
    count: int


@dataclass(frozen=True)
class Arrangement:
    """The place of each piece, as (column, row), columns and rows counted from 0 without gaps."""

    places: tuple[Place, ...]
    cost: float

    @property
    def columns(self) -> int:
        return 1 + max(x for x, _ in self.places)

    @property
    def rows(self) -> int:
        return 1 + max(y for _, y in self.places)


def rows_of(sketch: Sketch) -> Rows:
    """The rows of a sketch."""
    pieces = sketch.pieces
    belt_states = {belt[0]: k for k, belt in enumerate(sketch.belts)}
    loops = [i for i, p in enumerate(pieces) if p.kind == "old" and i not in belt_states]
    merges = [i for i, p in enumerate(pieces) if p.kind == "merge"]
    middle = _middle(sketch)
    top = len(sketch.belts)
    between = tuple(range(top + 1, top + middle + 1))
    layer = top + middle + 1
    below = tuple(range(layer + 1, layer + 1 + max(len(loops), len(merges), 0 if not loops and not merges else 1)))
    last = layer + len(below) + 1
    row_of_state = {pieces[i].text: below[k] for k, i in enumerate(loops)}
    allowed: list[tuple[int, ...]] = []
    for piece in pieces:
        match piece.kind:
            case "input":
                allowed.append((last,))
            case "output":
                allowed.append((0,))
            case "layer":
                allowed.append((layer,))
            case "merge":
                allowed.append(below)
            case "old" | "new":
                allowed.append((row_of_state.get(piece.text, 0),))
            case _:
                allowed.append(between)
    for k, belt in enumerate(sketch.belts):
        for number in belt:
            allowed[number] = (k + 1,)
    return Rows(allowed, frozenset(range(1, top + 1)), last + 1)


def _middle(sketch: Sketch) -> int:
    """Rows that the pointwise operations need: the longest chain of them off the belts."""
    on_belt = {number for belt in sketch.belts for number in belt}
    depth: dict[int, int] = {}
    for number, piece in enumerate(sketch.pieces):
        deepest = max((depth.get(f.source, 0) for f in piece.feeds), default=0)
        mine = piece.kind in ("point", "number") and number not in on_belt
        depth[number] = deepest + 1 if mine else 0
    return max(MIDDLE, min(6, max(depth.values(), default=0) + 1))


class Search:
    """Columns as numbers of any size, so that a piece fits between two others; places are their ranks."""

    def __init__(self, sketch: Sketch, seed: int):
        self.sketch, self.pieces = sketch, sketch.pieces
        self.rows = rows_of(sketch)
        self.costs = Costs(sketch)
        self.random = random.Random(seed)
        self.known: dict[tuple[Place, ...], float] = {}
        self.left = [i for i, p in enumerate(self.pieces) if p.kind == "old"]
        self.right = [i for i, p in enumerate(self.pieces) if p.kind == "new"]
        self.free = [i for i, p in enumerate(self.pieces) if p.kind not in ("old", "new")]
        self.neighbours: list[list[int]] = [[] for _ in self.pieces]
        for user, piece in enumerate(self.pieces):
            for feed in piece.feeds:
                self.neighbours[user].append(feed.source)
                self.neighbours[feed.source].append(user)

    def start(self) -> tuple[list[float], list[int]]:
        """Every piece right of all that it needs, in the first row that it may have."""
        order = self._levels()
        x = [0.0] * len(self.pieces)
        y = [allowed[len(allowed) // 2] for allowed in self.rows.allowed]
        for rank, number in enumerate(sorted(self.free, key=lambda n: (order[n], n))):
            x[number] = float(rank + 1)
        for number in self.right:
            x[number] = 1e6
        return x, y

    def _levels(self) -> dict[int, int]:
        level: dict[int, int] = {}

        def of(number: int) -> int:
            if number not in level:
                level[number] = 0
                level[number] = 1 + max((of(f.source) for f in self.pieces[number].feeds), default=-1)
            return level[number]

        for number in range(len(self.pieces)):
            of(number)
        return level

    def legal(self, x: list[float], y: list[int], changed: list[int]) -> bool:
        """No two pieces in one place; a belt goes to the right."""
        cells = {(x[i], y[i]) for i in range(len(x))}
        if len(cells) < len(x):
            return False
        if any(not 0 < x[i] < 1e6 for i in changed if self.pieces[i].kind not in ("old", "new")):
            return False
        return all(x[a] < x[b] for belt in self.sketch.belts for a, b in pairwise(belt))

    def places(self, x: list[float], y: list[int]) -> list[Place]:
        rank = {value: k for k, value in enumerate(sorted(set(x)))}
        return [(rank[a], b) for a, b in zip(x, y, strict=True)]

    def cost(self, x: list[float], y: list[int], limit: float = inf) -> float:
        places = tuple(self.places(x, y))
        if places not in self.known:
            cost = self.costs.of(places, self.rows.belts, limit)
            if cost == inf:
                return inf
            self.known[places] = cost
        return self.known[places]

    # -- small changes -------------------------------------------------------------------------------

    def pick(self, things: Sequence[T]) -> T:
        return things[int(self.random.random() * len(things))]

    def change(self, x: list[float], y: list[int]) -> list[int]:
        """Change the arrangement in place; the numbers of the pieces that have moved."""
        kind = self.random.random()
        if kind < 0.5:
            return self._move_near(x, y)
        if kind < 0.7:
            return self._swap(x, y)
        if kind < 0.85:
            return self._move_column(x)
        if kind < 0.95:
            return self._move_anywhere(x, y)
        return self._swap_rows(x, y)

    def _move_near(self, x: list[float], y: list[int]) -> list[int]:
        number = self.pick(self.free)
        beside = self.neighbours[number]
        if not beside:
            return self._move_anywhere(x, y)
        at = x[self.pick(beside)]
        x[number] = at if self.random.random() < 0.5 else self._beside(x, at)
        if len(self.rows.allowed[number]) > 1:  # a row of a belt may have been exchanged with another's
            y[number] = self.pick(self.rows.allowed[number])
        return [number]

    def _beside(self, x: list[float], at: float) -> float:
        """A new column before or behind a column."""
        values = sorted(set(x))
        k = values.index(at)
        if self.random.random() < 0.5 and k > 0:
            return (values[k - 1] + at) / 2
        return (at + values[k + 1]) / 2 if k + 1 < len(values) else (values[k - 1] + at) / 2

    def _move_anywhere(self, x: list[float], y: list[int]) -> list[int]:
        number = self.pick(self.free)
        at = x[self.pick(self.free)]
        x[number] = at if self.random.random() < 0.6 else self._beside(x, at)
        if len(self.rows.allowed[number]) > 1:  # a row of a belt may have been exchanged with another's
            y[number] = self.pick(self.rows.allowed[number])
        return [number]

    def _swap(self, x: list[float], y: list[int]) -> list[int]:
        a, b = self.pick(self.free), self.pick(self.free)
        x[a], x[b] = x[b], x[a]
        if self.rows.allowed[a] == self.rows.allowed[b] and len(self.rows.allowed[a]) > 1:
            y[a], y[b] = y[b], y[a]
        return [a, b]

    def _move_column(self, x: list[float]) -> list[int]:
        values = [v for v in sorted(set(x)) if 0 < v < 1e6]
        a, b = self.pick(values), self.pick(values)
        moved = [i for i in self.free if x[i] == a]
        if self.random.random() < 0.5:
            others = [i for i in self.free if x[i] == b]
            for i in others:
                x[i] = a
            for i in moved:
                x[i] = b
            return moved + others
        to = self._beside(x, b)
        for i in moved:
            x[i] = to
        return moved

    def _swap_rows(self, x: list[float], y: list[int]) -> list[int]:
        """Exchange two belts, or two states below."""
        states = [i for i in self.left if (y[i] in self.rows.belts)]
        if self.random.random() < 0.5:
            states = [i for i in self.left if y[i] not in self.rows.belts]
        if len(states) < 2:
            return self._move_near(x, y)
        a, b = y[self.pick(states)], y[self.pick(states)]
        for i in range(len(y)):
            y[i] = b if y[i] == a else a if y[i] == b else y[i]
        return []

    # -- the search -----------------------------------------------------------------------------------

    def run(self, steps: int, warmth: float = WARMTH) -> tuple[float, list[Place]]:
        x, y = self.start()
        now = best = self.cost(x, y)
        kept = (list(x), list(y))
        for step in range(steps):
            trial_x, trial_y = list(x), list(y)
            changed = self.change(trial_x, trial_y)
            if not self.legal(trial_x, trial_y, changed):
                continue
            limit = now + warmth * (1 - step / steps) ** 2 * self.random.random()
            cost = self.cost(trial_x, trial_y, limit)
            if cost <= limit:
                x, y, now = trial_x, trial_y, cost
                if cost < best - 1e-9:
                    best, kept = cost, (list(x), list(y))
        return best, self.places(*kept)


def arrangements(sketch: Sketch) -> list[Arrangement]:
    """Some good arrangements, the best first, no two alike."""
    steps = min(MOST_STEPS, STEPS * len(sketch.pieces))
    found: dict[tuple[Place, ...], Arrangement] = {}
    for seed in range(TRIES):
        cost, places = Search(sketch, seed).run(steps)
        kept = _without_gaps(places)
        found.setdefault(kept, Arrangement(kept, cost))
    return sorted(found.values(), key=lambda a: (a.cost, a.places))


def _without_gaps(places: list[Place]) -> tuple[Place, ...]:
    rows = {y: k for k, y in enumerate(sorted({y for _, y in places}))}
    return tuple((x, rows[y]) for x, y in places)
