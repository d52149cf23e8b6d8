"""One step at a time, past everything that a step does not need: the same numbers, and never stale weights."""

import copy
import gc
import pickle
import re
import threading
import tracemalloc

import numpy as np
import pytest
import torch
from torch import nn

import gatewright as gw
from tolerances import assert_close

I, H = 5, 17


def layer_of(name="lstm", **options):
    torch.manual_seed(0)
    return gw.Recurrent(name, I, H, dtype=torch.float64, **options)


def series(*shape):
    return torch.randn(*shape, I, dtype=torch.float64)


@pytest.mark.parametrize("name", ["lstm", "gru", "peephole_lstm", "layer_norm_lstm", "qrnn", "lstm_1997"])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("batch", [(), (1,), (4,)])
def test_steps_are_the_sequence(name, layers, batch):
    layer = layer_of(name, num_layers=layers)
    xs = series(6, *batch)
    with torch.no_grad():
        y, final = layer(xs)
        state, stepped = None, []
        for x in xs:
            output, state = layer.step(x, state)
            stepped.append(output)
    stream = gw.Stream(layer)
    streamed = [stream(x) for x in xs]
    assert_close(torch.stack(stepped), y, 1e-12)
    assert_close(torch.stack(streamed), y, 1e-12)
    finals = final if isinstance(final, tuple) else (final,)
    states = state if isinstance(state, tuple) else (state,)
    assert stream.state is not None
    for mine, carried, expected in zip(states, stream.state, finals, strict=True):
        assert_close(mine, expected, 1e-12)
        assert_close(carried, expected, 1e-12)


CHANGES = {
    "in place": lambda layer: layer.weight_hh_l0.mul_(1.3),
    "one number": lambda layer: layer.weight_ih_l0[3].index_fill_(0, torch.tensor([2]), 0.7),
    "behind torch's back": lambda layer: layer.weight_hh_l0.data.mul_(1.3),
    "other memory": lambda layer: setattr(layer.weight_hh_l0, "data", layer.weight_hh_l0.data * 0.5),
    "another tensor": lambda layer: setattr(layer, "weight_ih_l0", torch.nn.Parameter(layer.weight_ih_l0 * 0.5)),
    "a bias": lambda layer: layer.bias_ih_l0.data.add_(1),
    "an optimiser": lambda layer: step_of_an_optimiser(layer),
}


def step_of_an_optimiser(layer):
    with torch.enable_grad():
        layer(series(3, 2))[0].sum().backward()
    torch.optim.SGD(layer.parameters(), 0.1).step()


@pytest.mark.parametrize("change", CHANGES)
def test_changed_weights_are_noticed(change):
    layer = gw.LSTM(I, H, dtype=torch.float64)
    stream = gw.Stream(layer)
    xs = series(3, 2)
    with torch.no_grad():
        _, state = layer.step(xs[0])
        _, state = layer.step(xs[1], state)
        stream(xs[0]), stream(xs[1])
        CHANGES[change](layer)
        expected = layer(xs[2:], state)[0][0]
        assert_close(layer.step(xs[2], state)[0], expected, 1e-12)
        assert_close(stream(xs[2]), expected, 1e-12)


def test_a_step_gives_tensors_of_its_own():
    layer = gw.LSTM(I, H, dtype=torch.float64)
    x = series(2)
    with torch.no_grad():
        _, state = layer.step(x)
        before = [s.clone() for s in state]
        y, new = layer.step(x, state)
        assert all(torch.equal(s, b) for s, b in zip(state, before, strict=True))
        kept = new[0].clone()
        y.zero_()
        assert torch.equal(new[0], kept)
        layer.step(x, new)
        assert torch.equal(new[0], kept)


def test_what_a_step_cannot_take_goes_the_usual_way():
    layer = gw.GRU(I, H, dtype=torch.float64)
    with torch.no_grad():
        _, state = layer.step(series(4))
        _, state = layer.step(series(4), state)
        with pytest.raises(ValueError, match="state h: expected shape"):
            layer.step(series(4), state[:, :2])
        with pytest.raises((ValueError, TypeError)):
            layer.step(series(4).float(), state)
        wide = torch.randn(4, 2 * I, dtype=torch.float64)[:, ::2]
        assert_close(layer.step(wide, state)[0], layer.step(wide.contiguous(), state)[0], 1e-12)
    y, _ = layer.step(series(4).requires_grad_(), state)
    assert y.requires_grad


