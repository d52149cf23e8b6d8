"""A stream's latency and its jitter: how long single steps take, one by one, at B = 1; the median and the tail.

The sides take turns of some steps each, so that whatever disturbs them meets all of them. Each step is timed alone, so
every figure holds the clock's own time, about 0.05 µs. Python's garbage collector runs as it would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from time import perf_counter, perf_counter_ns

import numpy as np
import torch
from torch import Tensor, nn

import gatewright as gw

from .compiling import Probe
from .shapes import INFERENCE, Shape, agree
from .timing import SLACK, Result, order_of, wait_until_quiet

TURN = 250
"""Steps that one side takes before the next one's turn."""
QUANTILES = {"median": 0.5, "p95": 0.95, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
MEASURED = 12.0
"""Seconds for each shape, of all sides together: about 100,000 steps of each."""

Step = Callable[[Tensor], object]


def stream(hidden: Iterable[int] = (64, 256), seconds: float = MEASURED) -> Iterator[Probe]:
    """Single layers, and a model around one."""
    for H in hidden:
        shape = {"B": 1, "T": 1, "I": H, "H": H}
        yield Probe("stream", shape, partial(_latencies, shape, _layers, seconds))
        yield Probe("stream", shape, partial(_latencies, shape, _models, seconds))


def _layers(H: int) -> dict[str, Step]:
    """nn.LSTMCell, and our ways to take a step."""
    theirs, ours = nn.LSTMCell(H, H), gw.LSTM(H, H, backend="cpu")
    for name, weight in theirs.named_parameters():
        ours.register_parameter(f"{name}_l0", weight)
    out = torch.empty(1, H)
    carried, carried_out = gw.Stream(ours), gw.Stream(ours)
    return {
        "nn.LSTMCell": _stepping(lambda x, state: _twice(theirs(x, state))),
        "gw.Stream": carried,
        "gw.Stream, out=": lambda x: carried_out(x, out=out),
        "layer.step": _stepping(ours.step),
        "layer, T = 1": _stepping(lambda x, state: _first(ours(x[None], state))),
    }


def _models(H: int) -> dict[str, Step]:
    """Linear, LayerNorm, LSTM, Linear: with nn.LSTMCell by hand, and as a stream."""
    before, after = nn.Sequential(nn.Linear(H, H), nn.LayerNorm(H)), nn.Linear(H, 8)
    theirs, ours = nn.LSTMCell(H, H), gw.LSTM(H, H, backend="cpu")
    for name, weight in theirs.named_parameters():
        ours.register_parameter(f"{name}_l0", weight)

    def by_hand(x: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        state = theirs(before(x), state)
        return after(state[0]), state

    return {"model, nn.LSTMCell": _stepping(by_hand), "gw.Stream(model)": gw.Stream(Model(before, ours, after))}


class Model(nn.Module):
    """A recurrent layer between two others."""

    def __init__(self, before: nn.Module, layer: nn.Module, after: nn.Module):
        super().__init__()
        self.before, self.layer, self.after = before, layer, after

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.layer(self.before(x))[0])


def _stepping(step: Callable) -> Step:
    """A step that keeps the state by hand."""
    state = None

    def stepped(x: Tensor) -> Tensor:
        nonlocal state
        y, state = step(x, state)
        return y

    return stepped


def _twice(state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    return state[0], state


def _first(found: tuple[Tensor, tuple[Tensor, ...]]) -> tuple[Tensor, tuple[Tensor, ...]]:
    return found[0][0], found[1]


# -- measuring -------------------------------------------------------------------------------------


def _latencies(shape: Shape, make: Callable[[int], dict[str, Step]], seconds: float) -> list[Result]:
    """Each side's quantiles, and the first side's median and p99 over those of the others."""
    sides = make(shape["H"])
    x = torch.randn(1, shape["I"])
    with torch.no_grad():
        agree(*(partial(step, x) for step in sides.values()))
        quiet = wait_until_quiet()
        times = measured(sides, x, seconds)
    note = "" if quiet else "others use the CPUs"
    found = {name: {q: float(np.quantile(t, part)) for q, part in QUANTILES.items()} for name, t in times.items()}
    rows = [
        _row(shape, f"{name}: {q}", us, len(times[name]), "us", note)
        for name, quantiles in found.items()
        for q, us in quantiles.items()
    ]
    theirs, *ours = found
    for name in ours:
        for q in ("median", "p99"):
            asked = 3.0 if q == "median" and name in ("gw.Stream", "gw.Stream, out=") and shape["H"] <= 128 else None
            value, label = found[theirs][q] / found[name][q], f"{theirs} / {name}: {q}"
            rows.append(_row(shape, label, value, len(times[name]), "", note, least=asked, peer=True))
    return rows


def measured(sides: Mapping[str, Step], x: Tensor, seconds: float) -> dict[str, np.ndarray]:
    """Microseconds of every step of each side; the first turns, which prepare and warm up, are left out."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in sides}
    for step in sides.values():
        _turn(step, x)
    until, number = perf_counter() + seconds, 0
    while perf_counter() < until or number < 2 * len(sides):
        for name in order_of(list(sides), number):
            found[name].append(_turn(sides[name], x))
        number += 1
    return {name: np.concatenate(turns) for name, turns in found.items()}


def _turn(step: Step, x: Tensor) -> np.ndarray:
    times = np.empty(TURN)
    for k in range(TURN):
        began = perf_counter_ns()
        step(x)
        times[k] = perf_counter_ns() - began
    return times / 1000


def _row(shape: Shape, name: str, value: float, steps: int, unit: str, note: str, **options) -> Result:
    return Result("stream", name, shape, INFERENCE, value, value, value, steps, unit, slack=SLACK, note=note, **options)
