"""The backward half of a plan.

A step back in time begins with the products that the step after it left behind: the adjoint of what entered step t+1
is computed from the gradients of its slots at step t, where it is needed, and so one product and one loop over
units serve both. What is added to such a product without one is carried from step to step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..gradient import reverse
from ..graph.node import Node, const, node, topological
from ..graph.ops import OPS
from ..graph.widths import SCALAR, Width
from .forward import Forward, Panels
from .merge import addends, merged, sum_of
from .places import Place, Sink, is_leaf, load, substituted
from .stages import CROSSING, FOREVER, REDUCTIONS, Positions, Schedule, Stage, Work
from .step import Step, simple

ZERO, ONE = const(0.0), const(1.0)


@dataclass(frozen=True)
class Term:
    """A run of neighbours in a panel of adjoints, and the matrices that they meet transposed."""

    width: Width
    first: int
    params: tuple[str, ...]


@dataclass(frozen=True)
class Transposed:
    """Σ Uᵀ g over some slots' gradients: the adjoint of an operand."""

    index: int
    width: Width
    terms: tuple[Term, ...]


@dataclass(frozen=True)
class Backward:
    """What a step back in time computes.

    rotated: products of the gradients of the step after this one, which come before the first stage. products and
    stages: in order. epilogue: the adjoints of the states that were passed in. carries: the width of each.
    starts: where the adjoint of a final state is put before its sequence's last step. rests: the inputs whose adjoint
    has a part that is no product. totals: the vector parameters, and the width over which each is summed.
    """

    rotated: tuple[Transposed, ...]
    products: tuple[tuple[Transposed, ...], ...]
    stages: tuple[Stage, ...]
    epilogue: Stage
    carries: tuple[Width, ...]
    starts: dict[str, Place]
    rests: tuple[int, ...]
    totals: dict[str, Width]
    panels: dict[Width, int]
    reductions: tuple[Place, ...]
    operands: tuple[Width, ...]


class Reversed:
    """One step backwards, over the leaves of a plan; `wanted` are the step's values that it needs."""

    def __init__(self, step: Step, panels: Panels):
        self.step, self.panels, self.typing = step, panels, step.typing
        self.gradient = gradient = reverse(step.composite).mapped(simple)
        plain = step.planned([*gradient.roots, *gradient.named.values()])
        self.slot_gradients: dict[Node, Node] = {}
        self.totals: dict[str, Node] = {}
        for name, n in gradient.params.items():
            for term in addends(plain[n]):
                self._parameter(name, term)
        inputs = {(x, 0): n for x, n in gradient.inputs.items()} | dict(gradient.previous)
        self.rests = {step.inputs[key]: rest for key, n in inputs.items() if (rest := self._rest(plain[n]))}
        self.states = {name: plain[n] for name, n in gradient.states.items()}
        self._merge()
        self.names = {name: n for name, n in self._adjoint_names(plain) if not is_leaf(n)}
        known = set(step.order)
        self.wanted = [
            a for n in topological(self.roots) if n not in known for a in n.args if a in known and not is_leaf(a)
        ]
        self.wanted += [n for n in self.roots if n in known and not is_leaf(n)]

    @property
    def roots(self) -> list[Node]:
        return [n for part in self._parts() for n in part.values()]

    def _parts(self) -> list[dict[Any, Node]]:
        return [self.slot_gradients, self.totals, self.rests, self.states]

    def _parameter(self, name: str, term: Node) -> None:
        if term.op == "outer":
            self.slot_gradients[self._slot_of(name, term.args[1])] = term.args[0]
        elif term.op == "total":
            self.totals[name] = term.args[0]
        elif term is not ZERO:
            raise AssertionError(f"the gradient of {name} is neither a matrix's nor a vector's: {term}")

    def _slot_of(self, param: str, operand: Node) -> Node:
        return next(s for s in self.step.slots for p in s.args if p.args[0].attr.name == param and p.args[1] is operand)

    def _rest(self, adjoint: Node) -> Node | None:
        """What an input's adjoint has beside the products of its hoisted matrices."""
        rest = [t for t in addends(adjoint) if not self._is_hoisted(t) and t is not ZERO]
        return sum_of(rest) if rest else None

    def _is_hoisted(self, term: Node) -> bool:
        name = term.args[0].attr.name if term.op == "linear_t" else None
        products = (p for s in self.step.slots for p in s.args if p.args[0].attr.name == name)
        return any(self.step.operands[p.args[1]].kind == "input" for p in products)

    def _adjoint_names(self, plain: Mapping[Node, Node]) -> Iterator[tuple[str, Node]]:
        """The adjoints that backward computes, as ∂ and the value's name."""
        for name, n in self.gradient.named.items():
            if plain[n] in self.merged:
                yield f"∂{name}", self.merged[plain[n]]

    def _merge(self) -> None:
        self.merged = new = merged(self.roots, "linear_t", self.typing)
        for part in self._parts():
            for key, n in part.items():
                part[key] = new[n]


