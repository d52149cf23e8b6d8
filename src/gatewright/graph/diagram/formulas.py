"""A chain of operations on one value as a short text: `4 ⊙ σ(·) − 2` is "4σ−2"."""

from __future__ import annotations

from typing import NamedTuple

from ..node import Node
from ..notation.printer import number

FUNCTIONS = {
    "sigmoid": "σ", "stop_gradient": "stop", "sqrt": "√", "abs": "abs", "tanh": "tanh", "relu": "relu",
    "exp": "exp", "log": "log", "softplus": "softplus", "sum": "sum", "mean": "mean", "max": "max",
}  # fmt: skip
LONGEST = 11
"""Letters that a box may hold; a longer chain becomes several pieces."""


class Text(NamedTuple):
    """`shown` alone; `nested`, with a dot where the value goes, inside a longer text."""

    shown: str
    nested: str


def wrapped(n: Node, inner: Text | None) -> Text | None:
    """The text of an operation with one varying operand around an inner text; None where it is no such one."""
    if n.op in FUNCTIONS:
        return _same(FUNCTIONS[n.op] if inner is None else f"{FUNCTIONS[n.op]}({inner.nested})")
    if n.op == "neg":
        return Text("−", "−·") if inner is None else _same(f"−{inner.nested}")
    if n.op == "repeat":
        return _same(f"repeat {n.attr}" if inner is None else f"repeat({inner.nested}, {n.attr})")
    if n.op == "layer_norm" and len(n.args) == 1:
        return _same("LN" if inner is None else f"LN({inner.nested})")
    if constant_side(n) is not None:
        return _with_number(n, inner)
    return None


def constant_side(n: Node) -> int | None:
    """Which operand of a binary operation is a number; None where neither is, or both."""
    if n.op not in _BINARY:
        return None
    sides = [i for i, a in enumerate(n.args) if a.op == "const"]
    return sides[0] if len(sides) == 1 else None


_BINARY = {
    "add": "+", "sub": "−", "mul": "×", "div": "÷", "pow": "^", "maximum": "max", "minimum": "min",
}  # fmt: skip


def _same(text: str) -> Text:
    return Text(text, text)


def _number(n: Node) -> str:
    return number(n.attr).replace("-", "−")


def _with_number(n: Node, inner: Text | None) -> Text:
    side = constant_side(n)
    assert side is not None
    value, sign = _number(n.args[side]), _BINARY[n.op]
    if n.op in ("maximum", "minimum"):
        return _same(f"{sign}({value}, {inner.nested if inner else '·'})")
    if n.op == "mul":
        if inner is None:
            return Text(f"×{value}", f"{value}·")
        return _same(f"{value}{_factor(inner)}")
    if n.op == "add" and value.startswith("−"):
        sign, value = "−", value[1:]
    if side == 0:
        return Text(f"{value}{sign}", f"{value}{sign}·") if inner is None else _same(f"{value}{sign}{_factor(inner)}")
    if n.op == "pow" and value == "2":
        sign, value = "", "²"
    inside = "·" if inner is None else inner.nested if n.op in ("add", "sub") else _factor(inner)
    return Text(f"{sign}{value}", f"·{sign}{value}") if inner is None else _same(f"{inside}{sign}{value}")


def _factor(inner: Text) -> str:
    """The inner text in brackets, unless it is one word or call."""
    depth, plain = 0, True
    for letter in inner.nested:
        depth += (letter == "(") - (letter == ")")
        plain = plain and not (depth == 0 and letter in "+−×÷^ ")
    return inner.nested if plain else f"({inner.nested})"
