"""The inputs and outputs of a model that is a layer or a list of modules."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from ..nn import arguments
from ..nn.deep import Deep
from ..nn.stack import Stack
from .builder import Body, Dims, Value
from .model import States, is_known, is_plain_sequential, known_row, recurrences
from .modules import features_of, takes_numbers


class Asked(NamedTuple):
    """Which inputs and outputs were asked for; `gw.export.onnx` says what each means."""

    lengths: bool
    reset: bool
    initial_state: bool
    final_state: bool
    static: tuple[str, ...]


def is_listed(model: nn.Module) -> bool:
    """Whether a model is a layer, or modules one after the other."""
    return is_known(model) or is_plain_sequential(model)


def layout_of(model: nn.Module) -> tuple[str, str]:
    """The words of an input's first two dimensions."""
    found = {m.batch_first for m in model.modules() if isinstance(m, Stack)}
    if len(found) > 1:
        raise arguments.wrong("model", "batch_first to be the same in every recurrent layer", "both")
    return ("batch", "time") if True in found else ("time", "batch")


def first_inputs(body: Body, model: nn.Module, layout: tuple[str, str], static: tuple[str, ...]) -> list[Value]:
    """The inputs of the first module that says what they are."""
    for module in _flat(model):
        if not isinstance(module, Stack | Deep):
            known_row(module, "")
    first = next((m for m in _flat(model) if _decides(m)), None)
    if first is None:
        raise arguments.wrong(
            "model", "a recurrent layer, a Linear, a norm or an Embedding in it", type(model).__name__
        )
    names, sizes = _named_sizes(first)
    if unknown := sorted(set(static) - set(names[1:])):
        known = ", ".join(names[1:]) or "none"
        raise arguments.wrong("static", f"names of inputs behind the first ({known})", unknown[0])
    if takes_numbers(first):
        return [Value(body.input("tokens", layout, torch.int64), 2, 0)]
    found = []
    for name, size in zip(names, sizes, strict=True):
        dims: Dims = ("batch", size) if name in static else (*layout, size)
        found.append(Value(body.input(name, dims), len(dims), size))
    return found


def _flat(model: nn.Module):
    """Modules in the order in which a list goes through them."""
    if not is_plain_sequential(model):
        return [model]
    return [m for child in model._modules.values() if child is not None for m in _flat(child)]


def _decides(module: nn.Module) -> bool:
    return isinstance(module, Stack | Deep) or takes_numbers(module) or features_of(module) is not None


def _named_sizes(first: nn.Module) -> tuple[tuple[str, ...], tuple[int, ...]]:
    if isinstance(first, Stack | Deep):
        names = first.cell.inputs if isinstance(first, Stack) else ("x", *first.further)
        return names, first.input_size if isinstance(first.input_size, tuple) else (first.input_size,)
    return ("x",), (features_of(first) or 0,)


# -- states ----------------------------------------------------------------------------------------------------


def state_ports(model: nn.Module, ending: str) -> dict[str, tuple[list[tuple[str, Dims]], list[tuple[str, Dims]]]]:
    """(states, earlier inputs) of each recurrent layer by its path: the names with this ending, and dimensions."""
    layers = recurrences(model)
    found = {}
    for path, layer in layers.items():
        prefix = f"{path}." if path and len(layers) > 1 else ""
        rows, (depth, widths) = layer.num_layers * layer.directions, layer.lookback
        states: list[tuple[str, Dims]] = [
            (f"{prefix}{name}_{ending}", (rows, "batch", width)) for name, width in layer.state_sizes.items()
        ]
        past: list[tuple[str, Dims]] = [
            (f"{prefix}inputs_{ending}_l{k}", (depth, "batch", width)) for k, width in enumerate(widths)
        ]
        found[path] = states, past
    return found


def state_inputs(body: Body, model: nn.Module) -> dict[str, States]:
    """Inputs for the states before the first step."""
    return {
        path: States([body.input(*port) for port in states], [body.input(*port) for port in past])
        for path, (states, past) in state_ports(model, "0").items()
    }


def state_outputs(body: Body, model: nn.Module, end: dict[str, States]) -> None:
    """Outputs for the states after the last step."""
    for path, (states, past) in state_ports(model, "n").items():
        for source, (name, dims) in zip([*end[path].states, *end[path].past], [*states, *past], strict=True):
            body.output(source, name, dims)
