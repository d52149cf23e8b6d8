"""Weights from and to torch and ONNX, and what holds for every library."""

import re
import sys
import warnings
from itertools import product

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper, save
from torch import nn

import gatewright as gw

BACKENDS = ["cpu", "reference"]


def drawn(layer):
    """All weights anew, the biases too."""
    with torch.no_grad():
        for p in layer.parameters():
            p.normal_(0, 0.4)
    return layer


# -- torch ---------------------------------------------------------------------------------------------------------

MODULES = {
    "lstm": lambda **k: nn.LSTM(3, 5, **k),
    "lstmp": lambda **k: nn.LSTM(3, 5, proj_size=2, **k),
    "gru": lambda **k: nn.GRU(3, 5, **k),
    "rnn": lambda **k: nn.RNN(3, 5, **k),
    "relu": lambda **k: nn.RNN(3, 5, nonlinearity="relu", **k),
}


def leaves(result):
    y, state = result
    return [y, *(state if isinstance(state, tuple) else (state,))]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("layers", "bidirectional", "bias"), [(1, False, True), (2, True, True), (2, True, False)])
@pytest.mark.parametrize("kind", MODULES)
def test_torch_there_and_back(kind, layers, bidirectional, bias, backend):
    theirs = MODULES[kind](
        num_layers=layers, bidirectional=bidirectional, bias=bias, batch_first=True, dtype=torch.float64
    )
    ours = gw.convert.from_torch(theirs)
    ours.backend = backend
    x = torch.randn(4, 7, 3, dtype=torch.float64)
    for found, expected in zip(leaves(ours(x)), leaves(theirs(x)), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    again = gw.convert.to_torch(ours)
    assert type(again) is type(theirs) and again.state_dict().keys() == theirs.state_dict().keys()
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), theirs.parameters(), strict=True))


def test_torch_weights_are_copied():
    theirs = nn.GRU(3, 5)
    ours = gw.convert.from_torch(theirs)
    with torch.no_grad():
        theirs.weight_ih_l0.zero_()
    assert ours.weight_ih_l0.abs().max() > 0


@pytest.mark.parametrize("made", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
def test_torch_cells(made):
    theirs = made(3, 5)
    ours, x = gw.convert.from_torch(theirs), torch.randn(4, 3)
    found, expected = ours(x), theirs(x)
    if isinstance(expected, tuple):
        found, expected = torch.cat(found), torch.cat(expected)
    torch.testing.assert_close(found, expected)


def test_training_and_settings_go_with_it():
    theirs = nn.GRU(3, 5, num_layers=2, dropout=0.3).eval()
    ours = gw.convert.from_torch(theirs)
    assert not ours.training and ours.dropout == 0.3
    back = gw.convert.to_torch(ours)
    assert not back.training and back.dropout == 0.3


def test_to_torch_of_a_cell_by_another_name():
    @gw.cell
    def mine(x, h):
        keep = gw.sigmoid(gw.affine(x, h))
        reset = gw.sigmoid(gw.affine(x, h))
        new = gw.tanh(gw.affine(x) + reset * gw.affine(h))
        return new * (1 - keep) + h * keep

    ours = gw.Recurrent(mine, 3, 5)
    theirs, x = gw.convert.to_torch(ours), torch.randn(7, 4, 3)
    assert type(theirs) is nn.GRU
    torch.testing.assert_close(theirs(x)[0], ours(x)[0])


# -- ONNX ----------------------------------------------------------------------------------------------------------

OURS = {
    "lstm": lambda **k: gw.LSTM(3, 5, **k),
    "peephole_lstm": lambda **k: gw.Recurrent("peephole_lstm", 3, 5, **k),
    "gru": lambda **k: gw.GRU(3, 5, **k),
    "gru_original": lambda **k: gw.Recurrent("gru_original", 3, 5, **k),
    "rnn": lambda **k: gw.RNN(3, 5, **k),
    "relu": lambda **k: gw.RNN(3, 5, nonlinearity="relu", **k),
    "reversed": lambda bidirectional, **k: gw.convert.Reversed(gw.GRU(3, 5, **k)),
}


def as_model(written, *, name="layer", lengths=False):
    """A model of one node, with its weights as initializers."""
    (node,) = written
    words = [word if word in node.weights else "" for word in ("W", "R", "B")]
    words += ["lengths" if lengths else ""] + ["", "", "P"] * ("P" in node.weights)
    made = helper.make_node(node.op, ["x", *words], ["y", "h"], name=name, **node.attributes)
    arrays = [numpy_helper.from_array(a, word) for word, a in node.weights.items()]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, None, 3])]
    inputs += [helper.make_tensor_value_info("lengths", TensorProto.INT32, [None])] * lengths
    outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in "yh"]
    graph = helper.make_graph([made], "test", inputs, outputs, arrays)
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=helper.find_min_ir_version_for(opsets))


