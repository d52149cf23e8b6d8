"""Many small networks: n layers called one after the other against one `gw.Ensemble`, and torch's own in a loop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import product

import torch
from torch import Tensor, nn

import gatewright as gw

from .shapes import Shape, agree, everywhere, module_side
from .timing import Line, Race, Side

SHAPES = tuple({"n": n, "B": B, "T": 100, "I": H, "H": H} for n, H, B in product((8, 32), (16, 32, 64), (1, 8, 32)))
LINES = (
    Line("n calls / ensemble", "calls", "ensemble", least=1.0),
    Line("n calls of nn.LSTM / ensemble", "torch", "ensemble", peer=True),
)


def ensemble(shapes: Iterable[Shape] = SHAPES) -> Iterator[Race]:
    """The same input for all networks, and gradients of it and of all weights."""
    for shape, mode in everywhere(shapes):
        yield Race("ensemble", shape, mode, partial(_networks, shape, mode), LINES)


def _networks(shape: Shape, mode: str) -> dict[str, Side]:
    sizes = shape["I"], shape["H"]
    layers = [gw.LSTM(*sizes, backend="cpu") for _ in range(shape["n"])]
    together = gw.Ensemble.of(layers)
    theirs = [nn.LSTM(*sizes) for _ in layers]
    for one, other in zip(layers, theirs, strict=True):
        other.load_state_dict(one.state_dict())
    x = torch.randn(shape["T"], shape["B"], shape["I"], requires_grad=True)

    def each(modules: Sequence[nn.Module]) -> Tensor:
        return torch.stack([one(x)[0] for one in modules])

    agree(lambda: each(layers), lambda: together(x)[0], lambda: each(theirs))
    return {
        "calls": _in_turn(mode, layers, x),
        "torch": _in_turn(mode, theirs, x),
        "ensemble": module_side(mode, together, x),
    }


def _in_turn(mode: str, modules: Sequence[nn.Module], x: Tensor) -> Side:
    """Each module by itself, from its input to its gradients: as quick as a loop can be."""
    sides = [module_side(mode, one, x) for one in modules]
    return lambda: [one() for one in sides]
