"""The operators LSTM, GRU and RNN of ONNX."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from ...graph import Cell
from .. import arguments
from ..gate_orders import ONNX, GateOrder
from .onnx_cells import cell_of, layer_of, onnx_gru, onnx_lstm, onnx_rnn
from .plain import (
    GRU_AFTER,
    GRU_BEFORE,
    PEEPHOLE_LSTM,
    PLAIN_LSTM,
    RNN_RELU,
    RNN_TANH,
    Gates,
    Kind,
    Plain,
    array,
    check_shapes,
    make,
    package,
    read,
    split,
    stacked,
    tensor,
    two_biases,
)
from .reversal import Reversed

INPUTS = {
    "LSTM": ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"),
    "GRU": ("X", "W", "R", "B", "sequence_lens", "initial_h"),
    "RNN": ("X", "W", "R", "B", "sequence_lens", "initial_h"),
}
USUAL = (
    (onnx_lstm, PLAIN_LSTM),
    (onnx_lstm.with_(peepholes="ifo"), PEEPHOLE_LSTM),
    (onnx_gru, GRU_AFTER),
    (onnx_gru.with_(before=True), GRU_BEFORE),
    (onnx_rnn, RNN_TANH),
    (onnx_rnn.with_(squash="Relu"), RNN_RELU),
)
"""What is in other libraries too; of ours these are layers of the zoo's cells."""


def from_onnx(model: Any, weights: Mapping[str, Any] | None = None, *, name: str | None = None) -> nn.Module:
    """Our layer with the weights of a node LSTM, GRU or RNN of ONNX.

    Args:
        model: an `onnx.ModelProto`, the path of one, or an `onnx.NodeProto`.
        weights: for a node by itself, its arrays by its inputs' own names, or as W, R, B and P. In a model they are
            its initializers and constants.
        name: the node's name, where a model has several; nodes without a name go by their first output that has one.

    Returns a layer of one or two directions, `batch_first` where the node has layout=1; for direction="reverse" a
    `gw.convert.Reversed`. What the node is given at each call stays so: sequence_lens is `lengths=`, initial_h and
    initial_c are `hx`. A node with clip, input_forget or activations of its own becomes a `gw.Recurrent` of a cell with
    just these equations: `print(layer.cell)`.

    Raises:
        ValueError: activations that ONNX does not have or that differ between directions, weights that are computed,
            or whose shapes do not fit.

    >>> import gatewright as gw, numpy as np
    >>> from onnx import helper
    >>> node = helper.make_node("GRU", ["x", "w", "r"], ["y"], hidden_size=5, linear_before_reset=1)
    >>> gw.convert.from_onnx(node, {"W": np.ones((1, 15, 3), "float32"), "R": np.ones((1, 15, 5), "float32")})
    GRU(gru, 3, 5, bias=False)
    """
    node, held = _node_and_weights(model, weights, name)
    where = f"{node.op_type} {_title(node)!r}"
    settings = _settings(node)
    cell = cell_of(node.op_type, settings, where, peepholes="P" in _given(node))
    directions = _directions(ONNX[node.op_type], _arrays(node, held, where), settings, where)
    batch_first = settings.get("layout", 0) == 1
    kind = _usual(cell)
    if kind is None:
        layer = layer_of(cell, directions, batch_first=batch_first)
    else:
        layer = make(Plain(kind, [directions]), batch_first=batch_first)
    return Reversed(layer) if settings.get("direction") == "reverse" else layer


def _node_and_weights(model: Any, weights: Mapping[str, Any] | None, name: str | None) -> tuple[Any, Mapping[str, Any]]:
    if isinstance(model, str | os.PathLike):
        model = package("onnx").load(model)
    if hasattr(model, "op_type"):
        if weights is None:
            raise TypeError("weights: expected the node's arrays by name ({'W': …, 'R': …}), got None")
        return _one([model], name), weights
    if not hasattr(model, "graph"):
        raise TypeError(f"model: expected an onnx model, a node or a path, got {type(model).__name__}")
    if weights is not None:
        raise arguments.wrong("weights", "None for a model, which has its own", type(weights).__name__)
    return _one(list(model.graph.node), name), _Held(model.graph)


def _one(nodes: list[Any], name: str | None) -> Any:
    found = [n for n in nodes if n.op_type in ONNX and n.domain in ("", "ai.onnx")]
    listed = ", ".join(f"{n.op_type} {_title(n)!r}" for n in found) or ", ".join(sorted({n.op_type for n in nodes}))
    chosen = found if name is None else [n for n in found if _title(n) == name]
    if len(chosen) != 1:
        wanted = "one node LSTM, GRU or RNN" if name is None else f"a recurrent node's name, not {name!r}"
        raise arguments.wrong("name", wanted, listed or "no nodes", "say which by name=" if len(found) > 1 else "")
    return chosen[0]


def _title(node: Any) -> str:
    return node.name or next((output for output in node.output if output), "")


def _given(node: Any) -> dict[str, str]:
    """The inputs that a node has: the operator's word, and the name in the graph."""
    return {ours: theirs for ours, theirs in zip(INPUTS[node.op_type], node.input, strict=False) if theirs}


