"""One long sequence, forward and backward, in a process of its own: prints its memory and time as JSON.

python long_run.py STEPS RECOMPUTE THREADS [CELL]; RECOMPUTE is none, true or a number of steps.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch
from torch import Tensor

import gatewright as gw

SIZE = 64
STATUS = Path("/proc/self/status")


def main() -> None:
    steps, wished, threads, cell, *_ = [*sys.argv[1:], "lstm"]
    torch.set_num_threads(int(threads))
    torch.manual_seed(0)
    recompute = {"none": None, "true": True}.get(wished) if not wished.isdigit() else int(wished)
    layer = gw.Recurrent(cell, SIZE, SIZE, recompute=recompute, backend="cpu")
    few = _numbers(2)
    _run(layer, *few)  # kernels are loaded, and no buffer is made that is worth mentioning
    with torch.no_grad():
        layer(few[0])
    x, along = _numbers(int(steps))
    own = kibibytes("VmRSS") + 2 * x.numel() * x.element_size() / 1024  # y and the gradient of x are to come
    began = time.process_time()
    seconds = _run(layer, x, along)
    cpu = time.process_time() - began  # waiting threads spin: with one thread it leaves others' use of the CPUs out
    print(json.dumps({"beyond_kib": kibibytes("VmHWM") - own, "seconds": seconds, "cpu_seconds": cpu}))


def _numbers(steps: int) -> tuple[Tensor, Tensor]:
    return torch.randn(steps, 1, SIZE, requires_grad=True), torch.randn(steps, 1, SIZE)


def _run(layer: gw.Recurrent, x: Tensor, along: Tensor) -> float:
    began = time.perf_counter()
    y, _ = layer(x)
    y.backward(along)
    return time.perf_counter() - began


def kibibytes(field: str) -> int:
    """A field of what the system tells of this process: VmRSS now, VmHWM at most so far."""
    line = next(line for line in STATUS.read_text(encoding="utf-8").splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1])


if __name__ == "__main__":
    main()
