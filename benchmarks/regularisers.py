"""What regularisers cost, in training: a layer with each over the same layer without."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

import gatewright as gw

from .shapes import SHAPES, TRAINING, Shape, module_side, sequences, side
from .timing import Line, Race, Side

MOST = 1.10
LAYERS = {
    "recurrent dropout": {"recurrent_dropout": 0.25},
    "recurrent dropout of g": {"recurrent_dropout": {"g": 0.25}},
    "zoneout": {"zoneout": 0.1},
    "zoneout of h and c": {"zoneout": {"h": 0.05, "c": 0.5}},
    "weight drop": {"weight_drop": 0.5},
    "weight drop of U_g": {"weight_drop": {"U_g": 0.5}},
}
STACKS = {"fresh": {"dropout": 0.3}, "locked": {"dropout": 0.3, "dropout_kind": "locked"}}


def regularisers(shapes: Iterable[Shape] = SHAPES) -> Iterator[Race]:
    """One race for a layer and one for a stack of two; what is torch's own work, fresh masks and sums, has no limit."""
    for shape in shapes:
        lines = tuple(Line(f"{name} / plain", name, "plain", most=MOST) for name in LAYERS)
        lines += (Line("penalties / plain", "penalties", "plain"),)
        yield Race("regularisers", shape, TRAINING, partial(_single, shape), lines)
        lines = tuple(
            Line(f"{name} dropout / plain, 2 layers", name, "plain", most=MOST if name == "locked" else None)
            for name in STACKS
        )
        yield Race("regularisers", shape, TRAINING, partial(_stacks, shape), lines)


def _single(shape: Shape) -> dict[str, Side]:
    x, sizes = sequences(shape), (shape["I"], shape["H"])
    plain = gw.LSTM(*sizes, backend="cpu")
    layers = {name: gw.LSTM(*sizes, backend="cpu", **options) for name, options in LAYERS.items()}

    def penalised():
        y, _ = plain(x)
        return y + gw.penalties.activation(y, 2.0) + gw.penalties.temporal_activation(y, 1.0)

    found = {name: module_side(TRAINING, layer, x) for name, layer in {"plain": plain, **layers}.items()}
    return found | {"penalties": side(TRAINING, penalised, [x, *plain.parameters()])}


def _stacks(shape: Shape) -> dict[str, Side]:
    x, sizes = sequences(shape), (shape["I"], shape["H"], 2)
    layers = {name: gw.LSTM(*sizes, backend="cpu", **options) for name, options in ({"plain": {}} | STACKS).items()}
    return {name: module_side(TRAINING, layer, x) for name, layer in layers.items()}
