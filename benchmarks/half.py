"""Autocast to bfloat16: our layer in float32 over the same under autocast, and torch's module under autocast."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

import torch
from torch import Tensor, nn

from .shapes import SHAPES, Shape, drop_in, everywhere, sequences, side
from .timing import Line, Race, Side


def half(shapes: Iterable[Shape] = SHAPES) -> Iterator[Race]:
    """One race for each cell, shape and mode; its note is the largest difference from float32 in the outputs."""
    for name in ("LSTM", "GRU"):
        lines = (
            Line(f"{name}: float32 / bfloat16", "float32", "bfloat16"),
            Line(f"nn.{name} / ours, bfloat16", "theirs", "bfloat16", peer=True),
        )
        for shape, mode in everywhere(shapes):
            off: dict[str, float] = {}
            yield Race("half", shape, mode, partial(_sides, name, shape, mode, off), lines, partial(_told, off))


def _sides(name: str, shape: Shape, mode: str, off: dict[str, float]) -> dict[str, Side]:
    """Ours with and without autocast, and theirs with; `off` learns how far the outputs are from float32."""
    theirs = getattr(nn, name)(shape["I"], shape["H"])
    ours, x = drop_in(theirs, backend="cpu"), sequences(shape)
    calls = {"float32": partial(_plain, ours, x), "bfloat16": partial(_mixed, ours, x)}
    calls["theirs"] = partial(_mixed, theirs, x)
    with torch.no_grad():
        exact = calls["float32"]()
        off |= {which: float((calls[which]().float() - exact).abs().max()) for which in ("bfloat16", "theirs")}
    modules = {"float32": ours, "bfloat16": ours, "theirs": theirs}
    return {which: side(mode, call, [x, *modules[which].parameters()]) for which, call in calls.items()}


def _told(off: dict[str, float]) -> str:
    return f"off by {off['bfloat16']:.1e}, theirs by {off['theirs']:.1e}"


def _plain(module: nn.Module, x: Tensor) -> Tensor:
    return module(x)[0]


def _mixed(module: nn.Module, x: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        return module(x)[0]
