"""Weights by gate: what every library's arrays are read into and written from.

From the libraries to our layers, and back, all goes through `Plain`, so that a library is no more than a table of where
its arrays are.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...cells import zoo
from ...graph.match import match
from .. import arguments
from ..drop_in import GRU, LSTM, RNN
from ..recurrent import Recurrent
from ..stack import Stack


@dataclass(frozen=True)
class Kind:
    """A recurrence that more than one library has. family: LSTM, GRU or RNN; title: what it is called in messages."""

    family: str
    title: str
    cell: str
    gates: str
    hyper: tuple[tuple[str, str], ...] = ()
    peepholes: str = ""


KINDS = (
    Kind("LSTM", "LSTM", "lstm", "ifgo"),
    Kind("LSTM", "peephole LSTM", "peephole_lstm", "ifgo", peepholes="ifo"),
    Kind("GRU", "GRU that resets after the product", "gru", "rzn"),
    Kind("GRU", "GRU that resets before the product", "gru_original", "rzn"),
    Kind("RNN", "RNN with tanh", "rnn", "h"),
    Kind("RNN", "RNN with relu", "rnn", "h", hyper=(("nonlinearity", "relu"),)),
)
PLAIN_LSTM, PEEPHOLE_LSTM, GRU_AFTER, GRU_BEFORE, RNN_TANH, RNN_RELU = KINDS


class Gates(NamedTuple):
    """One layer and direction, by gate: W (H, I), U (H, H), biases and peepholes (H,).

    b_x comes with the input, b_h with the state; empty where there are none. A bias that is for both is b_x.
    """

    W: Mapping[str, Tensor]
    U: Mapping[str, Tensor]
    b_x: Mapping[str, Tensor]
    b_h: Mapping[str, Tensor]
    p: Mapping[str, Tensor]

    @property
    def hidden_size(self) -> int:
        return next(iter(self.U.values())).shape[0]

    @property
    def input_size(self) -> int:
        return next(iter(self.W.values())).shape[1]


@dataclass(frozen=True)
class Plain:
    """A stack: its kind, how two directions are merged, and each layer's directions, the forward one first."""

    kind: Kind
    layers: Sequence[Sequence[Gates]]
    merge: str = "concat"

    @property
    def first(self) -> Gates:
        return self.layers[0][0]

    @property
    def bias(self) -> bool:
        return any(g.b_x or g.b_h for directions in self.layers for g in directions)

    @property
    def directions(self) -> int:
        return len(self.layers[0])


# -- ours --------------------------------------------------------------------------------------------------------


class _Names(NamedTuple):
    """The rows of a layer of ours that hold each gate's weights."""

    kind: Kind
    W: dict[str, str]
    U: dict[str, str]
    b_x: dict[str, str]
    b_h: dict[str, str]
    p: dict[str, str]


def read(layer: object, library: str) -> Plain:
    """The weights of a layer of ours; raises where it is none that others have."""
    stack = checked_stack(layer)
    if stack.merge != "concat" and not stack.bidirectional:
        raise arguments.wrong("merge", "'concat'", repr(stack.merge), "one direction has nothing to merge")
    names = _names(stack, library)
    with torch.no_grad():
        layers = [
            [_gates(stack.weights(k, reverse), names) for reverse in (False, True)[: stack.directions]]
            for k in range(stack.num_layers)
        ]
    return Plain(names.kind, layers, stack.merge)


def checked_stack(layer: object) -> Stack:
    """One of our recurrent layers, in which nothing would be lost without a word."""
    if not isinstance(layer, Stack):
        raise TypeError(
            f"layer: expected a recurrent layer (gw.Recurrent, gw.LSTM, gw.GRU or gw.RNN), got {type(layer).__name__}; "
            "of a model or a gw.Deep convert each recurrent layer by itself"
        )
    if stack_learned := layer.learned_state:
        raise arguments.wrong(
            "learned_state", "False", stack_learned, "no other library keeps an initial state; pass it at each call"
        )
    if layer.heads > 1:
        raise arguments.wrong("heads", "1", layer.heads, "no other library has block-diagonal recurrent matrices")
    if _any(layer.zoneout):
        raise arguments.wrong("zoneout", "0", layer.zoneout, "it changes evaluation too, and no other library has it")
    lost = [name for name in ("recurrent_dropout", "weight_drop") if _any(getattr(layer, name))]
    if lost:
        say(f"{' and '.join(lost)}: left out, since they act in training alone")
    return layer


