"""The recurrent cells of Flax, NNX's modules and the parameters of Linen's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor, nn

from .. import arguments
from ..gate_orders import FLAX
from .plain import (
    GRU_AFTER,
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
    split,
    stacked,
    tensor,
)
from .reversal import Reversed

_KINDS = {"LSTM": PLAIN_LSTM, "GRU": GRU_AFTER, "RNN": RNN_TANH}
_BIAS_AT = {"LSTM": "dense_h", "GRU": "dense_i", "RNN": "dense_i"}
_CELLS = {"LSTM": "OptimizedLSTMCell", "GRU": "GRUCell", "RNN": "SimpleCell"}
_PROBES = np.linspace(-4, 4, 33, dtype=np.float32)
_FUNCTIONS = {
    "sigmoid": 1 / (1 + np.exp(-_PROBES)),
    "tanh": np.tanh(_PROBES),
    "relu": np.maximum(_PROBES, 0),
}


def from_flax(module: Any) -> nn.Module:
    """Our layer with the weights of Flax's.

    Args:
        module: of `flax.nnx` an `LSTMCell`, `OptimizedLSTMCell`, `GRUCell` or `SimpleCell`, an `RNN` of one, a
            `Bidirectional` of two, or a list or `Sequential` of such, which becomes one stack. Or the parameters of a
            cell, of NNX's or Linen's, as nested mappings: `{"ii": {"kernel": …}, …}`. Of parameters by themselves the
            activations are taken to be the usual ones.

    Returns a layer that is `batch_first` unless the module says time_major; for `RNN(reverse=True, keep_order=True)` a
    `gw.convert.Reversed`. Flax's `seq_lengths=` is our `lengths=`; behind a sequence's end its outputs go on, ours
    are 0. Its carry (c, h) is our `hx` the other way round, with an axis for layers in front.

    Raises:
        ValueError, TypeError: other activations than the usual ones (relu for SimpleCell), a residual SimpleCell,
            reverse without keep_order, another merge_fn than side by side, unlike layers in a list.

        ours = gw.convert.from_flax(nnx.RNN(nnx.GRUCell(3, 5, rngs=nnx.Rngs(0))))
    """
    if isinstance(module, Mapping):
        return make(_of_params(module, "params"), batch_first=True)
    found = _read(module, package("flax.nnx"))
    layer = make(found.plain, batch_first=not found.time_major)
    return Reversed(layer) if found.reverse else layer


class _Found(NamedTuple):
    """What a module is."""

    plain: Plain
    time_major: bool = False
    reverse: bool = False


def _read(module: Any, nnx: Any) -> _Found:
    if type(module) is nnx.Sequential:
        module = list(module.layers)
    if isinstance(module, list | tuple):
        return _listed([_read(part, nnx) for part in module])
    name = type(module).__name__
    if type(module) is nnx.RNN:
        _check_order(module)
        return _Found(_of_cell(module.cell, nnx), module.time_major, module.reverse)
    if type(module) is nnx.Bidirectional:
        _check_merge(module)
        forward, backward = (_read(part, nnx).plain for part in (module.forward_rnn, module.backward_rnn))
        return _Found(both(forward, backward, "concat", name), module.time_major)
    return _Found(_of_cell(module, nnx))


def _listed(parts: Sequence[_Found]) -> _Found:
    plain = joined([(f"layers[{k}]", part.plain) for k, part in enumerate(parts)])
    if any(part.reverse for part in parts) and len(parts) > 1:
        raise arguments.wrong("layers", "layers that run forward", "one with reverse=True", "convert it by itself")
    if len({part.time_major for part in parts}) > 1:
        raise arguments.wrong("time_major", "the same in all layers", "both True and False")
    return _Found(plain, parts[0].time_major, parts[0].reverse)


def _check_order(module: Any) -> None:
    if module.reverse and not module.keep_order:
        raise arguments.wrong(
            "RNN: keep_order",
            "True where reverse=True",
            False,
            "convert it with keep_order=True, and flip our output over time",
        )


def _check_merge(module: Any) -> None:
    """Side by side, whatever the function is called."""
    a, b = np.ones((1, 2), np.float32), np.zeros((1, 2), np.float32)
    merged = np.asarray(module.merge_fn(a, b))
    if merged.shape != (1, 4) or not np.array_equal(merged, [[1, 1, 0, 0]]):
        raise arguments.wrong(
            "Bidirectional: merge_fn", "that which puts both directions side by side", "another function"
        )
    if any(getattr(part, "reverse", False) for part in (module.forward_rnn, module.backward_rnn)):
        raise arguments.wrong("Bidirectional: reverse", "False in its parts", True, "Bidirectional sets it itself")


def _of_cell(cell: Any, nnx: Any) -> Plain:
    name = type(cell).__name__
    known = (nnx.LSTMCell, nnx.OptimizedLSTMCell, nnx.GRUCell, nnx.SimpleCell)
    if type(cell) not in known:
        expected = ", ".join(k.__name__ for k in known)
        raise TypeError(f"module: expected one of {expected}, an RNN, a Bidirectional or a list of them, got {name}")
    if getattr(cell, "residual", False):
        raise arguments.wrong(f"{name}: residual", "False", True, "write it as a cell: gw.tanh(gw.affine(x, h) + h)")
    if hasattr(cell, "gate_fn"):
        _check_function(cell.gate_fn, ("sigmoid",), f"{name}: gate_fn")
    usual = ("tanh", "relu") if type(cell) is nnx.SimpleCell else ("tanh",)
    function = _check_function(cell.activation_fn, usual, f"{name}: activation_fn")
    plain = _of_params(_params(cell), name)
    return Plain(RNN_RELU, plain.layers) if function == "relu" else plain


def _check_function(function: Any, allowed: tuple[str, ...], where: str) -> str:
    """Which function it is, by its values: it may bear any name, or be wrapped."""
    values = np.asarray(function(_PROBES))
    found = next(
        (n for n, v in _FUNCTIONS.items() if v.shape == values.shape and np.allclose(v, values, atol=1e-5)), ""
    )
    if found not in allowed:
        got = found or getattr(function, "__name__", type(function).__name__)
        raise arguments.wrong(where, " or ".join(allowed), got, "write the cell with its own function")
    return found


def _params(cell: Any) -> dict[str, dict[str, Any]]:
    """The arrays of a cell of NNX's by the names of its linear layers."""
    names = [n for n in ("dense_i", "dense_h") if hasattr(cell, n)] or [
        side + gate for side in "ih" for gate in ("i", "f_" if side == "i" else "f", "g", "o")
    ]
    linears = {name: getattr(cell, name) for name in names}
    return {
        name.rstrip("_"): {part: w[...] for part in ("kernel", "bias") if (w := getattr(linear, part)) is not None}
        for name, linear in linears.items()
    }


