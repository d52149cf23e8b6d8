"""Everything that a kernel can be called with: which cases are tried, and their numbers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import NamedTuple

import torch
from covering import Factors, Row, covering
from guarded import Guarded
from torch import Tensor

import gatewright as gw
from cases import case_for, generator
from gatewright.backends.cpu.kernel import DTYPES, Kernel
from gatewright.backends.cpu.target import TARGETS, able
from gatewright.plan import recurrent_matrices, regularised, stream
from gatewright.plan.program import Program

FULL_PRODUCT = bool(os.environ.get("GATEWRIGHT_FULL"))
"""Whether every program is tried, not as many as pairs need; that takes hours."""
EACH = 6
"""Calls of a program then: the next of an array of calls that holds every pair."""
STRONG: Row = {"given": "all", "needs": "all"}
CALLS: tuple[Row, ...] = ({"T": 50, **STRONG}, {"T": 2, **STRONG}, STRONG, {}, {})
"""Those of one program, which is compiled once for them: some that compare whatever there is."""

PROGRAM: Factors = {
    "cell": tuple(gw.cells),
    "real": tuple(DTYPES),
    "target": able(),
    "reset": (False, True),
    "series": ("none", "every", "records"),
    "masks": ("none", "dropout", "zoneout", "both"),
}
CALL: Factors = {
    "H": (1, 3, 15, 17, 63, 100),
    "B": (1, 2, 5, 7, 33),
    "T": (0, 1, 2, 50),
    "I": (1, 5, 18, 40),
    "lengths": ("none", "ragged", "falling", "short", "full"),
    "start": ("zero", "random"),
    "reverse": (False, True),
    "split": ("1", "2 rows", "2 units", "3 rows", "3 units"),
    "layout": ("dense", "batch first", "sliced", "expanded"),
    "given": ("all", "output", "finals"),
    "needs": ("all", "inputs", "weights", "states"),
    "nan": ("none", "padding", "sequence"),
    "at_end": (True, False),
}


def forbidden(pair: Row) -> bool:
    """NaN needs a place: some padding, a step, and a sequence that stays without."""
    if pair.get("nan") == "padding":
        return pair.get("lengths") in ("none", "full") or pair.get("T") == 0
    return pair.get("nan") == "sequence" and (pair.get("B") == 1 or pair.get("T") == 0)


class Case(NamedTuple):
    """One call of one program."""

    cell: str
    real: str = "double"
    target: str = able()[0]
    reset: bool = False
    series: str = "none"
    masks: str = "none"
    H: int = 17
    B: int = 5
    T: int = 6
    I: int = 5
    lengths: str = "none"
    start: str = "random"
    reverse: bool = False
    split: str = "1"
    layout: str = "dense"
    given: str = "all"
    needs: str = "all"
    nan: str = "none"
    at_end: bool = True

    def __str__(self) -> str:
        """What differs from the plainest case."""
        plain = Case(self.cell)._asdict()
        told = {name: v for name, v in self._asdict().items() if v != plain[name] or name in "HBTI"}
        return "-".join([self.cell, *(f"{name}={v}".replace(" ", "_") for name, v in told.items())])

    @property
    def program(self) -> tuple:
        return self[: len(PROGRAM)]

    @property
    def threads(self) -> int:
        return int(self.split[0])

    @property
    def unit(self) -> bool:
        return self.split.endswith("units")


@lru_cache(maxsize=1)
def every_case() -> tuple[Case, ...]:
    """The cases to try, those of one program side by side."""
    if FULL_PRODUCT:
        calls = covering(CALL, forbidden)
        programs = [dict(zip(PROGRAM, values, strict=True)) for values in product(*PROGRAM.values())]
        rows = [p | calls[(k * EACH + n) % len(calls)] for k, p in enumerate(programs) for n in range(EACH)]
    else:
        programs = covering(PROGRAM, lambda pair: False)
        start = [program | call for call in CALLS for program in programs]
        rows = covering({**PROGRAM, **CALL}, forbidden, start=start)
    return tuple(dict.fromkeys(sorted(Case(**row) for row in rows)))  # pyright: ignore[reportArgumentType]


# -- a program and its numbers -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """One layer's program, and the shapes of what it is called with."""

    program: Program
    inputs: tuple[int, ...]
    weights: tuple[tuple[int, ...], ...]
    states: tuple[int, ...]

    def shaped(self, dtype: torch.dtype) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Inputs, weights and states for one step of one sequence."""
        given = [(1, 1, n) for n in self.inputs], self.weights, [(1, n) for n in self.states]
        inputs, weights, states = ([torch.zeros(shape, dtype=dtype) for shape in shapes] for shapes in given)
        return inputs, weights, states


@lru_cache(maxsize=64)
def setting_of(case: Case) -> Setting:
    """The program of a case, with widths near the wished ones that the equations allow."""
    cell = gw.cells[case.cell]
    sizes = case_for(cell.graph, case.I, case.H, case.H // 2 + 1)
    layer = sizes.layer(cell)
    layout, plain = layer._layers[0].layout, layer.equations.simplified()
    dropout = 0.3 if case.masks in ("dropout", "both") and recurrent_matrices(plain) else 0.0
    zoneout = 0.3 if case.masks in ("zoneout", "both") else 0.0
    graph = regularised(plain, recurrent_dropout=dropout, zoneout=zoneout, training=True)
    program = Program(
        graph,
        stored=tuple(tuple(row for row, _ in stored.rows) for stored in layout.stored),
        parts=tuple(layout.parts.items()),
        every=case.series != "none",
        record=tuple(graph.watchable()) if case.series == "records" else (),
        reset=case.reset,
        stream=stream(3, int(case.reverse)) if case.masks != "none" else 0,
    )
    back = (sizes.inputs[graph.inputs.index(name)] for name, _ in program.looks_back)
    shapes = tuple(tuple(stored.shape) for stored in layout.stored)
    return Setting(program, (*sizes.inputs, *back), shapes, tuple(layer.state_sizes.values()))


def kernel_of(text: str, real: str, target: str) -> Kernel:
    """A new one, which prepares its calls in guarded memory; what is compiled is kept elsewhere."""
    return Kernel(Program.parse(text), real, TARGETS[target])


@dataclass
class Numbers:
    """The tensors of a call, in the kernel's dtype."""

    inputs: list[Tensor]
    weights: list[Tensor]
    states: list[Tensor]
    grads: list[Tensor | None]
    lengths: Tensor | None
    reset: Tensor | None
    seed: int
    reverse: bool
    needs: list[bool]

    @property
    def leaves(self) -> list[Tensor]:
        return [*self.inputs, *self.weights, *self.states]