def test_regularisers_stay_what_they_are():
    layer = layer_of("lstm", zoneout=0.5)
    x = series(2)
    with torch.no_grad():
        _, state = layer.eval().step(x)
        expected, _ = layer.step(x, state)
        assert_close(layer.step(x, state)[0], expected, 1e-12)
        torch.manual_seed(1)
        assert not torch.equal(layer.train().step(x, state)[0], expected)
    stream = gw.Stream(layer)  # in evaluation, whatever mode the layer is in
    stream.state = state
    assert_close(stream(x), expected, 1e-12)
    assert layer.training


def test_a_stream_forgets_and_goes_on():
    stream = gw.Stream(gw.LSTM(I, H, dtype=torch.float64))
    xs = series(4, 2)
    first = [stream(x) for x in xs]
    kept = stream.state
    stream.reset()
    assert stream.state is None
    for x, y in zip(xs, first, strict=True):
        assert_close(stream(x), y, 1e-12)
    later = stream(xs[0])
    stream.state = kept
    assert_close(stream(xs[0]), later, 1e-12)
    stream.reset()
    assert stream(series(3)).shape == (3, H)


def test_a_stream_has_one_direction():
    with pytest.raises(ValueError, match="Stream: a layer with two directions"):
        gw.Stream(gw.LSTM(I, H, bidirectional=True))


def test_copies_step_by_themselves():
    layer = gw.LSTM(I, H, dtype=torch.float64)
    x = series(2)
    with torch.no_grad():
        _, state = layer.step(x)
        expected, _ = layer.step(x, state)
        for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            assert_close(other.step(x, state)[0], expected, 1e-12)
            other.weight_hh_l0.zero_()
            assert not torch.equal(other.step(x, state)[0], expected)
        assert_close(layer.step(x, state)[0], expected, 1e-12)


# -- more of a layer's stream -------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("name", ["lstm", "gru", "qrnn"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_chunks_and_steps_are_the_sequence(backend, name, batch_first):
    layer = layer_of(name, num_layers=2, batch_first=batch_first, backend=backend)
    xs, reset = series(9, 3), torch.rand(9, 3) < 0.3
    turned = (lambda t: t.transpose(0, 1)) if batch_first else (lambda t: t)
    with torch.no_grad():
        expected = turned(layer(turned(xs), reset=turned(reset))[0])
    stream = gw.Stream(layer)
    found, t = [], 0
    for size in (1, 3, 1, 1, 0, 2, 1):
        part = slice(t, t + size)
        found.append(turned(stream.chunk(turned(xs[part]), reset=turned(reset[part]))))
        t += size
    assert_close(torch.cat(found), expected, 1e-10)
    stream.reset()
    for x, new, y in zip(xs, reset, expected, strict=True):
        stream.reset(new)
        assert_close(stream(x), y, 1e-10)


def test_a_chunk_knows_lengths():
    layer = layer_of()
    xs, lengths = series(6, 3), torch.tensor([6, 0, 4])
    with torch.no_grad():
        y, (h, _) = layer(xs, lengths=lengths)
    stream = gw.Stream(layer)
    assert_close(stream.chunk(xs, lengths=lengths), y, 1e-12)
    assert_close(stream.state[0], h, 1e-12)


@pytest.mark.parametrize("batch", [(), (3,)])
def test_an_output_may_be_given(batch):
    layer = layer_of()
    stream, other = gw.Stream(layer), gw.Stream(layer)
    out = torch.empty(*batch, H, dtype=torch.float64)
    for x in series(4, *batch):
        assert stream(x, out=out) is out
        assert torch.equal(out, other(x))
    for wrong in (out[..., :-1], out.float(), torch.empty(*batch, 2 * H, dtype=torch.float64)[..., ::2]):
        with pytest.raises(ValueError, match="out: expected a contiguous tensor of shape"):
            stream(series(*batch), out=wrong)
    with pytest.raises(TypeError, match="out: expected a tensor, got ndarray"):
        stream(series(*batch), out=out.numpy())


