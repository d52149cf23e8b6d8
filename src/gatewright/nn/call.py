"""One call of a layer: what the user gave, checked, and with a batch axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor, nn

from . import arguments
from .initial import before_the_first_step

if TYPE_CHECKING:
    from .stack import Stack

BACKENDS = ("auto", "cpu", "reference", "vendor")
State = Tensor | tuple[Tensor, ...]


class Call(NamedTuple):
    """One call's arguments; layouts as the user gave them.

    `past` has, for each layer, the inputs before the first step that the cell looks back at: (K, B, features).
    `batched` tells whether the user gave a batch axis, `order` where each of the user's sequences stands here.
    """

    inputs: tuple[Tensor, ...]
    states: tuple[Tensor, ...]
    past: tuple[Tensor, ...]
    lengths: Tensor | None
    reset: Tensor | None
    every: bool
    batched: bool = True
    order: Tensor | None = None


def inputs_of(layer: Stack, given: Tensor | tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], bool]:
    """The inputs with a batch axis, and whether they had one."""
    names = layer.cell.inputs
    inputs = tuple(given) if isinstance(given, tuple | list) else (given,)
    check_features(layer, inputs, dims=(2, 3))
    batched = inputs[0].dim() == 3
    if not batched:
        axis = 0 if layer.batch_first else 1
        inputs = tuple(x.unsqueeze(0 if x.dim() == 1 else axis) for x in inputs)
    first = inputs[0]
    time = 1 if layer.batch_first else 0
    batch = first.shape[0 if layer.batch_first else 1]
    steady = []
    for x, name in zip(inputs[1:], names[1:], strict=True):
        shape = tuple(first.shape[:2]) if x.dim() == 3 else (batch,)
        if tuple(x.shape[:-1]) != shape:
            where = "time and batch" if x.dim() == 3 else "a batch of"
            raise arguments.wrong(f"input {name}", f"{where} {shape}", f"shape {tuple(x.shape)}")
        steady.append(x if x.dim() == 3 else x.unsqueeze(time).expand(*first.shape[:2], -1))
    return (first, *steady), batched


def check_features(layer: Stack, inputs: tuple[Tensor, ...], *, dims: tuple[int, ...]) -> None:
    """There is a tensor for each of the cell's inputs, of its size; `dims` are the first one's."""
    names = layer.cell.inputs
    if len(inputs) != len(names):
        listed = ", ".join(names)
        raise arguments.wrong("input", f"a tuple of {len(names)} tensors ({listed})", f"{len(inputs)}")
    weight = weight_of(layer)
    sizes = layer.input_size if isinstance(layer.input_size, tuple) else (layer.input_size,)
    for i, (x, name, size) in enumerate(zip(inputs, names, sizes, strict=True)):
        label = "input" if i == 0 else f"input {name}"
        arguments.check_input(x, label, size, weight.dtype, weight.device, dims=(1, 2, 3) if i else dims)


def weight_of(layer: nn.Module) -> Tensor:
    """A weight of the layer: its dtype and device are those of all."""
    for weight in layer._parameters.values():
        return weight  # pyright: ignore[reportReturnType]
    for weight in layer.parameters():  # where parametrisations hold all of them
        return weight
    return next(layer.buffers())  # where there are none


def check_step(layer: Stack, inputs: tuple[Tensor, ...]) -> None:
    """The inputs of one step: all (B, features), or all (features,)."""
    check_features(layer, inputs, dims=(1, 2))
    if any(x.dim() != inputs[0].dim() for x in inputs):
        shapes = [tuple(x.shape) for x in inputs]
        raise arguments.wrong("input", "every input (B, features), or every one (features,)", f"shapes {shapes}")


def call_of(layer: Stack, inputs: tuple[Tensor, ...], hx, lengths, reset, states, *, batched: bool) -> Call:
    """Everything else that was given, checked against the inputs."""
    batch = inputs[0].shape[0 if layer.batch_first else 1]
    lengths, reset, every = masks_of(inputs[0], lengths, reset, states, batched=batched, batch_first=layer.batch_first)
    began, past = start(layer, hx, inputs[0], batch, batched=batched)
    return Call(inputs, began, past, lengths, reset, every, batched)


def masks_of(
    x: Tensor, lengths, reset, states, *, batched: bool, batch_first: bool
) -> tuple[Tensor | None, Tensor | None, bool]:
    """(lengths, resets, whether every state is given), checked against an input's time and batch."""
    shape = x.shape[:2]
    steps, batch = (shape[1], shape[0]) if batch_first else shape
    if lengths is not None:
        lengths = arguments.check_lengths(lengths, batch, steps, x.device)
    if reset is not None:
        reset = arguments.check_reset(reset, tuple(shape) if batched else (steps,), x.device)
        reset = reset if batched else reset.unsqueeze(0 if batch_first else 1)
    if states not in (None, "all"):
        raise arguments.wrong("states", "None or 'all'", repr(states))
    return lengths, reset, states == "all"


def start(
    layer: Stack, hx: State | None, like: Tensor, batch: int, *, batched: bool
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """(states, past inputs) before the first step; without any what the layer begins with, and zeros."""
    rows = layer.num_layers * layer.directions
    depth, widths = layer.lookback
    past = tuple(like.new_zeros(depth, batch, width) for width in widths)
    if hx is None:
        return before_the_first_step(layer, like, batch), past
    sizes = layer.state_sizes
    names = list(sizes)
    shapes = [(rows, batch, size) if batched else (rows, size) for size in sizes.values()]
    if isinstance(hx, tuple | list) and len(hx) > len(names) and past:
        names += [f"inputs before, layer {k}" for k in range(len(widths))]
        shapes += [(depth, batch, width) if batched else (depth, width) for width in widths]
    elif past and isinstance(hx, tuple | list) and len(hx) == len(names) == 1:
        (hx,) = hx
    given = arguments.check_states(hx, tuple(names), shapes, like)
    given = given if batched else tuple(s.unsqueeze(1) for s in given)
    return given[: len(sizes)], given[len(sizes) :] or past


def one_or_all(states: tuple[Tensor, ...]) -> State:
    """A cell with one state gives a tensor, not a tuple."""
    return states if len(states) != 1 else states[0]