def numbers_of(case: Case, setting: Setting, outputs: Sequence[int]) -> Numbers:
    """Random numbers for a case; outputs: how wide the output, every state and the records are."""
    g = generator(case.H * 1009 + case.B * 101 + case.T)
    dtype, T, B = DTYPES[case.real], case.T, case.B

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64).to(dtype)

    inputs = [random(T, B, width) for width in setting.inputs]
    if case.layout == "expanded":
        inputs = [x[:1].expand(x.shape).contiguous() for x in inputs]
    # so large that a state neither dies out nor becomes chaotic in 50 steps
    weights = [random(*shape) * (0.7 / shape[-1] ** 0.5 if len(shape) == 2 else 0.5) for shape in setting.weights]
    # positive, as sLSTM's normaliser is in any state that it can reach
    states = [random(B, width).abs() * 0.5 + 0.5 for width in setting.states]
    if case.start == "zero":
        carried = setting.program.graph.states
        states = [s.new_full(s.shape, state.initial) for s, state in zip(states, carried, strict=True)]
    finals, n = [random(B, width) for width in setting.states], len(setting.states)
    series = [random(T, B, width) for width in outputs[: 1 + n * setting.program.every]]
    grads: list[Tensor | None] = [series[0], *finals, *series[1:]]
    if case.given != "all":
        kept = range(1) if case.given == "output" else range(1, 1 + n)
        grads = [d if k in kept else None for k, d in enumerate(grads)]
    return Numbers(
        inputs, weights, states, grads,
        lengths=lengths_of(case, g),
        reset=torch.rand(T, B, generator=g) < 0.3 if case.reset else None,
        seed=(1 << 62) + 12345 * case.H + case.B if case.masks != "none" else 0,
        reverse=case.reverse,
        needs=needs_of(case, setting),
    )  # fmt: skip


