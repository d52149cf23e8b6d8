"""Memory that ends at a page nobody may touch, with NaN wherever no value has been put.

A read outside a tensor gives NaN or ends the process, a write outside is seen afterwards or ends the process.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from gatewright.backends.cpu import memory

PAGE = mmap.PAGESIZE
CACHE_LINE = 64
NO_ACCESS = 0  # PROT_NONE
POISON = 0x7B  # for what has no NaN: a byte of numbers and flags that nobody means

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

_FRESH = {
    torch.ops.aten.empty.memory_format,
    torch.ops.aten.empty_like.default,
    torch.ops.aten.empty_strided.default,
    torch.ops.aten.new_empty.default,
    torch.ops.aten.new_empty_strided.default,
}
"""What gives memory with any contents."""


class Region:
    """Whole pages between two that nobody may touch; a tensor lies at their start or at their end."""

    def __init__(self, size: int, dtype: torch.dtype, *, at_end: bool, align: int):
        inside = max(1, -(-size // PAGE)) * PAGE
        whole = torch.frombuffer(mmap.mmap(-1, inside + 2 * PAGE), dtype=torch.uint8)
        for page in (0, PAGE + inside):
            if _libc.mprotect(whole.data_ptr() + page, PAGE, NO_ACCESS):
                raise OSError(ctypes.get_errno(), "a page could not be protected")
        self.bytes = whole[PAGE : PAGE + inside]
        if dtype.is_floating_point:
            self.bytes.view(dtype).fill_(float("nan"))
        else:
            self.bytes.fill_(POISON)
        self.start = (inside - size) // align * align if at_end else 0
        self.end = self.start + size
        self.borders = self._borders()

    def tensor(self, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        return self.bytes[self.start : self.end].view(dtype).view(shape)

    def _borders(self) -> Tensor:
        return torch.cat([self.bytes[: self.start], self.bytes[self.end :]])

    def written_outside(self) -> bool:
        return not torch.equal(self._borders(), self.borders)


class Guarded(TorchDispatchMode):
    """While it is entered, all memory that torch makes and all workspaces of kernels are guarded.

    at_end: tensors end at a guard page; else they begin at one.
    """

    def __init__(self, *, at_end: bool):
        super().__init__()
        self.at_end = at_end
        self._regions: list[Region] = []
        self._given: list[tuple[Region, Tensor]] = []
        self._patch = pytest.MonkeyPatch()

    # -- the tensors of a call ---------------------------------------------------------------------------------

    def copy(self, values: Tensor) -> Tensor:
        """The values of a contiguous tensor in memory that a call must not change."""
        with _disable_current_modes():
            tensor, region = self._made(values.shape, values.dtype, values.element_size())
            tensor.copy_(values)
            self._given.append((region, region.bytes.clone()))
        return tensor

    def batch_first(self, values: Tensor) -> Tensor:
        """(T, B, I) as a view of a tensor (B, T, I)."""
        return self.copy(values.transpose(0, 1).contiguous()).transpose(0, 1)

    def sliced(self, values: Tensor) -> Tensor:
        """The first or last units of a wider tensor whose others are NaN."""
        shape = (*values.shape[:-1], values.shape[-1] + 3)
        units = slice(3, None) if self.at_end else slice(0, values.shape[-1])
        whole = torch.full(shape, float("nan"), dtype=values.dtype)
        whole[..., units] = values
        return self.copy(whole)[..., units]

    def expanded(self, values: Tensor) -> Tensor:
        """The first step at all times, with no memory of its own for each."""
        first = values[:1] if values.shape[0] else values.new_zeros(1, *values.shape[1:])
        return self.copy(first.contiguous()).expand(values.shape)

    # -- what the call makes -----------------------------------------------------------------------------------

    def __enter__(self):
        backend = [module for name, module in sys.modules.items() if name.startswith("gatewright.backends.cpu.")]
        ours = {memory.workspace: self._workspace, memory.saved_buffer: self._scratch, memory.result: self._result}
        for function, own in ours.items():
            name = function.__name__
            for module in backend:
                if getattr(module, name, None) is function:
                    self._patch.setattr(module, name, own)
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self._patch.undo()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        if not isinstance(found, Tensor) or any(r.alias_info is not None for r in func._schema.returns):
            return found
        tensor, _ = self._made(found.shape, found.dtype, found.element_size())
        return tensor if func in _FRESH else tensor.copy_(found)

    def _result(self, shape: Sequence[int], dtype: torch.dtype, *, exact: bool = False) -> Tensor:
        return torch.empty(shape, dtype=dtype)  # not from the pool, which would keep it

    def _workspace(self, key: str, count: int, dtype: torch.dtype) -> Tensor:
        return self._scratch(count, dtype)

    def _scratch(self, count: int, dtype: torch.dtype) -> Tensor:
        with _disable_current_modes():
            return self._made(torch.Size([count]), dtype, CACHE_LINE)[0]

    def _made(self, shape: torch.Size, dtype: torch.dtype, align: int) -> tuple[Tensor, Region]:
        region = Region(shape.numel() * dtype.itemsize, dtype, at_end=self.at_end, align=align)
        self._regions.append(region)
        return region.tensor(shape, dtype), region

    # -- afterwards --------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise where something was written outside a tensor, or into one that was given."""
        for region in self._regions:
            assert not region.written_outside(), f"written outside a tensor of {region.end - region.start} bytes"
        for region, before in self._given:
            assert torch.equal(region.bytes, before), "a tensor that was given has been changed"