def package(name: str) -> Any:
    """Another library, loaded when it is used; raises ImportError with what to do where it is missing."""
    top = name.partition(".")[0]
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != top:
            raise
        raise ImportError(
            f"gw.convert needs {top}, which is not installed; install it with: pip install {top}"
        ) from None


def say(message: str) -> None:
    """Warn, at the line that called this package."""
    frame, level = sys._getframe(), 1
    while frame is not None and frame.f_globals["__name__"].startswith(str(__package__)):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)


def _any(rates: Any) -> bool:
    return any(rates.values()) if isinstance(rates, Mapping) else bool(rates)


def _names(stack: Stack, library: str) -> _Names:
    """Recognised by its equations, whatever its cell is called."""
    form = stack._layers[0].layout.form
    if form is not None and form.projection is None:
        kind = next(k for k in KINDS if (k.cell, k.hyper) == (form.form.cell, form.form.hyper))
        pairs = [{} if not stack.bias else dict(zip(kind.gates, form.biases(side), strict=True)) for side in "xh"]
        b_x, b_h = ({gate: half for gate, (_, half) in side.items()} for side in pairs)
        W, U = (dict(zip(kind.gates, form.rows(kind_of), strict=True)) for kind_of in "WU")
        return _Names(kind, W, U, b_x, b_h, {})
    simple = stack.equations.simplified()
    for kind in (PEEPHOLE_LSTM, GRU_BEFORE):
        written = zoo[kind.cell].graph
        found = match(written if stack.bias else written.without_bias(), simple)
        if found is not None:
            W, U, b = ({gate: found[f"{c}_{gate}"] for gate in kind.gates if f"{c}_{gate}" in found} for c in "WUb")
            return _Names(kind, W, U, b, {}, {gate: found[f"p_{gate}"] for gate in kind.peepholes})
    raise arguments.wrong(
        "layer",
        f"the equations of a recurrence that {library} has",
        f"those of {stack.cell.name}",
        f"what can be converted: {', '.join(k.title for k in KINDS)}",
    )


def _gates(views: Mapping[str, Tensor], names: _Names) -> Gates:
    return Gates(*({gate: views[row].detach().cpu() for gate, row in rows.items()} for rows in names[1:]))


def make(plain: Plain, *, batch_first: bool) -> Stack:
    """A layer of ours with these weights."""
    first, kind = plain.first, plain.kind
    settings: dict[str, Any] = {
        "num_layers": len(plain.layers),
        "bias": plain.bias,
        "batch_first": batch_first,
        "bidirectional": plain.directions == 2,
        "dtype": next(iter(first.W.values())).dtype,
    }
    drop_in = {"lstm": LSTM, "gru": GRU, "rnn": RNN}.get(kind.cell)
    if drop_in and plain.merge == "concat":
        stack = drop_in(first.input_size, first.hidden_size, **settings, **dict(kind.hyper))
    else:
        cell = zoo[kind.cell].with_(**dict(kind.hyper))
        stack = Recurrent(cell, first.input_size, first.hidden_size, merge=plain.merge, **settings)
    names = _names(stack, "this library")
    with torch.no_grad():
        for k, directions in enumerate(plain.layers):
            for reverse, gates in enumerate(directions):
                _fill(stack.weights(k, bool(reverse)), names, gates)
    return stack


def _fill(views: Mapping[str, Tensor], names: _Names, gates: Gates) -> None:
    for rows, given in ((names.W, gates.W), (names.U, gates.U), (names.p, gates.p)):
        for gate, row in rows.items():
            views[row].copy_(given[gate])
    nothing = next(iter(gates.U.values())).new_zeros(gates.hidden_size)
    for gate, row in names.b_x.items():
        b_x, b_h = (side.get(gate, nothing) for side in (gates.b_x, gates.b_h))
        views[row].copy_(b_x if names.b_h else b_x + b_h)
    for gate, row in names.b_h.items():
        views[row].copy_(gates.b_h.get(gate, nothing))


# -- stacking ----------------------------------------------------------------------------------------------------


