"""Numbers for a diagram: one for each named value, and the colour that shows it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import CellError, suggestion
from ..graph import Graph
from ..notation.letters import identifier

OPEN, POSITIVE, NEGATIVE = (0, 158, 115), (213, 94, 0), (0, 114, 178)
"""An open gate, and the signs; told apart by every kind of colour blindness (Okabe and Ito 2008)."""
CLOSED_LINE = {False: (196, 203, 211), True: (70, 79, 89)}
PLAIN = {False: (247, 249, 250), True: (38, 45, 52)}


@dataclass(frozen=True)
class Summary:
    """The mean of a value's units, with its range where there are several."""

    mean: float
    low: float
    high: float
    count: int

    @property
    def text(self) -> str:
        """The mean in as many letters as a box holds."""
        return short(self.mean)

    @property
    def note(self) -> str:
        if self.count == 1:
            return f"= {self.mean:.6g}"
        return f"mean {self.mean:.4g}, {self.low:.4g} to {self.high:.4g} over {self.count} numbers"


def short(value: float) -> str:
    """A number in six letters at most."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    size = abs(value)
    if size >= 9999.5:
        text = f"{value:.0e}".replace("e+0", "e").replace("e+", "e")
    else:
        text = f"{value:.2f}" if size < 99.95 else f"{value:.0f}"
    return "0.00" if text == "-0.00" else text.replace("-", "−")


def summaries(values: Mapping[str, Any], graph: Graph, name: str) -> dict[str, Summary]:
    """The numbers by name; raises `CellError` for a name that the cell has not, or what is no number."""
    if not isinstance(values, Mapping):
        raise CellError(f"cell {name}: values: expected a dictionary such as {{'f': 0.9}}, got {values!r}")
    known = [*graph.watchable(), *graph.inputs, *(s.name for s in graph.states)]
    found = {}
    for key, value in values.items():
        plain = identifier(key) if isinstance(key, str) else key
        if plain not in known:
            names = ", ".join(dict.fromkeys(known))
            raise CellError(
                f"cell {name}: values: there is no value {key!r} in it (it has {names}){suggestion(str(key), known)}"
            )
        found[plain] = _summary(plain, value, name)
    return found


def _summary(key: str, value: Any, name: str) -> Summary:
    if hasattr(value, "detach"):  # a tensor of torch, which this folder need not know
        value = value.detach().cpu().double()
    try:
        numbers = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise CellError(
            f"cell {name}: values[{key!r}]: expected a number or a tensor of numbers, got {type(value).__name__}"
        ) from None
    if numbers.size == 0:
        raise CellError(f"cell {name}: values[{key!r}]: expected at least one number, got shape {numbers.shape}")
    return Summary(float(numbers.mean()), float(numbers.min()), float(numbers.max()), int(numbers.size))


def tints(value: float, *, gate: bool, dark: bool) -> tuple[str, str, str]:
    """The colours of a piece, of the text on it and of its lines: a gate's from 0 to 1, another's by sign and size."""
    if math.isnan(value):
        strength = 0.0
    elif gate:
        strength = min(max(value, 0.0), 1.0)
    else:
        strength = min(abs(value), 1.0)
    full = OPEN if gate else POSITIVE if value >= 0 else NEGATIVE
    fill = _blend(PLAIN[dark], full, 0.85 * strength)
    line = _blend(CLOSED_LINE[dark], full, strength)
    return _hex(fill), "#ffffff" if _luminance(fill) < 0.36 else "#1b1f24", _hex(line)


def _blend(a: tuple[int, int, int], b: tuple[int, int, int], t: float) -> tuple[int, int, int]:
    red, green, blue = (round(p + (q - p) * t) for p, q in zip(a, b, strict=True))
    return red, green, blue


def _hex(colour: tuple[int, int, int]) -> str:
    return "#" + "".join(f"{part:02x}" for part in colour)


def _luminance(colour: tuple[int, int, int]) -> float:
    red, green, blue = ((part / 255) ** 2.2 for part in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
