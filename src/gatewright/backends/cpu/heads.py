"""Block-diagonal matrices: kernels read them whole, with zeros that they do not multiply."""

from __future__ import annotations

import torch
from torch import Tensor

from ...plan.program import Program


class Heads:
    """Which of a program's stored tensors are block-diagonal, and what they look like whole."""

    def __init__(self, program: Program):
        self.heads = program.heads
        params = program.row_params
        self.gates = [len(rows) if self._is_blocked(params[rows[0]]) else 0 for rows in program.stored]

    def _is_blocked(self, param) -> bool:
        return self.heads > 1 and param.attr.kind == "U"

    def whole(self, weights: list[Tensor]) -> list[Tensor]:
        """The tensors with their blocks on the diagonal, zero elsewhere."""
        return [self._whole(w, gates) if gates else w for w, gates in zip(weights, self.gates, strict=True)]

    def _whole(self, blocks: Tensor, gates: int) -> Tensor:
        rows, columns = blocks.shape
        whole = torch.zeros(gates, self.heads, rows // gates // self.heads, self.heads, columns, dtype=blocks.dtype)
        self._diagonal(whole).copy_(blocks.view(gates, self.heads, -1, columns))
        return whole.view(rows, self.heads * columns)

    def _diagonal(self, whole: Tensor) -> Tensor:
        """(gates, heads, rows, columns): a view of the blocks."""
        return whole.diagonal(dim1=1, dim2=3).permute(0, 3, 1, 2)

    def blocks(self, gradients: list[Tensor]) -> list[Tensor]:
        """The inverse, of gradients."""
        return [self._blocks(g, gates) if gates else g for g, gates in zip(gradients, self.gates, strict=True)]

    def _blocks(self, whole: Tensor, gates: int) -> Tensor:
        rows, columns = whole.shape[0], whole.shape[1] // self.heads
        parts = whole.view(gates, self.heads, rows // gates // self.heads, self.heads, columns)
        return self._diagonal(parts).reshape(rows, columns)
