"""The source view: the generated code of a cell, with the cell's own names in its comments."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from ...graph.cell import Cell
from ...graph.errors import CellError, suggestion
from ...graph.graph import Graph
from ...graph.node import Node, topological
from ...graph.notation.printer import Printer, number
from ...plan.places import Sink
from ...plan.plan import Plan, plan
from ...plan.show import place_text, show
from ...plan.stages import Work
from .backward import emit_backward
from .emitter import Module
from .forward import emit_forward
from .shared import Shared
from .target import TARGETS, Target, host

REALS = {torch.float32: "float", torch.float64: "double"}


def source(
    cell: Cell,
    *,
    dtype: torch.dtype | None = None,
    target: str | None = None,
    train: bool = False,
    backward: bool = False,
) -> str:
    """The LLVM IR of a cell's kernel, under its equations and its plan; see `Cell.source`."""
    dtype = dtype or torch.float32
    if dtype not in REALS:
        raise CellError(f"source: kernels are made for torch.float32 and torch.float64, not for {dtype}")
    made, real = _target(target), REALS[dtype]
    graph = cell.graph.simplified()
    planned = plan(graph, train=train or backward)
    half = "backward" if backward else "forward, for training" if train else "forward, for inference"
    title = f"{cell.name}: {half}; {dtype}, {made.name}"
    head = "\n\n".join([title, str(cell), show(planned)])
    return f"{_commented(head)}\n{kernel_module(graph, planned, real, made, train=train, backward=backward)}\n"


def _target(name: str | None) -> Target:
    if name is None:
        return host()
    if name not in TARGETS:
        known = ", ".join(TARGETS)
        raise CellError(f"source: there is no target {name!r}; there is {known}{suggestion(name, TARGETS)}")
    return TARGETS[name]


def _commented(text: str) -> str:
    return "".join(f"; {line}".rstrip() + "\n" for line in text.split("\n"))


def kernel_module(graph: Graph, planned: Plan, real: str, target: Target, *, train: bool, backward: bool) -> Module:
    """The module of a kernel, with notes in its works; without them it is what a layer compiles."""
    shared = Shared(Module("backward" if backward else "forward", real, target), planned, train or backward)
    shared.notes, shared.fields.told = Notes(graph, planned), True
    (emit_backward if backward else emit_forward)(shared)
    return shared.module


class Notes:
    """What the code of works says of itself: equations where they are computed, and what lies in a place."""

    def __init__(self, graph: Graph, planned: Plan):
        self.printer = printer = Printer(graph)
        watched = graph.watchable()
        self.equations = {name: printer.equation(name, n) for name, n in watched.items() if n.args}
        self.called = {f"{s.name}_prev": printer.name(s.name, 1) for s in graph.states}
        self.inputs = {f"input[{i}]": printer.name(name, back) for i, (name, back) in enumerate(planned.inputs)}
        products = (n for n in topological(graph.roots) if n.op == "linear")
        self.products = {n.args[0].attr.name: printer.body(n) for n in products}

    def computed(self, work: Work, n: Node) -> Iterator[str]:
        """What stands before the code of a node."""
        names = [name for m, name in work.names if m is n]
        match n.op:
            case "load":
                place = place_text(n.attr)
                told = [self._name(name) for name in names] or [self.inputs.get(place, "")]
                yield f"{place}: {' = '.join(told)}" if any(told) else place
            case "param":
                yield n.attr.name
            case "const":
                yield number(n.attr)
            case _:
                yield from (self.equations.get(name) or self._name(name) for name in names)

    def stored(self, work: Work, sink: Sink) -> str:
        """What stands before the code that stores a value."""
        names = [self._name(name) for m, name in work.names if m is sink.value]
        return " = ".join([place_text(sink.place), *names])

    def _name(self, name: str) -> str:
        """A value's name in the notation; ∂ marks its adjoint."""
        if name.startswith("∂"):
            return f"∂{self._name(name[1:])}"
        matrices = name.split(" + ")
        if matrices[0] in self.products:  # what they have added up in a slot
            return " + ".join(self.products[matrix] for matrix in matrices)
        return self.called.get(name) or self.printer.name(name)
