"""What runs under `torch.autocast`: which products may round, and what a layer says of it."""

from __future__ import annotations

import torch


def halves(weight: torch.Tensor) -> bool:
    """Whether the CPU's kernels may round what products multiply to bfloat16: autocast asks for it, and the weights
    are float32. Sums, states and all else stay in float32.
    """
    return (
        torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") == torch.bfloat16
        and weight.dtype == torch.float32
    )


def told(weight: torch.Tensor) -> str:
    """What `layer.backend_for(x)` adds where the CPU's kernels run under autocast."""
    if not halves(weight):
        return ""
    least = _least()
    if least is None:
        return "; products in float32 under autocast too: this processor has none of bfloat16"
    return f"; products of bfloat16 under autocast where an operand has {least} units or more, states in float32"


def _least() -> int | None:
    """From how many units on products multiply bfloat16; None where this processor has no such product."""
    from ..backends.cpu import halves, target  # llvmlite is imported where the first layer runs

    return halves.LEAST if halves.has_halves(target.host(), "float") else None


# As in `choice`: torch.compile takes the answer as it is, and does not look into LLVM.
_least._dynamo_marked_constant = True  # pyright: ignore[reportFunctionMemberAccess]
