"""The words of a cell: every operation that its equations may use.

All take values of the step or numbers. `name=` gives a name to what has no local one (in a loop, a dict or
a lambda); on a product it names the parameters: `affine(x, h, name="f")` owns `W_f`, `U_f` and `b_f`.
"""

from __future__ import annotations

import numbers
import re

from .errors import CellError
from .node import Param, node
from .trace import current
from .value import Value, apply, lift


def _named(value: Value, name: str | None, *, product: bool = False) -> Value:
    if name is not None:
        value.tracer.explicit(value, name, product=product)
    return value


def _parameter(kind: str, width: str | int | None, name: str | None, vector: Value | None = None) -> Value:
    """A parameter that is named when the whole function has been seen; until then it bears a number."""
    tracer = current()
    value = Value(node("param", attr=Param(kind, f"#{tracer.serial()}", _width(width))))
    tracer.parameter(value, stem=name, vector=vector)
    return value


def _width(width: str | int | None) -> str | None:
    if width is None or width == "H":
        return None  # products are H wide
    if isinstance(width, str) and (width.isidentifier() or re.fullmatch("[1-9][0-9]*", width)):
        return width
    if isinstance(width, int) and not isinstance(width, bool) and width > 0:
        return str(width)
    raise CellError(f"{current().where()}: width={width!r}: expected a name such as 'P', or a whole number")


def _product(vectors: tuple, width: str | int | None, name: str | None, call: str) -> Value:
    if not vectors:
        raise CellError(f"{current().where()}: {call}() needs at least one vector")
    total: Value | None = None
    for vector in vectors:
        v = lift(vector, f"an argument of {call}")
        kind = "W" if current().sees_inputs_only(v) else "U"
        weight = _parameter(kind, width, name, vector=v)
        term = apply("linear", weight, v)
        total = term if total is None else apply("add", total, term)
    assert total is not None
    return total


def linear(*vectors: Value, width: str | int | None = None, name: str | None = None) -> Value:
    """`W x + U h`: a matrix product with each vector, each with a weight of its own, and no bias.

    Args:
        vectors: values; a weight is `W_n` where its vector depends on inputs alone, else `U_n`.
        width: the symbol (or number) of the result's width; default `H`, the layer's hidden size.
        name: the name n of the parameters, where the result is not assigned to a name.
    """
    return _named(_product(vectors, width, name, "linear"), name, product=True)


def affine(*vectors: Value, width: str | int | None = None, name: str | None = None) -> Value:
    """`W x + U h + b`: a matrix product with each vector, and a bias.

    >>> import gatewright as gw
    >>> @gw.cell
    ... def elman(x, h):
    ...     h = gw.tanh(gw.affine(x, h))
    ...     return h
    >>> print(elman)
    h_t = elman(x_t; h_{t-1})
    h_t = tanh(W_h x_t + U_h h_{t-1} + b_h)
    """
    products = _product(vectors, width, name, "affine")
    joined = tuple(lift(v) for v in vectors)
    offset = _parameter("b", width, name, vector=joined[0] if len(joined) == 1 else None)
    return _named(apply("add", products, offset), name, product=True)


def diagonal(v: Value, *, name: str | None = None) -> Value:
    """`p ⊙ v`: a weight for each unit of v (a peephole)."""
    v = lift(v, "the argument of diagonal")
    return _named(apply("mul", _parameter("p", None, name, vector=v), v), name, product=True)


def bias(*, width: str | int | None = None, name: str | None = None) -> Value:
    """`b`: a learned offset for each unit; `width` as in `linear`."""
    return _named(_parameter("b", width, name), name, product=True)


def layer_norm(
    *vectors: Value, gain: bool = True, eps: float = 1e-5, name: str | None = None
) -> Value | tuple[Value, ...]:
    """`gain ⊙ (a − mean(a)) / sqrt(var(a) + eps)` over the units (Ba, Kiros & Hinton 2016).

    Several vectors of one width are normalised together, by the mean and variance over all their units, as
    the paper does with the gates of an LSTM; the result is then a tuple. There is no offset: `bias()` is one.
    """
    values = tuple(lift(v, "an argument of layer_norm") for v in vectors)
    if not values:
        raise CellError(f"{current().where()}: layer_norm() needs at least one vector")
    if not isinstance(eps, numbers.Real) or not eps > 0:
        raise CellError(f"{current().where()}: layer_norm(eps={eps!r}): expected a number above 0")
    out = []
    if not isinstance(gain, bool):
        raise CellError(f"{current().where()}: layer_norm(gain={gain!r}): expected True or False")
    for k, vector in enumerate(values):
        normal = apply("layer_norm", *values, attr=(k, float(eps)))
        if gain:
            normal = apply("mul", _parameter("gain", None, name, vector=vector), normal)
        out.append(normal)
    return _named(out[0], name, product=True) if len(out) == 1 else tuple(out)


