"""Lines from piece to piece along the grid: cheapest ways, one value at a time, drawn again while that helps.

A value's line is a tree: each user is reached from the nearest point of what is drawn already (Dijkstra 1959). Lines
of two values may cross, at a price, and never touch otherwise.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from itertools import pairwise

from .grid import ACROSS, UPRIGHT, Grid, Port
from .pieces import Feed, Sketch

CROSSING, BEND, FOREIGN_BELT = 120.0, 48.0, 1.6
ROUNDS, FEW = 3, 4
"""How often all lines are drawn again at most; users of a value whose every order is tried."""


class NoWay(Exception):
    """A line that cannot be drawn: the grid has too few tracks."""


@dataclass
class Branch:
    """The way to one user: points from the source, or from a fork, to the port."""

    user: int
    feed: Feed
    points: list[int]
    first: int  # the direction in which it begins


@dataclass
class Net:
    """All lines of one value."""

    source: int
    branches: list[Branch] = field(default_factory=list)
    cost: float = 0.0


class Router:
    """Draws every line of a sketch on a grid."""

    def __init__(self, sketch: Sketch, grid: Grid):
        self.sketch, self.grid = sketch, grid
        size = grid.width * grid.height
        self.owner = [[-1] * size, [-1] * size]  # of each point: whose line runs across it, and upright
        self.belt_pairs = {pair for belt in sketch.belts for pair in pairwise(belt)}
        self.on_belt = {number for belt in sketch.belts for number in belt}
        self.users = sketch.users()
        self.x, self.y = grid.x, grid.y

    def run(self) -> list[Net]:
        """The nets, drawn; raises `NoWay`."""
        order = sorted((n for n, users in enumerate(self.users) if users), key=self._urgency)
        nets: dict[int, Net] = {}
        for source, user in self.belt_pairs:
            self._occupy(self._straight(source, user), source)
        for number in order:
            nets[number] = self._draw(number)
        for _ in range(ROUNDS):
            before = sum(net.cost for net in nets.values())
            for number in order:
                self._erase(nets[number])
                nets[number] = self._draw(number)
            if sum(net.cost for net in nets.values()) >= before - 1e-9:
                break
        return [nets[number] for number in sorted(nets)]

    def _straight(self, source: int, user: int) -> list[int]:
        """A piece of a belt: it is never bent."""
        a, b = self.grid.spots[source], self.grid.spots[user]
        return [self.grid.at(column, a.middle) for column in range(a.right, b.left + 1)]

    def _urgency(self, number: int) -> tuple[int, float, int]:
        """Belts first, then short lines."""
        spot = self.grid.spots[number]
        span = 0.0
        for user, _ in self.users[number]:
            other = self.grid.spots[user]
            span += abs(self.x[spot.centre] - self.x[other.centre]) + abs(self.y[spot.middle] - self.y[other.middle])
        return (0 if number in self.on_belt else 1, span, number)

    def _erase(self, net: Net) -> None:
        for owner in self.owner:
            for point in {p for branch in net.branches for p in branch.points}:
                if owner[point] == net.source:
                    owner[point] = -1
        for branch in net.branches:
            if (net.source, branch.user) in self.belt_pairs and branch.feed.how != "diagonal":
                self._occupy(branch.points, net.source)

    def _draw(self, number: int) -> Net:
        """A value's lines; where they are few, in the best of the orders that begin with another user each."""
        net = self._draw_from(number, None)
        users = [k for k, (u, _) in enumerate(self.users[number]) if (number, u) not in self.belt_pairs]
        if not 1 < len(users) <= FEW or number in self.on_belt:
            return net
        best, first = net.cost, None
        for k in users:
            self._erase(net)
            net = self._draw_from(number, k)
            if net.cost < best - 1e-9:
                best, first = net.cost, k
        if net.cost > best:
            self._erase(net)
            net = self._draw_from(number, first)
        return net

    def _draw_from(self, number: int, first: int | None) -> Net:
        net = Net(number)
        waiting = [(k, user, feed) for k, (user, feed) in enumerate(self.users[number])]
        for k, user, feed in waiting:
            if (number, user) in self.belt_pairs and not net.branches:
                net.branches.append(Branch(user, feed, self._straight(number, user), ACROSS))
                waiting = [entry for entry in waiting if entry[0] != k]
        # what is weighted unit by unit comes last: it is drawn in another way, from the fork on
        for dashed in (False, True):
            left = [entry for entry in waiting if (entry[2].how == "diagonal") == dashed]
            while left:
                begun = bool(net.branches) or first is None
                done = self._reach(net, [e for e in left if begun or e[0] == first] or left)
                left = [entry for entry in left if entry[0] != done]
        return net

    # -- one way ----------------------------------------------------------------------------------------

    def _reach(self, net: Net, wanted: list[tuple[int, int, Feed]]) -> int:
        """Draw the cheapest way from a net to one of its users; which one it was."""
        targets: dict[tuple[int, int], list[tuple[float, int]]] = {}
        for k, user, feed in wanted:
            for point, direction, price in self.grid.ways_in(user, self.sketch.pieces[user], feed):
                if self._free(point):
                    targets.setdefault((point, direction), []).append((float(price), k))
        starts = self._starts(net)
        came, end, cost, k = self._search(net.source, starts, targets)
        points, first = _traced(came, end)
        user, feed = next((u, f) for kk, u, f in wanted if kk == k)
        net.branches.append(Branch(user, feed, points, first))
        net.cost += cost
        self._occupy(points, net.source)
        return k

    def _free(self, point: int) -> bool:
        """Whether a port has no line yet; it takes one, of the same value too."""
        return self.owner[ACROSS][point] == -1 and self.owner[UPRIGHT][point] == -1

    def _starts(self, net: Net) -> list[Port]:
        if not net.branches:
            piece = self.sketch.pieces[net.source]
            ports = self.grid.ways_out(net.source, piece, net.source in self.on_belt)
            return [port for port in ports if self._free(port[0])]
        starts: list[Port] = []
        ports = {branch.points[-1] for branch in net.branches} | {net.branches[0].points[0]}
        points = dict.fromkeys(p for branch in net.branches for p in branch.points)
        for point in points:
            if point not in ports:
                starts += [(point, ACROSS, 0), (point, UPRIGHT, 0)]
        return starts

    def _search(self, net: int, starts: list[Port], targets: dict):
        """Dijkstra over (point, direction); gives where each was reached from, the end, its price and whose it is."""
        width, closed = self.grid.width, self.grid.closed
        across, upright = self.owner
        best: dict[tuple[int, int], float] = {}
        came: dict[tuple[int, int], tuple[int, int] | None] = {}
        heap: list[tuple[float, int, int, int]] = []
        for point, direction, price in starts:
            state = (point, direction)
            foreign = (upright if direction == ACROSS else across)[point]
            mine = (across if direction == ACROSS else upright)[point]
            if foreign not in (-1, net) or mine not in (-1, net):
                continue  # a fork on a crossing would look like a join
            best[state], came[state] = float(price), None
            heapq.heappush(heap, (float(price), 0, point, direction))
        finished: tuple[float, tuple[int, int], int] | None = None
        size = len(closed)
        while heap:
            cost, _, point, direction = heapq.heappop(heap)
            if finished is not None and cost >= finished[0]:
                break
            state = (point, direction)
            if cost > best[state]:
                continue
            for price, k in targets.get(state, ()):
                if came[state] is not None and (finished is None or cost + price < finished[0]):
                    finished = (cost + price, state, k)
            if closed[point] and came[state] is not None:
                continue  # a port is an end
            column = point % width
            steps = (-1, 1) if direction == ACROSS else (-width, width)
            other = upright if direction == ACROSS else across
            own = across if direction == ACROSS else upright
            for step in steps:
                to = point + step
                if to < 0 or to >= size or (direction == ACROSS and not 0 <= column + step < width):
                    continue
                if came[state] == (to, direction):
                    continue
                if own[to] != -1 or (closed[to] and (to, direction) not in targets):
                    continue  # its own lines too: a way back onto them would be a loop
                price = self._length(point, to, direction)
                if other[to] not in (-1, net):
                    price += CROSSING
                elif other[to] == net:
                    continue
                self._push(heap, best, came, state, (to, direction), cost + price)
            if not closed[point] and other[point] == -1 and came[state] is not None:
                self._push(heap, best, came, state, (point, 1 - direction), cost + BEND)
        if finished is None:
            raise NoWay
        return came, finished[1], finished[0], finished[2]

    def _push(self, heap, best, came, state, to, cost: float) -> None:
        if cost < best.get(to, float("inf")) - 1e-9:
            best[to], came[to] = cost, state
            heapq.heappush(heap, (cost, len(came), *to))

    def _length(self, a: int, b: int, direction: int) -> float:
        width = self.grid.width
        if direction == UPRIGHT:
            return abs(self.y[a // width] - self.y[b // width])
        length = abs(self.x[a % width] - self.x[b % width])
        on_belt = a // width in self.grid.belt_lines
        return length * (FOREIGN_BELT if on_belt else 1.0) * (1.15 if b < a else 1.0)

    def _occupy(self, points: list[int], net: int) -> None:
        for a, b in pairwise(points):
            direction = ACROSS if abs(a - b) == 1 else UPRIGHT
            for point in (a, b):
                self.owner[direction][point] = net
        for a, b, c in zip(points, points[1:], points[2:], strict=False):
            if (abs(a - b) == 1) != (abs(b - c) == 1):
                self.owner[ACROSS][b] = self.owner[UPRIGHT][b] = net
        for end in (points[0], points[-1]):
            self.owner[ACROSS][end] = self.owner[UPRIGHT][end] = net


def _traced(came: dict, end: tuple[int, int]) -> tuple[list[int], int]:
    states = [end]
    while came[states[-1]] is not None:
        states.append(came[states[-1]])
    states.reverse()
    points: list[int] = []
    for point, _ in states:
        if not points or points[-1] != point:
            points.append(point)
    return points, states[0][1]


def corners(points: list[int]) -> list[int]:
    """The points at which a way begins, bends and ends."""
    kept = [points[0]]
    for a, b, c in zip(points, points[1:], points[2:], strict=False):
        if (abs(a - b) == 1) != (abs(b - c) == 1):
            kept.append(b)
    return [*kept, points[-1]]
