"""The weights of a recurrent layer by the parameters of its equations, one layer and direction after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from ..graph import Graph
from ..graph.errors import suggestion
from . import arguments
from .gates import Gate, keepers, openers

KINDS = ("W", "U", "b", "p", "gain")
Generator = torch.Generator | None


@dataclass(frozen=True)
class Place:
    """The weights of one layer and direction, by the parameters of its equations."""

    module: nn.Module
    graph: Graph
    views: Mapping[str, Tensor]
    parts: Mapping[str, tuple[str, ...]]
    heads: int
    hidden_size: int

    @property
    def cell(self) -> str:
        return self.module.cell.name  # pyright: ignore[reportAttributeAccessIssue, reportReturnType]

    # -- weights -----------------------------------------------------------------------------------

    def rows(self, name: str) -> list[Tensor]:
        """The tensors whose sum a parameter is; mostly one."""
        return [self.views[part] for part in self.parts[name]]

    def put(self, name: str, value: Tensor) -> None:
        first, *others = self.rows(name)
        first.copy_(value)
        for other in others:
            other.zero_()

    def of_kind(self, kind: str) -> list[str]:
        return [p.attr.name for p in self.graph.params if p.attr.kind == kind]

    def selected(self, names: tuple[str, ...], function: str) -> list[str]:
        """The parameters that are meant, in the order of the equations."""
        params = {p.attr.name: p.attr.kind for p in self.graph.params}
        for name in names:
            if name not in params and name not in KINDS:
                known = ", ".join([*dict.fromkeys(params.values()), *params])
                raise ValueError(
                    f"{function}: there is no weight {name!r}{suggestion(name, tuple(params))} in {self.cell} "
                    f"(there are {known})"
                )
        return [name for name, kind in params.items() if name in names or kind in names]

    def matrices(self, name: str, function: str) -> list[Tensor]:
        found = self.rows(name)
        if found[0].dim() < 2:
            raise arguments.wrong(function, "matrices (W or U)", f"{name}, which is a vector")
        return found

    def blocks(self, name: str) -> int:
        return self.heads if name in self.of_kind("U") else 1

    # -- gates ---------------------------------------------------------------------------------------

    def keepers(self, function: str) -> list[Gate]:
        """The gates that keep states, each once: sLSTM's f keeps two."""
        found = {gate.name: gate for gate in reversed(keepers(self.graph))}
        if not found:
            remedy = "gw.init.forget_gates(cell) names those of a cell"
            raise arguments.wrong(function, "a cell with a gate that keeps a state", self.cell, remedy)
        return list(found.values())

    def openers(self) -> list[Gate]:
        """The input gates that have a bias."""
        return [gate for gate in openers(self.graph) if gate.biases]

    def bias(self, gate: Gate, function: str) -> tuple[str, float, bool]:
        if not gate.biases and not getattr(self.module, "bias", True):
            raise arguments.wrong(function, "a layer with biases", "bias=False", "make the layer with bias=True")
        if not gate.biases:
            raise arguments.wrong(function, "gates with a bias", f"{gate.name} of {self.cell}, which has none")
        return gate.biases[0]

    def log_times(self, gate: Gate, max_lag: float, generator: Generator) -> Tensor:
        """log u of each unit of a gate, with u from U(1, max_lag − 1)."""
        bias = self.rows(self.bias(gate, "chrono")[0])[0]
        return torch.empty_like(bias).uniform_(1.0, max_lag - 1.0, generator=generator).log()

    def put_kept(self, gate: Gate, log_odds: Tensor) -> None:
        """The bias under which a gate's factor is σ(log_odds)."""
        name, sign, exponential = self.bias(gate, "chrono")
        value = logsigmoid(log_odds) if exponential else log_odds
        self.put(name, gate.sign * sign * value)


def places(layer: object, function: str) -> Iterator[Place]:
    """Every layer and direction of a recurrent layer, or of all recurrent layers in a model."""
    if not isinstance(layer, nn.Module):
        raise TypeError(f"{function}: expected a recurrent layer, got {type(layer).__name__}")
    found = [m for m in layer.modules() if isinstance(getattr(m, "_graph", None), Graph) and hasattr(m, "weights")]
    if not found:
        remedy = "; gw.replace(model) makes layers of torch's modules" if _has_torchs(layer) else ""
        raise TypeError(
            f"{function}: expected a recurrent layer, or a model with one, got {type(layer).__name__}{remedy}"
        )
    for module in found:
        yield from _of(module, function)


def _has_torchs(model: nn.Module) -> bool:
    return any(isinstance(m, nn.RNNBase | nn.RNNCellBase) for m in model.modules())


def _of(module: nn.Module, function: str) -> Iterator[Place]:
    count, both = getattr(module, "num_layers", None), getattr(module, "bidirectional", False)
    heads = getattr(module, "heads", 1)
    hidden = getattr(module, "hidden_size", None) or getattr(module, "hidden_channels", 1)
    graph: Any = module._graph
    weights: Any = module.weights
    which = [()] if count is None else [(k, d) for k in range(count) for d in (False, True)[: 1 + both]]
    for place in which:
        views = weights(*place)
        if computed := [name for name, view in views.items() if not _is_stored(view)]:
            remedy = "begin its weights before it is parametrised"
            raise arguments.wrong(function, "weights that can be written", f"{computed[0]}, which is computed", remedy)
        yield Place(module, graph, views, views._parts, heads, hidden)


def _is_stored(view: Tensor) -> bool:
    """Whether what is written there stays."""
    return isinstance(view if view._base is None else view._base, nn.Parameter)
