"""A stack of layers by the CPU's kernels."""

from __future__ import annotations

from functools import lru_cache, partial
from itertools import product
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.profiler import record_function

from ..backends.cpu import op
from ..backends.masks import in_order, reversed_in_time
from ..graph import Graph
from ..plan import chances, stream
from ..plan.learned import start_name, with_learned_starts
from ..plan.program import Program
from . import mixed, walk
from .call import Call, weight_of
from .initial import learned
from .layout import Layout
from .walk import Pass, Passed, Past

if TYPE_CHECKING:
    from .stack import Stack

Options = tuple[bool, int, int, bool, bool]
"""What decides on the program of a call: training, layer, direction, whether every state is given, and resets."""


def run(layer: Stack, call: Call) -> tuple[Tensor, tuple[Tensor, ...]]:
    """(output, final states, or every state): as `Stack.forward` returns them, with a batch axis."""
    if torch.is_autocast_enabled("cpu"):
        return _under_autocast(layer, call)
    return walk.run(layer, call, _direction)


def _under_autocast(layer: Stack, call: Call) -> tuple[Tensor, tuple[Tensor, ...]]:
    """In the weights' dtype, but for the products of bfloat16 where the CPU has them; returned in torch's dtypes."""
    own, given = weight_of(layer).dtype, call.inputs[0].dtype
    low = given if own == torch.float64 else torch.get_autocast_dtype("cpu")
    halves = mixed.halves(weight_of(layer))
    with torch.autocast("cpu", enabled=False):
        output, states = walk.run(layer, _converted(call, own), partial(_direction, halves=halves))
    form = layer._layers[0].layout.form
    if form is None or form.mode == "GRU":  # what is mixed with an old state stays as exact as that is
        low, kept = given, given
    else:
        kept = given if form.projection else low  # as torch: c of a projected LSTM is
    first, *others = states
    return output.to(low), (first.to(low), *(s.to(kept) for s in others))


def _converted(call: Call, dtype: torch.dtype) -> Call:
    groups = (call.inputs, call.states, call.past)
    inputs, states, past = (tuple(t.to(dtype) for t in group) for group in groups)
    return call._replace(inputs=inputs, states=states, past=past)


# -- one layer in one direction ------------------------------------------------------------------------------


def _direction(given: Pass, *, halves: bool = False) -> Passed:
    layer, k, d = given.layer, given.k, given.d
    inputs, kept = _looking_back(given) if layer.looks_back else (given.inputs, [])
    weights = layer.stored_weights(k, d, given.draw)
    weights += learned(layer, k, d) if given.reset is not None else ()
    program = layer.programs[layer.training, k, d, given.every, given.reset is not None]
    if given.view is not None:
        program = _of_layer(layer, given.view.graph, k, d, given.every, given.reset is not None, given.view.names)
    seed = None if given.draw is None else given.draw.seed
    how = {"lengths": given.lengths, "reset": given.reset, "seed": seed, "reverse": d == 1, "halves": halves}
    if not torch.compiler.is_compiling() and torch.autograd._profiler_enabled():  # pyright: ignore[reportPrivateImportUsage]
        with record_function(f"gatewright::{layer.cell.name} l{k}{' reverse' * d}"):
            y, final, every, records = op.run(program, inputs, weights, given.states, **how)
    else:
        y, final, every, records = op.run(program, inputs, weights, given.states, **how)
    return y, list(every if given.every else final), kept, list(records)


def _looking_back(given: Pass) -> tuple[tuple[Tensor, ...], list[Tensor]]:
    """(the inputs, and behind them those k steps earlier in the order of processing; those for the next call)."""
    reverse = given.d == 1
    past = Past(given.layer, given.past, in_order(given.inputs, given.lengths, given.reset, reverse=reverse))
    earlier = past.attached().previous.values()  # in the order of `looks_back`, which is the program's
    if reverse:  # the kernel turns them round with all the others
        earlier = [reversed_in_time(x, given.lengths) for x in earlier]
    return (*given.inputs, *earlier), past.for_the_next_call()


# -- programs ------------------------------------------------------------------------------------------------


def programs(layer: Stack) -> dict[Options, Program]:
    """All that a layer may run. They are made ahead, since `torch.compile` cannot look into how they are made."""
    found = {}
    for training, k, d in product((False, True), range(layer.num_layers), range(layer.directions)):
        graph = layer.regularisers.equations[training]
        for every, reset in product((False, True), repeat=2):
            found[training, k, d, every, reset] = _of_layer(layer, graph, k, d, every, reset)
    return found


def _of_layer(
    layer: Stack, graph: Graph, k: int, d: int, every: bool, reset: bool, record: tuple[str, ...] = ()
) -> Program:
    return program_for(
        graph,
        layer._layers[k].layout,
        heads=layer.heads,
        every=every,
        record=record,
        reset=reset,
        first=stream(k, d) if chances(graph) else 0,  # layers without random numbers share a program
        learned=layer.learned if reset else (),
        recompute=layer.kept_every,
    )


def program_for(
    graph: Graph,
    layout: Layout,
    *,
    heads: int = 1,
    every: bool = False,
    record: tuple[str, ...] = (),
    reset: bool = False,
    first: int = 0,
    learned: tuple[str, ...] = (),
    recompute: int | None = None,
) -> Program:
    """The program of equations with the weights stored like this, and behind them the states that are learned.

    `first` is where its random numbers begin.
    """
    starts = tuple(start_name(state) for state in learned)
    stored = (*layout.row_names, *((start,) for start in starts))
    parts = (*layout.parts.items(), *((start, (start,)) for start in starts))
    options = (heads, every, record, reset, first, recompute)
    return _program(with_learned_starts(graph, learned), stored, parts, options)


@lru_cache(maxsize=1024)
def _program(graph: Graph, stored: tuple, parts: tuple, options: tuple) -> Program:
    return Program(graph, stored, parts, *options)
