"""What an editor shows of equations that somebody types: everything that follows from them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import torch

from ..graph import Cell, CellError, parse
from ..graph.notation.mathml import equations, mathml
from ..nn.call import one_or_all
from ..nn.recurrent import Recurrent
from .lag import Network
from .refused import Refused, of_error

CHARACTERS = 20_000
"""Of the equations, at most."""
SIZE = 1024
"""The units of a layer, and its features, at most."""
CODE = 200_000
"""Characters of code that are sent, at most."""
STEPS, REPEATS = 100, 5
"""Of the sequence that is timed, and how often it is: the quickest counts."""


def read(text: str, where: str | None = "equations") -> Cell:
    """The cell that equations are; never executed. Raises `Refused` with line and column."""
    if len(text) > CHARACTERS:
        raise Refused(413, f"{len(text)} characters are more than {CHARACTERS}", where=where)
    if not text.strip():
        raise Refused(422, "there are no equations", where=where, remedy="h_t = tanh(W x_t + U h_{t-1} + b)")
    try:
        return parse(text)
    except CellError as error:
        raise of_error(error, where) from error


def written(text: str, input_size: int, hidden_size: int) -> Iterator[dict[str, Any]]:
    """All that an editor shows, for a layer of that size, in parts: what takes long comes last."""
    cell = read(text)
    sizes = _sizes(cell, input_size, hidden_size)
    features = _features(cell, input_size)
    try:
        yield {
            "ok": True,
            "cell": cell.name,
            "inputs": list(cell.inputs),
            "states": list(cell.states),
            "text": str(cell),
            "latex": cell.latex(),
            "mathml": mathml(cell.graph),
            "equations": equations(cell.graph),
            "parameters": cell.parameter_count(features, hidden_size, **sizes),
            "notes": [f"{symbol} = {size}, a width of its own" for symbol, size in sizes.items()],
        }
        yield {"svg": cell.diagram(theme="auto").svg}
        yield {"kernel": _code(cell.source("cpu"))}
        yield {"step_us": _step_us(Recurrent(cell, features, hidden_size, sizes=sizes), features)}
    except (CellError, ValueError) as error:
        raise of_error(error, "equations") from error


def _code(kernel: str) -> str:
    return kernel if len(kernel) <= CODE else f"{kernel[:CODE]}\n; cut here: it has {len(kernel)} characters"


def _features(cell: Cell, input_size: int) -> int | tuple[int, ...]:
    return input_size if len(cell.inputs) == 1 else (input_size,) * len(cell.inputs)


def _sizes(cell: Cell, input_size: int, hidden_size: int) -> dict[str, int]:
    """Widths that are neither the inputs' nor the layer's: half as many units."""
    for name, size in (("input_size", input_size), ("hidden_size", hidden_size)):
        if not 1 <= size <= SIZE:
            raise Refused(422, f"{name}: expected 1 to {SIZE}, got {size}", where=name)
    own = {"I", "H", *(f"I_{name}" for name in cell.inputs[1:])}
    return {symbol: max(1, hidden_size // 2) for symbol in sorted(cell.graph.widths.symbols() - own)}


@torch.no_grad()
def _step_us(layer: Recurrent, features: int | tuple[int, ...]) -> float:
    """Microseconds a step of one sequence, by the compiled kernel."""
    sizes = (features,) if isinstance(features, int) else features
    inputs = tuple(torch.zeros(STEPS, 1, size) for size in sizes)
    given = one_or_all(inputs)
    layer(given)  # compiles
    best = float("inf")
    for _ in range(REPEATS):
        began = time.perf_counter()
        layer(given)
        best = min(best, time.perf_counter() - began)
    return round(best / STEPS * 1e6, 3)


def checked(text: str, where: str) -> dict[str, Any]:
    """Whether equations are a cell that the task can train; its name."""
    cell = read(text, where)
    try:
        Network(cell)
    except (CellError, ValueError) as error:
        raise of_error(error, where) from error
    return {"name": cell.name}
