"""Kernels against the reference in float64: outputs, states and every gradient, in memory with guards around it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import pytest
import torch
from covering import all_pairs, pairs_of
from guarded import Guarded
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from kernel_cases import (
    CALL,
    FULL_PRODUCT,
    PROGRAM,
    Case,
    Found,
    Numbers,
    Setting,
    every_case,
    forbidden,
    kernel_of,
    numbers_of,
    run,
    setting_of,
    with_nan,
)
from torch import Tensor

import gatewright as gw
from cases import case_for, generator
from gatewright.backends.cpu.by_reference import by_reference, widths
from gatewright.backends.cpu.kernel import DTYPES
from gatewright.plan import regularised, stream
from gatewright.plan.program import Program
from random_graphs import Recipe, recipes
from tolerances import TOLERANCE, assert_close, difference

QUICK = 20
ROUGHER = 10.0  # than the reference in float32

# -- both sides ------------------------------------------------------------------------------------------------


def expected(setting: Setting, given: Numbers, dtype: torch.dtype = torch.float64) -> tuple[list[Tensor], list[Tensor]]:
    """Results and gradients by the reference."""
    leaves = [t.to(dtype, copy=True).requires_grad_() for t in given.leaves]
    n, m = len(given.inputs), len(given.inputs) + len(given.weights)
    masks = (given.lengths, given.reset, torch.tensor(given.seed))
    found = by_reference(setting.program, leaves[:n], leaves[n:m], leaves[m:], masks, given.reverse)
    pairs = [(y, d.to(dtype)) for y, d in zip(found, given.grads, strict=False) if d is not None and y.requires_grad]
    outputs = [y.detach() for y in found]
    if not pairs:
        return outputs, [torch.zeros_like(leaf) for leaf in leaves]
    ends, along = zip(*pairs, strict=True)
    return outputs, list(torch.autograd.grad(ends, leaves, along, materialize_grads=True))


def random_numbers(case: Case, setting: Setting) -> Numbers:
    return numbers_of(case, setting, widths(setting.program, *setting.shaped(DTYPES[case.real])))


def names_of(setting: Setting) -> tuple[list[str], list[str]]:
    """What the results and the leaves are called in messages."""
    program = setting.program
    states = [s.name for s in program.graph.states]
    results = ["y", *states, *(f"every {s}" for s in states if program.every), *(f"record {r}" for r in program.record)]
    weights = ["+".join(rows) for rows in program.stored]
    inputs = [*program.graph.inputs, *(f"{name} {k} earlier" for name, k in program.looks_back)]
    return results, [*inputs, *weights, *(f"initial {s}" for s in states)]


def compare(case: Case, setting: Setting) -> None:
    """One case: the kernel against the reference and, where the case asks for it, against itself with NaN."""
    given = random_numbers(case, setting)
    found = run(case, setting.program, given)
    results, leaves = names_of(setting)
    right, rough = expected(setting, given), lru_cache(lambda: expected(setting, given, torch.float32))
    for mode, mine in (("training", found.trained), ("inference", found.inferred)):
        for k, name in enumerate(results):
            close(mine[k], right[0][k], lambda k=k: rough()[0][k], f"{name} in {mode}")
    for k, (name, needed) in enumerate(zip(leaves, given.needs, strict=True)):
        mine = found.grads[k]
        assert (mine is not None) == needed, f"gradient of {name}: needed {needed}, given {mine is not None}"
        if mine is not None:
            close(mine, right[1][k], lambda k=k: rough()[1][k], f"gradient of {name}")
    if case.nan != "none":
        sick, healthy = with_nan(case, given)
        assert_unaffected(case, setting, found, run(case, setting.program, sick), healthy)


def close(mine: Tensor, right: Tensor, rough: Callable[[], Tensor], what: str) -> None:
    """As close as the table says, and infinite in the same places: where a stabiliser starts.

    In float32, a few times as far off as the reference in float32 will do: where almost everything cancels, as in the
    normalised product of a single input, there is no better.
    """
    infinite = right.isinf()
    assert torch.equal(mine[infinite].double(), right[infinite]), f"{what}: infinite elsewhere"
    mine, right = (t.masked_fill(infinite, 0.0) for t in (mine, right))
    allowed = TOLERANCE[mine.dtype, "cpu"]
    if mine.dtype == torch.float32 and difference(mine, right) > allowed:
        allowed = max(allowed, ROUGHER * difference(rough().masked_fill(infinite, 0.0), right))
    assert_close(mine, right, allowed, what)


def assert_unaffected(case: Case, setting: Setting, clean: Found, sick: Found, healthy: list[int]) -> None:
    """What is given for healthy sequences is the same to the last bit; for the weights too, if all are healthy."""
    results, leaves = names_of(setting)
    n, i, w = len(setting.states), len(setting.inputs), len(setting.weights)
    whole, state = (slice(None), healthy), (healthy,)
    shared = (...,) if case.nan == "padding" else (slice(0),)
    of_results = [whole, *[state] * n, *[whole] * (len(results) - 1 - n)]
    of_leaves = [*[whole] * i, *[shared] * w, *[state] * n]
    for a, b in ((clean.trained, sick.trained), (clean.inferred, sick.inferred)):
        for name, x, y, rows in zip(results, a, b, of_results, strict=True):
            assert torch.equal(x[rows], y[rows]), f"NaN has spread to {name}"
    for name, x, y, rows in zip(leaves, clean.grads, sick.grads, of_leaves, strict=True):
        if x is not None and y is not None:
            assert torch.equal(x[rows], y[rows]), f"NaN has spread to the gradient of {name}"


# -- the covering array ----------------------------------------------------------------------------------------


def marked(cases):
    """Some cases, from all over the array, are quick."""
    step = max(1, len(cases) // QUICK)
    return [pytest.param(c, id=str(c), marks=[pytest.mark.slow] * (k % step > 0)) for k, c in enumerate(cases)]


@pytest.mark.parametrize("case", marked(every_case()))
def test_kernel(case: Case):
    compare(case, setting_of(case))


@pytest.mark.skipif(FULL_PRODUCT, reason="the whole product holds every pair by its making")
def test_every_pair_of_values_is_tried():
    factors = {**PROGRAM, **CALL}
    missing = set(all_pairs(factors, forbidden)).difference(*(pairs_of(c._asdict(), factors) for c in every_case()))
    assert not missing and {c.cell for c in every_case()} == set(gw.cells)


# -- random graphs ---------------------------------------------------------------------------------------------


def random_setting(recipe: Recipe, *, masks: bool, **options) -> Setting:
    """A program of a random graph, whose parameters are tensors of their own."""
    graph = recipe.graph().simplified()
    case = case_for(graph)
    if masks:
        graph = regularised(graph, zoneout=0.4, training=True)
    sizes, names = case.solve(graph), [p.attr.name for p in graph.params]
    stored = tuple((name,) for name in names)
    program = Program(graph, stored, tuple(zip(names, stored, strict=True)), **options)
    back = (case.inputs[graph.inputs.index(name)] for name, _ in program.looks_back)
    weights = tuple(sizes.shape(p) for p in graph.params)
    return Setting(program, (*case.inputs, *back), weights, tuple(sizes.of_state(s.name) for s in graph.states))


CALLS = st.fixed_dictionaries(
    {
        "reset": st.booleans(),
        "series": st.sampled_from(["none", "every"]),
        "masks": st.sampled_from(["none", "zoneout"]),
        "B": st.integers(1, 7),
        "T": st.integers(0, 4),
        "lengths": st.sampled_from(CALL["lengths"]),
        "reverse": st.booleans(),
        "split": st.sampled_from(CALL["split"]),
    }
)


@pytest.mark.slow
@settings(max_examples=30)
@drawn(recipes(), CALLS)
def test_random_graphs(recipe: Recipe, call: dict):
    case = Case("random", **call)
    options = {"reset": case.reset, "every": case.series == "every"}
    compare(case, random_setting(recipe, masks=case.masks != "none", **options))


# -- one kernel, many calls ------------------------------------------------------------------------------------

PLAIN = Case("lstm", H=17, B=5, T=9, lengths="ragged")


@pytest.mark.parametrize("split", CALL["split"])
def test_the_same_call_gives_the_same_bits(split):
    case = PLAIN._replace(split=split, series="every", masks="both", B=33)
    setting = setting_of(case)
    given = random_numbers(case, setting)
    first, second = run(case, setting.program, given), run(case, setting.program, given)
    for a, b in zip(first.trained + first.inferred + first.grads, second.trained + second.inferred + second.grads,
                    strict=True):  # fmt: skip
        assert a is not None and b is not None and torch.equal(a, b)


def test_layers_of_other_sizes_share_a_kernel():
    for H in (3, 17, 15):
        compare(PLAIN._replace(H=H), setting_of(PLAIN._replace(H=H)))


def test_new_weights_are_seen():
    """Also where they are changed in place, behind torch's back."""
    setting = setting_of(PLAIN)
    given = random_numbers(PLAIN, setting)
    kernel = kernel_of(setting.program.text, PLAIN.real, PLAIN.target)

    def forward() -> Tensor:
        return kernel.forward(given.inputs, given.weights, given.states, given.lengths)[0][0]

    before = forward()
    for w in given.weights:
        w.data.mul_(0.5)
    assert not torch.equal(before, forward())
    assert_close(forward(), expected(setting, given)[0][0], TOLERANCE[torch.float64, "cpu"])


