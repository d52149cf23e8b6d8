"""A vendor's call and what is inside it: the same call once more by kernels that can show it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from . import arguments, by_kernel, by_reference
from .call import Call, weight_of
from .choice import kernels_refuse
from .lens import ANCHOR, unseen

if TYPE_CHECKING:
    from .stack import Stack

Found = tuple[Tensor, tuple[Tensor, ...]]


def looked_beside(layer: Stack, call: Call, by_vendor: Callable[[Call], Found]) -> Found:
    """What the vendor gives for a call, which runs again under the layer's lenses; its results stay what they are.

    What backward brings to those results is handed on, so adjoints are those of the vendor's run.

    Raises:
        ValueError: dropout draws masks that the vendor does not tell.
    """
    if layer.training and layer.dropout and layer.num_layers > 1:
        remedy = "call eval() first, or take backend='cpu' or 'reference'"
        raise arguments.wrong("backend", "one that tells its dropout masks, for gw.record", "'vendor'", remedy)
    with unseen:
        output, final = by_vendor(call)
    run = by_reference.run if kernels_refuse(weight_of(layer)) else by_kernel.run
    groups = (call.inputs, call.states)
    inputs, states = (tuple(t.detach() for t in group) for group in groups)
    shown, ends = run(layer, call._replace(inputs=inputs, states=states))
    if not torch.is_grad_enabled() or not any(lens.adjoints for lens in layer.lenses):
        return output, final

    def hand_on(grads: Sequence[Tensor | None]) -> None:
        pairs = [(t, g) for t, g in zip((shown, *ends), grads, strict=True) if g is not None]
        torch.autograd.backward([t for t, _ in pairs], [g for _, g in pairs], inputs=[ANCHOR], retain_graph=True)

    output, *final = _Told.apply(ANCHOR, hand_on, output, *final)
    return output, tuple(final)


class _Told(torch.autograd.Function):
    """Copies, whose gradients are told and go on. They are always asked for, as those of zeros are."""

    @staticmethod
    def forward(ctx, anchor, give, *tensors):  # noqa: ARG004
        ctx.set_materialize_grads(False)
        ctx.give = give
        return tuple(t.clone() for t in tensors)

    @staticmethod
    def backward(ctx, *grads):
        ctx.give(tuple(g if g is None else g.detach() for g in grads))
        return None, None, *grads
