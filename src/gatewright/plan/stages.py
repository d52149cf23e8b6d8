"""Stages: what can run between two matrix products of a step.

A value that another unit needs (the operand of a product, a sum over units, a repeated unit) ends a stage: where
units are split over threads they wait for each other there. Within a stage every width is one loop over its units:
first its products, then the equations on what they have just written.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from ..graph.node import Node, node, topological
from ..graph.widths import SCALAR, Width
from .cut import Cut
from .places import Place, Sink, Typing, is_leaf, load, substituted

CROSSING = frozenset({"repeat", "block_sum"})
REDUCTIONS = frozenset({"sum", "max"})


@dataclass(frozen=True)
class Work:
    """The equations of one width in one stage: where what goes, over the leaves of `places`.

    `names` are for readers alone: what the values are called in the cell's equations.
    """

    width: Width
    sinks: tuple[Sink, ...]
    names: tuple[tuple[Node, str], ...] = field(default=(), compare=False)


Stage = tuple[Work, ...]


@dataclass
class Positions:
    """The positions of one width's panel: who has each, until which stage."""

    until: list[int] = field(default_factory=list)

    def take(self, born: int, until: int) -> int:
        """A position that is free from `born` on: what is read in a loop is read before anything is written there."""
        for position, last in enumerate(self.until):
            if last <= born:
                self.until[position] = until
                return position
        self.until.append(until)
        return len(self.until) - 1


FOREVER = 1 << 30
BEFORE = -1


