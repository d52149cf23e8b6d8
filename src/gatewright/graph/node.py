"""The one node type. Nodes are immutable and hash-consed: equal nodes are the same object.

So a common subexpression exists once, equality is identity, and a pass that changes nothing
returns the very graph it was given.
"""

from __future__ import annotations

import math
import struct
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from .errors import CellError


class Param(NamedTuple):
    """What a parameter node carries.

    `kind` is W (product with an input), U (any other product), b (bias), p (diagonal), gain or start (of a
    learned state); `width` is the symbol of its rows, or None where they follow the vector that it meets.
    """

    kind: str
    name: str
    width: str | None


class Node:
    """One operation of a cell: `op` names a row of the tables, `args` are nodes, `attr` is the rest.

    `attr` is the value of a constant, the name of an input or state, the `Param` of a parameter, the k of
    `previous`, the n of `repeat` and the (kind, name, index, per_step) of a `chance`.
    """

    __slots__ = ("__weakref__", "args", "attr", "op")
    op: str
    args: tuple[Node, ...]
    attr: Any

    def __init__(self, op: str, args: tuple[Node, ...], attr: Hashable):
        for slot, value in (("op", op), ("args", args), ("attr", attr)):
            object.__setattr__(self, slot, value)

    def __setattr__(self, name: str, value: object):
        raise AttributeError(f"a node is immutable: cannot set {name!r}")

    def __reduce__(self):
        return _remade, (self.op, self.args, self.attr)

    def __deepcopy__(self, memo: dict) -> Node:
        return self

    def __repr__(self) -> str:
        inside = ", ".join(argument.op for argument in self.args)
        attr = "" if self.attr is None else f"[{self.attr}]"
        return f"<{self.op}{attr}({inside})>"


_interned: WeakValueDictionary[tuple, Node] = WeakValueDictionary()
_lock = threading.Lock()


def node(op: str, *args: Node, attr: Hashable = None) -> Node:
    """The node with this operation, these arguments and this attribute."""
    # 0.0 and -0.0 are equal in Python, but 1/x tells them apart: constants are keyed by their bits.
    key = (op, args, struct.pack("<d", attr) if op == "const" else attr)
    with _lock:
        found = _interned.get(key)
        if found is None:
            found = _interned[key] = Node(op, args, attr)
        return found


def _remade(op: str, args: tuple[Node, ...], attr: Hashable) -> Node:
    """An unpickled node is the same as any other node that is equal."""
    return node(op, *args, attr=attr)


def const(value: float) -> Node:
    """A number. NaN is refused: it can only be a mistake, and nothing compares equal to it."""
    value = float(value)
    if math.isnan(value):
        raise CellError("a constant of a cell is NaN: give a number")
    return node("const", attr=value)


def is_const(n: Node, value: float) -> bool:
    return n.op == "const" and n.attr == value and math.copysign(1, n.attr) == math.copysign(1, value)


def topological(roots: Iterable[Node]) -> list[Node]:
    """All nodes that the roots need, arguments before their users; no recursion, so depth is no limit."""
    order: list[Node] = []
    seen: set[Node] = set()
    stack: list[tuple[Node, Iterator[Node]]] = []
    for root in roots:
        if root in seen:
            continue
        seen.add(root)
        stack.append((root, iter(root.args)))
        while stack:
            current, rest = stack[-1]
            following = next((a for a in rest if a not in seen), None)
            if following is None:
                order.append(current)
                stack.pop()
            else:
                seen.add(following)
                stack.append((following, iter(following.args)))
    return order


def rewrite(roots: Iterable[Node], rule: Callable[[Node], Node]) -> dict[Node, Node]:
    """Apply `rule` to every node, arguments first; gives the new node of each old one."""
    new: dict[Node, Node] = {}
    for old in topological(roots):
        args = tuple(new[a] for a in old.args)
        new[old] = rule(old if args == old.args else node(old.op, *args, attr=old.attr))
    return new
