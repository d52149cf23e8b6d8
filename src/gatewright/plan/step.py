"""One step over the leaves of a plan: what the graph says, with its masks, slots and operands found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..graph.expand import expand, expanded
from ..graph.graph import Graph
from ..graph.node import Node, const, node, rewrite, topological
from ..graph.simplify import drop_identity, fold_constant
from ..graph.widths import SCALAR, Width
from .merge import merged
from .places import Place, Typing, load, substituted
from .regularise import index_of
from .stages import CROSSING, REDUCTIONS

ZERO = const(0.0)


@dataclass(frozen=True)
class Chance:
    """A random mask: its probability, its number, how wide it is, and whether every step has its own."""

    probability: Node
    number: int
    width: Width
    per_step: bool


@dataclass(frozen=True)
class Storage:
    """Where a state or an operand is kept: row by row where a product reads it, else in a panel.

    `entering` tells that it is there before the step that reads it begins.
    """

    name: str
    width: Width
    rows: bool
    entering: bool = True
    initial: Node = ZERO

    @property
    def place(self) -> Place:
        return Place("vector", "", int(self.name)) if self.name.isdigit() else Place("state", self.name)


def settled(graph: Graph) -> Graph:
    """The equations in the form that the reverse sweep leaves them in: so both share their parts."""
    simpler = graph.mapped(_simpler)
    return graph if simpler == graph else settled(simpler)


def _simpler(n: Node) -> Node:
    return drop_identity(fold_constant(n))


def simple(nodes: list[Node]) -> dict[Node, Node]:
    """Nodes without composite operations, in the form of a settled graph."""
    form = rewrite(nodes, expand)
    while (next_ := rewrite(form.values(), _simpler)) and any(next_[n] is not n for n in form.values()):
        form = {n: next_[m] for n, m in form.items()}
    return form


class Step:
    """The equations of one step over leaves.

    Nodes come in three forms: the graph's own; over leaves; and with products in slots. `planned` takes nodes of the
    first form to the last, those of the gradient too, which share their parts with the step.
    """

    def __init__(self, graph: Graph, *, reset: bool = False, record: tuple[str, ...] = ()):
        self.composite = settled(graph)  # composite operations have adjoints of their own, with fewer sums
        self.graph = graph = settled(expanded(self.composite))
        self.typing, self.reset = Typing(graph), reset
        self.inputs = self._inputs()
        self.chances: dict[tuple, Chance] = {}
        watched = graph.watchable()
        roots = dict.fromkeys((*graph.results, *(watched[name] for name in record)))
        self._leafed = rewrite(roots, self._leaf)
        self._merged = merged([self._leafed[n] for n in roots], "linear", self.typing)
        new = {n: self._merged[self._leafed[n]] for n in roots}
        self.output = new[graph.output]
        self.new_states = {s.name: new[s.new] for s in graph.states}
        self.records = {name: new[watched[name]] for name in record}
        self.order = topological(new.values())
        self.slots = [n for n in self.order if n.op == "slot"]
        self.names = self._planned_names(watched)
        self.operands = self._find_operands()
        self.states = tuple(
            Storage(s.name, graph.widths.of_state(s.name), self._is_operand(s.name), initial=s.begins)
            for s in graph.states
        )

    def _inputs(self) -> dict[tuple[str, int], int]:
        """The input sequences: the cell's inputs, then each as it was k steps earlier."""
        found = {(name, 0): i for i, name in enumerate(self.graph.inputs)}
        back = {(n.args[0].attr, n.attr) for n in topological(self.graph.results) if n.op == "previous"}
        return found | {key: len(found) + i for i, key in enumerate(sorted(back))}

    def planned(self, roots: Iterable[Node]) -> dict[Node, Node]:
        """The plan's form of nodes over the graph's."""
        roots = list(roots)
        leafed = rewrite(roots, self._leaf)
        found = substituted([leafed[n] for n in roots], self._merged)
        return {n: found[leafed[n]] for n in roots}

    def _planned_names(self, watched: Mapping[str, Node]) -> dict[str, Node]:
        """The plan's form of everything that has a name; a slot is called after its matrices, as in `W_f + U_f`."""
        leafed = {name: self._leafed[n] for name, n in watched.items() if n in self._leafed}
        slots = {" + ".join(p.args[0].attr.name for p in slot.args): slot for slot in self.slots}
        return {name: self._merged[n] for name, n in leafed.items() if n in self._merged} | slots

    # -- leaves ----------------------------------------------------------------------------------

    def _leaf(self, n: Node) -> Node:
        """A node over leaves that say where they lie; arguments are so already."""
        match n.op:
            case "input":
                return self._declared(n, "input", index=self.inputs[n.attr, 0])
            case "previous":
                name = next(x for x in self.graph.inputs if n.args[0] is self._input_leaf(x))
                return self._declared(node("previous", node("input", attr=name), attr=n.attr), "input",
                                      index=self.inputs[name, n.attr])  # fmt: skip
            case "state":
                return self.typing.declare(load("state", n.attr), self.graph.widths.of_state(n.attr))
            case "chance":
                return self._chance(n)
            case "adjoint":
                width = self.typing.of(self.output) if n.attr == "output" else self.graph.widths.of_state(n.attr)
                return self.typing.declare(load("seed", n.attr), width)
            case "stop_gradient":
                return n.args[0]
            case "mean":
                return n.args[0] if self._single(n.args[0]) else node("div", node("sum", *n.args), self._count(n))
            case "sum" | "max" if self._single(n.args[0]):
                return n.args[0]
            case "units":
                return self._count(n)
            case "spread":
                return node("spread", n.args[0], self._like(n.args[1]))
            case "div" if self._single(n.args[1]) and not self._single(n.args[0]) and n.args[1].op != "const":
                return node("mul", n.args[0], node("div", const(1.0), n.args[1]))  # one division for all units
        return n

    def _input_leaf(self, name: str) -> Node:
        return load("input", index=self.inputs[name, 0])

    def _declared(self, n: Node, kind: str, index: int) -> Node:
        return self.typing.declare(load(kind, index=index), self.graph.widths.of(n))

    def _single(self, n: Node) -> bool:
        return self.typing.of(n) == SCALAR

    def _count(self, n: Node) -> Node:
        return self.typing.declare(load("units", str(self.typing.of(n.args[0]))), SCALAR)

    def _like(self, n: Node) -> Node:
        """A leaf that is as wide as a node, for what needs no more of it."""
        width = self.typing.of(n)
        return self.typing.declare(load("width", str(width)), width)

    def _chance(self, n: Node) -> Node:
        key = (n.args[0], n.attr)
        if key not in self.chances:
            self.chances[key] = Chance(n.args[0], index_of(n), self.typing.of(n.args[1]), n.attr[-1])
        return self.typing.declare(load("chance", index=list(self.chances).index(key)), self.chances[key].width)

    # -- operands --------------------------------------------------------------------------------

    def _find_operands(self) -> dict[Node, Place]:
        """Where the operand of each product, and of what else looks at other units, lies."""
        vectors = [p.args[1] for slot in self.slots for p in slot.args]
        vectors += [n.args[0] for n in self.order if n.op in CROSSING]
        found: dict[Node, Place] = {}
        self.vectors: list[Storage] = []
        for v in dict.fromkeys(vectors):
            if v.op == "load" and v.attr.kind in ("input", "state"):
                found[v] = v.attr
            else:
                storage = Storage(str(len(self.vectors)), self.typing.of(v), True, entering=self._enters(v))
                self.vectors.append(storage)
                found[v] = storage.place
        return found

    def _enters(self, v: Node) -> bool:
        """Whether a vector follows from the states and inputs alone, unit by unit."""
        return not any(n.op in ("slot", *CROSSING, *REDUCTIONS) for n in topological([v]))

    def _is_operand(self, state: str) -> bool:
        return any(v.op == "load" and v.attr[:2] == ("state", state) for v in self.operands)

    @property
    def entering(self) -> list[Node]:
        """The operands that are computed before the step."""
        return [v for v, place in self.operands.items() if place.kind == "vector" and self._enters(v)]

    def as_entering(self, new: Mapping[str, Node]) -> dict[Place, Node]:
        """What the step after this one finds: its states, from the new values, and the operands that follow."""
        states = {s.name: self._after_reset(s, new[s.name]) for s in self.states}
        found = {s.place._replace(shift=1): states[s.name] for s in self.states}
        later = {load("state", name): value for name, value in states.items()}
        for v in self.entering:
            found[self.operands[v]._replace(shift=1)] = self.shifted([v], later)[v]
        return found

    def _after_reset(self, state: Storage, new: Node) -> Node:
        if not self.reset:
            return new
        return node("where", self.flag(), state.initial, new)

    def flag(self) -> Node:
        """Whether the next step starts an episode."""
        return self.typing.declare(load("reset", shift=1), SCALAR)

    def shifted(self, roots: Iterable[Node], later: Mapping[Node, Node] | None = None) -> dict[Node, Node]:
        """The same nodes one step later; `later` has what stands for leaves that are no sequences."""
        roots = list(roots)
        new = dict(later or {})
        for n in topological(roots):
            if n.op == "load" and n not in new and n.attr.kind in ("input", "chance", "reset"):
                new[n] = self.typing.declare(
                    load(n.attr.kind, n.attr.name, n.attr.index, n.attr.shift + 1), self.typing.of(n)
                )
        return substituted(roots, new)
