"""What a model takes and gives: tensors, and tuples, lists and dicts of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor


def mapped(change: Callable[[Tensor], Tensor], value: Any) -> Any:
    """The same structure of tuples, lists and dicts with every tensor changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(mapped(change, v) for v in value))
    if isinstance(value, tuple | list):
        return type(value)(mapped(change, v) for v in value)
    if isinstance(value, dict):
        return {key: mapped(change, v) for key, v in value.items()}
    return value


def leaves(value: Any) -> list[Tensor]:
    """The tensors in a structure, in the order of `mapped`."""
    return list(_leaves(value))


def _leaves(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for v in value:
            yield from _leaves(v)
    elif isinstance(value, dict):
        for v in value.values():
            yield from _leaves(v)


def axis_of_time(one: Tensor, two: Tensor) -> int | None:
    """The axis that is 1 for one step and 2 for two; None where a model gives no time."""
    grown = [k for k, (n, m) in enumerate(zip(one.shape, two.shape, strict=True)) if n != m]
    if len(grown) > 1 or any(one.shape[k] != 1 for k in grown):
        shapes = f"{tuple(one.shape)} for one step and {tuple(two.shape)} for two"
        raise ValueError(f"Stream: expected an output with one axis of time, got {shapes}")
    return grown[0] if grown else None


def compare(step: Tensor, whole: Tensor, what: str, t: int) -> None:
    """Equal but for rounding."""
    exact = not whole.dtype.is_floating_point
    allowed = 0.0 if exact else ROUNDING.get(whole.dtype, 0.05) * float(whole.abs().nan_to_num().amax().clamp(min=1))
    if not torch.allclose(step, whole, rtol=0, atol=allowed, equal_nan=True):
        by = float((step.double() - whole.double()).abs().max())
        raise ValueError(
            f"check: expected the same from steps as from the whole; {what} differs by {by:.2g} at step {t}; "
            "something in the model but its recurrent layers looks along time"
        )


ROUNDING = {torch.float64: 1e-9, torch.float32: 1e-4}
"""How much of the largest value steps and the whole may differ: products are added up in another order."""
