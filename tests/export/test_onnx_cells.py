"""Every cell of the zoo, exported and run by ONNX Runtime: outputs and states are the layer's own."""

import pytest
import torch
from onnx_runs import again, compare, states_for, with_random_weights

import gatewright as gw
from cases import case_for, generator, sequence_inputs
from gatewright.export.operators import GIVEN, OWN, ROWS
from gatewright.graph.ops import INTERNAL, OPS

NATIVE = {
    "rnn": "RNN",
    "gru": "GRU",
    "gru_original": "GRU",
    **dict.fromkeys("lstm peephole_lstm peephole_cifg cifg niaf noaf".split(), "LSTM"),
}
AS_WIDE = {"sru", "mut1", "mut2"}
"""Their input is as wide as their state: a second layer behind two directions would not fit."""


def layer_for(name: str, *, bidirectional: bool, dtype: torch.dtype, backend: str = "reference"):
    case = case_for(gw.cells[name].graph)
    layers = 1 if bidirectional and name in AS_WIDE else 2
    layer = case.layer(gw.cells[name], num_layers=layers, bidirectional=bidirectional, dtype=dtype, backend=backend)
    return case, with_random_weights(layer)


def inputs_for(case, steps: int, batch: int, dtype: torch.dtype):
    x = sequence_inputs(case, steps, batch, generator(), dtype)
    return x if isinstance(x, tuple) else (x,)


@pytest.mark.parametrize("name", gw.cells)
def test_any_time_and_batch(name, tmp_path):
    case, layer = layer_for(name, bidirectional=False, dtype=torch.float32)
    state = states_for(layer, 4, torch.float32)
    report = compare(layer, tmp_path / "m", inputs_for(case, 6, 4, torch.float32), state=state)
    assert set(report.nodes) == {NATIVE.get(name, "Scan")}
    again(layer, tmp_path / "m", inputs_for(case, 1, 1, torch.float32), state=[s[:, :1] for s in state])


@pytest.mark.parametrize("name", gw.cells)
def test_lengths_and_two_directions(name, tmp_path):
    case, layer = layer_for(name, bidirectional=True, dtype=torch.float32)
    lengths = torch.tensor([6, 0, 3, 1])
    state = states_for(layer, 4, torch.float32)
    compare(layer, tmp_path / "m", inputs_for(case, 6, 4, torch.float32), lengths=lengths, state=state)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("name", gw.cells)
def test_resets_in_float64(name, bidirectional, tmp_path):
    case, layer = layer_for(name, bidirectional=bidirectional, dtype=torch.float64)
    reset = torch.rand(6, 4, generator=generator()) < 0.3
    report = compare(
        layer,
        tmp_path / "m",
        inputs_for(case, 6, 4, torch.float64),
        lengths=torch.tensor([6, 0, 3, 5]),
        reset=reset,
        state=states_for(layer, 4, torch.float64),
    )
    assert set(report.nodes) == {"Scan"}


@pytest.mark.slow
@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("name", gw.cells)
def test_the_kernels_say_the_same(name, native, tmp_path):
    case, layer = layer_for(name, bidirectional=False, dtype=torch.float32, backend="cpu")
    lengths = torch.tensor([6, 0, 3, 1])
    compare(layer, tmp_path / "m", inputs_for(case, 6, 4, torch.float32), lengths=lengths, native=native)


@pytest.mark.parametrize("name", ["lstm", "mgu", "qrnn", "fgr"])
@pytest.mark.parametrize("lengths", [None, torch.tensor([2, 5, 0])])
def test_batch_first(name, lengths, tmp_path):
    case = case_for(gw.cells[name].graph)
    layer = with_random_weights(case.layer(gw.cells[name], batch_first=True, backend="reference"))
    (x,) = inputs_for(case, 5, 3, torch.float32)
    reset = torch.rand(3, 5) < 0.3
    compare(layer, tmp_path / "m", (x.transpose(0, 1).contiguous(),), lengths=lengths)
    compare(layer, tmp_path / "m", (x.transpose(0, 1).contiguous(),), lengths=lengths, reset=reset)


@pytest.mark.parametrize("name", ["lstm", "gru", "mgu", "qrnn"])
def test_nothing_of_the_padding_gets_through(name, tmp_path):
    case, layer = layer_for(name, bidirectional=True, dtype=torch.float32)
    (x,) = inputs_for(case, 6, 4, torch.float32)
    x[3:, 2], x[:, 1] = float("nan"), float("inf")
    compare(layer, tmp_path / "m", (x,), lengths=torch.tensor([6, 0, 3, 6]), state=states_for(layer, 4, x.dtype))


@pytest.mark.parametrize("lengths", [None, torch.tensor([6, 0, 3, 5])])
def test_looking_far_back_across_resets(lengths, tmp_path):
    layer = with_random_weights(gw.Recurrent(gw.cells.qrnn.with_(window=4), 3, 5, 2, backend="reference"))
    reset, state = torch.rand(6, 4) < 0.3, states_for(layer, 4, torch.float32)
    report = compare(layer, tmp_path / "m", (torch.randn(6, 4, 3),), lengths=lengths, reset=reset, state=state)
    assert report.outputs == ("y", "c_n", "inputs_n_l0", "inputs_n_l1")


