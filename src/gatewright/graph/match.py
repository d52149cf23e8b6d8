"""Whether two graphs are the same equations by other names, and which parameter is which.

Sums and products match in any order; everything else must be written alike. So a cell is recognised by what it
computes, whatever it is called.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from .graph import Graph
from .node import Node, topological

Binding = dict[Node, Node]


@lru_cache(maxsize=512)
def match(pattern: Graph, graph: Graph) -> dict[str, str] | None:
    """The graph's parameter for each of the pattern's, by name; None where the equations differ.

    Inputs and states match in their order; initial values must be equal.
    """
    if len(pattern.inputs) != len(graph.inputs) or len(pattern.states) != len(graph.states):
        return None
    if any(p.initial != g.initial for p, g in zip(pattern.states, graph.states, strict=True)):
        return None
    shapes = _Shapes(pattern), _Shapes(graph)
    pairs = list(zip(pattern.results, graph.results, strict=True))
    if any(shapes[0].of[p] != shapes[1].of[g] for p, g in pairs):
        return None
    found = next(_Matcher(shapes).all(pairs, {}), None)
    if found is None:
        return None
    return {p.attr.name: g.attr.name for p, g in found.items() if p.op == "param"}


def _terms(n: Node, op: str) -> list[Node]:
    """The operands of a chain of additions or products."""
    out, stack = [], [n]
    while stack:
        current = stack.pop()
        if current.op == op:
            stack.extend(reversed(current.args))
        else:
            out.append(current)
    return out


class _Shapes:
    """The form of every node with parameters, inputs and states known by kind and position alone."""

    def __init__(self, graph: Graph):
        inputs = {name: i for i, name in enumerate(graph.inputs)}
        states = {s.name: i for i, s in enumerate(graph.states)}
        self.of: dict[Node, object] = {}
        for n in topological(graph.results):
            self.of[n] = self._shape(n, inputs, states)

    def _shape(self, n: Node, inputs: dict[str, int], states: dict[str, int]) -> object:
        match n.op:
            case "param":
                return hash(("param", n.attr.kind, n.attr.width is None))
            case "input":
                return hash(("input", inputs[n.attr]))
            case "state":
                return hash(("state", states[n.attr]))
            case "add" | "mul":
                return hash((n.op, tuple(sorted(hash(self.of[a]) for a in _terms(n, n.op)))))
        return hash((n.op, n.attr, tuple(self.of[a] for a in n.args)))


class _Matcher:
    """Backtracking over the orders of sums and products; forms prune nearly all of it."""

    def __init__(self, shapes: tuple[_Shapes, _Shapes]):
        self.pattern, self.graph = shapes

    def all(self, pairs: list[tuple[Node, Node]], bound: Binding) -> Iterator[Binding]:
        if not pairs:
            yield bound
            return
        (p, g), *rest = pairs
        for binding in self.one(p, g, bound):
            yield from self.all(rest, binding)

    def one(self, p: Node, g: Node, bound: Binding) -> Iterator[Binding]:
        if p in bound:
            if bound[p] is g:
                yield bound
            return
        if self.pattern.of[p] != self.graph.of[g] or p.op != g.op:
            return
        if p.op == "param" and g in bound.values():
            return  # one parameter cannot stand for two
        if p.op not in ("param", "input", "state") and p.attr != g.attr:
            return  # forms are hashes, and unlike numbers may share one
        if p.op in ("add", "mul"):
            found = self.any_order(_terms(p, p.op), _terms(g, g.op), bound)
        else:
            found = self.all(list(zip(p.args, g.args, strict=True)), bound)
        for binding in found:
            yield {**binding, p: g}

    def any_order(self, left: list[Node], right: list[Node], bound: Binding) -> Iterator[Binding]:
        if len(left) != len(right):
            return
        if not left:
            yield bound
            return
        first, *rest = left
        for i, candidate in enumerate(right):
            for binding in self.one(first, candidate, bound):
                yield from self.any_order(rest, right[:i] + right[i + 1 :], binding)