@pytest.mark.parametrize(("kind", "bidirectional", "bias"), list(product(OURS, (False, True), (False, True))))
def test_onnx_runtime_computes_what_we_do(kind, bidirectional, bias):
    ort = pytest.importorskip("onnxruntime")
    ours = drawn(OURS[kind](bidirectional=bidirectional, bias=bias))
    model = as_model(gw.convert.to_onnx_weights(ours), lengths=True)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    x, lengths = torch.randn(7, 4, 3), torch.tensor([7, 3, 5, 1], dtype=torch.int32)
    y, h = session.run(None, {"x": x.numpy(), "lengths": lengths.numpy()})
    found, final = ours(x, lengths=lengths)
    y = y.transpose(0, 2, 1, 3).reshape(7, 4, -1)
    np.testing.assert_allclose(found.detach().numpy(), y, rtol=1e-5, atol=1e-5)
    final = final[0] if isinstance(final, tuple) else final
    np.testing.assert_allclose(final.detach().numpy(), h, rtol=1e-5, atol=1e-5)
    back = gw.convert.from_onnx(model)
    assert type(back) is type(ours)
    assert all(torch.equal(a, b) for a, b in zip(back.parameters(), ours.parameters(), strict=True))


@pytest.mark.parametrize("kind", ["peephole_lstm", "gru_original", "gru", "rnn"])
def test_two_biases_of_onnx_are_two_or_summed(kind):
    """Ours of one bias writes zeros for the state's; a node of another's making has both."""
    ort = pytest.importorskip("onnxruntime")
    (node,) = gw.convert.to_onnx_weights(drawn(OURS[kind]()))
    node.weights["B"] = torch.randn(node.weights["B"].shape).numpy()
    model, x = as_model([node]), torch.randn(7, 4, 3)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (y,) = session.run(["y"], {"x": x.numpy()})
    np.testing.assert_allclose(gw.convert.from_onnx(model)(x)[0].detach().numpy(), y[:, 0], rtol=1e-5, atol=1e-5)


def test_onnx_layers_become_one_node_each():
    first, second = gw.convert.to_onnx_weights(gw.GRU(3, 5, num_layers=2, bidirectional=True))
    assert first.weights["W"].shape == (2, 15, 3) and second.weights["W"].shape == (2, 15, 10)
    assert first.attributes == {"hidden_size": 5, "direction": "bidirectional", "linear_before_reset": 1}


def test_onnx_from_a_file_and_by_name(tmp_path):
    ours, other = drawn(gw.LSTM(3, 5)), drawn(gw.LSTM(3, 5))
    model, second = (as_model(gw.convert.to_onnx_weights(x), name=n) for x, n in ((ours, "one"), (other, "two")))
    node = second.graph.node[0]
    for k, word in enumerate("WRB"):
        node.input[k + 1] = f"two_{word}"
        array = next(t for t in second.graph.initializer if t.name == word)
        held = helper.make_node("Constant", [], [f"two_{word}"], value=array)
        model.graph.node.append(held)  # weights may be constants too
    model.graph.node.append(node)
    save(model, tmp_path / "two.onnx")
    for path in (tmp_path / "two.onnx", str(tmp_path / "two.onnx")):
        assert torch.equal(gw.convert.from_onnx(path, name="two").weight_hh_l0, other.weight_hh_l0)
    with pytest.raises(ValueError, match=r"name: expected one node .*, got LSTM 'one', LSTM 'two'; say which by name="):
        gw.convert.from_onnx(model)
    with pytest.raises(ValueError, match=r"not 'three', got LSTM 'one', LSTM 'two'"):
        gw.convert.from_onnx(model, name="three")


W, R = np.zeros((1, 20, 3), "float32"), np.zeros((1, 20, 5), "float32")
NODES = {
    "activations": ({"activations": ["Gelu", "Tanh", "Tanh"]}, {}, ["activations: expected names of Sigmoid", "Gelu"]),
    "shapes": (
        {},
        {"W": np.zeros((1, 18, 3)), "R": np.zeros((2, 20, 5))},
        ["W: expected (1, 20, 3), got (1, 18, 3)", "R: expected (1, 20, 5), got (2, 20, 5)"],
    ),
    "computed": ({}, {"R": None}, ["none for R (R)", "computed weights"]),
}


@pytest.mark.parametrize("mistake", NODES)
def test_what_is_refused_of_onnx(mistake):
    attributes, changed, parts = NODES[mistake]
    node = helper.make_node("LSTM", ["x", "W", "R"], ["y"], hidden_size=5, **attributes)
    weights = {name: a for name, a in ({"W": W, "R": R} | changed).items() if a is not None}
    with pytest.raises(ValueError, match="LSTM 'y'") as error:
        gw.convert.from_onnx(node, weights)
    assert not [part for part in parts if part not in str(error.value)], error.value


def test_other_nodes_are_refused():
    node = helper.make_node("Gemm", ["a", "b"], ["c"])
    with pytest.raises(ValueError, match="expected one node LSTM, GRU or RNN, got Gemm"):
        gw.convert.from_onnx(node, {})
    with pytest.raises(TypeError, match="weights: expected the node's arrays"):
        gw.convert.from_onnx(helper.make_node("GRU", ["x", "W", "R"], ["y"]))
    with pytest.raises(TypeError, match="model: expected an onnx model, a node or a path, got int"):
        gw.convert.from_onnx(3)