@pytest.mark.parametrize("static", [(), ("static",)])
def test_an_input_that_does_not_change(static, tmp_path):
    layer = with_random_weights(gw.Recurrent("ea_lstm", (3, 2), 5, backend="reference"))
    x, steady = torch.randn(6, 4, 3), torch.randn(4, 2)
    given = steady if static else steady.expand(6, 4, 2).contiguous()
    compare(layer, tmp_path / "m", (x, given), static=static)


@pytest.mark.parametrize("options", [
    {"heads": 5},
    {"zoneout": {"c": 0.3}, "recurrent_dropout": 0.2, "weight_drop": 0.1},
    {"bias": False},
    {"learned_state": True},
    {"merge": "sum", "bidirectional": True},
    {"merge": "mean", "bidirectional": True},
    {"num_layers": 3, "dropout": 0.5},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("native", [True, False])
def test_options_of_a_layer(options, native, tmp_path):
    layer = with_random_weights(gw.Recurrent("lstm", 4, 5, backend="reference", **options))
    x, lengths = torch.randn(6, 4, 4), torch.tensor([6, 0, 3, 1])
    report = compare(layer.train(), tmp_path / "m", (x,), lengths=lengths, native=native)
    assert set(report.nodes) == {"LSTM" if native and not options.keys() & {"heads", "zoneout"} else "Scan"}


@pytest.mark.parametrize("bidirectional", [False, True])
def test_learned_states_at_resets(bidirectional, tmp_path):
    options = {"learned_state": True, "bidirectional": bidirectional, "backend": "reference"}
    layer = with_random_weights(gw.Recurrent("slstm", 4, 6, heads=2, **options))
    compare(layer, tmp_path / "m", (torch.randn(6, 4, 4),), reset=torch.rand(6, 4) < 0.3)


@pytest.mark.parametrize("opset", [18, 19, 21, 22])
@pytest.mark.parametrize("name", ["lstm", "gru", "layer_norm_lstm"])
def test_opsets(name, opset, tmp_path):
    layer = with_random_weights(gw.Recurrent(name, 4, 5, backend="reference"))
    assert compare(layer, tmp_path / "m", (torch.randn(3, 2, 4),), opset=opset).opset == opset


@gw.cell
def every_operation(x, h):
    a = gw.maximum(gw.sum(x), 0.1)
    b = gw.log(gw.abs(h) + 1) + gw.sqrt(gw.exp(h)) + gw.softplus(gw.affine(x, h)) ** 2
    c = gw.where(h > 0.1, b, -b / 2) + gw.where(h <= 0.2, gw.minimum(h, 0.3), gw.max(h))
    d = gw.where(h != 0.0, c, 0.5) + gw.where(h == 0.0, 1.0, h) + gw.where(h < -0.2, gw.sum(h), gw.mean(h))
    e = gw.where(d >= 0.5, gw.relu(d) - gw.sigmoid(d), gw.repeat(gw.affine(x, width="K"), 2))
    f = gw.stop_gradient(e) * gw.layer_norm(gw.affine(a * h, name="f"))
    return gw.tanh(f)


def test_every_operation(tmp_path):
    layer = with_random_weights(gw.Recurrent(every_operation, 3, 6, dtype=torch.float64, backend="reference"))
    compare(layer, tmp_path / "m", (torch.randn(9, 4, 3, dtype=torch.float64),))


def test_no_operation_is_missing():
    """Everything that a cell can say."""
    assert set(OPS) - INTERNAL == set(ROWS) | OWN | GIVEN
    assert not set(ROWS) & (OWN | GIVEN)


@gw.cell
def two_states(x, h, c):
    old = h
    h = gw.tanh(gw.affine(x))
    c = gw.max(c) + old
    return c, (h, c)


@gw.cell
def output_beside_the_state(x, h):
    y = gw.mean(gw.affine(x))
    h = 0.5 * h + gw.sum(x)
    return y, (h,)


@gw.cell
def norm_over_static_too(x, static, /, h):
    a, b = gw.layer_norm(gw.affine(x, name="a"), gw.affine(static, name="b"))
    return gw.tanh(a + b * h)


def test_a_norm_over_what_does_not_change(tmp_path):
    layer = with_random_weights(gw.Recurrent(norm_over_static_too, (3, 2), 5, backend="reference"))
    compare(layer, tmp_path / "m", (torch.randn(6, 4, 3), torch.randn(4, 2)), static=("static",))


@pytest.mark.parametrize("cell", [two_states, output_beside_the_state], ids=lambda c: c.name)
@pytest.mark.parametrize("lengths", [None, torch.tensor([2, 0, 4])])
def test_odd_cells(cell, lengths, tmp_path):
    layer = with_random_weights(gw.Recurrent(cell, 4, 5, bidirectional=True, backend="reference"))
    compare(layer, tmp_path / "m", (torch.randn(4, 3, 4),), lengths=lengths)
