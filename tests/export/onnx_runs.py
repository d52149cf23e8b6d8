"""Run what was exported, and compare it with the layer itself."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import torch
from torch import Tensor

import gatewright as gw
from tolerances import TOLERANCE, difference

BETWEEN = {torch.float32: 1e-5, torch.float64: TOLERANCE[torch.float64, "reference"]}
"""ONNX Runtime's own functions are right to a few units in the last place."""


def run(path: Path, *given: Tensor) -> list[Tensor]:
    """The outputs of a model for inputs in order."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = {port.name: tensor.numpy() for port, tensor in zip(session.get_inputs(), given, strict=True)}
    return [torch.from_numpy(array) for array in session.run(None, feed)]


def assert_same(found: list[Tensor], expected: list[Tensor]) -> None:
    """Raise where outputs differ; infinities must stand in the same places."""
    for k, (ours, theirs) in enumerate(zip(expected, found, strict=True)):
        assert theirs.shape == ours.shape, f"output {k}: shape {tuple(theirs.shape)}, expected {tuple(ours.shape)}"
        assert torch.equal(theirs.isinf(), ours.isinf()), f"output {k}"
        worst = difference(theirs.nan_to_num(posinf=0, neginf=0), ours.nan_to_num(posinf=0, neginf=0))
        assert worst <= BETWEEN[ours.dtype], f"output {k} differs by {worst:.2e}"


def flat(result) -> list[Tensor]:
    return [result] if isinstance(result, Tensor) else [tensor for part in result for tensor in flat(part)]


def with_random_weights(layer: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Every weight drawn anew, biases too, so that a gate in the wrong place is seen."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(std=0.5)
    return layer


def compare(
    layer, path: Path, inputs: tuple[Tensor, ...], *, lengths=None, reset=None, state=None, **how
) -> gw.export.Report:
    """Export a layer, run it, and raise where it does not say what the layer says in evaluation."""
    report = gw.export.onnx(
        layer, path, lengths=lengths is not None, reset=reset is not None, initial_state=state is not None, **how
    )
    again(layer, path, inputs, lengths=lengths, reset=reset, state=state)
    return report


def again(layer, path: Path, inputs: tuple[Tensor, ...], *, lengths=None, reset=None, state=None) -> None:
    """Run what has been exported on other inputs."""
    given = [*inputs, *(t for t in (lengths, reset) if t is not None), *(state or ())]
    with torch.no_grad():
        began = None if state is None else tuple(state) if len(state) > 1 else state[0]
        x = inputs if len(inputs) > 1 else inputs[0]
        y, final = layer.eval()(x, began, lengths=lengths, reset=reset)
    found = run(path, *given)
    assert_same(found, [y, *flat(final)][: len(found)])


def states_for(layer: gw.Recurrent, batch: int, dtype: torch.dtype) -> list[Tensor]:
    """Random states before the first step, and inputs before it where the cell looks back."""
    rows, (depth, widths) = layer.num_layers * layer.directions, layer.lookback
    states = [torch.randn(rows, batch, width, dtype=dtype) for width in layer.state_sizes.values()]
    return states + [torch.randn(depth, batch, width, dtype=dtype) for width in widths]
