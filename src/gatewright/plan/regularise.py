"""Regularisers as equations: a rewritten graph says what they do, and every backend runs it as any other.

    g = … U_g h …   →   g = … U_g (h ⊙ where(chance, 0, 1 / (1 − p))) …      recurrent dropout, in training
    h = …           →   h = where(chance, h_{t−1}, …)                        zoneout, in training
    h = …           →   h = p ⊙ h_{t−1} + (1 − p) ⊙ …                        zoneout, in evaluation

`chance` is true with probability p, unit by unit. Its first argument is p, its second a value that is as wide as it is
and otherwise means nothing. Its attribute is (kind, name, index, per_step): "dropout" or "zoneout", of which vector or
state, its number among the masks of the graph, and whether it is drawn at every step or once a call.

The random numbers of a mask are those of one stream: `stream(layer, direction, index)`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from ..graph.errors import suggestion
from ..graph.graph import Graph, State
from ..graph.node import Node, const, node, topological
from ..graph.ops import SQUASHING

Rates = float | Mapping[str, float]
"""One probability for all, or one for each name."""
Rated = tuple[tuple[str, float], ...]


def regularised(graph: Graph, *, recurrent_dropout: Rates = 0.0, zoneout: Rates = 0.0, training: bool) -> Graph:
    """The equations with recurrent dropout and zoneout in them; in evaluation dropout is off.

    Args:
        recurrent_dropout: probability that a unit of a vector is 0 where it enters a recurrent product (one with a
            matrix U); by equation, `{"g": 0.2}`, for the products in that equation alone.
        zoneout: probability that a unit of a state keeps its old value; by state, `{"h": 0.1, "c": 0.5}`.
        training: whether masks are drawn; else what is left is the expectation.

    Raises:
        ValueError, TypeError: a rate is no probability, or of nothing that these equations have.
    """
    dropped = rates("recurrent_dropout", recurrent_dropout, tuple(recurrent_matrices(graph)), "recurrent product of")
    held = rates("zoneout", zoneout, tuple(s.name for s in graph.states), "state")
    return _regularised(graph, dropped if training else (), held, training)


@lru_cache(maxsize=256)
def _regularised(graph: Graph, dropped: Rated, held: Rated, training: bool) -> Graph:
    graph = _with_dropout(graph, dict(dropped)) if dropped else graph
    return _with_zoneout(graph, dict(held), training) if held else graph


# -- which random numbers --------------------------------------------------------------------------------------


def stream(layer: int, direction: int, index: int = 0) -> int:
    """The stream of random numbers of one mask; without an index where those of a layer and direction begin."""
    return layer << 16 | direction << 15 | index


@lru_cache(maxsize=512)
def chances(graph: Graph) -> tuple[Node, ...]:
    """The masks of a graph, by their index. Those of weights have the indices behind them."""
    found = [n for n in topological(graph.roots) if n.op == "chance"]
    return tuple(sorted(found, key=index_of))


def index_of(chance: Node) -> int:
    """The number of a mask among those of its graph."""
    _, _, index, _ = chance.attr
    return index


# -- rates -----------------------------------------------------------------------------------------------------


def rates(argument: str, given: Rates, names: Sequence[str], what: str) -> Rated:
    """(name, rate) of everything whose rate is not 0; a single rate is that of all names."""
    if not isinstance(given, Mapping):
        p = rate(argument, given)
        if p and not names:
            raise ValueError(f"{argument}: expected 0, got {p}; the cell has no {what.removesuffix(' of')}")
        return tuple((name, p) for name in names if p)
    for name in given:
        if name not in names:
            known = ", ".join(names) or "none"
            raise ValueError(f"{argument}: there is no {what} {name!r}{suggestion(name, names)} (there are {known})")
    found = {name: rate(f"{argument}[{name!r}]", p) for name, p in given.items()}
    return tuple((name, found[name]) for name in names if found.get(name))


def rate(argument: str, given: object) -> float:
    """A probability below 1: what is always dropped cannot be scaled up again."""
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise TypeError(f"{argument}: expected a probability, got {given!r}")
    if not 0 <= given < 1:
        raise ValueError(f"{argument}: expected a probability from 0 to below 1, got {given}")
    return float(given)


# -- recurrent dropout -----------------------------------------------------------------------------------------


def recurrent_matrices(graph: Graph) -> dict[str, tuple[Node, ...]]:
    """The matrices U of each equation that has any: of the products that stand in it, else those named after it."""
    named = set(graph.roots)
    found: dict[str, tuple[Node, ...]] = {}
    for name, root in graph.equations:
        matrices = [n.args[0] for n in topological([root]) if n.op == "linear" and n.args[0].attr.kind == "U"]
        own = {a for n in _standing_in(root, named) for a in n.args}
        standing = [u for u in matrices if u in own]
        called = [u for u in matrices if f"{u.attr.name}_".startswith(f"U_{name}_")]
        if standing or called:
            found[name] = tuple(standing or called)
    return found


def _standing_in(root: Node, named: set[Node]) -> set[Node]:
    """The nodes of an equation, without those of another equation whose value it takes."""
    seen, stack = {root}, [root]
    while stack:
        for a in stack.pop().args:
            if a not in seen and a not in named:
                seen.add(a)
                stack.append(a)
    return seen


def _with_dropout(graph: Graph, by_equation: Mapping[str, float]) -> Graph:
    """U_g h  →  U_g (h ⊙ where(chance, 0, 1 / (1 − p))), with one mask for each vector and rate."""
    matrices = recurrent_matrices(graph)
    probability = {u: p for name, p in by_equation.items() for u in matrices[name]}
    attrs: dict[tuple[Node, float], tuple[str, str, int, bool]] = {}
    of: dict[Node, tuple[str, str, int, bool]] = {}  # by matrix, since the rule below meets vectors already rewritten
    for n in topological(graph.roots):
        if n.op == "linear" and n.args[0] in probability:
            u, v = n.args
            fresh = ("dropout", _called(graph, v, u), len(attrs), False)
            of[u] = attrs.setdefault((v, probability[u]), fresh)

    def rule(n: Node) -> Node:
        if n.op != "linear" or n.args[0] not in of:
            return n
        u, v = n.args
        p = probability[u]
        scale = node("where", node("chance", const(p), v, attr=of[u]), const(0.0), const(1 / (1 - p)))
        return node("linear", u, node("mul", v, scale))

    return graph.mapped(rule)


def _called(graph: Graph, vector: Node, matrix: Node) -> str:
    """The name of a vector; where it has none, that of the first matrix that it meets."""
    if vector.op in ("state", "input"):
        return vector.attr
    return next((name for name, n in graph.equations if n is vector), matrix.attr.name)


# -- zoneout ---------------------------------------------------------------------------------------------------


def _with_zoneout(graph: Graph, by_state: Mapping[str, float], training: bool) -> Graph:
    """c = …  →  c = where(chance, c_{t−1}, …). Other equations of the step still see the value before mixing."""
    index = len(chances(graph))
    mixed: dict[str, Node] = {}
    for state in graph.states:
        if p := by_state.get(state.name):
            mixed[state.name] = _chosen(state, p, index + len(mixed)) if training else _expected(state, p)
    states = tuple(replace(s, new=mixed.get(s.name, s.new)) for s in graph.states)
    equations: list[tuple[str, Node]] = []
    for name, n in graph.equations:
        if name in mixed and n.op in SQUASHING and f"{name}_pre" not in graph.names:
            equations.append((f"{name}_pre", n.args[0]))  # h is no squashing any more, but h_pre stays its argument
        equations.append((name, mixed.get(name, n)))
    return replace(graph, states=states, equations=tuple(equations))


def _chosen(state: State, p: float, index: int) -> Node:
    chance = node("chance", const(p), state.old, attr=("zoneout", state.name, index, True))
    return node("where", chance, state.old, state.new)


def _expected(state: State, p: float) -> Node:
    return node("add", node("mul", const(p), state.old), node("mul", const(1 - p), state.new))
