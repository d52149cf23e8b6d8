"""A convolution in the place of a product of a matrix and a vector.

A pixel is a row and its channels are its units: (…, frames · pixels, channels). So what is computed unit by unit means
the same as anywhere else, and products alone know that rows have neighbours. In memory that is torch's channels-last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv3d, pad

MODES = {"zeros": "constant", "circular": "circular", "reflect": "reflect", "replicate": "replicate"}
"""What lies around a frame, in the words of torch's convolutions and of its `pad`."""


def margins(kernel: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """How many pixels a frame needs before and behind it in each dimension, so that it keeps its size."""
    whole = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    return tuple((n // 2, n - n // 2) for n in whole)


@dataclass(frozen=True)
class Convolution:
    """What all products of a layer have in common, but for the sizes of their kernels.

    space: the size of a frame, one number for each of its 1 to 3 dimensions.
    dilation: the distance between a kernel's taps, in pixels.
    padding_mode: one of `MODES`.
    """

    space: tuple[int, ...]
    dilation: tuple[int, ...]
    padding_mode: str = "zeros"

    @property
    def pixels(self) -> int:
        return prod(self.space)

    def __call__(self, weight: Tensor, v: Tensor) -> Tensor:
        """Rows (…, frames · pixels, C) as rows (…, frames · pixels, O), by a weight (O, C, *kernel)."""
        *outer, rows, channels = v.shape
        frames = v.reshape(prod(outer) * rows // self.pixels, *self.space, channels).movedim(-1, 1)
        found = self._convolved(frames, weight).movedim(1, -1)
        return found.reshape(*outer, rows, weight.shape[0])

    def _convolved(self, x: Tensor, weight: Tensor) -> Tensor:
        """(N, C, *space) as (N, O, *space)."""
        around = margins(tuple(weight.shape[2:]), self.dilation)
        padding, dilation = tuple(before for before, _ in around), self.dilation
        if self.padding_mode != "zeros" or any(before != behind for before, behind in around):
            x = pad(x, [n for pair in reversed(around) for n in pair], mode=MODES[self.padding_mode])
            padding = (0,) * len(padding)
        if len(self.space) == 1:  # torch has channels-last for two dimensions and three
            found = conv2d(x.unsqueeze(2), weight.unsqueeze(2), padding=(0, *padding), dilation=(1, *dilation))
            return found.squeeze(2)
        convolve: Callable = conv2d if len(self.space) == 2 else conv3d
        return convolve(x, weight, padding=padding, dilation=dilation)


def by_pixel(x: Tensor, dims: int) -> Tensor:
    """(…, B, C, *space) as rows (…, B · pixels, C)."""
    *outer, batch, channels = x.shape[: x.dim() - dims]
    return x.movedim(-1 - dims, -1).reshape(*outer, batch * prod(x.shape[x.dim() - dims :]), channels)


def as_frames(rows: Tensor, space: tuple[int, ...]) -> Tensor:
    """Rows (…, B · pixels, C) as (…, B, C, *space), channels last in memory."""
    batch = rows.shape[-2] // max(prod(space), 1)
    apart = rows.reshape(*rows.shape[:-2], batch, *space, rows.shape[-1])
    return apart.movedim(-1, -1 - len(space))


def each_pixel(of_frames: Tensor, pixels: int) -> Tensor:
    """What is said of a frame, said of all its pixels: (…, B) as (…, B · pixels)."""
    return torch.repeat_interleave(of_frames, pixels, -1)
