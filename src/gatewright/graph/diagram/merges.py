"""Lines that several layers take together are merged first, as [h, x] is everywhere."""

from __future__ import annotations

from dataclasses import replace

from .pieces import Feed, How, Piece, Sketch

DIRECT = {"product": 3, "diagonal": 2}
"""As many lines of a kind enter a box by themselves; more are merged."""
PLACES = 4
"""For lines that enter a merge."""


def with_merges(sketch: Sketch) -> Sketch:
    """The sketch with a piece wherever the same vectors enter two layers or more."""
    for how in ("product", "diagonal"):
        sketch = _merged(sketch, how)
    return sketch


def _merged(sketch: Sketch, how: How) -> Sketch:
    wanted: dict[frozenset[int], list[int]] = {}
    for number, piece in enumerate(sketch.pieces):
        sources = frozenset(f.source for f in piece.feeds if f.how == how)
        if len(sources) > 1:
            wanted.setdefault(sources, []).append(number)
    made: dict[frozenset[int], int] = {}
    pieces = list(sketch.pieces)
    for sources in sorted(wanted, key=lambda s: (len(s), sorted(s))):
        inside = _cover(sources, made)
        users = sum(len(wanted[other]) for other in wanted if sources <= other)
        many = len(inside) > DIRECT[how]
        shared = many or (users > 1 and how == "product")
        if shared and len(inside) > 1:
            while len(inside) > PLACES:
                pieces.append(Piece("merge", "", tuple(Feed(s, "operand") for s in inside[:PLACES])))
                inside = [len(pieces) - 1, *inside[PLACES:]]
            pieces.append(Piece("merge", "", tuple(Feed(s, "operand") for s in inside)))
            made[sources], inside = len(pieces) - 1, [len(pieces) - 1]
        for user in wanted[sources]:
            rest = tuple(f for f in pieces[user].feeds if f.how != how)
            pieces[user] = replace(pieces[user], feeds=(*(Feed(s, how) for s in inside), *rest))
    return Sketch(pieces, sketch.belts)


def _cover(sources: frozenset[int], made: dict[frozenset[int], int]) -> list[int]:
    """The sources as few lines: merges that lie within, the largest first, and what is left."""
    found, left = [], set(sources)
    for group in sorted(made, key=lambda s: (-len(s), sorted(s))):
        if group <= left:
            found.append(made[group])
            left -= group
    return [*found, *sorted(left)]
