"""Random cells: any graph that the language can say, small, with every input and state used.

The functions that could leave their domain or stand on a kink are given arguments that keep them inside, so that
derivatives exist and can be compared.
"""

from __future__ import annotations

from hypothesis import strategies as st

import gatewright as gw
from gatewright.graph import Graph
from gatewright.graph.trace import trace

UNARY = {
    "sigmoid": gw.sigmoid,
    "tanh": gw.tanh,
    "relu": gw.relu,
    "softplus": gw.softplus,
    "abs": gw.abs,
    "negative": lambda a: -a,
    "exp": lambda a: gw.exp(gw.tanh(a)),
    "log": lambda a: gw.log(gw.softplus(a) + 0.5),
    "sqrt": lambda a: gw.sqrt(gw.abs(a) + 0.25),
    "square": lambda a: a**2,
    "root": lambda a: (gw.abs(a) + 0.5) ** -0.5,
    "mean": lambda a: a - gw.mean(a),
    "sum": lambda a: gw.tanh(gw.sum(a)),
    "max": lambda a: a - gw.max(a),
    "stop": lambda a: gw.stop_gradient(a) + a,
    "scale": lambda a: 0.5 * a,
    "shift": lambda a: a - 1.5,
    "identities": lambda a: (0 - a) - 0.0 + -(gw.constant(0) - a) / 1 + -1 * -a + 1 * a**1,
    "inverse": lambda a: 1 / (1 + gw.abs(a)),
}
BINARY = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / (1 + gw.abs(b)),
    "div_product": lambda a, b: a / ((1 + gw.abs(b)) * (2 + gw.abs(a))),
    "div_div": lambda a, b: a / ((1 + gw.abs(b)) / (2 + gw.abs(a))) * b,
    "sub_sub": lambda a, b: a - (b - a * b),
    "maximum": gw.maximum,
    "minimum": gw.minimum,
    "pow": lambda a, b: (gw.sigmoid(a) + 0.5) ** gw.tanh(b),
    "narrow": lambda a, b: gw.sum(gw.where(a > b, gw.mean(a), gw.mean(a))) + gw.where(a < b, 1.0, 1.0) * b,
    "greater": lambda a, b: gw.where(a > b, a, 0.5 * b),
    "less": lambda a, b: gw.where(a <= b, b * b, -a),
}
PRODUCTS = ("affine", "linear", "diagonal", "bias", "layer_norm")


class Recipe:
    """A random cell as data, so that Hypothesis can shrink it; `graph()` traces it."""

    def __init__(self, inputs: int, states: int, lines: list[tuple], output: bool):
        self.inputs = tuple(f"x{i}" for i in range(inputs))
        self.states = tuple(f"s{i}" for i in range(states))
        self.lines, self.output = lines, output

    def __repr__(self) -> str:
        return f"Recipe({len(self.inputs)}, {len(self.states)}, {self.lines!r}, {self.output})"

    def equations(self, *leaves):
        inputs, states = leaves[: len(self.inputs)], leaves[len(self.inputs) :]
        values = [gw.tanh(gw.affine(*inputs, *states, name="all"), name="all"), *states]
        for i, (what, first, second) in enumerate(self.lines):
            a, b = values[first % len(values)], values[second % len(values)]
            name = f"v{i}"
            if what in UNARY:
                made = UNARY[what](a)
            elif what in BINARY:
                made = BINARY[what](a, b)
            elif what == "affine":
                made = gw.affine(a, inputs[second % len(inputs)], name=name)
            elif what == "linear":
                made = gw.linear(a, name=name) + b
            elif what == "diagonal":
                made = gw.diagonal(a, name=name)
            elif what == "bias":
                made = a + gw.bias(name=name)
            elif what == "previous":
                made = a + gw.linear(gw.previous(inputs[0], 1 + second % 2), name=name)
            else:
                made = gw.layer_norm(a, eps=0.25, name=name) + b
            values.append(made * gw.constant(1.0, name=f"one{i}") if second % 7 == 6 else made)
        total = values[0]
        for value in values[1:]:
            total = total + value
        news = tuple(gw.tanh(total + (k + 1) * s, name=f"n{k}") for k, s in enumerate(states))
        return (gw.tanh(total, name="y"), news) if self.output else news

    def graph(self) -> Graph:
        return trace(
            self.equations,
            name="random",
            inputs=self.inputs,
            states=self.states,
            hyper={},
            initial={self.states[0]: 0.5},
        )


def recipes():
    """Random recipes; few lines shrink first."""
    operations = st.sampled_from([*UNARY, *BINARY, *PRODUCTS, "previous"])
    line = st.tuples(operations, st.integers(0, 50), st.integers(0, 50))
    return st.builds(Recipe, st.integers(1, 2), st.integers(1, 3), st.lists(line, max_size=8), st.booleans())
