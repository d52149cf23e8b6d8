"""Packed sequences: their steps in a padded tensor and back, by one index for each valid step."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence


class Packing:
    """Where the steps of a packed sequence lie in (T, B, …).

    sort: sequences stand in the packed order there, the longest first, which costs a kernel the least; else in the
    user's.
    """

    def __init__(self, packed: PackedSequence, *, sort: bool):
        self.like = packed
        sizes, order = packed.batch_sizes, packed.sorted_indices
        self.T, self.B = len(sizes), int(sizes[0])
        there = torch.arange(self.B) < sizes[:, None]
        grid = torch.arange(self.T * self.B).view(self.T, self.B)
        counts, device = there.sum(0), packed.data.device
        self.moved = sort and order is not None
        if not self.moved and order is not None:
            grid, counts = grid[:, order.cpu()], counts[order.cpu().argsort()]
        self.rows, self.lengths = grid[there].to(device), counts.to(device)

    def padded(self) -> Tensor:
        """(T, B, features), 0 behind the ends."""
        data = self.like.data
        rows = data.new_zeros(self.T * self.B, data.shape[-1]).index_copy(0, self.rows, data)
        return rows.view(self.T, self.B, -1)

    def packed(self, padded: Tensor) -> PackedSequence:
        """The valid steps of (T, B, features)."""
        rows = padded.reshape(self.T * self.B, -1).index_select(0, self.rows)
        return PackedSequence(rows, self.like.batch_sizes, self.like.sorted_indices, self.like.unsorted_indices)

    def arranged(self, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """States (rows, B, width) from the user's order of sequences to the one here."""
        return _taken(states, self.like.sorted_indices) if self.moved else states

    def returned(self, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """And back."""
        return _taken(states, self.like.unsorted_indices) if self.moved else states


def _taken(states: tuple[Tensor, ...], order: Tensor | None) -> tuple[Tensor, ...]:
    return states if order is None else tuple(s.index_select(1, order) for s in states)
