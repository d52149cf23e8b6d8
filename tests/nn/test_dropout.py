"""Dropout between layers, locked over time, and of whole words."""

from __future__ import annotations

import copy
import io
import math
import re

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import gatewright as gw
from cases import generator

T, B, I, H = 7, 4, 3, 5
LENGTHS = torch.tensor([7, 3, 0, 5])


def sample(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def within(share: float, p: float, n: int) -> bool:
    """Whether a share of n is the probability, to five standard deviations."""
    return abs(share - p) < 5 * math.sqrt(p * (1 - p) / n) + 1e-12


# -- locked over time ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_a_locked_mask_is_the_same_at_every_step(p, batch_first):
    steps, batch, size = 6, 64, 128
    x = torch.ones(*((batch, steps) if batch_first else (steps, batch)), size, dtype=torch.float64)
    y = gw.LockedDropout(p, batch_first=batch_first)(x)
    y = y.transpose(0, 1) if batch_first else y
    assert torch.equal(y, y[:1].expand_as(y))
    kept = y[0] != 0
    torch.testing.assert_close(y[0][kept], torch.full((int(kept.sum()),), 1 / (1 - p) if p < 1 else 1.0, dtype=y.dtype))
    assert within(float(kept.double().mean()), 1 - p, kept.numel())
    assert p in (0, 1) or (kept.double().mean(0).std() > 0 and kept.double().mean(1).std() > 0)


def test_a_locked_mask_of_one_sequence_and_of_images():
    for shape in ((6, 9), (6, 2, 3, 4, 5)):
        y = gw.LockedDropout(0.5)(torch.ones(shape))
        assert torch.equal(y, y[:1].expand_as(y)) and 0 < y.mean() < 2
    y = gw.LockedDropout(0.5, batch_first=True)(torch.ones(6, 9))
    assert torch.equal(y, y[:1].expand_as(y))


def test_a_locked_mask_is_in_the_gradient():
    x = sample(T, B, H).requires_grad_()
    y = gw.LockedDropout(0.5)(x)
    y.sum().backward()
    torch.testing.assert_close(x.grad * x.detach(), y.detach())


def test_nothing_happens_in_evaluation():
    x = sample(T, B, H)
    before = torch.get_rng_state()
    assert gw.LockedDropout(0.5).eval()(x) is x
    assert torch.equal(torch.get_rng_state(), before)


def test_locked_dropout_compiles_whole():
    drop = gw.LockedDropout(0.5)
    y = torch.compile(drop, fullgraph=True, backend="aot_eager")(torch.ones(T, B, 64))
    assert torch.equal(y, y[:1].expand_as(y)) and 0.5 < y.mean() < 1.5
    assert repr(drop) == "LockedDropout(p=0.5)"


# -- between layers ------------------------------------------------------------------------------------------


def pair(make, backend: str, **options):
    """A layer with locked dropout, and a plain layer each for its layers, with the same weights."""
    torch.manual_seed(1)
    whole = make(I, H, 3, dropout=0.5, dropout_kind="locked", backend=backend, dtype=torch.float64, **options)
    width = H * (2 if options.get("bidirectional") else 1)
    singles = [make(width if k else I, H, backend="reference", dtype=torch.float64, **options) for k in range(3)]
    for k, single in enumerate(singles):
        for name, p in single.named_parameters():
            p.data.copy_(dict(whole.named_parameters())[name.replace("_l0", f"_l{k}")].data)
    return whole, singles


MAKERS = {
    "lstm": gw.LSTM,
    "gru": gw.GRU,
    "rnn": gw.RNN,
    "peephole": lambda *sizes, **options: gw.Recurrent("peephole_lstm", *sizes, **options),
}


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_locked_between_layers_is_a_module_between_layers(backend, name, batch_first):
    """Outputs and all gradients, with lengths, resets and two directions."""
    whole, singles = pair(MAKERS[name], backend, bidirectional=True, batch_first=batch_first)
    x = sample(B, T, I) if batch_first else sample(T, B, I)
    x.requires_grad_()
    reset = torch.rand(x.shape[:2], generator=generator(2)) < 0.2
    torch.manual_seed(4)
    y, _ = whole(x, lengths=LENGTHS, reset=reset)
    torch.manual_seed(4)
    drop, z = gw.LockedDropout(0.5, batch_first=batch_first), x
    for k, single in enumerate(singles):
        z, _ = single(drop(z) if k else z, lengths=LENGTHS, reset=reset)
    torch.testing.assert_close(y, z, rtol=1e-9, atol=1e-10)
    along = sample(*y.shape, seed=3)
    found = torch.autograd.grad(y, [x, *whole.parameters()], along)
    expected = torch.autograd.grad(z, [x, *(p for s in singles for p in s.parameters())], along)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-9)


def test_fresh_is_what_torch_draws():
    whole = gw.LSTM(I, H, 2, dropout=0.5, backend="reference", dtype=torch.float64)
    locked = gw.LSTM(I, H, 2, dropout=0.5, dropout_kind="locked", backend="reference", dtype=torch.float64)
    locked.load_state_dict(whole.state_dict())
    x = sample(T, B, I)
    assert not torch.equal(whole(x)[0], locked(x)[0])
    assert torch.equal(whole.eval()(x)[0], locked.eval()(x)[0])


def test_packed_sequences_are_dropped_too():
    layer = gw.GRU(I, 32, 2, dropout=0.5, dropout_kind="locked")
    x = torch.randn(T, 2, I)
    packed = nn.utils.rnn.pack_padded_sequence(x, [7, 3])
    torch.manual_seed(0)
    y, _ = nn.utils.rnn.pad_packed_sequence(layer(packed)[0])
    torch.manual_seed(0)
    torch.testing.assert_close(y, layer(x, lengths=[7, 3])[0])


