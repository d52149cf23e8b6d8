"""The reverse sweep over one step: from the adjoints of what leaves it to those of all that enters it.

The sweep walks the graph backwards once and adds up what each rule gives. Its result is a graph of the same kind,
so that simplification, printing and every backend work on it as they do on the step itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ..graph.graph import Graph
from ..graph.node import Node, node, rewrite, topological
from ..graph.simplify import drop_identity, fold_constant
from ..graph.widths import SCALAR, Widths
from .rules import RULES


@dataclass(frozen=True)
class StepGradient:
    """The adjoints of one step.

    `seeds` are the adjoints that come in: of each new state, by its name, and of the output as `output`. The
    others are what goes out: `states` for the old states, `inputs` for the inputs, `previous` for
    inputs further back (by name and k), `params` for the parameters, summed over the batch, and `named` for every
    value that can be watched.
    """

    graph: Graph
    seeds: Mapping[str, Node]
    states: Mapping[str, Node]
    inputs: Mapping[str, Node]
    previous: Mapping[tuple[str, int], Node]
    params: Mapping[str, Node]
    named: Mapping[str, Node]

    @property
    def roots(self) -> tuple[Node, ...]:
        """Everything that the backward step of training computes."""
        parts = (self.states, self.inputs, self.previous, self.params)
        return tuple(n for part in parts for n in part.values())

    def mapped(self, function: Callable[[list[Node]], Mapping[Node, Node]]) -> StepGradient:
        """The same adjoints in another form; `function` gives the form of each of many nodes."""
        groups = {k: getattr(self, k) for k in ("states", "inputs", "previous", "params", "named")}
        form = function([n for group in groups.values() for n in group.values()])
        return replace(self, **{k: {key: form[n] for key, n in group.items()} for k, group in groups.items()})

    def show(self) -> str:
        """The adjoints as equations, one a line, in the order in which they are computed; `in_h` comes in.

        >>> import gatewright as gw
        >>> from gatewright.gradient import reverse
        >>> print(reverse(gw.cells.indrnn.graph).show())
        d_h_t = in_output_t + in_h_t
        d_h_pre_t = where(h_pre_t ≤ 0, 0, d_h_t)
        d_h_prev_t = d_h_pre_t ⊙ p_h
        d_W_h = outer(d_h_pre_t, x_t)
        d_b_h = total(d_h_pre_t)
        d_p_h = total(d_h_pre_t ⊙ h_{t-1})
        """
        from ..graph.notation.printer import Printer  # only whoever looks needs the printer

        printer = Printer(self.graph)
        watchable = self.graph.watchable()
        for name, n in watchable.items():
            if n.args:
                printer.called.setdefault(n, name)
        spelled = {n: f"in_{name}" for name, n in self.seeds.items()}
        lines = {f"d_{name}": self.named[name] for name in reversed(tuple(watchable)) if name in self.named}
        lines |= {f"d_{name}": n for name, n in self.params.items()}
        for name, n in lines.items():
            spelled.setdefault(n, name)
        printer.called |= {n: name for n, name in spelled.items() if n.op not in ("param", "const")}
        order = {n: i for i, n in enumerate(topological(lines.values()))}
        ranked = sorted(lines.items(), key=lambda item: order[item[1]])
        weights = {f"d_{name}" for name in self.params}  # a weight's gradient is no value of one step
        return "\n".join(
            f"{name} = {printer.body(n)}" if name in weights else printer.equation(name, n) for name, n in ranked
        )


def seed(name: str) -> Node:
    """The adjoint that comes into the step: of a new state, or of the `output`."""
    return node("adjoint", attr=name)


def reverse(graph: Graph) -> StepGradient:
    """Differentiate one step of a graph."""
    seeds = {s.name: seed(s.name) for s in graph.states} | {"output": seed("output")}
    adjoints = _Adjoints(graph)
    adjoints.add(graph.output, seeds["output"])
    for state in graph.states:
        one = graph.widths.of(state.new) == SCALAR  # one value, which the state spreads over its units
        adjoints.add(state.new, node("sum", seeds[state.name]) if one else seeds[state.name])
    order = topological(graph.results)
    for n in reversed(order):
        adjoints.through(n)
    return _collect(graph, seeds, adjoints, order)


class _Adjoints:
    """The adjoints found so far."""

    def __init__(self, graph: Graph):
        self.found: dict[Node, Node] = {}
        self.widths: Widths = graph.widths

    def add(self, n: Node, adjoint: Node) -> None:
        known = self.found.get(n)
        self.found[n] = adjoint if known is None else node("add", known, adjoint)

    def through(self, n: Node) -> None:
        """Pass the adjoint of a node on to its arguments."""
        g = self.found.get(n)
        rule = RULES.get(n.op)
        if g is None or rule is None:
            return
        for argument, adjoint in zip(n.args, rule(n, g), strict=True):
            if adjoint is not None and argument.op != "const":
                self.add(argument, self._fitted(n, argument, adjoint))

    def _fitted(self, n: Node, argument: Node, adjoint: Node) -> Node:
        """Where one value met a vector, its adjoint is the sum over the vector's units."""
        spread = self.widths.of(argument) == SCALAR and self.widths.of(n) != SCALAR
        return node("sum", adjoint) if spread and adjoint.op not in ("outer", "linear_t") else adjoint


def _collect(graph: Graph, seeds: dict[str, Node], adjoints: _Adjoints, order: list[Node]) -> StepGradient:
    found = dict(adjoints.found)
    for n in order:
        if n.op == "param" and n in found and n.attr.kind not in "WU":
            found[n] = node("total", found[n])
    tidy = _simplified(found)

    def of(n: Node) -> Node | None:
        return tidy.get(found[n]) if n in found else None

    zero = node("const", attr=0.0)
    return StepGradient(
        graph=graph,
        seeds=seeds,
        states={s.name: of(s.old) or zero for s in graph.states},
        inputs={x: of(node("input", attr=x)) or zero for x in graph.inputs},
        previous={(n.args[0].attr, n.attr): of(n) or zero for n in order if n.op == "previous"},
        params={n.attr.name: of(n) or zero for n in order if n.op == "param"},
        named={name: d for name, n in graph.watchable().items() if (d := of(n)) is not None},
    )


def _simplified(found: dict[Node, Node]) -> dict[Node, Node]:
    """The simpler form of every adjoint."""
    roots = list(found.values())
    once = rewrite(roots, lambda n: drop_identity(fold_constant(n)))
    return {root: once[root] for root in roots}
