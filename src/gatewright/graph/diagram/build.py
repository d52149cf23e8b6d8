"""The whole way from a graph to a layout."""

from __future__ import annotations

from functools import lru_cache

from ..graph import Graph
from .geometry import Layout, layout
from .grid import Grid
from .pieces import Sketch
from .place import Arrangement, arrangements
from .route import NoWay, Router
from .sketch import sketch

TRACKS = (2, 3, 5, 8, 13)
"""Tracks between two places: more where the lines need them."""


@lru_cache(maxsize=256)
def drawn(graph: Graph) -> Layout:
    """The layout of a graph's diagram."""
    made = sketch(graph)
    tried = [routed(made, arrangement) for arrangement in arrangements(made)]
    found = [one for one in tried if one is not None]
    if not found:
        raise RuntimeError("a diagram's lines found no way: please report these equations")
    return min(found, key=price)


def routed(made: Sketch, arrangement: Arrangement) -> Layout | None:
    """The layout of one arrangement, with as few tracks as its lines need; None where they find no way in it."""
    for tracks in TRACKS:
        grid = Grid(made, arrangement, tracks)
        try:
            nets = Router(made, grid).run()
        except NoWay:
            continue
        return layout(made, arrangement, grid, nets)
    return None


def price(made: Layout) -> float:
    """Less is better: crossings, bends, size."""
    bends = sum(len(line.points) - 2 for line in made.lines)
    return 60 * made.crossings() + 14 * bends + 0.6 * made.width + 0.4 * made.height
