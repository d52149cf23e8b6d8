"""Gradients through time: how much of a loss comes back to each step, in one model beside another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ...nn import arguments
from ..effects import Side
from ..gradients import gradient_flow
from ..record import record
from ..tape import Track
from .picture import Drawing
from .scene import Axis, Panel, Scene
from .shown import array
from .timeline import timeline

DASH = ("solid", "dash", "dot")


def flow(
    models: Mapping[str, Any],
    name: str | None = None,
    *,
    rate: float | None = None,
    theme: str = "light",
    library: str = "matplotlib",
    title: str = "",
) -> Drawing:
    """The norm of ∂loss/∂h_t at every step, one curve for each model: does a gradient reach the start?

    The axis of norms is logarithmic; where a gradient is exactly 0 the curve has a gap.

    Args:
        models: by name: what `gw.inside.gradient_flow` gives, (T,) norms; a tape or a track with adjoints (`grad=True`)
            after `backward`; or what `gw.inside.compare` gives with a loss.
        name: of the value whose adjoint is meant, where there are tapes; default the layer's output.
        rate: steps a second: time is then in seconds.
        theme: "light" or "dark". library: "matplotlib" or "plotly". title: over the picture.

    >>> import gatewright as gw, torch
    >>> found = gw.inside.compare({"LSTM": gw.LSTM(3, 8), "RNN": gw.RNN(3, 8)}, torch.randn(30, 2, 3),
    ...                           loss=lambda found: found[0][-1].sum())
    >>> picture = gw.inside.flow(found)
    >>> [line.name for line in picture.scene.panels[0].items], picture.scene.panels[0].y.log
    (['LSTM', 'RNN'], True)
    """
    if not isinstance(models, Mapping) or not models:
        raise arguments.wrong("models", "norms or tapes by the models' names", repr(type(models).__name__))
    norms = {}
    for label, given in models.items():
        for layer, found in _norms(given, name).items():
            norms[f"{label} {layer}".strip()] = found
    steps = max(map(len, norms.values()))
    time = timeline(steps, steps, None, rate, None)
    lines = []
    for k, (label, y) in enumerate(norms.items()):
        if not (np.isfinite(y) & (y > 0)).any():
            raise arguments.wrong(label, "norms, some above 0", "none", "has backward been called?")
        late = np.concatenate([np.full(steps - len(y), np.nan), y])  # sequences are compared by their ends
        above = np.where(late > 0, late, np.nan)
        lines.append(time.line(above.astype(np.float64), label, k, DASH[k % 3]))
    of = name or "h"
    panel = Panel(
        lines, f"gradient flow, |∂loss/∂{of}| at every step", time.axis, Axis("norm over units", log=True), 2.8
    )
    return Drawing(Scene([panel], title), theme, library)


def _norms(given: Any, name: str | None) -> dict[str, np.ndarray]:
    """By layer: (T,)."""
    if isinstance(given, list) and given and isinstance(given[0], Side):
        return {str(s.track) if len(given) > 1 else "": _of_track(s.track, name) for s in given}
    if isinstance(given, record):
        return {str(t) if len(given.tracks) > 1 else "": _of_track(t, name) for t in given.tracks}
    if isinstance(given, Track):
        return {"": _of_track(given, name)}
    norms = array(given.detach() if isinstance(given, torch.Tensor) else given, "models")
    if norms.ndim != 1:
        raise arguments.wrong("models", "norms (T,)", f"shape {norms.shape}", "gw.inside.gradient_flow makes them")
    return {"": norms}


def _of_track(track: Track, name: str | None) -> np.ndarray:
    return gradient_flow(track, name or track.cell.graph.output_name).cpu().numpy()
