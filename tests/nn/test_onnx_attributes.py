"""Nodes of ONNX with clip, input_forget and activations of their own, as layers, against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import gatewright as gw
from cases import generator

ort = pytest.importorskip("onnxruntime")

T, B, I, H = 7, 4, 3, 5
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}

NODES = {
    "clip of an LSTM": ("LSTM", {"clip": 0.7}, False),
    "clip, peepholes": ("LSTM", {"clip": 0.7}, True),
    "coupled": ("LSTM", {"input_forget": 1}, False),
    "coupled, peepholes, clip": ("LSTM", {"input_forget": 1, "clip": 0.5}, True),
    "clip of a GRU": ("GRU", {"clip": 0.4, "linear_before_reset": 1}, False),
    "clip of a GRU, reset before": ("GRU", {"clip": 0.4, "linear_before_reset": 0}, False),
    "clip of an RNN": ("RNN", {"clip": 0.6, "activations": ["Relu"]}, False),
    "hard gates": ("LSTM", {"activations": ["HardSigmoid", "Tanh", "Relu"]}, True),
    "hard gates of a GRU": ("GRU", {"activations": ["HardSigmoid", "Softsign"]}, False),
    "numbers": (
        "LSTM",
        {
            "activations": ["hardsigmoid", "ScaledTanh", "leakyrelu"],
            "activation_alpha": [0.3, 1.5, 0.05],
            "activation_beta": [0.4, 0.7],
        },
        False,
    ),
    "thresholded": ("RNN", {"activations": ["ThresholdedRelu"], "activation_alpha": [0.3]}, False),
    "elu": ("RNN", {"activations": ["Elu"], "activation_alpha": [0.8]}, False),
    "affine": ("RNN", {"activations": ["Affine"], "activation_alpha": [0.5], "activation_beta": [0.1]}, False),
    "softplus": ("GRU", {"activations": ["Sigmoid", "Softplus"], "linear_before_reset": 1}, False),
    "a sigmoid": ("RNN", {"activations": ["Sigmoid"]}, False),
}


def model_of(op: str, attributes: dict, *, peepholes: bool, bias: bool, direction: str) -> onnx.ModelProto:
    """A node with weights of its own, its input x and lengths, and its outputs y and h."""
    directions, gates, g = 2 if direction == "bidirectional" else 1, GATES[op], generator(3)
    shapes = {"W": (directions, gates * H, I), "R": (directions, gates * H, H)}
    shapes |= {"B": (directions, 2 * gates * H)} if bias else {}
    shapes |= {"P": (directions, 3 * H)} if peepholes else {}
    arrays = {name: torch.randn(shape, generator=g).numpy() * 0.6 for name, shape in shapes.items()}
    words = ["W", "R", "B" if bias else "", "lengths", *(["", "", "P"] if peepholes else [])]
    attributes = dict(attributes)
    for name in ("activations", "activation_alpha", "activation_beta"):
        if name in attributes:
            attributes[name] = attributes[name] * directions
    made = helper.make_node(
        op, ["x", *words], ["y", "h"], name="node", hidden_size=H, direction=direction, **attributes
    )
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, None, I])]
    inputs += [helper.make_tensor_value_info("lengths", TensorProto.INT32, [None])]
    outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in "yh"]
    held = [numpy_helper.from_array(a, word) for word, a in arrays.items()]
    opsets = [helper.make_opsetid("", 17)]
    graph = helper.make_graph([made], "test", inputs, outputs, held)
    return helper.make_model(graph, opset_imports=opsets, ir_version=helper.find_min_ir_version_for(opsets))


def theirs(model: onnx.ModelProto, x: torch.Tensor, lengths: torch.Tensor) -> list[np.ndarray]:
    """(y (T, B, D · H), h) by ONNX Runtime."""
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    y, h = session.run(None, {"x": x.numpy(), "lengths": lengths.int().numpy()})
    return [y.transpose(0, 2, 1, 3).reshape(*x.shape[:2], -1), h]


def inner(layer):
    return getattr(layer, "layer", layer)


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("name", NODES)
def test_the_runtime_computes_what_we_do(name, direction):
    op, attributes, peepholes = NODES[name]
    model = model_of(op, attributes, peepholes=peepholes, bias=direction != "reverse", direction=direction)
    layer = gw.convert.from_onnx(model)
    x, lengths = torch.randn(T, B, I, generator=generator(1)), torch.tensor([7, 3, 5, 1])
    y, h = theirs(model, x, lengths)
    for backend in ("cpu", "reference"):
        inner(layer).backend = backend
        found, final = layer(x, lengths=lengths)
        final = final[0] if isinstance(final, tuple) else final
        np.testing.assert_allclose(found.detach().numpy(), y, rtol=1e-5, atol=2e-6, err_msg=backend)
        np.testing.assert_allclose(final.detach().numpy(), h, rtol=1e-5, atol=2e-6, err_msg=backend)


@pytest.mark.parametrize("name", ["coupled, peepholes, clip", "clip of a GRU", "clip of an RNN"])
def test_what_is_read_is_written_as_the_same_node(name, tmp_path):
    """Import and export share the cells: a node comes back as one node with its attributes."""
    op, attributes, peepholes = NODES[name]
    layer = gw.convert.from_onnx(model_of(op, attributes, peepholes=peepholes, bias=True, direction="forward"))
    gw.export.onnx(layer, tmp_path / "again.onnx")
    (node,) = [n for n in onnx.load(tmp_path / "again.onnx").graph.node if n.op_type in GATES]
    written = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    assert node.op_type == op
    assert written["clip"] == pytest.approx(attributes["clip"])
    assert written.get("input_forget", 0) == attributes.get("input_forget", 0)


def test_what_all_libraries_have_stays_a_plain_layer():
    for op, attributes, expected in (
        ("LSTM", {}, gw.LSTM),
        ("LSTM", {"clip": 0.0, "activations": ["sigmoid", "TANH", "Tanh"]}, gw.LSTM),
        ("GRU", {"linear_before_reset": 1}, gw.GRU),
        ("RNN", {"activations": ["relu"]}, gw.RNN),
        ("LSTM", {"clip": 3.0}, gw.Recurrent),
    ):
        model = model_of(op, attributes, peepholes=False, bias=True, direction="bidirectional")
        assert type(gw.convert.from_onnx(model)) is expected


def test_a_layer_with_attributes_trains():
    layer = gw.convert.from_onnx(model_of("LSTM", {"clip": 1.0}, peepholes=True, bias=True, direction="forward"))
    assert "min(max(" in str(layer.cell)
    y, _ = layer(torch.randn(T, B, I))
    y.sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in layer.parameters())


REFUSED = {
    "clip: expected a number above 0, got -1.0": {"clip": -1.0},
    "activations: expected names of Sigmoid, Tanh": {"activations": ["Sigmoid", "Tanh", "Gelu"]},
    "activations: expected 3 names, got": {"activations": ["Sigmoid", "Tanh"]},
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_no_attribute(message):
    node = helper.make_node("LSTM", ["x", "W", "R"], ["y"], hidden_size=H, **REFUSED[message])
    weights = {"W": np.zeros((1, 4 * H, I), "float32"), "R": np.zeros((1, 4 * H, H), "float32")}
    with pytest.raises(ValueError, match="LSTM 'y': " + message):
        gw.convert.from_onnx(node, weights)


def test_directions_of_different_activations_are_refused():
    node = helper.make_node(
        "RNN", ["x", "W", "R"], ["y"], hidden_size=H, direction="bidirectional", activations=["Tanh", "Relu"]
    )
    weights = {"W": np.zeros((2, H, I), "float32"), "R": np.zeros((2, H, H), "float32")}
    with pytest.raises(ValueError, match=r"expected the same in both directions, got .*two nodes of one direction"):
        gw.convert.from_onnx(node, weights)
