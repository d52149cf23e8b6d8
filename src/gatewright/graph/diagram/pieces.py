"""What a diagram is made of, before anything has a place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["layer", "point", "merge", "number", "input", "old", "new", "output"]
How = Literal["product", "diagonal", "added", "operand", "end"]

TERMINALS = frozenset({"input", "old", "new", "output"})
"""The ends of lines, at the edge of the picture."""


@dataclass(frozen=True)
class Feed:
    """What goes into a piece: the number of the piece it comes from, how it is used, and a mark at the arrow.

    `how` is product (it meets a matrix), diagonal (weighted unit by unit: a peephole), added (to the products of
    a layer), operand (of a pointwise operation) or end. The mark is "−" for what is subtracted, "÷" for what
    divides, and so on; empty where the order does not matter.
    """

    source: int
    how: How
    mark: str = ""


@dataclass(frozen=True)
class Piece:
    """A box, circle or end of a line: `text` stands inside, `names` are the equations whose value it is."""

    kind: Kind
    text: str
    feeds: tuple[Feed, ...] = ()
    names: tuple[str, ...] = ()
    op: str = ""  # the outermost operation, for those who colour by it
    back: int = 0  # of an input or old state: how many steps it lies back


@dataclass
class Sketch:
    """All pieces, sources before their users but for nothing; `belts` are the paths of the belt states.

    A belt is the numbers of the pieces from a state's old value to its new one, both ends included.
    """

    pieces: list[Piece] = field(default_factory=list)
    belts: list[tuple[int, ...]] = field(default_factory=list)

    def add(self, piece: Piece) -> int:
        self.pieces.append(piece)
        return len(self.pieces) - 1

    def users(self) -> list[list[tuple[int, Feed]]]:
        """(user, feed) of every piece."""
        found: list[list[tuple[int, Feed]]] = [[] for _ in self.pieces]
        for number, piece in enumerate(self.pieces):
            for feed in piece.feeds:
                found[feed.source].append((number, feed))
        return found
