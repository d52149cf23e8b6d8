"""What any cell needs to be tried: sizes that its equations allow, inputs, states and weights."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

import gatewright as gw
from gatewright.graph import Graph, Sizes
from gatewright.graph.cell import width_sizes
from gatewright.graph.node import topological

SEEDED = 20_000


@dataclass(frozen=True)
class Case:
    """Sizes that fit a cell's equations."""

    input_size: int | tuple[int, ...]
    hidden_size: int
    sizes: dict[str, int]

    @property
    def inputs(self) -> tuple[int, ...]:
        return self.input_size if isinstance(self.input_size, tuple) else (self.input_size,)

    def solve(self, graph: Graph) -> Sizes:
        return graph.sizes(width_sizes(graph, self.input_size, self.hidden_size, self.sizes))

    def layer(self, cell: gw.Cell, num_layers: int = 1, **options) -> gw.Recurrent:
        return gw.Recurrent(cell, self.input_size, self.hidden_size, num_layers, sizes=self.sizes, **options)


def case_for(graph: Graph, input_size: int = 3, hidden_size: int = 5, other: int = 4) -> Case:
    """Sizes near the wished ones that the equations allow: a multiple where units are shared, I = H where they meet."""
    widths = [graph.widths.of(n) for n in topological(graph.roots)]
    step = math.lcm(*(w.ratio.denominator for w in widths))
    hidden = math.ceil(hidden_size / step) * step
    symbols = {w.symbol for w in widths} - {"1"}
    wished = {"I": math.ceil(input_size / step) * step, "H": hidden} | {f"I_{name}": 2 for name in graph.inputs[1:]}
    inputs = tuple(
        int(graph.widths.of(n).ratio * wished.get(graph.widths.of(n).symbol, other))
        for n in (node_of_input(name) for name in graph.inputs)
    )
    own = {s: other for s in symbols if s not in wished and not s.isdigit()}
    return Case(inputs if len(inputs) > 1 else inputs[0], hidden, own)


def node_of_input(name: str):
    from gatewright.graph.node import node

    return node("input", attr=name)


def random_leaves(graph: Graph, case: Case, batch: int, generator: torch.Generator, dtype=torch.float64):
    """A tensor for every leaf of a graph, by node."""
    sizes = case.solve(graph)
    found = {}
    for n in topological(graph.roots):
        if n.op == "param":
            found[n] = torch.randn(sizes.shape(n), generator=generator, dtype=dtype) * 0.5
        elif n.op in ("input", "previous"):
            found[n] = torch.randn(batch, sizes.of(n), generator=generator, dtype=dtype)
    for state in graph.states:
        width = sizes.of_state(state.name)
        found[state.old] = torch.randn(batch, width, generator=generator, dtype=dtype)
    return found


def sequence_inputs(case: Case, steps: int, batch: int, generator: torch.Generator, dtype=torch.float64):
    """What a layer of this case is called with: a tensor, or a tuple of them."""
    found = tuple(torch.randn(steps, batch, size, generator=generator, dtype=dtype) for size in case.inputs)
    return found if len(found) > 1 else found[0]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(SEEDED + seed)
