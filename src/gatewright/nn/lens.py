"""What looks into a layer, or changes it, while it runs: `gw.record` and `gw.clamp` on the side of the layer.

A lens is more equations, never another way to run: values are written out by the kernels that compute them, a change
is a rewritten graph, and an adjoint is the gradient of a zero that is added to the value,

    c = f ⊙ c + i ⊙ g   →   c = f ⊙ c + i ⊙ g + 0_t,        ∂loss/∂c_t = ∂loss/∂0_t

so the same backward kernels, regularisers, lengths and resets hold.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch
from torch import Tensor

from ..backends.vendor import in_transform
from ..graph import Graph
from ..graph.alter import OLD, changed, with_inputs
from ..graph.node import Node, const, node, rewrite
from ..graph.widths import SCALAR
from . import arguments

if TYPE_CHECKING:
    from .call import Call
    from .stack import Stack


class Place(NamedTuple):
    """One layer in one direction."""

    layer: int
    reverse: bool


class Taker(Protocol):
    """Who gets what one call of a layer in one direction shows; all is (T, B, width), 0 behind a sequence's end."""

    def show(self, values: Mapping[str, Tensor]) -> None:
        """All at once, when the call has run."""
        ...

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
        count = len(like)
        if isinstance(self.steps, Tensor) and not bool(((self.steps >= -count) & (self.steps < count)).all()):
            remedy = "a slice may go past the end"
            raise arguments.wrong("steps", f"steps of a sequence of {count}", self.steps.tolist(), remedy)
        steps = like.new_zeros(count, 1, 1)
        steps[self.steps] = 1
        return steps * chosen


class Change(NamedTuple):
    """A value that becomes another one: an expression over the state `OLD`; None: what is given at each call.

    Numbers are given, as tensors are, so that another number is no other program to compile.
    """

    name: str
    expression: Node | None


Given = Tensor | float | None


@dataclass(frozen=True, eq=False)
class Lens:
    """One `with` block, on one layer.

    names, adjoints: whose values and whose adjoints are given. begin: who takes those of a call; asked before it.
    changes: what is changed; with it the new value, where it is given, and the mask.
    layer, reverse: the layers and the direction that are meant; None for all.
    """

    names: tuple[str, ...] = ()
    adjoints: tuple[str, ...] = ()
    begin: Callable[[Stack, Place, Call], Taker] | None = None
    changes: tuple[tuple[Change, Given, Mask], ...] = ()
    layer: int | None = None
    reverse: bool | None = None

    def is_on(self, place: Place) -> bool:
        return self.layer in (None, place.layer) and self.reverse in (None, place.reverse)


class Lenses(tuple[Lens, ...]):
    """Those on a layer. They are no part of a layer that is copied or saved."""

    def __deepcopy__(self, memo: dict) -> Lenses:
        return Lenses()

    def __reduce__(self):
        return Lenses, ()


class _Unseen(threading.local):
    """`with unseen:` calls in this thread are shown to nobody; changes hold all the same."""

    depth = 0

    def __enter__(self) -> None:
        self.depth += 1

    def __exit__(self, *_: object) -> None:
        self.depth -= 1


unseen = _Unseen()


class View(NamedTuple):
    """The equations that run under some lenses, with inputs behind the cell's own: those of changes, then probes."""

    graph: Graph
    names: tuple[str, ...]
    probes: tuple[str, ...]


@lru_cache(maxsize=256)
def _view(graph: Graph, changes: tuple[Change, ...], names: tuple[str, ...], probes: tuple[str, ...]) -> View:
    inputs: list[str] = []
    single = {name for name, n in graph.watchable().items() if graph.widths.of(n) == SCALAR}

    def given(what: str, name: str) -> Node:
        inputs.append(what)  # without a space: a width that is called so would be that of the layer
        found = node("input", attr=what)
        return node("mean", found) if name in single else found  # a scalar is no vector that fits all others

    for k, (name, expression) in enumerate(changes):
        new = expression or given(f"new:{name}:{k}", name)
        where = node("gt", given(f"where:{name}:{k}", name), const(0.5))
        graph = changed(graph, name, lambda old: node("where", where, _of(new, old), old))  # noqa: B023
    for name in probes:
        zero = given(f"zero:{name}", name)
        graph = changed(graph, name, lambda old: node("add", old, zero))  # noqa: B023 it is called at once
    return View(with_inputs(graph, tuple(inputs)), names, probes)


