"""Backtests: forecasts from many origins of the past, each from what was known there, beside what then came.

    windows = rolling_origins({"sales": values}, horizon=24, origins=10)
    tested = backtest({"mine": model, **usual(season=24)}, windows, season=24)
    tested.scores(), tested.by_step(), tested.coverage(), tested.table()

A model is anything that is called with windows and levels and gives `Forecasts`; `each` makes one of a function of a
single history. Nothing that lies behind an origin is handed to a model: a window's truth is masked before.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from gatewright.tasks.errors import DataError
from gatewright.tasks.forecast.metrics import (
    calibration,
    coverage,
    crps,
    mae,
    mase,
    mse,
    naive_scale,
    pinball,
    smape,
    weighted_quantile_loss,
    width,
)

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["LEVELS", "Backtest", "Forecasts", "Model", "Window", "backtest", "each", "rolling_origins"]

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class Window:
    """A series cut at an origin.

    series: its name. history: (T,) what is known, NaN where missing. truth: (H,) what came, NaN where missing.
    origin: the steps of the series before the forecast. history_times, times: (T,) and (H,), dates or numbers, or None.
    """

    series: str
    history: Float[np.ndarray, " T"]
    truth: Float[np.ndarray, " H"]
    origin: int
    history_times: np.ndarray | None = None
    times: np.ndarray | None = None


@dataclass(frozen=True)
class Forecasts:
    """mean: (N, H), NaN in windows that were left out. quantiles: (N, H, Q) at the levels (Q,), or None for points."""

    mean: Float[np.ndarray, "N H"]
    quantiles: Float[np.ndarray, "N H Q"] | None = None
    levels: tuple[float, ...] = ()


Model = Callable[[Sequence[Window], Sequence[float]], Forecasts]


def each(forecast: Callable[[np.ndarray], Any]) -> Model:
    """A model from a function of one history, (T,) to (H,): the simplest there is.

    >>> windows = rolling_origins({"a": np.arange(6.0)}, horizon=2, origins=2)
    >>> each(lambda history: [history.mean()] * 2)(windows, LEVELS).mean.tolist()
    [[0.5, 0.5], [1.5, 1.5]]
    """

    def model(windows: Sequence[Window], levels: Sequence[float]) -> Forecasts:  # noqa: ARG001 - it has points alone
        return Forecasts(np.stack([np.asarray(forecast(w.history), np.float64) for w in windows]))

    return model


def rolling_origins(
    series: Mapping[str, Any],
    horizon: int,
    *,
    origins: int = 10,
    stride: int | None = None,
    least: int = 1,
    times: Mapping[str, Any] | None = None,
) -> list[Window]:
    """The last windows of each series, the newest one ending with it, from the earliest origin on.

    Args:
        series: name to values, (T,), NaN where missing.
        horizon: steps of a forecast. origins: how many windows of a series. stride: steps between two (the horizon).
        least: known values that a history must have; a window with fewer is left out.
        times: name to the time of each value, (T,): dates or numbers.

    Raises:
        DataError: a number below 1, or no series is long enough for one window.

    >>> [(w.origin, w.truth.tolist()) for w in rolling_origins({"a": np.arange(6.0)}, 2, origins=2)]
    [(2, [2.0, 3.0]), (4, [4.0, 5.0])]
    """
    stride = horizon if stride is None else stride
    for name, value in {"horizon": horizon, "origins": origins, "stride": stride, "least": least}.items():
        if value < 1:
            raise DataError(f"rolling_origins: {name}: expected a number of at least 1, got {value}")
    windows = []
    for name, given in series.items():
        values = np.asarray(given, np.float64)
        when = None if times is None else np.asarray(times[name])
        last = len(values) - horizon
        at = [origin for origin in range(last - stride * (origins - 1), last + 1, stride) if origin > 0]
        windows += [_cut(name, values, when, origin, horizon) for origin in at]
    found = [w for w in windows if (~np.isnan(w.history)).sum() >= least and not np.isnan(w.truth).all()]
    if not found:
        raise DataError(
            f"no series has {least} known value(s) before a horizon of {horizon} steps; "
            "take a shorter horizon, or longer series"
        )
    return found


def _cut(name: str, values: np.ndarray, times: np.ndarray | None, origin: int, horizon: int) -> Window:
    end = origin + horizon
    before, after = (None, None) if times is None else (times[:origin], times[origin:end])
    return Window(name, values[:origin], values[origin:end], origin, before, after)


# -- the test --------------------------------------------------------------------------------------------------


def backtest(
    models: Mapping[str, Model],
    windows: Sequence[Window],
    *,
    season: int = 1,
    levels: Sequence[float] = LEVELS,
) -> Backtest:
    """Forecast every window by every model, and keep it beside the truth.

    Args:
        models: by name; each is called once with all windows. windows: as of `rolling_origins`.
        season: steps of the season by which MASE is scaled. levels: of the quantiles asked for, ascending.

    Raises:
        DataError: no windows, windows of different horizons, or a model whose forecasts have other shapes.

    >>> windows = rolling_origins({"a": [1.0, 2.0, 3.0, 4.0]}, horizon=1, origins=2)
    >>> last = each(lambda history: history[-1:])
    >>> backtest({"last": last}, windows).scores()["last"]["MAE"]
    1.0
    """
    if not windows:
        raise DataError("backtest: expected windows, got none")
    horizons = sorted({len(w.truth) for w in windows})
    if len(horizons) > 1:
        raise DataError(f"backtest: expected windows of one horizon, got horizons of {horizons} steps")
    blind = [dataclasses.replace(w, truth=np.full(horizons[0], np.nan)) for w in windows]
    found = {name: _checked(name, model(blind, levels), len(windows), horizons[0]) for name, model in models.items()}
    return Backtest(tuple(windows), found, season)


def _checked(name: str, found: Forecasts, windows: int, horizon: int) -> Forecasts:
    mean = np.asarray(found.mean, np.float64)
    if mean.shape != (windows, horizon):
        raise DataError(f"model {name!r}: expected forecasts {(windows, horizon)} (windows, steps), got {mean.shape}")
    if found.quantiles is None:
        return Forecasts(mean)
    quantiles = np.asarray(found.quantiles, np.float64)
    wanted = (windows, horizon, len(found.levels))
    if quantiles.shape != wanted:
        raise DataError(f"model {name!r}: expected quantiles {wanted} (windows, steps, levels), got {quantiles.shape}")
    return Forecasts(mean, quantiles, tuple(float(level) for level in found.levels))


@dataclass(frozen=True)
class Backtest:
    """Forecasts of models beside the truth: (N,) windows, H steps.

    A model may leave windows out (NaN); its figures are then of those that it did, and `left_out` says how many.
    """

    windows: tuple[Window, ...]
    forecasts: Mapping[str, Forecasts]
    season: int = 1
    _rows: dict[str, np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def truth(self) -> Float[np.ndarray, "N H"]:
        """What came."""
        return np.stack([np.asarray(w.truth, np.float64) for w in self.windows])

    @cached_property
    def scale(self) -> Float[np.ndarray, " N"]:
        """What MASE measures by, from each window's history."""
        return np.array([naive_scale(w.history, self.season) for w in self.windows])

    def done(self, model: str) -> np.ndarray:
        """The windows that a model has forecast, by number."""
        if model not in self.forecasts:
            raise DataError(f"no model {model!r} in this backtest; it has {', '.join(map(repr, self.forecasts))}")
        if model not in self._rows:
            self._rows[model] = np.flatnonzero(~np.isnan(self.forecasts[model].mean).all(1))
        return self._rows[model]

    def scores(self, *, like: str | None = None) -> dict[str, dict[str, float]]:
        """By model the figures over all its windows; those of quantiles where it has any.

        like: a model, to the windows of which all are kept, so that figures compare.
        """
        keep = None if like is None else self.done(like)
        return {name: self._figures(name, keep) for name in self.forecasts}

    def by_series(self) -> dict[str, dict[str, dict[str, float]]]:
        """Series, then model, to its figures over the series' windows."""
        return self._by([w.series for w in self.windows])

    def by_origin(self) -> dict[int, dict[str, dict[str, float]]]:
        """Origin, then model, to its figures over all series."""
        return self._by([w.origin for w in self.windows])

    def by_step(self, measure: str = "MAE") -> dict[str, Float[np.ndarray, " H"]]:
        """A measure at each step of the horizon, by model: "MAE", "MSE", "RMSE", "MASE", "sMAPE" or "pinball"."""
        return {name: self._step(name, measure) for name in self.forecasts}

    def coverage(self) -> dict[str, dict[float, dict[str, float]]]:
        """Model, then nominal share of each central interval, to the measured one and its mean width.

        >>> windows = rolling_origins({"a": [1.0, 2.0, 3.0, 4.0]}, horizon=1, origins=2)
        >>> wide = lambda w, levels: Forecasts(np.zeros((2, 1)), np.tile([0.0, 9.0], (2, 1, 1)), (0.1, 0.9))
        >>> backtest({"wide": wide}, windows).coverage()
        {'wide': {0.8: {'measured': 1.0, 'width': 9.0}}}
        """
        found: dict[str, dict[float, dict[str, float]]] = {}
        for name, forecast in self.forecasts.items():
            rows = self.done(name)
            for low, high in intervals(forecast.levels) if len(rows) else ():
                assert forecast.quantiles is not None
                ends = (forecast.quantiles[rows, :, low], forecast.quantiles[rows, :, high])
                nominal = round(forecast.levels[high] - forecast.levels[low], 6)
                shares = {"measured": coverage(self.truth[rows], *ends), "width": width(*ends)}
                found.setdefault(name, {})[nominal] = shares
        return found

    def calibration(self) -> dict[str, tuple[tuple[float, ...], Float[np.ndarray, " Q"]]]:
        """By model the levels, and the share of the truth at or below each quantile."""
        found = {}
        for name, forecast in self.forecasts.items():
            rows = self.done(name)
            if forecast.quantiles is not None and len(rows):
                shares = calibration(self.truth[rows], forecast.quantiles[rows], forecast.levels)
                found[name] = (forecast.levels, shares)
        return found

    @property
    def left_out(self) -> list[str]:
        """A line for each model that did not forecast every window."""
        whole = len(self.windows)
        short = {name: len(self.done(name)) for name in self.forecasts}
        return [f"{name}: {done} of {whole} windows" for name, done in short.items() if done < whole]

    def table(self) -> dict[str, list[Any]]:
        """All forecasts in columns, a row for each model, window and step that was forecast: for a data frame.

        Columns: model, series, origin, step (from 1), time (where there are times), truth, forecast, and one for each
        level ("0.1", …; None where a model has no such quantile).
        """
        levels = sorted({level for f in self.forecasts.values() for level in f.levels})
        names = ["model", "series", "origin", "step", "time", "truth", "forecast", *(f"{level:g}" for level in levels)]
        columns: dict[str, list[Any]] = {name: [] for name in names}
        for row in self._long(levels):
            for name, value in zip(names, row, strict=True):
                columns[name].append(value)
        if all(time is None for time in columns["time"]):
            del columns["time"]
        return columns

    def _long(self, levels: list[float]) -> Iterable[tuple[Any, ...]]:
        for name, forecast in self.forecasts.items():
            place = {level: k for k, level in enumerate(forecast.levels)}
            for n in self.done(name):
                window = self.windows[n]
                for h, mean in enumerate(forecast.mean[n]):
                    time = None if window.times is None else window.times[h]
                    q = None if forecast.quantiles is None else forecast.quantiles[n, h]
                    at = [float(q[place[level]]) if q is not None and level in place else None for level in levels]
                    yield name, window.series, window.origin, h + 1, time, float(window.truth[h]), float(mean), *at

    def _by(self, keys: Sequence[Any]) -> dict[Any, dict[str, dict[str, float]]]:
        groups: dict[Any, list[int]] = {}
        for n, key in enumerate(keys):
            groups.setdefault(key, []).append(n)
        return {
            key: {name: self._figures(name, np.array(rows)) for name in self.forecasts} for key, rows in groups.items()
        }

    def _step(self, name: str, measure: str) -> Float[np.ndarray, " H"]:
        rows, forecast = self.done(name), self.forecasts[name]
        truth, mean = self.truth[rows], forecast.mean[rows]
        if not len(rows):
            return np.full(self.truth.shape[1], np.nan)
        if measure == "MASE":
            return mase(truth, mean, self.scale[rows], over="step")
        if measure == "RMSE":
            return np.sqrt(mse(truth, mean, over="step"))
        if measure == "pinball":
            none = np.full(truth.shape[1], np.nan)
            quantiles = forecast.quantiles
            return none if quantiles is None else pinball(truth, quantiles[rows], forecast.levels, over="step")
        known = {"MAE": mae, "MSE": mse, "sMAPE": smape}
        if measure not in known:
            raise DataError(
                f"by_step: expected one of {', '.join([*known, 'RMSE', 'MASE', 'pinball'])}; got {measure!r}"
            )
        return known[measure](truth, mean, over="step")

    def _figures(self, name: str, keep: np.ndarray | None) -> dict[str, float]:
        rows, forecast = self.done(name), self.forecasts[name]
        rows = rows if keep is None else np.intersect1d(rows, keep)
        if not len(rows):
            return {}
        truth, mean = self.truth[rows], forecast.mean[rows]
        squared = mse(truth, mean)
        found = {
            "MASE": mase(truth, mean, self.scale[rows]),
            "MAE": mae(truth, mean),
            "RMSE": float(np.sqrt(squared)),
            "MSE": squared,
            "sMAPE": smape(truth, mean),
        }
        if forecast.quantiles is None:
            return found
        quantiles, levels = forecast.quantiles[rows], forecast.levels
        found["CRPS"] = crps(truth, quantiles, levels)
        found["weighted quantile loss"] = weighted_quantile_loss(truth, quantiles, levels)
        for low, high in intervals(levels)[:1]:  # the widest
            nominal = levels[high] - levels[low]
            found[f"coverage of {nominal:.0%}"] = coverage(truth, quantiles[..., low], quantiles[..., high])
        return found


def intervals(levels: Sequence[float]) -> list[tuple[int, int]]:
    """Pairs of levels that lie evenly around the middle, by number, the widest first.

    >>> intervals((0.1, 0.3, 0.5, 0.9))
    [(0, 3)]
    """
    pairs = [
        (low, high) for low, a in enumerate(levels) for high, b in enumerate(levels) if a < b and abs(a + b - 1) < 1e-9
    ]
    return sorted(pairs, key=lambda pair: levels[pair[0]])
