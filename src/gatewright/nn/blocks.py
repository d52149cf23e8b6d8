"""What stands in a `Deep`: recurrent layers, each with the modules behind it, and what they need of each other."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from . import arguments
from .call import weight_of
from .merge import merged_width
from .stack import Stack

BELOW = "_below"
"""A further input of this ending is a state of the layer below: `c_below`."""


class Block(NamedTuple):
    """A recurrent layer and the modules behind it, up to the next recurrent layer.

    at, behind: their places in the list. input_size, output_size: features before the layer, and behind the modules.
    further: the names of the layer's inputs but the first.
    """

    at: int
    behind: tuple[int, ...]
    input_size: int
    output_size: int
    further: tuple[str, ...]

    def below(self) -> list[str]:
        """The states of the layer below that it takes."""
        return [name.removesuffix(BELOW) for name in self.further if name.endswith(BELOW)]


class Listed(nn.Module):
    """A stack that is made of a list of modules, as far as another one needs to know it."""

    layers: nn.ModuleList
    blocks: tuple[Block, ...]
    further: tuple[str, ...]
    input_size: int | tuple[int, ...]
    output_size: int
    batch_first: bool
    bidirectional: bool

    def step(self, input, state=None) -> tuple:
        """One step: (output, new state)."""
        raise NotImplementedError

    def backend_for(self, input, *, reset=None, states=None) -> tuple:
        """What will run, and why."""
        raise NotImplementedError


Layer = Stack | Listed


def blocks_of(modules: Sequence[nn.Module]) -> tuple[Block, ...]:
    """The list in blocks; raises where something does not fit."""
    for i, module in enumerate(modules):
        _check_module(module, i)
    layers = {i: module for i, module in enumerate(modules) if isinstance(module, Layer)}
    if 0 not in layers:
        got = type(modules[0]).__name__ if modules else "an empty list"
        raise arguments.wrong("layers", "a recurrent layer first", got, "what comes before it goes before the stack")
    if len({layer.batch_first for layer in layers.values()}) > 1:
        got = ", ".join(str(layer.batch_first) for layer in layers.values())
        raise arguments.wrong("layers", "batch_first to be the same in every layer", got)
    found: list[Block] = []
    for (i, layer), end in zip(layers.items(), [*list(layers)[1:], len(modules)], strict=True):
        behind = tuple(range(i + 1, end))
        size, *sizes = input_sizes(layer)
        block = Block(i, behind, size, _width_behind(modules, layer, behind), further_inputs(layer))
        if found and size != found[-1].output_size:
            where = f"{found[-1].output_size} features, as come out of what stands before it"
            raise arguments.wrong(f"layers[{i}]", where, f"input_size={size}", "a torch.nn.Linear can stand between")
        _check_below(block, dict(zip(block.further, sizes, strict=True)), layers[found[-1].at] if found else None)
        found.append(block)
    return tuple(found)


def _check_module(module: object, at: int) -> None:
    if isinstance(module, nn.RNNBase):
        name = type(module).__name__
        raise TypeError(
            f"layers[{at}]: expected a layer of gatewright, got torch.nn.{name}; gw.replace makes one of it"
        )
    if not isinstance(module, nn.Module):
        raise TypeError(f"layers[{at}]: expected a recurrent layer or another nn.Module, got {type(module).__name__}")


def input_sizes(layer: Layer) -> tuple[int, ...]:
    """The features of every input."""
    return layer.input_size if isinstance(layer.input_size, tuple) else (layer.input_size,)


def further_inputs(layer: Layer) -> tuple[str, ...]:
    """The names of the inputs but the first."""
    return layer.cell.inputs[1:] if isinstance(layer, Stack) else layer.further


def _width_behind(modules: Sequence[nn.Module], layer: Layer, behind: tuple[int, ...]) -> int:
    """The features behind the modules: a step of zeros goes through copies of them."""
    if not behind:
        return layer.output_size
    probe = weight_of(first_stack(layer)).new_zeros(1, layer.output_size)
    for i in behind:
        expected = f"a module that maps (…, {probe.shape[-1]}) to (…, features)"
        try:
            with torch.no_grad():
                probe = copy.deepcopy(modules[i]).eval()(probe)
        except RuntimeError as error:
            raise arguments.wrong(f"layers[{i}]", expected, modules[i], str(error).splitlines()[0]) from error
        if not isinstance(probe, Tensor) or probe.shape[:-1] != (1,):
            got = f"shape {tuple(probe.shape)}" if isinstance(probe, Tensor) else type(probe).__name__
            raise arguments.wrong(f"layers[{i}]", expected, got)
    return probe.shape[-1]


def first_stack(layer: nn.Module) -> Stack:
    """The first layer of one cell; a list within a list is looked into."""
    while isinstance(layer, Listed):
        layer = layer.layers[0]
    assert isinstance(layer, Stack)
    return layer


# -- states of the layer below -------------------------------------------------------------------------------


def _check_below(block: Block, sizes: dict[str, int], lower: nn.Module | None) -> None:
    for state in block.below():
        name = state + BELOW
        where = f"layers[{block.at}], input {name}"
        if not isinstance(lower, Stack):
            raise arguments.wrong(where, "a layer of one cell below", "none" if lower is None else type(lower).__name__)
        if state not in lower.state_sizes:
            raise arguments.wrong(where, f"a state of the layer below ({', '.join(lower.state_sizes)})", state)
        if lower.looks_back:
            raise arguments.wrong(where, "a layer below that looks at no previous inputs", lower.cell.name)
        width = merged_width(lower.state_sizes[state], lower.directions, lower.merge)
        if sizes[name] != width:
            raise arguments.wrong(where, f"{width} features, as the layer below has", sizes[name])


def further_sizes(blocks: Sequence[Block], layers: Sequence[Layer]) -> dict[str, int]:
    """The inputs of a stack but the first, in the order in which its layers name them; raises where sizes differ."""
    sizes: dict[str, int] = {}
    for block, layer in zip(blocks, layers, strict=True):
        for name, size in zip(block.further, input_sizes(layer)[1:], strict=True):
            if name.endswith(BELOW):
                continue
            if sizes.setdefault(name, size) != size:
                where = f"layers[{block.at}], input {name}"
                raise arguments.wrong(where, f"{sizes[name]} features, as in a layer before", size)
    return sizes
