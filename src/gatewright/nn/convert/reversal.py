"""One direction, from each sequence's end to its start."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .. import arguments
from ..call import State
from ..stack import Stack


class Reversed(nn.Module):
    """A layer of one direction that runs from each sequence's end to its start; outputs stay in the input's order.

    Args:
        layer: a recurrent layer with one direction.

    Called as the layer is, with `lengths=` or without: the run begins at each sequence's last valid step. The final
    state is that behind step 0.

    >>> import gatewright as gw, torch
    >>> layer = gw.convert.Reversed(gw.GRU(3, 5))
    >>> y, h = layer(torch.zeros(7, 2, 3), lengths=[7, 4])
    >>> bool((y[0] == h[0]).all())
    True
    """

    def __init__(self, layer: Stack):
        super().__init__()
        if not isinstance(layer, Stack):
            raise TypeError(f"layer: expected a recurrent layer, got {type(layer).__name__}")
        if layer.bidirectional:
            raise arguments.wrong("layer", "one direction", "two", "it runs backwards already")
        self.layer = layer

    def forward(
        self, input: Tensor, hx: State | None = None, *, lengths: Tensor | Sequence[int] | None = None
    ) -> tuple[Tensor, State]:
        """Run over sequences: (output, state behind step 0)."""
        if not isinstance(input, Tensor) or input.dim() not in (2, 3):
            got = f"shape {tuple(input.shape)}" if isinstance(input, Tensor) else type(input).__name__
            raise arguments.wrong("input", "a tensor (T, B, features) or (T, features)", got)
        time = 1 if self.layer.batch_first and input.dim() == 3 else 0
        order = None if lengths is None else self._order(input, lengths, time)
        y, state = self.layer(_turned(input, order, time), hx, lengths=lengths)
        return _turned(y, order, time), state

    def _order(self, x: Tensor, lengths: Tensor | Sequence[int], time: int) -> Tensor:
        """Which step comes at each place: t  →  length − 1 − t, and behind the end t itself."""
        batch = x.shape[1 - time] if x.dim() == 3 else 1
        ends = arguments.check_lengths(lengths, batch, x.shape[time], x.device)
        steps = torch.arange(x.shape[time], device=x.device).unsqueeze(1)  # (T, 1)
        order = torch.where(steps < ends, ends - 1 - steps, steps)  # (T, B)
        return order if x.dim() == 3 and time == 0 else order.t() if x.dim() == 3 else order.squeeze(1)


def _turned(x: Tensor, order: Tensor | None, time: int) -> Tensor:
    if order is None:
        return x.flip(time)
    return x.gather(time, order.unsqueeze(-1).expand(*order.shape, x.shape[-1]))
