"""A vendor's call and what is inside it: the same call once more by kernels that can show it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from . import arguments, by_kernel, by_reference
from .call import Call, weight_of
from .choice import kernels_refuse
from .lens import ANCHOR

if TYPE_CHECKING:
    from .stack import Stack


def look_beside(layer: Stack, call: Call, output: Tensor, final: Sequence[Tensor]) -> None:
    """Run the call again under the layer's lenses; the vendor's results stay what they are.

    What backward brings to those results is handed on, so adjoints are those of the vendor's run.

    Raises:
        ValueError: a lens changes equations, or dropout draws masks that the vendor does not tell.
    """
    if any(lens.changes for lens in layer.lenses):
        remedy = "backend='cpu' or 'reference' runs changed equations"
        raise arguments.wrong("backend", "one that runs equations, while gw.clamp holds", "'vendor'", remedy)
    if layer.training and layer.dropout and layer.num_layers > 1:
        remedy = "call eval() first, or take backend='cpu'"
        raise arguments.wrong("backend", "one that tells its dropout masks, for gw.record", "'vendor'", remedy)
    run = by_reference.run if kernels_refuse(weight_of(layer)) else by_kernel.run
    groups = (call.inputs, call.states)
    inputs, states = (tuple(t.detach() for t in group) for group in groups)
    shown, ends = run(layer, call._replace(inputs=inputs, states=states))
    here = [t for t in (output, *final) if t.requires_grad]
    if not here or not any(lens.adjoints for lens in layer.lenses):
        return
    there = [t for t, own in zip((shown, *ends), (output, *final), strict=True) if own.requires_grad]

    def hand_on(grads: Sequence[Tensor | None]) -> None:
        pairs = [(t, g) for t, g in zip(there, grads, strict=True) if g is not None]
        torch.autograd.backward([t for t, _ in pairs], [g for _, g in pairs], inputs=[ANCHOR], retain_graph=True)

    torch.autograd.graph.register_multi_grad_hook(here, hand_on)