class Rotation:
    """Takes the states' adjoints apart: into products that can wait for the step before, and what is carried."""

    def __init__(self, back: Reversed):
        self.back, self.step, self.typing = back, back.step, back.typing
        inside = {n for part in (back.slot_gradients, back.totals, back.rests) for n in part.values()}
        inside = set(topological(inside))
        order = topological(back.states.values())
        # what looks at other units needs a stage of its own, and the epilogue has none
        inside |= set(topological(a for n in order if n.op in (*CROSSING, *REDUCTIONS) for a in n.args))
        self.rotated = [n for n in order if n.op == "tslot" and n not in inside and self.typing.of(n) != SCALAR]
        self.results = {n: Place("product", "", i) for i, n in enumerate(self.rotated)}
        self.late: set[Node] = set(self.rotated)
        for n in order:
            if any(a in self.late for a in n.args):
                self.late.add(n)
        self.carried: list[tuple[Node, Width]] = []
        self.seen: dict[Node, Node] = {}
        self.starts: dict[str, Place] = {}
        self.entering = {name: self._entering(name, n) for name, n in back.states.items()}

    def _entering(self, name: str, adjoint: Node) -> Node:
        """The adjoint of a state as it enters step t+1, over what step t finds."""
        width = self.step.graph.widths.of_state(name)
        terms = self._terms(adjoint)
        late = [self._late(t) for t in terms if t in self.late]
        rest = [t for t in terms if t not in self.late and t is not ZERO]
        alone = [n for n in late if n.op == "load" and self._uses(n) == 1]
        if not rest and alone:
            self.starts[name] = alone[0].attr
            return sum_of(late)
        carry = self._carry(sum_of(rest) if rest else ZERO, width)
        self.starts[name] = carry.attr
        return sum_of([*late, carry])

    def _terms(self, n: Node) -> list[Node]:
        """The addends of a node, as far down as a late product is among them."""
        if n.op == "add" and n in self.late:
            return [t for a in n.args for t in self._terms(a)]
        return [n]

    def _uses(self, leaf: Node) -> int:
        """How often a product is used in the adjoints of all states."""
        product = next(n for n, place in self.results.items() if place == leaf.attr)
        users = sum(n.args.count(product) for n in topological(self.back.states.values()))
        return users + sum(n is product for n in self.back.states.values())

    def _late(self, n: Node) -> Node:
        """A node of step t+1 as step t sees it."""
        if n not in self.seen:
            self.seen[n] = self._seen_later(n)
        return self.seen[n]

    def _seen_later(self, n: Node) -> Node:
        if n in self.results:
            return self.typing.declare(load(*self.results[n]), self.typing.of(n))
        if n in self.late:
            terms = self._terms(n) if n.op == "add" else []
            if rest := [t for t in terms if t not in self.late]:
                late = [self._late(t) for t in terms if t in self.late]
                return sum_of([*late, self._carry(sum_of(rest), self.typing.of(n))])
            if n.op == "div" and not self._is_known_later(n.args[1]):
                # what is carried is 0 before a sequence's last step, so nothing may be divided by it
                n = node("mul", n.args[0], node("div", ONE, n.args[1]))
            return node(n.op, *(self._late(a) for a in n.args), attr=n.attr)
        if self._is_known_later(n):
            return self.step.shifted([n])[n]
        if n.op in OPS and OPS[n.op].kind == "compare":
            return node(n.op, *(self._late(a) for a in n.args))
        return self._carry(n, self.typing.of(n))

    @staticmethod
    def _is_known_later(n: Node) -> bool:
        """Whether step t can compute a value of step t+1 for itself: weights and masks, and what follows from them."""
        leaves = (m for m in topological([n]) if is_leaf(m))
        return all(m.op != "load" or m.attr.kind in ("chance", "width", "units") for m in leaves)

    def _carry(self, value: Node, width: Width) -> Node:
        self.carried.append((value, width))
        return self.typing.declare(load("carry", index=len(self.carried) - 1), width)

    def seeds(self, every: bool) -> dict[Node, Node]:
        """What comes into the step for each state and for the output."""
        found = {load("seed", "output"): self._given("output", self.typing.of(self.step.output))}
        for s in self.step.states:
            adjoint = self.after_reset(s.name)
            if every:
                adjoint = node("add", adjoint, self._given(s.name, s.width))
            found[load("seed", s.name)] = adjoint
        return found

    def after_reset(self, name: str) -> Node:
        entering = self.entering[name]
        return node("where", self.step.flag(), ZERO, entering) if self.step.reset else entering

    def of_starts(self) -> list[Sink]:
        """The adjoints of the parameters that states begin with: what a reset keeps from the old state."""
        if not self.step.reset:
            return []
        return [
            Sink(Place("total", start.attr.name), node("where", self.step.flag(), self.entering[name], ZERO), width)
            for name, start in self.step.graph.starts.items()
            for width in (self.step.graph.widths.of_state(name),)
        ]

    def _given(self, name: str, width: Width) -> Node:
        return self.typing.declare(load("given", name), width)