def test_backward_may_be_called_again_and_with_other_threads():
    """What forward saved stays as it is, and holds for any number of threads."""
    case = PLAIN._replace(cell="layer_norm_lstm", B=33)
    setting = setting_of(case)
    given = random_numbers(case, setting)
    kernel = kernel_of(setting.program.text, case.real, case.target)
    leaves = (given.inputs, given.weights, given.states)
    call = (given.lengths, given.reset, given.seed, given.reverse)
    grads = expected(setting, given)[1]
    for unit in (False, True):
        outputs, saved = kernel.forward(*leaves, *call, True, threads=3, unit=unit)
        kept = saved[0].clone()
        for threads in (3, 1, 2):
            found = kernel.backward(
                saved, *leaves, outputs, *call, given.grads, given.needs, threads=threads, unit=unit
            )
            for name, a, b in zip(names_of(setting)[1], found, grads, strict=True):
                assert a is not None
                assert_close(a, b, TOLERANCE[torch.float64, "cpu"], f"gradient of {name}, {threads} threads")
            assert torch.equal(saved[0].view(torch.int64), kept.view(torch.int64))


def test_several_threads_may_call_one_kernel():
    case = PLAIN._replace(T=50, B=7)
    setting = setting_of(case)
    kernel = kernel_of(setting.program.text, case.real, case.target)
    calls = [random_numbers(case._replace(H=16 + k), setting_of(case)) for k in range(4)]  # H seeds the numbers

    def forward(given: Numbers) -> Tensor:
        return kernel.forward(given.inputs, given.weights, given.states, given.lengths, threads=1)[0][0]

    alone = [forward(given) for given in calls]
    assert not torch.equal(alone[0], alone[1])
    with ThreadPoolExecutor(4) as pool:
        for k, y in enumerate(pool.map(forward, calls * 20)):
            assert torch.equal(y, alone[k % 4])


