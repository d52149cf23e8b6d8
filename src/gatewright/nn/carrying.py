"""A recurrent layer together with the state that it was left in, and which layers are run like that at the moment."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, is_autocast_enabled, nn

from . import arguments
from .call import State
from .lens import unseen
from .steps import is_of

if TYPE_CHECKING:
    from ..backends.cpu.stream import Carried
    from ..backends.cpu.stream_many import CarriedMany
    from .carried_layers import Form, Layer

Inputs = Tensor | tuple[Tensor, ...]


class Carries(Protocol):
    """Who runs the recurrent layers inside a model, in place of the model."""

    def forward(self, layer: Layer, input, hx: State | None, **how) -> tuple: ...


class _Running(threading.local):
    stream: Carries | None = None


running = _Running()
"""What a recurrent layer asks in each thread when it is called: whether somebody else carries its state."""


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

    __slots__ = ("grad", "training")

    def __init__(self, modules: Sequence[nn.Module]):
        self.training = [m for m in modules if m.training]

    def __enter__(self) -> None:
        self.grad = torch.is_grad_enabled()
        torch._C._set_grad_enabled(False)  # what torch.no_grad does, at a third of its time
        for m in self.training:
            m.__dict__["training"] = False  # a module's own way of setting things takes a microsecond

    def __exit__(self, *error: object) -> None:
        for m in self.training:
            m.__dict__["training"] = True
        torch._C._set_grad_enabled(self.grad)


class Carrier:
    """A layer that is called without its state. The caller sees to evaluation mode and to `no_grad`."""

    def __init__(self, form: Form):
        self.form, self.layer = form, form.layer
        self._carried: Carried | CarriedMany | None = None
        self._way = ""
        self._state: tuple[Tensor, ...] | None = None

    def __getstate__(self) -> dict:
        """What is copied and saved: kernels know where their buffers lie, so a copy makes its own."""
        return {"form": self.form, "layer": self.layer, "_carried": None, "_way": "", "_state": self.state}

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

    def prepared(self, x: object, way: str) -> Carried | CarriedMany | None:
        """The kernels that go on in place with an input like this; None where the way is longer.

        way: "step" without an axis of time, "chunk" with one of a single step: a shape does not tell which.
        """
        carried = self._carried
        if (
            carried is None
            or type(x) is not Tensor
            or x.shape != carried.shape
            or x.dtype is not carried.dtype
            or way != self._way
            or not x.is_contiguous()
        ):
            return None
        if is_autocast_enabled("cpu") or not is_of(carried.weights, self.layer) or self.form.watched():
            return None
        return carried

    def step(self, input: Inputs) -> Tensor:
        """One step, as the layer's own `step` takes it; the next one may be the kernels'."""
        self._check_batch(input)
        output, state = self.layer.step(input, self._kept())
        self._keep(input, state, "step")
        return output

    # -- any number of steps -----------------------------------------------------------------------

    def over(self, input, hx: State | None = None, *, lengths=None, reset=None, states=None) -> tuple:
        """(output, state), as the layer would give them; hx is the state of a sequence that begins."""
        carried = self.prepared(input, "chunk") if lengths is None and states is None else None
        if carried is not None and reset is not None:
            mask = self._mask_of(reset)
            if mask is None:
                carried = None  # the layer says what is wrong with it
            else:
                self.forget(mask)
        if carried is None:
            return self._by_layer(input, hx, {"lengths": lengths, "reset": reset, "states": states})
        output = carried((input,))
        kept = carried.states  # written to by the next step, so what is given away is a copy
        return output, tuple([s.clone() for s in kept]) if len(kept) != 1 else kept[0].clone()

    def _mask_of(self, reset: object) -> Tensor | None:
        """The resets of a single step as a mask of sequences; None where they are no such thing."""
        kept = self._kept()
        if kept is None or not isinstance(reset, Tensor) or reset.dtype != torch.bool:
            return None
        for shape in self.form.masks(kept):
            if reset.dim() == len(shape) + 1 and reset.numel() == prod(shape):
                return reset.reshape(shape)
        return None

    def _by_layer(self, input, hx: State | None, how: dict) -> tuple:
        kept = self._kept()
        began = hx if kept is None else _one_or_all(kept)
        with carried_by(None):
            output, state = self.layer(input, began, **how)
            if how["states"] is None:
                self._keep(input, state, "chunk")
                return output, _one_or_all(self.state)
            with unseen:
                final = self.layer(input, began, **how | {"states": None})[1]  # every state was asked for, not the last
        self._keep(input, final, "chunk")
        return output, state

    def _keep(self, input, state: State, way: str) -> None:
        """Go on from this state: in place, where the next step may be the kernels' alone."""
        self._carried, self._state = None, _as_tuple(state)
        if not isinstance(input, Tensor) or not input.is_contiguous() or is_autocast_enabled("cpu"):
            return
        step = input.squeeze(self.form.time_in(input)) if way == "chunk" else input
        if self.form.rows(step) != self.form.sequences(self._state[0]) or not step.numel() or self.form.watched():
            return
        states = tuple(s.contiguous().clone() for s in self._state)
        self._carried, self._way = self.form.in_place(input, step, states), way

    def _check_batch(self, input: Inputs) -> None:
        kept, first = self._kept(), input[0] if isinstance(input, tuple | list) else input
        if kept is None or not isinstance(first, Tensor) or (got := self.form.rows(first)) is None:
            return
        expected = self.form.sequences(kept[0])
        if expected != got:
            what = f"a batch of {expected[0]}, as the state has" if expected else self.form.alone
            raise arguments.wrong("input", what, f"shape {tuple(first.shape)}", "reset() begins new sequences")

    # -- forgetting ----------------------------------------------------------------------------------

    def forget(self, mask: Tensor | None = None) -> None:
        """The sequences where the mask is True, or all, begin again; the mask is (B,), or () for one sequence."""
        kept = self._kept()
        if mask is None or kept is None:
            if mask is None:
                self.state = None
            return
        shapes = self.form.masks(kept)
        if tuple(mask.shape) not in shapes:
            expected = " or ".join(f"shape {s}" for s in shapes)
            raise arguments.wrong("mask", f"{expected}, one for each sequence", f"shape {tuple(mask.shape)}")
        if not bool(mask.any()):
            return
        mask = mask.to(kept[0].device)
        if not self.form.sequences(kept[0]):  # as a batch of one
            mask, kept = mask.unsqueeze(-1), tuple(s.unsqueeze(self.form.batch) for s in kept)
        for s, initial in zip(kept, self.form.beginning(kept), strict=True):
            s.copy_(torch.where(self.form.spread(mask, s), initial, s))


def _as_tuple(state: State) -> tuple[Tensor, ...]:
    return (state,) if isinstance(state, Tensor) else tuple(state)


def _one_or_all(state: tuple[Tensor, ...] | None) -> State:
    assert state is not None
    return state if len(state) != 1 else state[0]
