"""What ONNX's operators LSTM, GRU and RNN compute, as cells: with clipping, coupled gates and other activations.

Export recognises equations by these, and import makes layers of them.

Source: the operators LSTM, GRU and RNN of the ONNX standard, opset 14 and later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...graph import Cell, cell, language
from ...graph.language import (
    affine,
    bias,
    constant,
    diagonal,
    exp,
    linear,
    maximum,
    minimum,
    relu,
    sigmoid,
    softplus,
    tanh,
    where,
)
from .. import arguments
from ..recurrent import Recurrent
from .plain import Gates

# -- activations -------------------------------------------------------------------------------------------------


class Activation(NamedTuple):
    """One of ONNX's functions. numbers: the defaults of its α and β, as many as it has."""

    function: Callable[..., Any]
    numbers: tuple[float, ...] = ()


def _affine(a, alpha, beta):
    return a if (alpha, beta) == (1.0, 0.0) else alpha * a + beta


def _hard_sigmoid(a, alpha, beta):
    return minimum(maximum(alpha * a + beta, constant(0)), constant(1))


ACTIVATIONS = {
    "Sigmoid": Activation(sigmoid),
    "Tanh": Activation(tanh),
    "Relu": Activation(relu),
    "Softplus": Activation(softplus),
    "Softsign": Activation(lambda a: a / (1 + language.abs(a))),
    "Affine": Activation(_affine, (1.0, 0.0)),
    "ScaledTanh": Activation(lambda a, alpha, beta: alpha * tanh(beta * a), (1.0, 1.0)),
    "HardSigmoid": Activation(
        lambda a, alpha, beta: minimum(maximum(alpha * a + beta, constant(0)), constant(1)), (0.2, 0.5)
    ),
    "LeakyRelu": Activation(lambda a, alpha: where(a >= 0, a, alpha * a), (0.01,)),
    "ThresholdedRelu": Activation(lambda a, alpha: where(a > alpha, a, constant(0)), (1.0,)),
    "Elu": Activation(lambda a, alpha: where(a >= 0, a, alpha * (exp(minimum(a, constant(0))) - 1)), (1.0,)),
}

Squash = str | tuple
"""An activation by its name, or (name, α, β)."""


def squashed(kind: Squash, a):
    """An activation's value."""
    name, *numbers = (kind,) if isinstance(kind, str) else kind
    found = ACTIVATIONS[name]
    return found.function(a, *(numbers or found.numbers))


# -- cells ---------------------------------------------------------------------------------------------------------


def _sum(x, h, gate: str, biases: str):
    """W x + U h with one bias, with one for each product, or without any."""
    if biases == "two":
        return linear(x, h, name=gate) + bias(name=f"{gate}_x") + bias(name=f"{gate}_h")
    return affine(x, h, name=gate) if biases == "one" else linear(x, h, name=gate)


def _bounded(a, clip):
    """a within [−clip, clip]; 0 leaves it as it is."""
    return minimum(maximum(a, -clip), clip) if clip else a


@cell
def onnx_lstm(x, h, c, *, biases="one", clip=0.0, peepholes="", coupled="", gates="Sigmoid", g="Tanh", out="Tanh"):
    """LSTM. With `coupled` there is one gate for two: "i" where f = 1 − i, "f" where i = 1 − f.

    `clip` is for "the input of activations" by the standard's text; ONNX Runtime leaves out that of c, and so do we.
    """

    def gate(name, cell):
        total = _sum(x, h, name, biases)
        return squashed(gates, _bounded(total + diagonal(cell, name=name) if name in peepholes else total, clip))

    if coupled == "i":
        i = gate("i", c)
        f = 1 - i
    elif coupled == "f":
        f = gate("f", c)
        i = 1 - f
    else:
        i, f = gate("i", c), gate("f", c)
    c = f * c + i * squashed(g, _bounded(_sum(x, h, "g", biases), clip))
    h = gate("o", c) * squashed(out, c)
    return h, c


@cell
def onnx_gru(x, h, *, biases="one", clip=0.0, before=False, swapped=False, gates="Sigmoid", n="Tanh"):
    """GRU. `before`: the reset comes before the product, not behind it; `swapped`: z lets in what is new."""
    r = squashed(gates, _bounded(_sum(x, h, "r", biases), clip))
    z = squashed(gates, _bounded(_sum(x, h, "z", biases), clip))
    if before:
        total = _sum(x, r * h, "n", biases)
    elif biases == "none":
        total = linear(x, name="n") + r * linear(h, name="n")
    else:
        total = affine(x, name="n") + r * affine(h, name="n")
    new = squashed(n, _bounded(total, clip))
    return z * new + (1 - z) * h if swapped else (1 - z) * new + z * h


