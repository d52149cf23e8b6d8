"""Convolutions by native code: where the pixels of padded frames lie, and calls that are prepared once.

A padded frame has room for what a kernel sees around each pixel. A frame of gradients has the same rows and lines, with
its pixels first and zeros behind them, and zeros before it: so the same distance in memory leads from any pixel to what
a tap saw, forward and backward.
"""

from __future__ import annotations

import ctypes
from array import array
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from .convolve import margins
from .cpu import engine
from .cpu.build import library
from .cpu.frames import ENTRIES, WORDS, build_frames
from .cpu.memory import result
from .cpu.target import host
from .cpu.threads import symbols, thread_count

REALS = {torch.float32: "float", torch.float64: "double"}
SMALL = 400_000  # multiplications, with fewer waking a second thread costs more than it brings
CHUNK = 256  # pixels whose gradients are packed at a time
SLACK = 256  # elements behind a buffer: whole vectors may be read there


@cache
def _entries(real: str) -> dict[str, Any]:
    target = host()
    made = engine.compiled(f"frames {real}", lambda: build_frames(real, target), real=real, target=target)
    found = engine.load([made], list(ENTRIES), symbols(), uses=[library(real, target)])
    return {name: found.function(name, ctypes.c_void_p, ctypes.c_int32) for name in ENTRIES}


def lanes_of(dtype: torch.dtype) -> int:
    return host().lanes(REALS[dtype])


