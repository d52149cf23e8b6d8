"""From the records of a graph to a file: the only place that needs the onnx package, loaded when it is used."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from .builder import Body, Port, Written

LIMIT = (1 << 31) - (1 << 20)
"""Weights of more bytes go into a file beside the model: a protobuf message holds at most 2 GiB."""
OLDEST = 18
PRODUCER = "gatewright"


def onnx_package() -> Any:
    """The onnx package; raises ImportError with what to do where it is missing."""
    try:
        return import_module("onnx")
    except ModuleNotFoundError as error:
        if error.name != "onnx":
            raise
        raise ImportError(
            "gw.export.onnx needs onnx, which is not installed; install it with: pip install 'gatewright[onnx]'"
        ) from None


def newest_opset() -> int:
    """The newest opset that the installed onnx package knows."""
    return onnx_package().defs.onnx_opset_version()


def to_model(main: Body, opset: int, metadata: Mapping[str, str]) -> Any:
    """An onnx.ModelProto."""
    onnx = onnx_package()
    graph = _graph(main, "gatewright")
    for name, tensor in main.shared.initializers.items():
        graph.initializer.append(onnx.numpy_helper.from_array(tensor.numpy(), name))
    opsets = [onnx.helper.make_opsetid("", opset)]
    model = onnx.helper.make_model(
        graph,
        opset_imports=opsets,
        ir_version=onnx.helper.find_min_ir_version_for(opsets),
        producer_name=PRODUCER,
    )
    onnx.helper.set_model_props(model, dict(metadata))
    return model


def _graph(body: Body, name: str) -> Any:
    nodes = [_node(written) for written in body.nodes]
    return onnx_package().helper.make_graph(
        nodes, name, [_port(p) for p in body.inputs], [_port(p) for p in body.outputs]
    )


def _node(written: Written) -> Any:
    helper = onnx_package().helper
    attributes = {k: _attribute(v, written.outputs[0]) for k, v in written.attributes.items()}
    return helper.make_node(
        written.op, written.inputs, written.outputs, name=f"{written.outputs[0]}_node", **attributes
    )


def _attribute(value: Any, name: str) -> Any:
    if isinstance(value, Body):
        return _graph(value, f"{name}_step")
    return _type(value) if isinstance(value, torch.dtype) else value


def _port(port: Port) -> Any:
    return onnx_package().helper.make_tensor_value_info(port.name, _type(port.dtype), port.dims)


def _type(dtype: torch.dtype) -> int:
    types = onnx_package().TensorProto
    return {
        torch.float32: types.FLOAT,
        torch.float64: types.DOUBLE,
        torch.int64: types.INT64,
        torch.int32: types.INT32,
        torch.bool: types.BOOL,
    }[dtype]


def save(model: Any, path: Path) -> None:
    """Check a model and write it: beside its place first, and there by one rename when it is whole."""
    onnx = onnx_package()
    size = sum(len(t.raw_data) for t in model.graph.initializer)
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        unfinished, weights = folder / path.name, f"{path.name}.data"
        if size > LIMIT:
            onnx.save_model(model, unfinished, save_as_external_data=True, location=weights)
        else:
            onnx.save_model(model, unfinished)
        onnx.checker.check_model(str(unfinished), full_check=True)
        if size > LIMIT:
            os.replace(folder / weights, path.with_name(weights))
        os.replace(unfinished, path)
    finally:
        shutil.rmtree(folder)
