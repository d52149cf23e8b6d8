"""Long sequences of a linear cell: our kernel against parallel scans over time, as torch can say them.

minGRU is c_t = a_t ⊙ c_{t−1} + b_t, whose a and b see inputs alone. Its paper computes it in log space, with
`logcumsumexp`; the other classic is doubling: ⌈log₂ T⌉ rounds, in each of which every step takes in the step 1, 2, 4, …
before it (Hillis and Steele, Data parallel algorithms, 1986). Both make a and b for all steps at once, as we do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional

import gatewright as gw

from .shapes import Shape, agree, everywhere, module_side, side
from .timing import Line, Race, Side

SHAPES = tuple({"B": B, "T": T, "I": H, "H": H} for T, H, B in product((1_000, 10_000, 100_000), (8, 16, 64), (1, 2)))
LINES = (
    Line("minGRU in log space / kernel", "log space", "kernel", peer=True),
    Line("minGRU by doubling / kernel", "doubling", "kernel", peer=True),
)
EXACT = 1_000
"""Steps in which all sides agree."""
Recurrence = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Every state, from log a, log (1 − a) and the candidates."""


def scan(shapes: Iterable[Shape] = SHAPES) -> Iterator[Race]:
    """Inference, and forward and backward with all gradients."""
    for shape, mode in everywhere(shapes):
        yield Race("scan", shape, mode, partial(_minimal, shape, mode), LINES)


def _minimal(shape: Shape, mode: str) -> dict[str, Side]:
    layer = gw.Recurrent("mingru", shape["I"], shape["H"], backend="cpu")
    x = torch.randn(shape["T"], shape["B"], shape["I"], requires_grad=True)
    sides = {"log space": partial(_by_torch, layer, x, in_log_space), "doubling": partial(_by_torch, layer, x, doubled)}
    # in log space float32 loses digits as log a is added up: 5e-4 after 10,000 steps
    agree(lambda: layer(x)[0][:EXACT], *(lambda call=call: call()[:EXACT] for call in sides.values()))
    leaves = [x, *layer.parameters()]
    theirs = {name: side(mode, call, leaves) for name, call in sides.items()}
    return {"kernel": module_side(mode, layer, x), **theirs}


def _by_torch(layer: gw.Recurrent, x: Tensor, recurrence: Recurrence) -> Tensor:
    """The layer's equations with its weights; the first state is 0."""
    z, n = functional.linear(x, *layer.parameters()).chunk(2, -1)  # the rows of W and b are z's, then n's
    return recurrence(-functional.softplus(z), -functional.softplus(-z), n)


def in_log_space(keep: Tensor, take: Tensor, candidate: Tensor) -> Tensor:
    """The paper's form, Appendix B; what is negative in the candidates has a sum of its own."""
    before = keep.cumsum(0)

    def summed(part: Tensor) -> Tensor:
        return (before + torch.logcumsumexp(take + part.clamp(min=0).log() - before, 0)).exp()

    return summed(candidate) - summed(-candidate)


def doubled(keep: Tensor, take: Tensor, candidate: Tensor) -> Tensor:
    """After round k every step knows what the last 2ᵏ steps do to any state."""
    a, c, reach = keep.exp(), take.exp() * candidate, 1
    while reach < len(c):
        c = torch.cat([c[:reach], torch.addcmul(c[reach:], a[reach:], c[:-reach])])
        a = torch.cat([a[:reach], a[reach:] * a[:-reach]])
        reach *= 2
    return c