def padded(width: int, dtype: torch.dtype) -> int:
    """A width in whole vectors."""
    lanes = lanes_of(dtype)
    return -(-width // lanes) * lanes


class Job:
    """One prepared call of an entry; what differs from call to call is written into its words. For one thread's use."""

    def __init__(self, name: str, dtype: torch.dtype, threads: int, kept: tuple = (), **words: int):
        self.at = WORDS[name]
        self.words = array("q", [words.get(word, 0) for word in self.at])
        self.kept = kept  # tables that words point to
        self.address, self.threads = self.words.buffer_info()[0], threads
        self.function = _entries(REALS[dtype])[name]

    def set(self, **words: int) -> None:
        for name, value in words.items():
            self.words[self.at[name]] = value

    def run(self, **words: int) -> None:
        self.set(**words)
        self.function(self.address, self.threads)


@dataclass(frozen=True)
class Grid:
    """Frames of one size, as one kernel sees them.

    space, kernel, dilation: a number for each dimension of a frame.
    mode: what lies around a frame: "zeros", "circular", "reflect" or "replicate".
    """

    space: tuple[int, ...]
    kernel: tuple[int, ...]
    dilation: tuple[int, ...]
    mode: str

    @cached_property
    def pixels(self) -> int:
        return prod(self.space)

    @cached_property
    def around(self) -> tuple[tuple[int, int], ...]:
        return margins(self.kernel, self.dilation)

    @cached_property
    def whole(self) -> tuple[int, ...]:
        """The size of a padded frame."""
        return tuple(n + sum(around) for n, around in zip(self.space, self.around, strict=True))

    @cached_property
    def strides(self) -> tuple[int, ...]:
        """How many pixels of a padded frame lie from one to the next in each dimension."""
        return tuple(prod(self.whole[d + 1 :]) for d in range(len(self.whole)))

    @cached_property
    def lead(self) -> int:
        """Pixels from what the first tap sees to what the last sees: so many zeros lie before a gradient's frame."""
        return self.flat(tuple(sum(around) for around in self.around))

    @cached_property
    def depth(self) -> int:
        """Pixels of a padded frame from the first to the last that is a pixel of the frame."""
        return self.flat(tuple(n - 1 for n in self.space)) + 1

    def flat(self, at: tuple[int, ...]) -> int:
        return sum(n * stride for n, stride in zip(at, self.strides, strict=True))

    def lines(self, size: tuple[int, ...]) -> list[int]:
        """Where the lines of an area of this size begin in a padded frame."""
        return [self.flat((*at, 0)) for at in product(*map(range, size[:-1]))]

    @cached_property
    def taps(self) -> tuple[int, tuple[int, int], list[int]]:
        """(taps that are neighbours, (how many times, so far apart), and where such groups begin): in pixels."""
        steps = [(k, d * stride) for k, d, stride in zip(self.kernel, self.dilation, self.strides, strict=True)]
        inner = steps.pop()[0] if self.dilation[-1] == 1 else 1
        segments = steps.pop() if steps else (1, 0)
        starts = [sum(i * step for i, (_, step) in zip(at, steps, strict=True)) for at in
                  product(*(range(k) for k, _ in steps))]  # fmt: skip
        return inner, segments, starts

    def sources(self, *, gradient: bool) -> tuple[list[int], list[int]]:
        """For each line of a padded frame the frame's own, for each pixel of a line the frame's own; −1 for zeros."""
        each = []
        for n, (before, behind) in zip(self.space, self.around, strict=True):
            index = torch.arange(n, dtype=torch.float64).reshape(1, 1, n)
            if gradient:
                index = pad(index, (0, before + behind), value=-1)
            elif self.mode == "zeros":
                index = pad(index, (before, behind), value=-1)
            else:
                index = pad(index, (before, behind), mode=self.mode)
            each.append([int(i) for i in index.flatten().tolist()])
        outer = []
        for at in product(*each[:-1]):
            line = 0
            for i, n in zip(at, self.space[:-1], strict=True):
                line = -1 if line < 0 or i < 0 else line * n + i
            outer.append(line)
        return outer, each[-1]


def _threads(work: int) -> int:
    return thread_count() if work >= SMALL else 1


def _panels(width: int, dtype: torch.dtype) -> tuple[int, int, int]:
    """(vectors, vectors in a panel, panels) of so many columns: as few panels as tiles allow, as equal as can be."""
    vectors = padded(width, dtype) // lanes_of(dtype)
    panels = -(-vectors // len(host().tile_rows))
    return vectors, -(-vectors // panels), panels


@dataclass(frozen=True)
class Frames:
    """Padded frames of so many channels on a grid: of what a kernel sees, or of gradients."""

    grid: Grid
    channels: int
    dtype: torch.dtype
    gradient: bool = False

    @cached_property
    def lead(self) -> int:
        return self.grid.lead * self.channels if self.gradient else 0

    @cached_property
    def each(self) -> int:
        """Elements from one frame to the next."""
        return self.lead + prod(self.grid.whole) * self.channels

    @cached_property
    def bytes(self) -> int:
        return self.each * self.dtype.itemsize

    def room(self, count: int) -> Tensor:
        """Memory for so many frames, with any contents."""
        return result((count * self.each + SLACK,), self.dtype)

    def start(self, room: Tensor) -> int:
        """The address of the first frame."""
        return room.data_ptr() + self.lead * self.dtype.itemsize

    @cached_property
    def _sources(self) -> tuple[Tensor, Tensor]:
        lines, columns = self.grid.sources(gradient=self.gradient)
        return torch.tensor(lines), torch.tensor(columns)

    def spread(self, ld: int, frames: int) -> Job:
        """Fills so many frames (or `frames`) from rows of pixels that are `ld` apart: words src and dst."""
        lines, columns = self._sources
        grid, channels = self.grid, self.channels
        return Job(
            "gw_spread", self.dtype, _threads(frames * self.each * 16), (lines, columns),
            src_frame=grid.pixels * ld, ld=ld, channels=channels, dst_frame=self.each, lead=self.lead, frames=frames,
            lines=len(lines), source=lines.data_ptr(), column=columns.data_ptr(), pitch=grid.whole[-1],
            first=0 if self.gradient else grid.around[-1][0], width=grid.space[-1], whole=int(ld == channels),
        )  # fmt: skip

    @cached_property
    def area(self) -> tuple[int, ...]:
        """The size of what a convolution over these frames gives: with gradients around a frame where they count."""
        return self.grid.whole if self.gradient and self.grid.mode != "zeros" else self.grid.space

    @cached_property
    def _taps(self) -> tuple[int, int, int, Tensor]:
        inner, (count, step), starts = self.grid.taps
        return inner * self.channels, count, step * self.channels, torch.tensor(starts) * self.channels

    @cached_property
    def _lines(self) -> Tensor:
        grid, back = self.grid, 0
        if self.gradient:
            inside = grid.flat(tuple(before for before, _ in grid.around))
            back = grid.lead - (inside if grid.mode == "zeros" else 0)
        return (torch.tensor(grid.lines(self.area)) - back) * self.channels

    def convolve(self, width: int, frames: int) -> Job:
        """Rows of so many columns from frames (or `frames`) and packed weights: words a, b, c, ldc and beta."""
        K, nseg, step, offset = self._taps
        vectors, panel, panels = _panels(width, self.dtype)
        lines = self._lines
        depth = K * nseg * len(offset)
        threads = _threads(frames * prod(self.area) * depth * width)
        return Job(
            "gw_convolve", self.dtype, threads, (offset, lines),
            a_frame=self.each, rs=self.channels, K=K, nseg=nseg, taps=len(offset), offset=offset.data_ptr(),
            frames=frames, lines=len(lines), line=lines.data_ptr(), width=self.area[-1], vectors=vectors, panel=panel,
            by_panel=int(frames * len(lines) < 4 * threads and panels > 1), **{"as": step},
        )  # fmt: skip

    def weigh(self, gradients: Frames, frames: int) -> tuple[Job, Tensor]:
        """Adds up the weights' gradient: words g and h, the first frames; and the job's result for `weights`."""
        grid, rows = self.grid, gradients.channels
        K, nseg, step, starts = self._taps
        offset = (starts.unsqueeze(1) + torch.arange(nseg) * step).flatten()
        _, panel, panels = _panels(K, self.dtype)
        columns = panel * panels * lanes_of(self.dtype)
        found = torch.zeros(rows, len(offset), columns, dtype=self.dtype)
        threads = min(_threads(frames * grid.depth * K * len(offset) * rows), rows)
        each = CHUNK * (rows + 64)
        packed = torch.empty(threads * each, dtype=self.dtype)
        job = Job(
            "gw_weigh", self.dtype, threads, (offset, found, packed),
            g_frame=gradients.each, ldg=rows, rows=rows, channels=self.channels, h_frame=self.each, depth=grid.depth,
            frames=frames, offset=offset.data_ptr(), taps=len(offset), vectors=panel * panels, panel=panel,
            c=found.data_ptr(), ldc=len(offset) * columns, c_tap=columns, chunk=CHUNK, packed=packed.data_ptr(),
            each=each,
        )  # fmt: skip
        return job, found

    def weights(self, found: Tensor, rows: int) -> Tensor:
        """What `weigh` has added up, as the weight is: (rows, channels, *kernel)."""
        K = self._taps[0]
        taps = found[:rows, :, :K].reshape(rows, *self.grid.kernel, self.channels)
        return taps.movedim(-1, 1).contiguous()

    def fold(self, rows: Tensor) -> Tensor:
        """Gradients of padded frames (frames · padded pixels, C) as those of the frames' own pixels."""
        lines, columns = self.grid.sources(gradient=False)
        to = torch.tensor(lines).unsqueeze(1) * self.grid.space[-1] + torch.tensor(columns)
        apart = rows.unflatten(0, (-1, to.numel()))
        found = apart.new_zeros(apart.shape[0], self.grid.pixels, rows.shape[-1])
        return found.index_add_(1, to.flatten(), apart).flatten(0, 1)


def packed(weight: Tensor, columns: tuple[int, int], channels: int | None = None) -> Tensor:
    """A weight (O, C, *kernel) in panels of columns, tap by tap: what `convolve` reads; zeros for further channels.

    columns: how many panels of how many columns there are, as `panels` says.
    """
    (rows, own), (count, wide) = weight.shape[:2], columns
    taps = weight.reshape(rows, own, -1).permute(2, 1, 0)
    more = count * wide - rows, (channels or own) - own
    taps = pad(taps, (0, more[0], 0, more[1])) if any(more) else taps
    return taps.reshape(-1, count, wide).transpose(0, 1).contiguous()


def panels(width: int, dtype: torch.dtype) -> tuple[int, int]:
    """How many panels of how many columns the weights of so many columns fill."""
    _, panel, count = _panels(width, dtype)
    return count, panel * lanes_of(dtype)


def turned(weight: Tensor) -> Tensor:
    """The weight (C, O, *kernel) that leads gradients back."""
    return weight.flip(tuple(range(2, weight.dim()))).transpose(0, 1)
