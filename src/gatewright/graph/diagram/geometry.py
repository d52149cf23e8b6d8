"""From grid to paper: tracks that no line uses take no room, the others lie side by side.

The result says where everything is, so that a test can hold it: nothing lies upon anything else.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from .grid import Grid
from .pieces import Feed, Sketch
from .place import Arrangement
from .route import Net, corners
from .shapes import Shape, shape, shown_at_ends

SPACING, OFFSET, MARGIN, FRAME = 13.0, 11.0, 10.0, 12.0
"""Between tracks; from a piece's middle to its side ports; around the picture; from the frame to what it holds."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Rectangle:
    left: float
    top: float
    right: float
    bottom: float

    def touches(self, other: Rectangle, room: float = 0.0) -> bool:
        """Whether two rectangles have a place in common."""
        return (
            self.left < other.right + room
            and other.left < self.right + room
            and self.top < other.bottom + room
            and other.top < self.bottom + room
        )


@dataclass(frozen=True)
class Line:
    """One branch of a value's line, from its source or a fork to a piece."""

    source: int
    user: int
    feed: Feed
    points: tuple[Point, ...]
    forked: bool

    def pieces(self) -> list[tuple[Point, Point]]:
        """Its straight parts."""
        return list(pairwise(self.points))


@dataclass(frozen=True)
class Layout:
    """A diagram with all places known."""

    sketch: Sketch
    shapes: tuple[Shape, ...]
    centres: tuple[Point, ...]
    lines: tuple[Line, ...]
    forks: tuple[tuple[int, Point], ...]
    frame: Rectangle
    width: float
    height: float

    def outline(self, number: int) -> Rectangle:
        """The box or circle of a piece."""
        (x, y), s = self.centres[number], self.shapes[number]
        return Rectangle(x - s.half_width, y - s.half_height, x + s.half_width, y + s.half_height)

    def crossing_points(self) -> list[tuple[int, int, Point]]:
        """Where lines of two values cross: the upright one, the level one and the point."""
        upright: dict[tuple, None] = {}
        across: dict[tuple, None] = {}
        for line in self.lines:
            for (x0, y0), (x1, y1) in line.pieces():
                if x0 == x1:
                    upright[x0, min(y0, y1), max(y0, y1), line.source] = None
                else:
                    across[y0, min(x0, x1), max(x0, x1), line.source] = None
        found = {
            (net, other, (x, y)): None
            for x, top, bottom, net in upright
            for y, left, right, other in across
            if net != other and left < x < right and top < y < bottom
        }
        return list(found)

    def crossings(self) -> int:
        """How many times lines of two values cross."""
        return len(self.crossing_points())


def layout(sketch: Sketch, arrangement: Arrangement, grid: Grid, nets: list[Net]) -> Layout:
    """The places of everything on paper."""
    at_ends = shown_at_ends(sketch)
    shapes = tuple(shape(piece, at_ends) for piece in sketch.pieces)
    used_x, used_y = _used(nets, grid)
    columns, rows = arrangement.columns, arrangement.rows
    sides_x = [(0.0, 0.0)] * columns
    sides_y = [(0.0, 0.0)] * rows
    for s, (column, row) in zip(shapes, arrangement.places, strict=True):
        sides_x[column] = (max(sides_x[column][0], s.left), max(sides_x[column][1], s.right))
        sides_y[row] = (max(sides_y[row][0], s.up), max(sides_y[row][1], s.down))
    x, left, right = _coordinates(sides_x, used_x, grid.tracks)
    y, top, bottom = _coordinates(sides_y, used_y, grid.tracks)
    centres = tuple((x[s.centre], y[s.middle]) for s in grid.spots)
    lines, forks = _lines(nets, grid, shapes, centres, x, y)
    frame = Rectangle(left, top, right, bottom)
    wide, high = _end(x, sides_x, grid.tracks), _end(y, sides_y, grid.tracks)
    return Layout(sketch, shapes, centres, lines, forks, frame, wide, high)


def _end(positions: list[float], sides: list[tuple[float, float]], tracks: int) -> float:
    """Where the picture ends: behind the last place and a margin."""
    middle = (len(sides) - 1) * (tracks + 3) + tracks + 1
    return positions[middle] + sides[-1][1] + MARGIN


def _used(nets: list[Net], grid: Grid) -> tuple[set[int], set[int]]:
    """The upright and level grid lines along which something is drawn."""
    used_x: set[int] = set()
    used_y: set[int] = set()
    for net in nets:
        for branch in net.branches:
            for a, b in pairwise(branch.points):
                if abs(a - b) == 1:
                    used_y.add(a // grid.width)
                else:
                    used_x.add(a % grid.width)
    return used_x, used_y


def _coordinates(sides: list[tuple[float, float]], used: set[int], tracks: int) -> tuple[list[float], float, float]:
    """The coordinate of each grid line, and those of the frame, which leaves the first and last place outside."""
    found: list[float] = []
    at, first, last = MARGIN, 0.0, 0.0
    for place, (before, behind) in enumerate(sides):
        for track in range(tracks):
            at += SPACING if place * (tracks + 3) + track in used else 0
            found.append(at)
        if place == len(sides) - 1:
            last = at + FRAME
            at = last
        at += before + (SPACING / 2 if place else 0)
        found += [at - OFFSET, at, at + OFFSET]
        at += max(behind, OFFSET) - SPACING / 2
        if place == 0:
            first = at + FRAME
            at = first
    return found, first, last


def _lines(nets, grid: Grid, shapes, centres, x: list[float], y: list[float]):
    lines: list[Line] = []
    forks: dict[tuple[int, Point], None] = {}
    for net in nets:
        for k, branch in enumerate(net.branches):
            points = [(x[p % grid.width], y[p // grid.width]) for p in corners(branch.points)]
            if len(points) > 1:
                points[-1] = _edge(points[-2], points[-1], shapes[branch.user], centres[branch.user])
            if k == 0:
                points[0] = _edge(points[1], points[0], shapes[net.source], centres[net.source])
            else:
                forks[net.source, points[0]] = None
            lines.append(Line(net.source, branch.user, branch.feed, tuple(points), k > 0))
    return tuple(lines), tuple(forks)


def _edge(before: Point, port: Point, s: Shape, centre: Point) -> Point:
    """Where a line that ends at a port meets the outline."""
    if before[1] == port[1]:  # across
        return (centre[0] + (-s.half_width if before[0] < centre[0] else s.half_width), port[1])
    return (port[0], centre[1] + (-s.half_height if before[1] < centre[1] else s.half_height))
