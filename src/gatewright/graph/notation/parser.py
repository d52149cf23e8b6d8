"""Syntax trees into a graph: which names are inputs, states, values and parameters, and what owns what."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..check import check
from ..errors import CellError, NotationError, suggestion
from ..graph import Graph, State
from ..node import Node, Param, const, node, topological
from ..ops import OPS
from .roles import Roles
from .scanner import Token
from .syntax import FUNCTIONS, Syntax, Text, Tree

if TYPE_CHECKING:
    from ..cell import Cell

_PARAMETER = re.compile(r"(?!phi|psi)[WURVKBwubp][a-z0-9]{0,2}|gain|bias|beta|theta")
"""The names that papers give to weights: W_f, Uf, b_i, p_o, gain_c."""
_KINDS = {"gain": re.compile("gain"), "p": re.compile("p[a-z0-9]{0,2}"), "b": re.compile("b[a-z0-9]{0,2}|bias|beta")}
_WITH_SUBSCRIPT = re.compile(r"[rvk]")
"""Weights where they have a subscript: r_z; a bare r is a gate."""


def parse(text: str, name: str | None = None, doc: str = "") -> Cell:
    """Read a cell in a paper's notation: Unicode, ASCII or LaTeX. The grammar is in `docs/notation.md`.

    Names with `_{t-1}` are states, `W`, `U`, `b`, `p` (with a subscript) are parameters, a name that no
    equation gives is an input. `W_f [h_{t-1}, x_t]` is read as two matrices. A first line
    `h_t, c_t = name(x_t; h_{t-1}, c_{t-1})` fixes the order of inputs and states.

    Args:
        text: one equation a line (or separated by `;`).
        name: the cell's name; default the first line's, or "cell".
        doc: its docstring.

    Raises:
        CellError: the text is no cell; for a mistake in the notation the message has line, column and a caret.

    >>> import gatewright as gw
    >>> cell = gw.parse("h_t = tanh(W_h x_t + U_h h_{t-1} + b_h)")
    >>> cell == gw.cells.rnn
    True
    """
    from ..cell import Cell

    if not isinstance(text, str):
        raise CellError(f"parse: expected the equations as a str, not a {type(text).__name__}")
    if not isinstance(doc, str):
        raise CellError(f"parse: expected a docstring as doc, got {doc!r}")
    read = Syntax(text).read()
    called = name or (read.header.name if read.header else "cell")
    return Cell.of_graph(Builder(read).graph(called), called, doc)


class Builder:
    """Builds the graph of one text."""

    def __init__(self, text: Text):
        self.text = text
        self.scanner = text.scanner
        self.roles = Roles(text)
        self.values: dict[str, Node] = {}
        self.params: dict[str, tuple[Node, Node | None, Token]] = {}
        self.written: set[str] = set()
        self.now = ""

    def error(self, message: str, token: Token) -> NotationError:
        return self.scanner.error(message, token.start, token.end)

    def graph(self, name: str) -> Graph:
        """The graph: equations in the order in which they can be computed."""
        for equation in self.roles.in_order():
            self.now = equation
            self.values[equation] = self.build(self.roles.trees[equation])
        if not self.roles.inputs:
            raise CellError("the text reads no input, such as x_t: a cell has one at least")
        initial = {s: value for s, (value, _) in self.text.initial.items()}
        if unknown := [s for s in initial if s not in self.roles.states]:
            states, token = ", ".join(self.roles.states), self.text.initial[unknown[0]][1]
            raise self.error(f"{token.name} has a value, but {unknown[0]} is no state ({states})", token)
        for raw, (_, token) in self.text.widths.items():
            if raw not in self.written:
                raise self.error(f"no parameter is called {raw}", token)
        graph = Graph(
            inputs=tuple(self.roles.inputs),
            states=tuple(State(s, self.values[s], initial.get(s, 0.0)) for s in self.roles.states),
            equations=tuple((e, self.values[e]) for e in self.roles.trees if not e.startswith("_")),
            output_name=self.roles.output(),
        )
        check(graph, name, params=graph.params)
        return graph

    # -- trees into nodes ----------------------------------------------------------------------------

    def build(self, tree: Tree) -> Node:
        """The node of a tree."""
        return getattr(self, f"_{tree.kind}")(tree)

    def _number(self, tree: Tree) -> Node:
        return const(tree.token.value)

    def _group(self, tree: Tree) -> Node:
        return self.build(tree.parts[0])

    def _neg(self, tree: Tree) -> Node:
        inner = tree.parts[0]
        return const(-inner.token.value) if inner.kind == "number" else node("neg", self.build(inner))

    def _name(self, tree: Tree) -> Node:
        value = self.value(tree.token)
        return value if value is not None else self.parameter(tree.token, "b")

    def _sum(self, tree: Tree) -> Node:
        total = self.build(tree.parts[0])
        for sign, part in zip(tree.ops, tree.parts[1:], strict=True):
            total = node("add" if sign == "+" else "sub", total, self.build(part))
        return total

    def _term(self, tree: Tree) -> Node:
        left = tree.parts[0]
        total: Node | None = None
        for sign, right in zip(tree.ops, tree.parts[1:], strict=True):
            if sign == "/":
                total = node("div", total or self.build(left), self.build(right))
            else:
                total = self._times(total or left, right)
        assert total is not None
        return total

    def _times(self, left: Tree | Node, right: Tree) -> Node:
        """a ⊙ b, where one of them may be a parameter: a diagonal, or the gain of a layer norm."""
        if isinstance(left, Tree) and self._unknown(left):
            other = self.build(right)
            return node("mul", self._scale(left.token, other), other)
        first = left if isinstance(left, Node) else self.build(left)
        if self._unknown(right):
            return node("mul", first, self._scale(right.token, first))
        return node("mul", first, self.build(right))

    def _scale(self, token: Token, other: Node) -> Node:
        return self.parameter(token, "gain" if other.op == "layer_norm" else "p", vector=other)

    def _unknown(self, tree: Tree) -> bool:
        return tree.kind == "name" and self.value(tree.token) is None

    def _power(self, tree: Tree) -> Node:
        return node("pow", *(self.build(p) for p in tree.parts))

    def _compare(self, tree: Tree) -> Node:
        raise self.error("a comparison stands in where(condition, a, b) alone", tree.token)

    def _list(self, tree: Tree) -> Node:
        if len(tree.parts) == 1:
            return self.build(tree.parts[0])  # tanh[W x_t + b]
        raise self.error("a list of vectors stands behind a matrix, as in W_f [h_{t-1}, x_t]", tree.token)

    def _call(self, tree: Tree) -> Node:
        op = tree.ops[0]
        if op == "layer_norm":
            return self._layer_norm(tree)
        if op == "where" and len(tree.parts) == 3 and tree.parts[0].kind == "compare":
            condition, *rest = tree.parts
            test = node(condition.ops[0], *(self.build(p) for p in condition.parts))
            return node("where", test, *(self.build(p) for p in rest))
        if op == "where":
            raise self.error("where needs a condition and two values: where(a > b, c, d)", tree.token)
        if op == "repeat":
            return self._repeat(tree)
        op = "maximum" if op == "max" and len(tree.parts) == 2 else op
        if len(tree.parts) != OPS[op].arity:
            need, came = OPS[op].arity, len(tree.parts)
            raise self.error(f"{tree.token.name} takes {need} value{'s' * (need != 1)}, not {came}", tree.token)
        return node(op, *(self.build(p) for p in tree.parts))

    def _repeat(self, tree: Tree) -> Node:
        if len(tree.parts) != 2 or tree.parts[1].kind != "number" or tree.parts[1].token.value % 1:
            raise self.error("repeat takes a vector and a whole number: repeat(v, 2)", tree.token)
        count = int(tree.parts[1].token.value)
        if count < 1:
            raise self.error("repeat(v, n): n is at least 1", tree.parts[1].token)
        vector = self.build(tree.parts[0])
        return vector if count == 1 else node("repeat", vector, attr=count)

    def _layer_norm(self, tree: Tree) -> Node:
        """`LN(a)`, `LN_2(a, b)` (the second of two that are normalised together), `LN(a, eps=0.001)`"""
        parts, eps = list(tree.parts), 1e-5
        if parts[-1].kind == "compare" and parts[-1].parts[0].token.name in ("eps", "epsilon"):
            eps = self.text_number(parts.pop().parts[1])
        index = int(tree.token.subs[0]) - 1 if tree.token.name.startswith("LN_") else 0
        if not parts or not 0 <= index < len(parts):
            raise self.error(f"{tree.token.name} of {len(parts)} vectors: LN_k gives the k-th of them", tree.token)
        return node("layer_norm", *(self.build(p) for p in parts), attr=(index, eps))

    def text_number(self, tree: Tree) -> float:
        if tree.kind != "number" or not tree.token.value > 0:
            raise self.error("eps is a number above 0", tree.token)
        return tree.token.value

    # -- products --------------------------------------------------------------------------------------

    def _matrix(self, tree: Tree) -> Node:
        """Two things side by side: a matrix and its vector, in either order, or a number and a value."""
        left, right = tree.parts
        if self._is_squashing(left):
            return node("tanh", self.build(right))
        if left.kind == "number":
            return self._times(left, right)
        if left.kind == "matrix" and left.parts[0].kind == "number":  # 2 W x_t is 2 (W x_t)
            times, matrix = left.parts
            return node("mul", self.build(times), self._matrix(Tree("matrix", matrix.token, (matrix, right))))
        if self._is_matrix(left):
            return self._product(left.token, right)
        if self._is_matrix(right):
            return self._product(right.token, left)
        if tree.ops:  # a dot between two values
            return self._times(left, right)
        before = (
            self.scanner.text[left.token.start : left.token.end] if left.kind == "name" else "what stands before it"
        )
        raise self.error(
            f"{before} is no matrix (a name such as W_f): write ⊙ (or *) between two vectors",
            left.token if left.kind == "name" else right.token,
        )

    def _is_squashing(self, tree: Tree) -> bool:
        """`g(…)` and `h(…)`, where no equation gives them: the tanh of a block's input and output."""
        token = tree.token
        bare = tree.kind == "name" and token.raw in ("g", "h")
        return bare and not {token.name} & {*self.roles.trees, *self.roles.inputs} and self._opens(token)

    def _opens(self, token: Token) -> bool:
        return re.compile(r"\s*(?:\\left\s*)?[(\[]").match(self.scanner.text, token.end) is not None

    def _is_matrix(self, tree: Tree) -> bool:
        return tree.kind == "name" and self.value(tree.token) is None

    def _product(self, token: Token, operand: Tree) -> Node:
        if operand.kind != "list":
            return self._linear(token, self.build(operand), token.raw)
        vectors = [(part, self.build(part)) for part in operand.parts]
        kinds = [self._kind(v) for _, v in vectors]
        total: Node | None = None
        for (part, vector), kind in zip(vectors, kinds, strict=True):
            name = self._split_name(token, kind, part, several=kinds.count(kind) > 1)
            term = self._linear(token, vector, name)
            total = term if total is None else node("add", total, term)
        assert total is not None
        return total

    def _split_name(self, token: Token, kind: str, part: Tree, *, several: bool) -> str:
        """`W_f [h, x]` is U_f h + W_f x; so is `Wf [h, x]`."""
        letters = token.text[1:] if _PARAMETER.fullmatch(token.text) else ""
        name = "_".join((kind, *([letters] if letters else []), *token.subs, *(["t"] if token.time == 0 else [])))
        if not several:
            return name
        if part.kind != "name":
            raise self.error("several vectors of one kind stand behind a matrix: each needs a name", part.token)
        return f"{name}_{part.token.name}"

    @staticmethod
    def _kind(vector: Node) -> str:
        return "W" if all(n.op != "state" for n in topological([vector])) else "U"

    def _linear(self, token: Token, vector: Node, name: str) -> Node:
        return node("linear", self.parameter(token, self._kind(vector), name=name, vector=vector), vector)

    # -- names -------------------------------------------------------------------------------------------

    def value(self, token: Token) -> Node | None:
        """The node that a name means, or None where it is a parameter."""
        if token.name in self.roles.inputs:
            return self._input(token)
        if token.name in self.roles.trees:
            return self._equation(token)
        if token.time is not None and token.time < 0:
            return self._new_input(token)
        if self._looks_like_parameter(token):
            return None
        return self._new_input(token)

    def _input(self, token: Token) -> Node:
        leaf = node("input", attr=token.name)
        back = -(token.time or 0)
        return node("previous", leaf, attr=back) if back else leaf

    def _equation(self, token: Token) -> Node:
        if not self.roles.is_old(token, self.now):
            return self.values[token.name]
        if token.name not in self.roles.states:
            raise self.error(f"{token.name}_{{t-1}} is read, but {token.name} is no state of the first line", token)
        if token.time is not None and token.time < -1:
            raise self.error(f"a state reaches one step back: carry {token.name}_{{t-1}} in a state of its own", token)
        return node("state", attr=token.name)

    def _looks_like_parameter(self, token: Token) -> bool:
        """W_f and b are; `u_t` is an input, unless an equation gives t (then it is the weight U of t)."""
        if token.time == 0:
            # The values of a text with a first line are all known: its W_f_t is the weight of f_t.
            called = "_".join((*token.subs, "t"))
            if called not in self.roles.trees and not (self.text.header and token.subs):
                return False
        of_kind = _PARAMETER.fullmatch(token.text) or (token.subs and _WITH_SUBSCRIPT.fullmatch(token.text))
        return bool(of_kind)

    def _new_input(self, token: Token) -> Node:
        """A name that no equation gives: an input, where the text has no first line and it looks like one."""
        plain_input = token.time is not None or token.text in ("x", "X")
        if self.text.header or not plain_input:
            raise self.error(self._not_defined(token), token)
        self.roles.inputs.append(token.name)
        return self._input(token)

    def _not_defined(self, token: Token) -> str:
        if token.time is None and self._opens(token):
            return f"{token.name} is no function of a cell; it knows {', '.join(FUNCTIONS)}" + suggestion(
                token.name, FUNCTIONS
            )
        known = [*self.roles.trees, *self.roles.inputs]
        return (
            f"{token.name} is not defined: no equation gives it, and it is no input and no parameter "
            f"(W_, U_, b_, p_){suggestion(token.name, known)}"
        )

    def parameter(self, token: Token, kind: str, *, name: str | None = None, vector: Node | None = None) -> Node:
        """The parameter of a name; one name may stand twice only for one and the same product."""
        name = name or token.raw
        if kind not in "WU":
            kind = next((k for k, said in _KINDS.items() if said.fullmatch(name.split("_")[0])), kind)
            vector = None if kind == "b" else vector
        self.written |= {name, token.raw}
        width = (self.text.widths.get(name) or self.text.widths.get(token.raw, (None,)))[0]
        param = node("param", attr=Param(kind, name, None if width == "H" else width))
        known = self.params.setdefault(name, (param, vector, token))
        if known[0] is not param or known[1] is not vector:
            raise self.error(f"{name} stands for two different parameters: give one of them another name", token)
        return param
