"""Layers and models as files for other programs."""

from .report import Report, Used
from .write import onnx

__all__ = ["Report", "Used", "onnx"]
