"""What a stream has to know of the layers that it can carry: how their steps and states lie, and how they begin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from . import networks
from .call import start
from .convolution import ConvRecurrent
from .ensemble import Ensemble
from .stack import Stack
from .steps import levels, levels_of_many

if TYPE_CHECKING:
    from ..backends.cpu.stream import Carried
    from ..backends.cpu.stream_many import CarriedMany

Layer = Stack | Ensemble | ConvRecurrent
LAYERS = (Stack, Ensemble, ConvRecurrent)
States = tuple[Tensor, ...]


class Form:
    """How a layer's steps and states lie.

    most: the dimensions of a step at most. batch: the axis of sequences in a state. whole: the dimensions of a state
    that has one.
    """

    most, batch, whole = 2, 1, 3
    alone, steps = "one sequence, (features,)", "(B, features) or (features,)"

    def __init__(self, layer: Any):
        self.layer = layer

    @property
    def one(self) -> Any:
        """The layer that has the settings."""
        return self.layer

    def sequences(self, state: Tensor) -> tuple[int, ...]:
        """(B,) of a state, or () for one sequence."""
        return (state.shape[self.batch],) if state.dim() == self.whole else ()

    def rows(self, x: Tensor) -> tuple[int, ...] | None:
        """(B,) of a step, or () for one sequence; None where it is no step."""
        return tuple(x.shape[:-1]) if x.dim() in (1, 2) else None

    def time_in(self, x: Tensor) -> int:
        """The axis of time in a chunk."""
        return 1 if self.one.batch_first and x.dim() == 3 else 0

    def time_out(self, y: Tensor) -> int:
        """Where the output of a chunk has the axis of time that the output of a step has not."""
        return 1 if self.one.batch_first and y.dim() == 2 else 0

    def masks(self, kept: States) -> list[tuple[int, ...]]:
        """The shapes that a mask of what is to be forgotten may have."""
        return [self.sequences(kept[0])]

    def spread(self, mask: Tensor, state: Tensor) -> Tensor:
        """A mask (B,), laid out to meet a state."""
        return mask.reshape(-1, *(1,) * (state.dim() - self.batch - 1))

    def watched(self) -> bool:
        """Whether somebody looks into the layer, so that its equations are not what runs."""
        return bool(self.layer.lenses)

    def in_place(self, input: Tensor, step: Tensor, states: States) -> Carried | CarriedMany | None:
        """The kernels prepared to go on from these states; None where a step is not theirs alone.

        step: the input without its axis of time, where it has one.
        """
        found = levels(self.layer, step)
        if found is None:
            return None
        from ..backends.cpu.stream import Carried

        return Carried(found, (input,), states)

    def beginning(self, kept: States) -> States:
        """What sequences begin with, of as many as there are in these states."""
        states, past = start(self.layer, None, kept[0], kept[0].shape[1], batched=True)
        return *states, *past


class Networks(Form):
    """An ensemble's: the networks lie in front."""

    most, batch, whole = 3, 2, 4
    steps = "(n, B, features), (B, features) or (features,)"

    @property
    def one(self) -> Stack:
        return self.layer.layer

    def rows(self, x: Tensor) -> tuple[int, ...] | None:
        return {1: (), 2: tuple(x.shape[:1]), 3: tuple(x.shape[1:2])}.get(x.dim())

    def time_in(self, x: Tensor) -> int:
        return {4: 1 + self.one.batch_first, 3: int(self.one.batch_first)}.get(x.dim(), 0)

    def time_out(self, y: Tensor) -> int:
        return 1 + (self.one.batch_first and y.dim() == 3)

    def masks(self, kept: States) -> list[tuple[int, ...]]:
        shared = self.sequences(kept[0])
        return [shared, (self.layer.n, *shared)]

    def spread(self, mask: Tensor, state: Tensor) -> Tensor:
        """A mask (B,), or (n, B)."""
        return mask[:, None, :, None] if mask.dim() == 2 else super().spread(mask, state)

    def watched(self) -> bool:
        return False

    def in_place(self, input: Tensor, step: Tensor, states: States) -> CarriedMany | None:
        found = levels_of_many(self.layer, step)
        if found is None:
            return None
        from ..backends.cpu.stream_many import carried_many

        return carried_many(found, input, step, states)

    def beginning(self, kept: States) -> States:
        n = self.layer.n
        states, past = start(self.one, None, kept[0][0], kept[0].shape[2], batched=True)
        own = networks._learned(self.layer, tuple(s.expand(n, *s.shape) for s in states))
        return *own, *(p.expand(n, *p.shape) for p in past)


class Frames(Form):
    """That of a layer of convolutions: a step is a frame."""

    alone, steps = "one sequence, (C, *space)", "(B, C, *space) or (C, *space)"

    def __init__(self, layer: ConvRecurrent):
        super().__init__(layer)
        dims = layer.kernels.dims
        self.most, self.whole = dims + 2, dims + 3

    def rows(self, x: Tensor) -> tuple[int, ...] | None:
        return {self.most: tuple(x.shape[:1]), self.most - 1: ()}.get(x.dim())

    def time_in(self, x: Tensor) -> int:
        return 1 if self.one.batch_first and x.dim() == self.whole else 0

    def time_out(self, y: Tensor) -> int:
        return 1 if self.one.batch_first and y.dim() == self.most else 0

    def watched(self) -> bool:
        return False

    def in_place(self, input: Tensor, step: Tensor, states: States) -> None:  # noqa: ARG002 convolutions are torch's
        return None

    def beginning(self, kept: States) -> States:
        values = [*self.layer.initial.values(), *(0.0 for _ in kept[len(self.layer.initial) :])]
        return tuple(torch.full_like(s, value) for s, value in zip(kept, values, strict=True))


def form_of(layer: nn.Module) -> Form:
    """How a layer's steps and states lie."""
    if isinstance(layer, Ensemble):
        return Networks(layer)
    return Frames(layer) if isinstance(layer, ConvRecurrent) else Form(layer)
