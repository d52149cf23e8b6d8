"""The layers' choice between backends, and what the other backends cost over what they stand for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

import torch
from torch import nn

import gatewright as gw

from .peers import PeepholeLoop
from .shapes import SHAPES, Shape, agree, drop_in, everywhere, module_side, sequences
from .timing import Line, Race, Side

KINDS = ("LSTM", "GRU", "RNN")
LARGE, SMALL = {"B": 32, "T": 100, "I": 128, "H": 128}, {"B": 1, "T": 100, "I": 64, "H": 64}


def auto(shapes: Iterable[Shape] = SHAPES) -> Iterator[Race]:
    """`backend="auto"` against the better of our kernels and torch's."""
    for kind in KINDS:
        for shape, mode in everywhere(shapes if kind == "LSTM" else (SMALL, LARGE)):
            line = Line(f"{kind}: the better of cpu, vendor / auto", ("cpu", "vendor"), "auto", least=0.98)
            yield Race(
                "auto", shape, mode, partial(_choices, kind, shape, mode), (line,), partial(_chosen, kind, shape)
            )


def _choices(kind: str, shape: Shape, mode: str) -> dict[str, Side]:
    theirs, x = getattr(nn, kind)(shape["I"], shape["H"]), sequences(shape)
    return {backend: module_side(mode, drop_in(theirs, backend=backend), x) for backend in ("cpu", "vendor", "auto")}


def _chosen(kind: str, shape: Shape) -> str:
    """What `auto` takes."""
    layer = getattr(gw, kind)(shape["I"], shape["H"])
    return f"auto takes {layer.backend_for(torch.empty(shape['T'], shape['B'], shape['I'])).name}"


def vendor(shapes: Iterable[Shape] = (LARGE, SMALL)) -> Iterator[Race]:
    """A layer that calls torch's kernel may cost a little more than torch's own module does."""
    for shape, mode in everywhere(shapes):
        for kind in KINDS:
            line = Line(f"nn.{kind} / ours by vendor", "theirs", "ours", least=0.97 if shape["B"] > 1 else None)
            yield Race("vendor", shape, mode, partial(_by_vendor, kind, shape, mode), (line,))


def _by_vendor(kind: str, shape: Shape, mode: str) -> dict[str, Side]:
    theirs, x = getattr(nn, kind)(shape["I"], shape["H"]), sequences(shape)
    ours = drop_in(theirs, backend="vendor")
    return {"theirs": module_side(mode, theirs, x), "ours": module_side(mode, ours, x)}


def reference(shapes: Iterable[Shape] = (LARGE, SMALL)) -> Iterator[Race]:
    """What runs where no kernel can, against the same cell as a loop by hand."""
    line = Line("peephole loop / ours by reference", "loop", "ours", peer=True)
    for shape, mode in everywhere(shapes):
        yield Race("reference", shape, mode, partial(_by_reference, shape, mode), (line,))


def _by_reference(shape: Shape, mode: str) -> dict[str, Side]:
    ours = gw.Recurrent("peephole_lstm", shape["I"], shape["H"], backend="reference")
    by_hand, x = PeepholeLoop(ours), sequences(shape)
    agree(lambda: by_hand(x)[0], lambda: ours(x)[0])
    return {"loop": module_side(mode, by_hand, x), "ours": module_side(mode, ours, x)}
