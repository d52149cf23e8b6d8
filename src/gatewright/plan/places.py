"""Where values come from and go to: the leaves of a plan's expressions, and their targets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ..graph.graph import Graph
from ..graph.node import Node, node, topological
from ..graph.ops import OPS
from ..graph.widths import SCALAR, Width


class Place(NamedTuple):
    """Where a value of one step lies. `shift` 1 is the step after this one.

    kind        what                                                    name             index
    input       an input sequence (also of an input k steps earlier)                     which
    state       a state as it enters a step, resets applied             the state
    initial     a state as it was passed in                             the state
    vector      a left operand of products, row by row                                   which
    value       a panel of values, kept through a step or for backward  its width        position
    adjoint     the same in backward                                    its width        position
    product     the result of a transposed product, in backward                          which
    carry       what backward hands to the step before                                   which
    reduce      a sum (or maximum) over units, being built                               which
    reduced     the same, complete                                                       which
    units       how many units a width has                              the width
    reset       whether an episode starts
    chance      a random mask                                                            which
    output, every, record, given, final, start, input_adjoint, total: tensors of the caller
    """

    kind: str
    name: str = ""
    index: int = 0  # pyright: ignore[reportIncompatibleMethodOverride]
    shift: int = 0

    def __str__(self) -> str:
        inside = ", ".join(str(v) for v in (self.name, self.index) if v not in ("",))
        return f"{self.kind}[{inside}]" + ("(t+1)" if self.shift else "")


def load(kind: str, name: str = "", index: int = 0, shift: int = 0) -> Node:
    """The leaf that reads a place."""
    return node("load", attr=Place(kind, name, index, shift))


class Sink(NamedTuple):
    """A value and where it goes; `width` is that of the target, over which one value is spread."""

    place: Place
    value: Node
    width: Width


class Typing:
    """The width of every node of a plan, those of its gradient included."""

    def __init__(self, graph: Graph):
        self.graph = graph
        self.known: dict[Node, Width] = {}

    def declare(self, n: Node, width: Width) -> Node:
        """Say how wide a leaf is; gives the leaf."""
        known = self.known.setdefault(n, width)
        assert known == width, (n.attr, known, width)
        return n

    def of(self, n: Node) -> Width:
        for each in topological([n]) if n not in self.known else ():
            if each not in self.known:
                self.known[each] = self._infer(each)
        return self.known[n]

    def _infer(self, n: Node) -> Width:
        widths = [self.known[a] for a in n.args]
        match n.op:
            case "const":
                return SCALAR
            case "input" | "state" | "param" | "previous":
                return self.graph.widths.of(n)
            case "linear" | "slot" | "tslot":
                return widths[0]
            case "linear_t":
                return self.graph.widths.columns(n.args[0])
            case "repeat" | "block_sum":
                ratio = widths[0].ratio * n.attr if n.op == "repeat" else widths[0].ratio / n.attr
                return Width(ratio, widths[0].symbol)
            case "spread" | "chance":
                return widths[1]
            case "load":
                raise AssertionError(f"{n.attr} has no width")
        if OPS[n.op].kind == "reduce":
            return SCALAR
        return next((w for w in widths if w != SCALAR), SCALAR)


def substituted(roots: Iterable[Node], new: Mapping[Node, Node]) -> dict[Node, Node]:
    """Every node that the roots need, with some replaced as a whole; what only they needed is not there."""
    found: dict[Node, Node] = {}
    stack = list(roots)
    while stack:
        current = stack[-1]
        if current in found:
            stack.pop()
        elif current in new:
            found[current] = new[current]
            stack.pop()
        elif missing := [a for a in current.args if a not in found]:
            stack += missing
        else:
            args = tuple(found[a] for a in current.args)
            same = args == current.args
            found[current] = current if same else node(current.op, *args, attr=current.attr)
            stack.pop()
    return found


def is_leaf(n: Node) -> bool:
    return n.op in ("const", "param", "load")
