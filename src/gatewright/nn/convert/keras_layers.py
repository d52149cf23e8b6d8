"""The recurrent layers of Keras 3, on any of its backends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .. import arguments
from ..gate_orders import KERAS, GateOrder
from .plain import (
    GRU_AFTER,
    GRU_BEFORE,
    PLAIN_LSTM,
    RNN_RELU,
    RNN_TANH,
    Gates,
    Kind,
    Plain,
    array,
    both,
    check_shapes,
    joined,
    make,
    one_bias,
    package,
    read,
    say,
    split,
    stacked,
    tensor,
    two_biases,
)

_ORDERS = {
    PLAIN_LSTM: KERAS["LSTM"],
    GRU_AFTER: KERAS["GRU"],
    GRU_BEFORE: KERAS["GRU, reset before"],
    RNN_TANH: KERAS["RNN"],
    RNN_RELU: KERAS["RNN"],
}
_MERGES = {"concat": "concat", "sum": "sum", "ave": "mean"}


def from_keras(layer: Any) -> nn.Module:
    """Our layer with the weights of Keras's, `batch_first` as Keras is.

    Args:
        layer: a built `LSTM`, `GRU` (both values of reset_after), `SimpleRNN`, `RNN` of their cells (a list of cells,
            too), a `Bidirectional` of one of them, or a list or `Sequential` of such layers, which becomes one stack.

    Ours returns every step and the final state, whatever return_sequences and return_state say. Keras's `mask=` is
    our `lengths=` (`gw.sequences.lengths_of`). Keras's states [h, c] are our `hx` with an axis for layers in front.

    Raises:
        ValueError, TypeError: other activations than the usual ones (sigmoid and tanh; relu for SimpleRNN), a layer
            that is not built or runs backwards by itself, merge_mode "mul" or None, unlike layers in a list.

    Dropout of Keras's is left out with a warning: it changes nothing in evaluation.

    A Keras layer is converted so:

        layer = keras.layers.Bidirectional(keras.layers.LSTM(5, return_sequences=True))
        layer.build((None, None, 3))
        ours = gw.convert.from_keras(layer)
    """
    return make(_plain(layer, package("keras")), batch_first=True)


def _plain(layer: Any, keras: Any) -> Plain:
    if isinstance(layer, keras.Sequential):
        layer = layer.layers
    if isinstance(layer, list | tuple):
        return joined([(f"layers[{k}]", _plain(part, keras)) for k, part in enumerate(layer)])
    if type(layer) is keras.layers.Bidirectional:
        return _bidirectional(layer, keras)
    if type(layer) not in (keras.layers.LSTM, keras.layers.GRU, keras.layers.SimpleRNN, keras.layers.RNN):
        raise TypeError(
            "layer: expected Keras's LSTM, GRU, SimpleRNN, RNN, a Bidirectional of one of them or a list of them, got "
            f"{type(layer).__name__}; convert the recurrent layers of a model one by one"
        )
    if layer.go_backwards:
        raise arguments.wrong(
            f"{layer.name}: go_backwards",
            "False outside a Bidirectional",
            True,
            "convert it without, and call ours on x.flip(1): the outputs then come in Keras's order",
        )
    return _one_direction(layer, keras)


def _bidirectional(layer: Any, keras: Any) -> Plain:
    if layer.merge_mode not in _MERGES:
        raise arguments.wrong(
            f"{layer.name}: merge_mode",
            "'concat', 'sum' or 'ave'",
            repr(layer.merge_mode),
            "convert with 'concat', and put the halves of the output together yourself",
        )
    forward, backward = layer.forward_layer, layer.backward_layer
    if forward.go_backwards or not backward.go_backwards:
        raise arguments.wrong(f"{layer.name}: go_backwards", "that of the backward layer alone", "something else")
    parts = _one_direction(forward, keras), _one_direction(backward, keras)
    if len(parts[0].layers) > 1:
        raise arguments.wrong(
            layer.name, "one cell in a Bidirectional", f"{len(parts[0].layers)} stacked", "ours joins each layer's ends"
        )
    return both(*parts, _MERGES[layer.merge_mode], layer.name)


def _one_direction(layer: Any, keras: Any) -> Plain:
    if layer.stateful:
        say(f"{layer.name}: stateful is left out; pass the state that ours returns as hx")
    cell = layer.cell
    cells = cell.cells if type(cell) is keras.layers.StackedRNNCells else [cell]
    return joined([(f"{layer.name}: {c.name}", _of_cell(c, f"{layer.name}: {c.name}", keras)) for c in cells])


def _of_cell(cell: Any, where: str, keras: Any) -> Plain:
    kind = _kind(cell, where, keras)
    if not cell.built:
        raise arguments.wrong(where, "a built layer", "one without weights", "layer.build((None, None, features))")
    if cell.dropout or cell.recurrent_dropout:
        say(f"{where}: dropout and recurrent_dropout are left out, since they act in training alone")
    names = ["kernel", "recurrent_kernel", *(["bias"] if cell.use_bias else [])]
    found = [tensor(keras.ops.convert_to_numpy(getattr(cell, name).value)) for name in names]
    order = _ORDERS[kind]
    rows, H = len(order.gates) * cell.units, cell.units
    expected = [(found[0].shape[0], rows), (H, rows), (rows,) if order.biases == 1 else (2, rows)]
    check_shapes(where, ((n, e, tuple(a.shape)) for n, e, a in zip(names, expected, found, strict=False)))
    return Plain(kind, [[_gates(order, *found)]])


def _gates(order: GateOrder, kernel: Tensor, recurrent: Tensor, bias: Tensor | None = None) -> Gates:
    sides = [] if bias is None else [split(b, order.gates) for b in bias.reshape(order.biases, -1)]
    b_x, b_h = (*sides, {}, {})[:2]
    return Gates(split(kernel.t(), order.gates), split(recurrent.t(), order.gates), b_x, b_h, {})


def _kind(cell: Any, where: str, keras: Any) -> Kind:
    k = keras.layers
    if type(cell) not in (k.LSTMCell, k.GRUCell, k.SimpleRNNCell):
        raise TypeError(f"{where}: expected Keras's LSTMCell, GRUCell or SimpleRNNCell, got {type(cell).__name__}")
    gate, squash = (_name(getattr(cell, n, "sigmoid"), keras) for n in ("recurrent_activation", "activation"))
    if gate != "sigmoid":
        raise arguments.wrong(
            f"{where}: recurrent_activation", "'sigmoid'", repr(gate), "write the cell with its own function"
        )
    allowed = ("tanh", "relu") if type(cell) is k.SimpleRNNCell else ("tanh",)
    if squash not in allowed:
        expected = " or ".join(map(repr, allowed))
        raise arguments.wrong(f"{where}: activation", expected, repr(squash), "write the cell with its own function")
    if type(cell) is k.GRUCell:
        return GRU_AFTER if cell.reset_after else GRU_BEFORE
    return PLAIN_LSTM if type(cell) is k.LSTMCell else RNN_RELU if squash == "relu" else RNN_TANH


def _name(activation: Any, keras: Any) -> str:
    if isinstance(activation, str):
        return activation
    known = (n for n in ("sigmoid", "tanh", "relu") if activation is getattr(keras.activations, n))
    return next(known, getattr(activation, "__name__", type(activation).__name__))


# -- to Keras ------------------------------------------------------------------------------------------------------


def to_keras(layer: nn.Module) -> Any:
    """Keras's layer with the weights of one of ours: a `Sequential` where ours has several layers.

    Args:
        layer: a drop-in or a `gw.Recurrent` whose equations are an LSTM's, a GRU's of either kind or an RNN's.

    It returns every step, (B, T, features): Keras is batch first. bias=False is use_bias=False; where ours has two
    biases and Keras one, their sum.

    Raises:
        TypeError, ValueError: something that Keras has not; the message says what.

        theirs = gw.convert.to_keras(gw.GRU(3, 5, num_layers=2, bidirectional=True))
    """
    keras, plain = package("keras"), read(layer, "Keras")
    if plain.kind not in _ORDERS:
        titles = ", ".join(k.title for k in _ORDERS)
        raise arguments.wrong("layer", f"one that Keras has ({titles})", f"a {plain.kind.title}")
    built = [_built(plain, directions, keras) for directions in plain.layers]
    if len(built) == 1:
        return built[0]
    return keras.Sequential([keras.Input((None, plain.first.input_size), dtype=_dtype(plain)), *built])


def _built(plain: Plain, directions: Sequence[Gates], keras: Any) -> Any:
    settings: dict[str, Any] = {"return_sequences": True, "use_bias": plain.bias, "dtype": _dtype(plain)}
    if plain.kind.family == "GRU":
        settings["reset_after"] = plain.kind is GRU_AFTER
    if plain.kind is RNN_RELU:
        settings["activation"] = "relu"
    made = {"LSTM": keras.layers.LSTM, "GRU": keras.layers.GRU, "RNN": keras.layers.SimpleRNN}[plain.kind.family]
    layer = made(directions[0].hidden_size, **settings)
    if len(directions) == 2:
        modes = {ours: theirs for theirs, ours in _MERGES.items()}
        layer = keras.layers.Bidirectional(layer, merge_mode=modes[plain.merge], dtype=_dtype(plain))
    layer.build((None, None, directions[0].input_size))
    layer.set_weights([array(a) for gates in directions for a in _written(plain, gates)])
    return layer


def _written(plain: Plain, gates: Gates) -> list[Tensor]:
    order = _ORDERS[plain.kind]
    found = [stacked(gates.W, order.gates).t(), stacked(gates.U, order.gates).t()]
    if plain.bias and order.biases == 2:
        found.append(torch.stack(two_biases(gates, order.gates)))
    elif plain.bias:
        found.append(one_bias(gates, plain.kind, order.gates, "Keras"))
    return found


def _dtype(plain: Plain) -> str:
    return str(next(iter(plain.first.W.values())).dtype).removeprefix("torch.")
