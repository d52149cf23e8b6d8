"""Measures of forecasts and baselines: against other libraries, published figures, and their own definitions."""

from __future__ import annotations

import builtins
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.tasks.errors import DataError, MissingExtra
from gatewright.tasks.forecast.backtest import Window
from gatewright.tasks.forecast.baselines import (
    ETS,
    Drift,
    Naive,
    Naive2,
    SeasonalNaive,
    Theta,
    filled,
    is_seasonal,
    season_of,
    seasonal_indices,
    smoothing_errors,
    usual,
)
from gatewright.tasks.forecast.metrics import (
    calibration,
    coverage,
    crps,
    interval_score,
    mae,
    mase,
    mse,
    naive_scale,
    owa,
    pinball,
    rmse,
    smape,
    weighted_quantile_loss,
    width,
)

M4 = Path(__file__).parents[2] / ".." / "shared" / "data" / "m4_hourly"
LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)
NAN = float("nan")


def a_truth(seed: int, shape: tuple[int, int] = (5, 7)) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(10, 3, shape), rng.normal(10, 3, shape)


# -- points ----------------------------------------------------------------------------------------------------


def test_points_are_those_of_scikit_learn():
    from sklearn import metrics

    y, f = a_truth(0)
    flat = (y.ravel(), f.ravel())
    assert mse(y, f) == pytest.approx(metrics.mean_squared_error(*flat), rel=1e-12)
    assert mae(y, f) == pytest.approx(metrics.mean_absolute_error(*flat), rel=1e-12)
    assert rmse(y, f) == pytest.approx(metrics.root_mean_squared_error(*flat), rel=1e-12)
    np.testing.assert_allclose(mae(y, f, over="step"), metrics.mean_absolute_error(y, f, multioutput="raw_values"))


@given(st.integers(0, 1000), st.sampled_from([mse, mae, smape]))
def test_what_was_not_observed_is_as_if_it_were_not_there(seed: int, measure: Any):
    y, f = a_truth(seed)
    hole = np.random.default_rng(seed + 1).random(y.shape) < 0.4
    hole[0, 0] = False
    holed = np.where(hole, np.nan, y)
    kept = ~hole
    expected = measure(y[kept][None], f[kept][None])
    assert measure(holed, np.where(hole, np.nan, f)) == pytest.approx(expected, rel=1e-12)
    for n in range(len(y)):
        row = measure(holed, f, over="window")[n]
        alone = measure(y[n : n + 1, kept[n]], f[n : n + 1, kept[n]]) if kept[n].any() else NAN
        assert row == pytest.approx(alone, rel=1e-12, nan_ok=True)


def test_nothing_observed_is_no_number():
    none = np.full((2, 3), np.nan)
    assert np.isnan(mse(none, np.ones((2, 3))))
    assert np.isnan(mae(none, np.ones((2, 3)), over="step")).all()
    assert np.isnan(calibration(none, np.ones((2, 3, 1)), [0.5])).all()
    assert np.isnan(weighted_quantile_loss(none, np.ones((2, 3, 1)), [0.5]))


def test_symmetric_percentages_lie_between_0_and_200():
    y, f = np.array([[1.0, 0.0, 0.0, -1.0]]), np.array([[1.0, 5.0, 0.0, 1.0]])
    assert smape(y, f, over="step").tolist() == [0.0, 200.0, 0.0, 200.0]


def test_scaled_errors_are_averaged_by_window_as_m4_does():
    y = np.array([[1.0, 2.0], [3.0, NAN]])
    f = np.array([[2.0, 2.0], [3.5, 9.0]])
    # (0.5 / 1 + 0.5 / 2) / 2: the second window counts as much as the first though it has one value alone
    assert mase(y, f, [1.0, 2.0]) == pytest.approx(0.375)
    assert mase(y, f, [1.0, 2.0], over="step").tolist() == [pytest.approx((1 + 0.25) / 2), 0.0]


@pytest.mark.parametrize("scale", [0.0, NAN])
def test_a_window_without_a_scale_is_left_out_of_mase(scale: float):
    y, f = np.array([[1.0], [3.0]]), np.array([[2.0], [9.0]])
    assert mase(y, f, [2.0, scale]) == 0.5
    assert np.isnan(mase(y, f, [2.0, scale], over="window")[1])


def test_the_scale_of_a_history():
    assert naive_scale([1.0, 5.0, 2.0, 9.0], 2) == pytest.approx((1 + 4) / 2)
    assert naive_scale([1.0, NAN, 2.0, 9.0], 2) == 1.0
    assert np.isnan(naive_scale([1.0, 2.0], 2))
    assert np.isnan(naive_scale([], 1))


