"""Convolutions by native code: torch's values and gradients, whatever the kernel and what lies around a frame."""

from __future__ import annotations

from math import prod

import pytest
import torch

from gatewright.backends.convolve import Convolution
from gatewright.backends.frames import Frames, Grid, packed, padded, panels, turned
from tolerances import assert_close

GRIDS = [
    ((8,), (3,), (1,)),
    ((6, 5), (3, 2), (1, 1)),
    ((6, 7), (2, 3), (2, 1)),
    ((5, 6), (1, 2), (1, 2)),
    ((4, 5, 6), (3, 2, 3), (1, 1, 1)),
    ((4, 5, 6), (2, 2, 2), (1, 2, 2)),
]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["double", "float"])
@pytest.mark.parametrize("mode", ["zeros", "circular", "reflect", "replicate"])
@pytest.mark.parametrize(("space", "kernel", "dilation"), GRIDS)
def test_a_convolution_and_its_gradients(space, kernel, dilation, mode, dtype):
    torch.manual_seed(0)
    count, grid, tolerance = 3, Grid(space, kernel, dilation, mode), 1e-12 if dtype == torch.float64 else 2e-5
    for channels, width in ((2, 3), (5, 20), (16, 64)):
        x = torch.randn(count * grid.pixels, channels, dtype=dtype, requires_grad=True)
        weight = torch.randn(width, channels, *kernel, dtype=dtype, requires_grad=True)
        expected = Convolution(space, dilation, mode)(weight, x)
        along = torch.randn_like(expected)
        dx, dweight = torch.autograd.grad(expected, (x, weight), along)
        seen, ld = Frames(grid, channels, dtype), padded(width, dtype)
        room = seen.room(count).fill_(float("nan"))
        seen.spread(channels, count).run(src=x.data_ptr(), dst=seen.start(room))
        y, weights = torch.full((len(x), ld), float("nan"), dtype=dtype), packed(weight.detach(), panels(width, dtype))
        job = seen.convolve(width, count)
        job.run(a=seen.start(room), b=weights.data_ptr(), c=y.data_ptr(), ldc=ld, beta=0)
        assert_close(y[:, :width], expected, tolerance)
        job.run(a=seen.start(room), b=weights.data_ptr(), c=y.data_ptr(), ldc=ld, beta=1)
        assert_close(y[:, :width], 2 * expected, tolerance)
        rows = torch.zeros(len(x), ld, dtype=dtype)
        rows[:, :width] = along
        back = Frames(grid, ld, dtype, gradient=True)
        given = back.room(count).fill_(float("nan"))
        back.spread(ld, count).run(src=rows.data_ptr(), dst=back.start(given))
        weights, wide = packed(turned(weight.detach()), panels(channels, dtype), ld), padded(channels, dtype)
        found = torch.empty(count * prod(back.area), wide, dtype=dtype)
        job = back.convolve(channels, count)
        job.run(a=back.start(given), b=weights.data_ptr(), c=found.data_ptr(), ldc=wide, beta=0)
        found = found[:, :channels]
        assert_close(found if mode == "zeros" else back.fold(found), dx, tolerance)
        job, total = seen.weigh(back, count)
        job.run(g=back.start(given), h=seen.start(room))
        assert_close(seen.weights(total, width), dweight, tolerance)
