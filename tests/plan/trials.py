"""Both sides of a comparison: a plan by the interpreter, and the same equations by the reference and autograd."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from interpreter import Call, Interpreter, check
from torch import Tensor

from cases import Case, generator
from gatewright.backends.masks import active_steps
from gatewright.backends.padding import Sequences
from gatewright.backends.reference import Draw, Reference
from gatewright.graph import Graph
from gatewright.plan.plan import Plan, plan
from tolerances import assert_close

TOLERANCE = 1e-9
BEHIND = 20
"""The reference draws masks for a few steps ahead."""


class Masks(Draw):
    """Random masks that both sides look up, by their number and step."""

    def __init__(self, seed: int, batch: int, steps: int):
        super().__init__(torch.tensor(seed))
        self.__dict__.update(number=seed, batch=batch, most=steps + BEHIND)

    def whole(self, p: float, index: int, units: int) -> Tensor:
        g = torch.Generator().manual_seed(1000 * self.number + index)
        return torch.rand(self.most, self.batch, units, generator=g) < p

    def chance(self, p: float, index: int, *, t: range | int, sequences: int, units: int) -> Tensor:
        found = self.whole(p, index, units)
        return found[t.start : t.stop] if isinstance(t, range) else found[t]


@dataclass
class Trial:
    """Random numbers for everything that a cell is called with, and the cotangents of what it gives."""

    graph: Graph
    case: Case
    steps: int = 7
    batch: int = 5
    reset: bool = False
    lengths: bool = False
    every: bool = False
    record: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self):
        self.sizes = self.case.solve(self.graph)
        self.random = g = generator(self.seed)
        self.plan = self._planned(train=True)
        self.weights = {
            p.attr.name: torch.randn(self.sizes.shape(p), generator=g, dtype=torch.float64) * 0.5
            for p in self.graph.params
        }
        self.inputs = tuple(self._sequence(self.sizes.number(w)) for w in self.plan.input_widths)
        self.states = {s.name: self._state(s.name) for s in self.graph.states}
        self.ends = self._lengths() if self.lengths else None
        self.starts = torch.rand(self.steps, self.batch, generator=g) < 0.3 if self.reset else None
        self.masks = Masks(self.seed, self.batch, self.steps)
        names = self.states if self.every else ()
        self.given = {"output": self._sequence(self.sizes.number(self.plan.output))}
        self.given |= {name: self._sequence(self.sizes.of_state(name)) for name in names}
        self.final = {name: torch.randn(s.shape, generator=g, dtype=torch.float64) for name, s in self.states.items()}

    def _planned(self, *, train: bool) -> Plan:
        return plan(self.graph, train=train, reset=self.reset, every=self.every, record=self.record)

    def _sequence(self, units: int) -> Tensor:
        return torch.randn(self.steps, self.batch, units, generator=self.random, dtype=torch.float64)

    def _state(self, name: str) -> Tensor:
        """Any state that sLSTM can reach is positive where it must be."""
        units = self.sizes.of_state(name)
        return torch.rand(self.batch, units, generator=self.random, dtype=torch.float64) + 0.5

    def _lengths(self) -> Tensor:
        """In any order; a full one and, among several, an empty one."""
        found = torch.randint(0, self.steps + 1, (self.batch,), generator=self.random)
        found[self.batch // 2] = self.steps
        if self.batch > 1:
            found[-1] = 0
        return found

    def compare(self) -> None:
        """The plan for training and the one for inference against the reference."""
        run = self.run(self.plan)
        run.backward(self.given, self.final)
        found, expected = self.forward_of(run) | self.backward_of(run), self.by_reference()
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert not value.isnan().any(), f"{key}: the reference is NaN, so the trial says nothing"
            assert_close(*without_infinities(found[key], value), TOLERANCE, key)
        for key, value in self.forward_of(self.run(self._planned(train=False))).items():
            assert_close(*without_infinities(value, found[key]), 1e-14, f"{key} without training")

    # -- by the plan ---------------------------------------------------------------------------------

    def run(self, plan: Plan) -> Interpreter:
        check(plan)
        chance = partial(self._chance, plan)
        call = Call(self.inputs, self.weights, self.states, self.sizes, self.ends, self.starts, chance)
        run = Interpreter(plan, call)
        run.forward()
        return run

    def _chance(self, plan: Plan, index: int, t: int) -> Tensor:
        chance = plan.chances[index]
        whole = self.masks.whole(chance.probability.attr, chance.number, self.sizes.number(chance.width))
        return whole[t if chance.per_step else 0]

    def forward_of(self, run: Interpreter) -> dict[str, Tensor]:
        found = {"output": run.tensors["output", ""]}
        found |= {f"final {name}": value for name, value in run.finals.items()}
        return found | {f"{k} {name}": value for (k, name), value in run.tensors.items() if k in ("every", "record")}

    def backward_of(self, run: Interpreter) -> dict[str, Tensor]:
        found = {f"d {name}": value for name, value in run.gradients.items()}
        found |= {f"d {key}": value for key, value in zip(self.plan.inputs, run.input_adjoints, strict=True)}
        return found | {f"d initial {name}": value for name, value in run.initial_adjoints.items()}

    # -- by the reference ----------------------------------------------------------------------------

    def by_reference(self) -> dict[str, Tensor]:
        leaves = {name: x.clone().requires_grad_() for name, x in self.weights.items()}
        inputs = {key: x.clone().requires_grad_() for key, x in zip(self.plan.inputs, self.inputs, strict=True)}
        states = {name: s.clone().requires_grad_() for name, s in self.states.items()}
        found = self._forward_by_reference(leaves, inputs, list(states.values()))
        cotangents = {"output": self.given["output"]} | {f"final {name}": g for name, g in self.final.items()}
        cotangents |= {f"every {name}": g for name, g in self.given.items() if name != "output"}
        loss = sum((found[key] * g).sum() for key, g in cotangents.items())
        leaves = {f"d {key}": x for key, x in (*leaves.items(), *inputs.items())}
        leaves |= {f"d initial {name}": s for name, s in states.items()}
        grads = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, materialize_grads=True)
        return {key: value.detach() for key, value in found.items()} | dict(zip(leaves, grads, strict=True))

    def _forward_by_reference(self, weights, inputs, states) -> dict[str, Tensor]:
        graph = self.plan.graph
        initial = [torch.full((self.sizes.of_state(s.name),), s.initial, dtype=torch.float64) for s in graph.states]
        active = None if self.ends is None else active_steps(self.steps, self.ends)
        reset = self.starts if self.starts is None or active is None else self.starts & active
        previous = {key: x for key, x in inputs.items() if key[1]}
        sequences = Sequences(tuple(inputs[name, 0] for name in graph.inputs), previous, active, reset)
        every = tuple(self.states) if self.every else ()
        record = tuple(dict.fromkeys((*every, *self.record)))
        outputs, finals, records = Reference(graph, record).run(weights, sequences, states, initial, self.masks)
        found = {"output": torch.stack(outputs)}
        found |= {f"final {name}": value for name, value in zip(self.states, finals, strict=True)}
        found |= {f"every {name}": torch.stack(records[name]) for name in every}
        return found | {f"record {name}": torch.stack(records[name]) for name in self.record}


def without_infinities(found: Tensor, expected: Tensor) -> tuple[Tensor, Tensor]:
    """The same with 0 where both are the same infinity."""
    same = expected.isinf() & (found == expected)
    return torch.where(same, 0.0, found), torch.where(same, 0.0, expected)
