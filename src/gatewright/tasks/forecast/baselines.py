"""What a forecast is measured against: the naive methods, Naive2 of the M4 competition, theta and ETS.

Each is a model for `backtest`: called with windows and levels it gives `Forecasts`. Their quantiles are those of a
normal distribution around the forecast (R. Hyndman and G. Athanasopoulos, Forecasting: Principles and Practice, 3rd
edition, 2021, section 5.5). Theta and ETS are fitted by statsmodels, for each window anew.
"""

from __future__ import annotations

import importlib
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from gatewright.tasks.errors import DataError, MissingExtra
from gatewright.tasks.forecast.backtest import Forecasts, Model, Window

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = [
    "ETS",
    "Baseline",
    "Drift",
    "Naive",
    "Naive2",
    "SeasonalNaive",
    "Theta",
    "filled",
    "is_seasonal",
    "season_of",
    "seasonal_indices",
    "usual",
]

LONGEST = 2000  # steps of a history that theta and ETS are fitted to
SEASONS = {"min": 60, "h": 24, "d": 7, "b": 5, "w": 52, "m": 12, "q": 4, "y": 1, "a": 1, "s": 60}


def season_of(freq: str | None) -> int:
    """The usual season of a frequency in steps, in pandas' words: 24 for "h", 96 for "15min", 7 for "D", 12 for "MS".

    1, which is none, for one that has none or where there is no frequency.

    >>> season_of("h"), season_of("15min"), season_of("D"), season_of("MS"), season_of("W-SUN"), season_of("YE")
    (24, 96, 7, 12, 52, 1)
    >>> season_of("6h"), season_of(None)
    (4, 1)
    """
    if not freq:
        return 1
    digits = "".join(c for c in freq if c.isdigit())
    every, unit = int(digits or 1), freq[len(digits) :].lower().split("-")[0]
    unit = {"t": "min", "bh": "h", "ms": "m", "me": "m", "qs": "q", "qe": "q", "ys": "y", "ye": "y"}.get(unit, unit)
    cycle = SEASONS.get(unit, 1)
    if unit == "min" and every > 1:
        cycle = 24 * 60  # whole days: an hour has too few steps to be a season
    return cycle // every if every and cycle % every == 0 and cycle > every else 1


class Path(NamedTuple):
    """A forecast, (H,), and the standard deviation of its errors at each step, (H,)."""

    mean: Float[np.ndarray, " H"]
    deviation: Float[np.ndarray, " H"]


class Baseline(ABC):
    """A method that forecasts one history at a time."""

    @abstractmethod
    def one(self, history: Float[np.ndarray, " T"], horizon: int) -> Path:
        """The forecast of one history of known values, T of at least 1."""

    def __call__(self, windows: Sequence[Window], levels: Sequence[float]) -> Forecasts:
        """All windows; those whose history holds no value are NaN."""
        return _gathered([self._window(w) for w in windows], windows, levels)

    def _window(self, window: Window) -> Path | None:
        history = filled(window.history)
        return self.one(history, len(window.truth)) if len(history) else None


def _gathered(paths: Sequence[Path | None], windows: Sequence[Window], levels: Sequence[float]) -> Forecasts:
    horizon = len(windows[0].truth) if windows else 0
    none = Path(np.full(horizon, np.nan), np.full(horizon, np.nan))
    found = [path or none for path in paths]
    mean = np.array([p.mean for p in found]).reshape(-1, horizon)
    deviation = np.array([p.deviation for p in found]).reshape(-1, horizon)
    z = np.array([NormalDist().inv_cdf(level) for level in levels])
    return Forecasts(mean, mean[..., None] + deviation[..., None] * z, tuple(levels))


def filled(history: Any) -> Float[np.ndarray, " T"]:
    """A history without its unknown beginning, the gaps inside on straight lines, the end as last known.

    >>> filled([float("nan"), 1.0, float("nan"), 3.0, float("nan")]).tolist()
    [1.0, 2.0, 3.0, 3.0]
    """
    y = np.asarray(history, np.float64)
    known = np.flatnonzero(~np.isnan(y))
    if len(known) == len(y):
        return y
    if not len(known):
        return np.empty(0)
    at = np.arange(known[0], len(y))
    return np.interp(at, known, y[known])


