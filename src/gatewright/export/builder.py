"""A graph of ONNX while it is being written: plain records of nodes, without the onnx package.

Names are unique over the whole model, those inside the body of a Scan included, so that nothing hides anything. All
constants and weights are initializers of the outermost graph, where every body sees them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

Dims = tuple[int | str, ...]


class Port(NamedTuple):
    """What goes into a graph or comes out of it. A dimension is a number, or a word where it may be any."""

    name: str
    dtype: torch.dtype
    dims: Dims


class Written(NamedTuple):
    """One node. An attribute that is a `Body` is a graph of its own."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


class Value(NamedTuple):
    """A value that has been written: its name, its number of dimensions and the size of the last one."""

    name: str
    rank: int
    width: int


@dataclass
class Shared:
    """What all graphs of one model have in common."""

    dtype: torch.dtype
    names: set[str] = field(default_factory=set)
    initializers: dict[str, Tensor] = field(default_factory=dict)
    constants: dict[tuple, str] = field(default_factory=dict)

    def fresh(self, wanted: str) -> str:
        """The wanted name, or the next one that nobody has."""
        base = name = re.sub(r"[^\w.]+", "_", wanted)
        number = 1
        while name in self.names:
            number += 1
            name = f"{base}_{number}"
        self.names.add(name)
        return name


class Body:
    """One graph: the outermost one, or what a Scan does at each step."""

    def __init__(self, shared: Shared):
        self.shared = shared
        self.nodes: list[Written] = []
        self.inputs: list[Port] = []
        self.outputs: list[Port] = []

    def input(self, name: str, dims: Dims, dtype: torch.dtype | None = None) -> str:
        """A value that comes from outside."""
        port = Port(self.shared.fresh(name), dtype or self.shared.dtype, dims)
        self.inputs.append(port)
        return port.name

    def output(self, source: str, name: str, dims: Dims, dtype: torch.dtype | None = None) -> str:
        """A value that goes outside, under a name of its own."""
        port = Port(self.node("Identity", source, name=name), dtype or self.shared.dtype, dims)
        self.outputs.append(port)
        return port.name

    def node(self, op: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Write a node with one output; gives its name."""
        (output,) = self.nodes_of(op, inputs, [name or op.lower()], **attributes)
        return output

    def nodes_of(self, op: str, inputs: Sequence[str], names: Sequence[str], **attributes: Any) -> tuple[str, ...]:
        """Write a node with several outputs; gives their names."""
        outputs = tuple(self.shared.fresh(name) for name in names)
        self.nodes.append(Written(op, tuple(inputs), outputs, attributes))
        return outputs

    def renamed(self, names: Mapping[str, str]) -> None:
        """Give values other names, here and in the bodies inside."""

        def new(values: Sequence[str]) -> tuple[str, ...]:
            return tuple(names.get(value, value) for value in values)

        self.inputs = [port._replace(name=names.get(port.name, port.name)) for port in self.inputs]
        self.outputs = [port._replace(name=names.get(port.name, port.name)) for port in self.outputs]
        self.nodes = [n._replace(inputs=new(n.inputs), outputs=new(n.outputs)) for n in self.nodes]
        for inner in (v for n in self.nodes for v in n.attributes.values() if isinstance(v, Body)):
            inner.renamed(names)

    # -- constants ---------------------------------------------------------------------------------

    def weight(self, tensor: Tensor, name: str) -> str:
        """A weight, as an initializer."""
        name = self.shared.fresh(name)
        self.shared.initializers[name] = tensor.detach().cpu().contiguous()
        return name

    def number(self, value: float) -> str:
        """A number of the model's dtype, without dimensions."""
        return self.constant(torch.tensor(value, dtype=self.shared.dtype), f"const_{value:g}")

    def whole(self, *values: int) -> str:
        """Whole numbers (int64), as a vector."""
        return self.constant(torch.tensor(values, dtype=torch.int64), f"ints_{'_'.join(map(str, values[:4]))}")

    def one_whole(self, value: int) -> str:
        """A whole number (int64), without dimensions."""
        return self.constant(torch.tensor(value, dtype=torch.int64), f"int_{value}")

    def false(self) -> str:
        return self.constant(torch.tensor(False), "false")

    def constant(self, tensor: Tensor, name: str) -> str:
        """A tensor that everybody may share who needs its numbers."""
        key = (tensor.dtype, tuple(tensor.shape), tensor.numpy().tobytes())
        if key not in self.shared.constants:
            self.shared.constants[key] = self.weight(tensor, name)
        return self.shared.constants[key]

    # -- small phrases ---------------------------------------------------------------------------------

    def size(self, source: str, axis: int) -> str:
        """The size of one dimension, as a vector of one."""
        return self.node("Shape", source, start=axis, end=axis + 1)

    def slice(self, source: str, start: int, end: int, axis: int = 0) -> str:
        return self.node("Slice", source, self.whole(start), self.whole(end), self.whole(axis))

    def filled(self, value: float, *dims: str | int) -> str:
        """A tensor full of one number; a dimension is a number, or a vector of one."""
        parts = [self.whole(d) if isinstance(d, int) else d for d in dims]
        shape = self.node("Concat", *parts, axis=0) if len(parts) > 1 else parts[0]
        return self.node("Expand", self.number(value), shape)

    def joined(self, sources: Sequence[str], axis: int) -> str:
        return self.node("Concat", *sources, axis=axis) if len(sources) > 1 else sources[0]


def pruned(main: Body) -> None:
    """Leave out nodes and initializers that no output needs."""
    needed = {port.name for port in main.outputs}
    kept = []
    for n in reversed(main.nodes):
        if needed.isdisjoint(n.outputs):
            continue
        kept.append(n)
        needed.update(n.inputs)
        for inner in (v for v in n.attributes.values() if isinstance(v, Body)):
            needed.update(name for within in inner.nodes for name in within.inputs)
    main.nodes = kept[::-1]
    main.shared.initializers = {name: t for name, t in main.shared.initializers.items() if name in needed}


END = (1 << 63) - 1
"""The end of an axis, for `Body.slice`."""
