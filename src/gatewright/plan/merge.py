"""Products that are only added up are one: a slot, into which matrix products accumulate.

(W_i x + U_i h) + b_i   →   slot(W_i x, U_i h) + b_i
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator

from ..graph.node import Node, node, topological
from .places import Typing

SLOTS = {"linear": "slot", "linear_t": "tslot"}


def sum_of(terms: Iterable[Node]) -> Node:
    """The sum of one or more nodes, in their order."""
    first, *others = terms
    for other in others:
        first = node("add", first, other)
    return first


def addends(n: Node) -> list[Node]:
    """What a tree of additions adds up, in order."""
    found, stack = [], [n]
    while stack:
        current = stack.pop()
        if current.op == "add":
            stack += reversed(current.args)
        else:
            found.append(current)
    return found


def merged(roots: Collection[Node], product: str, typing: Typing) -> dict[Node, Node]:
    """The new form of every node: each `product` ("linear" or "linear_t") stands in a slot."""
    return _Merge(roots, product, typing).run()


class _Merge:
    def __init__(self, roots: Collection[Node], product: str, typing: Typing):
        self.order = topological(roots)
        self.product, self.typing = product, typing
        self.uses = Counter(a for n in self.order for a in n.args) + Counter(roots)
        adders = {a: n for n in self.order if n.op == "add" for a in n.args}
        self.inner = {n for n in self.order if n.op == "add" and self.uses[n] == 1 and n in adders}
        self.new: dict[Node, Node] = {}

    def run(self) -> dict[Node, Node]:
        for n in self.order:
            self.new[n] = self._merged(n)
        return self.new

    def _merged(self, n: Node) -> Node:
        if n.op == self.product:
            return node(SLOTS[self.product], self._rebuilt(n))
        if n.op == "add" and n not in self.inner:
            terms = list(self._terms(n))
            if products := [t for t in terms if self._can_merge(t, n)]:
                rest = [self.new[t] for t in terms if t not in products]
                return sum_of([*self._slots(products), *rest])
        return self._rebuilt(n)

    def _rebuilt(self, n: Node) -> Node:
        args = tuple(self.new[a] for a in n.args)
        return n if args == n.args else node(n.op, *args, attr=n.attr)

    def _terms(self, n: Node) -> Iterator[Node]:
        for a in n.args:
            if a in self.inner:
                yield from self._terms(a)
            else:
                yield a

    def _can_merge(self, term: Node, whole: Node) -> bool:
        alone = term.op == self.product and self.uses[term] == 1
        return alone and self.typing.of(term) == self.typing.of(whole)

    def _slots(self, products: list[Node]) -> list[Node]:
        """One slot, or more where a vector meets two matrices: a panel has one place for each."""
        groups: list[list[Node]] = []
        for p in map(self._rebuilt, products):
            free = (g for g in groups if self.product == "linear_t" or all(p.args[1] is not q.args[1] for q in g))
            group = next(free, None)
            if group is None:
                groups.append(group := [])
            group.append(p)
        return [node(SLOTS[self.product], *g) for g in groups]