def lengths_of(case: Case, g: torch.Generator) -> Tensor | None:
    T, B = case.T, case.B
    match case.lengths:
        case "none":
            return None
        case "full":
            return torch.full((B,), T)
        case "short":
            return torch.full((B,), T // 2)
    ragged = torch.randint(0, T + 1, (B,), generator=g)
    ragged[-1] = 0 if B > 1 else T // 2
    ragged[B // 2] = T if B > 1 else ragged[0]
    return ragged.sort(descending=True).values if case.lengths == "falling" else ragged


def needs_of(case: Case, setting: Setting) -> list[bool]:
    groups = {"inputs": setting.inputs, "weights": setting.weights, "states": setting.states}
    return [case.needs in ("all", name) for name, group in groups.items() for _ in group]


def with_nan(case: Case, given: Numbers) -> tuple[Numbers, list[int]]:
    """The same call with NaN where it must not spread from; and the sequences that stay without."""
    inputs, states = [x.clone() for x in given.inputs], [s.clone() for s in given.states]
    grads, B = list(given.grads), case.B
    if case.nan == "sequence":
        sick = B // 2
        for t in (*(x[:, sick] for x in inputs), *(s[sick] for s in states)):
            t.fill_(float("nan"))
        healthy = [b for b in range(B) if b != sick]
    else:
        assert given.lengths is not None
        masked = torch.arange(case.T).unsqueeze(-1) >= given.lengths
        for x in inputs:
            x[masked] = float("nan")
        if grads[0] is not None:
            grads[0] = grads[0].masked_fill(masked.unsqueeze(-1), float("nan"))
        if given.reset is not None and not given.reverse:
            for s in states:
                s[given.reset[0] & (given.lengths > 0)] = float("nan")  # replaced before anyone reads it
        healthy = list(range(B))
    changed = Numbers(**{**vars(given), "inputs": inputs, "states": states, "grads": grads})
    return changed, healthy


# -- the call ------------------------------------------------------------------------------------------------------


Leaves = tuple[list[Tensor], list[Tensor], list[Tensor]]
Masks = tuple[Tensor | None, Tensor | None]


@dataclass
class Found:
    """What a kernel has given: results in training, in inference, and gradients."""

    trained: list[Tensor]
    inferred: list[Tensor]
    grads: list[Tensor | None]


def run(case: Case, program: Program, given: Numbers) -> Found:
    """The kernel in guarded memory; raises where it reads or writes outside of its tensors, or changes them."""
    memory = Guarded(at_end=case.at_end)
    leaves, masks, grads = placed(case, given, memory)
    kernel, options = kernel_of(program.text, case.real, case.target), {"threads": case.threads, "unit": case.unit}
    torch.set_num_threads(case.threads)
    call = (*masks, given.seed, given.reverse)
    with memory:
        trained, saved = kernel.forward(*leaves, *call, True, **options)
        found = kernel.backward(saved, *leaves, trained, *call, grads, given.needs, **options)
        inferred, nothing = kernel.forward(*leaves, *call, False, **options)
    torch.set_num_threads(1)
    assert not nothing, "inference saves nothing"
    memory.check()
    return Found(trained, inferred, found)


def placed(case: Case, given: Numbers, memory: Guarded) -> tuple[Leaves, Masks, list[Tensor | None]]:
    """The tensors of a call in guarded memory, with the case's strides: leaves, lengths and resets, cotangents."""
    layout = {"batch first": memory.batch_first, "sliced": memory.sliced, "expanded": memory.expanded}
    loose = memory.copy if case.layout == "dense" else memory.sliced
    # what has NaN in some steps alone is not one step at all times
    changes = case.layout == "expanded" and case.nan == "padding" and any(x.isnan().any() for x in given.inputs)
    of_inputs = memory.copy if changes else layout.get(case.layout, memory.copy)
    inputs = [of_inputs(x) for x in given.inputs]
    leaves = (inputs, [memory.copy(w) for w in given.weights], [loose(s) for s in given.states])
    lengths, reset = (t if t is None else memory.copy(t) for t in (given.lengths, given.reset))
    return leaves, (lengths, reset), [d if d is None else loose(d) for d in given.grads]
