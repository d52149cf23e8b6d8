"""The table of operations: what a cell may say.

Each row has the number of arguments, how Python computes it on numbers (for folding constants) and what
kind of thing it is. The rows of a gradient and of a backend stand in tables of their own, keyed by the
same names; a test finds the rows that are missing.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Op:
    """One operation. `kind` is leaf, unary, binary, compare, select, reduce, shape, product or composite."""

    name: str
    kind: str
    arity: int | None  # None: any number, at least one
    fold: Callable[..., float] | None = None
    doc: str = ""


def _sigmoid(a: float) -> float:
    return 1 / (1 + math.exp(-a)) if a >= 0 else math.exp(a) / (1 + math.exp(a))


def _softplus(a: float) -> float:
    return max(a, 0.0) + math.log1p(math.exp(-abs(a)))


ROWS = (
    Op("const", "leaf", 0, doc="a number"),
    Op("input", "leaf", 0, doc="an input of this step"),
    Op("state", "leaf", 0, doc="a state's old value"),
    Op("param", "leaf", 0, doc="a parameter"),
    Op("adjoint", "leaf", 0, doc="∂loss/∂ a new state or the output, given to the reverse sweep"),
    Op("previous", "leaf", 1, doc="the input k steps earlier"),
    Op("chance", "leaf", 2, doc="a condition that holds at random, with probability a in each unit of b"),
    Op("add", "binary", 2, operator.add, "a + b"),
    Op("sub", "binary", 2, operator.sub, "a − b"),
    Op("mul", "binary", 2, operator.mul, "a ⊙ b"),
    Op("div", "binary", 2, operator.truediv, "a / b"),
    Op("pow", "binary", 2, operator.pow, "a to the power of b"),
    Op("maximum", "binary", 2, max, "the larger of two, unit by unit"),
    Op("minimum", "binary", 2, min, "the smaller of two, unit by unit"),
    Op("neg", "unary", 1, lambda a: -a, "−a"),
    Op("sigmoid", "unary", 1, _sigmoid, "1 / (1 + e^−a)"),
    Op("tanh", "unary", 1, math.tanh, "the hyperbolic tangent"),
    Op("relu", "unary", 1, lambda a: max(a, 0.0), "max(a, 0)"),
    Op("exp", "unary", 1, math.exp, "e^a"),
    Op("log", "unary", 1, math.log, "the natural logarithm"),
    Op("softplus", "unary", 1, _softplus, "log(1 + e^a)"),
    Op("abs", "unary", 1, lambda a: abs(a), "|a|"),
    Op("sqrt", "unary", 1, math.sqrt, "the square root"),
    Op("lt", "compare", 2, operator.lt, "a < b"),
    Op("le", "compare", 2, operator.le, "a ≤ b"),
    Op("gt", "compare", 2, operator.gt, "a > b"),
    Op("ge", "compare", 2, operator.ge, "a ≥ b"),
    Op("eq", "compare", 2, operator.eq, "a = b"),
    Op("ne", "compare", 2, operator.ne, "a ≠ b"),
    Op("where", "select", 3, doc="a where the condition holds, b elsewhere"),
    Op("stop_gradient", "unary", 1, doc="a, through which no gradient flows"),
    Op("sum", "reduce", 1, doc="the sum over units: one value"),
    Op("mean", "reduce", 1, doc="the mean over units: one value"),
    Op("max", "reduce", 1, doc="the largest unit: one value"),
    Op("units", "reduce", 1, doc="how many units a has: one value"),
    Op("repeat", "shape", 1, doc="every unit n times in a row"),
    Op("block_sum", "shape", 1, doc="the sum of every n units in a row; the adjoint of repeat"),
    Op("spread", "shape", 2, doc="one value, spread over the units of b; the adjoint of sum"),
    Op("layer_norm", "composite", None, doc="one of several vectors, normalised together"),
    Op("linear", "product", 2, doc="a matrix times a vector"),
    Op("linear_t", "product", 2, doc="a transposed matrix times a vector; the adjoint of linear"),
    Op("outer", "product", 2, doc="a ⊗ v, summed over the batch: the gradient of a matrix W or U"),
    Op("total", "product", 1, doc="a summed over the batch: a vector parameter's gradient"),
)

OPS: dict[str, Op] = {row.name: row for row in ROWS}
SQUASHING = frozenset({"sigmoid", "tanh", "relu", "softplus"})
"""Where `f` is directly one of these, its argument can be watched as `f_pre`."""
INTERNAL = frozenset({"adjoint", "chance", "units", "block_sum", "spread", "linear_t", "outer", "total"})
"""Only the reverse sweep, the expansion of composites and regularisers make these; a cell cannot say them."""
