"""Runs a plan with plain torch operations, in the order and with the memory that a kernel has.

Nothing is differentiated by torch here. Whatever no step has written is NaN, and so is what a step may no longer
read, so that a plan that reads too early, too late or beside a sequence's end gives NaN somewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gatewright.backends.reference import FUNCTIONS
from gatewright.graph.node import Node
from gatewright.graph.ops import OPS
from gatewright.graph.widths import SCALAR, Sizes, Width
from gatewright.plan.backward import Transposed
from gatewright.plan.forward import Product
from gatewright.plan.places import Place
from gatewright.plan.plan import Plan
from gatewright.plan.stages import Stage, Work

ELEMENTWISE = {"unary", "binary", "compare", "select"}
WHOLE_ROW = ("input", "state", "vector", "operand")
"""What a repeated unit or a sum of neighbours may look at: other places have one block of units at a time."""


@dataclass
class Call:
    """What a kernel is called with; `chance` gives the mask of (index, step) as (B, units).

    inputs, each (T, B, units), are in the order of the plan's; states are (B, units); reset is (T, B).
    """

    inputs: tuple[Tensor, ...]
    weights: Mapping[str, Tensor]
    states: Mapping[str, Tensor]
    sizes: Sizes
    lengths: Tensor | None = None
    reset: Tensor | None = None
    chance: Callable[[int, int], Tensor] | None = None

    def __post_init__(self):
        self.steps, self.batch = self.inputs[0].shape[:2]
        self.ends = torch.full((self.batch,), self.steps) if self.lengths is None else self.lengths

    def active(self, t: int) -> Tensor:
        """The sequences that have a step t; step −1 is before the first, which all have."""
        return (self.ends > t).nonzero().flatten()

    def empty(self, width: Width, steps: int | None = None) -> Tensor:
        shape = (self.batch, self.sizes.number(width))
        return torch.full(shape if steps is None else (steps, *shape), torch.nan, dtype=torch.float64)


@dataclass
class Step:
    """What a step has to itself. `carries` are those of the step after it, `handed` its own."""

    t: int
    rows: Tensor
    reductions: dict[int, Tensor] = field(default_factory=dict)
    products: dict[int, Tensor] = field(default_factory=dict)
    operands: dict[int, Tensor] = field(default_factory=dict)
    carries: dict[int, Tensor] = field(default_factory=dict)
    handed: dict[int, Tensor] = field(default_factory=dict)
    sums: dict[int, Tensor] = field(default_factory=dict)


class Interpreter:
    """One call: `forward` first, then `backward` where the plan has it."""

    def __init__(self, plan: Plan, call: Call):
        self.plan, self.call = plan, call
        self.steps = call.steps
        self.widths = {str(w): w for w in self._widths()}
        self.stored = {s.place: call.empty(s.width, self.steps + 1) for s in (*plan.states, *plan.vectors)}
        self.panels = self._panels("value", plan.forward.panels)
        self.tensors: dict[tuple[str, str], Tensor] = {}
        for kind, name, width in self._results():
            self.tensors[kind, name] = torch.zeros_like(call.empty(width, self.steps))

    def _widths(self):
        plan, back = self.plan, self.plan.backward
        found = {SCALAR, plan.output, *plan.input_widths, *plan.forward.panels}
        found |= {s.width for s in (*plan.states, *plan.vectors)} | set(plan.typing.known.values())
        return found | (set(back.panels) if back else set())

    def _panels(self, kind: str, panels: Mapping[Width, int]) -> dict[Place, Tensor]:
        places = {Place(kind, str(w), i): w for w, count in panels.items() for i in range(count)}
        return {place: self.call.empty(w, self.steps) for place, w in places.items()}

    def _results(self):
        plan = self.plan
        yield "output", "", plan.output
        yield from (("every", s.name, s.width) for s in plan.states if plan.every)
        yield from (("record", name, width) for name, width in plan.record)

    # -- forward -------------------------------------------------------------------------------------

    def forward(self) -> None:
        plan = self.plan.forward
        before = Step(-1, torch.arange(self.call.batch))
        self._run_stage(before, plan.enter)
        for t in range(self.steps):
            step = Step(t, self.call.active(t))
            for width, position in plan.zeroed:
                self.panels[Place("value", str(width), position)][t, step.rows] = 0.0
            self._products(step, plan.hoisted)
            for products, stage in zip(plan.products, plan.stages, strict=True):
                self._products(step, products)
                self._run_stage(step, stage)

    def _products(self, step: Step, products: tuple[Product, ...]) -> None:
        for product in products:
            operand = self.operand(product.operand, step.t)[step.rows]
            for i, name in enumerate(product.params):
                panel = self.panels[Place("value", str(product.width), product.first + i)]
                result = operand @ self.call.weights[name].T
                panel[step.t, step.rows] = result + (0.0 if product.fresh else panel[step.t, step.rows])

    def operand(self, place: Place, t: int) -> Tensor:
        return self.call.inputs[place.index][t] if place.kind == "input" else self.stored[place][t]

    @property
    def finals(self) -> dict[str, Tensor]:
        """Each sequence's states behind its last step."""
        rows = torch.arange(self.call.batch)
        return {s.name: self.stored[s.place][self.call.ends, rows] for s in self.plan.states}

    # -- backward ------------------------------------------------------------------------------------

    def backward(self, given: Mapping[str, Tensor], final: Mapping[str, Tensor]) -> None:
        """`given`: the adjoints of the output and of every state at every step; `final`: of the final states."""
        assert self.plan.backward is not None
        self.given, self.final = given, final
        self._prepare()
        carries: dict[int, Tensor] = {}
        for t in reversed(range(self.steps)):
            step = Step(t, self.call.active(t), carries=carries)
            self._between(step)
            self._back(step)
            carries = step.handed
        before = Step(-1, torch.arange(self.call.batch), carries=carries)
        self._between(before)
        self._run_stage(before, self.plan.backward.epilogue)
        self._finish()

    def _prepare(self) -> None:
        plan = self.plan
        back = plan.backward
        assert back is not None
        self.panels |= self._panels("adjoint", back.panels)
        self.totals = {name: torch.zeros(self.units(w), dtype=torch.float64) for name, w in back.totals.items()}
        self.tensors |= {
            ("input_adjoint", str(i)): torch.zeros_like(x) if i in back.rests else torch.empty(0)
            for i, x in enumerate(self.call.inputs)
        }
        self.initial_adjoints = {s.name: self.call.empty(s.width) for s in plan.states}

    def _between(self, step: Step) -> None:
        """What step t+1 left behind; for sequences whose last step is t, the adjoints of their final states."""
        back = self.plan.backward
        assert back is not None
        later = self.call.active(step.t + 1)
        ending = step.rows[self.call.ends[step.rows] == step.t + 1]
        for product in back.rotated:
            step.products[product.index] = self._transposed(product, step.t + 1, later, ending)
        for i, width in enumerate(back.carries):
            carry = step.carries.get(i, self.call.empty(width)).clone()
            carry[ending] = 0.0
            step.carries[i] = carry
        for name, place in back.starts.items():
            start = step.products if place.kind == "product" else step.carries
            start[place.index][ending] = self.final[name][ending]

    def _transposed(self, product: Transposed, t: int, rows: Tensor, zero: Tensor | None = None) -> Tensor:
        result = self.call.empty(product.width)
        result[rows] = 0.0
        for term in product.terms:
            for i, name in enumerate(term.params):
                g = self.panels[Place("adjoint", str(term.width), term.first + i)]
                result[rows] += g[t, rows] @ self.call.weights[name] if len(rows) else 0.0
        if zero is not None:
            result[zero] = 0.0
        return result

    def _back(self, step: Step) -> None:
        back = self.plan.backward
        assert back is not None
        for products, stage in zip(back.products, back.stages, strict=True):
            for product in products:
                step.products[product.index] = self._transposed(product, step.t, step.rows)
            self._run_stage(step, stage)
            step.products.clear()  # the scratch of a product is there for the stage that it opens

    def _finish(self) -> None:
        """The gradients of everything: matrices and inputs from the slots' adjoints, vectors from the totals."""
        plan, call = self.plan, self.call
        back = plan.backward
        assert back is not None
        params = {p.attr.name: p for p in plan.graph.params}
        self.gradients = {name: torch.zeros(call.sizes.shape(p), dtype=torch.float64) for name, p in params.items()}
        for name, total in self.totals.items():
            single = plan.graph.widths.of(params[name]) == SCALAR
            self.gradients[name] += total.sum(-1, keepdim=True) if single else total
        self.input_adjoints = [
            self.tensors["input_adjoint", str(i)].clone() if i in back.rests else torch.zeros_like(x)
            for i, x in enumerate(call.inputs)
        ]
        for product in products_of(plan):
            for i, name in enumerate(product.params):
                self._matrix(product.operand, name, Place("adjoint", str(product.width), product.first + i))

    def _matrix(self, operand: Place, name: str, slot: Place) -> None:
        for t in range(self.steps):
            rows = self.call.active(t)
            g, v = self.panels[slot][t, rows], self.operand(operand, t)[rows]
            self.gradients[name] += g.T @ v
            if operand.kind == "input":
                self.input_adjoints[operand.index][t, rows] += g @ self.call.weights[name]

    # -- one stage -----------------------------------------------------------------------------------

    def units(self, width: Width) -> int:
        return self.call.sizes.number(width)

    def _run_stage(self, step: Step, stage: Stage) -> None:
        for work in stage:
            self._run_work(step, work)
        step.reductions |= step.sums
        step.sums = {}

    def _run_work(self, step: Step, work: Work) -> None:
        """All loads of a work come before its stores."""
        units = self.units(work.width)
        reader = Reader(self, step)
        values = [reader.value(s.value).expand(len(step.rows), units) for s in work.sinks]
        for sink, value in zip(work.sinks, values, strict=True):
            self._store(step, sink.place, value)

    def _store(self, step: Step, place: Place, value: Tensor) -> None:
        t, rows = step.t, step.rows
        match place.kind:
            case "value" | "adjoint":
                self.panels[place][t, rows] = value
            case "state" | "vector":
                self.stored[place._replace(shift=0)][t + place.shift, rows] = value
            case "reduce":
                whole = value.sum(-1, keepdim=True) if place.name == "sum" else value.amax(-1, keepdim=True)
                step.sums[place.index] = self._scattered(whole, rows)
            case "operand":
                step.operands[place.index] = self._scattered(value, rows)
            case "carry":
                step.handed[place.index] = self._scattered(value, rows)
            case "total":
                self.totals[place.name] += value.sum(0)
            case "initial_adjoint":
                self.initial_adjoints[place.name][rows] = value
            case "input_adjoint":
                self.tensors["input_adjoint", str(place.index)][t, rows] = value
            case _:
                self.tensors[place.kind, place.name][t, rows] = value

    def _scattered(self, value: Tensor, rows: Tensor) -> Tensor:
        whole = torch.full((self.call.batch, value.shape[1]), torch.nan, dtype=torch.float64)
        whole[rows] = value
        return whole


