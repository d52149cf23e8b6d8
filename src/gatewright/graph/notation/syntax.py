"""Tokens into syntax trees: the grammar of `docs/notation.md`, one method a rule."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ..errors import NotationError
from .scanner import Scanner, Token

VERSION = 1
"""The version of the grammar; a saved model says which one its equations are written in."""
MAX_DEPTH = 60
MAX_LINES = 1_000

FUNCTIONS = {
    "sigma": "sigmoid", "sigmoid": "sigmoid", "logistic": "sigmoid", "tanh": "tanh", "relu": "relu",
    "ReLU": "relu", "exp": "exp", "log": "log", "ln": "log", "softplus": "softplus", "abs": "abs",
    "sqrt": "sqrt", "max": "max", "min": "minimum", "maximum": "maximum", "minimum": "minimum", "mean": "mean",
    "sum": "sum", "where": "where", "repeat": "repeat", "LN": "layer_norm", "layer_norm": "layer_norm",
    "LayerNorm": "layer_norm", "layernorm": "layer_norm", "stop_gradient": "stop_gradient",
    "sg": "stop_gradient", "phi": "tanh", "sigma_g": "sigmoid", "sigma_c": "tanh", "sigma_h": "tanh",
}  # fmt: skip
_LAYER_NORM = re.compile(r"LN(?:_[1-9][0-9]{0,4})?")
_COMPARISONS = {"<": "lt", "≤": "le", ">": "gt", "≥": "ge", "=": "eq", "≠": "ne"}


@dataclass(frozen=True)
class Tree:
    """A piece of syntax: `kind` is name, number, call, sum, term, neg, power, matrix, list or compare."""

    kind: str
    token: Token
    parts: tuple[Tree, ...] = ()
    ops: tuple[str, ...] = ()


@dataclass
class Header:
    """`y_t; h_t, c_t = name(x_t; h_{t-1}, c_{t-1})`"""

    name: str
    inputs: tuple[str, ...]
    states: tuple[str, ...]
    output: str


@dataclass
class Text:
    """A whole text, read."""

    scanner: Scanner
    header: Header | None = None
    equations: list[tuple[Token, Tree]] = field(default_factory=list)
    initial: dict[str, tuple[float, Token]] = field(default_factory=dict)
    widths: dict[str, tuple[str, Token]] = field(default_factory=dict)


def _listed(tokens: list[Token]) -> tuple[str, ...] | None:
    """The names of a list with commas between; None where something else stands there."""
    names, commas = tokens[::2], tokens[1::2]
    if any(t.kind != "name" for t in names) or any(t.text != "," for t in commas) or len(commas) >= max(len(names), 1):
        return None
    return tuple(t.name for t in names)


class Syntax:
    """A reader of tokens by recursive descent."""

    def __init__(self, text: str):
        self.scanner = Scanner(text)
        self.tokens = self.scanner.tokens()
        self.at = 0
        self.depth = 0

    # -- tokens ------------------------------------------------------------------------------------

    @property
    def now(self) -> Token:
        return self.tokens[self.at]

    def take(self) -> Token:
        token = self.now
        self.at += 1
        return token

    def sees(self, *texts: str) -> bool:
        return self.now.kind == "op" and self.now.text in texts

    def accept(self, *texts: str) -> Token | None:
        return self.take() if self.sees(*texts) else None

    def expect(self, text: str, why: str) -> Token:
        if self.sees(text):
            return self.take()
        raise self.error(f"expected {text!r} {why}, not {self._shown(self.now)}", self.now)

    def error(self, message: str, token: Token) -> NotationError:
        return self.scanner.error(message, token.start, token.end)

    def _shown(self, token: Token) -> str:
        if token.kind in ("break", "end"):
            return "the end of the equation"
        return repr(self.scanner.text[token.start : token.end])

    # -- lines -------------------------------------------------------------------------------------

    def read(self) -> Text:
        """The whole text."""
        text = Text(self.scanner)
        while True:
            while self.now.kind == "break" or self.sees(","):
                self.take()
            if self.now.kind == "end":
                break
            self._line(text)
            if len(text.equations) > MAX_LINES:
                raise self.error(f"more than {MAX_LINES} equations", self.now)
        if not text.equations:
            raise self.error("there is no equation here: write one such as h_t = tanh(W x_t + U h_{t-1} + b)", self.now)
        return text

    def _line(self, text: Text) -> None:
        first = self.now
        if self.now.kind == "name" and self.now.name == "width" and self.tokens[self.at + 1].text != "=":
            self._widths(text)
        elif self._declares():
            self._declaration(text)
        elif (header := self._header()) is not None:
            if text.header or text.equations:
                raise self.error("the line that names inputs and states stands first, and once", first)
            text.header = header
        else:
            self._equation(text)
        if not (self.now.kind in ("break", "end") or self.sees(",")):
            raise self.error(self._unexpected(), self.now)

    def _unexpected(self) -> str:
        token = self.now
        if token.kind == "name":
            return (
                f"{self._shown(token)} follows a value: write ⊙ (or *) between two vectors; a matrix stands "
                "before its vector, as in W_f x_t"
            )
        return f"{self._shown(token)} is not expected here"

    def _widths(self, text: Text) -> None:
        """`width P: W_h, b_h`"""
        self.take()
        symbol = self._symbol()
        self.expect(":", "behind the name of the width")
        while True:
            name = self.take()
            if name.kind != "name":
                raise self.error("expected the name of a parameter", name)
            text.widths[name.raw] = (symbol, name)
            if not self.accept(","):
                return

    def _symbol(self) -> str:
        """The name of a width, or a whole number."""
        token = self.take()
        if token.kind == "name":
            return token.name
        if token.kind == "number" and re.fullmatch("[1-9][0-9]{0,8}", token.text):
            return token.text
        raise self.error("expected a width: a name such as P, or a whole number", token)

    def _declares(self) -> bool:
        """Whether the line is `W_i, b_i ∈ ℝ^{P×I}`: names, then the sign."""
        at = self.at
        while self.tokens[at].kind == "name" or self.tokens[at].text == ",":
            at += 1
        return self.tokens[at].text == "∈"

    def _declaration(self, text: Text) -> None:
        """`W_i, b_i ∈ ℝ^{P×I}`: the rows count, the columns follow from what stands behind the matrix."""
        names = []
        while not self.accept("∈"):
            token = self.take()
            if token.kind == "name":
                names.append(token)
        self.take()  # ℝ
        self.expect("^", "and the size: W_i ∈ ℝ^{P×I}")
        braces = self.accept("{")
        symbol = self._symbol()
        if braces and self.accept("⊙"):  # ×
            while self.now.kind in ("name", "number") or self.sees("+", "·"):
                self.take()
        if braces:
            self.expect("}", "behind the size: W_i ∈ ℝ^{P×I}")
        for name in names:
            text.widths[name.raw] = (symbol, name)

    def _header(self) -> Header | None:
        """The header, or None where the line is none: it has a `;` between the inputs and the states."""
        end = self.at
        while self.tokens[end].kind != "end" and self.tokens[end].text not in ("\n", "\\\\"):
            end += 1
        line = self.tokens[self.at : end]
        equals = next((i for i, t in enumerate(line) if t.text == "=" and t.kind == "op"), None)
        if equals is None or not any(t.kind == "op" and t.text == ";" for t in line[equals:]):
            return None
        first, call = line[:equals], line[equals + 1 :]
        split = next((i for i, t in enumerate(first) if t.kind == "break"), None)
        output = _listed(first[:split]) if split is not None else ()
        states = _listed(first if split is None else first[split + 1 :])
        inside = call[2:-1]
        between = next((i for i, t in enumerate(inside) if t.text == ";"), len(inside))
        inputs, old = _listed(inside[:between]), _listed(inside[between + 1 :])
        framed = [t.text for t in (*call[1:2], *call[-1:])] == ["(", ")"] and call[0].kind == "name"
        if not (framed and inputs and states and old == states and (len(output or ()) == 1 or split is None)):
            raise self.error(
                "the first line should be `h_t, c_t = name(x_t; h_{t-1}, c_{t-1})`: the new states, the inputs, and "
                "the same states again",
                line[0],
            )
        if len({*inputs, *states}) < len(inputs) + len(states):
            raise self.error("the first line has a name twice", line[0])
        self.at = end
        return Header(call[0].raw, inputs, states, output[0] if output else states[0])

    def _equation(self, text: Text) -> None:
        left = self.take()
        if left.kind != "name":
            raise self.error(f"an equation starts with a name, as in `f_t = …`, not {self._shown(left)}", left)
        if left.time is not None and left.time < 0:
            raise self.error("an equation gives a value of this step: its name ends in _t", left)
        self.expect("=", f"behind {left.name}")
        right = self.comparison()
        if left.subs[-1:] == ("0",) and left.time is None:  # m_0 = -∞
            state = "_".join((left.text, *left.subs[:-1]))
            if state in text.initial:
                raise self.error(f"{left.name} has two values", left)
            text.initial[state] = (self._number(right), left)
        else:
            text.equations.append((left, right))

    def _number(self, tree: Tree) -> float:
        if tree.kind == "number":
            return tree.token.value
        if tree.kind == "neg" and tree.parts[0].kind == "number":
            return -tree.parts[0].token.value
        raise self.error("a state begins with a number, as in m_0 = -∞", tree.token)

    # -- expressions ---------------------------------------------------------------------------------

    def comparison(self) -> Tree:
        """sum [("<" | "≤" | ">" | "≥" | "=" | "≠") sum]"""
        self._enter()
        left = self.sum()
        if self.now.kind == "op" and self.now.text in _COMPARISONS and self.depth > 1:
            sign = self.take()
            left = Tree("compare", sign, (left, self.sum()), (_COMPARISONS[sign.text],))
        self.depth -= 1
        return left

    def _enter(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.error(f"brackets and functions are nested more than {MAX_DEPTH} deep", self.now)

    def sum(self) -> Tree:
        """term {("+" | "-") term}"""
        first = self.term()
        parts, ops = [first], []
        while sign := self.accept("+", "-"):
            ops.append(sign.text)
            parts.append(self.term())
        return Tree("sum", first.token, tuple(parts), tuple(ops)) if ops else first

    def term(self) -> Tree:
        """factor {("⊙" | "·" | "/") factor}"""
        first = self.factor()
        parts, ops = [first], []
        while sign := self.accept("⊙", "·", "/"):
            ops.append("/" if sign.text == "/" else "⊙")
            parts.append(self.factor())
        return Tree("term", first.token, tuple(parts), tuple(ops)) if ops else first

    def factor(self) -> Tree:
        """ "-" factor | product"""
        signs: list[Token] = []
        while sign := self.accept("-"):
            signs.append(sign)
            if len(signs) > MAX_DEPTH:
                raise self.error("too many signs", sign)
        tree = self.product()
        for sign in reversed(signs):
            tree = Tree("neg", sign, (tree,))
        return tree

    def product(self) -> Tree:
        """power {["·"] power}: a matrix and its vector, a vector and its matrix, or a number and a value."""
        left = self.power()
        for _ in range(MAX_DEPTH):
            if self.sees("·") and left.kind == "name":
                right = self._product_with_dot(left)
                if right is None:
                    return left
                left = right
            elif self.now.kind == "name" or self._starts_operand(left):
                left = Tree("matrix", left.token, (left, self.power()))
            else:
                return left
        raise self.error(f"more than {MAX_DEPTH} things side by side", self.now)

    def _product_with_dot(self, left: Tree) -> Tree | None:
        """`W_f · [h, x]`: a dot behind a bare, indexless name may be a matrix product; the builder decides."""
        if left.token.time is not None:
            return None
        self.take()
        return Tree("matrix", left.token, (left, self.power()), ("·",))

    def _starts_operand(self, left: Tree) -> bool:
        """Whether what follows a matrix or a number belongs to it."""
        if self.now.kind == "number":
            return left.kind == "name"
        return left.kind in ("name", "number") and self.sees("(", "[", "\\frac", "\\sqrt")

    def power(self) -> Tree:
        """atom ["^" exponent]"""
        base = self.atom()
        if not (sign := self.accept("^")):
            return base
        if self.accept("{"):
            exponent = self.comparison()
            self.expect("}", "to close the exponent")
        else:
            minus = self.accept("-")
            exponent = self.atom()
            exponent = Tree("neg", minus, (exponent,)) if minus else exponent
        return Tree("power", sign, (base, exponent))

    def atom(self) -> Tree:
        """NUMBER | NAME | call | "(" sum ")" | "[" list "]" | "|" sum "|" """
        token = self.now
        if token.kind == "number":
            return Tree("number", self.take())
        if token.kind == "name":
            return self._call() if self._is_function() else Tree("name", self.take())
        if self.accept("("):
            inside = self.comparison()
            self.expect(")", "to close the bracket")
            return Tree("group", token, (inside,)) if inside.kind == "number" else inside
        if self.accept("{"):
            inside = self.comparison()
            self.expect("}", "to close the group")
            return inside
        if opened := self.accept("["):
            return Tree("list", opened, tuple(self._list("]")))
        if opened := self.accept("|"):
            inside = self.comparison()
            self.expect("|", "to close the absolute value")
            return Tree("call", opened, (inside,), ("abs",))
        if self.sees("\\frac", "\\sqrt"):
            return self._latex_call()
        raise self.error(f"expected a value, not {self._shown(token)}", token)

    def _is_function(self) -> bool:
        token = self.now
        if token.time is not None or not (token.name in FUNCTIONS or _LAYER_NORM.fullmatch(token.name)):
            return False
        following = self.tokens[self.at + 1]
        return following.kind in ("name", "number") or (
            following.kind == "op" and following.text in ("(", "[", "|", "\\frac", "{")
        )

    def _call(self) -> Tree:
        token = self.take()
        op = FUNCTIONS.get(token.name) or FUNCTIONS[token.text]
        if self.accept("("):
            return Tree("call", token, tuple(self._list(")")), (op,))
        if self.sees("["):
            return Tree("call", token, (self.atom(),), (op,))
        self._enter()  # tanh c_t
        inside = self.product()
        self.depth -= 1
        return Tree("call", token, (inside,), (op,))

    def _latex_call(self) -> Tree:
        token = self.take()
        parts = []
        for _ in range(2 if token.text == "\\frac" else 1):
            self.expect("{", f"behind {token.text}")
            parts.append(self.comparison())
            self.expect("}", f"to close the group of {token.text}")
        if token.text == "\\frac":
            return Tree("term", token, tuple(parts), ("/",))
        return Tree("call", token, tuple(parts), ("sqrt",))

    def _list(self, closing: str) -> list[Tree]:
        parts = [self.comparison()]
        while self.accept(","):
            parts.append(self.comparison())
        self.expect(closing, "to close the list")
        return parts