# -- parameters by name --------------------------------------------------------------------------------------------


def _of_params(params: Mapping[str, Any], where: str) -> Plain:
    """A cell's parameters: two stacked linear layers, or one for each gate and side."""
    if set(params) in ({"cell"}, {"params"}):
        return _of_params(next(iter(params.values())), where)
    if {"forward_rnn", "backward_rnn"} <= set(params):
        forward, backward = (_of_params(params[name], f"{where}: {name}") for name in ("forward_rnn", "backward_rnn"))
        return both(forward, backward, "concat", where)
    params = {name.rstrip("_"): part for name, part in params.items()}
    family, sides = _dense(params, where) if {"dense_i", "dense_h"} <= set(params) else _single(params, where)
    W, U = ({gate: linear["kernel"].t() for gate, linear in side.items()} for side in sides)
    b_x, b_h = ({gate: linear["bias"] for gate, linear in side.items() if "bias" in linear} for side in sides)
    _check(W, U, b_x, b_h, where)
    return Plain(_KINDS[family], [[Gates(W, U, b_x, b_h, {})]])


def _dense(params: Mapping[str, Any], where: str):
    linears = [_tensors(params[name]) for name in ("dense_i", "dense_h")]
    H, rows = linears[1]["kernel"].shape
    families = {len(order.gates) * H: family for family, order in FLAX.items()}
    if rows not in families:
        raise arguments.wrong(f"{where}: dense_h.kernel", f"shape (H, H), (H, 3 H) or (H, 4 H), H = {H}", (H, rows))
    check_shapes(
        where,
        [
            ("dense_i.kernel", (linears[0]["kernel"].shape[0], rows), linears[0]["kernel"].shape),
            *(
                (f"dense_{n}.bias", (rows,), tuple(p["bias"].shape))
                for n, p in zip("ih", linears, strict=True)
                if "bias" in p
            ),
        ],
    )
    order = FLAX[families[rows]].gates
    parts = [{part: split(a.t(), order) for part, a in linear.items()} for linear in linears]
    sides = [{g: {part: rows[g].t() for part, rows in p.items()} for g in order} for p in parts]
    return families[rows], sides


def _single(params: Mapping[str, Any], where: str):
    for family, order in FLAX.items():
        names = {gate: gate if family != "RNN" else "" for gate in order.gates}
        if set(params) == {side + name for side in "ih" for name in names.values()}:
            return family, [{g: _tensors(params[side + n]) for g, n in names.items()} for side in "ih"]
    raise arguments.wrong(
        where,
        "the parameters of an LSTM's, a GRU's or a simple cell (dense_i and dense_h, or one for each gate: ii, hi, …)",
        ", ".join(map(str, params)) or "nothing",
    )


