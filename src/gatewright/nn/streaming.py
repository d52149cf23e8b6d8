"""Single steps without derivatives: straight to the kernels, past everything that a step does not need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, is_autocast_enabled, is_grad_enabled
from torch.autograd import forward_ad
from torch.nn import Parameter

if TYPE_CHECKING:
    from ..backends.cpu.stream import Carried, Level, Stepper
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
        levels = _levels(layer, inputs[0])
        if levels is None:
            return None
        from ..backends.cpu.stream import Stepper

        stepper = Stepper(levels, inputs, states)
        while len(self._kept) >= KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[inputs[0].shape] = stepper
        return stepper


def _levels(layer: Stack, x: Tensor) -> list[Level] | None:
    """The layers of a stack as the kernels take them; None where a step is not theirs alone."""
    if not _is_plain(layer, x):
        return None
    from ..backends.cpu.kernel import kernel_for
    from ..backends.cpu.stream import Level

    real = {torch.float32: "float", torch.float64: "double"}[x.dtype]
    programs = [layer.programs[False, k, 0, False, False] for k in range(layer.num_layers)]
    weights = [tuple(layer._tensors(k, "").values()) for k in range(layer.num_layers)]
    return [Level(kernel_for(p, real), w) for p, w in zip(programs, weights, strict=True)]


class Stream:
    """A layer that carries its own state from step to step: `stream(x)` gives the output of one more step.

    Without derivatives, in the layer's evaluation mode, and fast: nothing is allocated but the output.

    Args:
        layer: a recurrent layer with one direction.

    >>> import gatewright as gw, torch
    >>> stream = gw.Stream(gw.LSTM(3, 5))
    >>> for x in torch.randn(4, 3):  # (features,), or (B, features)
    ...     y = stream(x)
    >>> y.shape, [s.shape for s in stream.state]
    (torch.Size([5]), [torch.Size([1, 5]), torch.Size([1, 5])])
    """

    def __init__(self, layer: Stack):
        if layer.bidirectional:
            raise ValueError("Stream: a layer with two directions sees a sequence's end first; call it on sequences")
        self.layer = layer
        self._carried: Carried | None = None
        self._state: tuple[Tensor, ...] | None = None

    @property
    def state(self) -> tuple[Tensor, ...] | None:
        """A copy of the state, as `layer.step` takes it; None before the first step. Setting it goes on from there."""
        kept = self._carried.states if self._carried else self._state
        return None if kept is None else tuple(s.clone() for s in kept)

    @state.setter
    def state(self, state: Tensor | tuple[Tensor, ...] | None) -> None:
        self._carried = None
        given = (state,) if isinstance(state, Tensor) else state
        self._state = None if given is None else tuple(s.detach().clone() for s in given)

    def reset(self) -> None:
        """Forget: the next step starts from the initial state."""
        self.state = None

    def __call__(self, input: Tensor | tuple[Tensor, ...]) -> Tensor:
        """One step of (B, features), or (features,): the output, (B, units) or (units,)."""
        carried = self._carried
        if carried is not None and type(input) is Tensor and self._goes_on(carried, input):
            return carried((input,))
        return self._by_step(input)

    def _goes_on(self, carried: Carried, x: Tensor) -> bool:
        same = x.shape == carried.shape and x.dtype is carried.dtype and x.is_contiguous()
        return same and carried.stepper.identities == list(map(id, self.layer._parameters.values()))

    def _by_step(self, input: Tensor | tuple[Tensor, ...]) -> Tensor:
        """One step in the layer's own way, after which the state may be carried in place."""
        layer, training = self.layer, self.layer.training
        state = self.state
        with torch.no_grad():
            layer.eval()
            try:
                output, new = layer.step(input, state)
            finally:
                layer.train(training)
        self._carried, self._state = None, new if isinstance(new, tuple) else (new,)
        if isinstance(input, Tensor) and input.is_contiguous() and (levels := _levels(layer, input)) is not None:
            from ..backends.cpu.stream import Carried

            self._carried = Carried(levels, (input,), tuple(s.contiguous() for s in self._state))
        return output


def _is_random(layer: Stack) -> bool:
    return bool(layer.dropout) or layer.regularisers.draws


def _is_plain(layer: Stack, x: Tensor) -> bool:
    """Whether a step of this layer is the kernels' alone: nothing is looked back at, and weights are plain."""
    if layer.looks_back or len(layer._parameters) != len(layer._stored_names):  # some are parametrised
        return False
    weights = list(layer._parameters.values())
    if not all(type(w) is Parameter and w.is_contiguous() and w.dtype is x.dtype for w in weights):
        return False
    return x.dtype in (torch.float32, torch.float64) and layer.backend_for(x).name == "cpu"
