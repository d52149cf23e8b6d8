"""What a piece looks like: its outline, and the room that its text needs on every side."""

from __future__ import annotations

from dataclasses import dataclass

from .pieces import TERMINALS, Piece, Sketch
from .words import Label, label, width

GLYPH, NAME, SMALL, VALUE = 15.0, 14.0, 10.0, 10.5
"""Sizes of type: inside a box, a name, its subscript, a number."""
NUMBER_WIDE = width("−0.00", VALUE)
CORNER, ARROW, MARK, SIDE = 8.0, 7.0, 13.0, 8.0
"""Of a rounded corner, an arrow, the room for a mark, and that beside a piece."""


@dataclass(frozen=True)
class Shape:
    """Half the width and height of an outline, the label beside it, and how far all of it reaches from the middle."""

    half_width: float
    half_height: float
    label: Label | None
    left: float
    right: float
    up: float
    down: float
    round: bool = False


def shown_at_ends(sketch: Sketch) -> frozenset[str]:
    """Names that stand at the edge of the picture already."""
    return frozenset(p.names[0] for p in sketch.pieces if p.kind in ("new", "output"))


def shape(piece: Piece, at_ends: frozenset[str]) -> Shape:
    """The shape of a piece."""
    if piece.kind in TERMINALS:
        return _terminal(piece)
    named = tuple(name for name in piece.names if piece.kind == "layer" or name not in at_ends)
    text = label(named[0]) if named else None
    marks = MARK if any(f.mark for f in piece.feeds) else 0.0
    match piece.kind:
        case "merge":
            return Shape(3.0, 12.0, None, 10, 10, 14, 14)
        case "layer":
            half_width, half_height = max(22.0, width(piece.text, GLYPH) / 2 + 8), 19.0
            beside = 0.0 if text is None else 8 + text.wide(NAME)
            above = 24.0 if text is not None else 8.0
            return Shape(
                half_width, half_height, text, half_width + SIDE + marks, max(half_width + SIDE, beside + 4),
                half_height + above, half_height + 8 + (marks and 6),
            )  # fmt: skip
    is_round = len(piece.text) == 1
    half_height = 12.0
    half_width = half_height if is_round else max(16.0, width(piece.text, GLYPH - 2) / 2 + 9)
    beside = 0.0 if text is None else 8 + max(text.wide(NAME), NUMBER_WIDE)
    room = 19.0 if text is not None else 6.0
    return Shape(
        half_width, half_height, text, half_width + SIDE + marks, max(half_width + SIDE, beside + 4),
        half_height + max(room, marks), half_height + max(room - 2, marks), is_round,
    )  # fmt: skip


def _terminal(piece: Piece) -> Shape:
    text = label(piece.text, piece.back)
    wide = max(text.wide(NAME), NUMBER_WIDE)
    if piece.kind in ("input", "output"):
        half_width = max(17.0, text.wide(NAME) / 2 + 8)
        return Shape(half_width, 17.0, text, half_width + 3, half_width + 8 + NUMBER_WIDE, 20, 20, half_width == 17.0)
    return Shape(wide / 2 + 4, 10.0, text, wide / 2 + 4, wide / 2 + 8, 15, 22)