class Schedule:
    """Orders what one step computes.

    Args:
        sinks: what is computed, and where it goes.
        typing: widths.
        entering: operands that are there before the step begins.
        panel: the kind of place in which values wait for a later stage ("value" or "adjoint").
        operands: where the operand of a crossing lies.
        slots: where products accumulate.
        positions: who has which position of a panel; those of the slots are taken.
        readable: the leaf of what can be read in later stages without being kept for them.
        results: where transposed products lie, for the stage that follows them.
        saved: values that must stay readable after the step, or follow from what is.
        slots_stay: slots are never overwritten.
        names: what values are called.
    """

    def __init__(
        self,
        sinks: Sequence[Sink],
        typing: Typing,
        *,
        entering: Collection[Node],
        panel: str,
        operands: Mapping[Node, Place],
        slots: Mapping[Node, Place],
        positions: dict[Width, Positions],
        readable: Mapping[Node, Node],
        results: Mapping[Node, Place] | None = None,
        saved: Collection[Node] = (),
        slots_stay: bool = False,
        names: Mapping[str, Node] | None = None,
    ):
        self.names = dict(names or {})
        self.typing, self.entering, self.panel = typing, set(entering), panel
        self.readable, self.results = dict(readable), dict(results or {})
        self.operands, self.slots, self.positions = dict(operands), dict(slots), positions
        self.level: dict[Node, int] = {}
        sinks = [*sinks, *self._operand_sinks(sinks)]
        for n in topological([s.value for s in sinks] + list(saved)):
            self.level[n] = self._level(n)
        self._ranks = {n: i for i, n in enumerate(self.level)}
        self.reductions = self._reductions(sinks, saved)
        self.sinks = sinks + [Sink(place, n.args[0], typing.of(n.args[0])) for n, place in self.reductions.items()]
        self.saved = Cut(saved, self._free, typing).kept
        self.kept = self._kept()
        self.sinks += [Sink(Place("kept"), n, typing.of(n)) for n in self.kept if n not in self.slots]
        self.place_of = self._allocate(slots_stay)
        self.stages = self._stages()

    # -- levels ----------------------------------------------------------------------------------

    def _operand_sinks(self, sinks: Sequence[Sink]) -> list[Sink]:
        inside = set(topological([s.value for s in sinks]))
        return [
            Sink(place, n, self.typing.of(n))
            for n, place in self.operands.items()
            if n in inside and not self._is_there(n)
        ]

    def _level(self, n: Node) -> int:
        """The stage in which a value can be computed."""
        if not n.args:
            return 0
        if n.op == "tslot":  # its operands are in the panel of adjoints, never there before the step
            return 1 + max(self.level[p.args[1]] for p in n.args)
        if n.op == "slot":
            return max(self._after(p.args[1]) for p in n.args)
        if n.op in CROSSING:
            return self._after(n.args[0])
        if n.op in REDUCTIONS:
            return self.level[n.args[0]] + 1
        return max(self.level[a] for a in n.args)

    def _after(self, operand: Node) -> int:
        return 0 if self._is_there(operand) else self.level[operand] + 1

    def _is_there(self, operand: Node) -> bool:
        """Whether an operand lies row by row before the step begins; backward has to lay out its leaves too."""
        return operand in self.entering or (is_leaf(operand) and self.operands[operand].kind != "operand")

    def _reductions(self, sinks: Sequence[Sink], saved: Collection[Node]) -> dict[Node, Place]:
        order = topological([s.value for s in sinks] + list(saved))
        found = [n for n in order if n.op in REDUCTIONS]
        return {n: Place("reduce", n.op, i) for i, n in enumerate(found)}

    # -- what waits for a later stage ------------------------------------------------------------

    def _kept(self) -> list[Node]:
        """Everything that waits; what is kept has needs of its own."""
        kept, wanted = self.saved, set()
        while True:
            for value, width in [(s.value, s.width) for s in self.sinks] + [(n, self.typing.of(n)) for n in kept]:
                wanted |= self._needed_from_before(value, self.level[value], width)
            following = Cut(sorted(wanted, key=self._rank), self._free, self.typing, self.saved).kept
            if following == kept:
                return kept
            kept = following

    def _rank(self, n: Node) -> int:
        """An order that does not depend on where nodes lie in memory."""
        return self._ranks[n]

    def _free(self, n: Node) -> bool:
        return n in self.readable or (is_leaf(n) and not self._passes(n))

    @staticmethod
    def _passes(n: Node) -> bool:
        """Leaves that can be read in one stage alone."""
        return n.op == "load" and n.attr.kind in ("reduced", "product")

    def _needed_from_before(self, root: Node, stage: int, width: Width) -> set[Node]:
        """The values of earlier stages, or of one unit, that the equations of a stage meet first."""
        found, seen, stack = set(), set(), [root]
        while stack:
            n = stack.pop()
            if n in seen or (is_leaf(n) and not self._passes(n)):
                continue
            seen.add(n)
            if self.level[n] < stage or (self._is_single(n) and width != SCALAR):
                found.add(n)
            elif n.op not in ("slot", "tslot", *CROSSING, *REDUCTIONS):
                stack += n.args
        return found

    def _is_single(self, n: Node) -> bool:
        """One value for all units that is worth a loop of its own."""
        return self.typing.of(n) == SCALAR

    def _tick(self, stage: int, width: Width) -> int:
        """When the loop over a width runs: within a stage what is one value for all units comes first."""
        return 2 * stage + (width != SCALAR)

    def _allocate(self, slots_stay: bool) -> dict[Node, Place]:
        """A position in its width's panel for every value that waits; slots have theirs."""
        born = {n: self._tick(self.level[n], self.typing.of(n)) for n in (*self.slots, *self.kept)}
        last = dict(born)
        for sink in self.sinks:
            stage = self.level[sink.value]
            for n in self._read_in(sink, stage):
                last[n] = max(last[n], self._tick(stage, sink.width))
        last |= dict.fromkeys(self.saved, FOREVER)
        places: dict[Node, Place] = {}
        for n, place in self.slots.items():
            until = FOREVER if slots_stay else last[n]
            self.positions[self.typing.of(n)].until[place.index] = until
            places[n] = place
        for n in sorted(self.kept, key=lambda n: (born[n], self._rank(n))):
            if n not in places:
                width = self.typing.of(n)
                position = self.positions.setdefault(width, Positions()).take(born[n], last[n])
                places[n] = Place(self.panel, str(width), position)
        return places

    def _read_in(self, sink: Sink, stage: int) -> set[Node]:
        """The kept values and slots that a stage reads for one of its sinks."""
        kept = {*self.kept, *self.slots}
        found, seen, stack = set(), set(), [sink.value]
        while stack:
            n = stack.pop()
            if n in seen:
                continue
            seen.add(n)
            if n in kept:
                found.add(n)
            if n not in kept or (self.level[n] == stage and n not in self.slots):
                stack += [] if n.op in ("slot", "tslot", *CROSSING, *REDUCTIONS) else n.args
        return found

    # -- stages ----------------------------------------------------------------------------------

    def _stages(self) -> tuple[Stage, ...]:
        every = [s._replace(place=self.place_of[s.value]) if s.place.kind == "kept" else s for s in self.sinks]
        count = 1 + max((self.level[s.value] for s in every), default=0)
        return tuple(self._stage(k, [s for s in every if self.level[s.value] == k]) for k in range(count))

    def _stage(self, k: int, sinks: list[Sink]) -> Stage:
        widths = sorted({s.width for s in sinks}, key=lambda w: (w != SCALAR, str(w)))
        return tuple(self._work(k, w, [s for s in sinks if s.width == w]) for w in widths)

    def _work(self, k: int, width: Width, sinks: list[Sink]) -> Work:
        """The sinks of one work, over leaves alone: what was computed before is loaded."""
        new = self.loads(lambda n: self.level[n] < k or (self._is_single(n) and width != SCALAR))
        found = substituted([s.value for s in sinks], new)
        names = tuple((found[n], name) for name, n in self.names.items() if n in found)
        return Work(width, tuple(Sink(s.place, found[s.value], s.width) for s in sinks), names)

    def loads(self, earlier: Callable[[Node], bool]) -> dict[Node, Node]:
        """The leaf of everything that is read from memory, where `earlier` tells what has been computed."""
        new: dict[Node, Node] = {}
        for n, place in self.place_of.items():
            if n in self.slots or earlier(n):
                new[n] = self.typing.declare(load(*place), self.typing.of(n))
        for n, leaf in self.readable.items():
            if n not in new and n in self.level and earlier(n):
                new[n] = leaf
        for n, place in self.reductions.items():
            if n not in new:
                new[n] = self.typing.declare(load("reduced", place.name, place.index), SCALAR)
        for n, place in self.results.items():
            if n not in new:
                new[n] = self.typing.declare(load(*place), self.typing.of(n))
        for n in self.level:
            if n.op in CROSSING and n not in new:
                leaf = self.typing.declare(load(*self.operands[n.args[0]]), self.typing.of(n.args[0]))
                new[n] = self._across(n, leaf)
        return new

    def _across(self, n: Node, operand: Node) -> Node:
        return node(n.op, operand, attr=n.attr)
