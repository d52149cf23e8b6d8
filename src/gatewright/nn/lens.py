"""What looks into a layer, or changes it, while it runs: `gw.record` and `gw.clamp` on the side of the layer.

A lens is more equations, never another way to run: values are written out by the kernels that compute them, a change
is a rewritten graph, and an adjoint is the gradient of a zero that is added to the value,

    c = f ⊙ c + i ⊙ g   →   c = f ⊙ c + i ⊙ g + 0_t,        ∂loss/∂c_t = ∂loss/∂0_t

so the same backward kernels, regularisers, lengths and resets hold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch
from torch import Tensor

from ..backends.vendor import in_transform
from ..graph import Graph
from ..graph.alter import OLD, changed, with_inputs
from ..graph.node import Node, const, node, rewrite

if TYPE_CHECKING:
    from .call import Call
    from .stack import Stack


class Place(NamedTuple):
    """One layer in one direction."""

    layer: int
    reverse: bool


class Taker(Protocol):
    """Who gets what one call of a layer in one direction shows; all is (T, B, width), 0 behind a sequence's end."""

    def value(self, name: str, value: Tensor) -> None: ...

    def adjoint(self, name: str, adjoint: Tensor) -> None:
        """When backward has it; several times where it is called several times."""
        ...


class Mask(NamedTuple):
    """The units and the steps that are changed; None for all.

    Where everything is, there is a mask all the same: selected, not left out, an old value keeps its width and its
    weights their gradient of 0.
    """

    units: Tensor | None
    steps: Tensor | slice | None

    def over(self, like: Tensor, width: int) -> Tensor:
        """(T, 1, width) or (1, 1, width): 1 where something is changed; `like` is (T, B, ·)."""
        chosen = like.new_zeros(width) if self.units is not None else like.new_ones(width)
        if self.units is not None:
            chosen[self.units.to(like.device)] = 1
        if self.steps is None:
            return chosen.view(1, 1, width)
        steps = like.new_zeros(like.shape[0], 1, 1)
        steps[self.steps] = 1
        return steps * chosen


class Change(NamedTuple):
    """A value that becomes another one: an expression over the input `OLD`, a number being the simplest.

    given: whether the new value is a tensor instead, which is then an input of its own.
    """

    name: str
    expression: Node
    given: bool


@dataclass(frozen=True, eq=False)
class Lens:
    """One `with` block, on one layer.

    names, adjoints: whose values and whose adjoints are given. begin: who takes those of a call; asked before it.
    changes: what is changed; with it the new value, where it is a tensor, and the mask.
    layer, reverse: the layers and the direction that are meant; None for all.
    """

    names: tuple[str, ...] = ()
    adjoints: tuple[str, ...] = ()
    begin: Callable[[Stack, Place, Call], Taker] | None = None
    changes: tuple[tuple[Change, Tensor | None, Mask], ...] = ()
    layer: int | None = None
    reverse: bool | None = None

    def is_on(self, place: Place) -> bool:
        return self.layer in (None, place.layer) and self.reverse in (None, place.reverse)


class View(NamedTuple):
    """The equations that run under some lenses, with inputs behind the cell's own: those of changes, then probes."""

    graph: Graph
    names: tuple[str, ...]
    probes: tuple[str, ...]


@lru_cache(maxsize=256)
def _view(graph: Graph, changes: tuple[Change, ...], names: tuple[str, ...], probes: tuple[str, ...]) -> View:
    inputs: list[str] = []
    for k, change in enumerate(changes):
        new, mask = f"new {change.name} {k}" if change.given else None, f"where {change.name} {k}"
        inputs += [new, mask] if new else [mask]
        graph = changed(graph, change.name, lambda old: _new(old, change, new, mask))  # noqa: B023 called at once
    for name in probes:
        inputs.append(f"zero {name}")
        graph = changed(graph, name, lambda old: node("add", old, node("input", attr=inputs[-1])))
    return View(with_inputs(graph, tuple(inputs)), names, probes)


def _new(old: Node, change: Change, new: str | None, mask: str) -> Node:
    found = rewrite([change.expression], lambda n: old if n.op == "input" and n.attr == OLD else n)
    value = node("input", attr=new) if new else found[change.expression]
    return node("where", node("gt", node("input", attr=mask), const(0.5)), value, old)


class Look:
    """One call of one layer in one direction, under the lenses that are on it."""

    def __init__(self, layer: Stack, call: Call, place: Place):
        _check_called_plainly()
        self.layer, self.place = layer, place
        self.lenses = tuple(lens for lens in layer.lenses if lens.is_on(place))
        self.takers = [lens.begin(layer, place, call) if lens.begin else None for lens in self.lenses]
        names = dict.fromkeys(name for lens in self.lenses for name in lens.names)
        probes = dict.fromkeys(name for lens in self.lenses for name in lens.adjoints)
        changes = tuple(change for lens in self.lenses for change, *_ in lens.changes)
        self.view = _view(layer.running, changes, tuple(names), tuple(probes) if torch.is_grad_enabled() else ())

    def inputs(self, like: Tensor) -> tuple[Tensor, ...]:
        """What stands behind a cell's own inputs, (T, B, width) each; it takes memory where steps differ alone."""
        found: list[Tensor] = []
        for lens in self.lenses:
            for change, value, mask in lens.changes:
                if value is not None:
                    found.append(self._laid_out(value.to(like), like))
                found.append(mask.over(like, self._width(change.name)).expand(*like.shape[:2], -1))
        return (*found, *(_Zero.apply(ANCHOR, like, self._width(name), self._sink(name)) for name in self.view.probes))

    def show(self, values: list[Tensor]) -> None:
        """Hand the values of the view's names to those who asked for them."""
        by_name = dict(zip(self.view.names, values, strict=True))
        for lens, taker in zip(self.lenses, self.takers, strict=True):
            if taker is not None:
                for name in lens.names:
                    taker.value(name, by_name[name])

    def _laid_out(self, t: Tensor, like: Tensor) -> Tensor:
        """(width,), or (T, B, width) laid out as the user's input is, as (T, B, width)."""
        turned = t.transpose(0, 1) if self.layer.batch_first and t.dim() == 3 else t
        return turned.expand(*like.shape[:2], t.shape[-1])

    def _width(self, name: str) -> int:
        layer = self.layer
        return layer._layers[self.place.layer].sizes.of(layer.equations.watchable()[name])

    def _sink(self, name: str) -> Callable[[Tensor], None]:
        pairs = zip(self.lenses, self.takers, strict=True)
        takers = [taker for lens, taker in pairs if taker is not None and name in lens.adjoints]

        def give(adjoint: Tensor) -> None:
            for taker in takers:
                taker.adjoint(name, adjoint)

        return give


def _check_called_plainly() -> None:
    if torch.compiler.is_compiling() or in_transform():
        where = "torch.compile" if torch.compiler.is_compiling() else "torch.func"
        raise RuntimeError(f"gw.record and gw.clamp: there is nothing to see inside {where}; call the model itself")


ANCHOR = torch.zeros((), requires_grad=True)
"""A zero needs a gradient, or autograd would not ask for one."""


class _Zero(torch.autograd.Function):
    """Zeros (T, B, width), whose gradient is told and goes no further."""

    @staticmethod
    def forward(ctx, anchor, like, width, give):  # noqa: ARG004
        ctx.give = give
        return like.new_zeros(width).expand(*like.shape[:2], width)

    @staticmethod
    def backward(ctx, *grads):
        ctx.give(grads[0])
        return None, None, None, None
