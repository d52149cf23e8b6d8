"""What a cell costs before it runs, and the memory that its training keeps."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

import gatewright as gw

from .peers import PeepholeLoop
from .shapes import SHAPES, TRAINING, Shape, drop_in, sequences
from .timing import Result, wait_until_quiet

PROCESSES = 3


@dataclass(frozen=True)
class Probe:
    """Rows that are no race: `measure` gives them at once."""

    group: str
    shape: Shape
    measure: Callable[[], list[Result]]

    def run(self, seconds: float) -> list[Result]:  # noqa: ARG002
        return self.measure()


# -- time ------------------------------------------------------------------------------------------


def first(shapes: Iterable[Shape] = ()) -> Iterator[Probe]:  # noqa: ARG001
    """A cell nobody has seen, in new processes: from its definition to its gradients, the import of LLVM included."""
    yield Probe("compile", {}, _first_runs)


def _first_runs() -> list[Result]:
    quiet = wait_until_quiet()
    compiling, linking = [], []
    for _ in range(PROCESSES):
        with tempfile.TemporaryDirectory() as folder:
            compiling.append(_process(folder))
            linking.append(_process(folder))
    note = "" if quiet else "others use the CPUs"
    rows = [
        ("import gatewright, torch is there", linking, "import", "ms", None),
        ("a new cell, nothing on the disk", compiling, "first", "s", 0.8),
        ("the same, compilations", compiling, "compiled", "", None),
        ("the cell from the disk", linking, "first", "ms", 50),
        ("the same, compilations", linking, "compiled", "", 0),
        ("a further cell, nothing on the disk", compiling, "further", "s", 0.8),
        ("a further cell from the disk", linking, "further", "ms", 50),
        ("another size", compiling, "another", "ms", None),
        ("the same, compilations", compiling, "compiled for another", "", 0),
    ]
    return [_row(name, [run[part] for run in runs], unit, most, note) for name, runs, part, unit, most in rows]


def _process(cache: str) -> dict[str, float]:
    """What one process tells; kernels are kept in the folder."""
    script = Path(__file__).with_name("first_run.py")
    told = subprocess.run(
        [sys.executable, str(script), str(torch.get_num_threads())],
        env=os.environ | {"GATEWRIGHT_CACHE": cache},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return json.loads(told.stdout)


def _row(name: str, told: list[float], unit: str, most: float | None, note: str) -> Result:
    """The median of the processes' seconds, or the largest of what they counted."""
    values = [value * {"ms": 1e3}.get(unit, 1) for value in told]
    value = statistics.median(values) if unit else max(values)
    low, high = min(values), max(values)
    return Result("compile", name, {}, "", value, low, high, len(values), unit, most=most, note=note)


# -- memory ----------------------------------------------------------------------------------------


def memory(shapes: Iterable[Shape] = SHAPES) -> Iterator[Probe]:
    """What forward leaves for backward, in bytes for each step and sequence: torch's over ours."""
    for shape in shapes:
        yield Probe("memory", shape, lambda shape=shape: _memory(shape))


def _memory(shape: Shape) -> list[Result]:
    theirs, x = nn.LSTM(shape["I"], shape["H"]), sequences(shape)
    peephole = gw.Recurrent("peephole_lstm", shape["I"], shape["H"], backend="cpu")
    modules = {
        "nn.LSTM": (theirs, drop_in(theirs, backend="cpu")),
        "peephole loop": (PeepholeLoop(peephole), peephole),
    }
    found = []
    for name, sides in modules.items():
        each = [saved_bytes(module, x) / (shape["T"] * shape["B"]) for module in sides]
        ratio, note = each[0] / each[1], f"{each[0]:.0f} and {each[1]:.0f} bytes a step and sequence"
        label = f"{name} / ours, saved for backward"
        found.append(Result("memory", label, shape, TRAINING, ratio, ratio, ratio, 1, peer=True, note=note))
    return found


def saved_bytes(module: nn.Module, x: Tensor) -> int:
    """Bytes that the graph of one call holds beside the input, the weights and what the call returns."""
    own = {t.untyped_storage().data_ptr() for t in (x, *module.parameters())}
    kept: dict[int, dict[int, int]] = {}  # by storage, the bytes of each view in it

    def keep(t: Tensor) -> Tensor:
        views = kept.setdefault(t.untyped_storage().data_ptr(), {})
        start = int(t.storage_offset())
        views[start] = max(views.get(start, 0), t.numel() * t.element_size())
        return t

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        y, state = module(x)
    own |= {t.untyped_storage().data_ptr() for t in (y, *state)}
    return sum(sum(views.values()) for storage, views in kept.items() if storage not in own)
