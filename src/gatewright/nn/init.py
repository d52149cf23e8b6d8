"""How weights begin.

Our own layers: Glorot for W, orthogonal for each gate's U (Saxe, McClelland & Ganguli 2014), a bias of 1 for gates
that keep a state (Gers, Schmidhuber & Cummins 2000; Jozefowicz, Zaremba & Sutskever 2015), 0 for all others, gain 1.
The drop-ins begin as torch's modules do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..graph import Cell, Graph, Node
from ..graph.node import topological

KEEP = 1.0


def forget_gates(cell: Cell) -> dict[str, float]:
    """Which named gates multiply a state's old value: 1 for f in f ⊙ c, −1 for z in (1 − z) ⊙ h.

    >>> import gatewright as gw
    >>> gw.init.forget_gates(gw.cells.lstm)
    {'f': 1.0}
    >>> gw.init.forget_gates(gw.cells.mgu)
    {'f': -1.0}
    """
    return {name: sign for name, (sign, _) in _keepers(cell.graph).items()}


def _keepers(graph: Graph) -> dict[str, tuple[float, Node]]:
    """Of each gate that keeps a state: its sign and its node."""
    named = {n: name for name, n in reversed(graph.equations)}
    found: dict[str, tuple[float, Node]] = {}
    for state in graph.states:
        for term in _chain(state.new, ("add", "sub")):
            factors = _chain(term, ("mul",))
            if state.old not in factors:
                continue
            for factor in factors:
                sign, gate = _gate(factor)
                if gate is not None and gate in named:
                    found.setdefault(named[gate], (sign, gate))
    return found


def _gate(factor: Node) -> tuple[float, Node | None]:
    """A factor as a squashed gate and its sign: f, 1 − z, repeat(f, 2), f / (f + i)."""
    match factor.op:
        case "sigmoid":
            return 1.0, factor
        case "repeat" | "div":
            return _gate(factor.args[0])
        case "sub" if factor.args[0].op == "const":
            sign, gate = _gate(factor.args[1])
            return -sign, gate
    return 1.0, None


def _chain(n: Node, ops: tuple[str, ...]) -> list[Node]:
    out, stack = [], [n]
    while stack:
        current = stack.pop()
        if current.op in ops:
            stack.extend(current.args)
        else:
            out.append(current)
    return out


@torch.no_grad()
def default(graph: Graph, views: Mapping[str, Tensor], heads: int = 1) -> None:
    """Fill the weights of one layer and direction, given by their row names."""
    kinds = {p.attr.name: p.attr.kind for p in graph.params}
    for name, tensor in views.items():
        _FILL[kinds.get(name, "b")](tensor, heads)
    for param in _remembering_diagonals(graph):
        nn.init.uniform_(views[param.attr.name])
    for sign, gate in _keepers(graph).values():
        biases = {n.attr.name for n in _chain(gate.args[0], ("add",)) if n.op == "param" and n.attr.kind == "b"}
        halves = biases | {f"{name}_x" for name in biases}
        first = next((name for name in views if name in halves), None)  # of two biases only the sum counts
        if first is not None:
            views[first].fill_(sign * KEEP)


def _orthogonal(weight: Tensor, heads: int) -> None:
    for block in weight.unflatten(0, (heads, -1)):
        nn.init.orthogonal_(block)


def _diagonal(weight: Tensor, _: int) -> None:
    bound = 1 / math.sqrt(max(1, weight.shape[0]))
    nn.init.uniform_(weight, -bound, bound)


_FILL = {
    "W": lambda weight, _: nn.init.xavier_uniform_(weight),
    "U": _orthogonal,
    "b": lambda weight, _: nn.init.zeros_(weight),
    "p": _diagonal,
    "gain": lambda weight, _: nn.init.ones_(weight),
}


def _remembering_diagonals(graph: Graph) -> list[Node]:
    """Diagonals that are all a cell remembers by (IndRNN): they begin in [0, 1], as its paper has it."""
    if any(p.attr.kind == "U" for p in graph.params) or _keepers(graph):
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
