"""One step at a time, past everything that a step does not need: the same numbers, and never stale weights."""

import copy
import pickle

import pytest
import torch

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
