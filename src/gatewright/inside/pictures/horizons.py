"""How long the units of each layer remember: histograms of memory horizons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...nn import arguments
from ...nn.gates import keepers
from ..effects import Side
from ..memory import memory_horizon
from ..record import record
from ..tape import Track
from .picture import Drawing
from .scene import Axis, Bars, Mark, Panel, Scene
from .shown import array

A_DECADE, MOST = 8, 1e6


def horizons(
    source: Any,
    *,
    lags: float | Sequence[float] | Mapping[str, float] | None = None,
    theme: str = "light",
    library: str = "matplotlib",
    title: str = "",
) -> Drawing:
    """How many units remember for how long: a histogram of half-lives on a logarithmic axis, for each layer.

    What lies beyond either end of the axis, an endless memory among it, is counted in the outermost bar.

    Args:
        source: a tape or a track with the gates that keep a state (`gw.inside.memory_horizon` has the definition), what
            `gw.inside.compare` gives, a tensor of half-lives in steps (units,), or several of these by name.
        lags: steps that matter in the data, such as 24 hours, drawn as vertical lines: numbers, or numbers by name.
        theme: "light" or "dark". library: "matplotlib" or "plotly". title: over the picture.

    Raises:
        ValueError: no gate keeps a state in any layer, or half-lives are not positive.

    >>> import gatewright as gw, torch
    >>> picture = gw.inside.horizons({"l0": torch.tensor([0.9, 5.0, 8.0, 300.0])}, lags={"a day": 24})
    >>> int(picture.scene.panels[0].items[0].counts.sum())
    4
    """
    layers = half_lives(source)
    marks = _marks(lags)
    edges = _edges([*layers.values(), np.array([m.x for m in marks])])
    panels = []
    for row, (name, lives) in enumerate(layers.items()):
        inside = np.sqrt(edges[[0, -2]] * edges[[1, -1]])
        counts = np.histogram(np.clip(lives, *inside), edges)[0].astype(float)
        endless = int(np.isinf(lives).sum())
        said = f"{len(lives)} units, half of them beyond {np.median(lives):.3g} steps"
        said += f", {endless} without end" if endless else ""
        x = Axis("memory horizon: half-life in steps", log=True, low=float(edges[0]), high=float(edges[-1]))
        shown = marks if row == 0 else [Mark(m.x, "") for m in marks]
        panel = Panel(
            [Bars(edges, counts, name, row), *shown], f"{name}: {said}".lstrip(": "), x, Axis("units"), 1.5, row
        )
        panels.append(panel)
    return Drawing(Scene(panels, title), theme, library)


def half_lives(source: Any) -> dict[str, np.ndarray]:
    """By layer: (units,) in steps."""
    if isinstance(source, Mapping) and not isinstance(source, Track):
        found = {}
        for name, inner in source.items():
            for layer, lives in half_lives(inner).items():
                found[f"{name} {layer}".strip()] = lives
        return found
    if isinstance(source, list) and source and isinstance(source[0], Side):
        kept = [side for side in source if side.horizon is not None]
        return {str(s.track) if len(source) > 1 else "": _positive(s.horizon) for s in kept}
    if isinstance(source, record):
        found = {str(track): _kept(track) for track in source.tracks}
        layers = {name: _positive(lives) for name, lives in found.items() if lives is not None}
        if not layers:
            raise arguments.wrong("source", "a tape of gates that keep a state", "none", "a plain RNN has no such gate")
        return layers
    if isinstance(source, Track):
        return {str(source): _positive(memory_horizon(source))}
    return {"": _positive(source)}


def _kept(track: Track) -> Any:
    return memory_horizon(track) if keepers(track.cell.graph) else None


def _positive(given: Any) -> np.ndarray:
    lives = array(given, "source").astype(np.float64).ravel()
    if len(lives) == 0 or not (lives > 0).all():
        raise arguments.wrong(
            "source", "half-lives above 0, in steps", "none" if not len(lives) else f"{lives.min():g}"
        )
    return lives


def _marks(lags: Any) -> list[Mark]:
    if lags is None:
        return []
    named = lags if isinstance(lags, Mapping) else {"": lags} if np.ndim(lags) == 0 else {f"{v:g}": v for v in lags}
    marks = [Mark(float(v), str(k) or f"{v:g}") for k, v in named.items()]
    if any(not 0 < m.x < np.inf for m in marks):
        raise arguments.wrong("lags", "numbers of steps above 0", [m.x for m in marks])
    return sorted(marks, key=lambda m: m.x)


def _edges(values: Sequence[np.ndarray]) -> np.ndarray:
    """Eight bars to the decade, over whole decades."""
    whole = np.concatenate(values)
    finite = np.clip(whole[np.isfinite(whole)], 1e-2, MOST)
    low, high = (finite.min(), finite.max()) if len(finite) else (1.0, 1e3)
    low, high = np.floor(np.log10(low)), np.ceil(np.log10(high) + 1e-9)
    high = max(high, low + 1)
    return np.logspace(low, high, int((high - low) * A_DECADE) + 1)
