"""Streams of ensembles and of layers of convolutions, alone and in models, against whole sequences."""

from __future__ import annotations

import copy
import gc
import pickle
import re
import tracemalloc

import pytest
import torch
from torch import Tensor, nn

import gatewright as gw
from cases import generator
from tolerances import assert_close

T, B, I, H, N = 6, 3, 4, 5, 4
BACKENDS = ["cpu", "reference"]


def sample(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def ensemble_of(name: str = "peephole_lstm", n: int = N, **options) -> gw.Ensemble:
    return gw.Ensemble(gw.Recurrent(name, I, H, dtype=torch.float64, **({"num_layers": 2} | options)), n)


def frames_of(name: str = "peephole_lstm", **options) -> gw.ConvRecurrent:
    settings = {"num_layers": 2, "dims": 1} | options
    return gw.ConvRecurrent(name, 2, 3, 3, dtype=torch.float64, **settings)


def turned(x: Tensor, yes: bool, axis: int = 0) -> Tensor:
    return x.transpose(axis, axis + 1) if yes else x


# -- ensembles ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["lstm", "gru", "slstm", "qrnn", "layer_norm_lstm"])
def test_networks_step_by_step(name, backend, own):
    ensemble = ensemble_of(name, backend=backend)
    xs = sample(N, T, B, I) if own else sample(T, B, I)
    with torch.no_grad():
        y, state = ensemble(xs)
    stream = gw.Stream(ensemble)
    for t in range(T):
        assert_close(stream(xs[:, t] if own else xs[t]), y[:, :, t] if y.dim() > 4 else y[:, t], 1e-10)
    state = state if isinstance(state, tuple) else (state,)
    for mine, expected in zip(stream.state, state, strict=True):
        assert_close(mine, expected, 1e-10)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("own", [False, True])
def test_chunks_and_steps_of_networks(own, batch_first, backend):
    """With resets, which a step takes as a mask."""
    ensemble = ensemble_of("gru", backend=backend, batch_first=batch_first, learned_state=True)
    with torch.no_grad():
        ensemble.h_0.normal_(generator=generator(5))
    front = (N,) if own else ()
    xs, reset = sample(*front, T, B, I), torch.rand(*front, T, B, generator=generator(2)) < 0.3
    axis = len(front)
    with torch.no_grad():
        y = turned(ensemble(turned(xs, batch_first, axis), reset=turned(reset, batch_first, axis))[0], batch_first, 1)
    stream, found, t = gw.Stream(ensemble), [], 0
    for size in (1, 2, 1, 1, 0, 1):
        part = xs.narrow(axis, t, size), reset.narrow(axis, t, size)
        part, cut = (turned(p, batch_first, axis) for p in part)
        found.append(turned(stream.chunk(part, reset=cut), batch_first, 1))
        t += size
    assert_close(torch.cat(found, 1), y, 1e-10)
    stream.reset()
    for t in range(T):
        stream.reset(reset.select(axis, t))
        assert_close(stream(xs.select(axis, t)), y[:, t], 1e-10)
    stream.check(turned(xs, batch_first, axis))


def test_one_sequence_of_all_networks():
    ensemble, xs = ensemble_of("lstm"), sample(T, I)
    with torch.no_grad():
        y, _ = ensemble(xs)
    stream = gw.Stream(ensemble)
    for t in range(T):
        assert_close(stream(xs[t]), y[:, t], 1e-10)
    assert stream.state[0].shape == (N, 2, H)
    stream.reset(torch.tensor([True, False, False, True]))  # two of the networks
    again, fresh = stream(xs[0]), gw.Stream(ensemble)
    first = fresh(xs[0])
    assert_close(again[[0, 3]], first[[0, 3]], 1e-12)
    assert not torch.allclose(again[1], first[1])
    stream.reset(torch.tensor(True))
    assert_close(stream(xs[0]), first, 1e-12)


def test_other_weights_are_seen():
    ensemble, xs = ensemble_of("lstm"), sample(T, B, I)
    stream = gw.Stream(ensemble)
    stream(xs[0]), stream(xs[1])
    with torch.no_grad():
        state = ensemble(xs[:2])[1]
        for p in ensemble.parameters():
            p.add_(0.1)
        assert_close(stream(xs[2]), ensemble.step(xs[2], state)[0], 1e-10)
        state = stream.state
        ensemble.to(torch.float64).load_state_dict(gw.Ensemble(ensemble.layer, N).state_dict())
        assert_close(stream(xs[3]), ensemble.step(xs[3], state)[0], 1e-10)


@pytest.mark.parametrize("threads", [1, 2])
def test_many_threads(threads):
    torch.set_num_threads(threads)
    ensemble = gw.Ensemble(gw.Recurrent("lstm", 64, 96, dtype=torch.float64), 8)
    xs = sample(4, 2, 64)
    with torch.no_grad():
        y, _ = ensemble(xs)
    stream = gw.Stream(ensemble)
    for t in range(4):
        assert_close(stream(xs[t]), y[:, t], 1e-10)


def test_nothing_is_allocated_where_the_output_of_networks_is_given():
    stream = gw.Stream(gw.Ensemble(gw.LSTM(I, H), N))
    x, out = torch.randn(2, I), torch.empty(N, 2, H)
    for _ in range(50):
        assert stream(x, out=out) is out
    with torch.profiler.profile(profile_memory=True) as seen:
        for _ in range(20):
            stream(x, out=out)
    assert not [e.key for e in seen.key_averages() if e.key.startswith("aten::") or e.cpu_memory_usage]
    gc.collect()
    tracemalloc.start()
    for _ in range(300):
        stream(x, out=out)
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(1000):
        stream(x, out=out)
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert after - before < 200


def test_regularisers_of_networks_stay_what_they_are():
    ensemble, xs = ensemble_of("lstm", zoneout=0.3, dropout=0.5).eval(), sample(T, B, I)
    with torch.no_grad():
        y, _ = ensemble(xs)
    ensemble.train()
    stream = gw.Stream(ensemble)
    assert_close(torch.stack([stream(x) for x in xs], 1), y, 1e-10)
    assert ensemble.training and ensemble.layer.training


# -- frames ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["cpu", "torch", "reference"])
@pytest.mark.parametrize("name", ["peephole_lstm", "gru", "slstm", "qrnn"])
def test_frames_step_by_step(name, backend):
    layer = frames_of(name, backend=backend)
    xs = sample(T, B, 2, 7)
    with torch.no_grad():
        y, state = layer(xs)
    stream = gw.Stream(layer)
    assert_close(torch.stack([stream(x) for x in xs]), y, 1e-10)
    for mine, expected in zip(stream.state, state if isinstance(state, tuple) else (state,), strict=True):
        assert_close(mine, expected, 1e-10)


@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize("batch_first", [False, True])
def test_chunks_and_steps_of_frames(batch_first, dims):
    layer = frames_of("slstm", batch_first=batch_first, dims=dims, num_layers=1)
    xs, reset = sample(T, B, 2, *(5,) * dims), torch.rand(T, B, generator=generator(2)) < 0.3
    with torch.no_grad():
        y = turned(layer(turned(xs, batch_first), reset=turned(reset, batch_first))[0], batch_first)
    stream, found, t = gw.Stream(layer), [], 0
    for size in (1, 2, 1, 2):
        part, cut = (turned(p[t : t + size], batch_first) for p in (xs, reset))
        found.append(turned(stream.chunk(part, reset=cut), batch_first))
        t += size
    assert_close(torch.cat(found), y, 1e-10)
    stream.reset()
    for x, new, expected in zip(xs, reset, y, strict=True):
        stream.reset(new)
        assert_close(stream(x), expected, 1e-10)
    stream.check(turned(xs, batch_first))


def test_one_sequence_of_frames():
    layer, xs = frames_of("lstm"), sample(T, 2, 7)
    with torch.no_grad():
        y, _ = layer(xs)
    stream, out = gw.Stream(layer), torch.empty(3, 7, dtype=torch.float64)
    for x, expected in zip(xs, y, strict=True):
        assert stream(x, out=out) is out
        assert_close(out, expected, 1e-10)
    stream.reset(torch.tensor(True))
    assert_close(stream(xs[0]), y[0], 1e-10)


# -- in models ------------------------------------------------------------------------------------------


class Video(nn.Module):
    """Frames to a number for each network of an ensemble."""

    def __init__(self, backend: str = "auto"):
        super().__init__()
        self.frames = gw.ConvRecurrent("gru", 2, 3, 3, dims=1, backend=backend)
        self.between = nn.Linear(3, I)
        self.networks = gw.Ensemble(gw.LSTM(I, H, backend=backend), N)
        self.readout = nn.Parameter(torch.randn(N, H))

    def forward(self, x: Tensor) -> Tensor:  # (T, B, 2, space) to (N, T, B)
        y, _ = self.frames(x)
        y, _ = self.networks(self.between(y.mean(-1)))
        return torch.einsum("ntbh,nh->ntb", y, self.readout)


@pytest.mark.parametrize("way", [lambda s: s, copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])
@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_a_model_with_both(backend, way):
    model, xs = Video(backend).double(), sample(T, B, 2, 7)
    with torch.no_grad():
        y = model.eval()(xs)
    stream = gw.Stream(model.train())
    for t in range(3):
        assert_close(stream(xs[t]), y[:, t], 1e-10)
    stream = way(stream)
    for t in range(3, T):
        assert_close(stream(xs[t]), y[:, t], 1e-10)
    assert {name: s[0].shape[:1] for name, s in stream.state.items()} == {"frames": (1,), "networks": (N,)}
    stream.reset(torch.tensor([True, False, True]))
    again = stream(xs[0])
    assert_close(again[:, [0, 2]], y[:, 0][:, [0, 2]], 1e-10)
    stream.check(xs)
    with torch.no_grad():
        assert_close(model.eval()(xs), y, 1e-12)


REFUSED = {
    "Stream: a layer with two directions sees": lambda: gw.Ensemble(gw.LSTM(I, H, bidirectional=True), 2),
    "Stream: a layer with two directions (0) sees": lambda: nn.Sequential(
        gw.ConvRecurrent("gru", 2, 3, 3, bidirectional=True)
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_two_directions_are_refused(message):
    with pytest.raises(ValueError, match=re.escape(message)):
        gw.Stream(REFUSED[message]())


def test_what_does_not_fit():
    stream = gw.Stream(ensemble_of())
    stream(sample(B, I))
    with pytest.raises(ValueError, match=r"mask: expected shape \(3,\) or shape \(4, 3\), one for each sequence, got"):
        stream.reset(torch.zeros(4, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"input: expected a batch of 3, as the state has, got shape \(2, 4\); reset"):
        stream(sample(2, I))
    with pytest.raises(ValueError, match=r"input: expected one step, \(n, B, features\), .* got shape .*; chunk"):
        stream(sample(N, T, B, I))
    frames = gw.Stream(frames_of())
    with pytest.raises(ValueError, match=r"input: expected one step, \(B, C, \*space\) or .* got shape .*; chunk"):
        frames(sample(T, B, 2, 7))
