"""How good forecasts are: errors of points, of quantiles and of intervals, as the literature defines them.

N windows (one series, cut at one origin), H steps, Q levels. A truth that is NaN was not observed: it is not counted,
whatever was forecast there. A forecast that is no number where the truth is known is an error.

Every mean can be taken over all that is known, by window or by step (`over`): what has no known value is NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from gatewright.tasks.errors import DataError

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = [
    "Over",
    "calibration",
    "coverage",
    "crps",
    "interval_score",
    "mae",
    "mase",
    "mse",
    "naive_scale",
    "owa",
    "pinball",
    "rmse",
    "smape",
    "weighted_quantile_loss",
    "width",
]

Over = Literal["all", "window", "step"]
AXES: dict[str, int | None] = {"all": None, "window": 1, "step": 0}


# -- points ----------------------------------------------------------------------------------------------------


def mse(truth: Any, forecast: Any, *, over: Over = "all") -> Any:
    """Mean squared error, in squared units of the data.

    Args:
        truth: (N, H), NaN where not observed. forecast: (N, H).
        over: "all" for one number, "window" for (N,), "step" for (H,).

    Raises:
        DataError: other shapes, or a forecast that is no number where the truth is known.

    >>> mse([[1.0, 2.0, float("nan")]], [[1.0, 4.0, 9.0]])
    2.0
    """
    return _mean(np.square(_error(truth, forecast)), over)


def mae(truth: Any, forecast: Any, *, over: Over = "all") -> Any:
    """Mean absolute error, in units of the data. Arguments as of `mse`.

    >>> mae([[1.0, 2.0]], [[1.0, 4.0]], over="step").tolist()
    [0.0, 2.0]
    """
    return _mean(np.abs(_error(truth, forecast)), over)


def rmse(truth: Any, forecast: Any, *, over: Over = "all") -> Any:
    """Root of the mean squared error, in units of the data. Arguments as of `mse`.

    >>> rmse([[0.0, 0.0]], [[3.0, 3.0]])
    3.0
    """
    found = np.sqrt(mse(truth, forecast, over=over))
    return found if over != "all" else float(found)


def smape(truth: Any, forecast: Any, *, over: Over = "all") -> Any:
    """Symmetric mean absolute percentage error, from 0 to 200: mean of 200 |y − f| / (|y| + |f|), 0 where both are 0.

    Arguments as of `mse`. Source: S. Makridakis, E. Spiliotis and V. Assimakopoulos, The M4 Competition: 100,000 time
    series and 61 forecasting methods, 2020.

    >>> smape([[100.0, 0.0]], [[300.0, 0.0]])
    50.0
    """
    error, y, f = np.abs(_error(truth, forecast)), np.abs(_table(truth, "truth")), np.abs(_table(forecast, "forecast"))
    size = y + f
    shares = np.divide(200 * error, size, out=np.zeros_like(error), where=size > 0)
    return _mean(np.where(np.isnan(error), np.nan, shares), over)


def naive_scale(history: Any, season: int = 1) -> float:
    """What MASE measures errors by: the mean |y_t − y_{t−season}| of a history, in units of the data.

    history: (T,), NaN where not observed. NaN where there is no pair, as in a history no longer than the season.
    0 for a constant history.

    >>> naive_scale([1.0, 2.0, 4.0, float("nan")])
    1.5
    """
    y = np.asarray(history, np.float64)
    steps = np.abs(y[season:] - y[:-season]) if season < len(y) else np.empty(0)
    known = steps[~np.isnan(steps)]
    return float(known.mean()) if len(known) else float("nan")


def mase(truth: Any, forecast: Any, scale: Any, *, over: Over = "all") -> Any:
    """Mean absolute scaled error: absolute errors by what the seasonal naive method's were in the history.

    scale: (N,), `naive_scale` of each window's history. A window whose scale is 0 or NaN (a constant or a short
    history) is not counted. Over all it is the mean of the windows' figures, as the M4 competition takes it. The
    other arguments are those of `mse`. Source: R. Hyndman and A. Koehler, Another look at measures of forecast
    accuracy, 2006.

    >>> mase([[1.0, 2.0]], [[2.0, 4.0]], [3.0])
    0.5
    """
    error = np.abs(_error(truth, forecast))
    by = np.asarray(scale, np.float64)
    if by.shape != error.shape[:1]:
        raise DataError(f"mase: scale: expected one number for each of {len(error)} windows, got shape {by.shape}")
    scaled = error / np.where(by > 0, by, np.nan)[:, None]
    return _mean(_mean(scaled, "window"), "all") if over == "all" else _mean(scaled, over)


def owa(smape: float, mase: float, naive2_smape: float, naive2_mase: float) -> float:
    """Overall weighted average of the M4 competition: both errors as shares of Naive2's, averaged.

    >>> round(owa(9.328, 0.893, 18.383, 2.395), 3)
    0.44
    """
    return (smape / naive2_smape + mase / naive2_mase) / 2


# -- quantiles -------------------------------------------------------------------------------------------------


def pinball(truth: Any, quantiles: Any, levels: Sequence[float], *, over: Over = "all") -> Any:
    """Quantile loss, the mean over the levels of max(τ (y − q), (τ − 1) (y − q)), in units of the data.

    Args:
        truth: (N, H), NaN where not observed. quantiles: (N, H, Q). levels: (Q,), from 0 to 1, ascending.
        over: "all", "window" or "step".

    Raises:
        DataError: other shapes, levels that do not ascend between 0 and 1, or a quantile that is no number.

    Source: R. Koenker and G. Bassett, Regression quantiles, 1978.

    >>> pinball([[10.0]], [[[8.0, 11.0]]], [0.1, 0.9])
    0.15
    """
    return _mean(_pinball(truth, quantiles, levels).mean(-1), over)


def weighted_quantile_loss(truth: Any, quantiles: Any, levels: Sequence[float]) -> float:
    """2 Σ pinball / Σ |y|, the mean over the levels: without a unit, comparable between data sets.

    Arguments as of `pinball`. NaN where every truth is 0. Source: D. Salinas, V. Flunkert, J. Gasthaus and
    T. Januschowski, DeepAR, 2020 (its ρ-risk).

    >>> weighted_quantile_loss([[10.0]], [[[8.0]]], [0.5])
    0.2
    """
    loss = _pinball(truth, quantiles, levels).mean(-1)
    size = float(np.nansum(np.abs(_table(truth, "truth"))))
    return float(2 * np.nansum(loss) / size) if size else float("nan")


def crps(truth: Any, quantiles: Any, levels: Sequence[float], *, over: Over = "all") -> Any:
    """Continuous ranked probability score, in units of the data: twice the pinball loss integrated over the levels.

    Each level stands for the part of (0, 1) that is nearest to it, so nine levels from 0.1 to 0.9 are an approximation.
    Arguments as of `pinball`. Source: T. Gneiting and R. Ranjan, Comparing density forecasts using threshold- and
    quantile-weighted scoring rules, 2011.

    >>> crps([[10.0]], [[[8.0]]], [0.5])
    2.0
    """
    taus = np.asarray(levels, np.float64)
    loss = _pinball(truth, quantiles, levels)
    ends = np.concatenate([[0.0], (taus[1:] + taus[:-1]) / 2, [1.0]])
    return _mean(2 * (loss * np.diff(ends)).sum(-1), over)


def calibration(truth: Any, quantiles: Any, levels: Sequence[float]) -> Float[np.ndarray, " Q"]:
    """The share of the known truth at or below each quantile, (Q,): the levels themselves where all is well.

    Arguments as of `pinball`.

    >>> calibration([[1.0, 5.0]], [[[0.0, 2.0], [4.0, 6.0]]], [0.1, 0.9]).tolist()
    [0.0, 1.0]
    """
    y, q, _ = _against(truth, quantiles, levels)
    known = ~np.isnan(y)
    if not known.any():
        return np.full(q.shape[-1], np.nan)
    return (y[..., None] <= q)[known].mean(0)


# -- intervals -------------------------------------------------------------------------------------------------


def coverage(truth: Any, low: Any, high: Any, *, over: Over = "all") -> Any:
    """The share of the known truth that lies within the interval, its ends included: 0.8 for a good one of 80 %.

    truth, low, high: (N, H).

    >>> coverage([[1.0, 5.0]], [[0.0, 0.0]], [[2.0, 2.0]])
    0.5
    """
    below, above = _error(truth, low), _error(truth, high)
    return _mean(np.where(np.isnan(below), np.nan, (below >= 0) & (above <= 0)), over)


def width(low: Any, high: Any, *, over: Over = "all") -> Any:
    """The mean width of the intervals, in units of the data. low, high: (N, H).

    >>> width([[0.0, 0.0]], [[2.0, 4.0]])
    3.0
    """
    return _mean(-_error(low, high), over)


def interval_score(truth: Any, low: Any, high: Any, nominal: float, *, over: Over = "all") -> Any:
    """Winkler's score: the width, and 2 / (1 − nominal) times how far the truth lies outside. Less is better.

    truth, low, high: (N, H). nominal: what the interval should cover, such as 0.8. Source: T. Gneiting and A. Raftery,
    Strictly proper scoring rules, prediction, and estimation, 2007.

    >>> round(interval_score([[5.0]], [[0.0]], [[4.0]], 0.8), 6)
    14.0
    """
    if not 0 < nominal < 1:
        raise DataError(f"interval_score: nominal: expected a share between 0 and 1, got {nominal!r}")
    below, above = -_error(truth, low), _error(truth, high)
    outside = np.maximum(below, 0) + np.maximum(above, 0)
    return _mean(_table(high, "high") - _table(low, "low") + 2 / (1 - nominal) * outside, over)


# -- within ----------------------------------------------------------------------------------------------------


def _mean(values: np.ndarray, over: Over) -> Any:
    """The mean of what is known; NaN where nothing is."""
    if over not in AXES:
        raise DataError(f"over: expected one of {', '.join(AXES)}, got {over!r}")
    known = ~np.isnan(values)
    number = known.sum(axis=AXES[over])
    total = np.where(known, values, 0.0).sum(axis=AXES[over])
    found = np.divide(total, number, out=np.full(np.shape(total), np.nan), where=number > 0)
    return float(found) if over == "all" else found


def _table(values: Any, name: str) -> np.ndarray:
    found = np.asarray(values, np.float64)
    if found.ndim != 2:
        raise DataError(f"{name}: expected (windows, steps), got shape {found.shape}")
    return found


def _error(truth: Any, forecast: Any) -> np.ndarray:
    """truth − forecast, (N, H), NaN where the truth is not known."""
    y, f = _table(truth, "truth"), _table(forecast, "forecast")
    if y.shape != f.shape:
        raise DataError(f"forecast: expected {y.shape} as the truth has (windows, steps), got {f.shape}")
    _refuse_unknown(y, f, "forecast")
    return y - f


def _refuse_unknown(truth: np.ndarray, forecast: np.ndarray, name: str) -> None:
    wrong = ~np.isfinite(forecast) & ~np.isnan(truth)
    if wrong.any():
        window, step = (int(k) for k in np.argwhere(wrong)[0])
        found = forecast[window, step]
        raise DataError(f"{name}: {found} at step {step} of window {window} (from 0), where the truth is known")


def _against(truth: Any, quantiles: Any, levels: Sequence[float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    y, q, taus = _table(truth, "truth"), np.asarray(quantiles, np.float64), np.asarray(levels, np.float64)
    if taus.ndim != 1 or not len(taus) or not (taus[0] > 0 and taus[-1] < 1 and (np.diff(taus) > 0).all()):
        raise DataError(f"levels: expected numbers that ascend between 0 and 1, got {list(levels)!r}")
    if q.shape != (*y.shape, len(taus)):
        raise DataError(f"quantiles: expected {(*y.shape, len(taus))} (windows, steps, levels), got {q.shape}")
    for k, level in enumerate(taus):
        _refuse_unknown(y, q[..., k], f"quantile {level:g}")
    return y, q, taus


def _pinball(truth: Any, quantiles: Any, levels: Sequence[float]) -> np.ndarray:
    """(N, H, Q)."""
    y, q, taus = _against(truth, quantiles, levels)
    over = y[..., None] - q
    return np.maximum(taus * over, (taus - 1) * over)
