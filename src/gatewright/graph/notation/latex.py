"""A graph as LaTeX: the printer's walk in another spelling."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING

from ..errors import CellError
from ..node import Node
from .letters import ACCENTS, GREEK
from .parser import parse
from .printer import FACTOR, Printer, number

if TYPE_CHECKING:
    from ..graph import Graph

_SIGNS = {"lt": "<", "le": r"\le", "gt": ">", "ge": r"\ge", "eq": "=", "ne": r"\ne"}
_CALLS = {
    "sigmoid": r"\sigma", "tanh": r"\tanh", "exp": r"\exp", "log": r"\log", "maximum": r"\max",
    "minimum": r"\min", "max": r"\max", "relu": r"\mathrm{ReLU}", "stop_gradient": r"\mathrm{sg}",
}  # fmt: skip


class LatexPrinter(Printer):
    """The same equations with LaTeX's names."""

    minus, times = "-", r"\odot"

    @cached_property
    def letter(self) -> str:
        """A letter for helper lines that begins no name of the cell."""
        names = (*self.graph.inputs, *self.graph.names, *(s.name for s in self.graph.states))
        begun = {name.split("_")[0] for name in names}
        return next(letter for letter in (*"vszqy", *(f"v{k}" for k in range(len(begun) + 1))) if letter not in begun)

    def name(self, name: str, back: int = 0) -> str:
        if name.startswith("_"):  # a helper line, `_1`
            name = f"{self.letter}{name}"
        return _symbol(name, f"t-{back}" if back else "t")

    def parameter(self, name: str) -> str:
        return _symbol(name, None, parameter=True)

    def start(self, state: str) -> str:
        return _symbol(state, "0")

    def width(self, symbol: str, names: list[str]) -> str:
        listed = ", ".join(self.parameter(name) for name in names)
        return rf"{listed} \in \mathbb{{R}}^{{{symbol} \times \cdot}}"

    def number(self, value: float) -> str:
        return ("-" if value < 0 else "") + r"\infty" if math.isinf(value) else number(value)

    def sign(self, op: str) -> str:
        return _SIGNS[op]

    def brackets(self, text: str) -> str:
        return rf"\left({text}\right)"

    def quotient(self, a: Node, b: Node) -> str:
        return rf"\frac{{{self.expression(a)}}}{{{self.expression(b)}}}"

    def power(self, base: Node, exponent: Node) -> str:
        return f"{{{self.expression(base, FACTOR + 2)}}}^{{{self.expression(exponent)}}}"

    def call(self, op: str, args: tuple[Node, ...], *last: str, first: str | None = None) -> str:
        inside = ", ".join([*([first] if first else []), *(self.expression(a) for a in args), *last])
        if op == "sqrt":
            return rf"\sqrt{{{inside}}}"
        return rf"{self.function(op)}\left({inside}\right)"

    def function(self, op: str) -> str:
        return _CALLS.get(op, rf"\mathrm{{{op}}}")

    def norm(self, index: int | None) -> str:
        return r"\mathrm{LN}" if index is None else rf"\mathrm{{LN}}_{{{index + 1}}}"


def _symbol(name: str, time: str | None, *, parameter: bool = False) -> str:
    """`c_tilde` at t is `\\tilde{c}_{t}`; `h_new` is `h_{\\mathrm{new},t}`; `W_c_tilde` is `W_{\\tilde{c}}`."""
    base, *rest = name.split("_")
    pieces = [base if len(base) == 1 else f"\\{base}" if base.lower() in GREEK else rf"\mathrm{{{base}}}"]
    for word in rest:
        if word in ACCENTS and len(pieces) > parameter:
            pieces[-1] = rf"\{word}{{{pieces[-1]}}}"
        else:
            pieces.append(word if len(word) == 1 else rf"\mathrm{{{word}}}")
    text, *subs = pieces
    inside = ",".join([*subs, *([time] if time else [])])
    return f"{text}_{{{inside}}}" if inside else text


def _aligned(line: str) -> str:
    """The line with an alignment mark before its first relation."""
    return line.replace(" = ", " &= ", 1) if " = " in line else line.replace(r" \in ", r" &\in ", 1)


def latex(graph: Graph, name: str = "cell") -> str:
    """The equations in an `aligned` environment, one a line.

    The first line with inputs and states stands there only where their order does not follow from the equations.
    """
    printer = LatexPrinter(graph)
    lines = printer.lines()
    if not _order_follows(graph, "\n".join(lines)):
        lines = [printer.header(_symbol(name, None)), *lines]
    return "\n".join([r"\begin{aligned}", " \\\\\n".join(_aligned(line) for line in lines), r"\end{aligned}"])


def _order_follows(graph: Graph, text: str) -> bool:
    try:
        read = parse(text).graph
    except CellError:  # too large to be read
        return False
    ours, theirs = ((g.inputs, [s.name for s in g.states], g.output_name) for g in (graph, read))
    return ours == theirs