def test_nothing_is_allocated_where_the_output_is_given():
    stream = gw.Stream(gw.LSTM(I, H))
    x, out = torch.randn(2, I), torch.empty(2, H)
    for _ in range(50):
        stream(x, out=out)
    with torch.profiler.profile(profile_memory=True) as seen:
        for _ in range(20):
            stream(x, out=out)
    assert not [e.key for e in seen.key_averages() if e.key.startswith("aten::") or e.cpu_memory_usage]
    gc.collect()
    tracemalloc.start()
    for _ in range(300):  # Python keeps some small objects for itself
        stream(x, out=out)
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(1000):
        stream(x, out=out)
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert after - before < 200


def test_sequences_of_a_batch_forget_by_themselves():
    layer = gw.Recurrent("slstm", I, H, dtype=torch.float64)  # a state of it begins at minus infinity
    stream, xs = gw.Stream(layer), series(5, 3)
    for x in xs:
        stream(x)
    stream.reset(torch.tensor([False, True, False]))
    assert torch.isinf(stream.state[-1][:, 1]).all() or torch.isinf(torch.cat(stream.state, -1)[:, 1]).any()
    y = stream(xs[0])
    with torch.no_grad():
        assert_close(y[1:2], layer(xs[:1, 1:2])[0][0], 1e-12)
        again = torch.cat([xs, xs[:1]])
        assert_close(y[[0, 2]], layer(again[:, [0, 2]])[0][-1], 1e-12)
    stream.reset(np.array([True, True, True]))
    assert_close(stream(xs[0])[1], y[1], 1e-12)


def test_one_sequence_alone_may_be_masked():
    stream, xs = gw.Stream(layer_of()), series(3)
    first = stream(xs[0])
    stream.reset(torch.tensor(False))
    assert not torch.equal(stream(xs[0]), first)
    stream.reset(torch.tensor(True))
    assert_close(stream(xs[0]), first, 1e-12)


def test_a_mask_must_fit():
    stream = gw.Stream(layer_of())
    stream.reset([True, False])  # nothing to forget yet
    stream(series(3))
    stream(series(3).unsqueeze(0)[0])
    stream.reset()
    stream(series(4))
    with pytest.raises(ValueError, match=r"mask: expected shape \(4,\), one for each sequence, got shape \(2,\)"):
        stream.reset([True, False])
    with pytest.raises(ValueError, match=r"mask: expected booleans, one for each sequence, got torch.int64"):
        stream.reset([1, 0, 1, 1])


def test_a_step_must_fit_the_state():
    stream = gw.Stream(layer_of())
    stream(series(4))
    with pytest.raises(ValueError, match=r"input: expected a batch of 4, as the state has, got shape \(3, 5\); reset"):
        stream(series(3))
    with pytest.raises(ValueError, match=r"input: expected one step, .* got shape \(2, 4, 5\); chunk\(\) takes"):
        stream(series(2, 4))
    stream.reset()
    stream(series())
    with pytest.raises(ValueError, match=r"input: expected one sequence, \(features,\), got shape \(3, 5\)"):
        stream(series(3))


def test_autocast_is_the_layers_own():
    layer = gw.LSTM(I, H)
    stream, x = gw.Stream(layer), torch.randn(2, I)
    stream(x), stream(x)
    with torch.no_grad(), torch.autocast("cpu"):
        assert stream(x).dtype is torch.bfloat16
    stream.reset()
    assert stream(x).dtype is torch.float32


@pytest.mark.parametrize("way", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])
@pytest.mark.parametrize("kind", ["layer", "model"])
def test_a_copy_of_a_stream_goes_on_by_itself(way, kind):
    stream = gw.Stream(layer_of() if kind == "layer" else Tagger().double())
    xs = series(4, 2) if kind == "layer" else torch.randint(9, (4, 2))
    stream(xs[0]), stream(xs[1])
    other = way(stream)
    expected = stream(xs[2]), stream(xs[3])
    assert_close(other(xs[2]), expected[0], 1e-12)
    assert_close(other(xs[3]), expected[1], 1e-12)


# -- whole models -------------------------------------------------------------------------------------


