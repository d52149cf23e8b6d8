"""How gradients flow through time, and which inputs an output depends on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..nn import arguments
from .memory import one_track
from .record import record
from .tape import Track

METHODS = ("gradient", "gradient_x_input", "integrated")


def gradient_flow(tape: record | Track, name: str) -> Tensor:
    """|∂loss/∂h_t| at every step: the norm over units, averaged over the sequences that are that long; (T,), float64.

    A flow that falls step by step towards the start vanishes, one that rises explodes: Hochreiter (1991); Bengio,
    Simard and Frasconi (1994); Pascanu, Mikolov and Bengio (2013). In training and in evaluation alike.

    Args:
        tape: recorded with `grad=True` or `grad=[name]`, after `loss.backward()`.
        name: of a value, mostly a state.

    >>> import gatewright as gw, torch
    >>> layer = gw.RNN(3, 8)
    >>> with gw.record(layer, grad=True) as tape:
    ...     y, _ = layer(torch.randn(30, 4, 3))
    >>> y[-1].sum().backward()  # a loss at the last step
    >>> flow = gw.inside.gradient_flow(tape, "h")
    >>> flow.shape, bool(flow[0] < 0.01 * flow[-1])
    (torch.Size([30]), True)
    """
    track = one_track(tape)
    if name not in track.grad:
        known = ", ".join(track.grad) or "none"
        remedy = "record with grad=True, and call backward first"
        raise arguments.wrong("name", f"a value with a recorded adjoint: {known}", repr(name), remedy)
    run = track.last
    norms, valid = run.grad[name].double().norm(dim=-1), run.valid.to(run.grad[name].device)
    if norms.dim() == 1:
        return norms
    if run._layout.batch_first:
        norms, valid = norms.T, valid.T
    return (norms * valid).sum(1) / valid.sum(1).clamp_min(1)


def sensitivity(
    model: nn.Module,
    inputs: Tensor,
    target: Callable[[Any], Tensor] | None = None,
    *,
    method: str = "gradient",
    baseline: Tensor | float = 0.0,
    steps: int = 32,
    at: nn.Module | None = None,
) -> Tensor:
    """How much an output depends on the input at each step: one number a step, laid out as the input without features.

    Training mode or evaluation mode, on every backend: the model runs as it is.

    Args:
        model: any module.
        inputs: what it is called with, (T, B, I) or (B, T, I); tokens, where `at` is an embedding.
        target: from what the model gives to the number that is explained, (B,) or a scalar; default the sum of the
            output at the last step of a sequence-first output.
        method: "gradient", the norm of ∂target/∂x_t (saliency: Simonyan, Vedaldi and Zisserman 2014; over time the
            "connectivity" of Madsen 2019); "gradient_x_input", its product with x_t, signed; "integrated", integrated
            gradients (Sundararajan, Taly and Yan 2017), signed: they add up to target(x) − target(baseline).
        baseline: where integrated gradients begin; a number, or a tensor like the input.
        steps: how many points their integral is taken at.
        at: a module of the model; what it gives takes the place of the input: an embedding.

    >>> import gatewright as gw, torch
    >>> layer, x = gw.LSTM(3, 8), torch.randn(20, 2, 3)
    >>> found = gw.inside.sensitivity(layer, x, lambda found: found[0][-1].sum())
    >>> found.shape, bool(found[-1].sum() > found[0].sum())  # the last input matters more than the first
    (torch.Size([20, 2]), True)
    """
    if method not in METHODS:
        raise arguments.wrong("method", " or ".join(map(repr, METHODS)), repr(method))
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
        raise arguments.wrong("steps", "a positive number of points", repr(steps))
    explained = _Explained(model, inputs, target or _last, at)
    x = explained.x
    if method == "integrated":
        start = torch.as_tensor(baseline, dtype=x.dtype, device=x.device).expand_as(x)
        points = (torch.arange(steps, dtype=x.dtype) + 0.5) / steps  # the middle rule: no end is counted twice
        total = sum(explained.gradient(start + p * (x - start)) for p in points.tolist())
        return ((x - start) * total / steps).sum(-1)
    gradient = explained.gradient(x)
    return (gradient * x).sum(-1) if method == "gradient_x_input" else gradient.norm(dim=-1)


def _last(found: Any) -> Tensor:
    output = found[0] if isinstance(found, tuple | list) else found
    return output[-1].sum()


class _Explained:
    """A model as a function of its input, or of what one of its modules gives."""

    def __init__(self, model: nn.Module, inputs: Tensor, target: Callable[[Any], Tensor], at: nn.Module | None):
        self.model, self.inputs, self.target, self.at = model, inputs, target, at
        if at is None and not inputs.is_floating_point():
            remedy = "at=model.embedding explains tokens"
            raise arguments.wrong("inputs", "floating-point numbers", str(inputs.dtype), remedy)
        self.x = inputs.detach() if at is None else self._given_by(at)

    def _given_by(self, at: nn.Module) -> Tensor:
        found: list[Any] = []
        handle = at.register_forward_hook(lambda _module, _args, output: found.append(output))
        try:
            with torch.no_grad():
                self.model(self.inputs)
        finally:
            handle.remove()
        if len(found) != 1 or not isinstance(found[0], Tensor) or not found[0].is_floating_point():
            raise ValueError("at: expected a module that the model calls once, and that gives a tensor of real numbers")
        return found[0].detach()

    def gradient(self, x: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            if self.at is None:
                found = self.model(x)
            else:
                handle = self.at.register_forward_hook(lambda _module, _args, _output: x)
                try:
                    found = self.model(self.inputs)
                finally:
                    handle.remove()
            value = self.target(found)
            if not isinstance(value, Tensor) or not value.requires_grad:
                raise ValueError("target: expected a number that depends on the input, as a tensor with a gradient")
            return torch.autograd.grad(value.sum(), x)[0]
