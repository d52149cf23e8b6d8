"""Finding what went wrong in a model."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from ..backends.vendor import in_transform
from ..graph import Graph
from . import arguments
from .call import Call, call_of, inputs_of
from .carrying import running
from .convolution import ConvRecurrent
from .ensemble import Ensemble
from .origin import LAYER, first_fault, not_finite
from .stack import Stack

ACTIONS = ("raise", "warn")
Recurrent = Stack | Ensemble | ConvRecurrent


class check_finite:  # it is called like a function, and used in `with`, as `torch.no_grad` is
    """Watch the recurrent layers of a model: the first NaN or infinity is named with its place and its origin.

    It watches from the call on, until the end of a `with` block or `.remove()`. Where an output or a final state of a
    layer is not finite, the same call runs again by the reference, step by step, and the message says in which
    layer, direction, step, sequence, equation and unit the first one arose, and from which values: of an input, of a
    state that was given, of a weight, or finite ones. An infinity with which a state begins (the −∞ of an sLSTM's
    stabiliser) is none. As long as all is finite, a call costs one look at its results.

    Of a `gw.Ensemble`, a `gw.ConvRecurrent` and a layer inside a `gw.Stream(model)` the place in the results is said
    alone. Calls inside `torch.compile` and `torch.func` are not looked at, since there are no numbers to look at, nor
    is a `gw.Stream(layer)`, which calls no module.

    Args:
        model: a recurrent layer, or any module that has some.
        action: "raise" raises `FloatingPointError`; "warn" gives the same text as a `RuntimeWarning`, once for each
            call of a layer.

    Raises:
        ValueError, TypeError: an argument is wrong, or the model has no recurrent layer of this package.

    >>> import gatewright as gw, torch
    >>> layer = gw.Recurrent("mgu", 3, 5)
    >>> x = torch.zeros(7, 2, 3)
    >>> x[4, 1, 2] = torch.nan
    >>> with gw.debug.check_finite(layer):
    ...     y, h = layer(x)
    Traceback (most recent call last):
    FloatingPointError: check_finite: nan in layer 0 of Recurrent(mgu, 3, 5), at step 4 of 7, sequence 1:
      the input x_t is nan at feature 2
    """

    def __init__(self, model: nn.Module, *, action: str = "raise"):
        if not isinstance(model, nn.Module):
            raise TypeError(f"model: expected an nn.Module, got {type(model).__name__}")
        if action not in ACTIONS:
            raise arguments.wrong("action", "'raise' or 'warn'", repr(action))
        self.action = action
        self.names: dict[nn.Module, str] = {m: name for name, m in model.named_modules() if isinstance(m, Recurrent)}
        if not self.names:
            remedy = "gw.replace makes some of torch's"
            raise arguments.wrong("model", "a module with recurrent layers of gatewright", type(model).__name__, remedy)
        self._generators: dict[nn.Module, Tensor] = {}
        self._handles = [m.register_forward_pre_hook(self._before) for m in self.names if isinstance(m, Stack)]
        self._handles += [m.register_forward_hook(self._behind, with_kwargs=True) for m in self.names]

    def remove(self) -> None:
        """Stop watching."""
        while self._handles:
            self._handles.pop().remove()

    def __enter__(self) -> check_finite:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def _before(self, layer: nn.Module, _: tuple) -> None:
        """What is drawn in a call can be drawn again."""
        assert isinstance(layer, Stack)
        if layer.training and (layer.dropout or layer.regularisers.draws) and _has_numbers():
            self._generators[layer] = torch.get_rng_state()

    def _behind(self, layer: nn.Module, args: tuple, kwargs: dict[str, Any], results: Any) -> None:
        generator = self._generators.pop(layer, None)
        if not _has_numbers() or not any(_faults(layer, *found).any() for found in _tensors(layer, results)):
            return
        name = self.names[layer]
        what = f"{layer}" + (f", {name!r} of the model" if name else "")
        text = "check_finite: " + _explained(layer, what, args, kwargs, results, generator)
        if self.action == "raise":
            raise FloatingPointError(text)
        warnings.warn(text, RuntimeWarning, stacklevel=2)


def _has_numbers() -> bool:
    return not torch.compiler.is_compiling() and not in_transform()


def _tensors(layer: nn.Module, results: Any) -> Iterator[tuple[str | None, Tensor]]:
    """The output, and the states with their names."""
    output, states = results
    yield None, output.data if isinstance(output, PackedSequence) else output
    names = [s.name for s in _equations(layer).states]
    states = states if isinstance(states, tuple) else (states,)
    yield from zip(names, states, strict=False)  # behind the states there may be inputs, which come from outside


def _equations(layer: nn.Module) -> Graph:
    assert isinstance(layer, Recurrent)
    return layer.layer.equations if isinstance(layer, Ensemble) else layer.equations


def _faults(layer: nn.Module, state: str | None, values: Tensor) -> Tensor:
    begins = next((s.initial for s in _equations(layer).states if s.name == state), 0.0)
    return not_finite(values, begins)


def _explained(
    layer: nn.Module, what: str, args: tuple, kwargs: dict[str, Any], results: Any, generator: Tensor | None
) -> str:
    if isinstance(layer, Stack):
        if weights := list(_bad_weights(layer)):
            return f"weights of {what} are not finite:\n  " + "\n  ".join(weights)
        if running.stream is None and (found := _again(layer, args, kwargs, generator)) is not None:
            return found.replace(LAYER, what)
    for state, values in _tensors(layer, results):
        if (faults := _faults(layer, state, values)).any():
            at = tuple(faults.nonzero()[0].tolist())
            where = "the output" if state is None else f"the final state {state}"
            return f"{values[at].item():g} in {where} of {what}, first at {list(at)} of shape {tuple(values.shape)}"
    raise AssertionError("something was not finite a moment ago")


def _bad_weights(layer: Stack) -> Iterator[str]:
    for k in range(layer.num_layers):
        for reverse in (False, True)[: layer.directions]:
            for name, weight in layer.weights(k, reverse).items():
                if len(bad := (~weight.isfinite()).nonzero()):
                    at = tuple(bad[0].tolist())
                    where = f"{name} of layer {k}" + ", reverse direction" * reverse
                    yield f"{where} is {weight[at].item():g} at {list(at)} ({len(bad)} of {weight.numel()} elements)"


@torch.no_grad()
def _again(layer: Stack, args: tuple, kwargs: dict[str, Any], generator: Tensor | None) -> str | None:
    """The same call by the reference, with the same random numbers; what it says of the first fault."""
    call = _call(layer, *args, **{name: value for name, value in kwargs.items() if name != "states"})
    with torch.random.fork_rng(devices=[], enabled=generator is not None):
        if generator is not None:
            torch.set_rng_state(generator)
        return first_fault(layer, call)


def _call(layer: Stack, input: Any, hx: Any = None, *, lengths: Any = None, reset: Any = None) -> Call:
    """The arguments of `forward`, checked; every state is asked for."""
    given = input
    if isinstance(input, PackedSequence):
        given, lengths = pad_packed_sequence(input, batch_first=layer.batch_first)
    inputs, batched = inputs_of(layer, given)
    return call_of(layer, inputs, hx, lengths, reset, "all", batched=batched)
