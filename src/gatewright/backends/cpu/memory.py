"""Buffers that are kept between calls, since a fresh page costs more than what is written to it.

What the C library hands out above some size, or behind the end of its heap, is fresh pages: writing 64 MiB of them
takes 13 times as long as writing the same ones again, and costs a fifth of a backward pass with large weights.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

TINY = 1 << 16
"""Up to this size an example of each result may be kept."""
SMALL = 1 << 20
"""Below this size torch's own allocation is as good, and cheaper."""
KEPT_SCRATCH = 32 << 20
"""Larger scratch is lent by the pool for one call, so that no thread sits on it."""
PATIENCE = 64
"""A free buffer that so many requests have passed over is given back."""


def _bound() -> int:
    """How many bytes the pool keeps: a gibibyte, or an eighth of a small machine's memory."""
    return min(1 << 30, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 8)


@dataclass(eq=False)
class _Kept:
    storage: torch.UntypedStorage
    used: int
    """The request that took it last."""

    @property
    def bytes(self) -> int:
        return self.storage.nbytes()

    def is_free(self) -> bool:
        """Whether no tensor refers to it; what was shared with another process may be in use there."""
        return not self.storage.is_shared() and torch._C._storage_Use_Count(self.storage._cdata) == 1  # pyright: ignore[reportAttributeAccessIssue]

    def tensor(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        return torch.empty(0, dtype=dtype, device="cpu").set_(self.storage, 0, tuple(shape))  # pyright: ignore[reportCallIssue]


class Pool:
    """Storages of tensors; one is free when no tensor refers to it.

    Nobody has to give anything back: autograd lets go of what it saved, at whatever time.
    """

    def __init__(self, bound: int):
        self.bound = bound
        self._lock = threading.Lock()
        self._kept: list[_Kept] = []
        self._requests = 0

    def take(self, shape: Sequence[int], dtype: torch.dtype, *, exact: bool = False) -> Tensor:
        """A tensor with any contents, that shares memory with no other live tensor.

        exact: its storage is no larger than itself. Else those whose sizes differ a little share storages.
        """
        size = math.prod(shape) * dtype.itemsize
        if size < SMALL or size > self.bound:
            return torch.empty(shape, dtype=dtype, device="cpu")
        with self._lock:  # the new tensor must refer to its storage before anyone else looks
            self._requests += 1
            found = self._free(size, size if exact else 2 * size) or self._added(size if exact else _rounded(size))
            found.used = self._requests
            return found.tensor(shape, dtype)

    def held(self) -> int:
        """The bytes of all buffers that the pool knows, free or not."""
        return sum(kept.bytes for kept in self._kept)

    def _free(self, size: int, most: int) -> _Kept | None:
        """The smallest free buffer that is large enough, and not far too large."""
        fitting = [kept for kept in self._kept if size <= kept.bytes <= most and kept.is_free()]
        return min(fitting, key=lambda kept: kept.bytes, default=None)

    def _added(self, size: int) -> _Kept:
        """A new buffer; known to the pool from now on, where there is room for it."""
        self._give_back(size)
        new = _Kept(torch.empty(size, dtype=torch.uint8, device="cpu").untyped_storage(), self._requests)
        if self.held() + size <= self.bound:
            self._kept.append(new)
        return new

    def _give_back(self, size: int) -> None:
        """Let go of free buffers: those long unused, then the longest unused until `size` has room."""
        held = self.held()
        for kept in sorted(self._kept, key=lambda kept: kept.used):
            if kept.used >= self._requests - PATIENCE and held + size <= self.bound:
                return
            if kept.is_free():
                held -= kept.bytes
                self._kept.remove(kept)


def _rounded(size: int) -> int:
    """A size with three leading bits, so that lengths that differ a little share buffers."""
    step = 1 << max(size.bit_length() - 3, 6)
    return (size + step - 1) // step * step


_pool = Pool(_bound())
_own = threading.local()


def _start_anew() -> None:
    """In a forked process: the lock may have been held by a thread that is not there."""
    global _pool
    _pool = Pool(_pool.bound)


os.register_at_fork(after_in_child=_start_anew)


def saved_buffer(count: int, dtype: torch.dtype) -> Tensor:
    """A flat tensor with any contents, aligned to 64 bytes, for what backward needs.

    Its memory is used again when no tensor refers to it any more.
    """
    return _pool.take((count,), dtype)


def result(shape: Sequence[int], dtype: torch.dtype, *, exact: bool = False) -> Tensor:
    """A tensor with any contents for what a call gives back; its memory too is used again when nobody refers to it."""
    return _pool.take(shape, dtype, exact=exact)


def maker(shape: Sequence[int], dtype: torch.dtype, *, exact: bool = False) -> Callable[[], Tensor]:
    """`result` of one shape, prepared: small tensors are quicker made like another one."""
    if math.prod(shape) * dtype.itemsize > TINY:
        return partial(result, shape, dtype, exact=exact)
    return partial(torch.empty_like, torch.empty(shape, dtype=dtype, device="cpu"))


def workspace(key: str, count: int, dtype: torch.dtype) -> Tensor:
    """Scratch of this thread, at least so many elements, aligned to 64 bytes, with any contents.

    The next call with the same key and dtype gets the same memory.
    """
    kept: dict[tuple[str, torch.dtype], Tensor] | None = getattr(_own, "kept", None)
    if kept is None:
        kept = _own.kept = {}
    found = kept.get((key, dtype))
    if found is not None and found.numel() >= count:
        return found
    if count * dtype.itemsize > KEPT_SCRATCH:
        return _pool.take((count,), dtype)
    kept[key, dtype] = torch.empty(max(count, 64), dtype=dtype, device="cpu")
    return kept[key, dtype]
