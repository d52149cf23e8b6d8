"""Functions and methods of torch that may stand in a model's own `forward`, as nodes: one row a function."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional as F

from .builder import END, Body, Value
from .modules import gelu, linear, silu, softmax

Row = Callable[..., Any]
"""Called with the body, a name, and the arguments as they are written in Python, values in place of tensors."""


def value_of(body: Body, thing: Any) -> Value:
    """A value, or a number as one."""
    if isinstance(thing, Value):
        return thing
    if isinstance(thing, bool) or not isinstance(thing, int | float):
        raise ValueError(f"expected a tensor or a number, got {type(thing).__name__}")
    return Value(body.number(thing), 0, 1)


def _binary(op: str) -> Row:
    def row(body: Body, name: str, a: Any, b: Any) -> Value:
        left, right = value_of(body, a), value_of(body, b)
        widths = max(left.width, right.width)
        return Value(body.node(op, left.name, right.name, name=name), max(left.rank, right.rank), widths)

    return row


def _unary(op: str) -> Row:
    def row(body: Body, name: str, x: Value, **_options: Any) -> Value:
        return x._replace(name=body.node(op, x.name, name=name))

    return row


def _same(_body: Body, _name: str, x: Value, *_options: Any, **_named: Any) -> Value:
    return x


def _linear(body: Body, name: str, x: Value, weight: Value, bias: Value | None = None) -> Value:
    """x Wᵀ + b"""
    turned = body.node("Transpose", weight.name, perm=[1, 0])
    rows = len(body.shared.initializers[weight.name])
    return linear(body, turned, bias.name if bias else None, x, rows, name)


def _softmax(op: str) -> Row:
    def row(body: Body, name: str, x: Value, dim: int | None = None, **_options: Any) -> Value:
        return softmax(op, body, x, dim, name)

    return row


def _cat(body: Body, name: str, tensors: Sequence[Value], dim: int = 0) -> Value:
    first = tensors[0]
    last = dim in (-1, first.rank - 1)
    width = sum(t.width for t in tensors) if last else first.width
    return Value(body.node("Concat", *(t.name for t in tensors), name=name, axis=dim), first.rank, width)


def _transpose(body: Body, name: str, x: Value, a: int, b: int) -> Value:
    perm = list(range(x.rank))
    perm[a], perm[b] = perm[b], perm[a]
    moved = x.rank - 1 in (a % x.rank, b % x.rank)
    return Value(body.node("Transpose", x.name, name=name, perm=perm), x.rank, 0 if moved else x.width)


def _squeeze(body: Body, name: str, x: Value, dim: int | None = None) -> Value:
    if dim is None:
        raise ValueError("squeeze: expected a dim, got none; which dimensions are 1 is known when it runs")
    last = dim in (-1, x.rank - 1)
    return Value(body.node("Squeeze", x.name, body.whole(dim), name=name), x.rank - 1, 0 if last else x.width)


def _unsqueeze(body: Body, name: str, x: Value, dim: int) -> Value:
    last = dim in (-1, x.rank)
    return Value(body.node("Unsqueeze", x.name, body.whole(dim), name=name), x.rank + 1, 1 if last else x.width)


def _reduced(op: str) -> Row:
    def row(body: Body, name: str, x: Value, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Value:
        if not isinstance(dim, int):
            raise ValueError(f"{name}: expected one dim, got {dim}")
        last = dim in (-1, x.rank - 1)
        reduced = body.node(op, x.name, body.whole(dim), name=name, keepdims=int(keepdim))
        return Value(reduced, x.rank if keepdim else x.rank - 1, int(keepdim) if last else x.width)

    return row


def _item(body: Body, _name: str, thing: Any, index: Any) -> Any:
    """y[-1], y[:, -1], y[..., :8], or an entry of a tuple."""
    if not isinstance(thing, Value):
        return thing[index]
    parts = list(index) if isinstance(index, tuple) else [index]
    if Ellipsis in parts:
        at = parts.index(Ellipsis)
        parts[at : at + 1] = [slice(None)] * (thing.rank - len(parts) + 1)
    axis = 0
    for part in parts:
        thing = _along(body, thing, axis, part)
        axis += isinstance(part, slice)
    return thing


def _along(body: Body, x: Value, axis: int, part: Any) -> Value:
    last = axis == x.rank - 1
    if isinstance(part, slice) and all(p is None or isinstance(p, int) for p in (part.start, part.stop, part.step)):
        if part == slice(None):
            return x
        start, stop, step = part.start or 0, END if part.stop is None else part.stop, part.step or 1
        bounds = (body.whole(n) for n in (start, stop, axis, step))
        width = len(range(x.width)[part]) if last else x.width
        return Value(body.node("Slice", x.name, *bounds), x.rank, width)
    if isinstance(part, int) and not isinstance(part, bool):
        return Value(body.node("Gather", x.name, body.one_whole(part), axis=axis), x.rank - 1, 0 if last else x.width)
    raise ValueError(f"an index: expected whole numbers and slices of such, got {part!r}")


_NAMED: Mapping[str, Row] = {
    "add": _binary("Add"),
    "sub": _binary("Sub"),
    "mul": _binary("Mul"),
    "div": _binary("Div"),
    "pow": _binary("Pow"),
    "neg": _unary("Neg"),
    "relu": _unary("Relu"),
    "tanh": _unary("Tanh"),
    "sigmoid": _unary("Sigmoid"),
    "exp": _unary("Exp"),
    "log": _unary("Log"),
    "abs": _unary("Abs"),
    "sqrt": _unary("Sqrt"),
    "softmax": _softmax("Softmax"),
    "log_softmax": _softmax("LogSoftmax"),
    "transpose": _transpose,
    "squeeze": _squeeze,
    "unsqueeze": _unsqueeze,
    "mean": _reduced("ReduceMean"),
    "sum": _reduced("ReduceSum"),
    "amax": _reduced("ReduceMax"),
    "contiguous": _same,
    "detach": _same,
}
METHODS: Mapping[str, Row] = _NAMED
"""Methods of tensors, by name."""
FUNCTIONS: Mapping[Callable, Row] = {
    **{getattr(torch, name): row for name, row in _NAMED.items() if hasattr(torch, name)},
    torch.cat: _cat,
    operator.getitem: _item,
    operator.add: _binary("Add"),
    operator.sub: _binary("Sub"),
    operator.mul: _binary("Mul"),
    operator.truediv: _binary("Div"),
    operator.pow: _binary("Pow"),
    operator.neg: _unary("Neg"),
    F.relu: _unary("Relu"),
    F.tanh: _unary("Tanh"),
    F.sigmoid: _unary("Sigmoid"),
    F.softmax: _softmax("Softmax"),
    F.log_softmax: _softmax("LogSoftmax"),
    F.dropout: _same,
    F.linear: _linear,
    F.gelu: lambda body, name, x, approximate="none": gelu(body, x, approximate, name),
    F.silu: lambda body, name, x, **_options: silu(body, x, name),
}
"""Functions, by themselves."""
