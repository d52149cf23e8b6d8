"""What the reference runs over, and how it keeps what stands behind a sequence's end away from the equations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True)
class Sequences:
    """What one direction of one layer runs over. Time is in the order of processing; `masks.py` makes it.

    inputs: one (T, B, I) for each input. previous: (name, k) to the input k steps earlier, zero where there is none.
    active: (T, B), False at and behind a sequence's end. reset: (T, B), True where a new episode starts.
    """

    inputs: tuple[Float[Tensor, "T B _"], ...]
    previous: Mapping[tuple[str, int], Float[Tensor, "T B _"]]
    active: Bool[Tensor, "T B"] | None = None
    reset: Bool[Tensor, "T B"] | None = None

    def part(self, t0: int, t1: int) -> Sequences:
        """The steps from t0 to t1 − 1."""
        return Sequences(
            inputs=tuple(x[t0:t1] for x in self.inputs),
            previous={key: x[t0:t1] for key, x in self.previous.items()},
            active=None if self.active is None else self.active[t0:t1],
            reset=None if self.reset is None else self.reset[t0:t1],
        )


def held_back(active: Tensor | None, t: int, old: list[Tensor], held: list[Tensor]) -> list[Tensor]:
    """The states that enter the equations of step t.

    Behind a sequence's end its last valid step is computed again and again, and thrown away. So whatever stands in the
    padding (NaN, infinity) never enters an equation, and the discarded values have derivatives as finite as the valid
    ones: 0 times them is 0. A sequence of length 0 copies one that has a step.
    """
    if active is None:
        return old
    on = active[t].unsqueeze(-1)
    return [torch.where(on, o, k) for o, k in zip(old, held, strict=True)]


def _donor(active: Tensor) -> Tensor:
    """The index of a sequence with the most steps, as a tensor, so that nothing depends on its value."""
    return active.sum(0).argmax(0)


def borrow(rows: Tensor, active: Tensor) -> Tensor:
    """Rows of (B, …) where sequences without a step take those of a sequence that has one."""
    if not active.shape[0] or not active.shape[1]:
        return rows
    donor = _donor(active)
    empty = ~active.any(0)
    return torch.where(empty.unsqueeze(-1), rows.index_select(0, donor.reshape(1)), rows)


def repeat_last(sequences: Sequences) -> Sequences:
    """The inputs with each sequence's last valid step in place of its padding."""
    active = sequences.active
    assert active is not None
    if not active.shape[0] or not active.shape[1]:
        return sequences
    last = (active.sum(0) - 1).clamp(min=0)  # (B,)
    steps = torch.arange(active.shape[0], device=active.device).unsqueeze(-1)
    index = torch.minimum(steps, last)  # (T, B)
    donor = _donor(active)

    def clean(x: Tensor) -> Tensor:
        held = x.gather(0, index.unsqueeze(-1).expand(x.shape))
        empty = (~active.any(0)).unsqueeze(-1)
        held = torch.where(empty, held.index_select(1, donor.reshape(1)), held)
        return torch.where(active.any(), held, 0.0)

    return Sequences(
        inputs=tuple(clean(x) for x in sequences.inputs),
        previous={key: clean(x) for key, x in sequences.previous.items()},
        active=active,
        reset=sequences.reset,
    )
