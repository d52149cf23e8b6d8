"""Passes that keep a graph's meaning: each is small, pure and has a name; the pipeline is a list.

Common subexpressions need no pass: nodes are hash-consed. A pass never assumes that a value is finite, so
`0 ⊙ a` stays (it is NaN where a is infinite) and `a − a` stays; nor that one value is as wide as a vector, so
`where(c, a, a)` stays (it is as wide as c).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from .node import Node, const, is_const, node, topological
from .ops import OPS

if TYPE_CHECKING:
    from .graph import Graph

Pass = Callable[["Graph"], "Graph"]


def fold_constant(n: Node) -> Node:
    row = OPS[n.op]
    if row.fold is None or row.kind == "compare" or any(a.op != "const" for a in n.args):
        return n
    try:
        value = row.fold(*(a.attr for a in n.args))
    except (ValueError, ZeroDivisionError, OverflowError):
        return n  # left to the arithmetic of the device, which gives its own infinity or NaN
    return n if isinstance(value, complex) or math.isnan(value) else const(value)


def fold_constants(graph: Graph) -> Graph:
    """σ(0) ⊙ a  →  0.5 ⊙ a"""
    return graph.mapped(fold_constant)


def drop_identity(n: Node) -> Node:
    match n.op, n.args:
        case ("mul", (a, one)) | ("mul", (one, a)) | ("div", (a, one)) | ("pow", (a, one)) if is_const(one, 1.0):
            return a
        case ("sub", (a, zero)) if is_const(zero, 0.0):
            return a
        case ("add", (a, zero)) | ("add", (zero, a)) if is_const(zero, 0.0):
            return a
        case ("neg", (inner,)) if inner.op == "neg":
            return inner.args[0]
        case ("add", (a, b)) if b.op == "neg":
            return node("sub", a, b.args[0])
        case ("sub", (a, b)) if b.op == "neg":
            return node("add", a, b.args[0])
    return n


def drop_identities(graph: Graph) -> Graph:
    """1 ⊙ a  →  a;  a + 0  →  a;  a + (−b)  →  a − b;  −(−a)  →  a"""
    return graph.mapped(drop_identity)


def drop_dead(graph: Graph) -> Graph:
    """Equations that neither the output nor a state needs are left out."""
    needed = set(topological(graph.results))
    return replace(graph, equations=tuple((name, n) for name, n in graph.equations if n in needed))


PIPELINE: tuple[tuple[str, Pass], ...] = (
    ("fold constants", fold_constants),
    ("drop identities", drop_identities),
    ("fold constants again", fold_constants),
    ("drop dead equations", drop_dead),
)


def simplify(graph: Graph) -> Graph:
    """Every pass, in order."""
    for _, change in PIPELINE:
        graph = change(graph)
    return graph
