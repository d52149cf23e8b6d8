"""Training as it went: losses, gradient norms, and histograms of every parameter and gradient over the updates."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

import numpy as np

from ...nn import arguments
from .picture import Drawing
from .reduce import bins, envelope, gathered
from .scene import Axis, HeatMap, Item, Line, Panel, Scale, Scene
from .watch import BAD, BARS, LOW, Watch

MOST, COLUMNS = 8, 300
RARE = 0.01
"""Shares below it do not stretch the axis."""
DASH = ("solid", "dash", "dot")


def history(
    watch: Watch,
    names: str | Sequence[str] | None = None,
    *,
    theme: str = "light",
    library: str = "matplotlib",
    title: str = "",
) -> Drawing:
    """Training as it went, from what a `gw.inside.Watch` has kept.

    Curves of the losses and of the gradient's norm; below them a row for each parameter: how large its weights are (on
    the left) and their gradients (on the right), as the share of them in each octave, over the updates. Exact zeros
    and octaves with hardly a weight are left out. With tapes also the share of each gate's values above .9 and
    below .1.

    Args:
        watch: after some updates.
        names: which parameters, also as patterns such as "*U_f*"; default the first 8.
        theme: "light" or "dark". library: "matplotlib" or "plotly". title: over the picture.

    Raises:
        ValueError: nothing was watched yet, or there is no such parameter.
    """
    if not isinstance(watch, Watch):
        raise TypeError(f"watch: expected a gw.inside.Watch, got {type(watch).__name__}")
    if len(watch.steps) < 2:
        raise arguments.wrong(
            "watch", "two updates at least", len(watch.steps), "call watch.update as the model trains"
        )
    chosen = _chosen(names, list(watch.parameters))
    ends = (float(watch.steps[0]), float(watch.steps[-1]))
    x = Axis("update", low=ends[0], high=ends[1])
    panels = _curves(watch, x)
    first = 1 if panels else 0
    for column, (table, letter) in enumerate(((watch.parameters, "w"), (watch.gradients, "∂loss/∂w"))):
        panels += _maps(watch, table, chosen, letter, x, column, first)
    if watch.gates:
        panels += _gates(watch, x, first + len(chosen))
    known = len(watch.parameters)
    note = f"{len(chosen)} of {known} parameters; names= shows others" if names is None and len(chosen) < known else ""
    return Drawing(Scene(panels, title, 11.0, note=note), theme, library)


def _chosen(names: str | Sequence[str] | None, known: list[str]) -> list[str]:
    if names is None:
        return known[:MOST]
    patterns = [names] if isinstance(names, str) else list(names)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in known):
            raise arguments.wrong("names", f"parameters that were watched: {', '.join(known)}", repr(pattern))
    return [name for name in known if any(fnmatchcase(name, pattern) for pattern in patterns)]


def _curves(watch: Watch, x: Axis) -> list[Panel]:
    """The losses, and the norm of all gradients."""
    panels = []
    losses = [_line(name, found, k, DASH[k % 3]) for k, (name, found) in enumerate(watch.losses.items())]
    if losses:
        above = all((line.y > 0).all() for line in losses)
        panels.append(Panel(losses, "loss", x, Axis("loss", log=above and _spread(losses)), 1.4, 0, 0))
    norms = [_line("", [(s, n) for s, n in watch.norms if n > 0], 1)]
    if len(norms[0].y):
        panels.append(Panel(norms, "norm of all gradients together", x, Axis("norm", log=True), 1.4, 0, 1))
    return panels


def _spread(lines: list[Line]) -> bool:
    whole = np.concatenate([line.y for line in lines])
    return bool(np.nanmax(whole) > 20 * np.nanmin(whole))


def _line(name: str, found: Sequence[tuple[int, float]], colour: int, dash: str = "solid") -> Line:
    pairs = np.array(found, dtype=np.float64).reshape(-1, 2)
    return Line(*envelope(pairs[:, 0], pairs[:, 1], 600), name, colour, dash)


def _maps(
    watch: Watch, table: dict[str, list[np.ndarray]], names: list[str], letter: str, x: Axis, column: int, first: int
) -> list[Panel]:
    """How large, over the updates: a map for each parameter, all on one range."""
    shares = {name: _shares(np.stack(table[name])[:, :BARS], np.stack(table[name])) for name in names}
    used = np.flatnonzero(sum((s.max(axis=0) for s in shares.values()), np.zeros(BARS)) > len(names) * RARE)
    if not len(used):
        return []
    low, high = int(used[0]), int(used[-1]) + 1
    edges = 2.0 ** (np.arange(low, high + 1) + LOW)
    scale = Scale("size", 0.0, max(float(s.max()) for s in shares.values()), "share")
    places = bins(len(watch.steps), COLUMNS)
    y = Axis(f"|{letter}|", log=True, low=float(edges[0]), high=float(edges[-1]))
    panels = []
    for row, name in enumerate(names):
        small = gathered(shares[name], places, "mean")[:, low:high].T
        kept = np.where(small > RARE / 20, small, np.nan)
        items: list[Item] = [HeatMap(kept, _edges(watch.steps)[places], scale, row_edges=edges)]
        panels.append(Panel(items, _title(name, watch, table, column), x, y, 1.1, first + row, column))
    return panels


def _title(name: str, watch: Watch, table: dict[str, list[np.ndarray]], column: int) -> str:
    said = f"{name}: {'gradients' if column else 'weights'}"
    bad = np.flatnonzero(np.stack(table[name])[:, BAD])
    return f"{said}, not finite from update {watch.steps[bad[0]]} on" if len(bad) else said


def _shares(counts: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return counts / np.maximum(whole.sum(axis=1, keepdims=True), 1)


def _edges(steps: list[int]) -> np.ndarray:
    """(updates + 1,) places between the updates."""
    at = np.array(steps, dtype=np.float64)
    between = (at[1:] + at[:-1]) / 2
    return np.concatenate([at[:1], between, at[-1:]])


def _gates(watch: Watch, x: Axis, row: int) -> list[Panel]:
    panels = []
    for column, (side, title) in enumerate(((1, "gate values above .9"), (0, "gate values below .1"))):
        lines = []
        for k, (name, rows) in enumerate(watch.gates.items()):
            pairs = [(s, r[side]) for s, r in zip(watch.steps, rows, strict=False)]
            lines.append(_line(name, pairs, k, DASH[k % 3]))
        panels.append(Panel(lines, title, x, Axis("share", low=-0.04, high=1.04), 1.2, row, column))
    return panels