def joined(parts: Sequence[tuple[str, Plain]]) -> Plain:
    """Layers on top of each other, each with its name in messages, as one stack."""
    if not parts:
        raise arguments.wrong("layers", "at least one recurrent layer", "none")
    (first_name, first), *others = parts
    for name, plain in others:
        for what, ours, theirs in _traits(first, plain):
            if ours != theirs:
                raise arguments.wrong(
                    name,
                    f"{what} {ours}, as {first_name} has",
                    theirs,
                    "convert each layer by itself, and stack unlike ones with gw.Deep([…])",
                )
    width = first.first.hidden_size * (first.directions if first.merge == "concat" else 1)
    for name, plain in others:
        if plain.first.input_size != width:
            raise arguments.wrong(name, f"{width} input features, as come out below", plain.first.input_size)
    return Plain(first.kind, [directions for _, plain in parts for directions in plain.layers], first.merge)


def _traits(a: Plain, b: Plain) -> Iterable[tuple[str, object, object]]:
    for what, of in (
        ("the recurrence", lambda p: p.kind.title),
        ("hidden size", lambda p: p.first.hidden_size),
        ("directions", lambda p: p.directions),
        ("bias", lambda p: p.bias),
        ("merge", lambda p: p.merge),
    ):
        yield what, of(a), of(b)


def both(forward: Plain, backward: Plain, merge: str, name: str) -> Plain:
    """Two layers of one direction as one of two."""
    for what, ours, theirs in _traits(forward, backward):
        if ours != theirs:
            raise arguments.wrong(name, f"both directions with {what} {ours}", f"{theirs} in the backward one")
    pairs = zip(forward.layers, backward.layers, strict=True)
    return Plain(forward.kind, [[f[0], b[0]] for f, b in pairs], merge)


# -- arrays ------------------------------------------------------------------------------------------------------


def tensor(array: Any) -> Tensor:
    """A copy of any library's array."""
    if isinstance(array, Tensor):
        return array.detach().cpu().clone()
    values = np.array(array)
    if values.dtype.name == "bfloat16":  # numpy's own types have none, and torch reads no other
        return torch.from_numpy(values.astype(np.float32)).to(torch.bfloat16)
    return torch.from_numpy(values)


def array(values: Tensor) -> np.ndarray:
    """A tensor as an array; bfloat16, which numpy has not, as float32."""
    return (values.float() if values.dtype == torch.bfloat16 else values).contiguous().numpy()


def split(rows: Tensor, gates: str) -> dict[str, Tensor]:
    """(gates · H, …) by gate."""
    return dict(zip(gates, rows.chunk(len(gates)), strict=True))


def stacked(parts: Mapping[str, Tensor], gates: str) -> Tensor:
    """By gate, to (gates · H, …)."""
    return torch.cat([parts[gate] for gate in gates])


def check_shapes(where: str, arrays: Iterable[tuple[str, tuple[int, ...], tuple[int, ...]]]) -> None:
    """Raise with every array whose shape is not the expected one: (name, expected, got)."""
    listed = [(name, expected, tuple(got)) for name, expected, got in arrays]
    bad = [f"{name}: expected {expected}, got {got}" for name, expected, got in listed if got != expected]
    if bad:
        raise ValueError(f"{where}: shapes do not fit: {'; '.join(bad)}")


def two_biases(gates: Gates, order: str) -> tuple[Tensor, Tensor]:
    """The bias with the input and the one with the state, (gates · H,) each; zeros where a layer has none."""
    nothing = next(iter(gates.U.values())).new_zeros(gates.hidden_size)
    return tuple(torch.cat([side.get(g, nothing) for g in order]) for side in (gates.b_x, gates.b_h))  # type: ignore[return-value]


def one_bias(gates: Gates, kind: Kind, order: str, library: str) -> Tensor:
    """A single bias, (gates · H,): the sum of both; a GRU's inside the reset gate's product cannot be in it."""
    b_x, b_h = two_biases(gates, order)
    if kind is GRU_AFTER and bool(split(b_h, order)["n"].any()):
        raise arguments.wrong(
            "b_n_h",
            f"zeros: the GRU of {library} has no bias inside the product with the reset gate",
            "other values",
            "convert a layer with bias=False, or one whose layer.weights()['b_n_h'] is 0",
        )
    return b_x + b_h
