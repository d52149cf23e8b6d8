"""`gw.export.onnx`: a layer or a model as a file of ONNX."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from ..graph import Cell
from ..nn import arguments
from . import traced
from .builder import Body, Port, Shared, pruned
from .listed import write_listed
from .model import ModelWriter, recurrences
from .ports import Asked, is_listed
from .proto import OLDEST, newest_opset, save, to_model
from .report import Report

EQUATIONS = "gatewright.equations"
"""The key of the equations among a model's metadata."""


def onnx(
    model: nn.Module,
    path: str | os.PathLike[str],
    *,
    opset: int = OLDEST,
    lengths: bool = False,
    reset: bool = False,
    initial_state: bool = False,
    final_state: bool = True,
    static: Sequence[str] = (),
    native: bool = True,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
) -> Report:
    """Write a recurrent layer, or a model with such layers, as a file of ONNX; time and batch stay free.

    A layer whose equations are an operator's of ONNX becomes that one node, LSTM, GRU or RNN; any other a Scan
    whose body is its equations. Regularisers and dropout are as in evaluation, whatever the model's mode. The model
    goes through onnx's full check before it stands at its place.

    Args:
        model: a layer (`gw.Recurrent`, `gw.LSTM`, …), a `gw.Deep`, an `nn.Sequential` of them with modules such as
            `nn.Embedding`, `nn.Linear`, `nn.LayerNorm` (of a recurrent layer the output goes on), or a module of your
            own whose `forward` calls these. Weights are float32 or float64.
        path: of the file; what was there is replaced when the new file is whole. Weights of more than 2 GiB go into
            a second file beside it, with `.data` behind its name.
        opset: of ONNX's operators, from 18 to the newest that the installed onnx knows.
        lengths: an input `lengths`, (B,) int64: each sequence's number of valid steps.
        reset: an input `reset`, boolean, laid out like time and batch: True where a new episode starts.
        initial_state: inputs for the states before the first step, `h_0`, `c_0`, …, (layers · directions, B, width).
        final_state: outputs for the states after the last step, `h_n`, `c_n`, ….
        static: names of further inputs of the cell that are (B, features), the same at every step.
        native: False makes every layer a Scan.
        input_names, output_names: other names than those, for all of them, in order.

    Of a model with several recurrent layers the states bear the layer's path, `encoder.h_0`. A cell that looks back
    at inputs has these as well, `inputs_0_l0` for layer 0. For a module of your own, `lengths`, `reset`,
    `initial_state` and `final_state` stay as they are: its inputs and outputs are those of its `forward`.

    Returns:
        a `Report`: the names of inputs and outputs, and which nodes the layers have become and why.

    Raises:
        ValueError, TypeError: something cannot be exported; the message says what, and what to do.
        ImportError: the onnx package is missing.

    >>> import gatewright as gw, tempfile, os
    >>> layer = gw.Recurrent("peephole_lstm", 3, 5)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report = gw.export.onnx(layer, os.path.join(folder, "layer.onnx"), lengths=True)
    >>> report.inputs, report.outputs, report.nodes
    (('x', 'lengths'), ('y', 'h_n', 'c_n'), ('LSTM',))
    >>> print(report.layers[0])
    l0: LSTM, the equations are the operator's (peepholes)
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: expected a layer or an nn.Module, got {type(model).__name__}")
    opset, path = _checked_opset(opset), _checked_path(path)
    asked = Asked(lengths, reset, initial_state, final_state, tuple(static))
    body = Body(Shared(_dtype_of(model)))
    writer = ModelWriter(body, native)
    with torch.no_grad():
        (write_listed if is_listed(model) else traced.write_traced)(writer, model, asked)
    pruned(body)
    _rename(body, body.inputs, input_names, "input_names")
    _rename(body, body.outputs, output_names, "output_names")
    save(to_model(body, opset, {EQUATIONS: _equations(model)}), path)
    inputs, outputs = (tuple(port.name for port in ports) for ports in (body.inputs, body.outputs))
    return Report(path, opset, inputs, outputs, tuple(writer.used))


def _checked_opset(opset: int) -> int:
    arguments.check_size("opset", opset)
    newest = newest_opset()
    if not OLDEST <= opset <= newest:
        raise arguments.wrong("opset", f"{OLDEST} to {newest}, which the installed onnx knows", opset)
    return opset


def _checked_path(path: str | os.PathLike[str]) -> Path:
    found = Path(path)
    if not found.parent.is_dir():
        raise arguments.wrong("path", "a file in a folder that is there", repr(str(path)), "make the folder first")
    if found.is_dir():
        raise arguments.wrong("path", "a file", f"the folder {str(path)!r}")
    return found


def _dtype_of(model: nn.Module) -> torch.dtype:
    """The one dtype of all weights."""
    dtypes = {p.dtype for p in model.parameters()}
    if len(dtypes) != 1 or not dtypes <= {torch.float32, torch.float64}:
        got = ", ".join(sorted(map(str, dtypes))) or "a model without weights"
        raise arguments.wrong("model", "weights in float32, or all in float64", got, "model.float() converts them")
    return dtypes.pop()


def _rename(body: Body, ports: list[Port], names: Sequence[str] | None, argument: str) -> None:
    """Give inputs or outputs the names that were asked for."""
    if names is None:
        return
    listed = ", ".join(port.name for port in ports)
    if isinstance(names, str) or len(names) != len(ports) or len(set(names)) != len(names):
        raise arguments.wrong(argument, f"{len(ports)} names that differ, for {listed}", names)
    taken = body.shared.names - {port.name for port in ports}
    if clash := sorted(taken & set(names)):
        raise arguments.wrong(argument, "names that nothing inside the model has", clash[0])
    body.renamed({port.name: name for port, name in zip(ports, names, strict=True)})


def _equations(model: nn.Module) -> str:
    """The equations of every recurrent layer as text, as they run in evaluation; `gw.parse` reads each."""
    texts = []
    for path, layer in recurrences(model).items():
        text = str(Cell.of_graph(layer.regularisers.equations[False], layer.cell.name))
        texts.append(f"# {path}\n{text}" if path else text)
    return "\n\n".join(texts)
