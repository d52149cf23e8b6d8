"""Tensors and contexts in the memory that an emulated program sees, guarded as all others are."""

from __future__ import annotations

import ctypes
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import kernel_cases
import numpy as np
import pytest
import torch
from guarded import PAGE, POISON, Guarded, Region
from neon.guest import Arena, Linker
from torch import Tensor

from gatewright.backends.cpu import build, call, engine

FAR = 1 << 32
"""No size is larger, and no table of Python's side lies below."""
TABLE = 4096
"""Bytes that no such table exceeds here: the order of sequences, and the numbers in the equations."""


class SharedRegion(Region):
    """A region of an arena. Its guards are pages like the others, and count as outside."""

    def __init__(self, arena: Arena, size: int, dtype: torch.dtype, *, at_end: bool, align: int):
        inside = max(1, -(-size // PAGE)) * PAGE
        whole = inside + 2 * PAGE
        self.bytes = torch.frombuffer(arena.view(arena.take(whole, PAGE), whole), dtype=torch.uint8)
        if dtype.is_floating_point:
            self.bytes.view(dtype).fill_(float("nan"))
        else:
            self.bytes.fill_(POISON)
        self.start = PAGE + ((inside - size) // align * align if at_end else 0)
        self.end = self.start + size
        self.borders = self._borders()


class SharedGuarded(Guarded):
    """Guarded memory within an arena."""

    def __init__(self, arena: Arena, *, at_end: bool):
        super().__init__(at_end=at_end)
        self.arena = arena

    def _made(self, shape: torch.Size, dtype: torch.dtype, align: int) -> tuple[Tensor, Region]:
        region = SharedRegion(self.arena, shape.numel() * dtype.itemsize, dtype, at_end=self.at_end, align=align)
        self._regions.append(region)
        return region.tensor(shape, dtype), region


@contextmanager
def kernels_in(linker: Linker):
    """Kernels are linked by `linker`, and their calls lie in its arena."""
    arena = linker.arena

    class SharedContext(call.Context):
        def __init__(self, prepared: call.Prepared):
            super().__init__(prepared)
            self.view = arena.array(self.view)
            self.words = self.view.data
            self.address = self.view.ctypes.data

    def shared_run(prepared: call.Prepared, context: call.Context) -> None:
        for k, word in enumerate(context.words):
            if word > FAR and word not in arena:
                context.words[k] = _copied(arena, word)
        run(prepared, context)

    run = call.Prepared.run
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "load", linker.load)
        patch.setattr(call, "Context", SharedContext)
        patch.setattr(call.Prepared, "run", shared_run)
        patch.setattr(kernel_cases, "Guarded", partial(SharedGuarded, arena))
        yield


def _copied(arena: Arena, word: int) -> int:
    """The address of a copy, where a word is the address of a table of Python's side; else the word itself."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        start, end = (int(address, 16) for address in line.split()[0].split("-"))
        if start <= word < end:
            return arena.array(np.frombuffer(ctypes.string_at(word, min(TABLE, end - word)), np.uint8)).ctypes.data
    return word


def forget() -> None:
    """Let go of kernels that are of no use without the program that ran them."""
    for cached in (build.library, build.native, kernel_cases.kernel_of):
        cached.cache_clear()
