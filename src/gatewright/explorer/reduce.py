"""Long sequences for a page: no more numbers travel than it has pixels."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


def array(values: Tensor) -> dict[str, Any]:
    """Many numbers for a page: shape, dtype and bytes, little endian, in base64.

    >>> array(torch.tensor([1.0, 2.0]))
    {'shape': [2], 'dtype': 'float32', 'base64': 'AACAPwAAAEA='}
    """
    numbers = np.ascontiguousarray(values.detach().cpu().float().numpy(), dtype="<f4")
    return {"shape": list(values.shape), "dtype": "float32", "base64": base64.b64encode(numbers.tobytes()).decode()}


def number(value: Any) -> float | None:
    """A number as JSON has it: None for NaN and the infinities."""
    found = float(value)
    return found if math.isfinite(found) else None


def numbers(values: Tensor) -> list[float | None]:
    """A few numbers, (N,)."""
    return [number(value) for value in values.detach().double().tolist()]


def finite(thing: Any) -> Any:
    """A tree of JSON values without NaN and the infinities."""
    if isinstance(thing, dict):
        return {key: finite(value) for key, value in thing.items()}
    if isinstance(thing, list | tuple):
        return [finite(value) for value in thing]
    return number(thing) if isinstance(thing, float) else thing


def bin_of(steps: int, width: int) -> int:
    """How many steps share a column, so that there are at most `width` columns."""
    return max(1, math.ceil(steps / width))


def binned(values: Tensor, width: int) -> Tensor:
    """Means over bins of the last axis: at most `width` columns; the last bin may be shorter.

    >>> binned(torch.arange(10.0).view(2, 5), 3)
    tensor([[0.5000, 2.5000, 4.0000],
            [5.5000, 7.5000, 9.0000]])
    """
    size = bin_of(values.shape[-1], width)
    if size == 1:
        return values
    whole = values.shape[-1] // size * size
    parts = [values[..., :whole].unflatten(-1, (-1, size)).mean(-1)]
    if whole < values.shape[-1]:
        parts.append(values[..., whole:].mean(-1, keepdim=True))
    return torch.cat(parts, -1)


def edges(values: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The least and the largest of every group of rows and bin of columns."""
    size = bin_of(values.shape[0], height), bin_of(values.shape[1], width)
    least = -F.max_pool2d(-values[None, None], size, ceil_mode=True)[0, 0]
    return least, F.max_pool2d(values[None, None], size, ceil_mode=True)[0, 0]


def history(values: Tensor, start: int, width: int) -> dict[str, list[Any]]:
    """One value over time, (steps,) from step `start`, as at most `width` bins with their least, largest and mean."""
    least, most = edges(values[None], 1, width)
    mean, size = binned(values, width), bin_of(len(values), width)
    return {
        "t": [start + k * size for k in range(len(mean))],
        "lo": numbers(least[0]),
        "hi": numbers(most[0]),
        "mean": numbers(mean),
    }


def thinned(values: Sequence[float], points: int) -> list[float | None]:
    """At most `points` of a curve, its ends among them."""
    if len(values) <= points:
        return [number(value) for value in values]
    return [number(values[round(k * (len(values) - 1) / (points - 1))]) for k in range(points)]
