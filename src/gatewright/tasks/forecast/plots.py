"""Pictures of forecasts: against the truth, error by step, measured coverage against the nominal one.

Each is a `Drawing`: `save("forecast.png")` or `.html`, shown by itself in a notebook, and drawn in the report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gatewright.inside.pictures.picture import Drawing
from gatewright.inside.pictures.scene import Axis, Band, Item, Line, Mark, Panel, Scene
from gatewright.tasks.errors import DataError
from gatewright.tasks.forecast.backtest import Backtest, Forecasts, Window, intervals

__all__ = ["draw_coverage", "draw_forecasts", "draw_steps"]

SHOWN = 3.0  # horizons of history that are drawn before a forecast
BANDS = 3  # intervals that are drawn, the widest among them
STRENGTHS = (0.15, 0.25, 0.4)  # of intervals, the widest first
STYLES = ("dash", "dot")


def draw_forecasts(
    windows: Sequence[Window],
    forecasts: Mapping[str, Forecasts],
    *,
    chosen: Sequence[int] = (0,),
    shown: int | None = None,
    unit: str = "",
    theme: str = "light",
    library: str = "matplotlib",
    title: str = "",
) -> Drawing:
    """Forecasts against the truth: a panel a window, the first model with its intervals, the others as thin lines.

    Args:
        windows: N. forecasts: by model's name, each of N windows; the first is the one that counts.
        chosen: which windows, by number. shown: steps of history before the origin (three horizons).
        unit: of the values, for the axis. theme: "light" or "dark". library: "matplotlib" or "plotly".

    Raises:
        DataError: no windows or no forecasts, or a window that is not there.

    >>> window = Window("sales", np.arange(8.0), np.array([8.0, 9.0]), origin=8)
    >>> picture = draw_forecasts([window], {"last": Forecasts(np.array([[7.0, 7.0]]))})
    >>> [item.name for item in picture.scene.panels[0].items if isinstance(item, Line)]
    ['truth', 'last']
    """
    if not windows or not forecasts:
        raise DataError("draw_forecasts: expected windows and forecasts, got none")
    if any(not 0 <= n < len(windows) for n in chosen):
        raise DataError(f"draw_forecasts: chosen: expected numbers from 0 to {len(windows) - 1}, got {list(chosen)}")
    panels = [_forecast_panel(windows[n], n, forecasts, row, shown, unit) for row, n in enumerate(chosen)]
    return Drawing(Scene(panels, title, shared=False), theme, library)


def _forecast_panel(
    window: Window, n: int, forecasts: Mapping[str, Forecasts], row: int, shown: int | None, unit: str
) -> Panel:
    steps = min(len(window.history), int(SHOWN * len(window.truth)) if shown is None else shown)
    before, after = _places(window, steps)
    known = np.concatenate([window.history[len(window.history) - steps :], window.truth])
    first, *others = forecasts.items()
    items: list[Item] = [*_bands(first[1], n, after)]
    items.append(Line(np.concatenate([before, after]), known, "truth", "quiet"))
    items.append(Line(after, first[1].mean[n], first[0], 0))
    for k, (name, forecast) in enumerate(others):
        if not np.isnan(forecast.mean[n]).all():
            items.append(Line(after, forecast.mean[n], name, 1 + k, STYLES[k % len(STYLES)]))
    dates = after.dtype.kind == "M"
    if steps and not dates:
        items.append(Mark(float(before[-1]), "origin"))
    x = Axis("" if dates else "step of the series", dates=dates)
    return Panel(items, window.series, x, Axis(unit), 1.9, row)


def _places(window: Window, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the shown history and the truth lie on the x axis."""
    if window.times is not None and window.history_times is not None:
        return np.asarray(window.history_times)[len(window.history) - steps :], np.asarray(window.times)
    return np.arange(window.origin - steps, window.origin), window.origin + np.arange(len(window.truth))


def _bands(forecast: Forecasts, n: int, x: np.ndarray) -> list[Band]:
    if forecast.quantiles is None:
        return []
    pairs = intervals(forecast.levels)
    kept = [pairs[k] for k in np.unique(np.linspace(0, len(pairs) - 1, min(BANDS, len(pairs))).astype(int))]
    named = [(low, high, f"{forecast.levels[high] - forecast.levels[low]:.0%}") for low, high in kept]
    return [
        Band(x, forecast.quantiles[n, :, low], forecast.quantiles[n, :, high], name, 0, STRENGTHS[k])
        for k, (low, high, name) in enumerate(named)
    ]


def draw_steps(
    tested: Backtest,
    *,
    measure: str = "MAE",
    theme: str = "light",
    library: str = "matplotlib",
    title: str = "",
) -> Drawing:
    """How an error grows with the step of the horizon: a curve a model.

    measure: "MAE", "RMSE", "MASE", "sMAPE" or "pinball". The other arguments are those of `draw_forecasts`.

    >>> from gatewright.tasks.forecast.backtest import backtest, each, rolling_origins
    >>> windows = rolling_origins({"a": [1.0, 2.0, 3.0, 4.0]}, horizon=2, origins=1)
    >>> last = each(lambda history: [history[-1]] * 2)
    >>> draw_steps(backtest({"last": last}, windows)).scene.panels[0].items[0].y.tolist()
    [1.0, 2.0]
    """
    curves = tested.by_step(measure)
    items = [
        Line(np.arange(1, len(y) + 1), y, name, k, "solid" if k == 0 else STYLES[k % len(STYLES)])
        for k, (name, y) in enumerate(curves.items())
        if not np.isnan(y).all()
    ]
    panel = Panel(items, f"{measure} by step", Axis("step of the horizon"), Axis(measure), 1.9)
    return Drawing(Scene([panel], title), theme, library)


def draw_coverage(
    tested: Backtest, *, theme: str = "light", library: str = "matplotlib", title: str = ""
) -> Drawing | None:
    """Calibration: the share of the truth at or below each quantile against its level, a curve a model.

    On the diagonal it is as it should be; flatter means intervals too narrow, steeper too wide. None where no model
    has quantiles. Arguments as of `draw_steps`.
    """
    found = tested.calibration()
    if not found:
        return None
    ends = np.array([0.0, 1.0])
    items: list[Any] = [Line(ends, ends, "as it should be", "quiet", "dash")]
    for k, (name, (levels, shares)) in enumerate(found.items()):
        items.append(Line(np.asarray(levels), shares, name, k, "solid" if k == 0 else STYLES[k % len(STYLES)]))
    x = Axis("level of the quantile", low=0.0, high=1.0)
    y = Axis("share of the truth below", low=0.0, high=1.0)
    return Drawing(Scene([Panel(items, "calibration of the quantiles", x, y, 2.6)], title, width=6.4), theme, library)