class Tagger(nn.Module):
    """All that stands around recurrent layers: tokens, norms, dropout, several cells and layers."""

    def __init__(self, *, batch_first=False, backend="auto"):
        super().__init__()
        options = {"batch_first": batch_first, "backend": backend}
        self.embed, self.norm, self.dropout = nn.Embedding(9, I), nn.LayerNorm(I), nn.Dropout(0.5)
        self.lower = gw.LSTM(I, H, num_layers=2, dropout=0.5, **options)
        self.between = nn.Sequential(nn.Linear(H, 6), nn.ReLU())
        self.upper = gw.Recurrent("gru", 6, 7, zoneout=0.1, **options)
        self.head = nn.Linear(7, 3)

    def forward(self, tokens):
        y, _ = self.lower(self.dropout(self.norm(self.embed(tokens))))
        y, _ = self.upper(self.between(y))
        return self.head(y)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_a_model_is_itself_step_by_step(backend, batch_first):
    model = Tagger(batch_first=batch_first, backend=backend).double()
    tokens = torch.randint(9, (8, 4))
    turned = (lambda t: t.transpose(0, 1)) if batch_first else (lambda t: t)
    with torch.no_grad():
        expected = turned(model.eval()(turned(tokens)))
    model.train()
    model.norm.eval()
    stream = gw.Stream(model)
    assert stream.state is None
    for x, y in zip(tokens, expected, strict=True):
        assert_close(stream(x), y, 1e-10)
    assert model.training and model.lower.training and not model.norm.training
    assert {name: [s.shape for s in states] for name, states in stream.state.items()} == {
        "lower": [(2, 4, H), (2, 4, H)],
        "upper": [(1, 4, 7)],
    }
    stream.reset()
    parts = [turned(stream.chunk(turned(part))) for part in tokens.split([3, 1, 1, 3])]
    assert_close(torch.cat(parts), expected, 1e-10)


def test_one_sequence_has_no_batch_axis():
    model, tokens = Tagger().double(), torch.randint(9, (5,))
    with torch.no_grad():
        expected = model.eval()(tokens)
    stream = gw.Stream(model)
    for token, y in zip(tokens, expected, strict=True):
        assert_close(stream(token), y, 1e-12)
    first = nn.Sequential(nn.Linear(2, I), gw.LSTM(I, H, batch_first=True))
    xs = torch.randn(5, 2)
    with torch.no_grad():
        expected, (h, _) = first(xs)
    stream = gw.Stream(first, time=0)
    for x, y in zip(xs, expected, strict=True):
        output, state = stream(x)
        assert_close(output, y, 1e-6)
    assert_close(state[0], h, 1e-6)


def test_a_models_state_can_be_taken_and_put_back():
    stream, tokens = gw.Stream(Tagger().double()), torch.randint(9, (6, 2))
    stream(tokens[0]), stream(tokens[1])
    kept = stream.state
    expected = stream(tokens[2])
    stream.state = kept
    assert_close(stream(tokens[2]), expected, 1e-12)
    stream.state = None
    assert stream.state is None
    with pytest.raises(ValueError, match="state: expected the names of layers: lower, upper, got middle"):
        stream.state = {"middle": kept["lower"]}
    stream.reset()
    first = stream(tokens[0])
    stream(tokens[1])
    stream.reset([False, True])
    again = stream(tokens[0])
    assert_close(again[1], first[1], 1e-12)
    assert not torch.allclose(again[0], first[0])


class Last(nn.Module):
    """A layer called for two inputs, a start of its own, outputs in a dict, and one that knows no time."""

    def __init__(self):
        super().__init__()
        self.encode, self.start = gw.LSTM(I, H), nn.Parameter(torch.randn(2, 1, 1, H))
        self.scale = 1.0

    def forward(self, a, b, *, factor):
        h, c = self.start.expand(2, 1, a.shape[1], H)
        y, (last, _) = self.encode(a, (h.contiguous(), c.contiguous()))
        z, states = self.encode(b, states="all")
        return {"both": (y + z) * factor * self.scale, "parts": [y, z], "last": last[-1], "cells": states[1]}


def test_a_layer_may_be_called_twice_and_begin_anywhere():
    model, a, b = Last().double(), series(4, 3), series(4, 3)
    with torch.no_grad():
        expected = model(a, b, factor=2)
    stream = gw.Stream(model)
    model.scale = 3.0  # the very model runs
    expected["both"] = expected["both"] * 3
    for t in range(4):
        found = stream(a[t], b[t], factor=2)
        assert_close(found["both"], expected["both"][t], 1e-12)
        assert_close(found["parts"][1], expected["parts"][1][t], 1e-12)
        assert_close(found["cells"], expected["cells"][:, t], 1e-12)
    assert_close(found["last"], expected["last"], 1e-12)
    assert list(stream.state) == ["encode", "encode#2"]


