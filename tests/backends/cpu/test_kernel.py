"""Kernels against the reference in float64: outputs, states and every gradient, in memory with guards around it."""

from __future__ import annotations

import pytest
import torch
from covering import all_pairs, pairs_of
from kernel_cases import (
    CALL,
    PROGRAM,
    Case,
    Numbers,
    Setting,
    every_case,
    forbidden,
    numbers_of,
    run,
    setting_of,
    with_nan,
)
from torch import Tensor

import gatewright as gw
from gatewright.backends.cpu.by_reference import by_reference, widths
from gatewright.backends.cpu.kernel import DTYPES
from tolerances import TOLERANCE, assert_close

QUICK = 20


def expected(setting: Setting, given: Numbers) -> tuple[list[Tensor], list[Tensor]]:
    """Results and gradients by the reference in float64."""
    leaves = [t.double().requires_grad_() for t in given.leaves]
    n, m = len(given.inputs), len(given.inputs) + len(given.weights)
    masks = (given.lengths, given.reset, torch.tensor(given.seed) if given.seed else None)
    found = by_reference(setting.program, leaves[:n], leaves[n:m], leaves[m:], masks, given.reverse)
    pairs = [(y, d.double()) for y, d in zip(found, given.grads, strict=False) if d is not None and y.requires_grad]
    if not pairs:
        return found, [torch.zeros_like(leaf) for leaf in leaves]
    ends, along = zip(*pairs, strict=True)
    return found, list(torch.autograd.grad(ends, leaves, along, materialize_grads=True))


def names_of(setting: Setting) -> tuple[list[str], list[str]]:
    """What the results and the leaves are called in messages."""
    program = setting.program
    states = [s.name for s in program.graph.states]
    results = ["y", *states, *(f"every {s}" for s in states if program.every), *(f"record {r}" for r in program.record)]
    weights = ["+".join(rows) for rows in program.stored]
    inputs = [*program.graph.inputs, *(f"{name} {k} earlier" for name, k in program.looks_back)]
    return results, [*inputs, *weights, *(f"initial {s}" for s in states)]


def prepared(case: Case, setting: Setting) -> Numbers:
    dtype = DTYPES[case.real]
    empty = [[torch.empty(1, 1, n, dtype=dtype) for n in setting.inputs],
             [torch.empty(shape, dtype=dtype) for shape in setting.weights],
             [torch.empty(1, n, dtype=dtype) for n in setting.states]]  # fmt: skip
    return numbers_of(case, setting, widths(setting.program, *empty))


def compare(case: Case, setting: Setting) -> None:
    """One case, without NaN and, where it asks for it, with."""
    given = prepared(case, setting)
    found = run(case, setting.program, given)
    outputs, grads = expected(setting, given)
    tolerance = TOLERANCE[DTYPES[case.real], "cpu"]
    results, leaves = names_of(setting)
    for mode, mine in (("training", found.trained), ("inference", found.inferred)):
        for name, a, b in zip(results, mine, outputs, strict=True):
            same(a, b.detach(), tolerance, f"{name} in {mode}")
    for name, needed, a, b in zip(leaves, given.needs, found.grads, grads, strict=True):
        if needed:
            assert a is not None, f"no gradient of {name}"
            assert_close(a, b, tolerance, f"gradient of {name}")
        else:
            assert a is None, f"a gradient of {name} that nobody needs"
    if case.nan != "none":
        changed, healthy = with_nan(case, given)
        unaffected(case, setting, found, run(case, setting.program, changed), healthy)


def same(found: Tensor, expected: Tensor, tolerance: float, what: str) -> None:
    """As close as the table says, and infinite in the same places: where a stabiliser starts."""
    infinite = expected.isinf()
    assert torch.equal(found[infinite].double(), expected[infinite]), f"{what}: infinite elsewhere"
    assert_close(found.masked_fill(infinite, 0.0), expected.masked_fill(infinite, 0.0), tolerance, what)


def unaffected(case: Case, setting: Setting, clean, sick, healthy: list[int]) -> None:
    """The results of healthy sequences are the same to the last bit; so are the weights' gradients if all are."""
    results, leaves = names_of(setting)
    finals = range(1, 1 + len(setting.states))
    for a, b in ((clean.trained, sick.trained), (clean.inferred, sick.inferred)):
        for k, (name, x, y) in enumerate(zip(results, a, b, strict=True)):
            rows = (healthy,) if k in finals else (slice(None), healthy)
            if case.nan == "padding" and k in finals and case.lengths == "ragged":
                rows = (healthy,)
            assert torch.equal(x[rows], y[rows]), f"NaN has spread to {name}"
    weights = range(len(setting.inputs), len(setting.inputs) + len(setting.weights))
    for k, (name, x, y) in enumerate(zip(leaves, clean.grads, sick.grads, strict=True)):
        if x is None or (k in weights and case.nan == "sequence"):
            continue
        rows = (slice(None), healthy) if k < weights.start else (healthy,) if k >= weights.stop else (...,)
        assert torch.equal(x[rows], y[rows]), f"NaN has spread to the gradient of {name}"


# -- the covering array ----------------------------------------------------------------------------------------


def marked(cases):
    """Some cases from all over the array are quick."""
    step = max(1, len(cases) // QUICK)
    return [pytest.param(c, id=str(c), marks=() if k % step == 0 else pytest.mark.slow) for k, c in enumerate(cases)]


@pytest.mark.parametrize("case", marked(every_case()))
def test_kernel(case: Case):
    compare(case, setting_of(case))


def test_every_pair_of_values_is_tried():
    factors = PROGRAM | CALL
    missing = set(all_pairs(factors, forbidden)).difference(*(pairs_of(c._asdict(), factors) for c in every_case()))
    assert not missing and {c.cell for c in every_case()} == set(gw.cells)