def planned_backward(back: Reversed, forward: Forward, readable: dict[Node, Node], *, every: bool) -> Backward:
    """Schedule a step back in time, over what the forward step has kept."""
    step, typing = back.step, back.typing
    rotation = Rotation(back)
    sinks = _sinks(back, rotation)
    new = substituted([s.value for s in sinks], {**rotation.seeds(every), **readable, **forward.loads})
    sinks = [Sink(s.place, new[s.value], s.width) for s in sinks]
    names = {name: new[n] for name, n in {**step.names, **back.names}.items() if n in new}
    order = topological(s.value for s in sinks)
    tslots = [n for n in order if n.op == "tslot"]
    count = len(rotation.rotated)
    results = {n: Place("product", "", count + i) for i, n in enumerate(tslots)}
    crossed = list(dict.fromkeys(n.args[0] for n in order if n.op in CROSSING))
    operands = {v: Place("operand", "", i) for i, v in enumerate(crossed)}
    positions = {w: Positions([FOREVER] * len(slots)) for w, slots in back.panels.by_width.items()}
    schedule = Schedule(
        sinks, typing, entering=(), panel="adjoint", operands=operands, slots={}, positions=positions, readable={},
        results=results, names=names,
    )  # fmt: skip
    where = _adjoint_places(back)
    products: list[list[Transposed]] = [[] for _ in schedule.stages]
    for n in tslots:
        products[schedule.level[n]].append(_transposed(n, results[n].index, where, typing.of(n)))
    return Backward(
        rotated=tuple(_transposed(n, rotation.results[n].index, where, typing.of(n)) for n in rotation.rotated),
        products=tuple(map(tuple, products)),
        stages=schedule.stages,
        epilogue=_epilogue(step, rotation),
        carries=tuple(width for _, width in rotation.carried),
        starts=rotation.starts,
        rests=tuple(back.rests),
        totals={s.place.name: s.width for s in sinks if s.place.kind == "total"},
        panels={width: len(p.until) for width, p in positions.items()},
        reductions=tuple(schedule.reductions.values()),
        operands=tuple(typing.of(v) for v in crossed),
    )


def _sinks(back: Reversed, rotation: Rotation) -> list[Sink]:
    typing, panels = back.typing, back.panels
    found = []
    for slot, place in panels.place.items():
        gradient = back.slot_gradients.get(slot, ZERO)
        found.append(Sink(place._replace(kind="adjoint"), gradient, typing.of(slot)))
    widths = {p.attr.name: back.step.graph.widths.of(p) for p in back.step.graph.params}
    for name, value in back.totals.items():
        if widths[name] == SCALAR and value.op == "sum":  # lanes are added up once, at the end
            found.append(Sink(Place("total", name), value.args[0], typing.of(value.args[0])))
        else:
            found.append(Sink(Place("total", name), value, widths[name]))
    found += [Sink(Place("carry", "", i), value, width) for i, (value, width) in enumerate(rotation.carried)]
    found += rotation.of_starts()
    leaf = {i: load("input", index=i) for i in back.rests}
    return found + [Sink(Place("input_adjoint", "", i), n, typing.of(leaf[i])) for i, n in back.rests.items()]


def _adjoint_places(back: Reversed) -> dict[str, tuple[Width, int]]:
    """The width and position of each matrix's slot."""
    place = back.panels.place
    return {p.args[0].attr.name: (back.typing.of(slot), place[slot].index) for slot in place for p in slot.args}


def _transposed(n: Node, index: int, where: dict[str, tuple[Width, int]], width: Width) -> Transposed:
    names = sorted((p.args[0].attr.name for p in n.args), key=lambda name: (str(where[name][0]), where[name][1]))
    runs: list[list[str]] = []
    for name in names:
        slot_width, position = where[name]
        if runs and where[runs[-1][-1]] == (slot_width, position - 1):
            runs[-1].append(name)
        else:
            runs.append([name])
    return Transposed(index, width, tuple(Term(*where[run[0]], tuple(run)) for run in runs))


def _epilogue(step: Step, rotation: Rotation) -> Stage:
    sinks = [Sink(Place("initial_adjoint", s.name), rotation.after_reset(s.name), s.width) for s in step.states]
    return _by_width([*sinks, *rotation.of_starts()])


def _by_width(sinks: Iterable[Sink]) -> Stage:
    sinks = list(sinks)
    widths = dict.fromkeys(s.width for s in sinks)
    return tuple(Work(w, tuple(s for s in sinks if s.width == w)) for w in widths)