def test_a_models_outputs_are_its_own():
    """What a layer gives as its state is no view of what goes on."""
    stream = gw.Stream(nn.Sequential(gw.LSTM(I, H)))
    x = torch.randn(2, I)
    stream(x)
    _, (h, _) = stream(x)
    kept = h.clone()
    stream(x)
    assert torch.equal(h, kept)


def test_another_module_is_seen():
    model = nn.Sequential(nn.Linear(I, I), gw.GRU(I, H)).double()
    stream, x = gw.Stream(model), series(2)
    stream(x)
    state = stream.state["1"]
    model[0] = nn.Linear(I, I, dtype=torch.float64)
    with torch.no_grad():
        assert_close(stream(x)[0], model[1](model[0](x[None]), state[0])[0][0], 1e-12)
    model[1] = gw.GRU(I, H, dtype=torch.float64)
    with torch.no_grad():
        assert_close(stream(x)[0], model(x[None])[0][0], 1e-12)


def test_resets_inside_a_model():
    class Agent(nn.Module):
        def __init__(self):
            super().__init__()
            self.memory, self.head = gw.LSTM(I, H), nn.Linear(H, 2)

        def forward(self, x, reset):
            return self.head(self.memory(x, reset=reset)[0])

    agent, xs, reset = Agent().double(), series(9, 4), torch.rand(9, 4) < 0.3
    stream = gw.Stream(agent)
    with torch.no_grad():
        expected = agent(xs, reset)
    for x, new, y in zip(xs, reset, expected, strict=True):
        assert_close(stream(x, new), y, 1e-12)


def test_streams_of_one_model_do_not_meet():
    model, tokens = Tagger().double().eval(), torch.randint(9, (30, 4, 2))
    with torch.no_grad():
        expected = [model(tokens[:, k]) for k in range(4)]
    found = {}

    def run(k):
        stream = gw.Stream(model)
        found[k] = torch.stack([stream(t) for t in tokens[:, k]])

    threads = [threading.Thread(target=run, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k, y in enumerate(expected):
        assert_close(found[k], y, 1e-12)


def test_the_model_itself_stays_without_a_state():
    model, tokens = Tagger().double().eval(), torch.randint(9, (3, 2))
    stream = gw.Stream(model)
    with torch.no_grad():
        expected = model(tokens)
        stream(tokens[0])
        assert torch.equal(model(tokens), expected)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


REFUSED = {
    "a layer with two directions (1)": nn.Sequential(nn.Linear(I, I), gw.LSTM(I, H, bidirectional=True)),
    "torch's layers would begin anew at each step (0, 1); gw.replace": nn.Sequential(nn.LSTM(I, H), nn.GRUCell(I, H)),
    "got 1 LSTMCell; its state would be lost": nn.Sequential(gw.LSTM(I, H), gw.LSTMCell(H, H)),
    "expected a recurrent layer or a model with some in it, got none": nn.Linear(I, H),
    "some layers are batch_first and some are not": nn.Sequential(gw.LSTM(I, H), gw.LSTM(H, H, batch_first=True)),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_carried_is_refused(message):
    with pytest.raises(ValueError, match=re.escape(message)):
        gw.Stream(REFUSED[message])


def test_a_layer_that_the_model_hides_is_refused():
    class Hiding(nn.Module):
        def __init__(self):
            super().__init__()
            self.seen, self.hidden = gw.LSTM(I, H), [gw.LSTM(H, H)]

        def forward(self, x):
            return self.hidden[0](self.seen(x)[0])[0]

    with pytest.raises(RuntimeError, match="which is none of its submodules; register it"):
        gw.Stream(Hiding())(torch.randn(2, I))


def test_a_stream_is_compared_with_the_whole():
    class Looks(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.blur = gw.LSTM(I, H), nn.Conv1d(H, 2, 3, padding=1)

        def forward(self, x):
            return self.blur(self.lstm(x)[0].permute(1, 2, 0)).permute(2, 0, 1)

    gw.Stream(Tagger()).check(torch.randint(9, (5, 2)))
    stream = gw.Stream(gw.LSTM(I, H, num_layers=2))
    stream(torch.randn(I))
    kept = stream.state
    stream.check(torch.randn(5, 2, I))
    assert all(torch.equal(a, b) for a, b in zip(stream.state, kept, strict=True))
    with pytest.raises(ValueError, match=r"check: .* the output differs by .* at step 0; something"):
        gw.Stream(Looks()).check(torch.randn(5, 2, I))
