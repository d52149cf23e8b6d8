"""What stands between the layers of a stack: shortcuts, norms and dropout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..plan.regularise import rate
from . import arguments
from .blocks import Block
from .dropout import check_kind


class Settings(NamedTuple):
    """What stands between the layers; `Deep` says what each means."""

    residual: bool = False
    highway: bool = False
    norm: str | None = None
    dropout: float = 0.0
    dropout_kind: str = "fresh"


class Highway(nn.Module):
    """y = t ⊙ f(x) + (1 − t) ⊙ x, t = σ(W x + b).

    b begins at −1, so that at first most of x is carried, as the paper advises for deep stacks.

    R. K. Srivastava, K. Greff and J. Schmidhuber, Training very deep networks, 2015.
    """

    def __init__(self, width: int):
        super().__init__()
        self.gate = nn.Linear(width, width)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights."""
        self.gate.reset_parameters()
        nn.init.constant_(self.gate.bias, -1.0)

    def forward(self, x: Tensor, found: Tensor) -> Tensor:
        """x (…, features) and f(x), as many."""
        return x + torch.sigmoid(self.gate(x)) * (found - x)


def checked(settings: Settings) -> Settings:
    """The same, where it makes sense."""
    for name in ("residual", "highway"):
        if not isinstance(value := getattr(settings, name), bool):
            raise arguments.wrong(name, "True or False", repr(value))
    if settings.residual and settings.highway:
        raise arguments.wrong("highway", "False with residual=True", True, "each is a way around the layers: take one")
    if settings.norm not in (None, "pre", "post"):
        raise arguments.wrong("norm", "None, 'pre' or 'post'", repr(settings.norm))
    kind = check_kind(settings.dropout_kind)
    return settings._replace(dropout=rate("dropout", settings.dropout), dropout_kind=kind)


def check_shortcuts(blocks: Sequence[Block], name: str) -> None:
    """Around every layer but the first there is a way: as many features come out as go in."""
    for block in blocks[1:]:
        if block.input_size != block.output_size:
            expected = f"layers of which as many features come out as go in, from the second on, for {name}=True"
            got = f"{block.input_size} into layers[{block.at}] and {block.output_size} out"
            remedy = f"torch.nn.Linear({block.output_size}, {block.input_size}) behind it makes them equal"
            raise arguments.wrong("layers", expected, got, remedy)


def normed(blocks: Sequence[Block], norm: str | None) -> dict[int, int]:
    """The layers that have a norm, and of how many features."""
    if norm is None:
        return {}
    return {b.at: b.input_size for b in blocks[1:]} if norm == "pre" else {b.at: b.output_size for b in blocks}
