"""Single steps without derivatives: straight to the kernels, past everything that a step does not need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, is_autocast_enabled, is_grad_enabled
from torch.autograd import forward_ad
from torch.nn import Parameter

if TYPE_CHECKING:
    from ..backends.cpu.stream import Stepper
    from .stack import Stack

KEPT = 16  # shapes of inputs
RUNS_HERE = ("auto", "cpu")
_transform = torch._C._functorch.peek_interpreter_stack  # pyright: ignore[reportAttributeAccessIssue]


class Steps:
    """A layer's prepared steps, by the shape of the input. They are no part of a layer that is copied or saved."""

    def __init__(self) -> None:
        self._kept: dict[torch.Size, Stepper] = {}

    def __deepcopy__(self, memo: dict) -> Steps:
        return Steps()

    def __reduce__(self):
        return Steps, ()

    def step(self, layer: Stack, inputs: tuple[Tensor, ...], states: tuple[Tensor, ...]) -> list[Tensor] | None:
        """[output, new states]; None where a call needs more than that."""
        if is_grad_enabled() or (layer.training and _is_random(layer)) or layer.backend not in RUNS_HERE:
            return None
        if torch.compiler.is_compiling() or _transform() is not None or forward_ad._current_level >= 0:
            return None
        if is_autocast_enabled("cpu"):
            return None
        stepper = self._kept.get(inputs[0].shape)
        if stepper is None or stepper.identities != list(map(id, layer._parameters.values())):
            stepper = self._prepared(layer, inputs, states)
            if stepper is None:
                return None
        return stepper(inputs, states) if stepper.takes(inputs, states) else None

    def _prepared(self, layer: Stack, inputs: tuple[Tensor, ...], states: tuple[Tensor, ...]) -> Stepper | None:
        if not _is_plain(layer, inputs[0]):
            return None
        from ..backends.cpu.kernel import kernel_for
        from ..backends.cpu.stream import Level, Stepper

        real = {torch.float32: "float", torch.float64: "double"}[inputs[0].dtype]
        programs = [layer.programs[False, k, 0, False, False] for k in range(layer.num_layers)]
        weights = [tuple(layer._tensors(k, "").values()) for k in range(layer.num_layers)]
        levels = [Level(kernel_for(p, real), w) for p, w in zip(programs, weights, strict=True)]
        stepper = Stepper(levels, inputs, states)
        while len(self._kept) >= KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[inputs[0].shape] = stepper
        return stepper


def _is_random(layer: Stack) -> bool:
    return bool(layer.dropout) or layer.regularisers.refusals[True] is not None


def _is_plain(layer: Stack, x: Tensor) -> bool:
    """Whether a step of this layer is the kernels' alone: nothing is looked back at, and weights are plain."""
    if layer.looks_back or len(layer._parameters) != len(layer._stored_names):  # some are parametrised
        return False
    weights = list(layer._parameters.values())
    if not all(type(w) is Parameter and w.is_contiguous() and w.dtype is x.dtype for w in weights):
        return False
    return x.dtype in (torch.float32, torch.float64) and layer.backend_for(x).name == "cpu"
