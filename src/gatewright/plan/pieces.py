"""A step in pieces, for products that somebody else computes: a convolution, say.

    ahead      the products that need no state, and what lies between them: for many steps at once
    piece 0    its products; then, unit by unit, what the products of piece 1 need
    …
    last       its products; then the output and the new states

Products are leaves of a piece's graph: it has no matrix left in it, so a kernel of one step can run it. A value that
several pieces need is computed by the first of them, and given to the others. W x + U h may be a single product, of two
matrices side by side and two vectors one below the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

from ..graph.graph import Graph, State
from ..graph.node import Node, node, topological
from ..graph.widths import SCALAR

LEAVES = frozenset({"input", "previous", "state", "linear"})


@dataclass(frozen=True)
class Piece:
    """What runs between two products; all nodes are those of the step.

    products: the products that come first; their operands are known by then.
    inputs: the values that it reads, in the order of the graph's inputs.
    output: the result that is the graph's output and no state of it; None where every result is a state.
    carried: the other results, in the order of the graph's states.
    old: for each of these the state whose old value is read under its name; None where there is none to read.
    graph: the same as equations; None where there is nothing to compute.
    """

    products: tuple[Node, ...]
    inputs: tuple[Node, ...] = ()
    output: Node | None = None
    carried: tuple[Node, ...] = ()
    old: tuple[Node | None, ...] = ()
    graph: Graph | None = None

    @property
    def results(self) -> tuple[Node, ...]:
        """What it computes."""
        return self.carried if self.output is None else (self.output, *self.carried)


@dataclass(frozen=True)
class Pieces:
    """A whole step: `ahead` are the pieces that need no state; `steps` are all others, in the order of their run."""

    graph: Graph
    ahead: tuple[Piece, ...]
    steps: tuple[Piece, ...]

    @cached_property
    def refusal(self) -> str | None:
        """Why no kernel can run the pieces, or None where one can."""
        widths = self.graph.widths
        for piece in (*self.ahead, *self.steps):
            if piece.graph is not None and not piece.inputs:
                return "a product of these equations meets a vector that depends on no input and no state"
            if any(widths.of(n) == SCALAR for n in (*piece.results, *piece.inputs)):
                return "these equations carry one value for all units from one product to another"
        return None


def factors(product: Node) -> tuple[tuple[Node, Node], ...]:
    """(matrix, vector) of a product; of a single one for W x + U h, both."""
    if product.op == "linear":
        return ((product.args[0], product.args[1]),)
    return tuple((term.args[0], term.args[1]) for term in product.args)


@lru_cache(maxsize=256)
def pieces(graph: Graph, maps: frozenset[str] = frozenset(), *, joined: bool = False) -> Pieces:
    """Cut a step at its products.

    Args:
        graph: the step.
        maps: parameters that are given row by row, as the inputs are.
        joined: whether W x + U h is one product where nothing else needs a part of it.

    >>> import gatewright as gw
    >>> [[p.args[0].attr.name for p in piece.products] for piece in pieces(gw.cells.gru_original.graph).steps]
    [['U_z', 'U_r'], ['U_n']]
    """
    return _Cut(graph, maps, joined).pieces()


class _Cut:
    def __init__(self, graph: Graph, maps: frozenset[str], joined: bool):
        self.graph, self.maps = graph, maps
        self.order = topological(graph.results)
        self.moving: set[Node] = set()  # what depends on a state
        self.level: dict[Node, int] = {}  # of how many products in a row it is made
        for n in self.order:
            if n.op == "state" or any(a in self.moving for a in n.args):
                self.moving.add(n)
            alike = (a for a in n.args if (a in self.moving) == (n in self.moving))
            self.level[n] = max((self.level[a] for a in alike), default=0) + (n.op == "linear")
        self.uses = Counter([*graph.results, *(a for n in self.order for a in n.args)])
        self.sums = {n for n in self.order if joined and self._is_sum(n)}
        parts = {a for n in self.sums for a in n.args}
        products = [n for n in self.order if (n.op == "linear" and n not in parts) or n in self.sums]
        self.ahead = [n for n in products if n not in self.moving]
        self.later = [n for n in products if n in self.moving]
        self.everywhere = self._inside([*graph.results, *(v for n in products for _, v in factors(n))], set())
        self.known: set[Node] = set()

    def pieces(self) -> Pieces:
        return Pieces(self.graph, self._chain(self.ahead, []), self._chain(self.later, list(self.graph.results)))

    def _chain(self, products: list[Node], wanted: list[Node]) -> tuple[Piece, ...]:
        """Products, what the next ones need, and so on; at the end what is wanted."""
        last = max((self.level[n] for n in products), default=0)
        found = []
        for k in range(last + 1):
            now = [n for n in products if self.level[n] == k]
            following = [v for n in products if self.level[n] == k + 1 for _, v in factors(n)]
            found.append(self._piece(now, following if k < last else wanted))
        return tuple(p for p in found if p.products or p.graph)

    def _is_sum(self, n: Node) -> bool:
        """Whether this is W x + U h with an x that is at hand, and both terms serve nothing else."""
        if n.op != "add" or any(a.op != "linear" or self.uses[a] > 1 for a in n.args):
            return False
        still = [a for a in n.args if a not in self.moving]
        return len(still) == 1 and still[0].args[1].op in ("input", "previous")

    def _is_leaf(self, n: Node) -> bool:
        return n.op in LEAVES or n in self.sums or (n.op == "param" and n.attr.name in self.maps)

    def _piece(self, products: list[Node], wanted: list[Node]) -> Piece:
        """The piece that computes what is wanted, and what later pieces will need of what it computes on the way."""
        inside = self._inside(wanted, self.known)
        if not inside:
            return Piece(tuple(products))
        results = [n for n in inside if n in wanted or self._serves_others(n, inside)]
        self.known.update(results)
        return self._written(products, results, self._read(inside))

    def _inside(self, wanted: Iterable[Node], known: set[Node]) -> list[Node]:
        """What has to be computed, without leaves, constants, parameters and what is known; arguments first."""
        found, stack = set(), list(wanted)
        while stack:
            n = stack.pop()
            if n in found or n in known or self._is_leaf(n) or n.op in ("const", "param"):
                continue
            found.add(n)
            stack += n.args
        return [n for n in self.order if n in found]

    def _serves_others(self, n: Node, inside: list[Node]) -> bool:
        """Whether a value leaves the step, or a later piece reads it."""
        return n in self.graph.results or any(n in u.args for u in self.everywhere if u not in inside)

    def _read(self, inside: list[Node]) -> list[Node]:
        found = dict.fromkeys(a for n in inside for a in n.args if a not in inside)
        return [n for n in found if n.op not in ("const", "param") or self._is_leaf(n)]

    def _written(self, products: list[Node], results: list[Node], read: list[Node]) -> Piece:
        """The piece as a graph: a new state whose old value is read has the state's own name."""
        kept = {s.new: s for s in self.graph.states if s.new in results and s.old in read}
        if len(kept) == len(read):  # a kernel takes time and batch from its inputs
            kept = {}
        output = next((n for n in results if n not in kept and len(results) > 1), None)  # a kernel has a state
        inputs = [n for n in read if n not in {s.old for s in kept.values()}]
        form = {n: node("input", attr=f"v{k}") for k, n in enumerate(inputs)}
        new = _substituted(results, form)
        carried = [n for n in results if n is not output]
        name = {n: kept[n].name if n in kept else f"r{k}" for k, n in enumerate(results)}
        graph = Graph(
            inputs=tuple(n.attr for n in form.values()),
            states=tuple(State(name[n], new[n]) for n in carried),
            equations=tuple((name[n], new[n]) for n in results),
            output_name=name[results[0] if output is None else output],
        )
        old = tuple(kept[n].old if n in kept else None for n in carried)
        return Piece(tuple(products), tuple(inputs), output, tuple(carried), old, graph)


def _substituted(roots: Iterable[Node], form: Mapping[Node, Node]) -> dict[Node, Node]:
    """The roots with leaves in another form; what lies below a leaf is not looked at."""
    new = dict(form)

    def of(n: Node) -> Node:
        if n not in new:
            new[n] = node(n.op, *(of(a) for a in n.args), attr=n.attr)
        return new[n]

    return {n: of(n) for n in roots}
