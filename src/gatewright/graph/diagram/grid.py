"""The grid on which lines are drawn: lines through the middle and the edges of places, and tracks between them.

A column has the lines left, centre, right of its pieces, a row up, middle, down; `TRACKS` tracks lie before each, and
behind the last. Points that a piece covers are closed, but for its ports while a line begins or ends there.
"""

from __future__ import annotations

from dataclasses import dataclass

from .pieces import Feed, Piece, Sketch
from .place import Arrangement

ACROSS, UPRIGHT = 0, 1
TRACK, HALF_WIDTH, HALF_HEIGHT = 12.0, 24.0, 20.0
"""Distances that the search of ways counts with; the true ones follow from what is drawn."""

Port = tuple[int, int, int]  # (point, direction of the line there, price)


@dataclass(frozen=True)
class Spot:
    """The lines of one piece: left, centre, right and up, middle, down."""

    left: int
    centre: int
    right: int
    up: int
    middle: int
    down: int


class Grid:
    """The lines of an arrangement. A point's number is `row · width + column`."""

    def __init__(self, sketch: Sketch, arrangement: Arrangement, tracks: int):
        self.tracks = tracks
        self.width = arrangement.columns * (tracks + 3) + tracks
        self.height = arrangement.rows * (tracks + 3) + tracks
        self.x = _positions(arrangement.columns, tracks, HALF_WIDTH)
        self.y = _positions(arrangement.rows, tracks, HALF_HEIGHT)
        self.spots = [self._spot(*place) for place in arrangement.places]
        self.closed = bytearray(self.width * self.height)
        for spot in self.spots:
            for iy in (spot.up, spot.middle, spot.down):
                for ix in (spot.left, spot.centre, spot.right):
                    self.closed[iy * self.width + ix] = 1
        self._close_the_edges()
        self.belt_lines = self._belt_lines(sketch)

    def _close_the_edges(self) -> None:
        """The outermost columns and rows hold the ends of lines, and no line runs there."""
        for iy in range(self.height):
            inside = self.tracks + 3 <= iy < self.height - self.tracks - 3
            for ix in range(self.width):
                if not inside or not self.tracks + 3 <= ix < self.width - self.tracks - 3:
                    self.closed[iy * self.width + ix] = 1

    def _spot(self, column: int, row: int) -> Spot:
        x, y = column * (self.tracks + 3) + self.tracks, row * (self.tracks + 3) + self.tracks
        return Spot(x, x + 1, x + 2, y, y + 1, y + 2)

    def _belt_lines(self, sketch: Sketch) -> frozenset[int]:
        """The lines across that belong to belts."""
        spots = [self.spots[belt[0]] for belt in sketch.belts]
        return frozenset(line for spot in spots for line in (spot.up, spot.middle, spot.down))

    def at(self, column: int, row: int) -> int:
        return row * self.width + column

    def ways_out(self, number: int, piece: Piece, on_belt: bool) -> list[Port]:
        """Where a piece's value may leave it."""
        s = self.spots[number]
        top, right = (self.at(s.centre, s.up), UPRIGHT, 0), (self.at(s.right, s.middle), ACROSS, 0)
        bottom, left = (self.at(s.centre, s.down), UPRIGHT, 6), (self.at(s.left, s.middle), ACROSS, 40)
        if on_belt or piece.kind in ("old", "merge") or (piece.kind == "point" and len(piece.feeds) > 2):
            return [right]  # the other sides are needed by what comes in
        if piece.kind == "input":
            return [top]
        if piece.kind == "layer":
            return [top, (right[0], ACROSS, 6)] if len(piece.feeds) < 4 else [top]
        return [top, right, bottom, left]

    def ways_in(self, number: int, piece: Piece, feed: Feed) -> list[Port]:
        """Where a feed may enter a piece."""
        s = self.spots[number]
        top, bottom = self.at(s.centre, s.up), self.at(s.centre, s.down)
        left, right = self.at(s.left, s.middle), self.at(s.right, s.middle)
        if piece.kind == "new":
            return [(left, ACROSS, 0)]
        if piece.kind == "output":
            return [(bottom, UPRIGHT, 0)]
        below = [(self.at(x, s.down), UPRIGHT) for x in (s.left, s.right)]
        beside = [(self.at(s.left, y), ACROSS) for y in (s.up, s.down)]
        if piece.kind == "layer":
            at_side = feed.how != "product"
            ports = [(left, ACROSS, 0 if at_side else 25), (right, ACROSS, 12 if at_side else 60)]
            ports.append((bottom, UPRIGHT, 40 if at_side else 0))
            if len(piece.feeds) > 1:
                ports += [(p, d, 12) for p, d in below]
            return [*ports, (beside[0][0], ACROSS, 70)] if len(piece.feeds) > 4 else ports
        if piece.kind == "merge":
            return [(left, ACROSS, 0), (bottom, UPRIGHT, 0), (top, UPRIGHT, 4), *((p, d, 8) for p, d in beside)]
        ports = [(left, ACROSS, 0), (bottom, UPRIGHT, 0), (top, UPRIGHT, 0)]
        if not feed.mark and len(piece.feeds) < 3:
            ports.append((right, ACROSS, 40))
        return ports


def _positions(count: int, tracks: int, half: float) -> list[float]:
    """Where the lines lie, about."""
    found, at = [], 0.0
    for _ in range(count):
        for _ in range(tracks):
            at += TRACK
            found.append(at)
        for step in (TRACK, half, half):
            at += step
            found.append(at)
    for _ in range(tracks):
        at += TRACK
        found.append(at)
    return found