def _spread(errors: Float[np.ndarray, " K"]) -> float:
    return float(np.sqrt(np.square(errors).mean())) if len(errors) else 0.0


# -- the naive ones --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Naive(Baseline):
    """The last value, whatever the step; the deviation grows as √h.

    >>> Naive().one(np.array([1.0, 3.0]), 2).mean.tolist()
    [3.0, 3.0]
    """

    def one(self, history: Float[np.ndarray, " T"], horizon: int) -> Path:
        steps = np.arange(1, horizon + 1)
        return Path(np.full(horizon, history[-1]), _spread(np.diff(history)) * np.sqrt(steps))


@dataclass(frozen=True)
class SeasonalNaive(Baseline):
    """The value one season before, (h − 1) // season seasons back in the forecast itself.

    season: in steps. A history shorter than a season is forecast by its last value.

    >>> SeasonalNaive(2).one(np.array([9.0, 1.0, 3.0]), 3).mean.tolist()
    [1.0, 3.0, 1.0]
    """

    season: int

    def __post_init__(self) -> None:
        _check_season(self.season)

    def one(self, history: Float[np.ndarray, " T"], horizon: int) -> Path:
        season = self.season
        if len(history) < season:
            return Naive().one(history, horizon)
        back = np.arange(horizon)
        spread = _spread(history[season:] - history[:-season])
        return Path(history[len(history) - season + back % season], spread * np.sqrt(back // season + 1))


@dataclass(frozen=True)
class Drift(Baseline):
    """On along the line from the first value to the last.

    >>> Drift().one(np.array([1.0, 5.0, 3.0]), 2).mean.tolist()
    [4.0, 5.0]
    """

    def one(self, history: Float[np.ndarray, " T"], horizon: int) -> Path:
        steps, pairs = np.arange(1, horizon + 1), len(history) - 1
        slope = (history[-1] - history[0]) / pairs if pairs else 0.0
        spread = _spread(np.diff(history) - slope)
        return Path(history[-1] + slope * steps, spread * np.sqrt(steps * (1 + steps / max(pairs, 1))))


@dataclass(frozen=True)
class Naive2(Baseline):
    """The last value of what is left without the season, and the season put back: the measure of M4's OWA.

    season: in steps. Where `is_seasonal` finds none, it is `Naive`. Source: the M4 competition's own benchmarks
    (S. Makridakis, E. Spiliotis and V. Assimakopoulos, The M4 Competition, 2020).

    >>> Naive2(4).one(np.tile([1.0, 2.0, 3.0, 2.0], 9), 5).mean.round(6).tolist()
    [1.0, 2.0, 3.0, 2.0, 1.0]
    """

    season: int

    def __post_init__(self) -> None:
        _check_season(self.season)

    def one(self, history: Float[np.ndarray, " T"], horizon: int) -> Path:
        if not is_seasonal(history, self.season):
            return Naive().one(history, horizon)
        factor = seasonal_indices(history, self.season)[np.arange(len(history) + horizon) % self.season]
        level = Naive().one(history / factor[: len(history)], horizon)
        ahead = factor[len(history) :]
        return Path(level.mean * ahead, level.deviation * ahead)


def is_seasonal(history: Float[np.ndarray, " T"], season: int) -> bool:
    """Whether the autocorrelation at a lag of one season is beyond its 90 % limit, for at least three seasons.

    A history with a value of 0 or below has none here: the season would be multiplied. The limit is Bartlett's,
    1.645 √((1 + 2 Σ r_k²) / T) over the lags below.

    >>> is_seasonal(np.tile([1.0, 2.0, 3.0, 2.0], 9), 4), is_seasonal(np.arange(1.0, 9.0) ** 0, 4)
    (True, False)
    """
    steps = len(history)
    if season < 2 or steps < 3 * season or history.min() <= 0:
        return False
    around = history - history.mean()
    variance = around @ around
    if variance <= 0:
        return False
    r = np.array([around[k:] @ around[: steps - k] for k in range(1, season + 1)]) / variance
    limit = 1.645 * np.sqrt((1 + 2 * np.square(r[:-1]).sum()) / steps)
    return bool(abs(r[-1]) > limit)


def seasonal_indices(history: Float[np.ndarray, " T"], season: int) -> Float[np.ndarray, " S"]:
    """Factors of the season, with a mean of 1, by the classical multiplicative decomposition; the first is of step 0.

    history: at least two seasons of values above 0.

    >>> seasonal_indices(np.tile([1.0, 3.0], 6), 2).tolist()
    [0.5, 1.5]
    """
    weights = np.ones(season) if season % 2 else np.concatenate([[0.5], np.ones(season - 1), [0.5]])
    trend = np.convolve(history, weights / season, mode="valid")
    first = (len(weights) - 1) // 2
    ratio = np.full(-(-len(history) // season) * season, np.nan)
    ratio[first : first + len(trend)] = history[first : first + len(trend)] / trend
    indices = np.nanmean(ratio.reshape(-1, season), axis=0)
    return indices / indices.mean()


def smoothing_errors(history: Float[np.ndarray, " T"], alpha: float) -> Float[np.ndarray, " K"]:
    """The errors of simple exponential smoothing one step ahead, from the first value on.

    >>> smoothing_errors(np.array([1.0, 2.0, 2.0]), 0.5).tolist()
    [1.0, 0.5]
    """
    level, errors = float(history[0]), []
    for value in history[1:].tolist():
        errors.append(value - level)
        level += alpha * errors[-1]
    return np.array(errors)


def _check_season(season: int) -> None:
    if season < 1:
        raise DataError(f"season: expected a number of steps of at least 1, got {season!r}")


# -- by statsmodels --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fitted(Baseline):
    """A method that is fitted to each history, which takes time.

    season: in steps, 1 for none. seconds: after which no other window is begun, None for no limit; those left out are
    NaN. Windows are taken evenly over all of them, so that what is done stands for the whole. A history of less than
    `least` steps, or of one value alone, is forecast by its last value; one of less than that and two seasons has none.
    """

    least: ClassVar[int] = 4
    season: int = 1
    seconds: float | None = None

    def __post_init__(self) -> None:
        _check_season(self.season)

    def __call__(self, windows: Sequence[Window], levels: Sequence[float]) -> Forecasts:
        _statsmodels()  # said before the first window, not after
        until = None if self.seconds is None else time.monotonic() + self.seconds
        paths: list[Path | None] = [None] * len(windows)
        for count, k in enumerate(_spread_out(len(windows))):
            if count and until is not None and time.monotonic() > until:
                break
            paths[k] = self._window(windows[k])
        return _gathered(paths, windows, levels)

    def one(self, history: Float[np.ndarray, " T"], horizon: int) -> Path:
        recent = history[-LONGEST:]
        if len(recent) < self.least or np.ptp(recent) == 0:  # nothing to fit
            return Naive().one(history, horizon)
        season = self.season if self.season > 1 and len(recent) >= 2 * self.season + self.least else 1
        with warnings.catch_warnings():  # a fit that stops early is a weaker baseline, and no news to the user
            warnings.simplefilter("ignore")
            return self._fit(recent, horizon, season)

    @abstractmethod
    def _fit(self, history: Float[np.ndarray, " T"], horizon: int, season: int) -> Path: ...


@dataclass(frozen=True)
class Theta(Fitted):
    """The theta method, the season taken out first where a test finds one: winner of the M3 competition.

    Arguments as of `Fitted`. Needs statsmodels (`gatewright[forecast]`). Source: V. Assimakopoulos and
    K. Nikolopoulos, The theta model: a decomposition approach to forecasting, 2000.

    >>> y = 10 + np.arange(40.0) + np.tile([0.0, 3.0, 6.0, 3.0], 10)
    >>> Theta(season=4).one(y, 4).mean.round(0).tolist()
    [47.0, 53.0, 59.0, 54.0]
    """

    def _fit(self, history: Float[np.ndarray, " T"], horizon: int, season: int) -> Path:
        model = _statsmodels("tsa.forecasting.theta").ThetaModel(history, period=season, deseasonalize=season > 1)
        found = model.fit(disp=False)
        alpha = float(found.params["alpha"])
        plain = history
        if is_seasonal(history, season):
            plain = history / seasonal_indices(history, season)[np.arange(len(history)) % season]
        # statsmodels would fit an ARIMA for the spread alone, which takes twenty times as long as the forecast.
        spread = _spread(smoothing_errors(plain, alpha))
        deviation = spread * np.sqrt(1 + np.arange(horizon) * alpha**2)
        return Path(np.asarray(found.forecast(horizon), np.float64), deviation)


@dataclass(frozen=True)
class ETS(Fitted):
    """Exponential smoothing: the best by AICc of no trend and a damped one, each with and without a season, of the
    values and, where all are above 0, of their logarithms, where trend and season multiply.

    Arguments as of `Fitted`. Needs statsmodels (`gatewright[forecast]`). Source: R. Hyndman, A. Koehler, J. Ord and
    R. Snyder, Forecasting with Exponential Smoothing: The State Space Approach, 2008.

    >>> y = 10 + np.arange(40.0) + np.tile([0.0, 3.0, 6.0, 3.0], 10)
    >>> ETS(season=4).one(y, 4).mean.round(0).tolist()
    [50.0, 54.0, 58.0, 56.0]
    """

    least: ClassVar[int] = 10  # for statsmodels' first guess of the level

    def _fit(self, history: Float[np.ndarray, " T"], horizon: int, season: int) -> Path:
        plain, penalty = self._best(history, season)
        if history.min() > 0:
            logs = np.log(history)
            multiplied, other = self._best(logs, season)
            if other + 2 * logs.sum() < penalty:  # the likelihood of y, by that of log y
                path = _ahead(multiplied, len(history), horizon)
                centre = np.exp(path.mean)
                return Path(centre, centre * path.deviation)
        return _ahead(plain, len(history), horizon)

    def _best(self, history: Float[np.ndarray, " T"], season: int) -> tuple[Any, float]:
        """The fit with the least AICc, and that."""
        seasonal: dict[str, Any] = {"seasonal": "add", "seasonal_periods": season}
        trends: list[dict[str, Any]] = [{}, {"trend": "add", "damped_trend": True}]
        tried = [{**trend, **extra} for trend in trends for extra in ([{}, seasonal] if season > 1 else [{}])]
        make = _statsmodels("tsa.exponential_smoothing.ets").ETSModel
        series = importlib.import_module("pandas").Series(history)  # its results have row labels, or fail
        fits = [make(series, initialization_method="heuristic", **kind).fit(disp=False) for kind in tried]
        found = [float(fit.aicc) if np.isfinite(fit.aicc) else np.inf for fit in fits]
        least = int(np.argmin(found))
        return fits[least], found[least]


def _ahead(fit: Any, known: int, horizon: int) -> Path:
    found = fit.get_prediction(known, known + horizon - 1)
    deviation = np.sqrt(np.asarray(found.forecast_variance, np.float64))
    return Path(np.asarray(found.predicted_mean, np.float64), deviation)


def _spread_out(number: int) -> list[int]:
    """0 to number − 1 in an order of which any beginning lies evenly over the whole (van der Corput's)."""
    bits = max(number - 1, 1).bit_length()
    turned = (int(format(k, f"0{bits}b")[::-1], 2) for k in range(1 << bits))
    return [k for k in turned if k < number]


def _statsmodels(part: str = "tsa.api") -> Any:
    try:
        return importlib.import_module(f"statsmodels.{part}")
    except ImportError as error:
        raise MissingExtra("statsmodels", "forecast", "a baseline by theta or ETS") from error


# -- all of them -----------------------------------------------------------------------------------------------


def usual(season: int = 1, *, seconds: float | None = 20.0) -> dict[str, Model]:
    """What stands beside a model in every report: naive, drift, seasonal naive where there is a season, theta and ETS.

    season: in steps. seconds: for theta and for ETS each. Without statsmodels these two are left out.

    >>> list(usual(12))
    ['naive', 'drift', 'seasonal naive', 'theta', 'ETS']
    """
    found: dict[str, Model] = {"naive": Naive(), "drift": Drift()}
    if season > 1:
        found["seasonal naive"] = SeasonalNaive(season)
    try:
        _statsmodels()
    except MissingExtra:
        return found
    return found | {"theta": Theta(season, seconds), "ETS": ETS(season, seconds)}
