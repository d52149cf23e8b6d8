"""A model that is a layer, or modules one after the other: its inputs, its nodes, its outputs."""

from __future__ import annotations

import torch
from torch import nn

from .builder import Body, Value
from .clock import Clock
from .model import ModelWriter, Sequences, output_of
from .ports import Asked, first_inputs, layout_of, state_inputs, state_outputs


def write_listed(writer: ModelWriter, model: nn.Module, asked: Asked) -> None:
    """Write it."""
    body, layout = writer.body, layout_of(model)
    inputs = first_inputs(body, model, layout, asked.static)
    clock = _clock(body, inputs[0], layout, asked)
    at = Sequences(clock, state_inputs(body, model) if asked.initial_state else {})
    y = output_of(writer.module(model, "", inputs, at))
    body.output(y.name, "y", (*layout, y.width))
    if asked.final_state:
        state_outputs(body, model, at.end)


def _clock(body: Body, x: Value, layout: tuple[str, str], asked: Asked) -> Clock:
    """Lengths and resets, time first; inputs of the model where they were asked for."""
    turned = layout[0] == "batch"
    lengths = body.input("lengths", ("batch",), torch.int64) if asked.lengths else None
    reset = body.input("reset", layout, torch.bool) if asked.reset else None
    if turned:
        reset = body.node("Transpose", reset, perm=[1, 0]) if reset else None
    return Clock(body, x.name, lengths, reset, batch_first=turned)
