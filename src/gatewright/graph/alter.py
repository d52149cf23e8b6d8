"""A graph with one of its values changed, wherever the step uses it: what interventions and probes are made of.

f = σ(…)   →   f_pre = …,   f = 0.5 σ(…)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from .errors import CellError
from .graph import Graph
from .node import Node, node, topological
from .ops import SQUASHING
from .trace import Tracer, tracing
from .value import Value, lift

OLD = "value before"
"""The name of the state that stands for the old value in an expression."""


def expression(function: Callable, name: str) -> Node:
    """What a function of one value makes of it, over a state called `OLD`; it is traced, like a cell.

    Raises:
        CellError: it is no expression of a cell's operations, or has weights of its own.
    """
    with tracing(Tracer(function, name)) as tracer:
        before = Value(node("state", attr=OLD))
        found = lift(tracer.call(function, (before,), {}), f"what the function for {name} returns").node
    if owned := [n.attr.name for n in topological([found]) if n.op == "param"]:
        raise CellError(f"{name}: the function makes weights of its own ({', '.join(owned)}); take what the cell has")
    return found


def changed(graph: Graph, name: str, change: Callable[[Node], Node]) -> Graph:
    """The graph with the value of this name replaced by what `change` makes of it, for all that comes after it.

    Where the new value is no squashing any more, what stood inside it keeps its name `f_pre`.
    """
    old = graph.watchable()[name]
    new = change(old)
    if new is old:
        return graph
    found: dict[Node, Node] = {}
    for n in topological(graph.roots):
        same = n if all(found[a] is a for a in n.args) else node(n.op, *(found[a] for a in n.args), attr=n.attr)
        found[n] = new if n is old else same
    equations: list[tuple[str, Node]] = []
    for other, n in graph.equations:
        if n is old and n.op in SQUASHING and f"{other}_pre" not in graph.names:
            equations.append((f"{other}_pre", n.args[0]))
        equations.append((other, found[n]))
    states = tuple(replace(s, new=found[s.new]) for s in graph.states)
    if name not in graph.names:  # `f_pre`, which only had a name by its place
        equations.insert(0, (name, new))
    return replace(graph, equations=tuple(equations), states=states)


def with_inputs(graph: Graph, names: tuple[str, ...]) -> Graph:
    """The graph with further inputs behind its own."""
    return replace(graph, inputs=(*graph.inputs, *names))
