"""What all groups share: the twelve shapes, the two modes, and how a module is called in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

import gatewright as gw

from .timing import Side

Shape = dict[str, int]

SHAPES = tuple(
    dict(zip("BTIH", numbers, strict=True))
    for numbers in (
        (1, 100, 64, 64),
        (1, 100, 256, 256),
        (1, 100, 512, 512),
        (32, 100, 16, 32),
        (32, 100, 64, 64),
        (32, 100, 128, 128),
        (32, 100, 256, 256),
        (64, 100, 512, 512),
        (32, 64, 1024, 1024),
        (256, 100, 16, 64),
        (256, 50, 256, 256),
        (20, 35, 650, 650),
    )
)
INFERENCE, TRAINING = MODES = ("inference", "forward + backward")


def everywhere(shapes: Iterable[Shape] = SHAPES) -> Iterator[tuple[Shape, str]]:
    """Every shape in both modes."""
    return ((shape, mode) for shape in shapes for mode in MODES)


def sequences(shape: Shape) -> Tensor:
    """An input (T, B, I) that asks for its gradient."""
    return torch.randn(shape["T"], shape["B"], shape["I"], requires_grad=True)


def side(mode: str, call: Callable[[], Tensor], leaves: Iterable[Tensor]) -> Side:
    """The forward pass without gradients, or both passes with the gradient of every leaf."""
    if mode == INFERENCE:
        return torch.no_grad()(call)
    wanted = list(leaves)
    with torch.no_grad():
        along = torch.randn_like(call())
    return lambda: torch.autograd.grad(call(), wanted, along)


def module_side(mode: str, module: nn.Module, x: Tensor, **options) -> Side:
    """A recurrent module on a sequence."""
    return side(mode, lambda: module(x, **options)[0], [x, *module.parameters()])


def drop_in(theirs: nn.Module, **options) -> nn.Module:
    """Ours for one of torch's modules, with the very same weights: where they lie is worth a percent or two."""
    more = {"proj_size": size} if (size := getattr(theirs, "proj_size", 0)) else {}
    ours = getattr(gw, type(theirs).__name__)(theirs.input_size, theirs.hidden_size, **more, **options)
    share(theirs, ours)
    return ours


def share(one: nn.Module, other: nn.Module) -> None:
    """Give another module the weights of one; they have the same names."""
    for name, weight in one.named_parameters():
        other.register_parameter(name, weight)


def agree(*sides: Callable[[], Tensor]) -> None:
    """Whoever computes something else is not to be compared with."""
    with torch.no_grad():
        first, *others = (call() for call in sides)
        for other in others:
            torch.testing.assert_close(other, first, rtol=1e-3, atol=1e-4)
