"""From a graph to pieces: which nodes share a box, which lines are merged, which states are belts."""

from __future__ import annotations

from dataclasses import replace

from ..graph import Graph
from ..node import Node, topological
from ..notation.printer import number
from .belts import belts
from .formulas import LONGEST, Text, constant_side, wrapped
from .layers import LayerForm, layer_form
from .merges import with_merges
from .pieces import Feed, Piece, Sketch

CIRCLES = {
    "add": "+", "sub": "+", "mul": "×", "div": "÷", "pow": "pow", "maximum": "max", "minimum": "min", "lt": "<",
    "le": "≤", "gt": ">", "ge": "≥", "eq": "=", "ne": "≠", "where": "where",
}  # fmt: skip
_MARKS = {"div": ("", "÷"), "pow": ("", "^"), "where": ("?", "1", "0")}
_ORDERED = {"lt", "le", "gt", "ge"}
MOST = 3
"""Operands of one circle."""


def sketch(graph: Graph) -> Sketch:
    """The pieces of a graph's equations, as they are written."""
    return with_merges(belts(_Builder(graph).build(), graph))


class _Builder:
    def __init__(self, graph: Graph):
        self.graph = graph
        self.sketch = Sketch()
        self.number: dict[Node, int] = {}
        self.names: dict[Node, list[str]] = {}
        for name, n in graph.equations:
            self.names.setdefault(n, []).append(name)
        self.uses: dict[Node, int] = {}
        for n in topological(graph.roots):
            for a in n.args:
                self.uses[a] = self.uses.get(a, 0) + 1

    def build(self) -> Sketch:
        for name in self.graph.inputs:
            self.sketch.add(Piece("input", name, names=(name,)))
        for state in self.graph.states:
            self.sketch.add(Piece("old", state.name, names=(f"{state.name}_prev",), back=1))
        self.ends = {
            **{("input", name): i for i, name in enumerate(self.graph.inputs)},
            **{("state", s.name): len(self.graph.inputs) + i for i, s in enumerate(self.graph.states)},
        }
        for n in topological(self.graph.roots):  # in the order of computing, so that no recursion grows deep
            if self.kept(n) and n.op not in ("input", "state", "previous"):
                self.piece(n)
        self._alias_leaves()
        for state in self.graph.states:
            self.sketch.add(Piece("new", state.name, (Feed(self.piece(state.new), "end"),), (state.name,)))
        name = self.graph.output_name
        self.sketch.add(Piece("output", name, (Feed(self.piece(self.graph.output), "end"),), (name,)))
        return self.sketch

    def _alias_leaves(self) -> None:
        """An equation that is a bare input or old state, and no result, is shown as a piece of its own."""
        shown = {*(s.name for s in self.graph.states), self.graph.output_name}
        for n, names in self.names.items():
            rest = tuple(name for name in names if name not in shown)
            if n.op in ("input", "state", "previous") and rest:
                self.sketch.add(Piece("point", "=", (Feed(self.piece(n), "operand"),), rest, "copy"))

    def kept(self, n: Node) -> bool:
        """Whether a node has a piece of its own: it is named, a leaf that varies, or used more than once."""
        if n in self.names or n.op in ("input", "state", "previous"):
            return True
        return self.uses.get(n, 0) > 1 and n.op not in ("const", "param", "linear", "layer_norm")

    def piece(self, n: Node) -> int:
        """The number of the piece whose value a node is."""
        if n not in self.number:
            self.number[n] = self._make(n)
        return self.number[n]

    def _make(self, n: Node) -> int:
        if (n.op, n.attr) in self.ends:
            return self.ends[n.op, n.attr]
        if n.op == "previous":
            return self.sketch.add(Piece("input", n.args[0].attr, back=n.attr))
        names = tuple(self.names.get(n, ()))
        if n.op == "const":
            return self.sketch.add(Piece("number", number(n.attr).replace("-", "−"), names=names))
        if n.op == "param":
            return self.sketch.add(Piece("layer", "b", names=names, op="param"))
        if n.op in ("linear", "mul", "add", "sub") and (form := layer_form(n, self.kept, whole=True)):
            return self._layer(form, None, names, n)
        text, base = self._chain(n)
        if base is n:
            form = layer_form(n, self.kept, whole=True)
            return self._layer(form, None, names, n) if form else self._pointwise(n, names)
        form = None if self.kept(base) else layer_form(base, self.kept)
        if form is not None:
            return self._layer(form, text, names, n)
        assert text is not None
        return self.sketch.add(Piece("point", text.shown, (Feed(self.piece(base), "operand"),), names, n.op))

    def _chain(self, n: Node) -> tuple[Text | None, Node]:
        """The longest chain of operations on one value that ends in `n`, and what it begins with."""
        chain: list[Node] = []
        current, text = n, None
        while current is n or not self.kept(current):
            operand = self._operand(current)
            if operand is None or not self._reads(chain := [*chain, current]):
                break
            text, current = self._text(chain), operand
        return text, current

    def _operand(self, n: Node) -> Node | None:
        side = constant_side(n)
        if side is not None:
            return None if n.args[side] in self.names else n.args[1 - side]
        return n.args[0] if len(n.args) == 1 and wrapped(n, None) is not None and not self._of_products(n) else None

    def _of_products(self, n: Node) -> bool:
        return n.op == "layer_norm" and layer_form(n, self.kept) is not None

    def _text(self, chain: list[Node]) -> Text | None:
        text: Text | None = None
        for n in reversed(chain):
            text = wrapped(n, text)
        return Text("log σ", "log σ") if [n.op for n in chain] == ["neg", "softplus", "neg"] else text

    def _reads(self, chain: list[Node]) -> bool:
        text = self._text(chain)
        return len(chain) == 1 or (text is not None and len(text.shown) <= LONGEST)

    def _layer(self, form: LayerForm, text: Text | None, names: tuple[str, ...], n: Node) -> int:
        shown = form.text if text is None else f"{text.shown} LN" if form.normed else text.shown
        feeds = [Feed(self.piece(v), "product") for v in dict.fromkeys(form.products)]
        feeds += [Feed(self.piece(v), "diagonal") for v in dict.fromkeys(form.diagonals)]
        added = [Feed(self.piece(v), "added", sign) for v, sign in form.added]
        # a box has room for six lines: three products and two diagonals, the others being merged, and one more
        feeds += (
            added if len(added) + len(feeds) <= MOST + 1 or len(added) < 2 else [Feed(self._sum(added), "added", "+")]
        )
        return self.sketch.add(Piece("layer", shown, tuple(feeds), names, n.op if text else "linear"))

    def _sum(self, feeds: list[Feed]) -> int:
        terms = [replace(feed, how="operand", mark=feed.mark.replace("+", "")) for feed in feeds]
        return self._circle("add", "+", terms, ())

    def _pointwise(self, n: Node, names: tuple[str, ...]) -> int:
        if n.op in ("add", "sub", "mul"):
            return self._circle(n.op, CIRCLES[n.op], self._operands(n), names)
        marks = _MARKS.get(n.op, ("",) * len(n.args))
        text = CIRCLES.get(n.op, "")
        if n.op == "layer_norm":
            return self._joint_norm(n, names)
        if n.op in _ORDERED:
            text, marks = f"a {text} b", ("a", "b")
        feeds = tuple(Feed(self.piece(a), "operand", mark) for a, mark in zip(n.args, marks, strict=True))
        return self.sketch.add(Piece("point", text or n.op, feeds, names, n.op))

    def _joint_norm(self, n: Node, names: tuple[str, ...]) -> int:
        """One of several vectors that are normalised together: they are joined first."""
        feeds = [Feed(self.piece(a), "operand") for a in dict.fromkeys(n.args)]
        while len(feeds) > MOST:
            joined = self.sketch.add(Piece("merge", "", tuple(feeds[:MOST])))
            feeds = [Feed(joined, "operand"), *feeds[MOST:]]
        return self.sketch.add(Piece("point", f"LN {n.attr[0] + 1}", tuple(feeds), names, "layer_norm"))

    def _operands(self, n: Node) -> list[Feed]:
        """The terms of a sum, or the factors of a product."""
        same = ("mul",) if n.op == "mul" else ("add", "sub")
        found: list[tuple[Node, str]] = []
        stack = [(n, "")]
        while stack:
            current, sign = stack.pop()
            whole = current is n or (not self.kept(current) and self._operand(current) is None)
            if current.op in same and whole and (current is n or layer_form(current, self.kept) is None):
                a, b = current.args
                other = sign if current.op != "sub" else "" if sign else "−"
                stack += [(b, other), (a, sign)]
            else:
                found.append((current, sign))
        return [Feed(self.piece(a), "operand", sign) for a, sign in found]

    def _circle(self, op: str, text: str, feeds: list[Feed], names: tuple[str, ...]) -> int:
        """A circle; one with many operands becomes a chain of circles."""
        while len(feeds) > MOST:
            first = self.sketch.add(Piece("point", text, tuple(feeds[:2]), (), op))
            feeds = [Feed(first, "operand"), *feeds[2:]]
        return self.sketch.add(Piece("point", text, tuple(feeds), names, op))