def _settings(node: Any) -> dict[str, Any]:
    read_one = package("onnx").helper.get_attribute_value
    return {a.name: _text(read_one(a)) for a in node.attribute}


def _text(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    return [_text(v) for v in value] if isinstance(value, list) else value


class _Held(Mapping):
    """The weights of a graph by name: its initializers and constants, read when they are asked for."""

    def __init__(self, graph: Any):
        self._found = {t.name: t for t in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant":
                value = next((a.t for a in node.attribute if a.name == "value"), None)
                self._found |= {} if value is None else {node.output[0]: value}

    def __getitem__(self, name: str) -> np.ndarray:
        return package("onnx").numpy_helper.to_array(self._found[name])

    def __iter__(self):
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def _arrays(node: Any, held: Mapping[str, Any], where: str) -> dict[str, torch.Tensor]:
    given = {word: theirs for word, theirs in _given(node).items() if word in ("W", "R", "B", "P")}
    keys = {word: theirs if theirs in held else word for word, theirs in given.items()}
    lacking = [f"{word} ({given[word]})" for word, key in keys.items() if key not in held]
    lacking += [word for word in ("W", "R") if word not in given]
    if lacking:
        raise arguments.wrong(
            where, "its weights as arrays", f"none for {', '.join(lacking)}", "computed weights cannot be converted"
        )
    return {word: tensor(held[key]) for word, key in keys.items()}


def _usual(cell: Cell) -> Kind | None:
    """The recurrence that other libraries have too; None where it is ONNX's alone."""
    return next((kind for usual, kind in USUAL if (usual.name, usual.hyper) == (cell.name, cell.hyper)), None)


def _directions(order: GateOrder, arrays: Mapping[str, torch.Tensor], settings: Mapping, where: str):
    D, G = (2 if settings.get("direction") == "bidirectional" else 1), len(order.gates)
    R = arrays["R"]
    H = int(settings.get("hidden_size", R.shape[-1]))
    features = arrays["W"].shape[-1] if arrays["W"].dim() else 0
    expected = {"W": (D, G * H, features), "R": (D, G * H, H), "B": (D, 2 * G * H), "P": (D, len(order.peepholes) * H)}
    check_shapes(where, ((word, expected[word], tuple(a.shape)) for word, a in arrays.items()))
    return [_direction(order, {word: a[d] for word, a in arrays.items()}) for d in range(D)]


def _direction(order: GateOrder, arrays: Mapping[str, torch.Tensor]) -> Gates:
    b_x, b_h = (split(b, order.gates) for b in arrays["B"].chunk(2)) if "B" in arrays else ({}, {})
    p = split(arrays["P"], order.peepholes) if "P" in arrays else {}
    return Gates(split(arrays["W"], order.gates), split(arrays["R"], order.gates), b_x, b_h, p)


class OnnxNode(NamedTuple):
    """One node: its operator, its attributes, and its arrays W, R, B and P by name, as far as it has them."""

    op: str
    attributes: dict[str, Any]
    weights: dict[str, np.ndarray]


def to_onnx_weights(layer: nn.Module) -> list[OnnxNode]:
    """The weights of one of our layers as ONNX's operators take them, one node for each layer of the stack.

    `gw.export.onnx` writes whole models; this is for a graph that is built by other means.

    Args:
        layer: a drop-in or a `gw.Recurrent` with such equations, or a `gw.convert.Reversed`.

    Between the nodes of a stack, the output (T, D, B, H) has to become (T, B, D · H).

    >>> import gatewright as gw
    >>> (node,) = gw.convert.to_onnx_weights(gw.Recurrent("peephole_lstm", 3, 5))
    >>> node.op, {name: array.shape for name, array in node.weights.items()}
    ('LSTM', {'W': (1, 20, 3), 'R': (1, 20, 5), 'B': (1, 40), 'P': (1, 15)})
    """
    inner = layer.layer if isinstance(layer, Reversed) else layer
    plain = read(inner, "ONNX")
    if plain.directions == 2 and plain.merge != "concat":
        raise arguments.wrong("merge", "'concat'", repr(plain.merge), "ONNX gives directions apart from each other")
    direction = "bidirectional" if plain.directions == 2 else "reverse" if inner is not layer else "forward"
    attributes = {"hidden_size": plain.first.hidden_size, "direction": direction}
    if plain.kind in (GRU_AFTER, GRU_BEFORE):
        attributes["linear_before_reset"] = int(plain.kind is GRU_AFTER)
    if plain.kind is RNN_RELU:
        attributes["activations"] = ["Relu"] * plain.directions
    return [OnnxNode(plain.kind.family, dict(attributes), _written(plain, parts)) for parts in plain.layers]


def _written(plain: Plain, parts) -> dict[str, np.ndarray]:
    order = ONNX[plain.kind.family]
    found = {"W": [stacked(g.W, order.gates) for g in parts], "R": [stacked(g.U, order.gates) for g in parts]}
    if plain.bias:
        found["B"] = [torch.cat(two_biases(g, order.gates)) for g in parts]
    if plain.kind.peepholes:
        found["P"] = [stacked(g.p, order.peepholes) for g in parts]
    return {word: array(torch.stack(arrays)) for word, arrays in found.items()}