def test_the_vendors_kernel_knows_no_locked_dropout():
    options = {"dropout": 0.5, "dropout_kind": "locked", "backend": "vendor"}
    layer = gw.LSTM(I, H, 2, **options)
    with pytest.raises(ValueError, match=r"torch's kernels know no locked dropout$"):
        layer(torch.zeros(T, B, I))
    assert layer.eval().backend_for(torch.zeros(T, B, I)).name == "vendor"


@pytest.mark.parametrize("make", MAKERS.values())
def test_the_kind_is_checked_and_shown(make):
    with pytest.raises(ValueError, match=r"^dropout_kind: expected 'fresh' or 'locked', got 'variational'$"):
        make(I, H, 2, dropout=0.5, dropout_kind="variational")
    assert "dropout_kind='locked'" in repr(make(I, H, 2, dropout=0.5, dropout_kind="locked"))
    assert "dropout_kind" not in repr(make(I, H))


# -- words ---------------------------------------------------------------------------------------------------


def test_a_word_is_dropped_everywhere_or_nowhere():
    words, p = 500, 0.3
    embedding = gw.EmbeddingDropout(nn.Embedding(words, 4), p)
    tokens = torch.randint(words, (60, 40))
    y = embedding(tokens)
    dropped = (y == 0).all(-1)
    plain = functional.embedding(tokens, embedding.weight)
    torch.testing.assert_close(y[~dropped], plain[~dropped] / (1 - p))
    met = tokens.unique()
    by_word = torch.zeros(words).index_add(0, tokens[dropped], torch.ones(int(dropped.sum())))
    counts = tokens.flatten().bincount(minlength=words)
    assert ((by_word == 0) | (by_word == counts)).all()
    assert within(float((by_word[met] > 0).double().mean()), p, len(met))
    assert not torch.equal(embedding(tokens), y)


def test_the_gradient_is_that_of_a_masked_matrix():
    """As the paper's authors write it: rows of the weight at 0, the rest scaled."""
    embedding = gw.EmbeddingDropout(nn.Embedding(20, 4, padding_idx=0, dtype=torch.float64), 0.5)
    tokens = torch.randint(20, (6, 5))
    torch.manual_seed(2)
    y = embedding(tokens)
    torch.manual_seed(2)
    kept = functional.dropout(torch.ones(20, dtype=torch.float64), 0.5)
    weight = embedding.weight.detach().clone().requires_grad_()
    expected = functional.embedding(tokens, weight * kept.unsqueeze(-1), padding_idx=0)
    torch.testing.assert_close(y, expected)
    along = torch.randn_like(y)
    y.backward(along)
    expected.backward(along)
    torch.testing.assert_close(embedding.weight.grad, weight.grad)
    assert (weight.grad[0] == 0).all()


def test_an_embedding_is_wrapped_with_its_weight_and_settings():
    inner = nn.Embedding(20, 4, padding_idx=3, max_norm=1.0, norm_type=1.0, scale_grad_by_freq=True)
    embedding = gw.EmbeddingDropout(inner, 0.1)
    assert embedding.weight is inner.weight
    tokens = torch.randint(20, (6, 5))
    assert torch.equal(embedding.eval()(tokens), inner(tokens))
    assert list(embedding.state_dict()) == list(inner.state_dict()) == ["weight"]
    inner.load_state_dict(embedding.state_dict())
    assert repr(embedding) == "EmbeddingDropout(20, 4, padding_idx=3, p=0.1)"
    assert gw.EmbeddingDropout(nn.Embedding(20, 4, sparse=True))(tokens).sum().backward() is None


def test_a_tied_weight_stays_tied():
    embedding = gw.EmbeddingDropout(nn.Embedding(20, 4), 0.5)
    head = nn.Linear(4, 20)
    head.weight = embedding.weight
    model = copy.deepcopy(nn.ModuleList([embedding, head]).double())
    assert model[0].weight is model[1].weight and model[0].weight.dtype == torch.float64
    saved = io.BytesIO()
    torch.save(model, saved)
    saved.seek(0)
    again = torch.load(saved, weights_only=False)
    assert again[0].weight is again[1].weight


def test_an_embedding_compiles_whole():
    embedding = gw.EmbeddingDropout(nn.Embedding(50, 4), 0.5)
    y = torch.compile(embedding, fullgraph=True, backend="aot_eager")(torch.zeros(30, dtype=torch.int64))
    assert torch.equal(y, y[:1].expand_as(y))


class Own(nn.Embedding):
    pass


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: gw.LockedDropout(1.5), ValueError, "p: expected a probability from 0 to 1, got 1.5"),
        (lambda: gw.LockedDropout("a"), TypeError, "p: expected a probability, got 'a'"),
        (lambda: gw.LockedDropout()(torch.zeros(3)), ValueError, "input: expected (T, B, …) or (T, features)"),
        (lambda: gw.EmbeddingDropout(nn.Embedding(2, 2), -0.1), ValueError, "p: expected a probability from 0 to 1"),
        (lambda: gw.EmbeddingDropout(Own(2, 2)), TypeError, "embedding: expected an nn.Embedding itself, got a Own"),
        (lambda: gw.EmbeddingDropout(torch.zeros(2, 2)), TypeError, "embedding: expected an nn.Embedding itself"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_named(call, error, message):
    with pytest.raises(error, match="^" + re.escape(message)):
        call()
