"""How good an arrangement of the pieces is, before any line is drawn: an estimate that is quick to make.

Every line is taken as an L, over or under whatever stands least in its way. What counts: crossings, lines through
pieces or upon each other, bends, length, and lines that run backwards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf

import numpy as np

from .pieces import Sketch

Place = tuple[int, int]  # (column, row)
_ALL = frozenset({"left", "right", "top", "bottom"})
SIDES = {
    "layer": _ALL - {"top"}, "merge": _ALL - {"right"}, "point": _ALL, "new": frozenset({"left"}),
    "output": frozenset({"bottom"}), "number": _ALL, "input": _ALL, "old": _ALL,
}  # fmt: skip
"""Where a line may enter a piece."""


@dataclass(frozen=True)
class Weights:
    """The price of each fault, in columns of length."""

    crossing: float = 4.0
    blocked: float = 9.0
    overlap: float = 2.0
    bend: float = 1.7
    backward: float = 4.0
    same_side: float = 5.0
    column: float = 1.6
    row: float = 0.7
    height: float = 0.7


Way = tuple[tuple | None, tuple | None, str, str, int]  # level part, upright part, side left, side entered, bends


class _Taken:
    """Which places are taken, as bits of a number for each row and column."""

    def __init__(self, places: Sequence[Place]):
        self.places = places
        self.rows: dict[int, int] = {}
        self.columns: dict[int, int] = {}
        for x, y in places:
            self.rows[y] = self.rows.get(y, 0) | 1 << x
            self.columns[x] = self.columns.get(x, 0) | 1 << y

    def in_row(self, y: int, low: int, high: int, *but: int) -> int:
        """Pieces in a row between two columns, both included, but for some."""
        if high < low:
            return 0
        found = (self.rows.get(y, 0) >> low & (1 << high - low + 1) - 1).bit_count()
        return found - sum(1 for n in but if self.places[n][1] == y and low <= self.places[n][0] <= high)

    def in_column(self, x: int, top: int, bottom: int, *but: int) -> int:
        """The same in a column between two rows."""
        found = (self.columns.get(x, 0) >> top & (1 << bottom - top + 1) - 1).bit_count()
        return found - sum(1 for n in but if self.places[n][0] == x and top <= self.places[n][1] <= bottom)


class Costs:
    """The cost of arrangements of one sketch."""

    def __init__(self, sketch: Sketch, weights: Weights = Weights()):
        self.pieces, self.weights = sketch.pieces, weights
        self.edges = [(feed.source, user, feed.how) for user, piece in enumerate(sketch.pieces) for feed in piece.feeds]
        self.belt_edges = {pair for belt in sketch.belts for pair in pairwise(belt)}
        self.layer = [p.kind == "layer" for p in sketch.pieces]
        self.open = [SIDES[p.kind] for p in sketch.pieces]
        on_belt = {number for belt in sketch.belts for number in belt}
        self.to_the_right = [p.kind in ("old", "merge") or i in on_belt for i, p in enumerate(sketch.pieces)]

    def of(self, places: Sequence[Place], belt_rows: frozenset[int], limit: float = inf) -> float:
        """The cost of one arrangement; infinite where its length alone is beyond the limit."""
        total = self._length(places)
        return inf if total > limit else total + self._faults(places, belt_rows, limit - total)

    def _length(self, places: Sequence[Place]) -> float:
        w = self.weights
        total = w.column * len({x for x, _ in places}) + w.row * len({y for _, y in places})
        low = [x for x, _ in places]
        high = list(low)
        for source, user, _ in self.edges:
            (x0, y0), (x1, y1) = places[source], places[user]
            low[source], high[source] = min(low[source], x1), max(high[source], x1)
            total += w.height * abs(y1 - y0)
            if x1 < x0:
                total += w.backward + (x0 - x1)
        return total + sum(high) - sum(low)

    def _faults(self, places: Sequence[Place], belt_rows: frozenset[int], limit: float) -> float:
        taken = _Taken(places)
        across: list[tuple[float, float, float, int]] = []  # (y, from x, to x, net)
        upright: list[tuple[float, float, float, int]] = []
        sides: Counter[tuple[int, str]] = Counter()
        exits: dict[tuple[int, str], None] = {}
        total = 0.0
        for source, user, _ in self.edges:
            (x0, y0), (x1, y1) = places[source], places[user]
            if (source, user) in self.belt_edges:
                across.append((y0, x0, x1, source))
                sides[user, "left"] += 1
                exits[source, "right"] = None
                continue
            ways = self._ways(x0, y0, x1, y1, self.layer[user], source)
            price, way = self._price(ways[0], taken, belt_rows, source, user), ways[0]
            for other in ways[1:]:
                if price > self.weights.bend and (less := self._price(other, taken, belt_rows, source, user)) < price:
                    price, way = less, other
            h, v, leaves, enters, _ = way
            total += price
            if total > limit:
                return inf
            exits[source, leaves] = None
            sides[user, enters] += 1
            if h is not None:
                across.append((*h, source))
            if v is not None:
                upright.append((*v, source))
        for key in exits:
            sides[key] += 1
        total += self.weights.same_side * sum(self._crowded(key, n) for key, n in sides.items() if n > 1)
        return inf if total > limit else total + self._conflicts(across, upright)

    def _crowded(self, key: tuple[int, str], n: int) -> int:
        piece, side = key
        free = 3 if self.layer[piece] and side == "bottom" else 1
        return max(0, n - free)

    def _ways(self, x0: int, y0: int, x1: int, y1: int, to_layer: bool, source: int) -> list[Way]:
        """The Ls from one place to another: (horizontal, upright, side left, side entered, bends beyond one)."""
        from_layer, only_right = self.layer[source], self.to_the_right[source]
        down, right = y1 > y0, x1 > x0
        top, bottom = min(y0, y1), max(y0, y1)
        low, high = min(x0, x1), max(x0, x1)
        if x0 == x1:
            if only_right:
                return [((y0, x0, x0 + 0.5), (x0 + 0.5, top, bottom), "right", "right", 2)]
            if down and (to_layer or from_layer):  # a layer is not entered from above: around it
                return [((y0, x0 - 0.5, x0), (x0 - 0.5, y0, y1), "left", "left", 2)]
            return [(None, (x0, top, bottom), "bottom" if down else "top", "top" if down else "bottom", 0)]
        if y0 == y1:
            return [((y0, low, high), None, "right" if right else "left", "left" if right else "right", 0)]
        found = []
        if not (from_layer and down) and not only_right:  # upright first, then into the side
            side = "left" if right else "right"
            found.append(((y1, low, high), (x0, top, bottom), "bottom" if down else "top", side, 0))
        leaves = "right" if right or only_right else "left"
        if not (to_layer and down):  # along first, then in from below or above
            found.append(((y0, low, high), (x1, top, bottom), leaves, "top" if down else "bottom", 0))
        else:
            found.append(((y0, min(x0, x1 - 0.5), max(x0, x1 - 0.5)), (x1 - 0.5, y0, y1), leaves, "left", 1))
        return found

    def _price(self, way: Way, taken: _Taken, belt_rows: frozenset[int], source: int, user: int) -> float:
        w = self.weights
        h, v, _, enters, more = way
        around = 0 if enters in self.open[user] else 3
        price = w.bend * (more + around + (h is not None and v is not None)) + (2.5 if enters == "right" else 0.0)
        if h is not None:
            y, low, high = h
            if y in belt_rows:
                price += (0.5 if self.to_the_right[source] else 2.0) * w.blocked
            price += w.blocked * taken.in_row(y, int(low + 0.5), int(high), source, user)
        if v is not None and v[0] == int(v[0]):
            x, top, bottom = v
            price += w.blocked * taken.in_column(int(x), top, bottom, source, user)
        return price

    def _conflicts(self, across, upright) -> float:
        w = self.weights
        total = 0.0
        if len(across) > 1:
            h = np.array(across)
            total += w.overlap * _overlaps(h[:, 0], h[:, 1], h[:, 2], h[:, 3])
        if len(upright) > 1:
            v = np.array(upright)
            total += w.overlap * _overlaps(v[:, 0], v[:, 1], v[:, 2], v[:, 3])
        if across and upright:
            h, v = np.array(across)[:, None, :], np.array(upright)[None, :, :]
            crossing = (h[..., 1] < v[..., 0]) & (v[..., 0] < h[..., 2])
            crossing &= (v[..., 1] < h[..., 0]) & (h[..., 0] < v[..., 2]) & (h[..., 3] != v[..., 3])
            total += w.crossing * float(np.count_nonzero(crossing))
        return total


def _overlaps(line, low, high, net) -> float:
    """How many pairs of pieces of different lines lie upon each other."""
    same = (line[:, None] == line) & (net[:, None] != net)
    same &= np.maximum(low[:, None], low) < np.minimum(high[:, None], high)
    return float(np.count_nonzero(same)) / 2
