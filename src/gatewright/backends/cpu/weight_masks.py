"""The masks of dropped weights by a kernel: those of `backends.philox.weight_chance`, many times faster."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from torch import Tensor

from .. import philox
from ..vendor import in_transform
from .operators import _unwatched

BITS = 16  # of a word of choices; a narrow target uses the lower ones


def weight_chance(p: float, *, seed: Tensor, stream: int, rows: int, columns: int) -> Tensor:
    """(rows, columns) of choices, as `philox.weight_chance`, which runs where `torch.func` hides the seed."""
    if not torch.compiler.is_compiling() and in_transform():
        return philox.weight_chance(p, seed=seed, stream=stream, rows=rows, columns=columns)
    call = _choices if _unwatched((seed,)) else cpu_weight_chance
    return call(seed, stream, philox.threshold(p), rows, columns)


def _choices(seed: Tensor, stream: int, threshold: int, rows: int, columns: int) -> Tensor:
    """Each sequence of the generator stands for eight rows, one for each step of a counter."""
    draw, lanes = _native()
    groups, blocks = -(-rows // philox.STEPS), -(-columns // lanes)
    order = torch.arange(groups)
    words = torch.empty(philox.STEPS, blocks, groups, dtype=torch.int16)
    strides = blocks * groups, groups
    draw(words.data_ptr(), *strides, threshold, int(seed), stream, 0, order.data_ptr(), 0, groups, 0, blocks)
    by_row = words.permute(2, 0, 1).contiguous().view(torch.uint8).numpy()
    bits = np.unpackbits(by_row, bitorder="little").reshape(groups * philox.STEPS, blocks, BITS)
    each = bits[:rows, :, :lanes].reshape(rows, blocks * lanes)
    return torch.from_numpy(np.ascontiguousarray(each[:, :columns])).view(torch.bool)


@cache
def _native() -> tuple[Callable[..., None], int]:
    """The library's function, and how many choices it puts into a word."""
    from .build import library  # llvmlite is imported where a kernel is needed
    from .philox import CHANCES
    from .products import SIGNATURES
    from .target import host

    kinds = [ctypes.c_void_p if str(kind) == "ptr" else ctypes.c_int64 for kind in SIGNATURES[CHANCES]]
    return library("float", host()).function(CHANCES, *kinds), host().lanes("float")


cpu_weight_chance = torch.library.custom_op(
    "gatewright::cpu_weight_chance",
    _choices,
    mutates_args=(),
    device_types="cpu",
    schema="(Tensor seed, int stream, int threshold, int rows, int columns) -> Tensor",
)


@cpu_weight_chance.register_fake
def _(seed: Tensor, stream: int, threshold: int, rows: int, columns: int) -> Tensor:  # noqa: ARG001
    return seed.new_empty(rows, columns, dtype=torch.bool)
