"""What our own additions cost: each variant's time over that of our plain LSTM on the same shape."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

import torch
from torch import Tensor

import gatewright as gw

from .shapes import SHAPES, Shape, everywhere, module_side, sequences
from .timing import Line, Race, Side

MOST = 1.10
VARIANTS = ("peephole", "cifg", "zoneout", "recurrent dropout", "lengths", "reset", "layer norm")
NORMALISED = "layer norm / plain"
"""Its limit is on the geometric mean of all shapes."""


def own(shapes: Iterable[Shape] = SHAPES) -> Iterator[Race]:
    """All variants of a shape run in one race, so that they meet the same plain LSTM."""
    lines = tuple(
        Line(f"{variant} / plain", variant, "plain", most=None if f"{variant} / plain" == NORMALISED else MOST)
        for variant in VARIANTS
    )
    for shape, mode in everywhere(shapes):
        yield Race("own", shape, mode, partial(_variants, shape, mode), lines)


def _variants(shape: Shape, mode: str) -> dict[str, Side]:
    """Layers are as they are made, in training: regularisers draw, forward alone too."""
    sizes = shape["I"], shape["H"]
    x = sequences(shape)
    plain = gw.LSTM(*sizes, backend="cpu")
    layers = {
        "peephole": gw.Recurrent("peephole_lstm", *sizes, backend="cpu"),
        "cifg": gw.Recurrent("cifg", *sizes, backend="cpu"),
        "zoneout": gw.LSTM(*sizes, zoneout={"h": 0.05, "c": 0.5}, backend="cpu"),
        "recurrent dropout": gw.LSTM(*sizes, recurrent_dropout=0.25, backend="cpu"),
        "layer norm": gw.Recurrent("layer_norm_lstm", *sizes, backend="cpu"),
    }
    found = {name: module_side(mode, layer, x) for name, layer in layers.items()}
    found["lengths"] = module_side(mode, plain, x, lengths=_nearly_whole(shape))
    found["reset"] = module_side(mode, plain, x, reset=torch.rand(shape["T"], shape["B"]) < 0.02)
    return {"plain": module_side(mode, plain, x)} | found


def _nearly_whole(shape: Shape) -> Tensor:
    """Lengths that leave as much to do as none: all sequences are whole but one, which lacks its last step."""
    lengths = torch.full((shape["B"],), shape["T"])
    lengths[-1] -= 1
    return lengths
