"""Layers of convolutions against a ConvLSTM as it is usually written: a loop with one convolution of [x, h] a step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

import torch
from torch import Tensor, nn

import gatewright as gw

from .shapes import MODES, Shape, agree, module_side
from .timing import SLACK, Line, Race, Side

FRAMES = (
    {"B": 8, "T": 10, "I": 16, "H": 32, "kernel": 3, "height": 32, "width": 32},
    {"B": 8, "T": 20, "I": 16, "H": 64, "kernel": 5, "height": 16, "width": 16},  # moving digits, in patches of 4 x 4
    {"B": 1, "T": 20, "I": 1, "H": 8, "kernel": 3, "height": 16, "width": 16},
    {"B": 1, "T": 10, "I": 1, "H": 8, "kernel": 3, "height": 8, "width": 8},
    {"B": 16, "T": 10, "I": 8, "H": 8, "kernel": 3, "height": 8, "width": 8},
    {"B": 1, "T": 20, "I": 16, "H": 16, "kernel": 3, "height": 32, "width": 32},
    {"B": 1, "T": 10, "I": 64, "H": 64, "kernel": 3, "height": 64, "width": 64},
    {"B": 8, "T": 20, "I": 8, "H": 32, "kernel": 5, "length": 256},
    {"B": 2, "T": 8, "I": 4, "H": 16, "kernel": 3, "depth": 12, "height": 12, "width": 12},
)


def conv(shapes: Iterable[Shape] = FRAMES) -> Iterator[Race]:
    """The same weights on all sides; the second loop keeps its channels last in memory, as our layers do."""
    lines = (
        Line("loop / ours", "loop", "ours", slack=SLACK, peer=True),
        Line("channels-last loop / ours", "turned", "ours", slack=SLACK, peer=True),
        Line("by torch's operations / ours", "torch", "ours"),
    )
    for shape in shapes:
        for mode in MODES:
            yield Race("conv", shape, mode, partial(_sides, shape, mode), lines)


class ConvLoop(nn.Module):
    """A ConvLSTM by hand, with the weights of one of our layers."""

    def __init__(self, layer: gw.ConvRecurrent, dims: int, *, channels_last: bool = False):
        super().__init__()
        w, u, b = (layer.get_parameter(f"{kind}_l0").detach() for kind in "WUb")
        kernel = w.shape[-1]
        self.conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1](
            w.shape[1] + u.shape[1], len(w), kernel, padding=kernel // 2
        )
        self.conv.weight, self.conv.bias = nn.Parameter(torch.cat([w, u], 1)), nn.Parameter(b.clone())
        self.hidden = u.shape[1]
        self.format = {2: torch.channels_last, 3: torch.channels_last_3d}.get(dims) if channels_last else None

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        h = c = self._laid_out(x.new_zeros(x.shape[1], self.hidden, *x.shape[3:]))
        outputs = []
        for frame in x:
            i, f, g, o = self.conv(torch.cat([self._laid_out(frame), h], 1)).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            outputs.append(h)
        return torch.stack(outputs), (h, c)

    def _laid_out(self, x: Tensor) -> Tensor:
        return x if self.format is None else x.contiguous(memory_format=self.format)


def _sides(shape: Shape, mode: str) -> dict[str, Side]:
    space = tuple(shape.values())[5:]
    dims = len(space)
    layers = {
        name: gw.ConvRecurrent("lstm", shape["I"], shape["H"], shape["kernel"], dims=dims, backend=backend)
        for name, backend in (("ours", "cpu"), ("torch", "torch"))
    }
    layers["torch"].load_state_dict(layers["ours"].state_dict())
    modules = {
        **layers,
        "loop": ConvLoop(layers["ours"], dims),
        "turned": ConvLoop(layers["ours"], dims, channels_last=True),
    }
    x = torch.randn(shape["T"], shape["B"], shape["I"], *space, requires_grad=True)
    agree(*(lambda module=module: module(x)[0] for module in modules.values()))
    return {name: module_side(mode, module, x) for name, module in modules.items()}