@cell
def onnx_rnn(x, h, *, biases="one", clip=0.0, squash="Tanh"):
    """RNN."""
    return squashed(squash, _bounded(_sum(x, h, "h", biases), clip))


# -- a node's attributes -------------------------------------------------------------------------------------------

_WORDS = {"LSTM": ("gates", "g", "out"), "GRU": ("gates", "n"), "RNN": ("squash",)}
_CELLS = {"LSTM": onnx_lstm, "GRU": onnx_gru, "RNN": onnx_rnn}
_PROPER = {name.lower(): name for name in ACTIVATIONS}


def cell_of(op: str, settings: Mapping[str, Any], where: str, *, peepholes: bool) -> Cell:
    """The cell that a node is, by its attributes; raises where there is no such thing."""
    hyper: dict[str, Any] = dict(zip(_WORDS[op], _squashes(op, settings, where), strict=True))
    clip = float(settings.get("clip", 0.0))
    if clip < 0:
        raise arguments.wrong(f"{where}: clip", "a number above 0", clip)
    hyper["clip"] = clip
    if op == "LSTM":
        coupled = "i" if settings.get("input_forget") else ""
        hyper |= {"coupled": coupled, "peepholes": "" if not peepholes else "io" if coupled else "ifo"}
    if op == "GRU":
        hyper["before"] = not settings.get("linear_before_reset")
    return _CELLS[op].with_(**hyper)


def _squashes(op: str, settings: Mapping[str, Any], where: str) -> list[Squash]:
    """The activations of both directions, which must be the same; a number that an activation has comes with it."""
    directions = 2 if settings.get("direction") == "bidirectional" else 1
    usual = ("Sigmoid", *("Tanh",) * (len(_WORDS[op]) - 1)) if len(_WORDS[op]) > 1 else ("Tanh",)
    given = list(settings.get("activations") or usual * directions)
    if len(given) != len(usual) * directions:
        raise arguments.wrong(f"{where}: activations", f"{len(usual) * directions} names", given)
    if unknown := [name for name in given if name.lower() not in _PROPER]:
        raise arguments.wrong(f"{where}: activations", f"names of {', '.join(ACTIVATIONS)}", unknown)
    alphas, betas = (iter(settings.get(f"activation_{word}") or ()) for word in ("alpha", "beta"))
    found = [_with_numbers(_PROPER[name.lower()], alphas, betas) for name in given]
    first, second = found[: len(usual)], found[-len(usual) :]
    if first != second:
        remedy = "convert two nodes of one direction each, from_onnx(node, …) and a gw.convert.Reversed"
        raise arguments.wrong(f"{where}: activations", "the same in both directions", given, remedy)
    return first


def _with_numbers(name: str, alphas: Iterator[float], betas: Iterator[float]) -> Squash:
    """α and β are given to those activations alone that have such a number, in order."""
    usual = ACTIVATIONS[name].numbers
    numbers = tuple(float(next(given, number)) for given, number in zip((alphas, betas), usual, strict=False))
    return name if numbers == usual else (name, *numbers)


def layer_of(made: Cell, directions: Sequence[Gates], *, batch_first: bool) -> Recurrent:
    """A layer of one of these cells, with the weights of each direction by the operator's gates."""
    first = directions[0]
    layer = Recurrent(
        made,
        first.input_size,
        first.hidden_size,
        bias=bool(first.b_x),
        batch_first=batch_first,
        bidirectional=len(directions) == 2,
        dtype=next(iter(first.W.values())).dtype,
    )
    with torch.no_grad():
        for reverse, gates in enumerate(directions):
            for name, view in layer.weights(0, bool(reverse)).items():
                view.copy_(_of(gates, name))
    return layer


def _of(gates: Gates, name: str) -> Tensor:
    """A parameter by its name: W_i, U_i, p_i, b_i for both biases together, b_n_x and b_n_h for each."""
    kind, gate, *side = name.split("_")
    if kind != "b":
        return {"W": gates.W, "U": gates.U, "p": gates.p}[kind][gate]
    if side:
        return (gates.b_x if side == ["x"] else gates.b_h)[gate]
    return gates.b_x[gate] + gates.b_h[gate]
