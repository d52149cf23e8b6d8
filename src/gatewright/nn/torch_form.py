"""The one file that knows torch's order of gates and its two biases.

A cell is torch's LSTM, GRU or RNN if its equations are those of the zoo's cell below, by whatever names. Its
weights then bear torch's names and layout: the gates' rows are stacked in torch's order, and each bias is a sum
`b_i = b_i_x + b_i_h` of one that comes with the input and one that comes with the state.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..cells import zoo
from ..graph import Graph, Node
from ..graph.match import match
from ..graph.node import node


@dataclass(frozen=True)
class Form:
    """One of torch's recurrences: its mode, our cell, and the cell's gates in torch's order."""

    mode: str
    cell: str
    gates: str
    hyper: tuple[tuple[str, str], ...] = ()
    projection: str | None = None


FORMS = (
    Form("LSTM", "lstm", "ifgo"),
    Form("LSTM", "lstmp", "ifgo", projection="U_h"),
    Form("GRU", "gru", "rzn"),
    Form("RNN_TANH", "rnn", "h"),
    Form("RNN_RELU", "rnn", "h", hyper=(("nonlinearity", "relu"),)),
)


@dataclass(frozen=True)
class TorchForm:
    """How a graph is torch's: the form, and the graph's own name of each of the form's parameters."""

    form: Form
    names: dict[str, str]

    @property
    def mode(self) -> str:
        return self.form.mode

    def rows(self, kind: str) -> tuple[str, ...]:
        """The graph's parameters of a kind (W or U), in torch's order."""
        return tuple(self.names[f"{kind}_{gate}"] for gate in self.form.gates)

    def biases(self, side: str) -> tuple[tuple[str, str], ...]:
        """For each gate (parameter of the graph, name of torch's half of it); side is x or h.

        torch's GRU keeps the halves of its n gate apart, since the reset gate multiplies one of them; all others
        are one bias, split in two.
        """
        pairs = []
        for gate in self.form.gates:
            half = f"b_{gate}_{side}"
            whole = self.names.get(half) or self.names[f"b_{gate}"]
            pairs.append((whole, whole if half in self.names else f"{whole}_{side}"))
        return tuple(pairs)

    @property
    def projection(self) -> str | None:
        return self.names[self.form.projection] if self.form.projection else None


def torch_form(graph: Graph, *, bias: bool) -> TorchForm | None:
    """How these equations are one of torch's modules, or None; `bias` is whether they have any."""
    simple = graph.simplified()
    for form in FORMS:
        written = zoo[form.cell].with_(**dict(form.hyper)).graph
        for pattern in (written, _with_two_biases(written, form.gates)) if bias else (written.without_bias(),):
            names = match(pattern, simple)
            if names is not None:
                return TorchForm(form, names)
    return None


def _with_two_biases(graph: Graph, gates: str) -> Graph:
    """b_i  →  b_i_x + b_i_h: as torch's documentation writes its equations."""
    whole = {p for p in graph.params if p.attr.name in {f"b_{gate}" for gate in gates}}

    def rule(n: Node) -> Node:
        if n not in whole:
            return n
        halves = (node("param", attr=n.attr._replace(name=f"{n.attr.name}_{side}")) for side in "xh")
        return node("add", *halves)

    return graph.mapped(rule)
