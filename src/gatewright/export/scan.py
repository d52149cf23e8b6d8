"""One layer in one direction as a Scan, whose body is the cell's own equations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..graph import Graph, State
from ..graph.node import Node, topological
from .builder import Body, Port, Value
from .clock import Clock
from .operators import Emitter


class Direction(NamedTuple):
    """One layer in one direction. leaves: inputs and earlier inputs; starts: the states before the first step."""

    graph: Graph
    weights: Mapping[str, Tensor]
    prefix: str
    leaves: Mapping[Node, Value]
    starts: Sequence[str]
    initial: Sequence[float | Tensor]
    widths: Sequence[int]
    output_width: int
    reverse: bool


class Scan(NamedTuple):
    """What a Scan is made of while it is written: its body, and what runs over time, outside and inside."""

    body: Body
    series: list[str]


def write(outer: Body, given: Direction, clock: Clock) -> tuple[str, list[str]]:
    """Write it; gives the output (T, B, width) and the final states (B, width) each.

    What depends on inputs alone is written ahead, for all steps at once.
    """
    called = {n: name for name, n in given.graph.equations}
    order = topological(given.graph.results)
    stepwise = _per_step(order)
    ahead = Emitter(outer, given.weights, given.prefix, dict(given.leaves))
    ahead.run([n for n in order if n not in stepwise], called)
    scan = Scan(Body(outer.shared), [])
    old = [_port(scan, f"{given.prefix}{s.name}_prev", w).name for s, w in _states(given)]
    values = _frontier(scan, given, _needed(given.graph, order, stepwise), ahead.values)
    on = _mask(scan, clock.active, f"{given.prefix}active_t")
    cut = _mask(scan, clock.cuts(given.reverse), f"{given.prefix}cut_t")
    entering = [_begun(scan.body, cut, s, given, i) for i, s in enumerate(old)]
    for (state, width), name in zip(_states(given), entering, strict=True):
        values[state.old] = Value(name, 2, width)
    inside = Emitter(scan.body, given.weights, given.prefix, values)
    inside.run([n for n in order if n in stepwise], called)
    _results(scan.body, given, inside, entering, on)
    return _node(outer, scan, given)


def _states(given: Direction) -> list[tuple[State, int]]:
    return list(zip(given.graph.states, given.widths, strict=True))


def _port(scan: Scan, name: str, width: int, dtype: torch.dtype | None = None) -> Port:
    scan.body.input(name, ("batch", width), dtype)
    return scan.body.inputs[-1]


def _per_step(order: Sequence[Node]) -> set[Node]:
    """What depends on a state, and so is computed at every step."""
    found: set[Node] = set()
    for n in order:
        if n.op == "state" or any(a in found for a in n.args):
            found.add(n)
    return found


def _needed(graph: Graph, order: Sequence[Node], stepwise: set[Node]) -> list[Node]:
    """What the steps take from what was written ahead."""
    used = {a for n in stepwise for a in n.args} | set(graph.results)
    return [n for n in order if n not in stepwise and n in used]


def _frontier(scan: Scan, given: Direction, needed: list[Node], ahead: Mapping[Node, Value]) -> dict[Node, Value]:
    """The same inside the body: slices of series, and everything else as it is."""
    values: dict[Node, Value] = {}
    names = {n: name for name, n in given.graph.equations}
    for n in needed:
        if n in ahead and ahead[n].rank == 3:
            values[n] = _frontier_value(scan, ahead[n].name, ahead[n], f"{given.prefix}{names.get(n, n.op)}_t")
        elif n in ahead:
            values[n] = ahead[n]
    return values


def _frontier_value(scan: Scan, series: str, value: Value, name: str) -> Value:
    scan.series.append(series)
    return Value(_port(scan, name, value.width).name, 2, value.width)


def _mask(scan: Scan, series: str | None, name: str) -> str | None:
    if series is None:
        return None
    scan.series.append(series)
    return _port(scan, name, 1, torch.bool).name


def _begun(body: Body, cut: str | None, old: str, given: Direction, index: int) -> str:
    """A state as it enters the step: the initial one where a new episode starts."""
    if cut is None:
        return old
    initial = given.initial[index]
    if isinstance(initial, Tensor):
        start = body.weight(initial, f"{given.prefix}{given.graph.states[index].name}_initial")
    else:
        start = body.number(initial)
    return body.node("Where", cut, start, old)


def _results(body: Body, given: Direction, inside: Emitter, entering: Sequence[str], on: str | None) -> None:
    """The new states and the output of a step; behind a sequence's end the old states, and 0."""
    like = entering[0]
    for (state, width), old in zip(_states(given), entering, strict=True):
        new = _rows(inside, state.new, width, like)
        kept = body.node("Where", on, new, old) if on else new
        body.output(kept, f"{given.prefix}{state.name}_next", ("batch", width))
    y = _rows(inside, given.graph.output, given.output_width, like)
    shown = body.node("Where", on, y, body.number(0.0)) if on else y
    body.output(shown, f"{given.prefix}y_t", ("batch", given.output_width))


def _rows(inside: Emitter, n: Node, width: int, like: str) -> str:
    """A value as (B, width), where it is the same for all units or sequences too."""
    value = inside.values[n]
    if value.rank == 2 and value.width == width:
        return value.name
    shape = inside.body.joined([inside.body.size(like, 0), inside.body.whole(width)], 0)
    return inside.body.node("Expand", value.name, shape)


def _node(outer: Body, scan: Scan, given: Direction) -> tuple[str, list[str]]:
    names = [f"{given.prefix}{state.name}_last" for state in given.graph.states]
    turned = {"scan_input_directions": [1] * len(scan.series), "scan_output_directions": [1]} if given.reverse else {}
    *finals, y = outer.nodes_of(
        "Scan",
        [*given.starts, *scan.series],
        [*names, f"{given.prefix}y"],
        body=scan.body,
        num_scan_inputs=len(scan.series),
        **turned,
    )
    return y, finals
