"""A call that has been prepared: what stays the same from call to call is worked out once, addresses are filled in.

Behind a small kernel every line of Python costs more than the kernel, so a call does little else than to write the
addresses of its tensors into a context that has the rest.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ...graph.widths import SCALAR
from ..philox import threshold
from .build import Native
from .memory import workspace
from .sizes import Shape, Space, widths_of
from .threads import FLAG_BYTES


class Region:
    """The words that point into one buffer."""

    def __init__(self, slots: Sequence[int], offsets: Sequence[int]):
        self.slots, self.offsets = np.array(slots, dtype=np.int64), np.array(offsets, dtype=np.int64)


class Layout:
    """Where each name's word stands, and which words point into which buffer."""

    def __init__(self, native: Native, item: int):
        self.item = item
        self.slot = {name: i for i, name in enumerate(native.fields)}

    def region(self, space: Space, *, also: Mapping[str, str] | None = None) -> Region:
        """The words that point into a buffer laid out like `space`; `also` are further names of its places."""
        named = {name: offset for name, offset in space.offset.items() if name in self.slot}
        for name, place in (also or {}).items():
            if name in self.slot:
                named[name] = space.offset[place]
        return Region([self.slot[n] for n in named], [o * self.item for o in named.values()])


class Context:
    """One filled array of words. Only one call uses it at a time."""

    def __init__(self, prepared: Prepared):
        self.words = array("q", [*prepared.template, 0])  # one more, for what a kernel does not ask for
        self.view = np.frombuffer(self.words, dtype=np.int64)  # pyright: ignore[reportCallIssue, reportArgumentType]
        self.address = self.words.buffer_info()[0]
        self.flags = torch.zeros((prepared.shape.threads + 1) * FLAG_BYTES // 8, dtype=torch.int64)
        self.phase = 1
        self.known: dict[object, object] = {}
        if "flags" in prepared.layout.slot:
            start = self.flags.data_ptr()
            self.words[prepared.layout.slot["flags"]] = start + -start % FLAG_BYTES

    def place(self, region: Region, start: int) -> None:
        """Point the words of a region into the buffer that starts there."""
        if self.known.get(region) != start:
            self.view[region.slots] = region.offsets + start
            self.known[region] = start


class Prepared:
    """One kind of call: a shape, how it runs, and all words that follow from them."""

    def __init__(self, native: Native, shape: Shape, words: Mapping[str, int], scratch: Space, name: str, numbers):
        self.native, self.shape, self.name = native, shape, name
        self.layout = Layout(native, shape.item)
        self.slot = self.layout.slot
        self.numbers = numbers
        self.dtype = numbers.dtype
        self.template = [words.get(field, 0) for field in native.fields]
        self.scratch_size = scratch.total
        self.scratch = self.layout.region(scratch)
        self.identity = torch.arange(shape.B)
        self.count = torch.full((shape.B,), shape.T)
        self.first = torch.zeros(shape.B, dtype=torch.int64)
        self.waste = torch.zeros(max([64, *(shape.padded(w) for w in widths_of(shape.plan))]) + 64, dtype=self.dtype)
        self.nothing = torch.zeros(max([64, *(shape.padded(w) for w in widths_of(shape.plan))]) + 64, dtype=self.dtype)
        self.set_template("constants", numbers.data_ptr())
        for table, tensor in (("order", self.identity), ("count", self.count), ("first", self.first)):
            self.set_template(table, tensor.data_ptr())
        for k, chance in enumerate(shape.plan.chances):
            self.set_template(f"chance {k} threshold", threshold(chance.probability.attr))
        self._free: list[Context] = []
        # a barrier a stage and step, and a few more
        self.phases = 16 + (shape.T + 2) * (4 + len(shape.plan.forward.stages) + _stages_back(shape)) * 4

    def set_template(self, name: str, value: int) -> None:
        if name in self.slot:
            self.template[self.slot[name]] = value

    def take(self) -> Context:
        """A context that nobody uses, with this thread's scratch."""
        context = self._free.pop() if self._free else Context(self)
        buffer = workspace(self.name, self.scratch_size, self.dtype)
        context.known["scratch"] = buffer
        context.place(self.scratch, buffer.data_ptr())
        return context

    def run(self, context: Context) -> None:
        if (slot := self.slot.get("phase")) is not None:
            context.words[slot] = context.phase
            context.phase += self.phases
        self.native.function(context.address, self.shape.threads)
        self._free.append(context)

    def at(self, name: str) -> int:
        """Where a word stands; behind the last one for what the kernel does not ask for."""
        return self.slot.get(name, len(self.template))


def _stages_back(shape: Shape) -> int:
    return len(shape.plan.backward.stages) if shape.plan.backward else 0


class Parameters:
    """Where the rows of each parameter lie in the stored tensors, as words."""

    def __init__(
        self,
        prepared: Prepared,
        prefix: str,
        parts: Iterable[tuple[str, tuple[str, ...]]],
        stored: Sequence[tuple[str, ...]],
        shapes: Sequence[tuple[int, ...]],
    ):
        where = {row: (k, i) for k, rows in enumerate(stored) for i, row in enumerate(rows)}
        self.places: list[tuple[int, int, int]] = []  # a word, which tensor it points into, how far
        self.none: list[int] = []
        for name, rows in parts:
            for suffix, row in zip(("", " more"), [*rows, None], strict=False):
                slot = prepared.slot.get(f"{prefix} {name}{suffix}")
                if slot is None:
                    continue
                if row is None:
                    self.none.append(slot)
                    continue
                k, i = where[row]
                width = shapes[k][1] if len(shapes[k]) == 2 else 1
                rows_before = i * (shapes[k][0] // len(stored[k]))
                self.places.append((slot, k, rows_before * width * prepared.shape.item))
                prepared.set_template(f"{prefix} {name} row", width)
        self.spare = prepared.nothing if prefix == "param" else prepared.waste

    def fill(self, context: Context, tensors: Sequence[Tensor]) -> None:
        """Point to these tensors, which are contiguous."""
        starts, words = [*map(Tensor.data_ptr, tensors)], context.words
        if context.known.get(self) == starts:
            return
        for slot, k, offset in self.places:
            words[slot] = starts[k] + offset
        for slot in self.none:
            words[slot] = self.spare.data_ptr()
        context.known[self] = starts


def numbers_of(native: Native, shape: Shape, dtype: torch.dtype) -> Tensor:
    """The table of numbers that a kernel reads: constants of the equations, and numbers of units."""
    units = {str(w): shape.units(w) for w in (*widths_of(shape.plan), SCALAR)}
    values = [float.fromhex(n[6:]) if n.startswith("const ") else float(units[n]) for n in native.numbers]
    return torch.tensor(values or [0.0], dtype=dtype)
