"""A recurrent layer together with the state that it was left in, and which layers are run like that at the moment."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, is_autocast_enabled, nn

from . import arguments
from .call import State, start
from .steps import is_of, levels

if TYPE_CHECKING:
    from ..backends.cpu.stream import Carried
    from .stack import Stack

Inputs = Tensor | tuple[Tensor, ...]


class Carries(Protocol):
    """Who runs the recurrent layers inside a model, in place of the model."""

    def forward(self, layer: Stack, input, hx: State | None, **how) -> tuple: ...


class _Running(threading.local):
    stream: Carries | None = None


running = _Running()
"""What `Stack.forward` asks in each thread: whether somebody else carries its state."""


class carried_by:
    """Recurrent layers that are called meanwhile, in this thread, go through `stream`; None: by themselves."""

    __slots__ = ("before", "stream")

    def __init__(self, stream: Carries | None):
        self.stream = stream

    def __enter__(self) -> None:
        self.before, running.stream = running.stream, self.stream

    def __exit__(self, *error: object) -> None:
        running.stream = self.before


class evaluating:
    """Without derivatives, and in evaluation mode; modules that were training go on training behind it."""

    __slots__ = ("no_grad", "training")

    def __init__(self, modules: Sequence[nn.Module]):
        self.training = [m for m in modules if m.training]
        self.no_grad = torch.no_grad()

    def __enter__(self) -> None:
        self.no_grad.__enter__()
        for m in self.training:
            m.__dict__["training"] = False  # a module's own way of setting things takes a microsecond

    def __exit__(self, *error: object) -> None:
        for m in self.training:
            m.__dict__["training"] = True
        self.no_grad.__exit__(*error)


class Carrier:
    """A layer that is called without its state. The caller sees to evaluation mode and to `no_grad`."""

    def __init__(self, layer: Stack):
        self.layer = layer
        self._carried: Carried | None = None
        self._state: tuple[Tensor, ...] | None = None

    def __getstate__(self) -> dict:
        """What is copied and saved: kernels know where their buffers lie, so a copy makes its own."""
        return {"layer": self.layer, "_carried": None, "_state": self.state}

    @property
    def state(self) -> tuple[Tensor, ...] | None:
        """A copy of the state; None before the first step."""
        kept = self._kept()
        return None if kept is None else tuple(s.clone() for s in kept)

    @state.setter
    def state(self, state: State | None) -> None:
        self._carried = None
        self._state = None if state is None else tuple(s.detach().clone() for s in _as_tuple(state))

    def _kept(self) -> tuple[Tensor, ...] | None:
        return self._carried.states if self._carried else self._state

    # -- one step of a layer alone ---------------------------------------------------------------

    def prepared(self, x: object) -> Carried | None:
        """The kernels that go on in place with an input like this; None where the way is longer."""
        carried = self._carried
        if (
            carried is None
            or type(x) is not Tensor
            or x.shape != carried.shape
            or x.dtype is not carried.dtype
            or not x.is_contiguous()
        ):
            return None
        if is_autocast_enabled("cpu") or not is_of(carried.stepper, self.layer):
            return None
        return carried

    def step(self, input: Inputs) -> Tensor:
        """One step, (B, features) or (features,), in the layer's own way; the next one may be the kernels'."""
        self._check_batch(input)
        output, state = self.layer.step(input, self._kept())
        self._keep(input, state)
        return output

    # -- any number of steps -----------------------------------------------------------------------

    def over(self, input, hx: State | None = None, *, lengths=None, reset=None, states=None) -> tuple:
        """(output, state), as the layer would give them; hx is the state of a sequence that begins."""
        carried = self.prepared(input) if lengths is None and states is None else None
        if carried is not None and reset is not None:
            reset = arguments.check_reset(reset, tuple(input.shape[:-1]), input.device)
            self.forget(reset.flatten() if reset.dim() == 2 else reset[0])
            carried = self._carried  # one sequence alone has forgotten all of it
        if carried is None:
            return self._by_layer(input, hx, {"lengths": lengths, "reset": reset, "states": states})
        output = carried((input,))
        kept = carried.states  # written to by the next step, so what is given away is a copy
        return output, tuple([s.clone() for s in kept]) if len(kept) != 1 else kept[0].clone()

    def _by_layer(self, input, hx: State | None, how: dict) -> tuple:
        kept = self._kept()
        began = hx if kept is None else kept
        with carried_by(None):
            output, state = self.layer(input, began, **how)
            if how["states"] is None:
                self._keep(input, state)
                return output, _one_or_all(self.state)
            final = self.layer(input, began, **how | {"states": None})[1]  # every state was asked for, not the last
        self._keep(input, final)
        return output, state

    def _keep(self, input, state: State) -> None:
        """Go on from this state: in place, where the next step may be the kernels' alone."""
        self._carried, self._state = None, _as_tuple(state)
        if not isinstance(input, Tensor) or not input.is_contiguous() or not self._is_one_step(input):
            return
        if not is_autocast_enabled("cpu") and (found := levels(self.layer, input)) is not None:
            from ..backends.cpu.stream import Carried

            self._carried = Carried(found, (input,), tuple(s.contiguous().clone() for s in self._state))

    def _is_one_step(self, x: Tensor) -> bool:
        """Whether there are as many rows as sequences."""
        assert self._state is not None
        return 0 < x.shape[:-1].numel() == self._state[0].shape[1:-1].numel()

    def _check_batch(self, input: Inputs) -> None:
        kept, first = self._kept(), input[0] if isinstance(input, tuple | list) else input
        if kept is None or not isinstance(first, Tensor) or first.dim() not in (1, 2):
            return
        expected, got = tuple(kept[0].shape[1:-1]), tuple(first.shape[:-1])
        if expected != got:
            what = "one sequence, (features,)" if not expected else f"a batch of {expected[0]}, as the state has"
            raise arguments.wrong("input", what, f"shape {tuple(first.shape)}", "reset() begins new sequences")

    # -- forgetting ----------------------------------------------------------------------------------

    def forget(self, mask: Tensor | None = None) -> None:
        """The sequences where the mask is True, or all, begin again; the mask is (B,), or () for one sequence."""
        kept = self._kept()
        if mask is None or kept is None:
            if mask is None:
                self.state = None
            return
        expected = tuple(kept[0].shape[1:-1])
        if tuple(mask.shape) != expected:
            raise arguments.wrong("mask", f"shape {expected}, one for each sequence", f"shape {tuple(mask.shape)}")
        if not bool(mask.any()):
            return
        if not expected:
            self.state = None
            return
        states, past = start(self.layer, None, kept[0], expected[0], batched=True)
        for s, initial in zip(kept, (*states, *past), strict=True):
            s.copy_(torch.where(mask.to(s.device)[:, None], initial, s))


def _as_tuple(state: State) -> tuple[Tensor, ...]:
    return (state,) if isinstance(state, Tensor) else tuple(state)


def _one_or_all(state: tuple[Tensor, ...] | None) -> State:
    assert state is not None
    return state if len(state) != 1 else state[0]