def test_seasonal_naive_has_a_mase_of_one_on_its_own_history():
    y = np.random.default_rng(3).normal(5, 2, 60)
    assert mase(y[None, 12:], y[None, :-12], [naive_scale(y, 12)]) == pytest.approx(1.0)


def test_overall_weighted_average_of_naive2_itself_is_one():
    assert owa(18.383, 2.395, 18.383, 2.395) == 1.0


# -- quantiles and intervals -----------------------------------------------------------------------------------


def test_pinball_is_that_of_scikit_learn():
    from sklearn.metrics import mean_pinball_loss

    y, f = a_truth(1)
    q = np.sort(f[..., None] + np.arange(5) - 2, -1)
    expected = np.mean([mean_pinball_loss(y.ravel(), q[..., k].ravel(), alpha=t) for k, t in enumerate(LEVELS)])
    assert pinball(y, q, LEVELS) == pytest.approx(expected, rel=1e-12)
    by = weighted_quantile_loss(y, q, LEVELS)
    assert by == pytest.approx(2 * expected * y.size / np.abs(y).sum(), rel=1e-12)


def test_the_median_alone_gives_the_absolute_error():
    y, f = a_truth(2)
    assert 2 * pinball(y, f[..., None], [0.5]) == pytest.approx(mae(y, f))
    assert crps(y, f[..., None], [0.5]) == pytest.approx(mae(y, f))


def test_crps_of_many_quantiles_is_that_of_the_normal_distribution():
    """Gneiting and Raftery 2007, eq. 21: σ (z (2 Φ(z) − 1) + 2 φ(z) − 1 / √π)."""
    levels = (np.arange(400) + 0.5) / 400
    mu, sigma, y = 1.0, 2.0, 2.3
    normal = NormalDist(mu, sigma)
    q = np.array([normal.inv_cdf(t) for t in levels])[None, None]
    z = (y - mu) / sigma
    unit = NormalDist()
    exact = sigma * (z * (2 * unit.cdf(z) - 1) + 2 * unit.pdf(z) - 1 / np.sqrt(np.pi))
    assert crps([[y]], q, levels) == pytest.approx(exact, rel=2e-3)


def test_each_level_stands_for_the_part_that_is_nearest_to_it():
    # 0.1 for 0 to 0.3, 0.5 for 0.3 to 1: 2 (0.3 · 0.1 · 2 + 0.7 · 0.5 · 1)
    assert crps([[10.0]], [[[8.0, 9.0]]], [0.1, 0.5]) == pytest.approx(0.82)


def test_quantiles_of_the_right_distribution_are_calibrated_and_the_best():
    rng = np.random.default_rng(0)
    y = rng.normal(size=(200, 50))
    normal = NormalDist()
    z = np.array([normal.inv_cdf(t) for t in LEVELS])
    right, narrow, shifted = z + 0 * y[..., None], 0.6 * z + 0 * y[..., None], z + 0.5 + 0 * y[..., None]
    np.testing.assert_allclose(calibration(y, right, LEVELS), LEVELS, atol=0.015)
    assert coverage(y, right[..., 0], right[..., -1]) == pytest.approx(0.8, abs=0.015)
    assert coverage(y, narrow[..., 0], narrow[..., -1]) < 0.62
    for measure in (pinball, crps):
        assert measure(y, right, LEVELS) < min(measure(y, narrow, LEVELS), measure(y, shifted, LEVELS))
    assert interval_score(y, right[..., 0], right[..., -1], 0.8) < interval_score(
        y, narrow[..., 0], narrow[..., -1], 0.8
    )


def test_intervals_include_their_ends_and_what_is_unknown_does_not_count():
    y = np.array([[1.0, 2.0, 3.0, NAN]])
    low, high = np.array([[1.0, 0.0, 4.0, 0.0]]), np.array([[2.0, 2.0, 5.0, 0.0]])
    assert coverage(y, low, high) == pytest.approx(2 / 3)
    assert width(low, high) == pytest.approx((1 + 2 + 1 + 0) / 4)
    assert interval_score(y, low, high, 0.8, over="step")[2] == pytest.approx(1 + 10 * 1)


