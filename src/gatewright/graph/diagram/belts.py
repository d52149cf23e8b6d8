"""Which states are belts: those with a way from the old value to the new one that no learned layer interrupts."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from ..graph import Graph
from .pieces import Sketch

_NOT_BY_UNIT = frozenset({"sum", "mean", "max", "layer_norm"})


def belts(sketch: Sketch, graph: Graph) -> Sketch:
    """The sketch with its belts: of each state the shortest such way; a piece lies on one belt at most."""
    old = {p.text: i for i, p in enumerate(sketch.pieces) if p.kind == "old"}
    new = {p.text: i for i, p in enumerate(sketch.pieces) if p.kind == "new"}
    taken: set[int] = set()
    found = []
    for state in graph.states:
        way = _way(sketch, old[state.name], new[state.name], taken)
        if way:
            taken |= set(way)
            found.append(way)
    return replace(sketch, belts=found)


def _way(sketch: Sketch, start: int, end: int, taken: set[int]) -> tuple[int, ...]:
    users = sketch.users()
    came: dict[int, int] = {start: start}
    queue = deque([start])
    while queue:
        current = queue.popleft()
        if current == end:
            return _traced(came, end)
        for user, feed in users[current]:
            piece = sketch.pieces[user]
            by_unit = piece.kind == "point" and piece.op not in _NOT_BY_UNIT and feed.mark != "?"
            if user not in came and user not in taken and (by_unit or user == end):
                came[user] = current
                queue.append(user)
    return ()


def _traced(came: dict[int, int], end: int) -> tuple[int, ...]:
    way = [end]
    while came[way[-1]] != way[-1]:
        way.append(came[way[-1]])
    return tuple(reversed(way))
