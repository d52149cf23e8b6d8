"""A graph as MathML, which browsers draw themselves: the printer's walk in another spelling."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Collection
from html import escape
from typing import TYPE_CHECKING, TypedDict

from ..node import Node
from .letters import ACCENTS, GREEK
from .printer import _CALLS, _SIGNS, ATOM, FACTOR, TERM, Printer, number

if TYPE_CHECKING:
    from ..graph import Graph

_ACCENT_MARKS = {"tilde": "~", "hat": "^", "bar": "¯", "dot": "˙", "check": "ˇ"}
_APPLY = "<mo>&#x2061;</mo>"
"""The invisible sign between a function and its brackets: it sets the space."""


class Equation(TypedDict):
    """One equation by its name, in the notation that `gw.parse` reads and as MathML."""

    name: str
    text: str
    mathml: str


class MathmlPrinter(Printer):
    """The same equations, every piece an element."""

    minus, times = "<mo>−</mo>", "<mo>⊙</mo>"

    def equation(self, name: str, n: Node) -> str:
        left, right = self.sides(name, n)
        return _row(left, _operator("="), right)

    def sides(self, name: str, n: Node) -> tuple[str, str]:
        """What stands to the left and to the right of the sign of equality."""
        own = self.called.get(n) == name
        return self.name(name), self.body(n) if own else self.expression(n)

    def name(self, name: str, back: int = 0) -> str:
        time = _row(_word("t"), self.minus, f"<mn>{back}</mn>") if back else _word("t")
        return _symbol(name.lstrip("_") if name.strip("_0123456789") else f"v_{name[1:]}", time)

    def parameter(self, name: str) -> str:
        return _symbol(name)

    def number(self, value: float) -> str:
        if math.isinf(value):
            return ("" if value > 0 else self.minus) + "<mn>∞</mn>"
        text = number(value)
        return f"{self.minus}<mn>{text[1:]}</mn>" if text.startswith("-") else f"<mn>{text}</mn>"

    def sign(self, op: str) -> str:
        return _operator(escape(_SIGNS[op]))

    def brackets(self, text: str) -> str:
        return _row("<mo>(</mo>", text, "<mo>)</mo>")

    def quotient(self, a: Node, b: Node) -> str:
        return f"<mfrac>{_row(self.expression(a))}{_row(self.expression(b))}</mfrac>"

    def power(self, base: Node, exponent: Node) -> str:
        return f"<msup>{_row(self.expression(base, ATOM))}{_row(self.expression(exponent))}</msup>"

    def function(self, op: str) -> str:
        return _word(escape(_CALLS.get(op, op)))

    def call(self, op: str, args: tuple[Node, ...], *last: str, first: str | None = None) -> str:
        inside = [*([first] if first else []), *(self.expression(a) for a in args), *last]
        if op == "sqrt":
            return f"<msqrt>{_row(*inside)}</msqrt>"
        return _row(self.function(op), _APPLY, self.brackets("<mo>,</mo>".join(inside)))

    def body(self, n: Node) -> str:
        match n.op:
            case "add" | "sub":
                a, b = n.args
                sign = _operator("+") if n.op == "add" else self.minus
                return _row(self.expression(a), sign, self.expression(b, TERM))
            case "mul":
                return _row(self.expression(n.args[0], TERM), self.times, self.expression(n.args[1], FACTOR))
            case "linear":
                return _row(self.expression(n.args[0]), '<mspace width="0.16em"/>', self._operand(n.args[1]))
        return super().body(n)

    def _layer_norm(self, n: Node) -> str:
        index, eps = n.attr
        last = [] if eps == 1e-5 else [_row(_word("eps"), _operator("="), self.number(eps))]
        inside = "<mo>,</mo>".join([*(self.expression(a) for a in n.args), *last])
        return _row(self.norm(index if len(n.args) > 1 else None), _APPLY, self.brackets(inside))

    def norm(self, index: int | None) -> str:
        return _word("LN") if index is None else f"<msub>{_word('LN')}<mn>{index + 1}</mn></msub>"


def _row(*pieces: str) -> str:
    return f"<mrow>{''.join(pieces)}</mrow>"


def _word(text: str) -> str:
    """A letter, which is slanted, or a word, which is not: a page's style sheet may need to know."""
    return f"<mi>{text}</mi>" if len(text) == 1 else f'<mi class="word">{text}</mi>'


def _operator(text: str) -> str:
    return f"<mo>{text}</mo>"


def _symbol(name: str, time: str | None = None) -> str:
    """`c_tilde` at t is c̃ₜ; `W_c_tilde` is W with c̃ below."""
    base, *rest = name.split("_")
    pieces = [_word(_letter(base))]
    for word in rest:
        if word in ACCENTS and (len(pieces) > 1 or time is not None):
            pieces[-1] = f'<mover accent="true">{pieces[-1]}<mo stretchy="false">{_ACCENT_MARKS[word]}</mo></mover>'
        else:
            pieces.append(f"<mn>{word}</mn>" if word.isdigit() else _word(_letter(word)))
    text, *below = [*pieces, *([time] if time else [])]
    if not below:
        return text
    listed = '<mo separator="true">,</mo>'.join(below)
    return f"<msub>{text}{listed if len(below) == 1 else _row(listed)}</msub>"


def _letter(word: str) -> str:
    if word.lower() not in GREEK:
        return escape(word)
    case = "SMALL" if word.islower() else "CAPITAL"
    return unicodedata.lookup(f"GREEK {case} LETTER {'LAMDA' if word.lower() == 'lambda' else word.upper()}")


def equations(graph: Graph) -> list[Equation]:
    """Every equation in order, its helper lines too.

    >>> import gatewright as gw
    >>> equations(gw.cells.rnn.graph)[0]["text"]
    'h_t = tanh(W_h x_t + U_h h_{t-1} + b_h)'
    """
    plain, drawn = Printer(graph), MathmlPrinter(graph)
    return [
        Equation(name=name, text=plain.equation(name, n), mathml=_math(drawn.equation(name, n)))
        for name, n in [*plain.helpers.items(), *graph.equations]
    ]


def mathml(graph: Graph, names: Collection[str] | None = None) -> str:
    """The equations below each other, aligned at the sign of equality; of some names, or of all.

    >>> import gatewright as gw
    >>> mathml(gw.cells.lstm.graph, ["h"]).count("<mtr>")
    1
    """
    drawn = MathmlPrinter(graph)
    wanted = [(name, n) for name, n in [*drawn.helpers.items(), *graph.equations] if names is None or name in names]
    rows = []
    for name, n in wanted:
        left, right = drawn.sides(name, n)
        right = f"{_operator('=')}{right}"
        rows.append(f'<mtr><mtd style="text-align:right">{left}</mtd><mtd style="text-align:left">{right}</mtd></mtr>')
    return _math(f"<mtable>{''.join(rows)}</mtable>", block=True)


def _math(inside: str, *, block: bool = False) -> str:
    display = ' display="block"' if block else ""
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML"{display}>{inside}</math>'
