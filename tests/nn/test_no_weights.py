"""A cell without any weight is a layer as any other."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import gatewright as gw
from cases import generator
from tolerances import assert_close

T, B, H = 6, 3, 4
BACKENDS = ["cpu", "reference"]


@gw.cell
def leaky(x, h):
    """h = 0.9 h + 0.1 tanh(x)."""
    return 0.9 * h + 0.1 * gw.tanh(x, name="g")


def sample(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(3), dtype=dtype)


def layer_of(**options) -> gw.Recurrent:
    return gw.Recurrent(leaky, H, H, 2, dtype=torch.float64, **options)


def by_hand(x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    found = []
    for x_t in x:
        h = 0.9 * h + 0.1 * torch.tanh(x_t)
        found.append(h)
    return torch.stack(found)


@pytest.mark.parametrize("backend", BACKENDS)
def test_values_and_gradients(backend):
    layer = layer_of(backend=backend)
    x, h = sample(T, B, H).requires_grad_(), sample(2, B, H).requires_grad_()
    y, _ = layer(x, h)
    expected = by_hand(by_hand(x, h[0]), h[1])
    assert_close(y, expected, 1e-12)
    weight = sample(T, B, H)
    found, wanted = (torch.autograd.grad((z * weight).sum(), (x, h), retain_graph=True) for z in (y, expected))
    for ours, theirs in zip(found, wanted, strict=True):
        assert_close(ours, theirs, 1e-12)
    stepped, state = [], h.detach()
    for x_t in x.detach():
        out, state = layer.step(x_t, state)
        stepped.append(out)
    assert_close(torch.stack(stepped), expected.detach(), 1e-12)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_lengths_resets_and_both_directions(bidirectional, batch_first):
    options = {"bidirectional": bidirectional, "batch_first": batch_first, "merge": "sum", "zoneout": 0.3}
    layers = [layer_of(backend=backend, **options) for backend in BACKENDS]
    x, reset = sample(T, B, H), torch.rand(T, B, generator=generator(1)) < 0.3
    if batch_first:
        x, reset = x.transpose(0, 1).contiguous(), reset.T.contiguous()
    found = []
    for layer in layers:
        torch.manual_seed(5)
        given = x.clone().requires_grad_()
        y, h = layer(given, lengths=[T, 0, 2], reset=reset)
        found.append((y, h, *torch.autograd.grad(y.square().sum() + h.sum(), given)))
    for ours, theirs in zip(*found, strict=True):
        assert_close(ours, theirs, 1e-12)


def test_dtype_and_device_are_those_that_were_asked_for():
    layer = gw.Recurrent(leaky, H, H)
    assert layer(sample(T, B, H, dtype=torch.float32))[0].dtype == torch.float32
    with pytest.raises(ValueError, match=r"input: expected dtype torch\.float32, as the weights have, got"):
        layer(sample(T, B, H))
    assert layer.double()(sample(T, B, H))[0].dtype == torch.float64
    assert layer.to("meta")(sample(T, B, H).to("meta"))[0].is_meta
    with pytest.raises(ValueError, match="input: expected device meta"):
        layer(sample(T, B, H))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda layer: layer])
def test_a_state_dict_without_weights(copied):
    layer = copied(gw.Recurrent(leaky, H, H))
    assert list(layer.state_dict()) == ["row_names"] and not list(layer.parameters())
    assert layer.load_state_dict(gw.Recurrent(leaky, H, H, 2).state_dict()) == ([], [])


def test_inside_other_modules():
    x = sample(T, B, H)
    deep = gw.Deep([layer_of(), nn.Linear(H, H, dtype=torch.float64), gw.GRU(H, H, dtype=torch.float64)], norm="pre")
    assert deep(x)[0].shape == (T, B, H)
    both = gw.Ensemble(layer_of(), 2)(x, lengths=[T, 0, 2])[0]
    assert_close(both[0], layer_of()(x, lengths=[T, 0, 2])[0], 1e-12)
    assert torch.equal(both[0], both[1])
    frames = gw.ConvRecurrent(leaky, H, H, 3, dims=1, dtype=torch.float64)
    assert_close(frames(x.unsqueeze(-1))[0].squeeze(-1), by_hand(x, x.new_zeros(B, H)), 1e-12)
    stream = gw.Stream(layer_of())
    assert_close(torch.stack([stream(x_t) for x_t in x]), layer_of()(x)[0], 1e-12)
