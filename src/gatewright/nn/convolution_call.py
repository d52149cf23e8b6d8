"""One call of a layer of convolutions: what the user gave, checked, and with a batch axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..backends.convolve import margins
from . import arguments
from .call import Call, State, masks_of, weight_of
from .choice import Choice, kernels_refuse

if TYPE_CHECKING:
    from .convolution import ConvRecurrent

BACKENDS = ("auto", "cpu", "torch", "reference")


def choose(layer: ConvRecurrent) -> Choice:
    """What runs, and why; raises where a backend was asked for that cannot."""
    asked = layer.backend
    if asked in ("torch", "reference"):
        return Choice(asked, f"backend={asked!r} was asked for")
    refusal = layer.piecewise[0].refusal or kernels_refuse(weight_of(layer), tell=asked == "auto")
    if refusal is None:
        return Choice("cpu", "native convolutions, all gates at once, and kernels compiled from the equations")
    if asked == "cpu":
        raise arguments.wrong("backend", "a cell and weights that the CPU's kernels know", refusal)
    return Choice("torch", f"convolutions by torch, all gates at once; {refusal}")


def inputs_of(layer: ConvRecurrent, given: Tensor | tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], bool]:
    """The inputs, each (T, B, C, *space) or (B, T, …) as the layer has it, and whether they had a batch axis."""
    names, dims = layer.cell.inputs, layer.kernels.dims
    inputs = tuple(given) if isinstance(given, tuple | list) else (given,)
    if len(inputs) != len(names):
        listed = ", ".join(names)
        raise arguments.wrong("input", f"a tuple of {len(names)} tensors ({listed})", f"{len(inputs)}")
    channels = layer.in_channels if isinstance(layer.in_channels, tuple) else (layer.in_channels,)
    first, *others = inputs
    _check_frames(first, "input", channels[0], layer, (dims + 2, dims + 3))
    batched = first.dim() == dims + 3
    if not batched:
        first = first.unsqueeze(0 if layer.batch_first else 1)
    _check_space(layer, tuple(first.shape[3:]))
    found = [first]
    for x, name, size in zip(others, names[1:], channels[1:], strict=True):
        found.append(_further(x, f"input {name}", size, layer, first, batched=batched))
    return tuple(found), batched


def _check_frames(x: object, name: str, channels: int, layer: ConvRecurrent, dims: tuple[int, ...]) -> None:
    """A tensor of the weights' dtype and device, with so many dimensions and channels."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(x).__name__}")
    space = layer.kernels.dims
    if x.dim() not in dims:
        axes = "B, T" if layer.batch_first else "T, B"
        layout = f"({axes}, C, {space} of space), or without B for one sequence"
        raise arguments.wrong(name, f"{' or '.join(map(str, dims))} dimensions, {layout}", f"shape {tuple(x.shape)}")
    at = -1 - space if x.dim() > 2 else -1
    if x.shape[at] != channels:
        where = f"before the {space} of space" if at < -1 else "in the last dimension"
        raise arguments.wrong(name, f"{channels} channels {where}", f"{x.shape[at]} (shape {tuple(x.shape)})")
    weight = weight_of(layer)
    if x.dtype != weight.dtype and not torch.is_autocast_enabled(x.device.type):
        remedy = "convert one of them with .to(…)"
        raise arguments.wrong(name, f"dtype {weight.dtype}, as the weights have", x.dtype, remedy)
    if x.device != weight.device:
        remedy = "move one of them with .to(…)"
        raise arguments.wrong(name, f"device {weight.device}, where the weights are", x.device, remedy)


def _check_space(layer: ConvRecurrent, space: tuple[int, ...]) -> None:
    """A frame has pixels, as many as peepholes need, and more than its mirror image takes."""
    kernels = layer.kernels
    if not all(space):
        raise arguments.wrong("input", "frames of at least one pixel", f"frames of size {space}")
    if kernels.peephole_size not in (None, space):
        raise arguments.wrong("input", f"frames of size {kernels.peephole_size}, as peephole_size says", f"{space}")
    for kernel in (kernels.kernel_size, kernels.recurrent_kernel_size):
        for size, around in zip(space, margins(kernel, kernels.dilation), strict=True):
            least = {"reflect": max(around) + 1, "circular": max(around)}.get(kernels.padding_mode, 0)
            if size < least:
                what = (
                    f"frames of at least {least} pixels in every dimension, for padding_mode={kernels.padding_mode!r}"
                )
                raise arguments.wrong("input", what, f"frames of size {space}")


def _further(x: Tensor, name: str, channels: int, layer: ConvRecurrent, first: Tensor, *, batched: bool) -> Tensor:
    """Another input, as the first one is; the same at every step, or at every pixel too, where it has no such axes."""
    dims, time = layer.kernels.dims, 1 if layer.batch_first else 0
    lost = 0 if batched else 1
    _check_frames(x, name, channels, layer, (2 - lost, dims + 2 - lost, dims + 3 - lost))
    if not batched:
        x = x.unsqueeze(0 if x.dim() <= dims + 1 or layer.batch_first else 1)
    if x.dim() == 2:
        x = x.reshape(*x.shape, *(1,) * dims).expand(*x.shape, *first.shape[3:])
    wanted = (*first.shape[:2], channels, *first.shape[3:])
    if x.dim() == dims + 2:
        wanted = (first.shape[1 - time], channels, *first.shape[3:])
    if tuple(x.shape) != wanted:
        raise arguments.wrong(name, f"shape {wanted}, to go with the first input", f"shape {tuple(x.shape)}")
    return x if x.dim() == dims + 3 else x.unsqueeze(time).expand(*first.shape[:2], *wanted[1:])


def call_of(layer: ConvRecurrent, inputs: tuple[Tensor, ...], hx, lengths, reset, states, *, batched: bool) -> Call:
    """Everything else that was given, checked against the inputs."""
    batch = inputs[0].shape[0 if layer.batch_first else 1]
    lengths, reset, every = masks_of(inputs[0], lengths, reset, states, batched=batched, batch_first=layer.batch_first)
    began, past = _start(layer, hx, inputs[0], batch, batched=batched)
    return Call(inputs, began, past, lengths, reset, every)


def _start(
    layer: ConvRecurrent, hx: State | None, like: Tensor, batch: int, *, batched: bool
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """(states, past inputs) before the first step; without any the initial values, and zeros."""
    rows, space, depth = layer.num_layers * layer.directions, like.shape[3:], layer.lookback
    past = tuple(like.new_zeros(depth, batch, n, *space) for n in layer.channels_back)
    channels = layer.state_channels
    if hx is None:
        return tuple(like.new_full((rows, batch, n, *space), layer.initial[s]) for s, n in channels.items()), past
    names = list(channels)
    shapes = [(rows, batch, n, *space) for n in channels.values()]
    if isinstance(hx, tuple | list) and len(hx) > len(names) and past:
        names += [f"inputs before, layer {k}" for k in range(len(past))]
        shapes += [tuple(p.shape) for p in past]
    elif past and isinstance(hx, tuple | list) and len(hx) == len(names) == 1:
        (hx,) = hx
    shapes = shapes if batched else [(n, *rest) for n, _, *rest in shapes]
    given = arguments.check_states(hx, tuple(names), shapes, like)
    given = given if batched else tuple(s.unsqueeze(1) for s in given)
    return given[: len(channels)], given[len(channels) :] or past
