"""Long sequences: memory and time of one sequence against its length, with all saved and with few states kept.

Each run is a process of its own (`long_run.py`), since what counts is the peak of a process; both sides take turns.
`python -m benchmarks --only long --shape 1000000` runs the longest alone.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import torch

import gatewright as gw

from .compiling import Probe
from .long_run import SIZE
from .shapes import MODES, TRAINING, Shape, module_side, sequences
from .timing import Line, Race, Result, Side, wait_until_quiet

STEPS = (1_000, 10_000, 100_000, 1_000_000)
ROUNDS = 3
MOST_MEBIBYTES, MOST_TIME = 32, 1.4
LONG = 1_000_000
"""Steps from which on there is a limit for the time too."""
ELEMENTWISE = ("mingru", "sru", "qrnn")
SAVED, RECOMPUTED = SIDES = ("none", "true")
Told = dict[str, list[dict[str, float]]]
"""For each side what its processes tell."""


def long(steps: Iterable[int] = STEPS, rounds: int = ROUNDS) -> Iterator[Probe | Race]:
    """An LSTM, forward and backward, at every length; and what threads bring where no product is in the loop."""
    for T in steps:
        shape = {"B": 1, "T": T, "I": SIZE, "H": SIZE}
        yield Probe("long", shape, partial(_compared, shape, rounds))
    yield from _shared_by_threads()


# -- elementwise recurrences -----------------------------------------------------------------------


def _shared_by_threads() -> Iterator[Race]:
    """One sequence of a cell without a product in its loop: one thread's time over that of all."""
    threads = torch.get_num_threads()
    for H in (16, 64, 256):
        shape = {"B": 1, "T": 10_000, "I": H, "H": H}
        for cell in ELEMENTWISE:
            for mode in MODES:
                line = Line(f"{cell}, 1 thread / {threads}", "one", "all")
                yield Race("long", shape, mode, partial(_with_threads, shape, mode, cell, threads), (line,))


def _with_threads(shape: Shape, mode: str, cell: str, threads: int) -> dict[str, Side]:
    layer, x = gw.Recurrent(cell, shape["I"], shape["H"], backend="cpu"), sequences(shape)
    call = module_side(mode, layer, x)

    def with_one() -> None:
        torch.set_num_threads(1)
        call()
        torch.set_num_threads(threads)

    return {"one": with_one, "all": call}


# -- memory and time -------------------------------------------------------------------------------


def _compared(shape: Shape, rounds: int) -> list[Result]:
    """Rows of one length; short ones have more rounds, since a process takes longer than they do."""
    note = "" if wait_until_quiet() else "others use the CPUs"
    told: Told = {side: [] for side in SIDES}
    for k in range(rounds):
        for side in SIDES[:: 1 if k % 2 else -1]:
            told[side].append(_process(shape["T"], side))
    return rows(shape, told, note)


def _process(steps: int, recompute: str) -> dict[str, float]:
    """What one process tells."""
    script = Path(__file__).with_name("long_run.py")
    call = [sys.executable, str(script), str(steps), recompute, str(torch.get_num_threads())]
    return json.loads(subprocess.run(call, stdout=subprocess.PIPE, check=True, text=True).stdout)


def rows(shape: Shape, told: Told, note: str = "") -> list[Result]:
    """Memory beyond the input, the output and their gradients, and the time over that of the side that saves all."""
    beyond = {side: [run["beyond_kib"] / 1024 for run in told[side]] for side in SIDES}
    ratios = [b["seconds"] / a["seconds"] for a, b in zip(told[SAVED], told[RECOMPUTED], strict=True)]
    fastest = (min(run["seconds"] for run in told[side]) for side in SIDES)
    limit = MOST_TIME if shape["T"] >= LONG else None
    seconds = "{:.4g} s and {:.4g} s".format(*fastest)
    return [
        _row("memory beyond x, y, dx, dy, all saved", shape, beyond[SAVED], "MiB", None, note),
        _row("memory beyond x, y, dx, dy, recompute", shape, beyond[RECOMPUTED], "MiB", MOST_MEBIBYTES, note),
        _row("time, recompute / all saved", shape, ratios, "", limit, ", ".join(filter(None, (seconds, note)))),
    ]


def _row(name: str, shape: Shape, values: list[float], unit: str, most: float | None, note: str) -> Result:
    value, low, high = statistics.median(values), min(values), max(values)
    return Result("long", name, shape, TRAINING, value, low, high, len(values), unit, most=most, note=note)
