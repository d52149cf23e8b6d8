"""The recurrent layers of a model, and lenses put on them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn

from ..graph.errors import suggestion
from ..nn import arguments
from ..nn.convolution import ConvRecurrent
from ..nn.ensemble import Ensemble
from ..nn.lens import Lens, Lenses
from ..nn.stack import Stack


def layers_of(model: nn.Module) -> dict[Stack, str]:
    """Every recurrent layer, and what it is called in the model.

    Raises:
        TypeError, ValueError: no module, or one without a layer that can be looked into.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: expected an nn.Module, got {type(model).__name__}")
    if isinstance(model, Ensemble):
        raise arguments.wrong("model", "a recurrent layer", "an Ensemble", "look into one network: ensemble[3]")
    inner = getattr(model, "_orig_mod", model)  # what torch.compile has wrapped
    found = {m: name for name, m in inner.named_modules() if isinstance(m, Stack)}
    if not found:
        got = "a ConvRecurrent" if any(isinstance(m, ConvRecurrent) for m in inner.modules()) else type(model).__name__
        remedy = "gw.replace makes some of torch's"
        raise arguments.wrong("model", "a module with recurrent layers of gatewright", got, remedy)
    return found


def put_on(lenses: Sequence[tuple[Stack, Lens]]) -> None:
    """Those that are not on already."""
    with _lock:
        for layer, lens in lenses:
            if lens not in layer.lenses:
                layer.lenses = Lenses((*layer.lenses, lens))


def taken_off(lenses: Sequence[tuple[Stack, Lens]]) -> None:
    """A layer without any is as it was before."""
    with _lock:
        for layer, lens in lenses:
            left = Lenses(other for other in layer.lenses if other is not lens)
            if left:
                layer.lenses = left
            elif "lenses" in layer.__dict__:
                del layer.lenses


_lock = threading.Lock()


# -- names of values -------------------------------------------------------------------------------------------


def listed(argument: str, names: Any) -> tuple[str, ...] | None:
    """The names that were given; None for all."""
    if names is None:
        return None
    found = (names,) if isinstance(names, str) else tuple(names) if isinstance(names, Sequence) else None
    if found is None or not all(isinstance(name, str) for name in found):
        raise TypeError(f"{argument}: expected names of values such as 'f', got {names!r}")
    return tuple(dict.fromkeys(found))


def check_known(argument: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Every name is that of a value in some layer."""
    there = list(dict.fromkeys(known))
    for name in names:
        if name not in there:
            near = suggestion(name, there)
            raise ValueError(
                f"{argument}: no layer of the model has a value {name!r}{near}; there are {', '.join(there)}"
            )


def called(module: str, layers: dict[Stack, str]) -> dict[Stack, str]:
    """The layer of this name."""
    found = {layer: name for layer, name in layers.items() if name == module}
    if not found:
        names = ", ".join(map(repr, layers.values()))
        raise arguments.wrong("module", f"the name of a recurrent layer: {names}", repr(module))
    return found
