"""Layers of convolutions over sequences: masks, pieces of a sequence, and what a layer is as a module."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from convolution_cases import LENGTHS, SPACES, B, C, H, T, frames, made, sample, tensors
from torch import Tensor

import gatewright as gw
from tolerances import assert_close

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit.script.* is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning"),
]

# -- sequences -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["cpu", "torch", "reference"])
def test_what_is_masked_reaches_nothing(backend):
    layer, x = made(backend, bidirectional=True), frames()
    x[3:, 0], x[:, 1], x[1:, 3] = float("nan"), float("inf"), float("nan")
    y, states = layer(x.requires_grad_(), lengths=LENGTHS)
    (y.sum() + sum(s.sum() for s in states)).backward()
    assert (y[3:, 0] == 0).all() and (y[:, 1] == 0).all()
    found = [y, *states, x.grad, *(p.grad for p in layer.parameters())]
    assert all(torch.isfinite(t).all() for t in found)


@pytest.mark.parametrize("backend", ["cpu", "torch", "reference"])
def test_a_nan_stays_in_its_sequence(backend):
    x = frames()
    x[1, 2, 0, 1, 1] = float("nan")
    y, _ = made(backend)(x, lengths=[5, 5, 5, 2])
    assert y[1:, 2].isnan().any()
    assert torch.isfinite(y[:, [0, 1, 3]]).all()


@pytest.mark.parametrize("name", ["peephole_lstm", "gru", "qrnn", "slstm"])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_sequence_in_pieces_and_step_by_step(backend, name):
    layer, x = made(backend, name), frames()
    whole, last = layer(x)
    first, state = layer(x[:2])
    second, state = layer(x[2:4], state)
    third, state = layer.step(x[4], state)
    assert_close(torch.cat([first, second, third.unsqueeze(0)]), whole, 1e-12)
    for mine, theirs in zip(tensors(state), tensors(last), strict=True):
        assert_close(mine, theirs, 1e-12)


@pytest.mark.parametrize("backend", ["cpu", "torch", "reference"])
def test_one_sequence_and_none(backend):
    layer, x = made(backend), frames()
    y, (h, c) = layer(x[:, 0])
    batched, (_, cs) = layer(x[:, :1])
    assert y.shape == (T, H, *SPACES[2]) and h.shape == c.shape == (1, H, *SPACES[2])
    assert_close(y, batched[:, 0], 1e-12)
    assert_close(c, cs[:, 0], 1e-12)
    y, state = layer(x[:0], (torch.ones(1, B, H, *SPACES[2], dtype=torch.float64),) * 2)
    assert y.shape == (0, B, H, *SPACES[2]) and all((s == 1).all() for s in state)
    y, (h, _) = layer(x[:, :0])
    assert y.shape == (T, 0, H, *SPACES[2]) and h.shape == (1, 0, H, *SPACES[2])


def test_an_input_that_stands_still():
    """For each pixel, or the same for all pixels."""
    x, still = frames(), sample(B, 4, *SPACES[2], seed=1)
    layer = made("cpu", "ea_lstm", (C, 4))
    y, _ = layer((x, still))
    expected, _ = layer((x, still.expand(T, *still.shape)))
    assert_close(y, expected, 1e-12)
    level = still[..., 0, 0]
    y, _ = layer((x, level))
    expected, _ = layer((x, level[..., None, None].expand_as(still)))
    assert_close(y, expected, 1e-12)
    alone, _ = layer((x[:, 0], level[0]))
    assert_close(alone, y[:, 0], 1e-12)


# -- as a module ---------------------------------------------------------------------------------------------


def test_saving_loading_and_copying(tmp_path):
    layer, x = made("cpu", num_layers=2, bidirectional=True), frames()
    y, _ = layer(x)
    torch.save(layer.state_dict(), tmp_path / "weights")
    fresh = made("cpu", num_layers=2, bidirectional=True)
    fresh.reset_parameters()
    fresh.load_state_dict(torch.load(tmp_path / "weights"))
    for again in (fresh, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(again(x)[0], y)


def test_rows_are_matched_by_name():
    """The lines of a cell in another order load into the right gates."""

    @gw.cell
    def turned(x, h, c):
        o = gw.sigmoid(gw.affine(x, h))
        g = gw.tanh(gw.affine(x, h))
        f = gw.sigmoid(gw.affine(x, h))
        i = gw.sigmoid(gw.affine(x, h))
        c = f * c + i * g
        h = o * gw.tanh(c)
        return h, c

    one, other = made("cpu", "lstm"), made("cpu", turned)
    assert not torch.allclose(other(frames())[0], one(frames())[0])
    other.load_state_dict(one.state_dict())
    assert_close(other(frames())[0], one(frames())[0], 1e-12)


def test_weights_begin_as_those_of_other_layers():
    views = made("cpu", "lstm", hidden=8).weights()
    assert (views["b_f"] == 1).all() and (views["b_i"] == 0).all()
    u = views["U_g"].flatten(1)
    assert_close(u @ u.T, torch.eye(8, dtype=torch.float64), 1e-10)


def test_second_derivatives_and_transforms():
    layer = made("cpu", "gru", 1, 2, 2, dims=1)
    x = sample(2, 1, 1, 3).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: layer(x)[0], (x,))
    tangent = sample(2, 1, 1, 3, seed=1)
    forward = torch.func.jvp(lambda x: layer(x)[0], (x.detach(),), (tangent,))[1]
    expected = torch.autograd.functional.jvp(lambda x: layer(x)[0], x.detach(), tangent)[1]
    assert isinstance(expected, Tensor)
    assert_close(forward, expected, 1e-10)


def test_other_dtypes_and_autocast():
    layer = gw.ConvRecurrent("lstm", C, H, 3)
    x = frames().float()
    y, _ = layer(x)
    with torch.autocast("cpu"):
        low, (h, c) = layer(x)
    assert low.dtype == h.dtype == c.dtype == torch.float32
    assert_close(low, y, 0.03)
    half = layer.to(torch.bfloat16)
    assert half.backend_for(x.bfloat16()).name == "torch"
    assert half(x.bfloat16())[0].dtype == torch.bfloat16


def test_dropout_between_layers():
    layer, x = made("cpu", num_layers=2, dropout=0.5), frames()
    assert not torch.equal(layer(x)[0], layer(x)[0])
    layer.eval()
    assert torch.equal(layer(x)[0], layer(x)[0])


def test_its_text():
    layer = gw.ConvRecurrent("gru", 2, 3, (3, 5), 2, padding_mode="circular", peephole_size=8, backend="torch")
    expected = "gru, 2, 3, kernel_size=(3, 5), num_layers=2, padding_mode='circular', peephole_size=(8, 8)"
    assert repr(layer) == f"ConvRecurrent({expected}, backend='torch')"
