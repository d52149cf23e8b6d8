"""What a layer may be called with: every mistake is named with argument, expected, got and remedy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ..backends.cpu.tables import bounds
from ..backends.vendor import in_transform


def wrong(argument: str, expected: str, got: object, remedy: str = "") -> ValueError:
    """The error about an argument."""
    return ValueError(f"{argument}: expected {expected}, got {got}" + (f"; {remedy}" if remedy else ""))


def check_input(
    x: object, name: str, size: int, dtype: torch.dtype, device: torch.device, *, dims: tuple[int, ...]
) -> None:
    """An input: a tensor of the weights' dtype and device, its features last."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(x).__name__}")
    if x.dim() not in dims:
        raise wrong(name, f"{' or '.join(map(str, dims))} dimensions, {_LAYOUTS[dims]}", f"shape {tuple(x.shape)}")
    if x.shape[-1] != size:
        raise wrong(name, f"{size} features in the last dimension", f"{x.shape[-1]} (shape {tuple(x.shape)})")
    if x.dtype != dtype and not _autocast(x):
        raise wrong(name, f"dtype {dtype}, as the weights have", x.dtype, "convert one of them with .to(…)")
    if x.device != device:
        raise wrong(name, f"device {device}, where the weights are", x.device, "move one of them with .to(…)")


_LAYOUTS = {
    (2, 3): "(T, features) for one sequence or (T, B, features)",
    (1, 2, 3): "(features,), (B, features) or one for every step",
    (1, 2): "(features,) for one sequence or (B, features)",
    (2,): "(steps, features) in a PackedSequence",
}


def _autocast(x: Tensor) -> bool:
    return torch.is_autocast_enabled(x.device.type)


def check_lengths(lengths: object, batch: int, steps: int, device: torch.device) -> Tensor:
    """(B,) whole numbers from 0 to T, as a tensor on the layer's device."""
    if isinstance(lengths, Sequence) and all(hasattr(n, "__index__") for n in lengths):
        lengths = torch.tensor(lengths, dtype=None if lengths else torch.int64)
    if not isinstance(lengths, Tensor):
        raise TypeError(f"lengths: expected a tensor or a list of whole numbers, got {lengths!r}")
    if lengths.dtype.is_floating_point or lengths.dtype.is_complex or lengths.dtype == torch.bool:
        raise wrong("lengths", "whole numbers (torch.int64)", lengths.dtype)
    if lengths.dim() == 0 and batch == 1:
        lengths = lengths.reshape(1)
    if lengths.shape != (batch,):
        raise wrong(
            "lengths",
            f"one for each of the {batch} sequences, shape ({batch},)",
            f"shape {tuple(lengths.shape)}",
        )
    lengths = lengths.to(device, torch.int64)
    if batch and not _traced():
        low, high = bounds(lengths.cpu())
        if low < 0:
            raise wrong("lengths", "numbers from 0", f"{low} for sequence {int(lengths.argmin())}")
        if high > steps:
            where = f"{high} for sequence {int(lengths.argmax())}"
            raise wrong("lengths", f"at most the input's {steps} steps", where, "is batch_first what you mean?")
    return lengths


def _traced() -> bool:
    """Whether the numbers of a tensor cannot be looked at: under vmap, or while a program is exported."""
    return torch.compiler.is_compiling() or in_transform()


def check_reset(reset: object, shape: tuple[int, ...], device: torch.device) -> Tensor:
    """True where a new episode starts, laid out like the input's time and batch axes."""
    if not isinstance(reset, Tensor):
        raise TypeError(f"reset: expected a boolean tensor, got {type(reset).__name__}")
    if reset.dtype != torch.bool:
        raise wrong("reset", "a boolean tensor", reset.dtype, "reset.bool() makes one of 0 and 1")
    if tuple(reset.shape) != shape:
        raise wrong("reset", f"shape {shape}, as the input's time and batch", f"shape {tuple(reset.shape)}")
    return reset.to(device)


