"""What becomes of the outputs of two directions: side by side, their sum, or their mean."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from . import arguments

MERGES = ("concat", "sum", "mean")


def check_merge(merge: object) -> str:
    """One of `MERGES`."""
    if isinstance(merge, str) and merge in MERGES:
        return merge
    raise arguments.wrong("merge", f"one of {', '.join(map(repr, MERGES))}", repr(merge))


def merged_width(width: int, directions: int, merge: str) -> int:
    """The features of the output of so many directions of this width."""
    return width * directions if merge == "concat" else width


def merged(outputs: Sequence[Tensor], merge: str) -> Tensor:
    """The output of one layer from those of its directions, each (T, B, width)."""
    if len(outputs) == 1:
        return outputs[0]
    if merge == "concat":
        return torch.cat(tuple(outputs), -1)
    forward, reverse = outputs
    both = forward + reverse
    return both if merge == "sum" else both / 2
