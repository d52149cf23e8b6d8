"""One unit's history: its state and its gates over one sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...nn import arguments
from .heatmaps import step_rate
from .picture import Drawing
from .scene import Axis, Line, Panel, Scene
from .shown import Value, shown
from .timeline import Timeline, frames_panel, signal_panel, timeline

DASH = ("solid", "dash", "dot")


def unit(
    tape: Any,
    name: str,
    unit: int,
    *,
    gates: str | Sequence[str] | None = None,
    sequence: int = 0,
    tokens: Sequence[Any] | None = None,
    signal: Any = None,
    rate: float | None = None,
    dates: Any = None,
    frames: Any = None,
    theme: str = "light",
    library: str = "matplotlib",
    title: str = "",
) -> Drawing:
    """One unit over time: the value that is asked for, the gates of the same unit, and what else it has.

    Args:
        tape: of `gw.record`, one of its tracks, or a mapping from names to (T, units) or (T, B, units).
        name: of the value on top: "c".
        unit: its number.
        gates: what is drawn below it; default every other recorded value of that width.
        sequence, tokens, signal, rate, dates, frames: as in `gw.inside.heatmaps`.
        theme: "light" or "dark". library: "matplotlib" or "plotly". title: over the picture.

    >>> import gatewright as gw, torch
    >>> layer = gw.LSTM(3, 5)
    >>> with gw.record(layer) as tape:
    ...     _ = layer(torch.randn(6, 2, 3))
    >>> picture = gw.inside.unit(tape, "c", 3, tokens=list("abcdef"))
    >>> [panel.title for panel in picture.scene.panels]
    ['c, cell state, of unit 3', 'gates of unit 3', 'states and candidates of unit 3']
    """
    asked = None if gates is None else [name, *([gates] if isinstance(gates, str) else gates)]
    there = shown(tape, asked, sequence)
    if name not in there.values:
        raise arguments.wrong("name", f"a value on the tape: {', '.join(there.values)}", repr(name))
    first = there.values[name]
    width = first.values.shape[1]
    if isinstance(unit, bool) or not isinstance(unit, int) or not 0 <= unit < width:
        raise arguments.wrong("unit", f"0 to {width - 1}, a unit of {name}", repr(unit))
    time = timeline(there.steps, there.padded, tokens, step_rate(rate, signal, there.steps), dates)
    others = [v for v in there.values.values() if v is not first and v.values.shape[1] == width]
    shares = [v for v in others if v.kind == "share"]
    rest = [v for v in others if v.kind != "share"]
    panels = [_panel([first], f"{first.words}, of unit {unit}", unit, time, 0)]
    if shares:
        panels.append(_panel(shares, f"gates of unit {unit}", unit, time, len(panels)))
    if rest:
        panels.append(_panel(rest, f"states and candidates of unit {unit}", unit, time, len(panels)))
    if signal is not None:
        panels.append(signal_panel(signal, time, len(panels)))
    if frames is not None:
        panels.append(frames_panel(frames, time, len(panels)))
    return Drawing(Scene(panels, title, time.width), theme, library)


def _panel(values: Sequence[Value], title: str, unit: int, time: Timeline, row: int) -> Panel:
    lines: list[Line] = []
    if any((v.values[:, unit] < 0).any() for v in values):
        zero = np.zeros(2)
        lines.append(Line(time.middles[[0, -1]], zero, "", "quiet", "dot"))
    lines += [time.line(v.values[:, unit], v.words, k, DASH[k % 3]) for k, v in enumerate(values)]
    shares = all(v.kind == "share" for v in values)
    y = Axis("from 0 to 1", low=-0.04, high=1.04) if shares else Axis(values[0].name if len(values) == 1 else "value")
    return Panel(lines, title, time.axis, y, 1.3, row)
