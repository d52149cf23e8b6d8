"""Sequences of several lengths in one tensor: masks, last outputs, and padding on the other side.

Sequences lie in (T, B, …), or (B, T, …) with `batch_first`. A layer takes `lengths`, with the padding behind each
sequence's end. Everything here is by selection: nothing of the padding reaches a result or a gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from . import arguments

if TYPE_CHECKING:
    from jaxtyping import Bool, Int

    Lengths = Int[Tensor, " B"] | Sequence[int]

SIDES = ("right", "left")


def mask(lengths: Lengths, steps: int | None = None, *, batch_first: bool = False) -> Bool[Tensor, "T B"]:
    """True where a step is inside its sequence.

    Args:
        lengths: (B,), from 0 to T.
        steps: T; default the longest length.
        batch_first: (B, T) rather than (T, B).

    >>> import gatewright as gw
    >>> gw.sequences.mask([3, 1], batch_first=True)
    tensor([[ True,  True,  True],
            [ True, False, False]])
    """
    arguments.check_flag("batch_first", batch_first)
    if steps is None:
        steps = max((int(n) for n in lengths), default=0)
    if not isinstance(steps, torch.SymInt):  # while a program is exported
        arguments.check_size("steps", steps, least=0)
    found = inside(steps, _checked(lengths, None, steps, None))
    return found.T if batch_first else found


def inside(steps: int, lengths: Int[Tensor, " B"]) -> Bool[Tensor, "T B"]:
    """`mask` of lengths that have been checked."""
    return torch.arange(steps, device=lengths.device).unsqueeze(-1) < lengths


def lengths_of(mask: Bool[Tensor, "T B"], *, padding: str = "right", batch_first: bool = False) -> Int[Tensor, " B"]:
    """How long each sequence is, from a mask that is True inside it.

    Args:
        mask: (T, B), or (B, T) with `batch_first`; its valid steps lie together at one end.
        padding: the side on which the padding lies: "right", behind the end, or "left", before the start.

    Raises:
        ValueError: a sequence has padding elsewhere; the message says which, and at which step.

    >>> import gatewright as gw, torch
    >>> gw.sequences.lengths_of(torch.tensor([[True, True, False], [False, False, False]]), batch_first=True)
    tensor([2, 0])
    """
    _check_side(padding)
    arguments.check_flag("batch_first", batch_first)
    if not isinstance(mask, Tensor):
        raise TypeError(f"mask: expected a boolean tensor, got {type(mask).__name__}")
    if mask.dtype != torch.bool:
        raise arguments.wrong("mask", "a boolean tensor", mask.dtype, "mask.bool() makes one of 0 and 1")
    if mask.dim() != 2:
        layout = "(B, T)" if batch_first else "(T, B)"
        raise arguments.wrong("mask", f"two dimensions, {layout}", f"shape {tuple(mask.shape)}")
    valid = mask.T if batch_first else mask
    if not arguments._traced():
        _check_together(valid, padding)
    return valid.sum(0)


def _check_side(padding: str) -> None:
    if padding not in SIDES:
        raise arguments.wrong("padding", "'right' or 'left'", repr(padding))


def _check_together(valid: Tensor, padding: str) -> None:
    """No valid step has padding between itself and the end of the time axis at which sequences stand."""
    near, far = (valid[:-1], valid[1:]) if padding == "right" else (valid[1:], valid[:-1])
    broken = far & ~near
    if not broken.any():
        return
    t, b = (int(i) for i in broken.nonzero()[0])
    step = t + 1 if padding == "right" else t
    remedy = "is batch_first what you mean?"
    if padding == "right" and not (near & ~far).any():
        remedy = "it is padded on the left: padding='left', and from_left_padding for what a layer is given"
    got = f"step {step} of sequence {b} beyond padding"
    raise arguments.wrong("mask", f"all padding on the {padding}", got, remedy)


def from_left_padding(
    x: Tensor, lengths: Lengths | Bool[Tensor, "T B"], *, batch_first: bool = False, padding_value: float = 0
) -> Tensor:
    """Move every sequence from the end of the time axis to its start, as layers take it with `lengths`.

    Args:
        x: (T, B, …) of any dtype, or (B, T, …); tokens are (T, B).
        lengths: (B,), or the mask (T, B), (B, T) with `batch_first`, that is True inside the sequences.
        padding_value: what stands behind the ends.

    Returns:
        the same shape. The lengths that belong to a mask are `lengths_of(mask, padding="left")`.

    >>> import gatewright as gw, torch
    >>> tokens = torch.tensor([[0, 0, 7], [4, 5, 6]])
    >>> gw.sequences.from_left_padding(tokens, [1, 3], batch_first=True)
    tensor([[7, 0, 0],
            [4, 5, 6]])
    """
    counts = _lengths_for(x, lengths, "left", batch_first)
    steps = x.shape[1 if batch_first else 0]
    t = torch.arange(steps, device=x.device).unsqueeze(-1)
    return _moved(x, t + (steps - counts), t < counts, batch_first, padding_value)


def to_left_padding(
    x: Tensor, lengths: Lengths | Bool[Tensor, "T B"], *, batch_first: bool = False, padding_value: float = 0
) -> Tensor:
    """Move every sequence to the end of the time axis: `from_left_padding` the other way round.

    Args:
        x: (T, B, …) of any dtype, or (B, T, …).
        lengths: (B,), or the mask of x, True inside the sequences.
        padding_value: what stands before the starts.

    >>> import gatewright as gw, torch
    >>> gw.sequences.to_left_padding(torch.tensor([[7, 0, 0], [4, 5, 6]]), [1, 3], batch_first=True)
    tensor([[0, 0, 7],
            [4, 5, 6]])
    """
    counts = _lengths_for(x, lengths, "right", batch_first)
    steps = x.shape[1 if batch_first else 0]
    source = torch.arange(steps, device=x.device).unsqueeze(-1) - (steps - counts)
    return _moved(x, source, source >= 0, batch_first, padding_value)


def _moved(x: Tensor, source: Tensor, valid: Tensor, batch_first: bool, padding_value: float) -> Tensor:
    """x at the steps `source` (T, B), where `valid`; the padding value elsewhere."""
    if not isinstance(padding_value, bool | int | float):
        raise TypeError(f"padding_value: expected a number, got {padding_value!r}")
    time = 1 if batch_first else 0
    if batch_first:
        source, valid = source.T, valid.T
    behind = (*source.shape, *(1,) * (x.dim() - 2))
    index = source.clamp(min=0, max=max(0, x.shape[time] - 1)).reshape(behind)
    return torch.where(valid.reshape(behind), x.gather(time, index.expand(x.shape)), padding_value)


def last(
    y: Tensor, lengths: Lengths | None = None, *, bidirectional: bool = False, batch_first: bool = False
) -> Tensor:
    """The output at each sequence's last valid step: (B, features).

    Args:
        y: a layer's output, (T, B, features), (B, T, features) or, for one sequence, (T, features). Images
            (T, B, C, …) may stand for features.
        lengths: (B,), from 0 to T; default T for all. What has length 0 gives 0.
        bidirectional: the features are those of two directions, side by side. The reverse one ends at the first
            step: its half is taken from there.

    A layer's final state is the same where the output is a state, layer by layer; this is for every output.

    >>> import gatewright as gw, torch
    >>> layer = gw.GRU(3, 5, bidirectional=True)
    >>> y, h = layer(torch.randn(7, 2, 3), lengths=[7, 4])
    >>> torch.equal(gw.sequences.last(y, [7, 4], bidirectional=True), torch.cat([h[0], h[1]], -1))
    True
    """
    _check_sequences("y", y, batch_first)
    arguments.check_flag("bidirectional", bidirectional)
    if y.dim() == 2:
        given = torch.as_tensor(lengths).reshape(-1) if lengths is not None else None
        return last(y.unsqueeze(1), given, bidirectional=bidirectional).squeeze(0)
    y = y.transpose(0, 1) if batch_first else y
    if bidirectional and y.shape[2] % 2:
        raise arguments.wrong("y", "an even number of features, those of two directions", y.shape[2])
    steps, batch = y.shape[:2]
    counts = y.new_full((batch,), steps, dtype=torch.int64)
    if lengths is not None:
        counts = _checked(lengths, batch, steps, y.device)
    if not steps:
        return y.new_zeros(y.shape[1:])
    valid = (counts > 0).reshape(-1, *(1,) * (y.dim() - 2))
    forward, *reverse = y.chunk(2, 2) if bidirectional else (y,)
    index = (counts - 1).clamp(min=0).reshape(1, *valid.shape).expand(1, *forward.shape[1:])
    ends = [forward.gather(0, index).squeeze(0), *(half[0] for half in reverse)]
    return torch.where(valid, torch.cat(ends, 1) if reverse else ends[0], 0.0)


# -- what was given ------------------------------------------------------------------------------------------


def _check_sequences(name: str, x: object, batch_first: bool) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(x).__name__}")
    arguments.check_flag("batch_first", batch_first)
    if x.dim() < 2:
        layout = "(B, T, …)" if batch_first else "(T, B, …)"
        raise arguments.wrong(name, f"at least two dimensions, {layout}", f"shape {tuple(x.shape)}")


def _lengths_for(x: Tensor, given: Lengths | Tensor, padding: str, batch_first: bool) -> Tensor:
    """(B,): the lengths of sequences x, from lengths or a mask."""
    _check_sequences("x", x, batch_first)
    batch, steps = x.shape[:2] if batch_first else (x.shape[1], x.shape[0])
    if isinstance(given, Tensor) and given.dtype == torch.bool:
        if given.shape != x.shape[:2]:
            shape = tuple(x.shape[:2])
            raise arguments.wrong("lengths", f"a mask of shape {shape}, as x has", f"shape {tuple(given.shape)}")
        given = lengths_of(given, padding=padding, batch_first=batch_first)
    return _checked(given, batch, steps, x.device)


def _checked(lengths: Lengths, batch: int | None, steps: int, device: torch.device | None) -> Tensor:
    """Lengths as a tensor of int64; without a batch as many as there are."""
    if isinstance(lengths, Tensor):
        device = lengths.device if device is None else device
        batch = lengths.numel() if batch is None else batch
    elif isinstance(lengths, Sequence) and batch is None:
        batch = len(lengths)
    return arguments.check_lengths(lengths, batch or 0, steps, device or torch.device("cpu"))
