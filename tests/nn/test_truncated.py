"""Truncated back-propagation: the values of a whole run, and gradients that stop where they must."""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

import gatewright as gw
from cases import generator

T, B, I, H = 11, 3, 4, 5
LENGTHS = torch.tensor([11, 2, 6])
BACKENDS = pytest.mark.parametrize("backend", ["cpu", "reference"])


def sample(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def laid(x: Tensor, batch_first: bool) -> Tensor:
    return x.transpose(0, 1) if batch_first else x


# -- detaching -----------------------------------------------------------------------------------------------


class Pair(NamedTuple):
    h: Tensor
    c: Tensor | None


def test_detach_keeps_the_nest():
    h = torch.ones(2, requires_grad=True) * 2
    found = gw.detach({"a": [h, (h, None)], "b": Pair(h, None), "steps": 3})
    assert type(found["b"]) is Pair and type(found["a"]) is list and type(found["a"][1]) is tuple
    assert found["steps"] == 3 and found["a"][1][1] is None
    for part in (found["a"][0], found["a"][1][0], found["b"].h):
        assert torch.equal(part, h) and not part.requires_grad
    with pytest.raises(TypeError, match=r"^state: expected tensors in tuples, lists and dicts, got set$"):
        gw.detach({h})


# -- the values of a whole run -------------------------------------------------------------------------------


@BACKENDS
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("k", [1, 4, 11, 20])
def test_parts_are_the_whole(backend, batch_first, k):
    layer = gw.Recurrent("lstm", I, H, 2, batch_first=batch_first, backend=backend, dtype=torch.float64)
    x = laid(sample(T, B, I), batch_first)
    state = (sample(2, B, H, seed=1), sample(2, B, H, seed=2))
    reset = laid(torch.rand(T, B, generator=generator(3)) < 0.2, batch_first)
    expected, final = layer(x, state, lengths=LENGTHS, reset=reset)
    parts = list(gw.truncated(layer, x, k, state, lengths=LENGTHS, reset=reset))
    assert len(parts) == -(-T // k)
    torch.testing.assert_close(torch.cat([y for y, _ in parts], 1 if batch_first else 0), expected)
    for found, wanted in zip(parts[-1][1], final, strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("single", [False, True])
def test_torchs_layers_run_too(single):
    layer = nn.LSTM(I, H, batch_first=True, dtype=torch.float64)
    x = sample(T, I) if single else sample(B, T, I)
    found = torch.cat([y for y, _ in gw.truncated(layer, x, 4)], 0 if single else 1)
    torch.testing.assert_close(found, layer(x)[0])


def test_one_sequence_of_a_batch_first_layer():
    layer = gw.GRU(I, H, batch_first=True, dtype=torch.float64)
    x, reset = sample(T, I), torch.arange(T) == 5
    parts = [y for y, _ in gw.truncated(layer, x, 4, reset=reset, lengths=[9])]
    torch.testing.assert_close(torch.cat(parts), layer(x, reset=reset, lengths=[9])[0])


def test_several_inputs_are_cut_where_they_have_steps():
    layer = gw.Recurrent("ea_lstm", (I, 2), H, dtype=torch.float64)
    x, static = sample(T, B, I), sample(B, 2, seed=1)
    for given in (static, static.expand(T, B, 2)):
        parts = [y for y, _ in gw.truncated(layer, (x, given), 3)]
        torch.testing.assert_close(torch.cat(parts), layer((x, static))[0])


def test_a_state_that_looks_back_goes_on():
    layer = gw.Recurrent("qrnn", I, H, dtype=torch.float64)
    x = sample(T, B, I)
    torch.testing.assert_close(torch.cat([y for y, _ in gw.truncated(layer, x, 4)]), layer(x)[0])


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("single", [False, True])
def test_a_stack_of_different_layers(single, batch_first):
    how = {"batch_first": batch_first, "dtype": torch.float64}
    deep = gw.Deep([gw.LSTM(I, H, **how), gw.GRU(H, H, **how)])
    x = sample(T, I) if single else laid(sample(T, B, I), batch_first)
    parts = [y for y, _ in gw.truncated(deep, x, 4)]
    torch.testing.assert_close(torch.cat(parts, 1 if batch_first and not single else 0), deep(x)[0])


class Tagger(nn.Module):
    """A model of one's own: tokens, two recurrences, and a dict for a state."""

    def __init__(self):
        super().__init__()
        self.embed, self.out = nn.Embedding(7, I), nn.Linear(H, 2)
        self.low, self.high = gw.LSTM(I, H), gw.GRU(H, H)

    def forward(self, tokens, state=None):
        state = state or {"low": None, "high": None}
        y, low = self.low(self.embed(tokens), state["low"])
        y, high = self.high(y, state["high"])
        return {"scores": self.out(y), "features": y}, {"low": low, "high": high}


@pytest.mark.parametrize("through", [None, 8])
def test_a_model_of_ones_own(through):
    model, tokens = Tagger(), torch.randint(7, (T, B))
    parts = [y["scores"] for y, _ in gw.truncated(model, tokens, 4, through=through)]
    assert [len(y) for y in parts] == [4, 4, 3]
    torch.testing.assert_close(torch.cat(parts), model(tokens)[0]["scores"])


# -- gradients -----------------------------------------------------------------------------------------------


def by_definition(layer, x: Tensor, cotangent: Tensor, k: int, through: int, **options) -> list[Tensor]:
    """Each part's loss by itself, from a state that is a constant `through` steps before the part's end."""
    total = [torch.zeros_like(p) for p in layer.parameters()]
    x_grad = torch.zeros_like(x)
    for start in range(0, len(x), k):
        stop = min(start + k, len(x))
        first = max(0, start + k - through)
        leaf = x.detach().clone().requires_grad_()

        def run(a, b, state, leaf=leaf):
            lengths = (options["lengths"] - a).clamp(0, b - a)
            return layer(leaf[a:b], state, lengths=lengths, reset=options["reset"][a:b])

        state = gw.detach(run(0, first, None)[1]) if first else None
        y, _ = run(first, stop, state)
        loss = (y[start - first :] * cotangent[start:stop]).sum()
        found = torch.autograd.grad(loss, [leaf, *layer.parameters()])
        x_grad += found[0]
        total = [a + b for a, b in zip(total, found[1:], strict=True)]
    return [x_grad, *total]


@BACKENDS
@pytest.mark.parametrize(("k", "through"), [(3, 3), (3, 6), (3, 9), (2, 8), (4, 12)])
def test_gradients_stop_where_they_must(backend, k, through):
    layer = gw.Recurrent("lstm", I, H, backend=backend, dtype=torch.float64)
    x, cotangent = sample(T, B, I), sample(T, B, H, seed=1)
    reset = torch.rand(T, B, generator=generator(3)) < 0.1
    options = {"lengths": LENGTHS, "reset": reset}
    given = x.clone().requires_grad_()
    for (y, _), along in zip(
        gw.truncated(layer, given, k, through=through, **options), cotangent.split(k), strict=True
    ):
        (y * along).sum().backward()
    found = [given.grad, *(p.grad for p in layer.parameters())]
    for a, b in zip(found, by_definition(layer, x, cotangent, k, through, **options), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


def test_through_everything_is_no_truncation():
    layer = gw.GRU(I, H, dtype=torch.float64)
    x = sample(T, B, I)
    parts = [y for y, _ in gw.truncated(layer, x, 4, through=12)]
    found = torch.autograd.grad(parts[-1].sum(), list(layer.parameters()))
    expected = torch.autograd.grad(layer(x)[0][8:].sum(), list(layer.parameters()))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("through", [4, 8])
def test_the_first_state_gets_its_gradient_from_the_first_part(through):
    layer = gw.GRU(I, H, dtype=torch.float64)
    start = sample(1, 1, H, seed=4).requires_grad_()
    x = sample(T, B, I)
    began = start.exp().expand(1, B, H).contiguous()  # a graph that can be gone through only once
    for y, _ in gw.truncated(layer, x, 4, began, through=through):
        y.sum().backward()
    expected = torch.autograd.grad(layer(x[:4], start.exp().expand(1, B, H).contiguous())[0].sum(), start)
    torch.testing.assert_close(start.grad, expected[0])


def test_the_yielded_state_has_its_gradient_and_the_next_part_has_none_of_it():
    layer = gw.GRU(I, H, dtype=torch.float64)
    x = sample(T, B, I).requires_grad_()
    parts = gw.truncated(layer, x, 4)
    _, h = next(parts)
    h.sum().backward()
    assert (x.grad[:4] != 0).any() and (x.grad[4:] == 0).all()
    before = x.grad.clone()
    y, _ = next(parts)
    y.sum().backward()
    assert torch.equal(x.grad[:4], before[:4])


def test_the_next_part_runs_with_the_new_weights():
    layer = gw.RNN(I, H, dtype=torch.float64)
    x = sample(T, B, I)
    parts = gw.truncated(layer, x, 4)
    _, h = next(parts)
    with torch.no_grad():
        for p in layer.parameters():
            p.mul_(0.5)
    torch.testing.assert_close(next(parts)[0], layer(x[4:8], h.detach())[0])


def test_it_trains():
    """To say the input of three steps earlier, part by part of four steps."""
    torch.manual_seed(0)
    layer = gw.LSTM(1, 16)
    head = nn.Linear(16, 1)
    optimizer = torch.optim.Adam([*layer.parameters(), *head.parameters()], lr=0.02)
    losses = []
    for _ in range(15):
        x = torch.randint(2, (64, 16, 1)).float()
        targets = torch.cat([torch.zeros(3, 16, 1), x[:-3]])
        for (y, _), target in zip(gw.truncated(layer, x, 8), targets.split(8), strict=True):
            loss = nn.functional.binary_cross_entropy_with_logits(head(y), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
    assert sum(losses[-8:]) / 8 < 0.7 * sum(losses[:8]) / 8


# -- what it refuses -----------------------------------------------------------------------------------------

X = torch.zeros(T, B, I)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((gw.GRU(I, H), X, 0), {}, ValueError, "k: expected at least 1, got 0"),
        ((gw.GRU(I, H), X, 2.5), {}, TypeError, "k: expected a whole number, got 2.5"),
        ((gw.GRU(I, H), X, 4), {"through": 6}, ValueError, "through: expected a multiple of k (4), got 6"),
        ((gw.GRU(I, H, bidirectional=True), X, 4), {}, ValueError,
         "model: expected a layer with one direction, got one with two; the reverse one would need what has not"),
        ((gw.Deep([gw.GRU(I, H, bidirectional=True)]), X, 4), {}, ValueError,
         "model: expected a layer with one direction, got one with two; the reverse one would need what has not"),
        (("a", X, 4), {}, TypeError, "model: expected something to call, got str"),
        ((gw.GRU(I, H), nn.utils.rnn.pack_padded_sequence(X, [T] * B), 4), {}, TypeError,
         "input: expected a tensor, got a PackedSequence; pad it, and give lengths="),
        ((gw.GRU(I, H), torch.zeros(T), 4), {}, ValueError, "input: expected at least two dimensions"),
        ((gw.GRU(I, H), X, 4), {"lengths": [1]}, ValueError, "lengths: expected one for each of the 3 sequences"),
        ((gw.GRU(I, H), X, 4), {"reset": torch.zeros(B, T).bool()}, ValueError, "reset: expected shape (11, 3)"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_named_before_anything_runs(arguments, options, error, message):
    with pytest.raises(error, match="^" + re.escape(message)):
        gw.truncated(*arguments, **options)


def test_no_steps_are_no_parts():
    assert list(gw.truncated(gw.GRU(I, H), torch.zeros(0, B, I), 4)) == []
