"""How the parameters of a graph are stored: which tensors there are, and whose rows they hold.

Parameters of one kind that meet the same vector are stacked in the order in which the equations need them, so that
one product serves all gates. Rows have names; they are saved with the weights and matched when weights are loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from ..graph import CellError, Graph, Node, Sizes
from ..graph.cell import width_sizes
from ..graph.errors import UnknownName, suggestion
from ..graph.node import topological
from . import arguments
from .merge import merged_width
from .torch_form import TorchForm, torch_form

if TYPE_CHECKING:
    from .stack import Stack


@dataclass(frozen=True)
class Stored:
    """One stored tensor: its name without layer and direction, its shape, and (row name, rows) in order."""

    name: str
    shape: tuple[int, ...]
    rows: tuple[tuple[str, int], ...]


class Views(dict[str, Tensor]):
    """Views by name; a parameter that is stored as a sum of rows says so."""

    def __init__(self, parts: Mapping[str, tuple[str, ...]]):
        super().__init__()
        self._parts = parts

    def __missing__(self, name: str) -> Tensor:
        if len(self._parts.get(name, ())) > 1:
            raise UnknownName(f"{name} is stored in {len(self._parts[name])} parts: {' + '.join(self._parts[name])}")
        raise UnknownName(f"there is no weight {name!r}{suggestion(name, self)} (there are {', '.join(self)})")


class Layout:
    """The stored tensors of one layer and direction.

    `parts` says of which rows each of the graph's parameters is the sum; mostly of one.
    """

    def __init__(self, stored: tuple[Stored, ...], parts: Mapping[str, tuple[str, ...]], form: TorchForm | None):
        self.stored, self.parts, self.form = stored, parts, form
        self.row_names = tuple(tuple(name for name, _ in s.rows) for s in stored)

    def views(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Live views of the stored tensors by their rows' names."""
        found = Views(self.parts)
        for stored in self.stored:
            names, sizes = zip(*stored.rows, strict=True)
            found |= zip(names, tensors[stored.name].split(sizes), strict=True)
        return found

    def weights(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The graph's parameters, by name."""
        views = self.views(tensors)
        found = {}
        for name, (first, *others) in self.parts.items():
            found[name] = views[first]
            for other in others:
                found[name] = found[name] + views[other]
        return found


def layout(graph: Graph, sizes: Sizes, *, bias: bool, heads: int = 1) -> Layout:
    """How a graph's parameters are stored: as torch stores them where the graph is torch's."""
    form = torch_form(graph, bias=bias) if heads == 1 else None
    return _torch_layout(form, graph, sizes, bias=bias) if form else _stacked(graph, sizes, heads)


def _torch_layout(form: TorchForm, graph: Graph, sizes: Sizes, *, bias: bool) -> Layout:
    shape = {p.attr.name: sizes.shape(p) for p in graph.params}
    stored, parts = [], {}
    for kind, name in (("W", "weight_ih"), ("U", "weight_hh")):
        rows = tuple((n, shape[n][0]) for n in form.rows(kind))
        stored.append(Stored(name, (sum(r for _, r in rows), shape[rows[0][0]][1]), rows))
        parts |= {n: (n,) for n, _ in rows}
    for side, name in (("x", "bias_ih"), ("h", "bias_hh")) if bias else ():
        rows = tuple((half, shape[whole][0]) for whole, half in form.biases(side))
        stored.append(Stored(name, (sum(r for _, r in rows),), rows))
        for whole, half in form.biases(side):
            parts[whole] = (*parts.get(whole, ()), half)
    if form.projection:
        stored.append(Stored("weight_hr", shape[form.projection], ((form.projection, shape[form.projection][0]),)))
        parts[form.projection] = (form.projection,)
    return Layout(tuple(stored), parts, form)


def _stacked(graph: Graph, sizes: Sizes, heads: int) -> Layout:
    vectors = {n.args[0]: n.args[1] for n in topological(graph.roots) if n.op == "linear"}
    groups: dict[tuple, list[Node]] = {}
    for param in graph.params:
        columns = vectors.get(param) if param.attr.kind in "WU" else None
        groups.setdefault((param.attr.kind, columns, graph.widths.of(param)), []).append(param)
    names = _group_names(graph, groups)
    stored = []
    for key, members in groups.items():
        rows = tuple((p.attr.name, sizes.shape(p)[0]) for p in members)
        columns = sizes.shape(members[0])[1:]
        if key[0] == "U" and heads > 1:
            columns = _head_columns(columns[0], rows, heads)
        stored.append(Stored(names[key], (sum(r for _, r in rows), *columns), rows))
    return Layout(tuple(stored), {p.attr.name: (p.attr.name,) for p in graph.params}, None)


def _head_columns(columns: int, rows: tuple[tuple[str, int], ...], heads: int) -> tuple[int]:
    """A block-diagonal matrix keeps each block's rows with its own columns alone."""
    for name, count in (*rows, (f"what {rows[0][0]} multiplies", columns)):
        if count % heads:
            raise ValueError(f"heads={heads}: {name} has {count} units, which {heads} heads cannot share evenly")
    return (columns // heads,)


def _group_names(graph: Graph, groups: Mapping[tuple, list[Node]]) -> dict[tuple, str]:
    """W where there is one such group; else W_x, W_static by vector; else also by width."""
    kinds = [key[0] for key in groups]
    names: dict[tuple, str] = {}
    for key, members in groups.items():
        kind, vector, width = key
        name = kind
        if kinds.count(kind) > 1 and vector is not None:
            name = f"{kind}_{_vector_name(graph, vector, members)}"
        if sum(k[:2] == key[:2] for k in groups) > 1:
            name = f"{name}_{members[0].attr.width or width.symbol}"
        names[key] = name if name not in names.values() else f"{name}_{members[0].attr.name}"
    return names


def _vector_name(graph: Graph, vector: Node, members: list[Node]) -> str:
    """What the vector of a product is called; where it has no name, the first parameter lends its own."""
    if vector.op in ("input", "state"):
        return vector.attr
    if vector.op == "previous":
        return f"{vector.args[0].attr}_{vector.attr}"
    named = next((name for name, n in graph.equations if n is vector), None)
    return named or members[0].attr.name.split("_", 1)[-1]


@dataclass(frozen=True)
class Layer:
    """One layer of the stack: its widths as numbers, and how its parameters are stored."""

    sizes: Sizes
    layout: Layout


def layers(graph: Graph, stack: Stack, given: dict[str, int]) -> list[Layer]:
    """The sizes of every layer: the first input of a higher one is the output of the one below."""
    arguments.check_size("hidden_size", stack.hidden_size)
    for name, size in given.items():
        if name in ("H", "I"):
            ours = "hidden_size" if name == "H" else "input_size"
            raise arguments.wrong("sizes", "the cell's own widths", repr(name), f"that is {ours}")
        arguments.check_size(f"sizes[{name!r}]", size)
    inputs = stack.input_size if isinstance(stack.input_size, tuple) else (stack.input_size,)
    for size in inputs or ((),):
        arguments.check_size("input_size", size)
    found = []
    for k in range(stack.num_layers):
        try:
            sizes = graph.sizes(width_sizes(graph, inputs, stack.hidden_size, given))
        except CellError as error:
            where = f"layer {k} of {stack.cell.name}(input_size={inputs[0]}, hidden_size={stack.hidden_size})"
            raise CellError(f"{where}: {error}") from None
        found.append(Layer(sizes, layout(graph, sizes, bias=stack.bias, heads=stack.heads)))
        below = merged_width(sizes.of(graph.output), 1 + stack.bidirectional, stack.merge)
        inputs = (below, *inputs[1:])
    return found
