"""What is kept and what is computed again: of all values that are wanted later, those that are dear."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator

from ..graph.node import Node, topological
from ..graph.ops import OPS
from ..graph.widths import SCALAR
from .places import Typing

DEAR = frozenset({"sigmoid", "tanh", "exp", "log", "softplus", "sqrt", "div", "pow"})
ELEMENTWISE = frozenset({"unary", "binary", "compare", "select"})
MOST_OPERATIONS = 8


class Cut:
    """Chooses which of the wanted values are kept.

    `free` tells what can be read at any time, and `kept` is what is kept already. A value is computed again where that
    takes a few cheap operations and at most one dear one (none for one value per sequence, which is cheap to keep).
    """

    def __init__(
        self, wanted: Collection[Node], free: Callable[[Node], bool], typing: Typing, kept: Collection[Node] = ()
    ):
        self.free, self.typing = free, typing
        self.kept: list[Node] = list(kept)
        values = list(_values(wanted))
        members = set(values)
        for n in topological(values):
            if n in members and n not in self.kept and not self.derivable(n):
                self.kept.append(n)

    def derivable(self, n: Node) -> bool:
        needed = self._needed(n)
        if needed is None:
            return False
        dear = sum(m.op in DEAR for m in needed)
        return dear <= (self.typing.of(n) != SCALAR) and len(needed) <= MOST_OPERATIONS

    def _needed(self, n: Node) -> set[Node] | None:
        """The operations that compute a value again; None where that is impossible."""
        kept, found, stack = set(self.kept), set(), [n]
        while stack:
            current = stack.pop()
            if current in kept or current in found or self.free(current):
                continue
            kind = OPS[current.op].kind if current.op in OPS else None
            if not current.args or not (kind in ELEMENTWISE or current.op == "spread"):
                return None
            found.add(current)
            stack += current.args
        return found


def _values(wanted: Iterable[Node]) -> Iterator[Node]:
    """What is wanted, with the two values that a condition compares in its place: no panel holds conditions."""
    for n in wanted:
        if n.op in OPS and OPS[n.op].kind == "compare":
            yield from _values(n.args)
        else:
            yield n