def previous(x: Value, k: int = 1, *, name: str | None = None) -> Value:
    """`x_{t−k}`: the input k steps earlier; zero before the start and across a reset."""
    x = lift(x, "the argument of previous")
    if x.node.op != "input":
        raise x.error("previous(v) looks back at an input; what a step computes is carried by a state")
    if not _whole(k):
        raise x.error(f"previous(x, k={k!r}): expected a whole number of steps, at least 1")
    return _named(apply("previous", x, attr=int(k)), name)


def repeat(v: Value, n: int, *, name: str | None = None) -> Value:
    """Every unit of v n times in a row: K units give K·n (gates that a memory block's cells share)."""
    v = lift(v, "the argument of repeat")
    if not _whole(n):
        raise v.error(f"repeat(v, n={n!r}): expected a whole number, at least 1")
    return _named(v if n == 1 else apply("repeat", v, attr=int(n)), name)


def _whole(k: object) -> bool:
    return isinstance(k, int) and not isinstance(k, bool) and k >= 1


def sigmoid(a: Value, *, name: str | None = None) -> Value:
    """`σ(a) = 1 / (1 + e^−a)`."""
    return _named(apply("sigmoid", a), name)


def tanh(a: Value, *, name: str | None = None) -> Value:
    """The hyperbolic tangent."""
    return _named(apply("tanh", a), name)


def relu(a: Value, *, name: str | None = None) -> Value:
    """`max(a, 0)`; its derivative at 0 is 0."""
    return _named(apply("relu", a), name)


def exp(a: Value, *, name: str | None = None) -> Value:
    """`e^a`."""
    return _named(apply("exp", a), name)


def log(a: Value, *, name: str | None = None) -> Value:
    """The natural logarithm."""
    return _named(apply("log", a), name)


def softplus(a: Value, *, name: str | None = None) -> Value:
    """`log(1 + e^a)`, which neither overflows nor loses small values."""
    return _named(apply("softplus", a), name)


def abs(a: Value, *, name: str | None = None) -> Value:
    """`|a|`; its derivative at 0 is 0."""
    return _named(apply("abs", a), name)


def sqrt(a: Value, *, name: str | None = None) -> Value:
    """The square root."""
    return _named(apply("sqrt", a), name)


def maximum(a: Value, b: Value, *, name: str | None = None) -> Value:
    """The larger of two, unit by unit; where they are equal each gets half of the derivative."""
    return _named(apply("maximum", a, b), name)


def minimum(a: Value, b: Value, *, name: str | None = None) -> Value:
    """The smaller of two, unit by unit; where they are equal each gets half of the derivative."""
    return _named(apply("minimum", a, b), name)


def where(condition: Value, a: Value, b: Value, *, name: str | None = None) -> Value:
    """a where the condition (`u > v`, `<`, `>=`, `<=`, `==`, `!=`) holds, b elsewhere."""
    return _named(apply("where", condition, a, b), name)


def sum(a: Value, *, name: str | None = None) -> Value:
    """The sum over the units: one value for each sequence."""
    return _named(apply("sum", a), name)


def mean(a: Value, *, name: str | None = None) -> Value:
    """The mean over the units: one value for each sequence."""
    return _named(apply("mean", a), name)


def max(a: Value, *others: Value, name: str | None = None) -> Value:
    """The largest of the units: one value for each sequence; equal ones share the derivative."""
    if others:
        raise CellError(f"{current().where()}: max(a) is over the units of one value; of two take maximum(a, b)")
    return _named(apply("max", a), name)


def stop_gradient(a: Value, *, name: str | None = None) -> Value:
    """a itself, through which no gradient flows."""
    return _named(apply("stop_gradient", a), name)


def constant(value: float, *, name: str | None = None) -> Value:
    """A number as a value, so that it has a name: `i = constant(1.0)`."""
    return _named(lift(value, "the argument of constant"), name)
