"""The recurrent layers of a model, and lenses put on them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from ..nn import arguments
from ..nn.convolution import ConvRecurrent
from ..nn.ensemble import Ensemble
from ..nn.lens import Lens
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
    for layer, lens in lenses:
        layer.lenses = (*layer.lenses, lens)


def taken_off(lenses: Sequence[tuple[Stack, Lens]]) -> None:
    """A layer without any is as it was before: a copy or a file knows nothing of them."""
    for layer, lens in lenses:
        left = tuple(other for other in layer.lenses if other is not lens)
        if left:
            layer.lenses = left
        elif "lenses" in layer.__dict__:
            del layer.lenses
