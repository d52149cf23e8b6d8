"""Layers of convolutions by native code, a whole sequence at once: what a loop over steps would not show."""

from __future__ import annotations

import threading

import pytest
import torch
from convolution_cases import B, C, chained, check, frames, made, results, sample, tensors

from gatewright.backends import framewise, framewise_op
from tolerances import assert_close


@pytest.fixture
def calls(monkeypatch):
    """How often native code has run."""
    seen, run = [], framewise_op.Run.run
    monkeypatch.setattr(framewise_op.Run, "run", lambda self: seen.append(self) or run(self))
    return seen


def test_a_sequence_is_one_operation(calls):
    layer, x = made("cpu", bidirectional=True, num_layers=2), frames()
    layer(x)
    assert len(calls) == 4
    y, _ = made("cpu", "gru", padding_mode="circular", recurrent_kernel_size=1)(x.requires_grad_())
    assert len(calls) == 5 and type(y.grad_fn).__name__ != "StackBackward0"


@pytest.mark.parametrize("cell", ["lstm", "gru", "gru_original", "peephole_lstm", chained])
def test_several_threads(cell):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        check(lambda backend: made(backend, cell, hidden=20), frames(), lengths=[5, 5, 2, 1], fast=("cpu",))
        x = sample(3, 8, C, 24, 24)
        check(lambda backend: made(backend, cell, hidden=12), x, fast=("cpu",))
    finally:
        torch.set_num_threads(before)


def test_two_callers_at_once():
    """What is prepared is lent to one call at a time."""
    layer, xs = made("cpu"), [frames(seed=i) for i in range(4)]
    expected = [results(layer, x) for x in xs]
    found: list = [None] * len(xs)

    def work(i: int) -> None:
        for _ in range(5):
            found[i] = results(layer, xs[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(xs))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for mine, theirs in zip(found, expected, strict=True):
        for a, b in zip(mine, theirs, strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn", "qrnn"])
def test_inference_by_chunks(cell, monkeypatch):
    """Where nothing is kept, the products of inputs are made for some steps at a time."""
    layer, x = made("cpu", cell), frames()
    expected, states = layer(x, lengths=[5, 4, 2, 0])
    monkeypatch.setattr(framewise, "CHUNK", 1)
    with torch.no_grad():
        y, found = made("cpu", cell)(x, lengths=[5, 4, 2, 0])
    assert_close(y, expected, 1e-12)
    for a, b in zip(tensors(found), tensors(states), strict=True):
        assert_close(a, b, 1e-12)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_outputs_may_be_written_to(cell):
    """Nothing that backward reads lies in what a call gives."""
    layer, x = made("cpu", cell), frames()
    y, _ = layer(x)
    (expected,) = torch.autograd.grad(y.relu().sum(), [layer.get_parameter("U_l0")])
    y, states = layer(x)
    for s in tensors(states):
        s.detach().fill_(float("nan"))
    (found,) = torch.autograd.grad(y.relu_().sum(), [layer.get_parameter("U_l0")])
    assert_close(found, expected, 1e-12)


def test_a_graph_is_used_once_or_as_often_as_it_is_kept():
    layer, x = made("cpu"), frames()
    loss = layer(x)[0].square().sum()
    first = torch.autograd.grad(loss, list(layer.parameters()), retain_graph=True)
    for a, b in zip(torch.autograd.grad(loss, list(layer.parameters())), first, strict=True):
        assert torch.equal(a, b)
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(loss, list(layer.parameters()))


def test_weights_that_have_changed_since_are_an_error():
    layer = made("cpu")
    loss = layer(frames())[0].square().sum()
    with torch.no_grad():
        layer.get_parameter("U_l0").add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_derivatives_of_derivatives_and_many_cotangents():
    layer, x = made("cpu", "gru_original"), frames(steps=3).requires_grad_()
    y, _ = layer(x, lengths=[3, 1, 2, 0])
    along = sample(2, *y.shape)
    (many,) = torch.autograd.grad(y, x, along, is_grads_batched=True, retain_graph=True)
    for found, one in zip(many, along, strict=True):
        assert_close(found, torch.autograd.grad(y, x, one, retain_graph=True)[0], 1e-10)
    (g,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    own = made("reference", "gru_original")
    x2 = x.detach().requires_grad_()
    (g2,) = torch.autograd.grad(own(x2, lengths=[3, 1, 2, 0])[0].square().sum(), x2, create_graph=True)
    for a, b in zip(
        torch.autograd.grad(g.square().sum(), [x, *layer.parameters()]),
        torch.autograd.grad(g2.square().sum(), [x2, *own.parameters()]),
        strict=True,
    ):
        assert_close(a, b, 1e-9)


@pytest.mark.parametrize("cell", ["lstm", "gru", "gru_original", "slstm"])
def test_many_steps(cell):
    """From the fourth step on they are repeated."""
    check(lambda backend: made(backend, cell), frames(steps=9), fast=("cpu",))
    check(lambda backend: made(backend, cell), frames(steps=9), lengths=[9, 9, 8, 1], fast=("cpu",))


def test_part_of_the_gradients():
    """Inputs and weights that need none."""
    layer, x = made("cpu", num_layers=2), frames()
    expected = dict(zip(dict(layer.named_parameters()), results(layer, x)[-8:], strict=True))
    layer.get_parameter("W_l0").requires_grad_(False)
    y, states = layer(x)
    outputs = tensors((y, states))
    loss = torch.stack([(t * sample(*t.shape, seed=i)).sum() for i, t in enumerate(outputs)]).sum()
    loss.backward()
    assert layer.get_parameter("W_l0").grad is None
    for name, p in layer.named_parameters():
        if name != "W_l0":
            assert p.grad is not None
            assert_close(p.grad, expected[name], 1e-12)
    assert x.shape[1] == B
