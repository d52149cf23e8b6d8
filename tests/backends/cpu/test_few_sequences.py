"""Few sequences on one thread: products of inputs are made for many steps at once, as where threads share the units."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import gatewright as gw
from gatewright.backends.cpu.build import planned
from gatewright.backends.cpu.kernel import Kernel, kernel_for
from gatewright.backends.cpu.sizes import FEW, Shape
from tolerances import TOLERANCE, assert_close

CELLS = ("mingru", "qrnn", "lstm")
T, H = 100, 19
"""More steps than one chunk of products has, and units that fill no whole number of vectors."""


def shape_of(kernel: Kernel, layer: gw.Recurrent, steps: int, B: int, threads: int) -> Shape:
    program = kernel.program
    stored = [w.shape for w in layer.stored_weights(0, 0, None)]
    inputs, states = [(steps, B, layer.input_size)], [(B, layer.hidden_size)] * len(program.graph.states)
    return kernel.shape(planned(program, train=False), steps, B, threads, None, inputs, states, stored)


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("steps", [1, 1_000_000])
def test_who_makes_products_ahead_for_many_steps(threads, steps):
    """Whoever has fewer rows in a step than a tile takes, however many threads there are and are worth waking."""
    layer = gw.Recurrent("lstm", 8, 8)
    kernel = kernel_for(layer.programs[False, 0, 0, False, False], "float")
    for B in (1, FEW - 1, FEW, FEW * threads - 1, FEW * threads):
        shape = shape_of(kernel, layer, steps, B, threads)
        assert shape.threads == (threads if steps > 1 else 1)
        assert shape.unit is (shape.threads * FEW > B)


def results(layer: gw.Recurrent, x: Tensor, states: Any, **given) -> list[Tensor]:
    """The output, the final states, and the gradients of the input, the states and all parameters."""
    own = [s.clone().requires_grad_() for s in states]
    x = x.clone().requires_grad_()
    y, state = layer(x, own[0] if len(own) == 1 else tuple(own), **given)
    ends = [state] if isinstance(state, Tensor) else list(state)
    generator = torch.Generator().manual_seed(5)
    losses = [(t * torch.randn(t.shape, generator=generator, dtype=t.dtype)).sum() for t in (y, *ends)]
    return [y, *ends, *torch.autograd.grad(losses, [x, *own, *layer.parameters()])]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("B", [1, 3])
@pytest.mark.parametrize("given", ["plain", "lengths", "reset", "batch first"])
def test_results_are_the_references(cell, B, given):
    """Both directions, every gradient, for any number of threads."""
    torch.manual_seed(3)
    both = {"bidirectional": True, "dtype": torch.float64, "batch_first": given == "batch first"}
    ours = gw.Recurrent(cell, H, H, backend="cpu", **both)
    theirs = gw.Recurrent(cell, H, H, backend="reference", **both)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(B, T, H, dtype=torch.float64)
    options = {}
    if given == "lengths":
        options["lengths"] = torch.tensor([97, 0, T])[:B]
        x[torch.arange(T) >= options["lengths"].unsqueeze(-1)] = float("nan")
    if given == "reset":
        options["reset"] = torch.rand(T, B) < 0.02
    x = x if given == "batch first" else x.transpose(0, 1)
    with torch.no_grad():
        _, state = ours(x, **options)
    ends = [state] if isinstance(state, Tensor) else list(state)
    began = [torch.randn_like(s) for s in ends]
    expected = results(theirs, x, began, **options)
    for threads in (1, 2, 3, 4):
        torch.set_num_threads(threads)
        try:
            found = results(ours, x, began, **options)
            with torch.no_grad():
                inferred = ours(x, began[0] if len(began) == 1 else tuple(began), **options)[0]
        finally:
            torch.set_num_threads(1)
        assert_close(inferred, found[0].detach(), 1e-14, "the output in inference")
        for k, (a, b) in enumerate(zip(found, expected, strict=True)):
            assert_close(a.detach(), b.detach(), TOLERANCE[torch.float64, "cpu"], f"result {k}, {threads} threads")
