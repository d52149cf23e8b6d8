"""A stack of layers, whichever of its layers are one node and whichever a Scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..graph import Graph
from ..graph.node import Node, node
from ..nn.initial import learned
from ..nn.stack import Stack
from . import native, scan
from .builder import Body, Value
from .clock import Clock
from .forms import Found, find
from .report import Used


class Given(NamedTuple):
    """What one stack is called with: names of values, time first.

    inputs: (T, B, features) each, or (B, features) where it is the same at every step. states: before the first step,
    (layers · directions, B, width) each, or None; past: the inputs before it that the cell looks back at, likewise.
    """

    inputs: Sequence[Value]
    states: Sequence[str] | None
    past: Sequence[str] | None
    clock: Clock


class Result(NamedTuple):
    """output: (T, B, features). states, past: what a call that goes on begins with. used: which nodes there are."""

    output: Value
    states: list[str]
    past: list[str]
    used: list[Used]


Written = tuple[Value, list[str], list[str]]
"""Of one layer: the output, the final states, and the inputs that the next call looks back at."""


@dataclass(frozen=True)
class LayerWriter:
    """Writes the layers of one stack. prefix: of all names; allowed: whether nodes of ONNX's own may be used."""

    body: Body
    layer: Stack
    prefix: str
    allowed: bool = True

    @property
    def graph(self) -> Graph:
        """The equations in evaluation."""
        return self.layer.regularisers.equations[False]

    def write(self, given: Given) -> Result:
        """All layers after each other."""
        found, why = self._native(given.clock)
        (x, *others), used = given.inputs, []
        finals: list[list[str]] = [[] for _ in self.graph.states]
        past: list[str] = []
        for k in range(self.layer.num_layers):
            inputs = [x, *others]
            x, rows, seen = self._as_node(k, found, x, given) if found else self._as_scan(k, inputs, given)
            for kept, row in zip(finals, rows, strict=True):
                kept.append(row)
            past += seen
            used.append(Used(f"{self.prefix}l{k}", found.form.op if found else "Scan", why))
        return Result(x, [self.body.joined(rows, 0) for rows in finals], past, used)

    def _native(self, clock: Clock) -> tuple[Found | None, str]:
        """The operator that every layer becomes, or None; and why."""
        found = find(self.graph)
        if found is None:
            return None, "the equations are no operator's of ONNX"
        op = found.form.op
        if not self.allowed:
            return None, "native=False"
        if self.layer.heads > 1:
            return None, f"{op} knows no heads"
        if clock.given_reset is not None:
            return None, f"{op} knows no resets"
        if self.body.shared.dtype != torch.float32:
            return None, f"ONNX Runtime has {op} in float32 alone"
        return found, "the equations are the operator's" + _details(found)

    # -- one layer -------------------------------------------------------------------------------------

    def _as_node(self, k: int, found: Found, x: Value, given: Given) -> Written:
        both = range(self.layer.directions)
        weights = [self._weights(k, d) for d in both]
        starts = [self._rows_of(s, k) for s in given.states] if given.states else self._starts_of_node(k, given.clock)
        parts = native.Native(found, weights, f"{self.prefix}l{k}.", starts)
        outputs, finals = native.write(self.body, parts, x.name, given.clock, self.layer.merge)
        return Value(outputs, 3, self._width()), finals, []

    def _starts_of_node(self, k: int, clock: Clock) -> list[str] | None:
        """Learned states in the form of a node, (D, B, width); None where all begin at 0."""
        if not self.layer.learned:
            return None
        each = [self._starts(k, d, clock) for d in range(self.layer.directions)]
        zero = self.body.whole(0)
        return [
            self.body.joined([self.body.node("Unsqueeze", row, zero) for row in rows], 0)
            for rows in zip(*each, strict=True)
        ]

    def _as_scan(self, k: int, inputs: list[Value], given: Given) -> Written:
        outputs, each, zero = [], [], self.body.whole(0)
        past = given.past[k] if given.past else None
        for d in range(self.layer.directions):
            at = k * self.layer.directions + d
            starts = [self.body.node("Gather", s, self.body.one_whole(at), axis=0) for s in given.states or ()]
            prefix = f"{self.prefix}l{k}{'_reverse' * d}."
            direction = scan.Direction(
                self.graph,
                self._weights(k, d),
                prefix,
                self._leaves(inputs, past, given.clock, reverse=d == 1),
                starts or self._starts(k, d, given.clock),
                self._initial(k, d),
                tuple(self.layer.state_sizes.values()),
                self.layer._width_of_output,
                reverse=d == 1,
            )
            y, finals = scan.write(self.body, direction, given.clock)
            outputs.append(y)
            each.append([self.body.node("Unsqueeze", s, zero) for s in finals])
        rows = [self.body.joined(both, 0) for both in zip(*each, strict=True)]
        seen = [self._remembered(inputs, past, given.clock)] if past else []
        return Value(self._merged(outputs), 3, self._width()), rows, seen

    def _weights(self, k: int, d: int) -> dict[str, Tensor]:
        return {name: w.detach().cpu() for name, w in self.layer.named_weights(k, d).items()}

    def _width(self) -> int:
        return self.layer.output_size

    def _merged(self, outputs: list[str]) -> str:
        """Both directions side by side, or their sum or mean."""
        if len(outputs) == 1 or self.layer.merge == "concat":
            return self.body.joined(outputs, -1)
        both = self.body.node("Add", *outputs)
        return both if self.layer.merge == "sum" else self.body.node("Mul", both, self.body.number(0.5))

    # -- states ----------------------------------------------------------------------------------------

    def _rows_of(self, state: str, k: int) -> str:
        """The rows of one layer, (D, B, width)."""
        count = self.layer.directions
        return state if self.layer.num_layers == 1 else self.body.slice(state, k * count, (k + 1) * count)

    def _initial(self, k: int, d: int) -> list[float | Tensor]:
        """What every state becomes at a reset: a number, or the learned (width,)."""
        values = [float(value) for _, value in self.layer.starts if not isinstance(value, Node)]
        own = dict(zip(self.layer.learned, learned(self.layer, k, d), strict=True))
        return [own.get(name, value) for name, value in zip(self.layer.state_sizes, values, strict=True)]

    def _starts(self, k: int, d: int, clock: Clock) -> list[str]:
        """Every state before the first step, (B, width) each."""
        starts = []
        for value, (name, width) in zip(self._initial(k, d), self.layer.state_sizes.items(), strict=True):
            if isinstance(value, Tensor):
                row = self.body.weight(value, f"{self.prefix}l{k}{'_reverse' * d}.{name}_0")
                shape = self.body.joined([clock.batch, self.body.whole(width)], 0)
                starts.append(self.body.node("Expand", row, shape))
            else:
                starts.append(self.body.filled(value, clock.batch, width))
        return starts

    # -- inputs ----------------------------------------------------------------------------------------

    def _leaves(self, inputs: list[Value], past: str | None, clock: Clock, *, reverse: bool) -> dict[Node, Value]:
        """The inputs, and what they were k steps earlier."""
        named = dict(zip(self.layer.cell.inputs, inputs, strict=True))
        leaves = {node("input", attr=name): value for name, value in named.items()}
        depth, parts = max((k for _, k in self.layer.looks_back), default=0), {}
        if past is not None:
            parts = self._parts(named, past)
        for name, k in self.layer.looks_back:
            x = self._over_time(named[name], clock)
            shifted = clock.earlier(x.name, x.width, k, parts.get(name), depth, reverse=reverse)
            leaves[node("previous", node("input", attr=name), attr=k)] = Value(shifted, 3, x.width)
        return leaves

    def _over_time(self, x: Value, clock: Clock) -> Value:
        """An input as it is at every step."""
        if x.rank == 3:
            return x
        shape = self.body.joined([clock.steps, clock.batch, self.body.whole(x.width)], 0)
        return Value(self.body.node("Expand", x.name, shape), 3, x.width)

    def _seen(self, named: dict[str, Value]) -> list[str]:
        """The inputs that the cell looks back at, in its order."""
        back = {name for name, _ in self.layer.looks_back}
        return [name for name in named if name in back]

    def _parts(self, named: dict[str, Value], past: str) -> dict[str, str]:
        """The inputs before the first step, which lie side by side."""
        names = self._seen(named)
        if len(names) == 1:
            return {names[0]: past}
        widths = self.body.whole(*(named[name].width for name in names))
        return dict(zip(names, self.body.nodes_of("Split", [past, widths], names, axis=-1), strict=True))

    def _remembered(self, inputs: list[Value], past: str, clock: Clock) -> str:
        named = dict(zip(self.layer.cell.inputs, inputs, strict=True))
        parts, depth = self._parts(named, past), max(k for _, k in self.layer.looks_back)
        rows = [clock.remembered(self._over_time(named[n], clock).name, part, depth) for n, part in parts.items()]
        return self.body.joined(rows, -1)


def _details(found: Found) -> str:
    """What of the operator is used besides the usual."""
    hyper, said = found.form.cell.hyper, []
    said += ["peepholes"] if hyper.get("peepholes") else []
    said += ["coupled gates"] if hyper.get("coupled") else []
    said += [f"clip {hyper['clip']:g}"] if hyper["clip"] else []
    return f" ({', '.join(said)})" if said else ""
