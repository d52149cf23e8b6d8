"""The plan of one direction of one layer: all that code generators share, and nothing that only one of them knows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from ..graph.graph import Graph
from ..graph.widths import Width
from .backward import Backward, Reversed, planned_backward
from .forward import Forward, Panels, planned_forward, readable
from .places import Typing
from .step import Chance, Step, Storage


@dataclass(frozen=True)
class Plan:
    """How a cell's step runs, forwards and, where it was made for training, backwards.

    inputs: the cell's inputs by (name, steps back), in the order of the tensors. states, vectors: what is stored row
    by row or in panels. chances: the random masks. output: its width; output_state: the state that it is, if a product
    reads that state row by row.
    """

    graph: Graph
    inputs: tuple[tuple[str, int], ...]
    input_widths: tuple[Width, ...]
    states: tuple[Storage, ...]
    vectors: tuple[Storage, ...]
    chances: tuple[Chance, ...]
    reset: bool
    every: bool
    record: tuple[tuple[str, Width], ...]
    output: Width
    output_state: str | None
    forward: Forward
    backward: Backward | None
    typing: Typing


@lru_cache(maxsize=256)
def plan(
    graph: Graph,
    *,
    train: bool,
    reset: bool = False,
    every: bool = False,
    record: tuple[str, ...] = (),
) -> Plan:
    """Plan a graph.

    Args:
        train: backwards too.
        reset: episodes may start inside a sequence.
        every: every state is given at every step.
        record: names whose values are given at every step.
    """
    step = Step(graph, reset=reset, record=record)
    panels = Panels(step)
    at_hand = readable(step)
    back = Reversed(step, panels) if train else None
    forward = planned_forward(step, panels, every=every, readable=at_hand, saved=back.wanted if back else ())
    backward = planned_backward(back, forward, at_hand, every=every) if back else None
    widths = tuple(step.graph.widths.of(n) for n in _input_nodes(step))
    return Plan(
        graph=step.graph,
        inputs=tuple(step.inputs),
        input_widths=widths,
        states=step.states,
        vectors=tuple(step.vectors),
        chances=tuple(step.chances.values()),
        reset=reset,
        every=every,
        record=tuple((name, step.typing.of(n)) for name, n in step.records.items()),
        output=step.typing.of(step.output),
        output_state=next((s.name for s in step.states if s.rows and step.new_states[s.name] is step.output), None),
        forward=forward,
        backward=backward,
        typing=step.typing,
    )


def _input_nodes(step: Step):
    from ..graph.node import node

    for name, k in step.inputs:
        x = node("input", attr=name)
        yield node("previous", x, attr=k) if k else x
