"""The weights of a layer of convolutions: how its products are shaped, and how they are stored."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..backends.convolve import MODES
from ..graph import CellError, Graph
from ..graph.cell import width_sizes
from . import arguments
from .layout import Layer, Layout, Stored, _stacked

if TYPE_CHECKING:
    from .convolution import ConvRecurrent, Size


@dataclass(frozen=True)
class Kernels:
    """What the convolutions of a layer have in common; sizes have one number for each dimension of a frame."""

    dims: int
    kernel_size: tuple[int, ...]
    recurrent_kernel_size: tuple[int, ...]
    dilation: tuple[int, ...]
    padding_mode: str
    peephole_size: tuple[int, ...] | None

    @staticmethod
    def made(
        dims: int, kernel: Size, recurrent: Size | None, dilation: Size, padding_mode: str, peephole: Size | None
    ) -> Kernels:
        """Checked; a single number is that of every dimension."""
        arguments.check_size("dims", dims)
        if dims > 3:
            raise arguments.wrong("dims", "1, 2 or 3", dims)
        if not isinstance(padding_mode, str) or padding_mode not in MODES:
            raise arguments.wrong("padding_mode", f"one of {', '.join(MODES)}", repr(padding_mode))
        kernel = _size("kernel_size", kernel, dims)
        return Kernels(
            dims,
            kernel,
            kernel if recurrent is None else _size("recurrent_kernel_size", recurrent, dims),
            _size("dilation", dilation, dims),
            padding_mode,
            None if peephole is None else _size("peephole_size", peephole, dims),
        )

    def of(self, kind: str) -> tuple[int, ...]:
        """What a stored tensor of a kind of parameters has behind its rows and columns."""
        return {"W": self.kernel_size, "U": self.recurrent_kernel_size, "p": self.peephole_size or ()}.get(kind, ())

    def unusual(self) -> list[str]:
        """What is not as by default, as text."""
        usual = Kernels.made(2, self.kernel_size[0], None, 1, "zeros", None)
        pairs = [("dims", usual.dims), ("recurrent_kernel_size", self.kernel_size), ("dilation", (1,) * self.dims)]
        pairs += [("padding_mode", usual.padding_mode), ("peephole_size", None)]
        return [f"{name}={getattr(self, name)!r}" for name, default in pairs if getattr(self, name) != default]


def _size(name: str, given: object, dims: int) -> tuple[int, ...]:
    if isinstance(given, tuple | list):
        if len(given) != dims:
            raise arguments.wrong(name, f"a number, or {dims} for frames of {dims} dimensions", repr(given))
        return tuple(arguments.check_size(name, n) for n in given)
    return (arguments.check_size(name, given),) * dims


def convolution_layers(graph: Graph, layer: ConvRecurrent, given: dict[str, int]) -> list[Layer]:
    """The sizes of every layer: the first input of a higher one is the output of the one below."""
    arguments.check_size("hidden_channels", layer.hidden_channels)
    for name, size in given.items():
        if name in ("H", "I"):
            ours = "hidden_channels" if name == "H" else "in_channels"
            raise arguments.wrong("sizes", "the cell's own widths", repr(name), f"that is {ours}")
        arguments.check_size(f"sizes[{name!r}]", size)
    inputs = layer.in_channels if isinstance(layer.in_channels, tuple) else (layer.in_channels,)
    for size in inputs or ((),):
        arguments.check_size("in_channels", size)
    found = []
    for k in range(layer.num_layers):
        try:
            sizes = graph.sizes(width_sizes(graph, inputs, layer.hidden_channels, given))
        except CellError as error:
            channels = f"in_channels={inputs[0]}, hidden_channels={layer.hidden_channels}"
            raise CellError(f"layer {k} of {layer.cell.name}({channels}): {error}") from None
        found.append(Layer(sizes, _with_kernels(_stacked(graph, sizes, 1), graph, layer.kernels)))
        inputs = (sizes.of(graph.output) * (1 + layer.bidirectional), *inputs[1:])
    return found


def _with_kernels(plain: Layout, graph: Graph, kernels: Kernels) -> Layout:
    """(rows, columns) become (rows, columns, *kernel)."""
    kinds = {p.attr.name: p.attr.kind for p in graph.params}

    def widened(stored: Stored) -> Stored:
        (first, _), *_ = stored.rows
        return replace(stored, shape=(*stored.shape, *kernels.of(kinds[first])))

    return Layout(tuple(widened(s) for s in plain.stored), plain.parts, None)


def check_settings(num_layers: int, dropout: object, **switches: object) -> None:
    """The settings that a layer of convolutions has in common with all others."""
    for name, value in switches.items():
        if not isinstance(value, bool):
            raise arguments.wrong(name, "True or False", repr(value))
    arguments.check_size("num_layers", num_layers)
    if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout <= 1:
        raise arguments.wrong("dropout", "a probability from 0 to 1", repr(dropout))
