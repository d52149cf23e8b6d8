"""Cross-entropy of a large vocabulary, a block of the logits at a time.

The logits of 700 places and 10,000 words are 28 MB, and a dozen passes over them cost more than the arithmetic. Here
a block of rows stays in the cache: its logits, its loss and its gradients are made before the next block is begun,
so no more than a block is ever in memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from jaxtyping import Float, Int64

__all__ = ["LARGE", "linear_cross_entropy"]

LARGE = 1 << 22  # logits from which blocks are faster
BLOCK = 1 << 22  # logits in a block


def linear_cross_entropy(
    x: Float[Tensor, "N H"], weight: Float[Tensor, "V H"], bias: Float[Tensor, " V"], targets: Int64[Tensor, " N"]
) -> Float[Tensor, ""]:
    """Mean of −ln softmax(x Wᵀ + b) at the targets, in nats; the same as `cross_entropy(linear(x, weight, bias))`.

    x: (N, H). weight: (V, H). bias: (V,). targets: (N,), each below V. Under autocast the products are made in its
    dtype, everything else in float32. It has a first derivative alone.

    >>> import torch
    >>> x, weight, bias, y = torch.randn(6, 4), torch.randn(9, 4), torch.zeros(9), torch.arange(6)
    >>> whole = torch.nn.functional.cross_entropy(x @ weight.T + bias, y)
    >>> torch.allclose(linear_cross_entropy(x, weight, bias, y), whole)
    True
    """
    if x.shape[0] * weight.shape[0] < LARGE:
        logits = F.linear(x, weight, bias)
        return F.cross_entropy(logits if logits.dtype == torch.float64 else logits.float(), targets)
    kind = x.device.type
    narrow = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
    return _Blocks.apply(x, weight, bias, targets, narrow)


class _Blocks(torch.autograd.Function):
    """Loss and gradients in one sweep: backward has nothing left to do but to scale them."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, narrow: torch.dtype | None) -> Any:
        with torch.autocast(x.device.type, enabled=False):
            return _sweep(ctx, x, weight, bias, targets, narrow)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        dx, dw, db = ctx.saved_tensors
        return dx * grads[0], dw * grads[0], db * grads[0], None, None


def _sweep(
    ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, narrow: torch.dtype | None
) -> Float[Tensor, ""]:
    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    matrix = weight.to(narrow or weight.dtype)
    inputs = x.to(matrix.dtype)
    wanted = any(ctx.needs_input_grad)
    dx, dw, db = torch.empty_like(x), torch.zeros_like(weight, dtype=wide), torch.zeros_like(bias, dtype=wide)
    total = torch.zeros((), dtype=wide, device=x.device)
    count, rows = x.shape[0], max(1, BLOCK // weight.shape[0])
    for start in range(0, count, rows):
        block = slice(start, start + rows)
        logits, goal = (inputs[block] @ matrix.T).to(wide).add_(bias), targets[block, None]
        top = logits.amax(1, keepdim=True)
        at_goal = logits.gather(1, goal)
        masses = logits.sub_(top).exp_()  # in place: from here on the block holds probabilities, then the gradient
        mass = masses.sum(1, keepdim=True)
        total += (mass.log() + top - at_goal).sum()
        if wanted:
            slope = masses.div_(mass).scatter_add_(1, goal, torch.full_like(at_goal, -1.0))
            db += slope.sum(0)
            slope = slope.to(matrix.dtype)
            dx[block] = slope @ matrix
            dw += slope.T @ inputs[block]
    if wanted:
        ctx.save_for_backward(dx.div_(count), dw.div_(count).to(weight.dtype), db.div_(count).to(bias.dtype))
    return total / count
