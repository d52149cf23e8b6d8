"""Masks, last outputs and padding: against loops over sequences, with every gradient."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

import gatewright as gw
from cases import generator
from gatewright import sequences

T, B, I, H = 6, 4, 3, 5
LENGTHS = torch.tensor([6, 2, 0, 4])
BOTH = pytest.mark.parametrize("batch_first", [False, True])


def sample(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def laid(x: Tensor, batch_first: bool) -> Tensor:
    return x.transpose(0, 1) if batch_first else x


# -- masks ---------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("given", [LENGTHS, LENGTHS.tolist(), LENGTHS.int()], ids=["tensor", "list", "int32"])
def test_a_mask_says_which_steps_are_valid(given, batch_first):
    found = sequences.mask(given, T, batch_first=batch_first)
    expected = torch.tensor([[t < n for n in LENGTHS] for t in range(T)])
    assert torch.equal(found, laid(expected, batch_first))
    assert torch.equal(sequences.lengths_of(found, batch_first=batch_first), LENGTHS)
    assert torch.equal(
        sequences.lengths_of(laid(expected.flip(0), batch_first), padding="left", batch_first=batch_first), LENGTHS
    )


def test_a_mask_is_as_long_as_the_longest():
    assert sequences.mask([2, 4]).shape == (4, 2)
    assert sequences.mask(torch.tensor([0])).shape == (0, 1)
    assert sequences.mask([]).shape == (0, 0)
    assert sequences.lengths_of(torch.zeros(0, 3, dtype=torch.bool)).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("mask", "options", "error", "message"),
    [
        ([1], {}, TypeError, "mask: expected a boolean tensor, got list"),
        (torch.ones(2, 2), {}, ValueError, "mask: expected a boolean tensor, got torch.float32; mask.bool() makes one"),
        (torch.tensor([True]), {}, ValueError, "mask: expected two dimensions, (T, B), got shape (1,)"),
        (torch.tensor([[True, False, True]]).T, {}, ValueError,
         "mask: expected all padding on the right, got step 2 of sequence 0 beyond padding; is batch_first what"),
        (torch.tensor([[False, True, True]]).T, {}, ValueError,
         "mask: expected all padding on the right, got step 1 of sequence 0 beyond padding; it is padded on"),
        (torch.tensor([[True, True], [True, False]]).T, {"padding": "left"}, ValueError,
         "mask: expected all padding on the left, got step 0 of sequence 1 beyond padding"),
        (torch.ones(2, 2).bool(), {"padding": "up"}, ValueError, "padding: expected 'right' or 'left', got 'up'"),
    ],
)  # fmt: skip
def test_a_wrong_mask_is_named(mask, options, error, message):
    with pytest.raises(error, match="^" + re.escape(message)):
        sequences.lengths_of(mask, **options)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: sequences.mask([3], 2), ValueError, "lengths: expected at most the input's 2 steps, got 3"),
        (lambda: sequences.mask([1.5], 2), TypeError, "lengths: expected a tensor or a list of whole numbers"),
        (lambda: sequences.mask([1], -1), ValueError, "steps: expected at least 0, got -1"),
        (lambda: sequences.last([1]), TypeError, "y: expected a tensor, got list"),
        (lambda: sequences.last(torch.zeros(3)), ValueError, "y: expected at least two dimensions, (T, B, …)"),
        (lambda: sequences.last(torch.zeros(3, 2, 5), bidirectional=True), ValueError,
         "y: expected an even number of features, those of two directions, got 5"),
        (lambda: sequences.last(torch.zeros(3, 2, 4), [1]), ValueError, "lengths: expected one for each of the 2"),
        (lambda: sequences.from_left_padding(torch.zeros(3, 2), torch.ones(2, 3).bool()), ValueError,
         "lengths: expected a mask of shape (3, 2), as x has, got shape (2, 3)"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_named(call, error, message):
    with pytest.raises(error, match="^" + re.escape(message)):
        call()


# -- the last output -----------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_the_last_output_is_the_final_state(backend, bidirectional, batch_first):
    """In values and in every gradient; sequences of length 0 give 0, where the state is the one they began with."""
    layer = gw.Recurrent(
        "gru", I, H, bidirectional=bidirectional, batch_first=batch_first, backend=backend, dtype=torch.float64
    )
    x = laid(sample(T, B, I), batch_first).clone().requires_grad_()
    y, h = layer(x, lengths=LENGTHS)
    found = sequences.last(y, LENGTHS, bidirectional=bidirectional, batch_first=batch_first)
    expected = torch.cat(list(h), -1)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    along = sample(*found.shape, seed=1)
    leaves = [x, *layer.parameters()]
    for a, b in zip(
        torch.autograd.grad(found, leaves, along, retain_graph=True),
        torch.autograd.grad(expected, leaves, along),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shape", [(T, B, H), (T, B, 4, 3, 2)])
def test_without_lengths_it_is_the_last_step(shape):
    y = sample(*shape)
    assert torch.equal(sequences.last(y), y[-1])
    assert torch.equal(sequences.last(y.transpose(0, 1), batch_first=True), y[-1])


def test_one_sequence():
    y = sample(T, 4)
    assert torch.equal(sequences.last(y), y[-1])
    assert torch.equal(sequences.last(y, 3), y[2])
    assert torch.equal(sequences.last(y, [3], bidirectional=True), torch.cat([y[2, :2], y[0, 2:]]))
    assert torch.equal(sequences.last(y, [3], batch_first=True), y[2])


def test_no_steps_at_all():
    assert torch.equal(sequences.last(torch.zeros(0, 2, 3), [0, 0]), torch.zeros(2, 3))


def test_nothing_of_the_padding_gets_through():
    y = sample(T, B, 4)
    inside = sequences.mask(LENGTHS, T)
    y = torch.where(inside.unsqueeze(-1), y, torch.nan).requires_grad_()
    found = sequences.last(y, LENGTHS, bidirectional=True)
    assert torch.isfinite(found).all() and (found[2] == 0).all()
    found.square().sum().backward()
    assert torch.isfinite(y.grad).all()
    assert (y.grad[~inside] == 0).all()


# -- padding on the left -------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("shape", [(T, B), (T, B, I), (T, B, 2, 3)], ids=len)
@pytest.mark.parametrize("masked", [False, True])
def test_left_padding_moves_every_sequence(shape, masked, batch_first):
    x = sample(*shape)
    expected = torch.full_like(x, 9.0)
    for b, n in enumerate(LENGTHS):
        expected[:n, b] = x[T - n :, b]
    left = sequences.mask(LENGTHS, T).flip(0)
    given = laid(left, batch_first) if masked else LENGTHS
    found = sequences.from_left_padding(laid(x, batch_first), given, batch_first=batch_first, padding_value=9.0)
    assert torch.equal(laid(found, batch_first), expected)
    given = laid(sequences.mask(LENGTHS, T), batch_first) if masked else LENGTHS
    back = sequences.to_left_padding(found, given, batch_first=batch_first)
    inside = left.reshape(T, B, *(1,) * (x.dim() - 2))
    assert torch.equal(laid(back, batch_first), torch.where(inside, x, 0.0))


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool])
def test_tokens_and_masks_move_too(dtype):
    x = torch.tensor([[0, 0], [0, 1], [1, 1]]).to(dtype)
    assert sequences.from_left_padding(x, [1, 2]).tolist() == torch.tensor([[1, 1], [0, 1], [0, 0]]).to(dtype).tolist()


@pytest.mark.parametrize("function", [sequences.from_left_padding, sequences.to_left_padding])
def test_moving_is_differentiable(function):
    x = sample(T, B, I).requires_grad_()
    assert gradcheck(lambda x: function(x, LENGTHS), x)
    poisoned = torch.full_like(x, torch.nan)
    inside = sequences.mask(LENGTHS, T)
    inside = inside.flip(0) if function is sequences.from_left_padding else inside
    y = function(torch.where(inside.unsqueeze(-1), x, poisoned), LENGTHS)
    assert torch.isfinite(y).all()


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_left_padded_batch_gives_what_its_sequences_give_alone(backend):
    layer = gw.LSTM(I, H, bidirectional=True, backend=backend, dtype=torch.float64)
    x = sample(T, B, I)
    left = sequences.mask(LENGTHS, T).flip(0)
    lengths = sequences.lengths_of(left, padding="left")
    y, _ = layer(sequences.from_left_padding(x, left), lengths=lengths)
    y = sequences.to_left_padding(y, lengths)
    for b, n in enumerate(LENGTHS):
        assert (y[: T - n, b] == 0).all()
        if n:
            torch.testing.assert_close(y[T - n :, b], layer(x[T - n :, b])[0], rtol=1e-10, atol=1e-12)


# -- tracing -------------------------------------------------------------------------------------------------


def everything(y: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
    inside = sequences.mask(lengths, y.shape[0])
    left = sequences.to_left_padding(y, lengths)
    again = sequences.from_left_padding(left, lengths)
    return inside, sequences.lengths_of(inside), left, again, sequences.last(again, lengths, bidirectional=True)


def test_it_compiles_whole():
    y = sample(T, B, 4)
    compiled = torch.compile(everything, fullgraph=True, backend="aot_eager")
    for found, expected in zip(compiled(y, LENGTHS), everything(y, LENGTHS), strict=True):
        assert torch.equal(found, expected)


def test_it_exports_with_any_batch_and_time():
    class Module(torch.nn.Module):
        def forward(self, y, lengths):
            return everything(y, lengths)

    time, batch = torch.export.Dim("time", min=2), torch.export.Dim("batch", min=2)
    shapes = ({0: time, 1: batch}, {0: batch})
    program = torch.export.export(Module(), (sample(T, B, 4), LENGTHS), dynamic_shapes=shapes).module()
    y, lengths = sample(9, 2, 4, seed=3), torch.tensor([9, 0])
    for found, expected in zip(program(y, lengths), everything(y, lengths), strict=True):
        assert torch.equal(found, expected)


def test_vmap():
    y = sample(3, T, B, 4)
    found = torch.func.vmap(lambda y: sequences.last(y, LENGTHS))(y)
    assert torch.equal(found, torch.stack([sequences.last(one, LENGTHS) for one in y]))
