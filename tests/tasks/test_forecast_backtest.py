"""Backtests, their pictures and what a report says of them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.inside.pictures.scene import Axis, Band, Line, Mark, Panel, Scene
from gatewright.tasks.errors import DataError
from gatewright.tasks.forecast.backtest import (
    LEVELS,
    Backtest,
    Forecasts,
    Window,
    backtest,
    each,
    intervals,
    rolling_origins,
)
from gatewright.tasks.forecast.baselines import Drift, Naive, SeasonalNaive
from gatewright.tasks.forecast.metrics import mae, mase, naive_scale
from gatewright.tasks.forecast.plots import draw_coverage, draw_forecasts, draw_steps
from gatewright.tasks.forecast.report import (
    forecast_alerts,
    forecast_findings,
    forecast_scores,
    forecast_sections,
)
from gatewright.tasks.report.parts import Figure, Report, Table
from gatewright.tasks.report.svg import scene_svg

SEASON = 4


def some_series(number: int = 3, steps: int = 60) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    wave = np.tile([0.0, 3.0, 5.0, 2.0], steps // 4)
    return {f"s{k}": 20 + 5 * k + wave + rng.normal(0, 0.5 + k, steps) for k in range(number)}


def a_test(**more: Any) -> Backtest:
    windows = rolling_origins(some_series(), 6, origins=3)
    models = {"mine": SeasonalNaive(SEASON), "naive": Naive(), "drift": Drift(), **more}
    return backtest(models, windows, season=SEASON)


def of_every_second(windows: Any, levels: Any) -> Forecasts:
    found = Naive()(windows, levels)
    found.mean[1::2] = np.nan
    assert found.quantiles is not None
    found.quantiles[1::2] = np.nan
    return found


# -- origins ---------------------------------------------------------------------------------------------------


@given(st.integers(1, 40), st.integers(1, 6), st.integers(1, 6), st.integers(1, 6))
def test_windows_end_with_the_series_and_never_show_the_future(steps: int, horizon: int, origins: int, stride: int):
    y = np.arange(float(steps))
    if steps <= horizon:
        with pytest.raises(DataError, match=f"before a horizon of {horizon} steps"):
            rolling_origins({"a": y}, horizon, origins=origins, stride=stride)
        return
    windows = rolling_origins({"a": y}, horizon, origins=origins, stride=stride, times={"a": 100 + y})
    assert windows[-1].truth[-1] == y[-1]
    assert len(windows) == min(origins, 1 + (steps - horizon - 1) // stride)
    for before, after in itertools.pairwise(windows):
        assert after.origin - before.origin == stride
    for w in windows:
        assert w.history.tolist() == y[: w.origin].tolist()
        assert w.truth.tolist() == y[w.origin : w.origin + horizon].tolist()
        assert w.times is not None
        assert w.history_times is not None
        assert (w.times - 100).tolist() == w.truth.tolist()
        assert len(w.history_times) == w.origin


def test_windows_with_too_little_known_are_left_out():
    y = np.array([np.nan, np.nan, 1.0, 2.0, np.nan, np.nan])
    assert [w.origin for w in rolling_origins({"a": y}, 1, origins=5)] == [3]
    with pytest.raises(DataError, match=r"3 known value\(s\)"):
        rolling_origins({"a": y}, 1, origins=5, least=3)


@pytest.mark.parametrize("name", ["horizon", "origins", "stride", "least"])
def test_numbers_of_origins_are_checked(name: str):
    given: dict[str, Any] = {"horizon": 1, "origins": 1, "stride": 1, "least": 1, name: 0}
    with pytest.raises(DataError, match=f"{name}: expected a number of at least 1, got 0"):
        rolling_origins({"a": np.arange(5.0)}, **given)


# -- the test --------------------------------------------------------------------------------------------------


def test_a_model_never_sees_the_truth():
    def curious(windows: Any, levels: Any) -> Forecasts:
        assert all(np.isnan(w.truth).all() for w in windows)
        return Forecasts(np.zeros((len(windows), 2)))

    tested = backtest({"curious": curious}, rolling_origins({"a": np.arange(9.0)}, 2, origins=2))
    assert not np.isnan(tested.truth).any()


def test_scores_are_the_measures_of_what_was_forecast():
    tested = a_test()
    truth, mean = tested.truth, tested.forecasts["mine"].mean
    scale = [naive_scale(w.history, SEASON) for w in tested.windows]
    found = tested.scores()["mine"]
    assert found["MAE"] == mae(truth, mean)
    assert found["MASE"] == mase(truth, mean, scale)
    assert found["RMSE"] ** 2 == pytest.approx(found["MSE"])
    assert found["coverage of 80%"] == tested.coverage()["mine"][0.8]["measured"]
    assert tested.scores()["naive"]["MASE"] > found["MASE"]
    assert tested.left_out == []


def test_figures_by_series_origin_and_step_average_to_the_whole():
    tested = a_test()
    whole = tested.scores()["mine"]["MAE"]
    series, origins, steps = tested.by_series(), tested.by_origin(), tested.by_step("MAE")
    assert list(series) == ["s0", "s1", "s2"]
    assert list(origins) == [42, 48, 54]
    for groups in (series, origins):
        assert np.mean([figures["mine"]["MAE"] for figures in groups.values()]) == pytest.approx(whole)
    assert steps["mine"].mean() == pytest.approx(whole)
    np.testing.assert_allclose(tested.by_step("RMSE")["mine"] ** 2, tested.by_step("MSE")["mine"])
    assert tested.by_step("pinball")["mine"].shape == tested.by_step("sMAPE")["mine"].shape == (6,)
    assert tested.by_step("MASE")["naive"].mean() == pytest.approx(tested.scores()["naive"]["MASE"])


def test_what_a_model_left_out_does_not_count_and_is_said():
    tested = a_test(slow=of_every_second)
    assert tested.left_out == ["slow: 5 of 9 windows"]
    rows = [0, 2, 4, 6, 8]
    assert tested.done("slow").tolist() == rows
    same = tested.scores(like="slow")["naive"]["MAE"]
    assert tested.scores()["slow"]["MAE"] == same == mae(tested.truth[rows], tested.forecasts["naive"].mean[rows])
    assert same != tested.scores()["naive"]["MAE"]


def test_a_model_that_did_nothing_has_no_figures():
    nothing = each(lambda history: np.full(6, np.nan))
    tested = a_test(nothing=nothing)
    assert tested.scores()["nothing"] == {}
    assert np.isnan(tested.by_step()["nothing"]).all()
    assert "nothing" not in tested.coverage()
    assert len(forecast_scores(tested, "mine")) == 3


def test_the_table_has_a_row_for_each_model_window_and_step():
    pandas = pytest.importorskip("pandas")
    tested = a_test(slow=of_every_second, points=each(lambda history: history[-6:]))
    table = pandas.DataFrame(tested.table())
    assert len(table) == (4 * 9 + 5) * 6
    assert list(table.columns)[:6] == ["model", "series", "origin", "step", "truth", "forecast"]
    mine = table[table.model == "mine"]
    assert mine["forecast"].to_numpy().reshape(9, 6).tolist() == tested.forecasts["mine"].mean.tolist()
    assert mine["truth"].to_numpy().reshape(9, 6).tolist() == tested.truth.tolist()
    assert (mine["0.1"] < mine["0.9"]).all()
    assert table[table.model == "points"]["0.1"].isna().all()


def test_intervals_are_pairs_of_levels_around_the_middle():
    assert intervals(LEVELS) == [(0, 8), (1, 7), (2, 6), (3, 5)]
    assert intervals((0.5,)) == intervals((0.1, 0.2)) == []


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ({"a": each(lambda h: h[-3:])}, r"model 'a': expected forecasts \(1, 2\) \(windows, steps\), got \(1, 3\)"),
        (
            {"a": lambda w, levels: Forecasts(np.zeros((1, 2)), np.zeros((1, 2, 3)), (0.1, 0.9))},
            r"model 'a': expected quantiles \(1, 2, 2\)",
        ),
    ],
)
def test_forecasts_of_another_shape_are_refused(models: Any, message: str):
    with pytest.raises(DataError, match=message):
        backtest(models, rolling_origins({"a": np.arange(9.0)}, 2, origins=1))


def test_wrong_windows_models_and_measures_are_told():
    with pytest.raises(DataError, match="expected windows, got none"):
        backtest({}, [])
    windows = [Window("a", np.ones(2), np.ones(k), 2) for k in (1, 2)]
    with pytest.raises(DataError, match=r"windows of one horizon, got horizons of \[1, 2\] steps"):
        backtest({"a": Naive()}, windows)
    tested = a_test()
    with pytest.raises(DataError, match="no model 'other' in this backtest; it has 'mine', 'naive', 'drift'"):
        tested.done("other")
    with pytest.raises(DataError, match="by_step: expected one of MAE, MSE"):
        tested.by_step("R2")


# -- pictures --------------------------------------------------------------------------------------------------


def test_a_forecast_is_drawn_beside_the_truth():
    tested = a_test()
    scene = draw_forecasts(tested.windows, tested.forecasts, chosen=(0, 8), shown=10, unit="kW").scene
    first = scene.panels[0]
    lines = {item.name: item for item in first.items if isinstance(item, Line)}
    bands = [item for item in first.items if isinstance(item, Band)]
    window = tested.windows[0]
    assert lines["truth"].y.tolist() == [*window.history[-10:], *window.truth]
    assert lines["mine"].y.tolist() == tested.forecasts["mine"].mean[0].tolist()
    assert lines["mine"].x.tolist() == list(range(42, 48))
    assert [band.name for band in bands] == ["80%", "60%", "20%"]
    assert all((band.low < lines["mine"].y).all() and (lines["mine"].y < band.high).all() for band in bands)
    assert (bands[0].low < bands[-1].low).all()
    widest = next(item for item in scene.panels[1].items if isinstance(item, Band))
    quantiles = tested.forecasts["mine"].quantiles
    assert quantiles is not None
    assert widest.low.tolist() == quantiles[8, :, 0].tolist()
    assert widest.high.tolist() == quantiles[8, :, -1].tolist()
    assert [p.title for p in scene.panels] == ["s0", "s2"]
    assert first.y.label == "kW"


def test_dates_are_dates_on_the_axis():
    days = np.arange("2020-01-01", "2020-02-10", dtype="datetime64[D]")
    windows = rolling_origins({"a": np.arange(40.0)}, 5, origins=1, times={"a": days})
    panel = draw_forecasts(windows, {"naive": Naive()(windows, (0.1, 0.9))}).scene.panels[0]
    line = next(item for item in panel.items if isinstance(item, Line) and item.name == "naive")
    assert panel.x.dates
    assert line.x.tolist() == days[-5:].tolist()


@pytest.mark.parametrize("suffix", ["png", "html"])
def test_pictures_are_written_by_both_libraries(tmp_path: Path, suffix: str):
    tested = a_test()
    pictures = [draw_forecasts(tested.windows, tested.forecasts), draw_steps(tested), draw_coverage(tested)]
    for k, picture in enumerate(pictures):
        assert picture is not None
        picture.save(tmp_path / f"{k}.{suffix}")
        assert (tmp_path / f"{k}.{suffix}").stat().st_size > 5000


def test_a_band_is_drawn_where_it_is_known():
    x = np.arange(4.0)
    band = Band(x, np.array([0.0, np.nan, 2.0, 3.0]), x + 1, "80%", 2, 0.3)
    line = Line(x, x, "middle")
    scene = Scene([Panel([band, line, Mark(1.0, "here")], "", Axis(), Axis(), 2.0)])
    svg = scene_svg(scene, "a band")
    points = svg.split('points="')[1].split('"')[0].split()
    assert len(points) == 6  # three places are known, there and back
    assert 'class="f c2" opacity="0.3"' in svg
    from gatewright.inside.pictures import by_matplotlib, by_plotly
    from gatewright.inside.pictures.style import THEMES

    trace = by_plotly.drawn(scene, THEMES["light"]).data[0]
    assert trace.fill == "toself"
    assert trace.x.tolist() == [0, 2, 3, 3, 2, 0]
    assert trace.y.tolist() == [1, 3, 4, 3, 2, 0]
    assert trace.fillcolor.endswith(",0.3)")
    (axes,) = by_matplotlib.drawn(scene, THEMES["dark"]).axes
    assert axes.collections[0].get_alpha() == 0.3
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["80%", "middle"]


def test_calibration_is_drawn_for_models_with_quantiles():
    tested = a_test(points=each(lambda history: history[-6:]))
    picture = draw_coverage(tested)
    assert picture is not None
    assert [line.name for line in picture.scene.panels[0].items] == ["as it should be", "mine", "naive", "drift"]
    points = each(lambda history: history[-6:])
    assert draw_coverage(backtest({"points": points}, tested.windows)) is None


def test_wrong_choices_are_told():
    windows = rolling_origins({"a": np.arange(9.0)}, 2, origins=1)
    with pytest.raises(DataError, match="expected windows and forecasts, got none"):
        draw_forecasts(windows, {})
    with pytest.raises(DataError, match=r"chosen: expected numbers from 0 to 0, got \[1\]"):
        draw_forecasts(windows, {"naive": Naive()(windows, ())}, chosen=[1])


# -- the report ------------------------------------------------------------------------------------------------


def test_scores_stand_beside_the_baselines():
    ours, *others = forecast_scores(a_test(slow=of_every_second), "mine")
    assert ours.ours
    assert next(iter(ours.figures)) == "MASE"
    assert [s.name for s in others] == ["naive", "drift", "slow"]
    assert others[0].note == "the last value"
    assert others[2].note.startswith("on 5 of 9 windows, where this model has MASE ")


def test_without_a_scale_the_absolute_error_counts():
    windows = rolling_origins({"flat": [5.0] * 8 + [6.0]}, 1, origins=1)
    scores = forecast_scores(backtest({"mine": Naive()}, windows), "mine")
    assert next(iter(scores[0].figures)) == "MAE"


CLOSE = np.stack([np.full((1, 3), 26.5), np.full((1, 3), 28.5)], -1)


def test_alerts_name_better_baselines_and_intervals_that_do_not_hold():
    def sure(windows: Any, levels: Any) -> Forecasts:
        found = Naive()(windows, levels)
        return Forecasts(found.mean, found.mean[..., None] + np.array([-1e-3, 1e-3]), (0.1, 0.9))

    tested = a_test(sure=sure, slow=of_every_second)
    texts = [alert.text for alert in forecast_alerts(tested, "sure")]
    assert texts[0].startswith("mine forecast better than this model by MASE")
    assert texts[1] == "Intervals of 80% hold 0% of the truth: they are too narrow here."
    assert texts[2] == "Left out to save time: slow: 5 of 9 windows."
    assert forecast_alerts(a_test(), "mine") == []
    few = backtest({"sure": sure}, rolling_origins({"a": np.arange(30.0)}, 3, origins=1))
    assert forecast_alerts(few, "sure") != []  # none of the truth is too little even for one window
    half = backtest({"half": lambda w, _: Forecasts(w[0].history[-3:][None] + 1.5, CLOSE, (0.1, 0.9))}, few.windows)
    assert half.coverage()["half"][0.8]["measured"] == pytest.approx(2 / 3) and forecast_alerts(half, "half") == []


def test_the_sections_of_a_report():
    tested = a_test()
    sections = {section.title: section.parts for section in forecast_sections(tested, "mine")}
    assert list(sections) == [
        "Forecasts against the truth",
        "Error by step of the horizon",
        "Prediction intervals",
        "Series, hard and easy",
    ]
    assert sum(isinstance(p, Figure) for parts in sections.values() for p in parts) == 3
    table = next(p for p in sections["Prediction intervals"] if isinstance(p, Table))
    found = tested.coverage()["mine"]
    assert list(table.head) == ["intervals of", "80%", "60%", "40%", "20%"]
    assert table.rows[0] == ["mine", *(f"{found[share]['measured']:.1%}" for share in (0.8, 0.6, 0.4, 0.2))]
    assert not any("coverage" in name for score in forecast_scores(tested, "mine") for name in score.figures)
    hard = next(p for p in sections["Series, hard and easy"] if isinstance(p, Table))
    errors = [float(row[1]) for row in hard.rows]
    assert errors == sorted(errors, reverse=True)


def test_the_drawn_windows_are_the_best_a_middle_one_and_the_worst():
    tested = a_test()
    scene = forecast_sections(tested, "mine")[0].parts[0].scene  # type: ignore[union-attr]
    errors = mase(tested.truth, tested.forecasts["mine"].mean, tested.scale, over="window")
    order = np.argsort(errors)
    expected = [tested.windows[order[k]].truth.tolist() for k in (0, 4, 8)]
    drawn = [next(i for i in p.items if isinstance(i, Line) and i.name == "truth") for p in scene.panels]
    assert [line.y[-6:].tolist() for line in drawn] == expected


def test_one_series_and_points_alone_make_a_shorter_report():
    windows = rolling_origins({"a": np.arange(30.0)}, 3, origins=2)
    tested = backtest({"mine": each(lambda history: history[-3:])}, windows)
    assert [s.title for s in forecast_sections(tested, "mine")] == [
        "Forecasts against the truth",
        "Error by step of the horizon",
    ]


def test_findings_make_a_page(tmp_path: Path):
    found = forecast_findings("sales", a_test(slow=of_every_second), "mine", data={"series": 3})
    names = [name for name, _ in found.headline]
    rival = min(("naive", "drift"), key=lambda name: a_test().scores()[name]["MASE"])
    assert names == ["MASE", "sMAPE", "CRPS", f"MASE as a share of {rival}'s", "measured coverage of 80% intervals"]
    assert found.scores[0].ours
    report = Report(found.title, headline=found.headline, alerts=list(found.alerts), sections=list(found.examples))
    html = report.save(tmp_path / "report.html").read_text()
    assert html.count("<polygon") == 9  # three bands in each of three windows
    with pytest.raises(DataError, match="no model 'yours'"):
        forecast_findings("sales", a_test(), "yours")
