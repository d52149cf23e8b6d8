"""The reference in chunks of time, of which backward computes all again but the states between them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.utils.checkpoint import checkpoint

from .padding import Sequences
from .reference import Draw, Reference, Weights
from .vendor import in_transform

Series = tuple[Tensor, list[Tensor], Mapping[str, Tensor]]
"""The outputs (T, B, width), the final states, and the records (T, B, width) by name."""


def run(
    reference: Reference,
    weights: Weights,
    sequences: Sequences,
    states: Sequence[Tensor],
    initial: Sequence[Tensor],
    draw: Draw | None,
    k: int,
) -> Series:
    """`Reference.run` in chunks of k steps, of ⌈√T⌉ where k is 0; there is at least one step.

    Under a transform of `torch.func` and in forward mode, which know no such saving, all is kept.
    """
    steps = sequences.inputs[0].shape[0]
    k = k or math.isqrt(steps - 1) + 1
    keeps = not torch.is_grad_enabled() or in_transform() or forward_ad._current_level >= 0
    clean, carried, held = reference.begun(sequences, states)
    found: list[tuple[Tensor, dict[str, Tensor]]] = []

    def chunk(t0: int, states: list[Tensor], held: list[Tensor]):
        given = clean.part(t0, min(t0 + k, steps))
        outputs, states, held, records = reference.steps(weights, given, states, held, initial, draw, first=t0)
        return torch.stack(outputs), states, held, {name: torch.stack(record) for name, record in records.items()}

    for t0 in range(0, steps, k):
        if keeps:
            output, carried, held, records = chunk(t0, carried, held)
        else:
            made = checkpoint(chunk, t0, carried, held, use_reentrant=False, preserve_rng_state=False)
            output, carried, held, records = made  # pyright: ignore[reportGeneralTypeIssues]
        found.append((output, records))
    outputs, each = zip(*found, strict=True)
    return torch.cat(outputs), carried, {name: torch.cat([r[name] for r in each]) for name in reference.recorded}
