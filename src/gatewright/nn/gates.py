"""Which gates keep a state and which let something in, worked out from the equations.

    c = f ⊙ c + i ⊙ g          f keeps c, i lets in
    h = (1 − z) ⊙ n + z ⊙ h    z keeps h; what it keeps, nothing else has to let in

A new state is a sum of terms. The factors of a term with the state's old value keep it; the gates in the others let
in. Behind `repeat`, 1 − z, f / (f + i) and a multiple stands the same gate.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from ..graph import Graph, Node
from ..graph.graph import State

OPEN = frozenset({"sigmoid", "exp"})
"""What a gate that lets in is made by; a candidate may be of any other kind."""


class Bias(NamedTuple):
    """A bias that moves a gate: its name, the direction, and whether the gate is an exponential of it."""

    name: str
    sign: float
    exponential: bool


class Gate(NamedTuple):
    """A gate of a state: its name and node; 1 where it is the factor itself, −1 where 1 minus it is; its biases."""

    state: str
    name: str
    sign: float
    node: Node
    biases: tuple[Bias, ...]


@lru_cache(maxsize=512)
def keepers(graph: Graph) -> tuple[Gate, ...]:
    """The named gates that multiply a state's old value."""
    found = {}
    for state in graph.states:
        for factors in _terms(state):
            if state.old in factors:
                for gate in _gates(graph, state, factors):
                    found.setdefault((state.name, gate.name), gate)
    return tuple(found.values())


@lru_cache(maxsize=512)
def openers(graph: Graph) -> tuple[Gate, ...]:
    """The named gates that let something into a state that a gate keeps, those that keep one apart."""
    keeping = {gate.node for gate in keepers(graph)}
    kept = {gate.state for gate in keepers(graph)}
    found = {}
    for state in graph.states:
        for factors in _terms(state) if state.name in kept else ():
            for gate in _gates(graph, state, factors) if state.old not in factors else ():
                if gate.node not in keeping and gate.node.op in OPEN:
                    found.setdefault(gate.name, gate)
    return tuple(found.values())


def _terms(state: State) -> Iterator[list[Node]]:
    """The factors of every addend of a new state."""
    for term in _chain(state.new, ("add", "sub")):
        yield _chain(term, ("mul",))


def _gates(graph: Graph, state: State, factors: list[Node]) -> Iterator[Gate]:
    names = {n: name for name, n in reversed(graph.equations) if n.op != "param"}
    for factor in factors:
        sign, node = _behind(factor, names)
        if node is not None and node is not state.old:
            yield Gate(state.name, names[node], sign, node, _biases_of(names[node], node))


def _behind(factor: Node, names: dict[Node, str]) -> tuple[float, Node | None]:
    """The gate in a factor, and its sign: the innermost value that has a name."""
    found: tuple[float, Node | None] = (1.0, factor if factor in names else None)
    sign = 1.0
    while (inner := _inside(factor)) is not None:
        turn, factor = inner
        sign *= turn
        if factor in names:
            found = sign, factor
    return found


def _inside(n: Node) -> tuple[float, Node] | None:
    """What a factor is a plain function of: f in repeat(f, 2), f / (f + i) and 2 f; −1 and z in 1 − z."""
    match n.op:
        case "repeat" | "div":
            return 1.0, n.args[0]
        case "neg":
            return -1.0, n.args[0]
        case "sub" if n.args[0].op == "const":
            return -1.0, n.args[1]
        case "mul" if (pair := _multiple(n)) is not None:
            return pair
    return None


def _multiple(n: Node) -> tuple[float, Node] | None:
    """The sign of a constant and what it multiplies."""
    for number, other in (n.args, n.args[::-1]):
        if number.op == "const" and number.attr:
            return (1.0 if number.attr > 0 else -1.0), other
    return None


def _chain(n: Node, ops: tuple[str, ...]) -> list[Node]:
    out, stack = [], [n]
    while stack:
        current = stack.pop()
        if current.op in ops:
            stack.extend(reversed(current.args))
        else:
            out.append(current)
    return out


# -- biases ----------------------------------------------------------------------------------------------------


def _biases_of(name: str, gate: Node) -> tuple[Bias, ...]:
    """The biases of a gate: those that bear its name, where any does (others may only reach it)."""
    found: dict[str, Bias] = {}
    for bias in _biases(gate):
        found.setdefault(bias.name, bias)
    own = [bias for bias in found.values() if f"{bias.name}_".startswith(f"b_{name}_")]
    return tuple(own or found.values())


RISING = frozenset({"sigmoid", "tanh", "relu", "softplus", "exp", "log", "sqrt", "repeat"})


def _biases(gate: Node) -> Iterator[Bias]:
    """Every bias that moves a value in one direction, the next ones first."""
    stack: list[tuple[Node, float, bool]] = [(gate, 1.0, gate.op == "exp")]
    while stack:
        n, sign, exponential = stack.pop()
        if n.op == "param" and n.attr.kind == "b":
            yield Bias(n.attr.name, sign, exponential)
        elif n.op in RISING:
            stack.append((n.args[0], sign, exponential and n.op not in ("sigmoid", "softplus")))
        elif n.op in ("add", "maximum", "minimum"):
            stack += [(a, sign, exponential) for a in reversed(n.args)]
        elif n.op == "sub":
            stack += [(n.args[1], -sign, exponential), (n.args[0], sign, exponential)]
        elif (inner := _inside(n)) is not None:
            turn, inside = inner
            stack.append((inside, sign * turn, exponential))
