"""Keras beside our converted layers, in a process of its own: Keras reads its backend when it is first imported."""

import os
import warnings

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np
import torch

import gatewright as gw

warnings.simplefilter("ignore")  # theirs; ours are asserted on where they matter
KINDS = {
    "lstm": keras.layers.LSTM,
    "gru": keras.layers.GRU,
    "gru_before": lambda *a, **k: keras.layers.GRU(*a, reset_after=False, **k),
    "rnn": keras.layers.SimpleRNN,
    "rnn_relu": lambda *a, **k: keras.layers.SimpleRNN(*a, activation="relu", **k),
}
OURS = {"lstm": "lstm", "gru": "gru", "gru_before": "gru_original", "rnn": "rnn", "rnn_relu": "rnn_relu"}


def shuffled(layer, features=3):
    """Built, with all weights drawn anew: the biases too, which Keras begins at 0."""
    if not layer.built:
        layer.build((None, None, features))
    draw = np.random.default_rng(0)
    layer.set_weights([draw.normal(size=w.shape, scale=0.4).astype(w.dtype) for w in layer.get_weights()])
    return layer


def close(found, expected):
    """In float64, too: Keras's own loop over steps is no better than float32."""
    expected = keras.ops.convert_to_numpy(expected)
    assert str(found.dtype).endswith(str(expected.dtype))
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-5, atol=1e-5)


def inputs(dtype="float32"):
    torch.manual_seed(0)
    return torch.randn(4, 7, 3, dtype=getattr(torch, dtype))


def from_one_direction(kind, bias, dtype, backend):
    theirs = shuffled(KINDS[kind](5, use_bias=bias, dtype=dtype, return_sequences=True, return_state=True))
    ours = gw.convert.from_keras(theirs)
    ours.backend = backend
    assert ours.bias == bias and ours.batch_first
    x = inputs(dtype)
    y, *states = theirs(x.numpy())
    found, final = ours(x)
    close(found, y)
    for ours_final, state in zip(final if isinstance(final, tuple) else (final,), states, strict=True):
        close(ours_final[0], state)
    again = gw.convert.to_keras(ours)
    assert all(np.array_equal(a, b) for a, b in zip(again.get_weights(), theirs.get_weights(), strict=True))


def from_mask(kind, bidirectional):
    lengths = torch.tensor([7, 3, 5, 1])
    theirs = KINDS[kind](5, return_sequences=True)
    theirs = shuffled(keras.layers.Bidirectional(theirs) if bidirectional else theirs)
    x, mask = inputs(), gw.sequences.mask(lengths, 7, batch_first=True)
    y = keras.ops.convert_to_numpy(theirs(x.numpy(), mask=mask.numpy()))
    found, _ = gw.convert.from_keras(theirs)(x, lengths=lengths)
    close(found[mask], y[mask.numpy()])


def from_two_directions(kind, merge):
    theirs = shuffled(keras.layers.Bidirectional(KINDS[kind](5, return_sequences=True), merge_mode=merge))
    ours = gw.convert.from_keras(theirs)
    close(ours(inputs())[0], theirs(inputs().numpy()))
    again = gw.convert.to_keras(ours)
    assert all(np.array_equal(a, b) for a, b in zip(again.get_weights(), theirs.get_weights(), strict=True))


def from_stack(kind, bidirectional):
    def layer():
        one = KINDS[kind](5, return_sequences=True)
        return keras.layers.Bidirectional(one) if bidirectional else one

    theirs = shuffled(keras.Sequential([keras.Input((None, 3)), layer(), layer()]))
    ours = gw.convert.from_keras(theirs)
    assert ours.num_layers == 2 and ours.bidirectional == bidirectional
    close(ours(inputs())[0], theirs(inputs().numpy()))
    close(gw.convert.from_keras(theirs.layers)(inputs())[0], theirs(inputs().numpy()))
    close(ours(inputs())[0], gw.convert.to_keras(ours)(inputs().numpy()))


def from_cells():
    theirs = shuffled(keras.layers.RNN([keras.layers.GRUCell(5), keras.layers.GRUCell(5)], return_sequences=True))
    ours = gw.convert.from_keras(theirs)
    assert ours.num_layers == 2
    close(ours(inputs())[0], theirs(inputs().numpy()))


def to_keras(kind, layers, bidirectional, bias, merge):
    cell = gw.cells.rnn.with_(nonlinearity="relu") if kind == "rnn_relu" else OURS[kind]
    ours = gw.Recurrent(cell, 3, 5, layers, bias=bias, bidirectional=bidirectional, merge=merge, batch_first=True)
    with torch.no_grad():
        for p in ours.parameters():
            p.normal_(0, 0.4)
    close(ours(inputs())[0], gw.convert.to_keras(ours)(inputs().numpy()))


def message_of(make):
    """The error of a conversion, and the warnings on the way."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            gw.convert.from_keras(MISTAKES[make]())
        except (TypeError, ValueError) as error:
            return type(error).__name__, str(error), [str(w.message) for w in said if w.category is UserWarning]
    return "", "", [str(w.message) for w in said if w.category is UserWarning]


L = keras.layers


def _misshapen():
    layer = shuffled(L.GRU(5))
    layer.cell.units = 6
    return layer


def _stateful():
    layer = L.LSTM(5, stateful=True)
    layer.build((4, None, 3))
    return layer


MISTAKES = {
    "hard_sigmoid": lambda: shuffled(L.LSTM(5, recurrent_activation="hard_sigmoid")),
    "elu": lambda: shuffled(L.GRU(5, activation="elu")),
    "relu_lstm": lambda: shuffled(L.LSTM(5, activation="relu")),
    "unbuilt": lambda: L.LSTM(5),
    "backwards": lambda: shuffled(L.LSTM(5, go_backwards=True)),
    "mul": lambda: shuffled(L.Bidirectional(L.LSTM(5, return_sequences=True), merge_mode="mul")),
    "dense": lambda: L.Dense(5),
    "unlike": lambda: [shuffled(L.LSTM(5)), shuffled(L.GRU(5), 5)],
    "widths": lambda: [shuffled(L.LSTM(5)), shuffled(L.LSTM(6), 5)],
    "empty": list,
    "misshapen": _misshapen,
    "dropout": lambda: shuffled(L.LSTM(5, dropout=0.1)),
    "stateful": _stateful,
}
