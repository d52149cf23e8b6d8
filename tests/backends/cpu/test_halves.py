"""Products of bfloat16 numbers against the reference in float64 whose products round what they multiply."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from kernel_cases import Case, Setting, every_case, kernel_of, setting_of
from test_kernel import compare, random_numbers
from torch import Tensor

from gatewright.backends.cpu import by_reference, halves
from gatewright.backends.cpu.halves import has_halves
from gatewright.backends.cpu.kernel import Kernel
from gatewright.backends.cpu.target import TARGETS, able, host
from gatewright.backends.reference import Reference, product
from gatewright.plan.program import Program
from tolerances import difference

needed = pytest.mark.skipif(
    not has_halves(host(), "float"), reason="this processor has no instruction for products of bfloat16 numbers"
)


# -- the meaning -----------------------------------------------------------------------------------------------


def rounded(t: Tensor) -> Tensor:
    return t.float().bfloat16().to(t.dtype)


class Rounding(torch.autograd.Function):
    """A product that rounds what it multiplies, in its derivatives too; sums are exact."""

    @staticmethod
    def forward(ctx, weight, v):
        ctx.save_for_backward(weight, v)
        return product(rounded(weight), rounded(v))

    @staticmethod
    def backward(ctx, *grads):
        weight, v = (rounded(t.detach()).requires_grad_() for t in ctx.saved_tensors)
        with torch.enable_grad():
            return torch.autograd.grad(product(weight, v), (weight, v), rounded(grads[0]))


@pytest.fixture
def _rounding(monkeypatch):
    """The reference rounds, and kernels do whatever the sizes."""
    monkeypatch.setattr(by_reference, "prepared", lambda graph, names=(): Reference(graph, names, Rounding.apply))
    monkeypatch.setattr(halves, "LEAST", 0)


def halved(case: Case) -> Setting:
    setting = setting_of(case)
    return replace(setting, program=replace(setting.program, halves=True))


CASES = [c for c in every_case() if c.real == "float" and c.target == able()[0]]


@needed
@pytest.mark.usefixtures("_rounding")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_kernel(case: Case):
    """Outputs, states and gradients, in memory with guards around it; NaN where the case has it."""
    compare(case, halved(case))


# -- when ------------------------------------------------------------------------------------------------------


def results(kernel: Kernel, case: Case) -> list[Tensor]:
    """What a kernel gives in training, and its gradients."""
    given = random_numbers(case, setting_of(case))
    leaves = given.inputs, given.weights, given.states
    rest = (given.lengths, given.reset, given.seed, given.reverse)
    outputs, saved = kernel.forward(*leaves, *rest, True)
    grads = kernel.backward(saved, *leaves, outputs, *rest, given.grads, given.needs)
    return [*outputs, *(g for g in grads if g is not None)]


@pytest.mark.parametrize(
    ("case", "target", "rounds"),
    [
        (Case("lstm", "float", H=halves.LEAST), "avx512", True),
        (Case("lstm", "float", H=halves.LEAST - 1, I=halves.LEAST), "avx512", True),
        (Case("lstm", "float", H=halves.LEAST - 1), "avx512", False),
        (Case("lstm", "float", H=halves.LEAST), "avx2", False),
        (Case("lstm", "double", H=halves.LEAST), "avx512", False),
    ],
    ids=str,
)
def test_only_where_it_pays_and_the_processor_can(case, target, rounds):
    if target not in able():
        pytest.skip(f"this machine does not run {target}")
    program = setting_of(case).program
    kernels = [Kernel(p, case.real, TARGETS[target]) for p in (program, replace(program, halves=True))]
    exact, found = (results(kernel, case) for kernel in kernels)
    rounds = rounds and has_halves(host(), "float")
    assert all(torch.equal(a, b) for a, b in zip(exact, found, strict=True)) != rounds
    assert max(map(difference, found, exact)) < 0.05


def test_the_program():
    program = setting_of(Case("gru")).program
    half = replace(program, halves=True)
    assert half.text == program.half_text == half.half_text != program.text
    assert Program.parse(half.text) == half and Program.parse(half.text).halves
    assert half.exact == program and program.exact is program and "halves" not in program.text


@needed
def test_the_same_call_gives_the_same_bits():
    case = Case("lstm", "float", H=40, B=33, T=9, lengths="ragged", split="2 units")
    kernel = kernel_of(halved(case).program.text, case.real, case.target)
    assert all(torch.equal(a, b) for a, b in zip(results(kernel, case), results(kernel, case), strict=True))


# -- numbers ---------------------------------------------------------------------------------------------------


def one_unit(x: Tensor) -> Tensor:
    """One unit of an RNN at each step, from a state of zero: all weights are 1, all biases 0."""
    setting = setting_of(Case("rnn", "float", H=1, I=1))
    (_, *others), units = setting.weights, x.shape[-1]
    weights = [torch.ones(1, units), *(torch.full(shape, float(len(shape) == 2)) for shape in others)]
    kernel = Kernel(replace(setting.program, halves=True), "float")
    return kernel.forward([x], weights, [torch.zeros(x.shape[1], 1)])[0][0]


@needed
@pytest.mark.usefixtures("_rounding")
def test_ties_go_to_even():
    unit = 2.0**-7
    x = torch.tensor([1 + unit / 2, 1 + 3 * unit / 2, 1 + 0.51 * unit, -1 - unit / 2]).view(1, 4, 1)
    expected = torch.tensor([1.0, 1 + 2 * unit, 1 + unit, -1.0]).view(1, 4, 1)
    assert difference(one_unit(x), expected.tanh()) < 1e-6


@needed
@pytest.mark.usefixtures("_rounding")
def test_sums_are_float32():
    """A large term and many small ones, of which a sum in bfloat16 would see nothing."""
    x = torch.full((1, 1, 257), 2.0**-9)
    x[..., 0] = 1.0
    assert difference(one_unit(x), torch.tensor([[[1.5]]]).tanh()) < 1e-6