def check_states(
    states: object, names: tuple[str, ...], shapes: list[tuple[int, ...]], like: Tensor
) -> tuple[Tensor, ...]:
    """One tensor for a cell with one state, else a tuple of them in the cell's order; dtype and device as `like`."""
    given = (states,) if len(names) == 1 and isinstance(states, Tensor) else states
    listed = ", ".join(names)
    if not isinstance(given, tuple | list) or not all(isinstance(s, Tensor) for s in given):
        form = f"a tensor ({listed})" if len(names) == 1 else f"a tuple of {len(names)} tensors ({listed})"
        got = type(states).__name__
        parts = f" of {', '.join(type(s).__name__ for s in given)}" if isinstance(given, tuple | list) else ""
        raise TypeError(f"state: expected {form}, got {got}{parts}")
    if len(given) != len(names):
        raise wrong("state", f"{len(names)} tensors ({listed})", len(given))
    for state, name, shape in zip(given, names, shapes, strict=True):
        if tuple(state.shape) != shape:
            raise wrong(f"state {name}", f"shape {shape}", f"shape {tuple(state.shape)}")
        if state.dtype != like.dtype and not _autocast(like):
            raise wrong(f"state {name}", f"dtype {like.dtype}, as the input has", state.dtype, "convert it with .to(…)")
        if state.device != like.device:
            raise wrong(f"state {name}", f"device {like.device}, where the input is", state.device)
    return tuple(given)


def check_size(name: str, value: object, least: int = 1) -> int:
    """A whole number."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}: expected a whole number, got {value!r}")
    if value < least:
        raise wrong(name, f"at least {least}", value)
    return value


def check_flag(name: str, value: object) -> bool:
    """True or False."""
    if not isinstance(value, bool):
        raise wrong(name, "True or False", repr(value))
    return value


def check_number(name: str, value: object, expected: str = "a finite number", low: float = -math.inf) -> float:
    """A finite number from `low`; `expected` says so."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name}: expected {expected}, got {value!r}")
    if not (math.isfinite(value) and value >= low):
        raise wrong(name, expected, value)
    return value


def check_tensor(name: str, value: object) -> Tensor:
    """A tensor."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(value).__name__}")
    return value


def check_generator(generator: object) -> None:
    """None, or a generator of random numbers."""
    if generator is not None and not isinstance(generator, torch.Generator):
        raise TypeError(f"generator: expected None or a torch.Generator, got {generator!r}")


def check_place(layers: int, directions: int, layer: object, reverse: object, grad: object) -> None:
    """The number of a layer, whether the reverse direction is meant, and whether gradients are."""
    check_flag("reverse", reverse)
    check_flag("grad", grad)
    if isinstance(layer, bool) or not isinstance(layer, int):
        raise TypeError(f"layer: expected a whole number, got {layer!r}")
    if not 0 <= layer < layers:
        raise wrong("layer", f"0 to {layers - 1}", layer)
    if reverse and directions == 1:
        raise wrong("reverse", "False", True, "this layer has one direction")


def check_asked(input: object, states: object) -> None:
    """What `backend_for` is asked about."""
    check_tensor("input", input)
    if states not in (None, "all"):
        raise wrong("states", "None or 'all'", repr(states))


def check_sizes(sizes: object) -> dict[str, int]:
    """The sizes of a cell's own widths by name; the layer checks each."""
    if sizes is not None and not isinstance(sizes, Mapping):
        raise TypeError(f"sizes: expected a dict of sizes by the widths' names, got {sizes!r}")
    return dict(sizes or {})


def check_device(device: object) -> torch.device | None:
    """None, or a device of torch."""
    if device is None or isinstance(device, torch.device):
        return device
    try:
        return torch.device(device)  # pyright: ignore[reportArgumentType]
    except (RuntimeError, TypeError):
        raise TypeError(f"device: expected a device of torch, as 'cpu' or 'cuda:0', got {device!r}") from None


def weight(shape: Sequence[int], dtype: object, device: object) -> nn.Parameter:
    """A weight that is yet to begin, of a dtype and on a device that were given."""
    if dtype is not None and not isinstance(dtype, torch.dtype):
        raise TypeError(f"dtype: expected a torch.dtype, got {dtype!r}")
    if dtype is not None and not dtype.is_floating_point:
        raise wrong("dtype", "one of real numbers (torch.float32, torch.float64, torch.bfloat16, …)", dtype)
    return nn.Parameter(torch.empty(shape, dtype=dtype, device=check_device(device)))
