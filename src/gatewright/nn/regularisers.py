"""The regularisers of a layer: the equations that run in training and in evaluation, and dropped weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..backends.philox import weight_chance
from ..backends.reference import Draw
from ..graph import Graph
from ..plan.regularise import Rates, chances, rate, recurrent_matrices, regularised
from .layout import Layout


@dataclass(frozen=True)
class Regularisers:
    """What was asked for, and what it means for the equations; `made` checks it.

    equations: the graph that runs in evaluation, and the one in training.
    matrices: the stored tensors of which elements are dropped in training.
    refusals: why the vendors' kernels cannot run that, in evaluation and in training; None where they can.
    """

    recurrent_dropout: Rates
    zoneout: Rates
    weight_drop: float
    equations: tuple[Graph, Graph]
    matrices: tuple[str, ...]
    refusals: tuple[str | None, str | None]

    @property
    def draws(self) -> bool:
        """Whether anything is random in training: the vendors' kernels refuse every regulariser, and each draws."""
        return self.refusals[True] is not None

    def seed(self, training: bool, device: torch.device) -> Tensor | None:
        """The seed of one call, from torch's generator; None where nothing is random."""
        if not training or not self.draws:
            return None
        return torch.randint((1 << 63) - 1, (), dtype=torch.int64).to(device)

    def dropped(self, tensors: dict[str, Tensor], draw: Draw) -> dict[str, Tensor]:
        """The stored tensors of one layer and direction, elements of the recurrent matrices at 0 and the rest scaled.

        Their masks follow those of the equations.
        """
        if not self.matrices:
            return tensors
        found = dict(tensors)
        for index, name in enumerate(self.matrices, len(chances(self.equations[True]))):
            weight = tensors[name]
            rows, columns = weight.shape
            off = weight_chance(
                self.weight_drop, seed=draw.seed, stream=draw.stream | index, rows=rows, columns=columns
            )
            found[name] = torch.where(off, 0.0, weight * (1 / (1 - self.weight_drop)))
        return found


def made(graph: Graph, layout: Layout, *, recurrent_dropout: Rates, zoneout: Rates, weight_drop: float) -> Regularisers:
    """The regularisers of a layer with these equations; raises ValueError or TypeError where they do not fit."""
    given = (_kept(recurrent_dropout), _kept(zoneout), rate("weight_drop", weight_drop))
    rates: dict[str, Rates] = {"recurrent_dropout": given[0], "zoneout": given[1]}
    equations = (regularised(graph, training=False, **rates), regularised(graph, training=True, **rates))
    matrices = _matrices(graph, layout) if weight_drop else ()
    if weight_drop and not matrices:
        raise ValueError(f"weight_drop: expected 0, got {weight_drop}; the cell has no recurrent product")
    words = {"dropout": "recurrent dropout", "zoneout": "zoneout"}
    random = [word for kind, word in words.items() if any(n.attr[0] == kind for n in chances(equations[True]))]
    refusals = (
        _refusal(["zoneout"] if equations[False] != graph else []),
        _refusal(random + (["weight drop"] if weight_drop else [])),
    )
    return Regularisers(*given, equations, matrices, refusals)


def _kept(given: Rates) -> Rates:
    """A copy, so that nobody changes what has been checked."""
    return dict(given) if isinstance(given, Mapping) else given


def _matrices(graph: Graph, layout: Layout) -> tuple[str, ...]:
    """The stored tensors that hold recurrent matrices."""
    names = {u.attr.name for matrices in recurrent_matrices(graph).values() for u in matrices}
    rows = {row for name in names for row in layout.parts[name]}
    return tuple(s.name for s in layout.stored if any(name in rows for name, _ in s.rows))


def _refusal(missing: list[str]) -> str | None:
    return f"torch's kernels know no {' and no '.join(missing)}" if missing else None
