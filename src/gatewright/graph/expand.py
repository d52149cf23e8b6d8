"""Composite operations in terms of simple ones: what they mean, written once.

A backend that has no kernel of its own for a composite expands it first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .node import Node, const, node

if TYPE_CHECKING:
    from .graph import Graph


def norm_scale(n: Node) -> Node:
    """√(variance + eps) over the units of all vectors of a layer norm; they are equally wide."""
    count = const(float(len(n.args)))
    mean = _norm_mean(n)
    centred = [node("sub", a, mean) for a in n.args]
    variance = _mean_over([node("mul", c, c) for c in centred], count)
    return node("sqrt", node("add", variance, const(n.attr[1])))


def normalised(n: Node) -> tuple[Node, ...]:
    """(a − mean) / √(variance + eps), for every vector a of a layer norm."""
    mean, scale = _norm_mean(n), norm_scale(n)
    return tuple(node("div", node("sub", a, mean), scale) for a in n.args)


def _norm_mean(n: Node) -> Node:
    return _mean_over(n.args, const(float(len(n.args))))


def _mean_over(values: tuple[Node, ...] | list[Node], count: Node) -> Node:
    total = node("mean", values[0])
    for value in values[1:]:
        total = node("add", total, node("mean", value))
    return total if len(values) == 1 else node("div", total, count)


EXPANSIONS: dict[str, Callable[[Node], Node]] = {
    "layer_norm": lambda n: normalised(n)[n.attr[0]],
}


def expand(n: Node) -> Node:
    """A composite node as simple ones, any other as it is."""
    return EXPANSIONS[n.op](n) if n.op in EXPANSIONS else n


def expanded(graph: Graph) -> Graph:
    """LN(a)  →  (a − mean(a)) / √(mean((a − mean(a)) ⊙ (a − mean(a))) + eps)"""
    return graph.mapped(expand)
