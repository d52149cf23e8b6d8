"""A graph as text in a paper's notation; the text parses back to the same graph."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..node import Node, topological
from ..ops import OPS

if TYPE_CHECKING:
    from ..cell import Cell
    from ..graph import Graph

SUM, TERM, FACTOR, POWER, ATOM = range(5)
"""How tightly a piece of text binds; a looser piece goes into brackets."""
_SIGNS = {"lt": "<", "le": "≤", "gt": ">", "ge": "≥", "eq": "=", "ne": "≠"}
_CALLS = {
    "sigmoid": "σ", "maximum": "max", "minimum": "min", "sum": "sum", "mean": "mean", "max": "max",
}  # fmt: skip
_DEEP = 30
"""A piece of this height gets a line of its own, so that text never nests without end."""


def number(value: float) -> str:
    """A constant: exact, and short where it is a whole number."""
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 and not _is_minus_zero(value) else repr(value)


def _is_minus_zero(value: float) -> bool:
    return value == 0 and math.copysign(1, value) < 0


class Printer:
    """Writes the equations of one graph. A subclass writes another spelling of the same."""

    def __init__(self, graph: Graph):
        self.graph = graph
        self.called: dict[Node, str] = {}
        for name, n in graph.equations:
            if OPS[n.op].kind != "leaf" or n.op == "param":  # a parameter is written out where it is named, and once
                self.called.setdefault(n, name)
        self.helpers = self._shared()

    # -- whole texts ---------------------------------------------------------------------------------

    def lines(self) -> list[str]:
        """Initial values, widths that are not H, and the equations in order."""
        lines = [
            f"{self.start(s.name)} = {self.number(s.initial)}"
            for s in self.graph.states  # a parameter is called as the start is: there is nothing to say
            if not isinstance(s.initial, Node) and (s.initial or _is_minus_zero(s.initial))
        ]
        widths: dict[str, list[str]] = {}
        for param in self.graph.params:
            if param.attr.width is not None:
                widths.setdefault(param.attr.width, []).append(param.attr.name)
        lines += [self.width(symbol, names) for symbol, names in widths.items()]
        lines += [self.equation(name, n) for name, n in self.helpers.items()]
        return lines + [self.equation(name, n) for name, n in self.graph.equations]

    def header(self, name: str) -> str:
        """`h_t, c_t = lstm(x_t; h_{t-1}, c_{t-1})`"""
        states = [s.name for s in self.graph.states]
        new = ", ".join(self.name(s) for s in states)
        inputs = ", ".join(self.name(x) for x in self.graph.inputs)
        old = ", ".join(self.name(s, 1) for s in states)
        output = "" if self.graph.output_name == states[0] else f"{self.name(self.graph.output_name)}; "
        return f"{output}{new} = {name}({inputs}; {old})"

    def equation(self, name: str, n: Node) -> str:
        own = self.called.get(n) == name
        return f"{self.name(name)} = {self.body(n) if own else self.expression(n)}"

    def start(self, state: str) -> str:
        return f"{state}_0"

    def width(self, symbol: str, names: list[str]) -> str:
        return f"width {symbol}: {', '.join(names)}"

    # -- pieces --------------------------------------------------------------------------------------

    def name(self, name: str, back: int = 0) -> str:
        return f"{name}_{{t-{back}}}" if back else f"{name}_t"

    def expression(self, n: Node, binding: int = SUM) -> str:
        """A node where another uses it: its name if it has one, else its text, in brackets if it binds less."""
        if (name := self.called.get(n)) is not None:
            return self.name(name)
        text = self.body(n)
        return text if self.binding(n) >= binding else self.brackets(text)

    def brackets(self, text: str) -> str:
        return f"({text})"

    def binding(self, n: Node) -> int:
        match n.op:
            case "add" | "sub":
                return SUM
            case "const":
                return ATOM if n.attr >= 0 and not _is_minus_zero(n.attr) else SUM
            case "mul" | "div":
                return TERM
            case "neg" | "linear":
                return FACTOR
            case "pow":
                return POWER
        return ATOM

    def body(self, n: Node) -> str:
        """The text of what a node computes."""
        match n.op:
            case "const":
                return self.number(n.attr)
            case "input":
                return self.name(n.attr)
            case "previous":
                return self.name(n.args[0].attr, n.attr)
            case "state":
                return self.name(n.attr, 1)
            case "param":
                return self.parameter(n.attr.name)
            case "add" | "sub":
                a, b = n.args
                return f"{self.expression(a)} {'+' if n.op == 'add' else self.minus} {self.expression(b, TERM)}"
            case "mul":
                return f"{self.expression(n.args[0], TERM)} {self.times} {self.expression(n.args[1], FACTOR)}"
            case "div":
                return self.quotient(*n.args)
            case "neg":
                return f"{self.minus}{self._negated(n.args[0])}"
            case "pow":
                return self.power(*n.args)
            case "linear":
                return f"{self.expression(n.args[0])} {self._operand(n.args[1])}"
            case "layer_norm":
                return self._layer_norm(n)
            case "repeat":
                return self.call("repeat", n.args, self.number(n.attr))
            case "where":
                test, a, b = n.args
                if test.op == "chance":
                    return self.call("where", n.args)
                condition = f" {self.sign(test.op)} ".join(self.expression(side) for side in test.args)
                return self.call("where", (a, b), first=condition)
        return self.call(n.op, n.args)

    minus, times = "-", "⊙"

    def number(self, value: float) -> str:
        return number(value)

    def sign(self, op: str) -> str:
        return _SIGNS[op]

    def parameter(self, name: str) -> str:
        return name

    def quotient(self, a: Node, b: Node) -> str:
        return f"{self.expression(a, TERM)} / {self.expression(b, FACTOR)}"

    def power(self, base: Node, exponent: Node) -> str:
        plain = exponent.op == "const" and self.binding(exponent) == ATOM
        raised = self.number(exponent.attr) if plain else f"({self.expression(exponent)})"
        return f"{self.expression(base, ATOM)}^{raised}"

    def call(self, op: str, args: tuple[Node, ...], *last: str, first: str | None = None) -> str:
        inside = [self.expression(a) for a in args]
        return f"{self.function(op)}({', '.join([*([first] if first else []), *inside, *last])})"

    def function(self, op: str) -> str:
        return _CALLS.get(op, op)

    def _negated(self, n: Node) -> str:
        # -(2) is the negation of 2, while -2 is the number
        return self.brackets(self.number(n.attr)) if n.op == "const" else self.expression(n, FACTOR)

    def _operand(self, n: Node) -> str:
        """What stands behind a matrix."""
        return self.expression(n, ATOM)

    def _layer_norm(self, n: Node) -> str:
        index, eps = n.attr
        last = [] if eps == 1e-5 else [f"eps={self.number(eps)}"]
        inside = ", ".join([*(self.expression(a) for a in n.args), *last])
        return f"{self.norm(index if len(n.args) > 1 else None)}({inside})"

    def norm(self, index: int | None) -> str:
        return "LN" if index is None else f"LN_{index + 1}"

    # -- what is used more than once -------------------------------------------------------------------

    def _shared(self) -> dict[str, Node]:
        """Lines for unnamed pieces that are long and used again, or deep: `_1_t = …`.

        A name with an underscore first is no name of the cell: the parser forgets it.
        """
        uses: dict[Node, int] = {}
        order = topological(self.graph.roots)
        for n in order:
            for a in n.args:
                uses[a] = uses.get(a, 0) + 1
        size: dict[Node, int] = {}
        height: dict[Node, int] = {}
        helpers: dict[str, Node] = {}
        for n in order:
            size[n] = 1 + sum(size[a] for a in n.args)
            height[n] = 1 + max((height[a] for a in n.args), default=0)
            named = n in self.called
            conditional = OPS[n.op].kind in ("compare", "leaf")
            if not named and not conditional and ((uses.get(n, 0) > 1 and size[n] > 6) or height[n] > _DEEP):
                named = True
                helpers[f"_{len(helpers) + 1}"] = n
                self.called[n] = f"_{len(helpers)}"
            if named:
                size[n] = height[n] = 1
        return helpers


def print_cell(cell: Cell) -> str:
    """The whole text of a cell; `gw.parse` gives the same graph back."""
    printer = Printer(cell.graph)
    return "\n".join([printer.header(cell.name), *printer.lines()])
