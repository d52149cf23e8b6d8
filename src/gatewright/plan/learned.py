"""States that begin with parameters: what is learned takes the place of the number that a state begins with.

    h₀ = 0   →   h₀ = the parameter h_0

A plan then selects the parameter where an episode starts inside a sequence, and sums its gradient over all these
places. What a sequence begins with is passed in, so without resets the equations need none of this.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ..graph.graph import Graph
from ..graph.node import Node, Param, node


def start_name(state: str) -> str:
    """What the parameter is called that a state begins with."""
    return f"{state}_0"


def with_learned_starts(graph: Graph, states: Collection[str]) -> Graph:
    """The equations with some states beginning with parameters, `h_0` for the state h.

    >>> import gatewright as gw
    >>> from gatewright.plan.learned import with_learned_starts
    >>> graph = with_learned_starts(gw.cells.lstm.graph, ["c"])
    >>> [p.attr.name for p in graph.params if p not in gw.cells.lstm.graph.params]
    ['c_0']
    """
    if not states:
        return graph
    return replace(graph, states=tuple(replace(s, initial=_start(s.name) if s.name in states else s.initial)
                                       for s in graph.states))  # fmt: skip


def _start(state: str) -> Node:
    return node("param", attr=Param("start", start_name(state), None))
