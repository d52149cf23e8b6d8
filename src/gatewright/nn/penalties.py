"""Penalties on a layer's outputs, to be added to a loss (S. Merity, B. McCann and R. Socher, Revisiting activation
regularization for language RNNs, 2017).

    activation            α · mean(h_t²)
    temporal activation   β · mean((h_t − h_{t−1})²)

The paper writes norms; the means of squares are what its authors' code has, and do not grow with T, B or H.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from . import arguments
from .sequences import inside

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

    Lengths = Int[Tensor, " B"] | Sequence[int] | None


def activation(
    y: Float[Tensor, "T B H"], alpha: float | Tensor, *, lengths: Lengths = None, batch_first: bool = False
) -> Float[Tensor, ""]:
    """α · mean(h²) over all units of all valid steps: it keeps activations small.

    Args:
        y: outputs (T, B, features), (B, T, features) with `batch_first`, or (T, features) for one sequence. The paper
            takes those after dropout.
        alpha: the weight α, a number from 0; AWD-LSTM has 2.
        lengths: (B,); steps behind the ends count for nothing. Default: all count.

    Returns:
        a number; 0 where no step is valid.

    >>> import gatewright as gw, torch
    >>> y = torch.tensor([[[1.0, 3.0]], [[2.0, 0.0]]])
    >>> gw.penalties.activation(y, 2.0), gw.penalties.activation(y, 2.0, lengths=[1])
    (tensor(7.), tensor(10.))
    """
    _check_weight("alpha", alpha)
    arguments.check_flag("batch_first", batch_first)
    y = _time_first(y, batch_first)
    valid = None if lengths is None else _valid(y, lengths)
    return alpha * _mean_square(y if valid is None else _chosen(y, valid), valid)


def temporal_activation(
    y: Float[Tensor, "T B H"],
    beta: float | Tensor,
    *,
    lengths: Lengths = None,
    reset: Bool[Tensor, "T B"] | None = None,
    batch_first: bool = False,
) -> Float[Tensor, ""]:
    """β · mean((h_t − h_{t−1})²) over all units of all steps but the first of each sequence: it keeps changes small.

    Args:
        y: outputs (T, B, features), (B, T, features) with `batch_first`, or (T, features) for one sequence. The paper
            takes those before dropout.
        beta: the weight β, a number from 0; AWD-LSTM has 1.
        lengths: (B,); a change counts where both of its steps are valid. Default: all count.
        reset: True where an episode starts, laid out like y's time and batch: a change across a start does not count.

    Returns:
        a number; 0 where there is no change to count.

    >>> import gatewright as gw, torch
    >>> y = torch.tensor([[[1.0, 3.0]], [[2.0, 3.0]], [[9.0, 9.0]]])
    >>> gw.penalties.temporal_activation(y, 1.0, lengths=[2])
    tensor(0.5000)
    """
    _check_weight("beta", beta)
    arguments.check_flag("batch_first", batch_first)
    single = isinstance(y, Tensor) and y.dim() == 2
    if reset is not None:
        shape = tuple(y.shape[: 1 if single else 2])
        reset = arguments.check_reset(reset, shape, y.device)
        reset = reset.unsqueeze(-1) if single else reset.T if batch_first else reset
    y = _time_first(y, batch_first)
    valid = None if lengths is None else _valid(y, lengths)[1:]
    if reset is not None:
        valid = ~reset[1:] if valid is None else valid & ~reset[1:]
    now, before = y[1:], y[:-1]
    if valid is not None:  # before they meet: inf − inf of the padding would have a gradient of NaN
        now, before = _chosen(now, valid), _chosen(before, valid)
    return beta * _mean_square(now - before, valid)


def _chosen(y: Tensor, valid: Tensor) -> Tensor:
    return torch.where(valid.unsqueeze(-1), y, 0.0)


def _mean_square(y: Tensor, valid: Tensor | None) -> Tensor:
    """Of the valid steps, (T, B) or all; what is not valid is 0 in y. 0 where there is none."""
    count = y.numel() if valid is None else valid.sum() * y.shape[-1]
    return y.square().sum() / (max(1, count) if isinstance(count, int) else count.clamp(min=1))


def _time_first(y: Tensor, batch_first: bool) -> Tensor:
    """(T, B, features)."""
    if not isinstance(y, Tensor):
        raise TypeError(f"y: expected a tensor, a layer's output, got {type(y).__name__}")
    if y.dim() not in (2, 3):
        layout = "(B, T, features)" if batch_first else "(T, B, features)"
        raise arguments.wrong("y", f"{layout} or (T, features)", f"shape {tuple(y.shape)}")
    if y.dim() == 2:
        return y.unsqueeze(1)
    return y.transpose(0, 1) if batch_first else y


def _valid(y: Tensor, lengths: Int[Tensor, " B"] | Sequence[int]) -> Bool[Tensor, "T B"]:
    return inside(y.shape[0], arguments.check_lengths(lengths, y.shape[1], y.shape[0], y.device))


def _check_weight(name: str, weight: object) -> None:
    if isinstance(weight, Tensor):
        return
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        raise TypeError(f"{name}: expected a number, got {weight!r}")
    if not 0 <= weight < float("inf"):
        raise arguments.wrong(name, "a number from 0", weight)