def products_of(plan: Plan) -> list[Product]:
    return [*plan.forward.hoisted, *(p for stage in plan.forward.products for p in stage)]


class Reader:
    """The values of one work's equations at one step, rows by units."""

    def __init__(self, run: Interpreter, step: Step):
        self.run, self.step = run, step
        self.known: dict[Node, Tensor] = {}

    def value(self, n: Node) -> Tensor:
        if n not in self.known:
            self.known[n] = self._computed(n)
        return self.known[n]

    def _computed(self, n: Node) -> Tensor:
        match n.op:
            case "const":
                return torch.tensor(n.attr, dtype=torch.float64)
            case "param":
                return self.run.call.weights[n.attr.name]
            case "load":
                return self._loaded(n.attr)
            case "spread":
                return self.value(n.args[0]).expand(-1, self.value(n.args[1]).shape[1])
            case "repeat":
                return self.value(n.args[0]).repeat_interleave(n.attr, -1)
            case "block_sum":
                return self.value(n.args[0]).unflatten(-1, (-1, n.attr)).sum(-1)
        assert OPS[n.op].kind in ELEMENTWISE, f"{n.op} is no operation of one unit"
        return FUNCTIONS[n.op](*(self.value(a) for a in n.args))

    def _loaded(self, place: Place) -> Tensor:
        run, step, call = self.run, self.step, self.run.call
        t, rows = step.t + place.shift, step.rows
        match place.kind:
            case "value" | "adjoint":
                return run.panels[place][t, rows]
            case "state" | "vector":
                return run.stored[place._replace(shift=0)][t, rows]
            case "initial":
                return call.states[place.name][rows]
            case "input":
                return self._input(place.index, t)
            case "reduced":
                return step.reductions[place.index][rows]
            case "product":
                return step.products[place.index][rows]
            case "carry":
                return step.carries[place.index][rows]
            case "operand":
                return step.operands[place.index][rows]
            case "given":
                return run.given[place.name][t, rows]
            case "reset":
                return self._starts_episode(t).unsqueeze(-1)
            case "chance":
                assert call.chance is not None
                return call.chance(place.index, t)[rows]
            case "units":
                return torch.tensor(float(run.units(run.widths[place.name])), dtype=torch.float64)
            case "width":  # it has no value
                return torch.full((len(rows), run.units(run.widths[place.name])), torch.nan, dtype=torch.float64)
        raise AssertionError(f"no step can load {place}")

    def _input(self, index: int, t: int) -> Tensor:
        """Rows of an input; NaN behind a sequence's end, where a value may be computed but never matters."""
        x, rows = self.run.call.inputs[index], self.step.rows
        if t == len(x):
            return torch.full((len(rows), x.shape[-1]), torch.nan, dtype=torch.float64)
        return torch.where((self.run.call.ends[rows] > t).unsqueeze(-1), x[t, rows], torch.nan)

    def _starts_episode(self, t: int) -> Tensor:
        call, rows = self.run.call, self.step.rows
        assert call.reset is not None
        if t == len(call.reset):
            return torch.zeros(len(rows), dtype=torch.bool)
        return call.reset[t, rows] & (call.ends[rows] > t)


