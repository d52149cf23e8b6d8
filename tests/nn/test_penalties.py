"""Activation and temporal activation penalties: against sums in plain Python, with lengths, resets and gradients."""

from __future__ import annotations

import re

import pytest
import torch
from torch.autograd import gradcheck

import gatewright as gw
from cases import generator
from gatewright import penalties

T, B, H = 6, 4, 5
LENGTHS = torch.tensor([6, 2, 0, 4])
RESET = torch.rand(T, B, generator=generator(3)) < 0.4
Y = torch.randn(T, B, H, generator=generator(), dtype=torch.float64)


def laid(x, batch_first):
    return x.transpose(0, 1) if batch_first else x


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("lengths", [None, LENGTHS, LENGTHS.tolist()], ids=["whole", "tensor", "list"])
def test_activation(lengths, batch_first):
    ends = LENGTHS if lengths is not None else torch.full((B,), T)
    terms = [v**2 for b, n in enumerate(ends) for v in Y[:n, b].flatten().tolist()]
    found = penalties.activation(laid(Y, batch_first), 2.0, lengths=lengths, batch_first=batch_first)
    assert float(found) == pytest.approx(2 * sum(terms) / len(terms), rel=1e-12)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("reset", [None, RESET], ids=["no reset", "reset"])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
def test_temporal_activation(lengths, reset, batch_first):
    ends = LENGTHS if lengths is not None else torch.full((B,), T)
    terms = [
        v**2
        for b, n in enumerate(ends)
        for t in range(1, n)
        if reset is None or not reset[t, b]
        for v in (Y[t, b] - Y[t - 1, b]).tolist()
    ]
    given = None if reset is None else laid(reset, batch_first)
    found = penalties.temporal_activation(
        laid(Y, batch_first), 0.5, lengths=lengths, reset=given, batch_first=batch_first
    )
    assert float(found) == pytest.approx(0.5 * sum(terms) / len(terms), rel=1e-12)


def test_one_sequence_and_a_weight_that_is_a_tensor():
    y = Y[:, 0]
    weight = torch.tensor(3.0, dtype=torch.float64)
    torch.testing.assert_close(penalties.activation(y, weight, lengths=[4]), 3 * y[:4].square().mean())
    reset = torch.tensor([True, False, True, False, False, False])
    kept = (y[1:] - y[:-1])[~reset[1:]]
    torch.testing.assert_close(penalties.temporal_activation(y, 1.0, reset=reset), kept.square().mean())


@pytest.mark.parametrize("shape", [(0, B, H), (T, 0, H), (1, B, H)])
def test_nothing_to_count_costs_nothing(shape):
    y = torch.zeros(shape, requires_grad=True)
    found = penalties.temporal_activation(y, 1.0) + penalties.activation(y, 1.0)
    assert found == 0
    found.backward()
    y = Y.clone().requires_grad_()
    found = penalties.activation(y, 1.0, lengths=[0] * B) + penalties.temporal_activation(y, 1.0, lengths=[1] * B)
    found.backward()
    assert found == 0 and (y.grad == 0).all()


def test_gradients():
    y = Y.clone().requires_grad_()
    assert gradcheck(lambda y: penalties.activation(y, 2.0, lengths=LENGTHS), y)
    assert gradcheck(lambda y: penalties.temporal_activation(y, 2.0, lengths=LENGTHS, reset=RESET), y)


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_nothing_of_the_padding_gets_through(poison):
    inside = gw.sequences.mask(LENGTHS, T)
    y = torch.where(inside.unsqueeze(-1), Y, poison).requires_grad_()
    found = penalties.activation(y, 1.0, lengths=LENGTHS) + penalties.temporal_activation(y, 1.0, lengths=LENGTHS)
    clean = penalties.activation(Y, 1.0, lengths=LENGTHS) + penalties.temporal_activation(Y, 1.0, lengths=LENGTHS)
    assert torch.equal(found, clean)
    found.backward()
    assert torch.isfinite(y.grad).all() and (y.grad[~inside] == 0).all()


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_they_push_a_layer_towards_less(backend):
    layer = gw.Recurrent("lstm", 3, H, backend=backend, dtype=torch.float64)
    x = torch.randn(T, B, 3, generator=generator(1), dtype=torch.float64)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)
    losses = []
    for _ in range(5):
        y, _ = layer(x, lengths=LENGTHS)
        loss = penalties.activation(y, 2.0, lengths=LENGTHS) + penalties.temporal_activation(y, 1.0, lengths=LENGTHS)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses == sorted(losses, reverse=True)


def test_they_compile_whole():
    def both(y, lengths):
        return penalties.activation(y, 2.0, lengths=lengths) + penalties.temporal_activation(y, 1.0, lengths=lengths)

    found = torch.compile(both, fullgraph=True, backend="aot_eager")(Y, LENGTHS)
    torch.testing.assert_close(found, both(Y, LENGTHS))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: penalties.activation([1], 1.0), TypeError, "y: expected a tensor, a layer's output, got list"),
        (lambda: penalties.activation(Y[0, 0], 1.0), ValueError, "y: expected (T, B, features) or (T, features)"),
        (lambda: penalties.activation(Y, -1), ValueError, "alpha: expected a number from 0, got -1"),
        (lambda: penalties.temporal_activation(Y, "a"), TypeError, "beta: expected a number, got 'a'"),
        (lambda: penalties.activation(Y, 1.0, lengths=[9] * B), ValueError, "lengths: expected at most the input's 6"),
        (lambda: penalties.temporal_activation(Y, 1.0, reset=RESET.T), ValueError, "reset: expected shape (6, 4)"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_named(call, error, message):
    with pytest.raises(error, match="^" + re.escape(message)):
        call()
