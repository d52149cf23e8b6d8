"""The forward half of a plan."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import groupby

from ..graph.node import Node
from ..graph.widths import Width
from .places import Place, Sink, is_leaf, load
from .stages import FOREVER, Positions, Schedule, Stage, Work
from .step import Step


@dataclass(frozen=True)
class Product:
    """Matrices times one operand, into neighbouring positions of a panel.

    `params` are the matrices, one for each position from `first` on. A product that is `fresh` starts from zero, any
    other adds to what is there.
    """

    operand: Place
    width: Width
    first: int
    params: tuple[str, ...]
    fresh: bool


@dataclass(frozen=True)
class Forward:
    """What a step computes.

    enter: the states and operands before the first step. hoisted: products of inputs, for many steps at once.
    zeroed: positions into which only later products accumulate. products and stages: in order, stage by stage.
    """

    enter: Stage
    hoisted: tuple[Product, ...]
    zeroed: tuple[tuple[Width, int], ...]
    products: tuple[tuple[Product, ...], ...]
    stages: tuple[Stage, ...]
    panels: dict[Width, int]
    reductions: tuple[Place, ...]
    slots: dict[Width, int]
    loads: dict[Node, Node] = field(repr=False)


class Panels:
    """The slots of a step, placed so that those which one operand meets are neighbours."""

    def __init__(self, step: Step):
        self.step = step
        order = {place: i for i, place in enumerate(sorted(set(step.operands.values()), key=self._rank))}

        def signature(slot: Node) -> tuple[int, ...]:
            return tuple(sorted(order[step.operands[p.args[1]]] for p in slot.args))

        self.by_width: dict[Width, list[Node]] = {}
        for slot in sorted(step.slots, key=signature):
            self.by_width.setdefault(step.typing.of(slot), []).append(slot)
        self.place = {
            slot: Place("value", str(width), i)
            for width, slots in self.by_width.items()
            for i, slot in enumerate(slots)
        }

    def _rank(self, place: Place) -> tuple:
        """Inputs first: their products are made before all others."""
        return place.kind != "input", place.kind == "vector", place.name, place.index

    def runs(self) -> list[tuple[Place, Width, int, tuple[str, ...]]]:
        """(operand, width, first position, matrices) of every run of neighbours that meet one operand."""
        found = []
        for width, slots in self.by_width.items():
            for place in sorted({self.step.operands[p.args[1]] for s in slots for p in s.args}, key=self._rank):
                met = [(i, self._param(slot, place)) for i, slot in enumerate(slots)]
                for meets, group in groupby(met, key=lambda pair: pair[1] is not None):
                    if meets:
                        members = list(group)
                        found.append((place, width, members[0][0], tuple(str(name) for _, name in members)))
        return found

    def _param(self, slot: Node, place: Place) -> str | None:
        products = (p for p in slot.args if self.step.operands[p.args[1]] == place)
        return next((p.args[0].attr.name for p in products), None)


def planned_forward(
    step: Step, panels: Panels, *, every: bool, readable: dict[Node, Node], saved: Collection[Node] = ()
) -> Forward:
    """Schedule a step; `saved` are the values of which backward must be able to tell."""
    sinks = _sinks(step, every)
    positions = {width: Positions([FOREVER] * len(slots)) for width, slots in panels.by_width.items()}
    schedule = Schedule(
        sinks, step.typing, entering=step.entering, panel="value", operands=step.operands, slots=panels.place,
        positions=positions, readable=readable, saved=saved, names=step.names,
    )  # fmt: skip
    hoisted, zeroed, products = _products(panels, schedule)
    return Forward(
        enter=_enter(step),
        hoisted=hoisted,
        zeroed=zeroed,
        products=products,
        stages=schedule.stages,
        panels={width: len(p.until) for width, p in positions.items()},
        reductions=tuple(schedule.reductions.values()),
        slots={width: len(slots) for width, slots in panels.by_width.items()},
        loads={n: v for n, v in schedule.loads(lambda n: n in schedule.saved).items() if n in schedule.saved},
    )


def readable(step: Step) -> dict[Node, Node]:
    """The leaf of what lies in memory anyway: operands, and new states where the next step finds them.

    A new state is not there where a reset may stand between.
    """
    found = {v: step.typing.declare(load(*place), step.typing.of(v)) for v, place in step.operands.items()}
    for storage in step.states if not step.reset else ():
        new = step.new_states[storage.name]
        if new not in found and step.typing.of(new) == storage.width:
            found[new] = step.typing.declare(load("state", storage.name, shift=1), storage.width)
    return {n: leaf for n, leaf in found.items() if not is_leaf(n)}


def _sinks(step: Step, every: bool) -> list[Sink]:
    typing = step.typing
    width = {s.place: s.width for s in (*step.states, *step.vectors)}
    found = [Sink(Place("output"), step.output, typing.of(step.output))]
    found += [Sink(place, n, width[place._replace(shift=0)]) for place, n in step.as_entering(step.new_states).items()]
    if every:
        found += [Sink(Place("every", s.name), step.new_states[s.name], s.width) for s in step.states]
    return found + [Sink(Place("record", name), n, typing.of(n)) for name, n in step.records.items()]


def _enter(step: Step) -> Stage:
    """The states and operands that the first step finds, from the states that were passed in."""
    leaves = {s.name: step.typing.declare(load("initial", s.name), s.width) for s in step.states}
    width = {s.place: s.width for s in (*step.states, *step.vectors)}
    sinks = [Sink(p, n, width[p._replace(shift=0)]) for p, n in step.as_entering(leaves).items()]
    widths = dict.fromkeys(s.width for s in sinks)
    return tuple(Work(w, tuple(s for s in sinks if s.width == w)) for w in widths)


def _products(panels: Panels, schedule: Schedule):
    """(hoisted products, positions that begin as zero, the products of each stage)."""
    count = len(schedule.stages)
    ahead: list[Product] = []
    stages: list[list[Product]] = [[] for _ in range(count)]
    zeroed: set[tuple[Width, int]] = set()
    touched: set[tuple[Width, int]] = set()
    runs = [(_stage_of(run, panels, schedule), run) for run in panels.runs()]
    for stage, (place, width, first, params) in sorted(runs, key=lambda item: item[0]):
        members = {(width, first + i) for i in range(len(params))}
        fresh = not (members & touched)
        if not fresh:
            zeroed |= members - touched
        touched |= members
        product = Product(place, width, first, params, fresh)
        (ahead if stage < 0 else stages[stage]).append(product)
    return tuple(ahead), tuple(sorted(zeroed, key=str)), tuple(map(tuple, stages))


def _stage_of(run, panels: Panels, schedule: Schedule) -> int:
    """When the operand is there: −1 for inputs, whose products are hoisted."""
    place = run[0]
    if place.kind == "input":
        return -1
    operand = next(v for v, where in panels.step.operands.items() if where == place)
    return schedule._after(operand)
