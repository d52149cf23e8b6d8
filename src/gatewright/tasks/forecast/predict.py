"""Forecasts of windows in the data's own units, and what they become: tables, measured windows, pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from gatewright.tasks.errors import DataError, SettingsError
from gatewright.tasks.forecast.backtest import Forecasts, Model, Window
from gatewright.tasks.forecast.inputs import Inputs

if TYPE_CHECKING:
    from gatewright.tasks.forecast.settings import ForecastSettings

__all__ = [
    "able",
    "as_model",
    "check_counts",
    "check_levels",
    "chosen_series",
    "forecast_batches",
    "forecast_columns_of",
    "forecast_windows",
    "losses_of",
    "measured",
    "on_grid",
    "refuse_none",
]

AT_ONCE = 1 << 14  # sequences that are run at once, at most: windows times paths


def check_levels(levels: Sequence[float], where: str = "quantiles") -> tuple[float, ...]:
    """Levels of quantiles, rising. Raises `SettingsError` for what is none.

    >>> check_levels([0.9, 0.1])
    (0.1, 0.9)
    """
    try:
        found = tuple(sorted({float(level) for level in levels}))
    except (TypeError, ValueError):
        found = (0.0,)
    if isinstance(levels, str) or any(not 0 < level < 1 for level in found):
        raise SettingsError(f"{where}: expected a list of numbers between 0 and 1, [0.1, 0.9], got {levels!r}")
    return found


def check_counts(**given: int | None) -> None:
    """Raise `SettingsError` for a number below 1; None is none."""
    for name, value in given.items():
        if value is not None and (not isinstance(value, (int, np.integer)) or value < 1):
            raise SettingsError(f"{name}: expected a whole number of at least 1, got {value!r}")


def refuse_none(windows: Any, where: str = "") -> None:
    """Raise `DataError` where there are no windows. where: which were asked for, " from 2024-01-31 on"."""
    if not len(windows):
        longest, horizon = int(max(windows.series.ends)), windows.schema.horizon
        raise DataError(
            f"{windows.series.name}: no forecast of {horizon} steps{where} has a value before it and one to compare "
            f"with; the longest series has {longest} rows: give longer ones{', or an earlier origin' if where else ''}"
        )


def forecast_windows(
    network: Any, settings: ForecastSettings, windows: Any, levels: Sequence[float] = (), *, seed: int = 0
) -> Forecasts:
    """Forecast windows, in the data's own units.

    windows: N, of the data. levels: Q, rising. seed: of the paths of an autoregressive forecast, which depend on the
    number and the order of the windows too.
    """
    size = max(1, AT_ONCE // (settings.samples if settings.stepwise else 1))
    return forecast_batches(network, settings, windows.batches(size), levels, seed=seed)


def forecast_batches(
    network: Any, settings: ForecastSettings, batches: Iterable[Any], levels: Sequence[float] = (), *, seed: int = 0
) -> Forecasts:
    """The same of windows in batches."""
    network.eval()
    network.head.check_levels(levels)
    points, quantiles = [], []
    for number, batch in enumerate(batches):
        inputs = Inputs(batch, network)
        point, spread = network.forecast(inputs, levels, samples=settings.samples, seed=seed + number)
        points.append(batch.inverse(point.cpu().double()).numpy())
        if spread is not None:
            quantiles.append(batch.inverse(spread.cpu().double()).numpy())
    return Forecasts(np.concatenate(points), np.concatenate(quantiles) if levels else None, tuple(levels))


def measured(windows: Any) -> list[Window]:
    """Windows of the data as the measures take them."""
    series, truth = windows.series, windows.targets(slice(None))
    times = {i: series.times(i) for i in np.unique(windows.item).tolist()}
    found = []
    for n, (item, origin) in enumerate(zip(windows.item.tolist(), windows.origin.tolist(), strict=True)):
        before = times[item][:origin]
        found.append(Window(series.names[item], windows.history(n), truth[n], origin, before, windows.times(n)))
    return found


def as_model(network: Any, settings: ForecastSettings, windows: Any) -> Model:
    """The network as a backtest calls it, for these windows of the data: covariates come from there."""
    places = {
        (windows.series.names[i], o): n
        for n, (i, o) in enumerate(zip(windows.item.tolist(), windows.origin.tolist(), strict=True))
    }

    def model(asked: Sequence[Window], levels: Sequence[float]) -> Forecasts:
        at = np.array([places[w.series, w.origin] for w in asked])
        kept = able(network, settings, levels)
        found = forecast_windows(network, settings, windows, kept)
        spread = None if found.quantiles is None else found.quantiles[at]
        return Forecasts(found.mean[at], spread, found.levels)

    return model


def able(network: Any, settings: ForecastSettings, levels: Sequence[float]) -> tuple[float, ...]:
    """Those of the levels that a network has quantiles at: none of a head that gives one number."""
    if not network.head.spread:
        return ()
    if settings.head_name == "quantiles":
        low, high = settings.levels[0], settings.levels[-1]
        return tuple(level for level in levels if low <= level <= high)
    return tuple(levels)


def forecast_columns_of(centre: str, found: Forecasts, places: dict[str, Any]) -> dict[str, Any]:
    """The columns of a forecast in long format: series and time, the centre, and one for each level ("0.1")."""
    columns = {**places, centre: found.mean.reshape(-1)}
    for k, level in enumerate(found.levels):
        assert found.quantiles is not None
        columns[f"{level:g}"] = found.quantiles[..., k].reshape(-1)
    return columns


def chosen_series(series: Any, name: str | None) -> int:
    """The number of a series by its name; the first where none is named. Raises `DataError` for an unknown one."""
    if name is None:
        return 0
    if name not in series.names:
        known = ", ".join(map(repr, series.names[:5])) + (", …" if len(series.names) > 5 else "")
        raise DataError(f"series {name!r}: not in these data; there are {known}")
    return series.names.index(name)


def on_grid(lengths: np.ndarray, horizon: int, origins: int, stride: int) -> np.ndarray:
    """The first origins of backtests that end with each series; at least one step is known before it."""
    last = lengths - horizon
    count = np.minimum(origins - 1, np.maximum(last - 1, 0) // stride)
    return np.maximum(last - count * stride, 1)


def losses_of(network: Any, inputs: Inputs) -> torch.Tensor:
    """The mean loss of each window, (B,), as a report looks inside by it."""
    losses = network.losses(inputs, *network(inputs))
    return losses.sum(1) / inputs.target_observed.sum(1).clamp(min=1)
