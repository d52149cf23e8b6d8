"""`gw.clamp`: a model with some of its values held or changed, to see what they do."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from ..graph.alter import expression
from ..graph.errors import suggestion
from ..nn import arguments
from ..nn.lens import Change, Given, Lens, Mask
from ..nn.stack import Stack
from .layers import called, layers_of, put_on, taken_off

Changed = tuple[Change, Given, Mask]


class clamp:  # it is called like a function, and used in `with`, as `torch.no_grad` is
    """Hold or change values inside a model's recurrent layers: what does a gate do, what if a unit were not there?

    The equations are rewritten and compiled, so a changed model runs by the same kernels, has gradients, and can be
    recorded. It lasts from the call on, until the end of a `with` block or `.remove()`; `with` puts it on again.

    Which value is changed is compiled, and what a function does; numbers, tensors, units and steps are not, so moving
    a slider costs nothing.

    Args:
        model: a recurrent layer, or a module with some inside.
        units: which units; default all. A number, a list of them, or a boolean mask.
        steps: which steps of the sequence; default all. A number, a list, or a slice.
        module: only in the layer of this name in the model.
        layer: only in this layer of a stack, from 0.
        reverse: only in this direction.
        values: by the equations' names, what each becomes: a number; a tensor (width,), or (T, B, width) laid out as
            the layer's input is, which gets its gradient; or a function of the value in gatewright's own operations,
            such as `f=lambda f: 0.5 * f`. A state's name is its new value: `h=0, c=0` with `units=` takes units away.

    Raises:
        TypeError, ValueError: an argument is wrong, or no layer has a value of that name.

    >>> import gatewright as gw, torch
    >>> layer, x = gw.LSTM(3, 5), torch.randn(7, 2, 3)
    >>> with gw.clamp(layer, f=1.0, units=[3]), gw.record(layer, ["f"]) as tape:
    ...     y, _ = layer(x)
    >>> bool((tape["f"][..., 3] == 1).all()), bool((tape["f"][..., 2] == 1).any())
    (True, False)
    >>> with gw.clamp(layer, f=lambda f: 0.5 * f):
    ...     forgets_faster, _ = layer(x)
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        units: int | Sequence[int] | Tensor | None = None,
        steps: int | Sequence[int] | slice | None = None,
        module: str | None = None,
        layer: int | None = None,
        reverse: bool | None = None,
        **values: float | Tensor | Callable[[Any], Any],
    ):
        layers = layers_of(model)
        if module is not None:
            layers = called(module, layers)
        if not values:
            raise ValueError("clamp: nothing to change; give values by name, such as f=1.0")
        self._on: list[tuple[Stack, Lens]] = []
        known = dict.fromkeys(name for found in layers for name in _changeable(found))
        for name in values:
            if name not in known:
                near = suggestion(name, list(known))
                raise ValueError(f"{name}: no layer has a value {name!r}{near}; there are {', '.join(known)}")
        for found in layers:
            _check_place(found, layer, reverse)
            there = _changeable(found)
            changes = tuple(
                _change(found, layer, name, value, units, steps) for name, value in values.items() if name in there
            )
            if changes:
                self._on.append((found, Lens(changes=changes, layer=layer, reverse=reverse)))
        put_on(self._on)

    def remove(self) -> None:
        """Let go."""
        taken_off(self._on)

    def __enter__(self) -> Self:
        put_on(self._on)
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def _changeable(layer: Stack) -> list[str]:
    old = {f"{s.name}_prev" for s in layer.equations.states}
    return [name for name in layer.running.watchable() if name not in old]


def _check_place(layer: Stack, k: int | None, reverse: bool | None) -> None:
    if k is not None and (not isinstance(k, int) or not 0 <= k < layer.num_layers):
        raise arguments.wrong("layer", f"0 to {layer.num_layers - 1}", repr(k))
    if reverse is not None and not isinstance(reverse, bool):
        raise arguments.wrong("reverse", "True, False or None", repr(reverse))
    if reverse and not layer.bidirectional:
        raise arguments.wrong("reverse", "False", True, "this layer has one direction")


def _change(layer: Stack, k: int | None, name: str, value: Any, units: Any, steps: Any) -> Changed:
    there = layer._layers if k is None else layer._layers[k : k + 1]
    width = min(one.sizes.of(layer.equations.watchable()[name]) for one in there)
    made, given = None, None
    if isinstance(value, Tensor):
        given = _tensor(name, value, width)
    elif isinstance(value, numbers.Real) and not isinstance(value, bool):
        given = float(value)
        if math.isnan(given):
            raise arguments.wrong(name, "a number", value)
    elif callable(value):
        made = expression(value, name)
    else:
        raise TypeError(f"{name}: expected a number, a tensor or a function of the value, got {type(value).__name__}")
    return Change(name, made), given, Mask(_units(units, width), _steps(steps))


def _tensor(name: str, value: Tensor, width: int) -> Tensor:
    if value.dim() not in (1, 2, 3) or value.shape[-1] != width or not value.is_floating_point():
        expected = f"floating-point numbers ({width},), or (T, B, {width}) laid out as the layer's input"
        raise arguments.wrong(name, expected, f"{value.dtype} {tuple(value.shape)}")
    return value


def _units(units: Any, width: int) -> Tensor | None:
    if units is None:
        return None
    found = _whole(units)
    if found.dtype == torch.bool:
        if tuple(found.shape) != (width,):
            raise arguments.wrong("units", f"a mask of {width} units", f"shape {tuple(found.shape)}")
        return found.nonzero().squeeze(-1)
    found = torch.atleast_1d(found)
    if found.dim() != 1 or found.is_floating_point() or found.is_complex():
        raise arguments.wrong("units", "a unit's number, or a list of them", repr(units))
    if len(found) and not (int(found.min()) >= 0 and int(found.max()) < width):
        raise arguments.wrong("units", f"units from 0 to {width - 1}", found.tolist())
    return found


def _steps(steps: Any) -> Tensor | slice | None:
    if steps is None or isinstance(steps, slice):
        return steps
    found = torch.atleast_1d(_whole(steps))
    if found.dim() != 1 or found.is_floating_point() or found.dtype == torch.bool:
        raise arguments.wrong("steps", "a step, a list of steps, or a slice", repr(steps))
    return found


def _whole(given: Any) -> Tensor:
    """A tensor of what should be whole numbers; an empty list has none of another kind."""
    found = torch.as_tensor(given)
    return found if found.numel() else found.long()
