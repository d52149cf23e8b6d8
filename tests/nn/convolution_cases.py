"""What the tests of layers of convolutions have in common: frames, layers, and all results of a call."""

from __future__ import annotations

import torch
from torch import Tensor

import gatewright as gw
from cases import generator
from tolerances import assert_close

T, B, C, H = 5, 4, 2, 3
SPACES: dict[int, tuple[int, ...]] = {1: (7,), 2: (4, 5), 3: (3, 4, 2)}
LENGTHS = torch.tensor([3, 0, 5, 1])
RESET = torch.rand(T, B, generator=generator(2)) < 0.3
FAST = ("cpu", "torch")


def sample(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def frames(dims: int = 2, channels: int = C, steps: int = T, seed: int = 0) -> Tensor:
    return sample(steps, B, channels, *SPACES[dims], seed=seed)


def tensors(found) -> list[Tensor]:
    return [found] if isinstance(found, Tensor) else [t for part in found for t in tensors(part)]


def made(
    backend: str,
    cell: gw.Cell | str = "peephole_lstm",
    channels: int | tuple[int, ...] = C,
    hidden: int = H,
    kernel: int | tuple[int, ...] = 3,
    *layers: int,
    **options,
):
    torch.manual_seed(1)
    return gw.ConvRecurrent(
        cell, channels, hidden, kernel, *layers, backend=backend, **({"dtype": torch.float64} | options)
    )


def results(layer, x, hx=None, **given) -> list[Tensor]:
    """Outputs, states, and the gradients of inputs, states and weights for random cotangents."""
    leaves = [t.detach().requires_grad_() for t in tensors(x)]
    began = None if hx is None else [t.detach().requires_grad_() for t in tensors(hx)]
    x = leaves[0] if isinstance(x, Tensor) else tuple(leaves)
    outputs = tensors(layer(x, began if began is None or len(began) > 1 else began[0], **given))
    loss = torch.stack([(y * sample(*y.shape, seed=i)).sum() for i, y in enumerate(outputs)]).sum()
    return [*outputs, *torch.autograd.grad(loss, [*leaves, *(began or ()), *layer.parameters()])]


def check(make, x, hx=None, *, fast=FAST, **given) -> None:
    expected = results(make("reference"), x, hx, **given)
    for backend in fast:
        layer = make(backend)
        assert layer.backend_for(x).name == backend
        for i, (mine, theirs) in enumerate(zip(results(layer, x, hx, **given), expected, strict=True)):
            assert_close(mine, theirs, 1e-10, f"{backend}, result {i}")


@gw.cell
def chained(x, h, c):
    """A cell of one's own: products one after the other, of inputs and of states, and one value for all units."""
    a = gw.tanh(gw.linear(gw.relu(gw.linear(x, name="first")), name="second"))
    r = gw.sigmoid(gw.affine(a, h))
    u = gw.tanh(gw.layer_norm(gw.linear(r * h)) + gw.mean(c))
    v = gw.tanh(gw.linear(u) + gw.diagonal(c) + a)
    c = r * c + (1 - r) * v
    h = gw.linear(gw.tanh(c))
    return h, c
