"""How wide every vector is: symbols unify while tracing, numbers come when a layer is made.

A width is a ratio of a symbol (`H`, `2·S`, `H/2`) or `SCALAR`, one value that fits any width. Each
elementwise operation unifies the widths of its vectors; each such constraint remembers its node, so that a
misfit can name the equations between the two symbols that disagree.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import NamedTuple

from .node import Node, topological
from .ops import OPS


class Width(NamedTuple):
    """`ratio` times the size of `symbol`."""

    ratio: Fraction
    symbol: str

    def __str__(self) -> str:
        over = "" if self.ratio.denominator == 1 else f"/{self.ratio.denominator}"
        times = "" if self.ratio.numerator == 1 else f"{self.ratio.numerator}·"
        return f"{times}{self.symbol}{over}"


SCALAR = Width(Fraction(1), "1")


class Misfit(Exception):
    """Two widths that cannot be one. `nodes` are the operations that tie them together."""

    def __init__(self, left: str, right: str, nodes: list[Node]):
        super().__init__(f"{left} and {right}")
        self.left, self.right, self.nodes = left, right, nodes


class Unknown(Exception):
    """A width symbol without a size."""


class Widths:
    """The width of every node, found by one walk over the graph.

    `inputs` and `states` are names in order: the first input is `I` wide, another `I_name`; `updates` ties
    a state's old value to its new one, `starts` to the parameter that it begins with.
    """

    def __init__(
        self,
        inputs: tuple[str, ...],
        updates: Mapping[str, Node],
        roots: Iterable[Node],
        starts: Mapping[str, Node] | None = None,
    ):
        self._parent: dict[str, Width] = {}
        self._ties: dict[str, list[tuple[str, Node]]] = {}
        self._inputs = {name: "I" if i == 0 else f"I_{name}" for i, name in enumerate(inputs)}
        self._known: dict[Node, Width] = {}
        self._columns: dict[Node, Width] = {}
        self._plainest: dict[Width, Width] = {}
        ties = [*updates.items(), *(starts or {}).items()]
        for n in topological([*roots, *(value for _, value in ties)]):
            self._known[n] = self._infer(n)
        for name, value in ties:
            if (width := self._known[value]) != SCALAR:
                self._unify(Width(Fraction(1), f"state {name}"), width, value)
        for variable in sorted(self._parent):
            if not self._symbol_of(variable):
                self._unify(Width(Fraction(1), variable), Width(Fraction(1), "H"), None)
        self._plainest.clear()  # what was asked for while classes still grew

    def of(self, n: Node) -> Width:
        """The width of a node, by the plainest symbol of its class."""
        return self._plain(self._known[n])

    def of_state(self, name: str) -> Width:
        return self._plain(Width(Fraction(1), f"state {name}"))

    def columns(self, matrix: Node) -> Width:
        """The width of the vector that a matrix meets."""
        return self._plain(self._columns[matrix])

    def symbols(self) -> set[str]:
        """All symbols that need a size."""
        return {v for v in self._parent if " " not in v and not v.isdigit()}

    def solve(self, sizes: Mapping[str, int]) -> Sizes:
        """Give the symbols their sizes; raises `Misfit` or `Unknown`."""
        return Sizes(self, self._solve_roots(sizes))

    # -- one node -------------------------------------------------------------------------------

    def _infer(self, n: Node) -> Width:
        widths = [self._known[a] for a in n.args]
        match n.op:
            case "const" | "adjoint":
                return SCALAR
            case "input":
                return self._variable(self._inputs[n.attr])
            case "state":
                return self._variable(f"state {n.attr}")
            case "param":
                return self._parameter(n)
            case "linear":
                self._columns[n.args[0]] = widths[1]
                return widths[0]
            case "linear_t":
                return self._columns[n.args[0]]
            case "repeat" | "block_sum":
                ratio = Fraction(n.attr) if n.op == "repeat" else 1 / Fraction(n.attr)
                if widths[0] == SCALAR:
                    raise Misfit("one value", f"the vector that {n.op} needs", [n])
                return Width(widths[0].ratio * ratio, widths[0].symbol)
            case "spread" | "chance":
                return widths[1]
            case "total":
                return widths[0]
        if OPS[n.op].kind == "reduce" or n.op == "outer":
            return SCALAR
        return self._elementwise(n, widths)

    def _parameter(self, n: Node) -> Width:
        kind, name, width = n.attr
        if width == "1":
            return SCALAR
        if width is None and kind in ("p", "gain", "start"):
            return self._variable(f"param {name}")
        return self._variable(width or "H")

    def _elementwise(self, n: Node, widths: list[Width]) -> Width:
        vectors = [w for w in widths if w != SCALAR]
        for other in vectors[1:]:
            self._unify(vectors[0], other, n)
        return vectors[0] if vectors else SCALAR

    # -- classes of widths that are equal up to a ratio ------------------------------------------

    def _variable(self, name: str) -> Width:
        self._parent.setdefault(name, Width(Fraction(1), name))
        return Width(Fraction(1), name)

    def _root(self, w: Width) -> Width:
        ratio, name = w
        self._variable(name)
        while self._parent[name].symbol != name:
            step, name = self._parent[name]
            ratio *= step
        return Width(ratio, name)

    def _unify(self, a: Width, b: Width, n: Node | None) -> None:
        if n is not None:
            self._ties.setdefault(a.symbol, []).append((b.symbol, n))
            self._ties.setdefault(b.symbol, []).append((a.symbol, n))
        left, right = self._root(a), self._root(b)
        if left.symbol != right.symbol:
            self._parent[left.symbol] = Width(right.ratio / left.ratio, right.symbol)
        elif left.ratio != right.ratio:
            raise Misfit(str(self._plain(a)), str(self._plain(b)), [n] if n is not None else [])

    def _members(self, root: str) -> list[str]:
        return [v for v in self._parent if self._root(Width(Fraction(1), v)).symbol == root]

    def _symbol_of(self, variable: str) -> str | None:
        """The plainest symbol in the class of a variable: H before I before the user's own."""
        root = self._root(Width(Fraction(1), variable)).symbol
        named = [v for v in self._members(root) if " " not in v]
        return min(named, key=lambda s: (s != "H", s != "I", s)) if named else None

    def _plain(self, w: Width) -> Width:
        if w not in self._plainest:
            self._plainest[w] = w if w == SCALAR else self._in_plainest_symbol(w)
        return self._plainest[w]

    def _in_plainest_symbol(self, w: Width) -> Width:
        root = self._root(w)
        symbol = self._symbol_of(root.symbol) or root.symbol
        return Width(root.ratio / self._root(Width(Fraction(1), symbol)).ratio, symbol)

    # -- numbers ---------------------------------------------------------------------------------

    def _solve_roots(self, sizes: Mapping[str, int]) -> dict[str, Fraction]:
        sizes = {**{s: int(s) for s in self._parent if s.isdigit()}, **sizes}
        found: dict[str, tuple[Fraction, str]] = {}
        for symbol, size in sizes.items():
            if symbol not in self._parent:
                continue
            root = self._root(Width(Fraction(1), symbol))
            value = Fraction(size) / root.ratio
            known, first = found.setdefault(root.symbol, (value, symbol))
            if known != value:
                raise Misfit(f"{first} = {sizes[first]}", f"{symbol} = {size}", self._path(first, symbol))
        for variable in self._parent:
            root = self._root(Width(Fraction(1), variable)).symbol
            if root not in found:
                raise Unknown(self._symbol_of(variable))
        return {root: value for root, (value, _) in found.items()}

    def _path(self, start: str, end: str) -> list[Node]:
        """The constraints that lead from one symbol to another, fewest first."""
        queue: deque[tuple[str, list[Node]]] = deque([(start, [])])
        seen = {start}
        while queue:
            at, path = queue.popleft()
            if at == end:
                return path
            for following, n in self._ties.get(at, ()):
                if following not in seen:
                    seen.add(following)
                    queue.append((following, [*path, n]))
        return []


class Sizes:
    """Widths as numbers: what a layer knows."""

    def __init__(self, widths: Widths, roots: dict[str, Fraction]):
        self._widths, self._roots = widths, roots

    def number(self, w: Width) -> int:
        """A width as a number of units; raises `Misfit` where it is not whole."""
        if w == SCALAR:
            return 1
        root = self._widths._root(w)
        value = root.ratio * self._roots[root.symbol]
        if value.denominator != 1 or value < 1:
            symbol = self._widths._plain(w)
            raise Misfit(f"{symbol} = {value}", "a whole number of units", [])
        return int(value)

    def of(self, n: Node) -> int:
        return self.number(self._widths.of(n))

    def of_state(self, name: str) -> int:
        return self.number(self._widths.of_state(name))

    def shape(self, param: Node) -> tuple[int, ...]:
        """(rows, columns) of a matrix, (rows,) of a vector."""
        rows = self.number(self._widths.of(param))
        if param.attr.kind in "WU":
            return rows, self.number(self._widths.columns(param))
        return (rows,)