# -- what any plan promises, before it is run ----------------------------------------------------------------------


def check(plan: Plan) -> None:
    """What a kernel takes for granted: a loop reads what is as wide as it or one value, and stores no place twice."""
    matrices = [name for product in products_of(plan) for name in product.params]
    assert len(set(matrices)) == len(matrices), f"a matrix is multiplied twice: {matrices}"
    stages = [plan.forward.enter, *plan.forward.stages]
    if plan.backward:
        stages += [*plan.backward.stages, plan.backward.epilogue]
    for stage in stages:
        places = [s.place for work in stage for s in work.sinks]
        assert len(set(places)) == len(places), f"a stage stores a place twice: {places}"
        for work in stage:
            for sink in work.sinks:
                assert sink.width == work.width, f"{sink.place} is as wide as {sink.width}, in a loop over {work.width}"
                _check_value(plan, work.width, sink.value)


def _check_value(plan: Plan, width: Width, root: Node) -> None:
    seen, stack = set(), [root]
    while stack:
        n = stack.pop()
        if n in seen:
            continue
        seen.add(n)
        wide = plan.typing.of(n)
        assert wide in (width, SCALAR), f"{n} {n.attr} is as wide as {wide}, in a loop over {width}"
        if n.op == "load" and n.attr.kind in ("value", "adjoint"):
            assert n.attr.name == str(wide), f"{n.attr} is as wide as {wide}"
        if n.op == "load" and n.attr.kind == "product":
            assert wide == width, f"{n.attr} lies block by block of {wide}, in a loop over {width}"
        if n.op in ("repeat", "block_sum"):
            (operand,) = n.args
            assert operand.op == "load" and operand.attr.kind in WHOLE_ROW, f"{n.op} of {operand}"
        else:
            stack += n.args if n.op != "spread" else n.args[:1]
