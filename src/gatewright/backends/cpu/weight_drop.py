"""Dropped weights by a kernel, forward and backward: one pass over a matrix each, and a mask of one bit a weight."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor

from .. import philox
from .operators import REALS, is_direct

Rates = Sequence[tuple[float, int]]
"""(rate, rows) of a matrix from its first row on."""


def drops(weight: Tensor, seed: Tensor) -> bool:
    """Whether `dropped` can be called: nobody but autograd looks on."""
    return weight.dtype in REALS and is_direct((weight, seed)) and weight.is_contiguous()


def dropped(weight: Tensor, rates: Rates, *, seed: Tensor, stream: int) -> Tensor:
    """A matrix with elements at 0 and the rest scaled by 1 / (1 − p); bits as of `philox.weight_chance`."""
    return _Dropped.apply(weight, _Masks(rates, int(seed), stream, weight.shape, weight.dtype))


class _Dropped(torch.autograd.Function):
    """The product with a mask; its derivative is the same product."""

    @staticmethod
    def forward(ctx, weight: Tensor, masks: _Masks):
        ctx.masks = masks
        return masks.times(weight)

    @staticmethod
    def backward(ctx, *grads):
        (grad,) = grads
        if is_direct(grads) and not torch._C._functorch.is_legacy_batchedtensor(grad):  # pyright: ignore[reportAttributeAccessIssue]
            return _Dropped.apply(grad.contiguous(), ctx.masks), None
        return grad * ctx.masks.times(torch.ones(ctx.masks.shape, dtype=ctx.masks.dtype)), None


class _Masks:
    """What is dropped of one matrix: bits for each of its rates."""

    def __init__(self, rates: Rates, seed: int, stream: int, shape: Sequence[int], dtype: torch.dtype):
        self.rates, self.shape, self.dtype = rates, shape, dtype
        rows, columns = shape
        self.choose, self.drop, lanes = _native(dtype)
        groups, self.blocks = -(-rows // philox.STEPS), -(-columns // lanes)
        self.strides = self.blocks * groups, groups
        self.choices = {p: self._drawn(p, seed, stream, groups) for p, _ in rates if p}

    def _drawn(self, p: float, seed: int, stream: int, groups: int) -> Tensor:
        """Each sequence of the generator stands for eight rows, one for each step of a counter."""
        words = torch.empty(philox.STEPS * self.strides[0], dtype=torch.int16, device="cpu")
        order = _order(groups).data_ptr()
        self.choose(
            words.data_ptr(), *self.strides, philox.threshold(p), seed, stream, 0, order, 0, groups, 0, self.blocks
        )
        return words

    def times(self, matrix: Tensor) -> Tensor:
        """A contiguous matrix times the mask."""
        found = torch.empty_like(matrix)
        start, columns, source, out = 0, self.shape[1], matrix.data_ptr(), found.data_ptr()
        for p, count in self.rates:
            rows = slice(start, start + count)
            if p:
                words, scale = self.choices[p].data_ptr(), _scale(p, self.dtype).data_ptr()
                self.drop(words, *self.strides, scale, rows.start, rows.stop, columns, source, out)
            else:
                found[rows] = matrix[rows]
            start = rows.stop
        return found


@cache
def _order(groups: int) -> Tensor:
    with torch.inference_mode(False):
        return torch.arange(groups, device="cpu")


@cache
def _scale(p: float, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(False):
        return torch.tensor(1 / (1 - p), dtype=dtype, device="cpu")


@cache
def _native(dtype: torch.dtype) -> tuple[Callable[..., None], Callable[..., None], int]:
    """What draws, what drops, and how many choices a word has."""
    from .build import library  # llvmlite is imported where a kernel is needed
    from .drops import DROP
    from .philox import CHANCES
    from .products import SIGNATURES
    from .target import host

    def function(name: str) -> Callable[..., None]:
        kinds = [ctypes.c_void_p if str(kind) == "ptr" else ctypes.c_int64 for kind in SIGNATURES[name]]
        return library(REALS[dtype], host()).function(name, *kinds)

    return function(CHANCES), function(DROP), host().lanes(REALS[dtype])