# -- bad input -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mse([1.0], [[1.0]]), r"truth: expected \(windows, steps\), got shape \(1,\)"),
        (lambda: mse([[1.0]], [[1.0, 2.0]]), r"forecast: expected \(1, 1\).*got \(1, 2\)"),
        (lambda: mae([[1.0, 2.0]], [[1.0, NAN]]), r"forecast: nan at step 1 of window 0 \(from 0\)"),
        (lambda: mae([[1.0]], [[float("inf")]]), r"forecast: inf at step 0"),
        (lambda: mae([[1.0]], [[1.0]], over="series"), r"over: expected one of all, window, step, got 'series'"),  # type: ignore[arg-type]
        (lambda: mase([[1.0]], [[1.0]], [1.0, 2.0]), r"scale: expected one number for each of 1 windows"),
        (lambda: pinball([[1.0]], [[[1.0, 2.0]]], [0.9, 0.1]), r"levels: expected numbers that ascend"),
        (lambda: pinball([[1.0]], [[[1.0]]], [1.0]), r"levels: expected numbers that ascend"),
        (lambda: pinball([[1.0]], [[[1.0]]], []), r"levels: expected numbers that ascend"),
        (lambda: pinball([[1.0]], [[[1.0]]], [0.1, 0.9]), r"quantiles: expected \(1, 1, 2\)"),
        (lambda: crps([[1.0]], [[[1.0, NAN]]], [0.1, 0.9]), r"quantile 0.9: nan at step 0 of window 0"),
        (lambda: interval_score([[1.0]], [[0.0]], [[2.0]], 1.5), r"nominal: expected a share between 0 and 1"),
        (lambda: SeasonalNaive(0), r"season: expected a number of steps of at least 1, got 0"),
        (lambda: Naive2(-1), r"season: expected"),
        (lambda: Theta(0), r"season: expected"),
    ],
)
def test_wrong_arguments_are_told(call: Any, message: str):
    with pytest.raises(DataError, match=message):
        call()


# -- baselines -------------------------------------------------------------------------------------------------


def a_window(history: Any, horizon: int = 4) -> Window:
    values = np.asarray(history, np.float64)
    return Window("a", values, np.full(horizon, np.nan), len(values))


def test_gaps_are_filled_and_the_unknown_beginning_is_left_out():
    y = [NAN, 2.0, NAN, NAN, 8.0, NAN]
    assert filled(y).tolist() == [2.0, 4.0, 6.0, 8.0, 8.0]
    assert Naive()([a_window(y)], [0.5]).mean.tolist() == [[8.0] * 4]
    assert np.isnan(Naive()([a_window([NAN, NAN])], [0.5]).mean).all()
    assert filled([]).shape == (0,)


@pytest.mark.parametrize("season", [1, 4])
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 9, 10, 12, 13, 14, 17, 18])
def test_theta_and_ets_take_histories_of_any_length(steps: int, season: int):
    history = np.random.default_rng(steps).normal(9, 1, steps)
    for baseline in (Theta(season), ETS(season)):
        path = baseline.one(history, 3)
        assert np.isfinite(path.mean).all()
        if steps < baseline.least:
            assert path.mean.tolist() == [history[-1]] * 3


@pytest.mark.parametrize("baseline", [Naive(), Drift(), SeasonalNaive(4), Naive2(4), Theta(4), ETS(4)], ids=repr)
@pytest.mark.parametrize("history", [[5.0], [5.0] * 30, [1.0, 2.0], list(range(-10, 20)), [0.0, 1.0] * 12], ids=len)
def test_every_baseline_forecasts_every_history(baseline: Any, history: list[float]):
    found = baseline([a_window(history, 6)], LEVELS)
    assert np.isfinite(found.mean).all()
    assert found.mean.shape == (1, 6)
    assert (np.diff(found.quantiles, axis=-1) >= 0).all()
    np.testing.assert_allclose(found.quantiles[..., 2], found.mean)
    if len(set(history)) == 1:
        assert found.mean.tolist() == [[5.0] * 6]


def test_a_seasonal_naive_forecast_repeats_the_last_season():
    y = np.arange(10.0)
    assert SeasonalNaive(4).one(y, 6).mean.tolist() == [6.0, 7.0, 8.0, 9.0, 6.0, 7.0]
    assert SeasonalNaive(12).one(y, 2).mean.tolist() == [9.0, 9.0]


