"""A call of a layer, checked, and what will run it: by a few looks where it is like the one before."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ..backends.cpu.operators import is_direct
from .call import Call, State, call_of, inputs_of, masks_of, weight_of
from .choice import choose
from .initial import before_the_first_step

if TYPE_CHECKING:
    from .stack import Stack


class _Kind(NamedTuple):
    """What decides, beside the weights, on the kernels as what runs a call, and on the states that it begins with."""

    features: int
    batch: int
    dtype: torch.dtype
    backend: str


class Ready:
    """The states that the last call by the kernels began with: constants, which nobody writes to.

    They are no part of a layer that is copied or saved.
    """

    def __init__(self) -> None:
        self._last: tuple[_Kind, tuple[Tensor, ...]] | None = None

    def __deepcopy__(self, memo: dict) -> Ready:
        return Ready()

    def __reduce__(self):
        return Ready, ()

    def call(self, layer: Stack, input, hx: State | None, lengths, reset, states) -> tuple[Call, str]:
        """(the call, the name of the backend that runs it); raises where an argument is wrong."""
        usual = hx is None and type(input) is Tensor and input.dim() == 3 and input.is_cpu and is_direct((input,))
        if not usual:
            return _checked(layer, input, hx, lengths, reset, states)
        x: Tensor = input
        weight, last = weight_of(layer), self._last
        kind = _Kind(x.shape[2], x.shape[0 if layer.batch_first else 1], x.dtype, layer.backend)
        if last is not None and last[0] == kind and weight.dtype is x.dtype and weight.is_cpu:
            where = {"batched": True, "batch_first": layer.batch_first}
            return Call((x,), last[1], (), *masks_of(x, lengths, reset, states, **where)), "cpu"
        call, name = _checked(layer, x, None, lengths, reset, states)
        if name == "cpu" and not (layer.learned or layer.looks_back) and weight.dtype is x.dtype:
            with torch.inference_mode(False):  # what is kept may be in a graph later on
                self._last = kind, before_the_first_step(layer, x, kind.batch)
        return call, name


def _checked(layer: Stack, input, hx: State | None, lengths, reset, states) -> tuple[Call, str]:
    inputs, batched = inputs_of(layer, input)
    call = call_of(layer, inputs, hx, lengths, reset, states, batched=batched)
    return call, choose(layer, inputs[0], reset=reset is not None, every=call.every).name
