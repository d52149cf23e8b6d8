"""Where text stands beside a piece, and the room that it takes."""

from __future__ import annotations

from .geometry import Layout, Line, Point, Rectangle
from .pieces import Piece
from .shapes import GLYPH, NAME, NUMBER_WIDE, VALUE, Shape
from .words import width

MARK_SIZE = 13.0


def name_at(s: Shape, centre: Point) -> Point:
    """Above the piece, right of the line that leaves it there."""
    return centre[0] + 6, centre[1] - s.half_height - 8


def number_at(piece: Piece, s: Shape, centre: Point) -> Point | None:
    """Inside a box, below the sign; beside anything else. None for what shows no number."""
    x, y = centre
    if not piece.names:
        return None
    match piece.kind:
        case "layer":
            return x, y + 14
        case "old" | "new":
            return x, y + 21
        case "input" | "output":
            return x + s.half_width + 4, y + 4
    return None if s.label is None else (x + 6, y + s.half_height + 12)


def mark_at(line: Line) -> Point:
    """Beside the arrow of a line."""
    (x0, y0), (x, y) = line.points[-2:]
    if y0 == y:
        return (x - 8, y - 5) if x0 < x else (x + 8, y + 13)
    return (x - 8, y - 4) if y0 < y else (x - 8, y + 12)


def texts(layout: Layout) -> list[tuple[int, Rectangle]]:
    """The room of every text that stands beside its piece, with the piece's number."""
    found = []
    for number, (piece, s) in enumerate(zip(layout.sketch.pieces, layout.shapes, strict=True)):
        if s.label is not None and piece.kind in ("layer", "point", "number"):
            x, y = name_at(s, layout.centres[number])
            found.append((number, Rectangle(x, y - 0.7 * NAME, x + s.label.wide(NAME), y + 5)))
        at = number_at(piece, s, layout.centres[number])
        if at is not None and piece.kind in ("point", "number", "input", "output"):
            found.append((number, Rectangle(at[0], at[1] - 0.75 * VALUE, at[0] + NUMBER_WIDE, at[1] + 1)))
    for line in layout.lines:
        if line.feed.mark:
            x, y = mark_at(line)
            half = width(line.feed.mark, MARK_SIZE) / 2
            found.append((line.user, Rectangle(x - half, y - 0.7 * MARK_SIZE, x + half, y)))
    return found


def glyph_room(piece: Piece) -> float:
    """How wide the text inside a piece is."""
    return width(piece.text, GLYPH)
