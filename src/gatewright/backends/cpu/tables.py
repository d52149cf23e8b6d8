"""What a call knows of its sequences beside their numbers: their order, lengths and resets, as a kernel reads them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..masks import active_steps, reversed_reset
from ..philox import STEPS

FEW = 64  # sequences: the numbers of so few are quicker looked at in Python than in NumPy
WHOLE, FALLING, ANY = "whole", "falling", "any"
"""How the lengths of sequences go on: all are T; the longest comes first, and none grows; any other way."""


def kind_of_rows(lengths: Tensor | None, T: int) -> str:
    """How the lengths of sequences go on."""
    if lengths is None:
        return WHOLE
    if len(lengths) > FEW:
        counts = lengths.numpy()  # numpy, since it costs a third of torch here
        return WHOLE if counts.min() == T else FALLING if (counts[1:] <= counts[:-1]).all() else ANY
    numbers = lengths.tolist()
    if not numbers or min(numbers) == T:
        return WHOLE
    return FALLING if numbers == sorted(numbers, reverse=True) else ANY


def bounds(lengths: Tensor) -> tuple[int, int]:
    """The least and the greatest of whole numbers; there is one at least."""
    if len(lengths) > FEW:
        numbers = lengths.numpy()
        return int(numbers.min()), int(numbers.max())
    few = lengths.tolist()
    return min(few), max(few)


def is_permuted(rows: str, *, reverse: bool) -> bool:
    """Whether a kernel takes the longest sequence first, and each from its own start."""
    return rows == ANY or (rows != WHOLE and reverse)


class Tables(NamedTuple):
    """One call's tables.

    begun: how many sequences have a step, where their lengths differ.
    rows: (3, B), the kernel's order of sequences, their steps and the user's step at which each begins; (B,), their
        steps alone, where the order is the user's; or None, where all have all steps.
    flags: (T + 1, B) bytes in the order of processing, whether a row's episode starts; None without resets.
    group: how many groups of eight steps, which share random numbers, lie before the call's first step.
    least: how many steps all sequences have.
    """

    begun: int = 0
    rows: Tensor | None = None
    flags: Tensor | None = None
    group: int = 0
    least: int = 0

    def part(self, t0: int, t1: int, *, reverse: bool) -> Tables:
        """Those of the steps of processing from t0 to t1 − 1 alone; t0 is a multiple of 8 where masks are drawn."""
        flags = None if self.flags is None else self.flags[t0 : t1 + 1]
        begun, rows, least = self.begun, self.rows, min(max(self.least - t0, 0), t1 - t0)
        if rows is not None:
            rows = rows.clone()
            count = rows.numpy() if rows.dim() == 1 else rows[1].numpy()
            np.clip(count - t0, 0, t1 - t0, out=count)
            begun = int(np.count_nonzero(count))
            if rows.dim() == 2:
                first = rows[2].numpy()
                np.maximum(first + (-t0 if reverse else t0), 0, out=first)
        return Tables(begun, rows, flags, self.group + t0 // STEPS, least)


NOTHING = Tables()
"""Those of a call with all steps of all sequences, and without resets."""


def tables(
    T: int, B: int, lengths: Tensor | None, reset: Tensor | None, *, permuted: bool, reverse: bool, resets: bool
) -> Tables:
    """The tables of a call; `lengths` are None where all sequences have all steps, `resets` whether a kernel knows any.

    permuted: whether the kernel takes the longest sequence first, and each from its own start.
    """
    begun, rows, order, least = 0, None, None, 0
    if lengths is not None:
        least, _ = bounds(lengths)
        begun = B if least else int(np.count_nonzero(lengths.numpy()))
        rows = _order(lengths, reverse=reverse) if permuted else lengths.contiguous()
        order = rows[0].numpy() if permuted else None
    flags = _flags(T, B, lengths, reset, order, reverse=reverse) if resets else None
    return Tables(begun, rows, flags, least=least)


def _flags(
    T: int, B: int, lengths: Tensor | None, reset: Tensor | None, order: np.ndarray | None, *, reverse: bool
) -> Tensor:
    flags = torch.zeros(T + 1, B, dtype=torch.uint8)
    if reset is not None:
        turned = reversed_reset(reset, lengths) if reverse else reset
        turned = turned if lengths is None else turned & active_steps(T, lengths)
        flags[:T] = turned if order is None else turned[:, torch.from_numpy(order)]
    return flags


def _order(lengths: Tensor, *, reverse: bool) -> Tensor:
    """(3, B): the kernel's order of sequences, the longest first; their steps; the user's step at which each begins."""
    given = lengths.numpy()
    table = torch.zeros(3, len(given), dtype=torch.int64)
    order, count, first = table.numpy()
    order[:] = (-given).argsort(kind="stable")
    given.take(order, out=count)
    if reverse:
        np.maximum(count - 1, 0, out=first)
    return table
