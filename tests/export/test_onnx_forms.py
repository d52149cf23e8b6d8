"""Equations that are an operator's of ONNX, by whatever names, become one node that gives the same numbers."""

import pytest
import torch
from onnx_runs import compare, states_for, with_random_weights

import gatewright as gw
from gatewright import affine, diagonal, linear, maximum, minimum, relu, sigmoid, tanh
from gatewright.export.forms import find


def clip(a, limit=0.4):
    return minimum(maximum(a, -limit), limit)


@gw.cell
def clipped_lstm(x, hidden, memory):
    let_in = sigmoid(clip(affine(x, hidden)))
    keep = sigmoid(clip(affine(x, hidden) + diagonal(memory)))
    new = tanh(maximum(minimum(0.4, affine(x, hidden)), -0.4))
    memory = let_in * new + memory * keep
    show = sigmoid(clip(affine(x, hidden)))
    hidden = tanh(memory) * show
    return hidden, memory


@gw.cell
def clipped_gru(x, h):
    r = sigmoid(clip(affine(x, h)))
    z = sigmoid(clip(affine(x, h)))
    n = tanh(clip(affine(x) + r * affine(h)))
    return (1 - z) * n + z * h


@gw.cell
def clipped_rnn(x, h):
    return relu(clip(affine(x, h)))


@gw.cell
def forget_gate_alone(x, h, c):
    f = sigmoid(affine(x, h) + diagonal(c))
    c = f * c + (1 - f) * tanh(affine(x, h))
    o = sigmoid(affine(x, h))
    h = o * tanh(c)
    return h, c


@gw.cell
def forget_gate_alone_two_peepholes(x, h, c):
    f = sigmoid(affine(x, h) + diagonal(c))
    c = f * c + (1 - f) * tanh(affine(x, h))
    o = sigmoid(affine(x, h) + diagonal(c))
    h = o * tanh(c)
    return h, c


@gw.cell
def gru_the_other_way_round(x, h):
    r = sigmoid(affine(x, h))
    z = sigmoid(affine(x, h))
    n = tanh(affine(x, r * h))
    return (1 - z) * h + z * n


@gw.cell
def relu_lstm(x, h, c):
    i = sigmoid(affine(x, h))
    f = sigmoid(affine(x, h))
    c = f * c + i * relu(affine(x, h))
    h = sigmoid(affine(x, h), name="o") * relu(c)
    return h, c


@gw.cell
def two_biases(x, h):
    r = sigmoid(affine(x) + affine(h))
    z = sigmoid(affine(x) + affine(h))
    n = tanh(affine(x) + r * affine(h))
    return (1 - z) * n + z * h


@gw.cell
def linear_rnn(x, h):
    return linear(x, h)


OWN = {
    clipped_lstm: "LSTM",
    clipped_gru: "GRU",
    clipped_rnn: "RNN",
    forget_gate_alone: "LSTM",
    forget_gate_alone_two_peepholes: "LSTM",
    gru_the_other_way_round: "GRU",
    relu_lstm: "LSTM",
    two_biases: "GRU",
    linear_rnn: "RNN",
    **{gw.cells.peephole_lstm.with_(peepholes=p): "LSTM" for p in ("i", "f", "o", "if", "io", "fo")},
    gw.cells.rnn.with_(nonlinearity="relu"): "RNN",
}


@pytest.mark.parametrize(("cell", "operator"), OWN.items(), ids=lambda v: repr(v))
def test_one_node(cell, operator, tmp_path):
    layer = with_random_weights(gw.Recurrent(cell, 3, 5, 2, bidirectional=True, backend="reference"))
    lengths, state = torch.tensor([6, 0, 3, 1]), states_for(layer, 4, torch.float32)
    report = compare(layer, tmp_path / "m", (torch.randn(6, 4, 3),), lengths=lengths, state=state)
    assert report.nodes == (operator, operator)


@pytest.mark.parametrize("drop_in", [gw.LSTM, gw.GRU, gw.RNN])
@pytest.mark.parametrize("bias", [True, False])
def test_drop_ins(drop_in, bias, tmp_path):
    layer = with_random_weights(drop_in(3, 5, 2, bias=bias, bidirectional=True, batch_first=True, backend="reference"))
    report = compare(layer, tmp_path / "m", (torch.randn(4, 6, 3),))
    assert report.nodes == (drop_in.__name__,) * 2


def test_a_projection_is_a_scan(tmp_path):
    layer = with_random_weights(gw.LSTM(3, 5, proj_size=2, backend="reference"))
    report = compare(layer, tmp_path / "m", (torch.randn(6, 4, 3),))
    assert report.nodes == ("Scan",)
    assert "no operator's" in report.layers[0].why


@gw.cell
def cell_state_clipped_too(x, h, c):
    i = sigmoid(clip(affine(x, h)))
    f = sigmoid(clip(affine(x, h)))
    c = f * c + i * tanh(clip(affine(x, h)))
    o = sigmoid(clip(affine(x, h)))
    h = o * tanh(clip(c))
    return h, c


@gw.cell
def one_gate_unclipped(x, h):
    r = sigmoid(clip(affine(x, h)))
    z = sigmoid(affine(x, h))
    n = tanh(clip(affine(x) + r * affine(h)))
    return (1 - z) * n + z * h


@gw.cell
def shared_bias(x, h, c):
    a = affine(x, h)
    i = sigmoid(a)
    f = sigmoid(affine(x, h))
    c = f * c + i * tanh(affine(x, h))
    o = sigmoid(a)
    h = o * tanh(c)
    return h, c


@gw.cell(initial={"h": 0.5})
def begins_elsewhere(x, h):
    return tanh(affine(x, h))


@pytest.mark.parametrize(
    "cell", [cell_state_clipped_too, one_gate_unclipped, shared_bias, begins_elsewhere], ids=lambda c: c.name
)
def test_what_is_nearly_an_operators(cell, tmp_path):
    layer = with_random_weights(gw.Recurrent(cell, 3, 5, backend="reference"))
    assert compare(layer, tmp_path / "m", (torch.randn(6, 4, 3),)).nodes == ("Scan",)


def test_every_attribute_is_said():
    assert find(clipped_lstm.graph).form.attributes == {"clip": 0.4}
    assert find(forget_gate_alone.graph).form.attributes == {"input_forget": 1}
    assert find(gw.cells.gru.graph).form.attributes == {"linear_before_reset": 1}
    assert find(gw.cells.gru_original.graph).form.attributes == {"linear_before_reset": 0}
    assert find(gw.cells.niaf.graph).form.activations == ("Sigmoid", "Affine", "Tanh")
