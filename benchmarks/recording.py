"""What it costs to look inside: a layer with a tape open over the same layer without one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

import gatewright as gw

from .shapes import Shape, sequences
from .timing import Line, Race, Side

SHAPES: tuple[Shape, ...] = (
    {"B": 32, "T": 100, "I": 128, "H": 128},
    {"B": 64, "T": 100, "I": 512, "H": 512},
    {"B": 1, "T": 100, "I": 64, "H": 64},
)
GATES = ("i", "f", "g", "o")
MOST = 1.15
REQUIRED = SHAPES[0]
"""The shape that the limit is stated for."""


def record(shapes: Iterable[Shape] = SHAPES) -> Iterator[Race]:
    for shape in shapes:
        most = MOST if shape == REQUIRED else None
        lines = (
            Line("all gates / off", "gates", "off", most=most),
            Line("gates, c and h / off", "everything", "off"),
            Line("clamp of f / off", "clamped", "off"),
        )
        yield Race("record", shape, "training forward", lambda: _forward(shape), lines)  # noqa: B023 run at once
        lines = (Line("all gates and adjoints / off", "adjoints", "off"),)
        yield Race("record", shape, "forward + backward", lambda: _both(shape), lines)  # noqa: B023 run at once


def _forward(shape: Shape) -> dict[str, Side]:
    layer, x = gw.LSTM(shape["I"], shape["H"], backend="cpu"), sequences(shape)

    def under(open_: Callable) -> Side:
        def call() -> Tensor:
            with open_(layer):
                return layer(x)[0]

        return call

    return {
        "off": lambda: layer(x)[0],
        "gates": under(lambda layer: gw.record(layer, GATES)),
        "everything": under(gw.record),
        "clamped": under(lambda layer: gw.clamp(layer, f=1.0)),
    }


def _both(shape: Shape) -> dict[str, Side]:
    layer, x = gw.LSTM(shape["I"], shape["H"], backend="cpu"), sequences(shape)
    weight = torch.rand(shape["H"])

    def plain() -> None:
        layer.zero_grad(set_to_none=True)
        (layer(x)[0] @ weight).sum().backward()

    def taped() -> None:
        with gw.record(layer, GATES, grad=True):
            plain()

    return {"off": plain, "adjoints": taped}
