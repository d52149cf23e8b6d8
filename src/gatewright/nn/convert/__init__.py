"""Weights from and to torch, Keras, Flax and ONNX."""

from .flax_modules import from_flax, to_flax
from .keras_layers import from_keras, to_keras
from .onnx_nodes import OnnxNode, from_onnx, to_onnx_weights
from .reversal import Reversed
from .torch_modules import from_torch, to_torch

__all__ = [
    "OnnxNode",
    "Reversed",
    "from_flax",
    "from_keras",
    "from_onnx",
    "from_torch",
    "to_flax",
    "to_keras",
    "to_onnx_weights",
    "to_torch",
]