# -- random masks ----------------------------------------------------------------------------------------------


@gw.cell
def following(x, h):
    """The state is its input, so that a unit that zoneout has held is seen."""
    return gw.where(h < 100, x, h)


@pytest.mark.parametrize("real", DTYPES)
@pytest.mark.parametrize("split", ["1", "2 rows", "2 units"])
@pytest.mark.parametrize("seed", [0, 1, (1 << 63) - 1])
def test_masks_are_the_references(real, split, seed):
    graph = regularised(following.graph.simplified(), zoneout=0.5, training=True)
    program = Program(graph, stored=(), parts=(), every=True, stream=stream(2, 1))
    inputs = [torch.randn(20, 5, 33, generator=generator(), dtype=DTYPES[real])]
    states = [torch.randn(5, 33, generator=generator(1), dtype=DTYPES[real])]
    case = Case("following", real=real, split=split)
    kernel = kernel_of(program.text, real, case.target)
    found = kernel.forward(inputs, [], states, seed=seed, threads=case.threads, unit=case.unit)[0]
    for a, b in zip(
        found, by_reference(program, inputs, [], states, (None, None, torch.tensor(seed)), False), strict=True
    ):
        assert torch.equal(a, b)
    assert 0.45 < (found[0] == inputs[0]).double().mean() < 0.55


# -- the guards themselves -------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_end", [True, False])
def test_guards_see_what_is_written(at_end):
    memory = Guarded(at_end=at_end)
    with memory:
        made = torch.empty(5, dtype=torch.float64)
    given = memory.sliced(torch.ones(2, 3, 4, dtype=torch.float64))
    assert made.isnan().all() and bool((given == 1).all())
    memory.check()
    made.fill_(1.0)
    memory.check()  # it may be written to
    made.as_strided((1,), (1,), made.storage_offset() + (-1 if at_end else 5)).fill_(1.0)
    with pytest.raises(AssertionError, match="written outside a tensor of 40 bytes"):
        memory.check()
    memory = Guarded(at_end=at_end)
    memory.copy(torch.ones(3)).add_(1)
    with pytest.raises(AssertionError, match="that was given has been changed"):
        memory.check()
