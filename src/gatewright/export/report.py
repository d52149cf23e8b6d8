"""What an export has written, for people."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Used:
    """The node that one layer has become. layer: where it stands, as `l0`; node: LSTM, GRU, RNN or Scan."""

    layer: str
    node: str
    why: str

    def __str__(self) -> str:
        return f"{self.layer}: {self.node}, {self.why}"


@dataclass(frozen=True)
class Report:
    """What `gw.export.onnx` gives back.

    path: the file. opset: of ONNX's operators. inputs, outputs: their names, in order. layers: which node each
    recurrent layer has become, and why.
    """

    path: Path
    opset: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    layers: tuple[Used, ...]

    @property
    def nodes(self) -> tuple[str, ...]:
        """The kinds of the recurrent nodes, layer by layer: `("LSTM", "Scan")`."""
        return tuple(used.node for used in self.layers)

    def __str__(self) -> str:
        head = f"{self.path} (opset {self.opset}): {', '.join(self.inputs)} → {', '.join(self.outputs)}"
        return "\n".join([head, *(f"  {used}" for used in self.layers)])
