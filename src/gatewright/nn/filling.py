"""How the weights of one layer and direction begin, from its equations.

Our own layers: Glorot for W, orthogonal for each gate's U (Saxe, McClelland & Ganguli 2014), a bias of 1 for gates
that keep a state (Gers, Schmidhuber & Cummins 2000; Jozefowicz, Zaremba & Sutskever 2015), 0 for all others, gain 1.
The drop-ins begin as torch's modules do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..graph import Graph, Node
from ..graph.node import topological
from .gates import keepers

KEEP = 1.0


@torch.no_grad()
def default(graph: Graph, views: Mapping[str, Tensor], heads: int = 1) -> None:
    """Fill the weights of one layer and direction, given by their row names."""
    kinds = {p.attr.name: p.attr.kind for p in graph.params}
    for name, tensor in views.items():
        _FILL[kinds.get(name, "b")](tensor, heads)
    for param in _remembering_diagonals(graph):
        nn.init.uniform_(views[param.attr.name])
    for gate in keepers(graph):
        if gate.node.op != "sigmoid":  # what an exponential gate keeps depends on others too
            continue
        halves = {name for bias in gate.biases for name in (bias.name, f"{bias.name}_x")}
        first = next((name for name in views if name in halves), None)  # of two biases only the sum counts
        if first is not None:
            views[first].fill_(gate.sign * KEEP)


def orthogonal(weight: Tensor, heads: int = 1, gain: float = 1.0, generator: torch.Generator | None = None) -> None:
    """An orthogonal matrix; of a block-diagonal one each block."""
    for block in weight.unflatten(0, (heads, -1)):
        nn.init.orthogonal_(block, gain, generator=generator)


def _diagonal(weight: Tensor, _: int) -> None:
    bound = 1 / math.sqrt(max(1, weight.shape[0]))
    nn.init.uniform_(weight, -bound, bound)


_FILL = {
    "W": lambda weight, _: nn.init.xavier_uniform_(weight),
    "U": orthogonal,
    "b": lambda weight, _: nn.init.zeros_(weight),
    "p": _diagonal,
    "gain": lambda weight, _: nn.init.ones_(weight),
}


def _remembering_diagonals(graph: Graph) -> list[Node]:
    """Diagonals that are all a cell remembers by (IndRNN): they begin in [0, 1], as its paper has it."""
    if any(p.attr.kind == "U" for p in graph.params) or keepers(graph):
        return []
    found = []
    for n in topological(graph.roots):
        if n.op == "mul" and n.args[0].op == "param" and n.args[0].attr.kind == "p" and n.args[1].op == "state":
            found.append(n.args[0])
    return found


@torch.no_grad()
def like_torch(tensors: Mapping[str, Tensor], hidden_size: int) -> None:
    """Every weight and bias from U(−1/√H, 1/√H), in torch's order, so that one seed gives torch's weights."""
    bound = 1 / math.sqrt(hidden_size) if hidden_size > 0 else 0
    for tensor in tensors.values():
        nn.init.uniform_(tensor, -bound, bound)
