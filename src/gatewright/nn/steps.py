"""Single steps without derivatives: straight to the kernels, past everything that a step does not need."""

from __future__ import annotations

from operator import is_
from typing import TYPE_CHECKING

import torch
from torch import Tensor, is_grad_enabled, nn
from torch.autograd import forward_ad
from torch.compiler import is_compiling
from torch.nn import Parameter

if TYPE_CHECKING:
    from ..backends.cpu.stream import Level, Stepper
    from .ensemble import Ensemble
    from .stack import Stack

KEPT = 16  # shapes of inputs
RUNS_HERE = ("auto", "cpu")
_is_autocast = torch._C._is_any_autocast_enabled
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
        if is_grad_enabled() or is_compiling() or layer.backend not in RUNS_HERE:
            return None
        if (layer.training and _is_random(layer)) or _is_autocast() or _transform() is not None:
            return None
        if forward_ad._current_level >= 0:
            return None
        stepper = self._kept.get(inputs[0].shape)
        if stepper is None or not is_of(stepper.weights, layer):
            stepper = self._prepared(layer, inputs, states)
            if stepper is None:
                return None
        return stepper(inputs, states)

    def _prepared(self, layer: Stack, inputs: tuple[Tensor, ...], states: tuple[Tensor, ...]) -> Stepper | None:
        found = levels(layer, inputs[0])
        if found is None:
            return None
        from ..backends.cpu.stream import Stepper

        stepper = Stepper(found, inputs, states)
        while len(self._kept) >= KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[inputs[0].shape] = stepper
        return stepper


def is_of(weights: tuple[Tensor, ...], layer: nn.Module) -> bool:
    """Whether a step was prepared for the very weights that the layer has; learned states stand behind them."""
    own = layer._parameters
    return len(own) >= len(weights) and all(map(is_, weights, own.values()))


def levels(layer: Stack, x: Tensor) -> list[Level] | None:
    """The layers of a stack as the kernels take them; None where a step is not theirs alone."""
    if not _is_plain(layer, layer, x):
        return None
    return _levels(layer, [tuple(layer._tensors(k, "").values()) for k in range(layer.num_layers)], x)


def levels_of_many(ensemble: Ensemble, x: Tensor) -> list[Level] | None:
    """The same of an ensemble: a level has the weights of all networks, (n, …) each."""
    if not _is_plain(ensemble.layer, ensemble, x):
        return None
    weights = [tuple(ensemble.stored(k, False).values()) for k in range(ensemble.layer.num_layers)]
    return _levels(ensemble.layer, weights, x)


def _levels(layer: Stack, weights: list[tuple[Tensor, ...]], x: Tensor) -> list[Level]:
    from ..backends.cpu.kernel import kernel_for
    from ..backends.cpu.stream import Level

    real = {torch.float32: "float", torch.float64: "double"}[x.dtype]
    programs = [layer.programs[False, k, 0, False, False] for k in range(layer.num_layers)]
    return [Level(kernel_for(p, real), w) for p, w in zip(programs, weights, strict=True)]


def _is_random(layer: Stack) -> bool:
    return bool(layer.dropout) or layer.regularisers.draws


def _is_plain(layer: Stack, owner: Stack | Ensemble, x: Tensor) -> bool:
    """Whether a step is the kernels' alone: nothing is looked back at, and the owner's weights are plain."""
    if layer.looks_back or any(name not in owner._parameters for name in layer._stored_names):  # some are parametrised
        return False
    weights = [owner._parameters[name] for name in layer._stored_names]
    if not all(type(w) is Parameter and w.is_contiguous() and w.dtype is x.dtype for w in weights):
        return False
    return x.dtype in (torch.float32, torch.float64) and owner.backend_for(x).name == "cpu"
