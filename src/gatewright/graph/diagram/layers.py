"""What a learned layer takes in: the sum behind a gate, as a list of feeds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ..node import Node

Kept = Callable[[Node], bool]


@dataclass
class LayerForm:
    """A sum of products with weights, and what is added to it."""

    products: list[Node] = field(default_factory=list)
    diagonals: list[Node] = field(default_factory=list)
    added: list[tuple[Node, str]] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)  # of the parameters: W, U, b, p, gain
    normed: bool = False

    @property
    def text(self) -> str:
        """What stands in the box of a layer that squashes nothing."""
        found = [kind for kind in ("W", "U") if kind in self.kinds]
        if not found:
            found = ["p⊙" if self.diagonals and not self.normed else "LN" if self.normed else "b"]
        elif self.normed:
            found.insert(0, "LN")
        return " ".join(found)


def layer_form(n: Node, kept: Kept, *, whole: bool = False) -> LayerForm | None:
    """The sum that a node is, or None where no parameter takes part in it.

    `kept` says which nodes have a piece of their own: those are not looked into, but for `n` itself where `whole`.
    """
    form = LayerForm()

    def outside(m: Node) -> bool:
        return not (whole and m is n) and kept(m)

    for term, sign in _terms(n, outside):
        _take(term, sign, form, outside)
    return form if form.kinds else None


def _terms(n: Node, kept: Kept) -> list[tuple[Node, str]]:
    """The terms of a sum with their signs, left to right."""
    found: list[tuple[Node, str]] = []
    stack = [(n, "+")]
    while stack:
        current, sign = stack.pop()
        if current.op in ("add", "sub") and (current is n or not kept(current)):
            a, b = current.args
            other = sign if current.op == "add" else "−" if sign == "+" else "+"
            stack += [(b, other), (a, sign)]
        else:
            found.append((current, sign))
    return found


def _take(term: Node, sign: str, form: LayerForm, kept: Kept) -> None:
    if kept(term) and term.op != "param":
        form.added.append((term, sign))
    elif term.op == "linear":
        form.products.append(term.args[1])
        form.kinds.append(term.args[0].attr.kind)
    elif term.op == "param":
        form.kinds.append(term.attr.kind)
    elif term.op == "mul" and (weight := _parameter_side(term)) is not None:
        form.kinds.append(term.args[weight].attr.kind)
        _take_scaled(term.args[1 - weight], form, kept)
    elif term.op == "layer_norm" and _of_products(term, kept):
        _take_scaled(term, form, kept)
    else:
        form.added.append((term, sign))


def _take_scaled(v: Node, form: LayerForm, kept: Kept) -> None:
    if v.op != "layer_norm" or kept(v):
        form.diagonals.append(v)
        return
    form.normed = True
    for a in v.args:
        inner = None if kept(a) else layer_form(a, kept)
        if inner is None or inner.added:
            form.diagonals.append(a)
        else:
            form.products += inner.products
            form.diagonals += inner.diagonals
            form.kinds += inner.kinds


def _of_products(n: Node, kept: Kept) -> bool:
    return all(a.op == "linear" and not kept(a) for a in n.args)


def _parameter_side(n: Node) -> int | None:
    return next((i for i, a in enumerate(n.args) if a.op == "param"), None)
