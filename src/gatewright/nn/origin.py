"""Where a call's first value that is not finite arose: layer, step, sequence, and node of the equations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..backends.masks import in_order
from ..backends.padding import Sequences
from ..backends.reference import Draw, Interpreter, prepared
from ..graph import Graph
from ..graph.node import Node, topological
from ..graph.notation.printer import Printer
from . import by_reference, walk
from .call import Call
from .initial import initial
from .walk import Pass, Passed, Past

if TYPE_CHECKING:
    from .stack import Stack

LAYER = "{layer}"
"""Stands in a text for what the layer is called."""

ACROSS = frozenset({"linear", "linear_t", "outer", "sum", "mean", "max", "repeat", "block_sum"})
"""Operations of which a unit's value comes from other units' too."""


class _Found(Exception):
    """Ends the run; its text says where and from what."""


def first_fault(layer: Stack, call: Call) -> str | None:
    """What to say of a call; None where the reference finds every value finite."""
    try:
        walk.run(layer, call, _searched)
    except _Found as found:
        return str(found)
    return None


def _searched(given: Pass) -> Passed:
    y, states, kept, values = by_reference.direction(given)
    if (place := _first_place(given, y, states)) is not None:
        raise _Found(_explained(given, states, *place))
    return y, states, kept, values


def _first_place(given: Pass, y: Tensor, states: list[Tensor]) -> tuple[int, int] | None:
    """(step in the user's order, sequence) of the first fault in the order of processing.

    y, states: (T, B, width), 0 behind a sequence's end.
    """
    faults = not_finite(y).any(-1)
    for state, (_, begins) in zip(states, given.layer.starts, strict=True):
        faults |= not_finite(state, begins).any(-1)
    steps = torch.arange(len(y), device=y.device).unsqueeze(-1).expand(faults.shape)
    if not faults.any():
        return None
    order = _turned(steps, given)
    first = torch.where(faults, order, len(y)).flatten().argmin().item()
    step, sequence = divmod(int(first), faults.shape[1])
    return step, sequence


def _turned(step: Tensor, given: Pass) -> Tensor:
    """The place of steps in the order of processing."""
    if given.d == 0:
        return step
    return (step.shape[0] if given.lengths is None else given.lengths) - 1 - step


def not_finite(values: Tensor, begins: float | Node = 0.0) -> Tensor:
    """Where values are not finite, and not the infinity with which their state begins."""
    found = ~values.isfinite()
    return found & (values != begins) if isinstance(begins, float) else found


# -- one step ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """What one sequence's values are at one step: the values of every node, and which of them are faults."""

    graph: Graph
    values: dict[Node, Tensor]
    bad: dict[Node, Tensor]


def _explained(given: Pass, states: list[Tensor], step: int, sequence: int) -> str:
    row = _row(given, states, step, sequence)
    direction = ", reverse direction" if given.d else ""
    where = f"layer {given.k}{direction} of {LAYER}, at step {step} of {_length(given, sequence)}, sequence {sequence}"
    result = next((n for n in row.graph.results if row.bad[n].any()), None)
    if result is None:  # a step alone is rounded otherwise than among others, just on this side of the largest number
        return f"inf in {where}"
    origin = _origin(result, row)
    kind = _value(row.values[origin][_first(row.bad[origin])])
    return f"{kind} in {where}:\n  {_cause(origin, row, given.layer)}"


def _length(given: Pass, sequence: int) -> int:
    return len(given.inputs[0]) if given.lengths is None else int(given.lengths[sequence])


def _row(given: Pass, states: list[Tensor], step: int, sequence: int) -> Row:
    layer = given.layer
    graph = prepared(layer.running).graph
    order = topological(graph.results)
    sequences = in_order(given.inputs, given.lengths, given.reset, reverse=given.d == 1)
    sequences = Past(layer, given.past, sequences).attached()
    at = _length(given, sequence) - 1 - step if given.d else step
    old = list(given.states) if at == 0 else [s[step + 1 if given.d else step - 1] for s in states]
    if sequences.reset is not None and sequences.reset[at, sequence]:
        old = [i.expand_as(o) for i, o in zip(initial(layer, given.k, given.d, old[0]), old, strict=True)]
    values = _leaves(graph, order, layer.named_weights(given.k, given.d, given.draw), sequences, at)
    values |= {s.old: o for s, o in zip(graph.states, old, strict=True)}
    Interpreter(values, sequences.inputs[0], mask=_mask(given.draw, at)).run(order)
    fixed = _fixed(order)
    own = {n: v if n in fixed else v[sequence] for n, v in ((n, values[n]) for n in order)}
    own = {n: v if v.dim() else v.reshape(1) for n, v in own.items()}
    begins = {s.old: begin for s, (_, begin) in zip(graph.states, layer.starts, strict=True)}
    return Row(graph, own, _faults(order, own, begins))


def _leaves(graph: Graph, order: list[Node], weights, sequences: Sequences, at: int) -> dict[Node, Tensor]:
    """The values of inputs and parameters at one step in the order of processing."""
    found: dict[Node, Tensor] = {}
    for n in order:
        if n.op == "param":
            found[n] = weights[n.attr.name]
        elif n.op == "input":
            found[n] = sequences.inputs[graph.inputs.index(n.attr)][at]
        elif n.op == "previous":
            found[n] = sequences.previous[n.args[0].attr, n.attr][at]
    return found


def _mask(draw: Draw | None, at: int):
    """The random masks of one step."""

    def mask(n: Node, like: Tensor) -> Tensor:
        assert draw is not None
        _, _, index, per_step = n.attr
        batch, units = like.shape
        return draw.chance(n.args[0].attr, index, t=at if per_step else 0, sequences=batch, units=units)

    return mask


def _fixed(order: list[Node]) -> set[Node]:
    """What is the same for all sequences."""
    found: set[Node] = set()
    for n in order:
        if n.op in ("param", "const") or (n.args and all(a in found for a in n.args) and n.op != "previous"):
            found.add(n)
    return found


# -- from a fault back to where it came from -----------------------------------------------------------------


def _faults(order: list[Node], values: dict[Node, Tensor], begins: dict[Node, float | Node]) -> dict[Node, Tensor]:
    """Where each value is not finite, but for infinities that are meant.

    Meant are those with which a state begins, those that the equations write, and what an operation makes of
    these alone.
    """
    bad: dict[Node, Tensor] = {}
    for n in order:
        value = values[n]
        found = ~value.isfinite()
        if n.op == "const":
            found = found & False
        elif n.op == "state":
            found = not_finite(value, begins[n])
        elif n.args and n.op != "previous" and found.any():
            infinite = [a for a in n.args if (~values[a].isfinite()).any()]
            if infinite and not any(bad[a].any() for a in infinite):
                found = value.isnan()
        bad[n] = found
    return bad


def _origin(n: Node, row: Row) -> Node:
    """The node in which a fault of n arose: none of what it is computed from is one."""
    while n.op not in ("previous", "input", "state", "param"):
        earlier = next((a for a in n.args if _comes_from(n, a, row)), None)
        if earlier is None:
            return n
        n = earlier
    return n


def _comes_from(n: Node, argument: Node, row: Row) -> bool:
    theirs, own = row.bad[argument], row.bad[n]
    if n.op in ACROSS:
        return bool(theirs.any())
    if n.op == "where" and argument is not n.args[0]:
        test = row.values[n.args[0]].bool()
        own = own & (test if argument is n.args[1] else ~test)
    return bool((theirs & own).any())


def _first(bad: Tensor) -> tuple[int, ...]:
    return tuple(int(i) for i in bad.nonzero()[0])


def _cause(n: Node, row: Row, layer: Stack) -> str:
    at = _first(row.bad[n])
    printer = Printer(row.graph)
    value = _value(row.values[n][at])
    match n.op:
        case "input" | "previous":
            return f"the input {printer.body(n)} is {value} at feature {at[0]}"
        case "state":
            return f"the state {printer.body(n)} that it begins with is {value} at unit {at[0]}"
        case "param":
            return f"the weight {n.attr.name} is {value} at {list(at)}"
    name = next(name for name, root in row.graph.equations if n in topological([root]))
    equation = Printer(layer.running).equation(name, layer.running.names[name])
    operands = ", ".join(_operand(printer, n, a, row, at[0]) for a in dict.fromkeys(n.args))
    return f"{equation}\n  {_short(printer.body(n))} is {value} at unit {at[0]}, with {operands}"


def _operand(printer: Printer, n: Node, argument: Node, row: Row, unit: int) -> str:
    text, value = _short(printer.expression(argument)), row.values[argument]
    if n.op in ACROSS:
        return f"{text} up to {_value(value.abs().max())} in size"
    return f"{text} = {_value(value[unit if value.shape[0] > 1 else 0])}"


def _short(text: str, most: int = 60) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _value(value: Tensor) -> str:
    number = value.item()
    return f"{number:.4g}" if not math.isnan(number) else "nan"