def _tensors(linear: Mapping[str, Any]) -> dict[str, Tensor]:
    return {part: tensor(value[...]) for part, value in linear.items() if value is not None}


def _check(W: Mapping, U: Mapping, b_x: Mapping, b_h: Mapping, where: str) -> None:
    H, features = next(iter(U.values())).shape[0], next(iter(W.values())).shape[1]
    expected = (("W", W, (H, features)), ("U", U, (H, H)), ("b", b_x, (H,)), ("b", b_h, (H,)))
    named = ((f"{n}_{gate}", shape, tuple(a.shape)) for n, side, shape in expected for gate, a in side.items())
    check_shapes(where, named)


# -- to Flax -------------------------------------------------------------------------------------------------------


def to_flax(layer: nn.Module) -> Any:
    """Flax NNX's module with the weights of one of ours: an `nnx.RNN` of an `OptimizedLSTMCell`, `GRUCell` or
    `SimpleCell`, an `nnx.Bidirectional` for two directions, an `nnx.Sequential` for several layers.

    Args:
        layer: a drop-in or a `gw.Recurrent` whose equations are an LSTM's, a GRU's that resets after the product, or
            an RNN's; or a `gw.convert.Reversed`.

    time_major is the opposite of `batch_first`. Flax's cells always have a bias: zeros for bias=False, the sum where
    ours has two. Its GRU has none inside the product with the reset gate: `b_n_h` must be 0.

    Raises:
        TypeError, ValueError: something that Flax has not; the message says what.

        theirs = gw.convert.to_flax(gw.LSTM(3, 5, num_layers=2, batch_first=True))
    """
    inner = layer.layer if isinstance(layer, Reversed) else layer
    nnx, plain = package("flax.nnx"), read(inner, "Flax")
    if plain.kind not in (*_KINDS.values(), RNN_RELU):
        titles = ", ".join(k.title for k in (*_KINDS.values(), RNN_RELU))
        raise arguments.wrong("layer", f"one that Flax has ({titles})", f"a {plain.kind.title}")
    if plain.directions == 2 and plain.merge != "concat":
        raise arguments.wrong("merge", "'concat'", repr(plain.merge), "give Bidirectional its merge_fn afterwards")
    backwards = inner is not layer
    if backwards and len(plain.layers) > 1:
        raise arguments.wrong("layer", "one layer in a Reversed", len(plain.layers), "convert them one by one")
    time_major = not inner.batch_first  # type: ignore[union-attr]
    made = [_built(plain, directions, time_major, backwards, nnx) for directions in plain.layers]
    return made[0] if len(made) == 1 else nnx.Sequential(*made)


def _built(plain: Plain, directions: Sequence[Gates], time_major: bool, backwards: bool, nnx: Any) -> Any:
    cells = [_cell(plain.kind, gates, nnx) for gates in directions]
    if len(cells) == 1:
        return nnx.RNN(cells[0], time_major=time_major, reverse=backwards, keep_order=backwards)
    return nnx.Bidirectional(*(nnx.RNN(cell, time_major=time_major) for cell in cells), time_major=time_major)


def _cell(kind: Kind, gates: Gates, nnx: Any) -> Any:
    jax, order = package("jax"), FLAX[kind.family].gates
    dtype = str(next(iter(gates.W.values())).dtype).removeprefix("torch.")
    if dtype == "float64" and not jax.config.jax_enable_x64:
        raise arguments.wrong(
            "dtype", "float32 while jax has no float64", dtype, 'jax.config.update("jax_enable_x64", True)'
        )
    options: dict[str, Any] = {"dtype": dtype, "param_dtype": dtype, "rngs": nnx.Rngs(0)}
    zeros = nnx.initializers.zeros_init()  # they are written over; an orthogonal matrix is no thing for bfloat16
    options |= {"kernel_init": zeros, "recurrent_kernel_init": zeros}
    if kind is RNN_RELU:
        options["activation_fn"] = nnx.relu
    cell = getattr(nnx, _CELLS[kind.family])(gates.input_size, gates.hidden_size, **options)

    def param(values: Tensor) -> Any:
        return nnx.Param(jax.numpy.asarray(array(values), dtype))

    cell.dense_i.kernel = param(stacked(gates.W, order).t())
    cell.dense_h.kernel = param(stacked(gates.U, order).t())
    getattr(cell, _BIAS_AT[kind.family]).bias = param(one_bias(gates, kind, order, "Flax"))
    return cell