@pytest.mark.parametrize(("baseline", "season"), [(Naive(), 1), (SeasonalNaive(7), 7), (Drift(), 1)], ids=str)
def test_intervals_of_the_naive_methods_cover_what_they_say(baseline: Any, season: int):
    """On random walks (of seasons), the truth of these methods, at every step of the horizon."""
    rng = np.random.default_rng(1)
    walks = rng.normal(size=(600, 40 * season)).reshape(600, -1, season).cumsum(1).reshape(600, -1)
    horizon = 3 * season
    windows = [a_window(w[:-horizon], horizon) for w in walks]
    found = baseline(windows, (0.1, 0.9))
    truth = walks[:, -horizon:]
    shares = coverage(truth, found.quantiles[..., 0], found.quantiles[..., 1], over="step")
    np.testing.assert_allclose(shares, 0.8, atol=0.06)


def test_intervals_of_the_drift_know_how_little_the_line_is_based_on():
    path = Drift().one(np.array([0.0, 1.0, 5.0, 6.0]), 3)
    steps = np.arange(1, 4)
    np.testing.assert_allclose(path.mean, 6 + 2 * steps)
    np.testing.assert_allclose(path.deviation, np.sqrt(2 * steps * (1 + steps / 3)))  # errors −1, 2, −1


def test_intervals_of_theta_cover_what_they_say():
    rng = np.random.default_rng(2)
    noise = rng.normal(size=(120, 140))
    series = 50 + np.concatenate([noise[:, :1], noise[:, 1:] + 0.4 * noise[:, :-1].cumsum(1)], 1)  # IMA(1, 1)
    found = Theta()([a_window(s[:-16], 16) for s in series], (0.1, 0.9))
    shares = coverage(series[:, -16:], found.quantiles[..., 0], found.quantiles[..., 1], over="step")
    np.testing.assert_allclose([shares[:8].mean(), shares[8:].mean()], 0.8, atol=0.08)


def test_errors_of_smoothing_are_those_of_statsmodels():
    from statsmodels.tsa.api import SimpleExpSmoothing

    y = np.random.default_rng(5).normal(10, 1, 30)
    model = SimpleExpSmoothing(y, initialization_method="known", initial_level=y[0])
    expected = model.fit(smoothing_level=0.3, optimized=False).resid
    np.testing.assert_allclose(smoothing_errors(y, 0.3), expected[1:], atol=1e-12)


@pytest.mark.parametrize(("season", "steps"), [(4, 41), (7, 100), (24, 700), (3, 12)])
def test_seasonal_factors_are_those_of_the_classical_decomposition(season: int, steps: int):
    from statsmodels.tsa.seasonal import seasonal_decompose

    rng = np.random.default_rng(season)
    y = rng.uniform(5, 6, steps) * (2 + np.sin(np.arange(steps) * 2 * np.pi / season)) + 0.01 * np.arange(steps)
    expected = seasonal_decompose(y, model="multiplicative", period=season).seasonal
    np.testing.assert_allclose(seasonal_indices(y, season), expected[:season], rtol=1e-12)


def test_what_is_seasonal():
    rng = np.random.default_rng(0)
    wave = 10 + 3 * np.sin(np.arange(96) * 2 * np.pi / 12) + rng.normal(0, 0.5, 96)
    assert is_seasonal(wave, 12)
    spikes = np.where(np.arange(36) % 12 == 5, 9.0, 1.0)
    assert is_seasonal(spikes, 12)
    assert not is_seasonal(spikes[:35], 12)  # fewer than three seasons
    assert not is_seasonal(wave - 20, 12)  # factors need values above 0
    assert not is_seasonal(wave, 1)
    assert not is_seasonal(10 + rng.normal(size=96), 12)
    assert not is_seasonal(np.full(96, 3.0), 12)


def test_the_autocorrelation_limit_is_bartletts():
    """By statsmodels' own standard errors: the limit is 1.645 of them, and lies where it should."""
    from statsmodels.tsa.stattools import acf

    rng = np.random.default_rng(4)
    verdicts = set()
    for size in np.linspace(0.05, 0.6, 300):
        y = 10 + size * np.sin(np.arange(80) * 2 * np.pi / 8) + rng.normal(0, 0.5, 80)
        r, ends = acf(y, nlags=8, alpha=0.1, fft=False, result_object=False)
        half = (ends[8, 1] - ends[8, 0]) / 2 * 1.645 / NormalDist().inv_cdf(0.95)
        assert is_seasonal(y, 8) == (abs(r[8]) > half)
        verdicts.add(is_seasonal(y, 8))
    assert verdicts == {True, False}


def test_naive2_puts_the_season_back_where_it_belongs():
    factors = np.array([0.5, 1.0, 1.5, 1.0])
    y = 10 * np.tile(factors, 10)[:-1]  # it ends at the third place
    np.testing.assert_allclose(Naive2(4).one(y, 5).mean, 10 * factors[[3, 0, 1, 2, 3]], rtol=1e-6)


