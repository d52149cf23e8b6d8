"""A layer by the reference, while `torch.compile` looks on."""

from __future__ import annotations

from torch import Tensor

from ..backends.cpu.op import Found
from ..backends.operator import reference
from ..plan.program import Program
from . import by_kernel
from .initial import learned
from .walk import Pass, Passed


def direction(given: Pass) -> Passed:
    """One layer in one direction, as one operator that holds the equations."""
    layer, k, d = given.layer, given.k, given.d
    inputs, kept = by_kernel._looking_back(given) if layer.looks_back else (given.inputs, [])
    tensors = layer._tensors(k, layer._suffixes[d])
    if given.draw is not None:
        tensors = layer.regularisers.dropped(tensors, layer._layers[k].layout, given.draw)
    weights = (*tensors.values(), *(learned(layer, k, d) if given.reset is not None else ()))
    program = layer.programs[layer.training, k, d, given.every, given.reset is not None]
    seed = None if given.draw is None else given.draw.seed
    how = {"lengths": given.lengths, "reset": given.reset, "seed": seed, "reverse": d == 1}
    y, final, every, _ = run(program, inputs, weights, given.states, **how)
    return y, list(every if given.every else final), kept, []


def run(
    program: Program,
    inputs: tuple[Tensor, ...],
    weights: tuple[Tensor, ...],
    states: tuple[Tensor, ...],
    *,
    lengths: Tensor | None = None,
    reset: Tensor | None = None,
    seed: Tensor | None = None,
    reverse: bool = False,
) -> Found:
    """What the kernels' `op.run` gives, by the reference."""
    tensors = list(inputs), list(weights), list(states)
    y, *found = reference(program.text, *tensors, lengths, reset, seed, reverse)
    n = len(states)
    return y, tuple(found[:n]), tuple(found[n:]), ()
