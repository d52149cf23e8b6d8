"""The regularisers of a layer: the equations that run in training and in evaluation, and dropped weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from operator import itemgetter

import torch
from torch import Tensor

from ..backends.cpu import weight_drop, weight_masks
from ..backends.philox import weight_chance
from ..backends.reference import Draw
from ..graph import Graph
from ..plan.regularise import Rates, chances, rates, recurrent_matrices, regularised
from .layout import Layout, Stored

Chance = Callable[..., Tensor]
"""`backends.philox.weight_chance`, or what draws the same faster."""
Dropped = tuple[int, str, list[tuple[float, int]]]
"""A stored tensor that loses elements: the number of its mask, its name, and (rate, rows) from its first row on."""


@dataclass(frozen=True)
class Regularisers:
    """What was asked for, and what it means for the equations; `made` checks it.

    equations: the graph that runs in evaluation, and the one in training.
    matrices: the rows of stored tensors of which elements are dropped in training, and their rates.
    masks: how many masks the equations have in training.
    refusals: why the vendors' kernels cannot run that, in evaluation and in training; None where they can.
    """

    recurrent_dropout: Rates
    zoneout: Rates
    weight_drop: Rates
    equations: tuple[Graph, Graph]
    matrices: Mapping[str, float]
    masks: int
    refusals: tuple[str | None, str | None]
    _concerned: list[tuple[tuple[Stored, ...], list[Dropped]]] = field(default_factory=list, repr=False, compare=False)

    @property
    def draws(self) -> bool:
        """Whether anything is random in training: the vendors' kernels refuse every regulariser, and each draws."""
        return self.refusals[True] is not None

    def seed(self, training: bool, device: torch.device) -> Tensor | None:
        """The seed of one call, from torch's generator; None where nothing is random."""
        if not training or not self.draws:
            return None
        seed = torch.randint((1 << 63) - 1, (), dtype=torch.int64)
        return seed if device == seed.device else seed.to(device)

    def dropped(
        self, tensors: dict[str, Tensor], layout: Layout, draw: Draw, *, native: bool = False
    ) -> dict[str, Tensor]:
        """The stored tensors of one layer and direction, elements of the recurrent matrices at 0 and the rest scaled.

        Their masks follow those of the equations, one for each stored tensor. native: by kernels of the CPU.
        """
        if not self.matrices:
            return tensors
        found = dict(tensors)
        for index, name, by_rate in self._of(layout):
            weight, source = tensors[name], {"seed": draw.seed, "stream": draw.stream | index}
            if native and weight_drop.drops(weight, draw.seed):
                found[name] = weight_drop.dropped(weight, by_rate, **source)
            else:
                chance = weight_masks.weight_chance if native else weight_chance
                found[name] = _dropped(weight, by_rate, partial(chance, **source))
        return found

    def _of(self, layout: Layout) -> list[Dropped]:
        """What is dropped of a layout; looked up, since a call should cost microseconds."""
        if torch.compiler.is_compiling():  # which knows no identity of tuples
            return self._losing(layout)
        for stored, concerned in self._concerned:
            if stored is layout.stored:
                return concerned
        self._concerned.append((layout.stored, self._losing(layout)))
        return self._concerned[-1][1]

    def _losing(self, layout: Layout) -> list[Dropped]:
        losing = [s for s in layout.stored if any(row in self.matrices for row, _ in s.rows)]
        return [(index, s.name, self._by_rate(s)) for index, s in enumerate(losing, self.masks)]

    def _by_rate(self, stored: Stored) -> list[tuple[float, int]]:
        """(rate, rows) of a stored tensor, neighbours of one rate together."""
        each = [(self.matrices.get(row, 0.0), count) for row, count in stored.rows]
        return [(p, sum(count for _, count in same)) for p, same in groupby(each, key=itemgetter(0))]


def _dropped(weight: Tensor, by_rate: list[tuple[float, int]], chance: Chance) -> Tensor:
    """A stored tensor with elements at 0; the numbers that decide are those of the whole tensor, at every rate."""
    rows, columns = weight.shape
    off = {p: chance(p, rows=rows, columns=columns) for p, _ in by_rate if p}
    pieces, start = [], 0
    for p, count in by_rate:
        piece = weight[start : start + count]
        pieces.append(piece * _scale(off[p][start : start + count], p, weight.dtype) if p else piece)
        start += count
    return torch.cat(pieces) if len(pieces) > 1 else pieces[0]


def _scale(off: Tensor, p: float, dtype: torch.dtype) -> Tensor:
    """0 or 1 / (1 − p): one product with it, forward and backward, is a quarter of the time of a selection."""
    return (~off).to(dtype) * (1 / (1 - p))


def made(graph: Graph, layout: Layout, *, recurrent_dropout: Rates, zoneout: Rates, weight_drop: Rates) -> Regularisers:
    """The regularisers of a layer with these equations; raises ValueError or TypeError where they do not fit."""
    given = (_kept(recurrent_dropout), _kept(zoneout), _kept(weight_drop))
    by_name: dict[str, Rates] = {"recurrent_dropout": given[0], "zoneout": given[1]}
    equations = (regularised(graph, training=False, **by_name), regularised(graph, training=True, **by_name))
    matrices = _matrices(graph, layout, given[2])
    words = {"dropout": "recurrent dropout", "zoneout": "zoneout"}
    masks = chances(equations[True])
    random = [word for kind, word in words.items() if any(n.attr[0] == kind for n in masks)]
    refusals = (
        _refusal(["zoneout"] if equations[False] != graph else []),
        _refusal(random + (["weight drop"] if matrices else [])),
    )
    return Regularisers(*given, equations, matrices, len(masks), refusals)


def _kept(given: Rates) -> Rates:
    """A copy, so that nobody changes what has been checked."""
    return dict(given) if isinstance(given, Mapping) else given


def _matrices(graph: Graph, layout: Layout, weight_drop: Rates) -> dict[str, float]:
    """The rate of every row of the stored tensors that holds a recurrent matrix and loses elements."""
    names = dict.fromkeys(u.attr.name for matrices in recurrent_matrices(graph).values() for u in matrices)
    found = rates("weight_drop", weight_drop, tuple(names), "recurrent matrix")
    return {row: p for name, p in found for row in layout.parts[name]}


def _refusal(missing: list[str]) -> str | None:
    return f"torch's kernels know no {' and no '.join(missing)}" if missing else None