def _of(expression: Node, old: Node) -> Node:
    """What an expression makes of a value."""
    return rewrite([expression], lambda n: old if n.op == "state" and n.attr == OLD else n)[expression]


class Look:
    """One call of one layer in one direction, under the lenses that are on it."""

    def __init__(self, layer: Stack, call: Call, place: Place):
        _check_called_plainly()
        self.layer, self.place, self.call = layer, place, call
        on = [lens for lens in layer.lenses if lens.is_on(place)]
        self.changes = [change for lens in on for change in lens.changes]
        shown = [] if unseen.depth else [(lens, lens.begin) for lens in on if lens.begin]
        self.takers = [(lens, begin(layer, place, call)) for lens, begin in shown]
        names = dict.fromkeys(name for lens, _ in self.takers for name in lens.names)
        probes = dict.fromkeys(name for lens, _ in self.takers for name in lens.adjoints)
        changes = tuple(change for change, *_ in self.changes)
        self.view = _view(layer.running, changes, tuple(names), tuple(probes) if torch.is_grad_enabled() else ())

    def inputs(self, like: Tensor) -> tuple[Tensor, ...]:
        """What stands behind a cell's own inputs, (T, B, width) each; it takes memory where steps differ alone."""
        found: list[Tensor] = []
        for change, value, mask in self.changes:
            width = self._width(change.name)
            if value is not None:
                found.append(self._laid_out(change.name, value, like, width))
            found.append(mask.over(like, width).expand(*like.shape[:2], -1))
        return (*found, *(self._zero(name, like) for name in self.view.probes))

    def show(self, values: list[Tensor]) -> None:
        """Hand the values of the view's names to those who asked for them."""
        by_name = dict(zip(self.view.names, values, strict=True))
        for lens, taker in self.takers:
            taker.show({name: by_name[name] for name in lens.names})

    def _laid_out(self, name: str, value: Tensor | float, like: Tensor, width: int) -> Tensor:
        """What is given, as (T, B, width): a number, (width,), or laid out as the user's input is."""
        if not isinstance(value, Tensor):
            return like.new_full((width,), value).expand(*like.shape[:2], width)
        t, shape = value.to(like), (*like.shape[:2], width)
        if t.dim() == 1 and len(t) == width:
            return t.expand(shape)
        if t.dim() == 2 and not self.call.batched:
            t = t.unsqueeze(1)
        elif t.dim() == 3 and self.layer.batch_first:
            t = t.transpose(0, 1)
        if t.shape != shape:
            T, B = shape[:2]
            sizes = (T, width) if not self.call.batched else (B, T, width) if self.layer.batch_first else shape
            raise arguments.wrong(name, f"{(width,)} or {sizes} in this call", f"shape {tuple(value.shape)}")
        return t if self.call.order is None else t.index_select(1, self.call.order.argsort())

    def _width(self, name: str) -> int:
        layer = self.layer
        return layer._layers[self.place.layer].sizes.of(layer.equations.watchable()[name])

    def _zero(self, name: str, like: Tensor) -> Tensor:
        takers = [taker for lens, taker in self.takers if name in lens.adjoints]

        def give(adjoint: Tensor) -> None:
            for taker in takers:
                taker.adjoint(name, adjoint)

        return _Zero.apply(ANCHOR, like, self._width(name), give)


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
        ctx.give, ctx.width = give, width
        return _zeros(like, width)

    @staticmethod
    def backward(ctx, *grads):
        ctx.give(grads[0])
        return None, None, None, None

    @staticmethod
    def jvp(ctx, *along):
        return _zeros(along[1], ctx.width)


def _zeros(like: Tensor, width: int) -> Tensor:
    return like.new_zeros(width).expand(*like.shape[:2], width)
