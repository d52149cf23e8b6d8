"""Two models on one sequence, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...nn import arguments
from .heatmaps import heat_map, maps, unit_order
from .picture import Drawing
from .reduce import check_how
from .scene import Axis, Panel, Scale, Scene
from .shown import Shown, scale_of, shown
from .timeline import Timeline, timeline


def side_by_side(
    tapes: Mapping[str, Any],
    names: str | Sequence[str] | None = None,
    *,
    sequence: int = 0,
    sort: str | Sequence[float] | None = None,
    tokens: Sequence[Any] | None = None,
    rate: float | None = None,
    dates: Any = None,
    difference: bool = False,
    reduce: str = "mean",
    theme: str = "light",
    library: str = "matplotlib",
    title: str = "",
) -> Drawing:
    """Models on one sequence: a column for each, a row for each value, one scale of colours to a row.

    Args:
        tapes: by the models' names: tapes, tracks, mappings of tensors, or what `gw.inside.compare` gives (one layer).
        names: which values; default all that any of them has.
        sequence, tokens, rate, dates, reduce: as in `gw.inside.heatmaps`.
        sort: as in `gw.inside.heatmaps`, in each model by itself; with a difference as in the first.
        difference: a last column with the second minus the first, unit by unit: two runs of one model, such as
            before and behind `gw.clamp`.
        theme: "light" or "dark". library: "matplotlib" or "plotly". title: over the picture.

    Raises:
        ValueError: the sequences have different lengths, or a difference is asked for of different widths.

    >>> import gatewright as gw, torch
    >>> layer, x = gw.LSTM(3, 5), torch.randn(6, 2, 3)
    >>> with gw.record(layer, ["c"]) as free:
    ...     _ = layer(x)
    >>> with gw.clamp(layer, f=1.0), gw.record(layer, ["c"]) as held:
    ...     _ = layer(x)
    >>> picture = gw.inside.side_by_side({"free": free, "f = 1": held}, difference=True)
    >>> [panel.title for panel in picture.scene.panels]
    ['free: c, cell state', 'f = 1: c, cell state', 'c: f = 1 − free']
    """
    check_how(reduce)
    if not isinstance(tapes, Mapping) or len(tapes) < 2:
        raise arguments.wrong("tapes", "two models' tapes at least, by their names", repr(tapes))
    sides = {label: _shown(given, names, sequence) for label, given in tapes.items()}
    steps = {label: side.steps for label, side in sides.items()}
    if len(set(steps.values())) > 1:
        raise arguments.wrong("tapes", "one sequence, as long for all", f"steps {steps}")
    first = next(iter(sides.values()))
    columns = len(sides) + difference
    time = timeline(first.steps, first.padded, tokens, rate, dates, columns)
    rows = list(dict.fromkeys(name for side in sides.values() for name in side.values))
    scales = {name: _scale(name, list(sides.values())) for name in rows}
    panels = []
    for column, (label, side) in enumerate(sides.items()):
        own = unit_order(first if difference else side, sort)
        for panel in maps(side, time, order=own, reduce=reduce, column=column, scales=scales):
            name = list(side.values)[panel.row]
            panels.append(
                Panel(panel.items, f"{label}: {panel.title}", panel.x, panel.y, panel.height, rows.index(name), column)
            )
    if difference:
        panels += _differences(sides, rows, time, unit_order(first, sort), reduce)
    width = max(time.width, 4.6 * columns)
    return Drawing(Scene(panels, title, width), theme, library)


def _shown(given: Any, names: Any, sequence: int) -> Shown:
    if isinstance(given, list):
        if len(given) != 1:
            raise arguments.wrong("tapes", "one layer of each model", f"{len(given)}", "choose: found['LSTM'][0]")
        given = given[0]
    return shown(given, names, sequence)


def _scale(name: str, sides: Sequence[Shown]) -> Scale:
    values = [side.values[name] for side in sides if name in side.values]
    kinds = {v.kind for v in values}
    kind = kinds.pop() if len(kinds) == 1 else "signed"
    return scale_of([v.values for v in values], kind, name)


def _differences(
    sides: dict[str, Shown], rows: list[str], time: Timeline, order: np.ndarray | None, reduce: str
) -> list[Panel]:
    if len(sides) != 2:
        raise arguments.wrong("difference", "two models", len(sides))
    (one, before), (other, after) = sides.items()
    panels = []
    for row, name in enumerate(rows):
        a, b = before.values.get(name), after.values.get(name)
        if a is None or b is None:
            continue
        if a.values.shape != b.values.shape:
            shapes = f"{a.values.shape[1]} and {b.values.shape[1]} of {name}"
            raise arguments.wrong("difference", "as many units in both models", shapes)
        width = a.values.shape[1]
        units = order if order is not None and len(order) == width else np.arange(width)
        apart = (b.values - a.values)[:, units]
        scale = scale_of([apart], "signed", f"Δ{name}")
        heat = heat_map(apart, units, time.edges, scale, reduce)
        height = float(np.clip(0.09 * len(heat.values), 0.55, 1.35))
        words, y = f"{name}: {other} − {one}", Axis("unit" if order is None else "unit, sorted")
        panels.append(Panel([heat], words, time.axis, y, height, row, len(sides)))
    return panels