def test_theta_is_that_of_statsmodels():
    from statsmodels.tsa.forecasting.theta import ThetaModel

    y = np.random.default_rng(1).uniform(8, 12, 60).cumsum()
    np.testing.assert_allclose(Theta(12).one(y, 5).mean, ThetaModel(y, period=12).fit().forecast(5))


def test_exponential_smoothing_chooses_the_season_where_there_is_one():
    rng = np.random.default_rng(0)
    wave = np.tile([0.0, 5.0, 9.0, 2.0], 15)
    assert np.ptp(ETS(4).one(50 + wave + rng.normal(0, 0.3, 60), 4).mean) > 7
    assert np.ptp(ETS(4).one(50 + rng.normal(0, 0.3, 60), 4).mean) < 0.5


def test_exponential_smoothing_multiplies_where_the_season_grows_with_the_level():
    """Of 2 % growth a step: a season that is added on would have its last height at best."""
    growing = 100 * 1.02 ** np.arange(60) * np.tile([1.0, 2.0, 4.0, 2.0], 15)
    noisy = growing * np.exp(np.random.default_rng(0).normal(0, 0.01, 60))
    path = ETS(4).one(noisy[:56], 4)
    assert mae(noisy[None, 56:], path.mean[None]) < 0.05 * noisy[56:].mean()
    assert path.deviation[2] > 1.5 * path.deviation[0]  # and so do the intervals
    assert np.isfinite(ETS(4).one(noisy[:56] - 200, 4).mean).all()  # below 0 there are no logarithms


def test_slow_baselines_stop_in_time_and_say_what_they_left_out():
    windows = [a_window(np.random.default_rng(k).normal(10, 1, 60)) for k in range(16)]
    found = Theta(4, seconds=0.0)(windows, (0.5,))
    done = np.flatnonzero(~np.isnan(found.mean).any(1))
    assert done.tolist() == [0]
    some = ETS(4, seconds=0.4)(windows, (0.5,))
    np.testing.assert_array_equal(np.isnan(some.mean).any(1), np.isnan(some.quantiles).any((1, 2)))


def test_windows_are_taken_evenly():
    from gatewright.tasks.forecast.baselines import _spread_out

    assert sorted(_spread_out(11)) == list(range(11))
    assert _spread_out(8)[:4] == [0, 4, 2, 6]
    assert _spread_out(1) == [0]
    assert _spread_out(0) == []


def test_without_statsmodels_the_naive_methods_are_left(monkeypatch: pytest.MonkeyPatch):
    import importlib

    def missing(name: str, *rest: Any) -> Any:
        if name.startswith("statsmodels"):
            raise ImportError(name)
        return builtins.__import__(name, *rest)

    monkeypatch.setattr(importlib, "import_module", missing)
    assert list(usual(24)) == ["naive", "drift", "seasonal naive"]
    with pytest.raises(MissingExtra, match=r"theta or ETS needs statsmodels.*gatewright\[forecast\]"):
        ETS(24)([a_window([1.0, 2.0])], (0.5,))


def test_seasons_of_frequencies():
    expected = {"h": 24, "H": 24, "30min": 48, "15T": 96, "D": 7, "B": 5, "W": 52, "MS": 12, "ME": 12, "QS": 4}
    assert {freq: season_of(freq) for freq in expected} == expected
    assert [season_of(f) for f in ("YS", "A", "", None, "5h", "48h", "step", "2MS")] == [1, 1, 1, 1, 1, 1, 1, 6]


@pytest.mark.skipif(not M4.exists(), reason="the M4 data are not here")
def test_the_published_figures_of_the_m4_benchmarks_come_out():
    """sMAPE and MASE on the 414 hourly series: Naive2 18.383 and 2.395, seasonal naive 13.912 and 1.193."""
    pandas = pytest.importorskip("pandas")
    train, truth = (pandas.read_csv(M4 / f"Hourly-{p}.csv.gz", index_col=0).to_numpy(float) for p in ("train", "test"))
    histories = [row[~np.isnan(row)] for row in train]
    scale = [naive_scale(h, 24) for h in histories]
    published = {Naive2(24): (18.383, 2.395), SeasonalNaive(24): (13.912, 1.193)}
    for baseline, (percent, scaled) in published.items():
        mean = np.stack([baseline.one(h, 48).mean for h in histories])
        assert smape(truth, mean) == pytest.approx(percent, abs=5e-4)
        assert mase(truth, mean, scale) == pytest.approx(scaled, abs=5e-4)
