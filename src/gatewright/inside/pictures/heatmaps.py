"""Gates over time: a heat map for each value of the equations, under each other on one time axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ...nn import arguments
from ..memory import memory_horizon
from .picture import Drawing
from .reduce import COLUMNS, ROWS, bins, check_how, gathered
from .scene import Axis, HeatMap, Panel, Scale, Scene
from .shown import Shown, Value, array, shown
from .timeline import Timeline, frames_panel, signal_panel, timeline

SORTS = "'horizon', 'mean', 'max', 'variance', or a number for each unit"


def heatmaps(
    tape: Any,
    names: str | Sequence[str] | None = None,
    *,
    sequence: int = 0,
    units: Sequence[int] | slice | None = None,
    sort: str | Sequence[float] | torch.Tensor | None = None,
    tokens: Sequence[Any] | None = None,
    signal: Any = None,
    rate: float | None = None,
    dates: Any = None,
    frames: Any = None,
    reduce: str = "mean",
    theme: str = "light",
    library: str = "matplotlib",
    title: str = "",
) -> Drawing:
    """Gates over time: a row for each unit, a column for each step, a map for each value, all on one time axis.

    Values between 0 and 1 are drawn in cividis, signed ones in a diverging map with 0 in its middle.

    Args:
        tape: of `gw.record`, one of its tracks, or a mapping from names to (T, units) or (T, B, units).
        names: which values, in this order; default all that were recorded.
        sequence: which one of the batch; its length is respected.
        units: which ones; default all.
        sort: the order of units, largest on top: by "horizon" (the half-life of their memory), by the "mean", "max" or
            "variance" of the first map, or by a number for each unit. Default their own order.
        tokens: a word for each step.
        signal: drawn under the maps: (T,) numbers, or more of them (a waveform), or several series by name.
        rate: numbers of the signal a second (steps a second without a signal): time is then in seconds.
        dates: one for each step: the time axis has dates.
        frames: (T, h, w), (T, h, w, 3) or (T, 3, h, w): small images under the maps.
        reduce: where there are more steps or units than pixels, one pixel shows their "mean", or with "max" the value
            that is farthest from 0.
        theme: "light" or "dark". library: "matplotlib" or "plotly". title: over the picture.

    Raises:
        ValueError, TypeError: an argument is wrong. KeyError: the tape has several tracks; say which.

    >>> import gatewright as gw, torch
    >>> layer = gw.LSTM(3, 5)
    >>> with gw.record(layer, ["f", "c"]) as tape:
    ...     _ = layer(torch.randn(6, 2, 3))
    >>> picture = gw.inside.heatmaps(tape, tokens="the cat sat on the mat".split(), sort="horizon")
    >>> [panel.title for panel in picture.scene.panels]
    ['f, forget gate', 'c, cell state']
    """
    check_how(reduce)
    there = shown(tape, names, sequence)
    time = timeline(there.steps, there.padded, tokens, step_rate(rate, signal, there.steps), dates)
    panels = maps(there, time, units=units, order=unit_order(there, sort), reduce=reduce)
    if signal is not None:
        panels.append(signal_panel(signal, time, len(panels)))
    if frames is not None:
        panels.append(frames_panel(frames, time, len(panels)))
    return Drawing(Scene(panels, title, time.width, note=_note(there, reduce)), theme, library)


def step_rate(rate: float | None, signal: Any, steps: int) -> float | None:
    """Steps a second, from samples a second."""
    if rate is None or signal is None or not isinstance(rate, int | float):
        return rate
    samples = len(next(iter(signal.values()), ())) if isinstance(signal, Mapping) else len(signal)
    return rate * steps / samples if samples else rate


def _note(there: Shown, reduce: str) -> str:
    """What one pixel stands for, where it stands for more than one number."""
    steps = int(bins(there.steps, COLUMNS)[1])
    wide = [v for v in there.values.values() if v.values.shape[1] > ROWS]
    parts = [f"{steps} steps a column"] if steps > 1 else []
    parts += [f"up to {max(int(bins(v.values.shape[1], ROWS)[1]) for v in wide)} units a row"] if wide else []
    how = {"mean": "their mean", "max": "the value farthest from 0"}[reduce]
    return f"{', '.join(parts)}: {how}" if parts else ""


def maps(
    there: Shown,
    time: Timeline,
    *,
    units: Sequence[int] | slice | None = None,
    order: np.ndarray | None = None,
    reduce: str = "mean",
    column: int = 0,
    scales: Mapping[str, Scale] | None = None,
) -> list[Panel]:
    """A panel for each value."""
    panels = []
    for row, value in enumerate(there.values.values()):
        chosen = _chosen(units, value, order)
        scale = (scales or {}).get(value.name) or value.scale()
        heat = heat_map(value.values[:, chosen], chosen, time.edges, scale, reduce)
        height = float(np.clip(0.09 * len(heat.values), 0.55, 1.35))
        label = "unit, sorted" if order is not None and len(order) == value.values.shape[1] else "unit"
        panels.append(Panel([heat], value.words, time.axis, Axis(label), height, row, column))
    return panels


def heat_map(values: np.ndarray, units: np.ndarray, edges: np.ndarray, scale: Scale, reduce: str) -> HeatMap:
    """(T, units) as rows of units, brought down to the pixels that there are."""
    columns, rows = bins(len(values), COLUMNS), bins(values.shape[1], ROWS)
    small = gathered(gathered(values, columns, reduce), rows, reduce, axis=1)
    words = [str(units[k]) for k in rows[:-1]]
    return HeatMap(small.T, edges[columns], scale, tuple(words))


def _chosen(units: Sequence[int] | slice | None, value: Value, order: np.ndarray | None) -> np.ndarray:
    """The units of a value that are shown, in their order."""
    width = value.values.shape[1]
    whole = order if order is not None and len(order) == width else np.arange(width)
    if units is None:
        return whole
    if isinstance(units, slice):
        wanted = np.arange(width)[units]
    else:
        wanted = np.atleast_1d(np.asarray(units))
        if wanted.ndim != 1 or wanted.dtype.kind not in "iu":
            raise TypeError(f"units: expected a list of units or a slice, got {units!r}")
    if len(wanted) == 0 or wanted.min() < 0 or wanted.max() >= width:
        raise arguments.wrong("units", f"units from 0 to {width - 1} of {value.name}", wanted.tolist())
    return wanted if whole is not order else whole[np.isin(whole, wanted)]


def unit_order(there: Shown, sort: Any) -> np.ndarray | None:
    """The units, the one with the largest key first; None for their own order."""
    if sort is None:
        return None
    first = next(iter(there.values.values())).values
    if not isinstance(sort, str):
        keys = array(sort, "sort")
        if keys.ndim != 1 or len(keys) not in {v.values.shape[1] for v in there.values.values()}:
            raise arguments.wrong("sort", f"a number for each of the {first.shape[1]} units", f"shape {keys.shape}")
    elif sort == "horizon":
        if there.track is None:
            raise arguments.wrong("sort", "a tape or a track for 'horizon'", "a mapping", "give numbers instead")
        keys = memory_horizon(there.track).cpu().numpy()
    elif sort in ("mean", "max", "variance"):
        keys = {"mean": np.mean, "max": np.max, "variance": np.var}[sort](first, axis=0)
    else:
        raise arguments.wrong("sort", SORTS, repr(sort))
    return np.argsort(-np.nan_to_num(keys, nan=-np.inf), kind="stable")
