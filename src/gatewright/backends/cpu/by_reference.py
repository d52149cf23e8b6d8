"""A program by the reference: for forward mode, for derivatives of derivatives, and to compare kernels with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ...plan.program import Program
from ..masks import in_order, reversed_in_time
from ..reference import Draw, prepared

Given = tuple[Tensor | None, Tensor | None, Tensor | None]
"""Lengths, resets and the seed."""
Shapes = tuple[tuple[int, ...], tuple[tuple[int, ...], ...], tuple[int, ...]]


def by_reference(
    program: Program,
    inputs: Sequence[Tensor],
    weights: Sequence[Tensor],
    states: Sequence[Tensor],
    given: Given,
    reverse: bool,
) -> list[Tensor]:
    """What a kernel gives: the output, the final states, and what the program asks for at every step."""
    if are_many(states):
        return _of_each(program, (inputs, weights, states), given, reverse)
    lengths, reset, seed = given
    draw = None if seed is None else Draw(seed, program.stream)
    graph, like = program.graph, inputs[0]
    sequences = in_order(tuple(inputs), lengths, reset, reverse=reverse)
    own, back = sequences.inputs[: len(graph.inputs)], sequences.inputs[len(graph.inputs) :]
    sequences = replace(sequences, inputs=own, previous=dict(zip(program.looks_back, back, strict=True)))
    names = (*(s.name for s in graph.states if program.every), *program.record)
    named = _named(program, weights)
    initial = [
        named[s.begins.attr.name] if s.name in graph.starts else like.new_full((old.shape[-1],), s.begins.attr)
        for s, old in zip(graph.states, states, strict=True)
    ]
    outputs, final, records = prepared(graph, names).run(named, sequences, states, initial, draw)
    series = [outputs, *(records[name] for name in names)]
    sizes = widths(program, inputs, weights, states)
    stacked = [torch.stack(s) if s else like.new_empty(*like.shape[:2], n) for s, n in zip(series, sizes, strict=True)]
    y, *others = [reversed_in_time(s, lengths) for s in stacked] if reverse else stacked
    return [y, *final, *others]


def are_many(states: Sequence[Tensor]) -> bool:
    """Whether a call is for many networks: then every tensor has one more axis in front."""
    return states[0].dim() == 3


def _of_each(program: Program, groups: tuple[Sequence[Tensor], ...], given: Given, reverse: bool) -> list[Tensor]:
    """The same for many networks, one after the other."""
    each = []
    for i in range(groups[-1][0].shape[0]):
        inputs, weights, states = ([t[i] for t in group] for group in groups)
        lengths, reset, seed = (None if t is None else t[i] for t in given)
        each.append(by_reference(program, inputs, weights, states, (lengths, reset, seed), reverse))
    return [torch.stack(parts) for parts in zip(*each, strict=True)]


def widths(
    program: Program, inputs: Sequence[Tensor], weights: Sequence[Tensor], states: Sequence[Tensor]
) -> list[int]:
    """How wide the output is, and whatever else is given at every step."""
    graph = program.graph
    given, stored, old = shapes(inputs, weights, states)
    sizes = program.sizes(given[: len(graph.inputs)], old, stored)
    watched = graph.watchable()
    every = [sizes.of_state(s.name) for s in graph.states if program.every]
    return [sizes.of(graph.output), *every, *(sizes.of(watched[name]) for name in program.record)]


def shapes(inputs: Sequence[Tensor], weights: Sequence[Tensor], states: Sequence[Tensor]) -> Shapes:
    """The widths of inputs, the shapes of weights and the widths of states: numbers, even where steps are symbols."""
    stored = tuple(tuple(int(n) for n in w.shape) for w in weights)
    return tuple(int(x.shape[-1]) for x in inputs), stored, tuple(int(s.shape[-1]) for s in states)


def _named(program: Program, weights: Sequence[Tensor]) -> dict[str, Tensor]:
    """The graph's parameters by name, from the stored tensors."""
    rows: dict[str, Tensor] = {}
    for names, stored in zip(program.stored, weights, strict=True):
        rows |= zip(names, stored.split(stored.shape[0] // len(names)), strict=True)
    found = {}
    for name, (first, *others) in program.parts:
        found[name] = rows[first]
        for other in others:
            found[name] = found[name] + rows[other]
    return found
