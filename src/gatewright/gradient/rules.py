"""The vector-Jacobian rule of each operation: one row an op, and its adjoints are graphs again.

A rule takes the node and the adjoint g of its value (∂loss/∂value) and gives the adjoint of each argument, None
where none flows. Rules look at no widths: the sweep sums an adjoint where its argument is one value that was
spread over many units. Derivatives at kinks are torch's: relu'(0) = 0, |·|'(0) = 0, and equal operands of
maximum, minimum and max share theirs.
"""

from __future__ import annotations

from collections.abc import Callable

from ..graph.expand import norm_scale, normalised
from ..graph.node import Node, const, node

Adjoints = tuple[Node | None, ...]
Rule = Callable[[Node, Node], Adjoints]

ONE, ZERO, HALF = const(1.0), const(0.0), const(0.5)


def add(a: Node, b: Node) -> Node:
    return node("add", a, b)


def sub(a: Node, b: Node) -> Node:
    return node("sub", a, b)


def mul(a: Node, b: Node) -> Node:
    return node("mul", a, b)


def div(a: Node, b: Node) -> Node:
    return node("div", a, b)


def neg(a: Node) -> Node:
    return node("neg", a)


def power(a: Node, b: Node) -> Node:
    return node("pow", a, b)


def select(op: str, a: Node, b: Node, yes: Node, no: Node) -> Node:
    return node("where", node(op, a, b), yes, no)


def _product(n: Node, g: Node) -> Adjoints:
    a, b = n.args
    return mul(g, b), mul(g, a)


def _quotient(n: Node, g: Node) -> Adjoints:
    a, b = n.args
    return div(g, b), neg(mul(g, div(div(a, b), b)))


def _power(n: Node, g: Node) -> Adjoints:
    a, b = n.args
    base = mul(g, mul(b, power(a, sub(b, ONE))))
    if b.op == "const":
        return (base if b.attr else None), None
    base = select("eq", b, ZERO, ZERO, base)
    vanishes = select("ge", b, ZERO, ZERO, mul(g, mul(n, node("log", a))))  # 0^b is 0 for b ≥ 0
    return base, select("eq", a, ZERO, vanishes, mul(g, mul(n, node("log", a))))


def _extreme(beats: str) -> Rule:
    """maximum with `gt`, minimum with `lt`: the operand that wins takes all, equal ones half each."""

    def rule(n: Node, g: Node) -> Adjoints:
        a, b = n.args
        half = mul(g, HALF)
        mine = select("eq", a, b, half, select(beats, a, b, g, ZERO))
        return mine, select("eq", a, b, half, select(beats, a, b, ZERO, g))

    return rule


def _max(n: Node, g: Node) -> Adjoints:
    (a,) = n.args
    wins = select("eq", a, n, ONE, ZERO)
    return (mul(wins, div(g, node("sum", wins))),)


def _where(n: Node, g: Node) -> Adjoints:
    condition, _, _ = n.args
    return None, node("where", condition, g, ZERO), node("where", condition, ZERO, g)


def _linear(n: Node, g: Node) -> Adjoints:
    weight, v = n.args
    return node("outer", g, v, attr=weight.attr.kind), node("linear_t", weight, g)


def _linear_t(n: Node, g: Node) -> Adjoints:
    weight, v = n.args
    return node("outer", v, g, attr=weight.attr.kind), node("linear", weight, g)


def _layer_norm(n: Node, g: Node) -> Adjoints:
    """With y = (a − m)/s over the K units of all vectors: ∂a_j = (g_j − mean(g) − y_j mean(g y)) / s."""
    index, _ = n.attr
    scale, values = norm_scale(n), normalised(n)
    count = const(float(len(n.args)))
    mean_g = div(node("mean", g), count)
    mean_gy = div(node("mean", mul(g, n)), count)

    def adjoint(k: int) -> Node:
        centred = add(mean_g, mul(values[k], mean_gy))
        return div(sub(g, centred) if k == index else neg(centred), scale)

    return tuple(adjoint(k) for k in range(len(n.args)))


RULES: dict[str, Rule] = {
    "add": lambda _, g: (g, g),
    "sub": lambda _, g: (g, neg(g)),
    "mul": _product,
    "div": _quotient,
    "pow": _power,
    "maximum": _extreme("gt"),
    "minimum": _extreme("lt"),
    "neg": lambda _, g: (neg(g),),
    "sigmoid": lambda n, g: (mul(mul(g, sub(ONE, n)), n),),
    "tanh": lambda n, g: (mul(g, sub(ONE, mul(n, n))),),
    "relu": lambda n, g: (select("le", n.args[0], ZERO, ZERO, g),),
    "exp": lambda n, g: (mul(g, n),),
    "log": lambda n, g: (div(g, n.args[0]),),
    "softplus": lambda n, g: (mul(g, node("sigmoid", n.args[0])),),
    "abs": lambda n, g: (select("gt", n.args[0], ZERO, g, select("lt", n.args[0], ZERO, neg(g), ZERO)),),
    "sqrt": lambda n, g: (div(g, mul(const(2.0), n)),),
    "lt": lambda _n, _g: (None, None),
    "le": lambda _n, _g: (None, None),
    "gt": lambda _n, _g: (None, None),
    "ge": lambda _n, _g: (None, None),
    "eq": lambda _n, _g: (None, None),
    "ne": lambda _n, _g: (None, None),
    "where": _where,
    "stop_gradient": lambda _n, _g: (None,),
    "sum": lambda n, g: (node("spread", g, n.args[0]),),
    "mean": lambda n, g: (node("spread", div(g, node("units", n.args[0])), n.args[0]),),
    "max": _max,
    "units": lambda _n, _g: (None,),
    "repeat": lambda n, g: (node("block_sum", g, attr=n.attr),),
    "block_sum": lambda n, g: (node("repeat", g, attr=n.attr),),
    "spread": lambda _, g: (node("sum", g), None),
    "layer_norm": _layer_norm,
    "linear": _linear,
    "linear_t": _linear_t,
}
"""Leaves have no arguments; `outer` and `total` end a sweep, and nothing is differentiated through them."""