# -- one direction, backwards --------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("given", [None, [7, 0, 5, 1]])
def test_reversed_is_the_second_of_two_directions(backend, batch_first, given):
    both = drawn(gw.LSTM(3, 5, bidirectional=True, batch_first=batch_first, backend=backend, dtype=torch.float64))
    one = gw.LSTM(3, 5, batch_first=batch_first, backend=backend, dtype=torch.float64)
    with torch.no_grad():
        for name, p in one.named_parameters():
            p.copy_(both.get_parameter(f"{name}_reverse"))
    x = torch.randn((4, 7, 3) if batch_first else (7, 4, 3), dtype=torch.float64, requires_grad=True)
    began = tuple(torch.randn(1, 4, 5, dtype=torch.float64, requires_grad=True) for _ in range(2))
    y, final = gw.convert.Reversed(one)(x, began, lengths=given)
    expected, last = both(x, tuple(torch.cat([s, s]) for s in began), lengths=given)
    torch.testing.assert_close(y, expected[..., 5:])
    for found, wanted in zip(final, last, strict=True):
        torch.testing.assert_close(found[0], wanted[1])
    weight = torch.randn_like(y)
    grads = torch.autograd.grad((y * weight).sum(), [x, *one.parameters()])
    reverse = [both.get_parameter(f"{n}_reverse") for n, _ in one.named_parameters()]
    wanted = torch.autograd.grad((expected[..., 5:] * weight).sum(), [x, *reverse])
    for found, right in zip(grads, wanted, strict=True):
        torch.testing.assert_close(found, right)


def test_reversed_takes_one_sequence():
    layer, x = gw.convert.Reversed(gw.GRU(3, 5, batch_first=True)), torch.randn(7, 3)
    torch.testing.assert_close(layer(x)[0], layer(x.unsqueeze(0))[0][0])
    torch.testing.assert_close(layer(x, lengths=[4])[0], layer(x.unsqueeze(0), lengths=[4])[0][0])
    with pytest.raises(ValueError, match="layer: expected one direction, got two"):
        gw.convert.Reversed(gw.GRU(3, 5, bidirectional=True))


# -- what no other library has -------------------------------------------------------------------------------------

TO = [gw.convert.to_torch, gw.convert.to_onnx_weights]


@pytest.mark.parametrize("to", TO)
@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (lambda: gw.GRU(3, 5, learned_state=True), "learned_state: expected False, got True; no other library"),
        (lambda: gw.Recurrent("gru", 3, 4, heads=2), "heads: expected 1, got 2"),
        (lambda: gw.GRU(3, 5, zoneout=0.1), "zoneout: expected 0, got 0.1"),
        (lambda: gw.Recurrent("mgu", 3, 5), "layer: expected the equations of .* got those of mgu"),
        (lambda: gw.Recurrent("gru", 3, 5, bidirectional=True, merge="sum"), "merge: expected 'concat', got 'sum'"),
    ],
)
def test_what_would_be_lost_is_refused(to, layer, said):
    with pytest.raises(ValueError, match=said):
        to(layer())


@pytest.mark.parametrize("to", TO)
def test_only_a_layer_is_converted(to):
    with pytest.raises(TypeError, match=r"layer: expected a recurrent layer .*, got Linear; of a model"):
        to(nn.Linear(3, 5))


@pytest.mark.parametrize("to", TO)
def test_what_acts_in_training_alone_is_left_out_with_a_warning(to):
    with pytest.warns(UserWarning, match="recurrent_dropout and weight_drop: left out") as said:
        to(gw.GRU(3, 5, recurrent_dropout=0.1, weight_drop={"U_n": 0.1}))
    assert said[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        to(gw.GRU(3, 5))


def test_a_projected_lstm_is_torchs_alone():
    assert gw.convert.to_torch(gw.Recurrent("lstmp", 3, 5, sizes={"P": 2})).proj_size == 2
    with pytest.raises(ValueError, match="a recurrence that ONNX has, got those of lstmp"):
        gw.convert.to_onnx_weights(gw.LSTM(3, 5, proj_size=2))


def test_a_subclass_of_torchs_is_refused():
    class Mine(nn.GRU):
        pass

    with pytest.raises(TypeError, match=re.escape("got Mine; in a model that holds such modules, gw.replace(model)")):
        gw.convert.from_torch(Mine(3, 5))


def test_computed_weights_are_refused():
    theirs = nn.GRU(3, 5)
    nn.utils.parametrizations.weight_norm(theirs, "weight_hh_l0")
    with pytest.raises(ValueError, match="weights that are parameters, got weight_hh"):
        gw.convert.from_torch(theirs)


def test_a_library_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(ImportError, match=r"gw.convert needs keras, .* pip install keras"):
        gw.convert.to_keras(gw.GRU(3, 5))
