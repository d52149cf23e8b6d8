"""The forecaster: it learns, continues, loads, resumes and answers; every mistake has its message."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.base import clone

from gatewright.inside.pictures.scene import HeatMap, Line
from gatewright.tasks.errors import DataError, SettingsError, TaskError
from gatewright.tasks.forecast.baselines import SeasonalNaive
from gatewright.tasks.forecast.data import final_windows, rolling_windows
from gatewright.tasks.forecast.forecaster import Forecaster
from gatewright.tasks.forecast.inputs import Inputs
from gatewright.tasks.forecast.network import Direct
from gatewright.tasks.forecast.predict import forecast_windows
from gatewright.tasks.report.parts import Figure

SMALL: dict[str, Any] = {"horizon": 4, "context": 12, "hidden_size": 8, "updates": 4, "batch_size": 8, "warmup": 2}
RNG = np.random.default_rng(0)


def table(series: int = 3, rows: int = 60, counts: bool = False) -> pd.DataFrame:
    """Days of some shops: sales follow the week and a price that is known in advance."""
    parts = []
    for k in range(series):
        price = RNG.uniform(1, 3, rows)
        sales = 20 * (k + 1) + 5 * np.sin(np.arange(rows) * 2 * np.pi / 7) - 4 * price + RNG.normal(0, 0.3, rows)
        parts.append(
            pd.DataFrame(
                {
                    "shop": f"shop {k}",
                    "day": pd.date_range("2024-01-01", periods=rows),
                    "sales": sales.round().clip(0) if counts else sales,
                    "price": price,
                    "weather": RNG.choice(["sun", "rain"], rows),
                    "visitors": RNG.uniform(0, 9, rows),
                    "city": ["Bonn", "Ulm"][k % 2],
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


TABLE = table()
ROLES = {"target": "sales", "series": "shop", "time": "day", "known": "price", "past": ["visitors", "weather"]}
FUTURE = pd.DataFrame(
    {
        "shop": np.repeat([f"shop {k}" for k in range(3)], 4),
        "day": np.tile(pd.date_range("2024-03-01", periods=4), 3),
        "price": 2.0,
    }
)
WITHOUT = TABLE[["shop", "day", "sales"]].rename(columns={"shop": "unique_id"})


@pytest.fixture(scope="module")
def model() -> Forecaster:
    return Forecaster("gru", **SMALL, **ROLES, static="city").fit(TABLE)


# -- fitting and predicting --------------------------------------------------------------------------------------


def test_a_forecast_continues_every_series(model: Forecaster) -> None:
    found = model.predict(TABLE, FUTURE, quantiles=[0.9, 0.1])
    assert list(found.columns) == ["shop", "day", "median", "0.1", "0.9"]
    assert found["shop"].tolist() == FUTURE["shop"].tolist()
    assert found["day"].tolist() == FUTURE["day"].tolist()
    assert np.isfinite(found[["median", "0.1", "0.9"]].to_numpy()).all()
    assert (found["0.1"] <= found["median"]).all() and (found["median"] <= found["0.9"]).all()


def test_a_frame_of_the_library_that_came_in_comes_back(model: Forecaster) -> None:
    pandas = model.predict(TABLE, FUTURE)
    polars = model.predict(pl.from_pandas(TABLE), pl.from_pandas(FUTURE))
    arrow = model.predict(pl.from_pandas(TABLE).to_arrow(), pl.from_pandas(FUTURE).to_arrow())
    assert isinstance(polars, pl.DataFrame)
    np.testing.assert_array_equal(polars["median"].to_numpy(), pandas["median"])
    assert arrow.column("median").to_pylist() == pandas["median"].tolist()


def test_what_is_known_of_the_future_changes_the_forecast(model: Forecaster) -> None:
    cheap, dear = (model.predict(TABLE, FUTURE.assign(price=p))["median"] for p in (1.0, 3.0))
    assert not np.allclose(cheap, dear)


def test_a_new_series_is_forecast_too(model: Forecaster) -> None:
    other = TABLE[TABLE["shop"] == "shop 0"].assign(shop="another")
    found = model.predict(other, FUTURE[:4].assign(shop="another"))
    assert found["shop"].tolist() == ["another"] * 4
    assert np.isfinite(found["median"]).all()


def test_a_model_without_a_target_or_columns_finds_them() -> None:
    found = (
        Forecaster(**SMALL)
        .fit(pd.DataFrame({"date": pd.date_range("2020-01-01", periods=50), "y": np.arange(50.0)}))
        .predict()
    )
    assert list(found.columns) == ["date", "median", "0.1", "0.9"]


def test_it_learns_what_a_seasonal_naive_forecast_cannot() -> None:
    """Sales follow a price that is known in advance: last week's sales do not say it."""
    settings = {**SMALL, "updates": 150, "hidden_size": 16, "learning_rate": 1e-2, "batch_size": 32}
    fitted = Forecaster("gru", **settings, target="sales", series="shop", time="day", known="price").fit(TABLE)
    seasonal = SeasonalNaive(7)
    scores = fitted.backtest(origins=2, baselines={"seasonal naive": seasonal}).scores()
    assert scores["gru"]["MAE"] < 0.6 * scores["seasonal naive"]["MAE"]


@pytest.mark.parametrize(
    "cell", ["lstm", "gru", "rnn", "sru", "qrnn", "z = sigmoid(W x + U h + b)\nh = (1 - z) * h + z * tanh(V x + b)"]
)
@pytest.mark.parametrize("kind", ["direct", "autoregressive"])
def test_any_cell(cell: str, kind: str) -> None:
    fitted = Forecaster(cell, **{**SMALL, "updates": 2}, kind=kind, samples=3, num_layers=2).fit(WITHOUT)
    assert np.isfinite(fitted.predict()[fitted.network.centre]).all()


def test_equations_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.cell").write_text("h = tanh(W x + U h + b)")
    fitted = Forecaster(tmp_path / "mine.cell", **{**SMALL, "updates": 2}).fit(WITHOUT)
    assert fitted.cell_name == "mine"


@pytest.mark.parametrize("head", ["mse", "mae", "huber", "quantiles", "normal", "student_t", "negative_binomial"])
@pytest.mark.parametrize("kind", ["direct", "autoregressive"])
def test_every_head(head: str, kind: str) -> None:
    if (head, kind) == ("quantiles", "autoregressive"):
        with pytest.raises(SettingsError, match="draws values from a distribution, and quantiles are none"):
            Forecaster(head=head, kind=kind)
        return
    counts = table(2, 40, counts=True)[["shop", "day", "sales"]].rename(columns={"shop": "unique_id"})
    fitted = Forecaster("gru", **SMALL, head=head, kind=kind, samples=20).fit(counts)
    points = head in ("mse", "mae", "huber")
    found = fitted.predict()
    centre = "median" if head in ("mae", "quantiles") else "mean"
    assert list(found.columns) == ["unique_id", "day", centre, *([] if points else ["0.1", "0.9"])]
    if points:
        with pytest.raises(SettingsError, match=f"head '{head}' gives one number a step"):
            fitted.predict(quantiles=[0.5])


def test_several_targets_are_forecast_side_by_side() -> None:
    frame = pd.DataFrame({"t": range(60), "y": np.arange(60) % 7.0, "z": 100 + np.arange(60) % 5.0})
    fitted = Forecaster(**SMALL, target=["y", "z"]).fit(frame)
    found = fitted.predict()
    assert found["target"].tolist() == ["y"] * 4 + ["z"] * 4
    assert found["t"].tolist() == [60, 61, 62, 63] * 2
    assert (found["median"][:4] < 50).all() and (found["median"][4:] > 50).all()


@pytest.mark.parametrize("kind", ["direct", "autoregressive"])
def test_a_first_guess_looks_back_cycles_too(kind: str) -> None:
    """Half the value a season back, half that of a longer cycle."""
    cycle = np.random.default_rng(1).normal(0, 5, 10)
    settings = {**SMALL, "updates": 1, "learning_rate": 1e-12, "context": 24, "head": "mse", "level": "none"}
    one, both = (
        Forecaster(**settings, kind=kind, season=2, periods=p, calendar="none").fit({"y": np.tile(cycle, 8)})
        for p in (None, "10")
    )
    assert one.network.guess.tolist()[0] == pytest.approx(1.0)
    assert both.network.guess.tolist()[0] == both.network.guess.tolist()[-1] == pytest.approx(0.5)
    inputs = inputs_like(both)
    raw, base = both.network(inputs)
    values = inputs.context[0]
    first = 0.5 * values[-2] + 0.5 * values[-10]
    assert base[0, 0].item() == pytest.approx(first.item(), rel=1e-5)
    assert torch.isfinite(raw).all()


def inputs_like(model: Forecaster) -> Inputs:
    """The first validation window."""
    return Inputs(model.prepared.source.valid.batch(slice(0, 1)), model.network)


# -- what the network sees ---------------------------------------------------------------------------------------


def inputs_of(model: Forecaster, change: Any = None) -> Inputs:
    """One window in the middle of the first series; `change` may touch the frame before."""
    frame = TABLE.copy()
    if change is not None:
        change(frame)
    series = model.schema.read(frame)
    windows = rolling_windows(series, model.schema, first=30, last=30)
    return Inputs(windows.batch(slice(0, 1)), model.network)


def forecast_at(model: Forecaster, change: Any = None) -> torch.Tensor:
    model.network.eval()
    return model.network.forecast(inputs_of(model, change), samples=2)[0]


@pytest.mark.parametrize("kind", ["direct", "autoregressive"])
def test_nothing_of_the_future_but_what_is_known_is_seen(kind: str) -> None:
    fitted = Forecaster("gru", **SMALL, **ROLES, static="city", kind=kind).fit(TABLE)
    before = forecast_at(fitted)

    def later(frame: pd.DataFrame) -> None:
        frame.loc[30:59, ["sales", "visitors"]] = 1000.0
        frame.loc[30:59, "weather"] = "sun"

    assert torch.equal(forecast_at(fitted, later), before)
    for column, value in {"price": 9.0, "city": "Ulm"}.items():
        assert not torch.equal(forecast_at(fitted, lambda f, c=column, v=value: f.__setitem__(c, v)), before)
    for column, value in {"visitors": 50.0, "sales": 30.0}.items():
        past = lambda f, c=column, v=value: f.loc.__setitem__((27, c), v)  # noqa: E731
        assert not torch.equal(forecast_at(fitted, past), before)


def test_a_missing_value_is_seen_as_missing(model: Forecaster) -> None:
    gone = forecast_at(model, lambda f: f.loc.__setitem__((28, "sales"), np.nan))
    assert torch.isfinite(gone).all() and not torch.equal(gone, forecast_at(model))


@pytest.mark.parametrize("kind", ["direct", "autoregressive"])
def test_a_missing_target_is_not_in_the_loss(kind: str) -> None:
    fitted = Forecaster("gru", **SMALL, kind=kind).fit(WITHOUT)
    network = fitted.network
    series = fitted.schema.read(WITHOUT.assign(sales=WITHOUT["sales"].where(WITHOUT.index != 33)))
    inputs = Inputs(rolling_windows(series, fitted.schema, first=30, last=30).batch(slice(0, 1)), network)
    losses = network.losses(inputs, *network(inputs))
    assert losses[0, 3] == 0 and (losses[0, :3] != 0).all()
    inputs.target[0, 3] = 1e30  # whatever stands there
    again = network.losses(inputs, *network(inputs))
    assert torch.equal(again, losses)
    again.sum().backward()
    assert all(torch.isfinite(w.grad).all() for w in network.parameters() if w.grad is not None)


def test_the_first_forecast_is_about_the_season_before() -> None:
    wave = np.tile([0.0, 10, 20, 30, 20, 10, 5], 12)
    fitted = Forecaster(horizon=7, context=28, season=7, updates=1, learning_rate=1e-9, hidden_size=8).fit({"y": wave})
    np.testing.assert_allclose(fitted.predict()["median"], wave[:7], atol=3)


def test_segments_need_not_divide_the_context_or_the_horizon() -> None:
    fitted = Forecaster("gru", **{**SMALL, "context": 13, "horizon": 5}, segment=3).fit(WITHOUT)
    assert len(fitted.predict()) == 15
    assert fitted.network.places.shape[0] == 2


def test_training_and_drawing_go_through_the_same_steps() -> None:
    """Fed back the true values, an autoregressive forecast is what training sees at every step."""
    fitted = Forecaster("gru", **SMALL, **ROLES, static="city", kind="autoregressive", head="mse").fit(TABLE)
    network = fitted.network.eval()
    inputs = inputs_of(fitted)
    path = network.paths(inputs, 1)[:, 0]
    inputs.target = path
    inputs.target_observed = torch.ones_like(path)
    with torch.no_grad():
        raw, base = network(inputs)
    torch.testing.assert_close(network.head.point(raw, base), path, rtol=1e-4, atol=1e-5)


def test_a_step_is_told_the_past_covariates_of_the_step_before() -> None:
    fitted = Forecaster("gru", **SMALL, **ROLES, kind="autoregressive").fit(TABLE)
    inputs = inputs_of(fitted)
    past, told = fitted.network.past(inputs), fitted.network._told(inputs)
    width = past.shape[-1]
    assert torch.equal(told[:, 1:13, :width], past)
    assert not told[:, 0, :width].any() and not told[:, 13:, :width].any()


# -- seeds, files, resumption ------------------------------------------------------------------------------------


def weights(model: Forecaster) -> dict[str, torch.Tensor]:
    return {name: w.clone() for name, w in model.network.state_dict().items() if isinstance(w, torch.Tensor)}


@pytest.mark.parametrize("kind", ["direct", "autoregressive"])
def test_the_same_seed_gives_the_same_model_and_forecast(kind: str) -> None:
    one, same, other = (Forecaster("gru", **SMALL, kind=kind, seed=s, samples=10).fit(WITHOUT) for s in (1, 1, 2))
    assert all(torch.equal(w, weights(same)[name]) for name, w in weights(one).items())
    assert one.predict(seed=3).equals(same.predict(seed=3))
    assert not one.predict(seed=3).equals(other.predict(seed=3))
    if kind == "autoregressive":
        assert not one.predict(seed=3).equals(one.predict(seed=4))
    torch.manual_seed(5)
    state = torch.get_rng_state()
    one.predict()
    assert torch.equal(torch.get_rng_state(), state)


def test_a_saved_model_says_the_same(model: Forecaster, tmp_path: Path) -> None:
    model.save(tmp_path / "m")
    again = Forecaster.load(tmp_path / "m")
    assert again.predict(TABLE, FUTURE).equals(model.predict(TABLE, FUTURE))
    assert again.settings == model.settings
    with pytest.raises(TaskError, match="this model was not fitted here; give the series"):
        again.predict()


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_bit_for_bit(tmp_path: Path) -> None:
    """One run is killed in the middle; the resumed one ends where the one that was left alone does."""
    WITHOUT.to_csv(tmp_path / "t.csv", index=False)
    settings = {**SMALL, "updates": 60, "evaluate_every": 5}
    code = (
        "import sys, json; from gatewright.tasks.forecast.forecaster import Forecaster\n"
        "Forecaster('gru', **json.loads(sys.argv[1])).fit(sys.argv[2], out=sys.argv[3], progress='lines')"
    )
    args = [sys.executable, "-c", code, json.dumps(settings), str(tmp_path / "t.csv"), str(tmp_path / "killed")]
    run = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert run.stdout is not None
    assert run.stdout.readline()  # it has evaluated
    os.kill(run.pid, signal.SIGKILL)
    run.communicate()
    whole = Forecaster("gru", **settings).fit(tmp_path / "t.csv")
    resumed = Forecaster.resume(tmp_path / "killed")
    assert resumed.metrics["updates"] == 60
    assert all(torch.equal(w, weights(resumed)[name]) for name, w in weights(whole).items())
    with pytest.raises(SettingsError, match="not the data that this run began with"):
        Forecaster.resume(tmp_path / "killed", WITHOUT.assign(sales=WITHOUT["sales"] + 1))


def test_sklearn_can_clone_it() -> None:
    one = Forecaster("gru", **SMALL, known=["price", "city"], quantiles=(0.1, 0.5, 0.9))
    assert one.settings.known == "price,city" and one.settings.quantiles == "0.1,0.5,0.9"
    assert clone(one).get_params() == one.get_params()
    assert Forecaster(epochs=3).training.updates is None
    assert Forecaster(epochs=3, updates=5).training.updates == 5
    assert Forecaster().training.updates == 1000


# -- figures ------------------------------------------------------------------------------------------------------


def test_figures_are_those_of_the_forecasts(model: Forecaster) -> None:
    figures = model.evaluate(TABLE, first=50)
    series = model.schema.read(TABLE)
    windows = rolling_windows(series, model.schema, first=50)
    error = forecast_windows(model.network, model.settings, windows).mean - windows.targets()
    assert figures["windows"] == len(windows) == 3 * 7
    assert figures["MAE"] == pytest.approx(np.abs(error).mean())
    assert figures["MSE"] == pytest.approx((error**2).mean())
    assert figures["scaled MSE"] == pytest.approx(((error / series.scale[windows.item][:, None]) ** 2).mean())
    assert model.evaluate(TABLE, first="2024-02-20")["windows"] == len(windows)
    assert model.evaluate(TABLE, first=50, stride=3)["windows"] == 9
    assert model.evaluate(TABLE, first=50, at_most=5)["windows"] == 5


def test_a_backtest_ends_with_each_series(model: Forecaster) -> None:
    tested = model.backtest(origins=3, baselines={})
    assert sorted({w.origin for w in tested.windows}) == [48, 52, 56]
    assert len(tested.windows) == 9
    assert sorted({w.origin for w in model.backtest(TABLE, origins=2, stride=5, baselines={}).windows}) == [51, 56]
    found = final_windows(model.schema.read(TABLE, FUTURE), model.schema)
    assert found.origin.tolist() == [60] * 3


def test_the_report_has_scores_and_gates(model: Forecaster) -> None:
    report = model.report()
    assert report.missing == []
    assert {"Scores", "Forecasts against the truth", "Gates"} <= {section.title for section in report.sections}
    page = model.explain(TABLE, "shop 1", origin=50)
    assert page.missing == [] and page.title == "shop 1: 4 steps from 2024-02-20 on"
    with pytest.raises(DataError, match=r"series 'shop 9': not in these data; there are 'shop 0', 'shop 1', 'shop 2'"):
        model.explain(TABLE, "shop 9")
    with pytest.raises(DataError, match="no forecast of 4 steps of which the truth is known begins at 59"):
        model.explain(TABLE, "shop 1", origin=59)


def test_a_report_is_called_by_its_column_and_file_and_not_by_a_path(tmp_path: Path) -> None:
    WITHOUT.to_csv(tmp_path / "shops.csv", index=False)
    small = {**SMALL, "updates": 1}
    assert Forecaster("gru", **small).fit(tmp_path / "shops.csv").report().title == (
        "gru: sales of shops.csv, 4 steps ahead"
    )


@pytest.mark.parametrize(
    ("settings", "steps"),
    [({}, 12), ({"segment": 5}, 3), ({"kind": "autoregressive", "samples": 5}, 12 + 4 - 1)],
)
def test_the_gates_of_an_explanation_are_those_of_the_steps_that_are_read(
    settings: dict[str, Any], steps: int, tmp_path: Path
) -> None:
    values = WITHOUT["sales"][:40].tolist()
    model = Forecaster("lstm", **{**SMALL, **settings}).fit({"sales": values})
    report = model.explain(origin=30)
    assert report.missing == []
    gates = next(section for section in report.sections if section.title == "Gates")
    panels = next(part for part in gates.parts if isinstance(part, Figure)).scene.panels
    forget = next(item for item in panels[1].items if isinstance(item, HeatMap))
    assert forget.values.shape[1] == steps and forget.values.std(1).max() > 0
    signal = next(item for item in panels[-1].items if isinstance(item, Line)).y
    read = values[18:33] if "kind" in settings else values[18:30]
    np.testing.assert_allclose(signal[~np.isnan(signal)], read, rtol=1e-6)
    assert report.save(str(tmp_path / "page.html")).stat().st_size > 0


def test_a_report_without_the_data_says_so(model: Forecaster, tmp_path: Path) -> None:
    model.save(tmp_path / "m")
    alerts = [alert.text for alert in Forecaster.load(tmp_path / "m").report().alerts]
    assert any("the data of this run are not known here" in text for text in alerts)


# -- mistakes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"horizon": 0}, "setting horizon: expected a number of at least 1, got 0"),
        ({"quantiles": "0.1,0.9"}, "setting quantiles: expected 0.5 among them"),
        ({"quantiles": "0.5,2"}, "setting quantiles: expected numbers between 0 and 1 with a comma"),
        ({"quantiles": "a"}, "setting quantiles: expected numbers between 0 and 1 with a comma"),
        ({"kind": "autoregressive", "segment": 4}, "setting segment: an autoregressive forecast goes by single steps"),
        ({"head": "negative_binomial", "log": True}, "setting log: head negative_binomial is for counts"),
        ({"head": "negative_binomial", "scaling": "robust"}, "setting scaling: head negative_binomial is for counts"),
        ({"horizn": 3}, "unknown setting 'horizn'; did you mean 'horizon'"),
        ({"dropout": 1.0}, "setting dropout"),
        ({"validation": "yesterday"}, r"setting validation: expected a share .* or a step, got 'yesterday'"),
        ({"periods": "7,a"}, "setting periods: expected whole numbers from 2 on, with a comma, got 'a'"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Forecaster(**settings)


@pytest.mark.parametrize(("value", "said"), [(2.5, "2.5"), (-1.0, "-1")])
def test_counts_are_whole_and_not_negative(value: float, said: str) -> None:
    counts = table(2, 40, counts=True)[["shop", "day", "sales"]].rename(columns={"shop": "unique_id"})
    counts.loc[57, "sales"] = value
    with pytest.raises(
        DataError, match=rf"column 'sales', series 'shop 1', row 57 .*: {said} is no count; head negative_binomial"
    ):
        Forecaster(**SMALL, head="negative_binomial").fit(counts)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.evaluate(TABLE, stride=0), "stride: expected a whole number of at least 1, got 0"),
        (lambda m: m.backtest(TABLE, origins=0), "origins: expected a whole number of at least 1, got 0"),
        (lambda m: m.backtest(TABLE, stride=-3), "stride: expected a whole number of at least 1, got -3"),
        (lambda m: m.plot(TABLE, FUTURE, series=0), "series: expected a whole number of at least 1, got 0"),
        (lambda m: m.plot(TABLE, FUTURE, series=["a"]), "series 'a': not in these data; there are 'shop 0'"),
        (lambda m: m.backtest(TABLE[:4]), "no forecast of 4 steps has a value before it .* the longest .* has 4 rows"),
        (lambda m: m.evaluate(TABLE, first="2031-01-01"), "no forecast of 4 steps from 2031-01-01 on has a value"),
    ],
)
def test_numbers_and_names_that_make_no_sense(model: Forecaster, call: Any, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        call(model)


def test_validation_may_be_a_share_a_date_or_a_step() -> None:
    days = {"y": list(range(40)), "day": np.arange("2024-01-01", "2024-02-10", dtype="datetime64[D]")}
    small = {**SMALL, "updates": 1, "context": 4}
    for validation in (0.25, "0.25", "2024-01-31", np.datetime64("2024-01-31"), pd.Timestamp("2024-01-31")):
        assert Forecaster("gru", **small, validation=validation).fit(days).metrics["data"]["validation_windows"] == 7
    steps = {"y": days["y"], "time": list(range(100, 140))}
    for step in (130, "130"):
        assert Forecaster("gru", **small, validation=step).fit(steps).metrics["data"]["validation_windows"] == 7


def test_a_picture_shows_the_paths_of_the_same_seed() -> None:
    model = Forecaster("gru", **SMALL, kind="autoregressive", samples=5).fit(WITHOUT)
    drawn = model.plot(series="shop 1", seed=7).scene.panels[0]
    line = next(item for item in drawn.items if isinstance(item, Line) and item.name == "gru")
    assert line.y.tolist() == model.predict(seed=7)["mean"][4:8].tolist()


def test_levels_and_data_that_are_missing(model: Forecaster) -> None:
    for levels in ([0.5, 1.5], ["half"], 0.5, "0.5"):
        with pytest.raises(SettingsError, match="quantiles: expected a list of numbers between 0 and 1"):
            model.predict(TABLE, FUTURE, quantiles=levels)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="price must be known over the whole horizon"):
        model.predict(TABLE)
    with pytest.raises(DataError, match="data: none are given"):
        Forecaster(**SMALL).fit(None)
    with pytest.raises(TaskError, match="this Forecaster has no weights yet"):
        Forecaster(**SMALL).predict(TABLE)


class Single(torch.Tensor):
    """As on a device without double precision, such as Apple's."""

    def double(self) -> torch.Tensor:
        raise TypeError("no float64 here")

    def cpu(self) -> torch.Tensor:
        return self.as_subclass(torch.Tensor)


@pytest.mark.parametrize("head", ["quantiles", "student_t", "negative_binomial"])
def test_a_device_may_know_no_double_precision(head: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Direct.forward

    def forward(self: Direct, inputs: Inputs) -> Any:
        found = whole(self, inputs)
        return found if torch.is_grad_enabled() else tuple(part.as_subclass(Single) for part in found)

    monkeypatch.setattr(Direct, "forward", forward)
    counts = table(2, 40, counts=True)[["shop", "day", "sales"]]
    fitted = Forecaster("gru", **SMALL, head=head, target="sales", series="shop").fit(counts)
    assert np.isfinite(fitted.predict()["0.9"]).all()


# -- what a table may hold ----------------------------------------------------------------------------------------


def test_cycles_of_the_calendar_are_named_with_a_comma() -> None:
    fitted = Forecaster("gru", **SMALL, calendar="day, week").fit(WITHOUT)
    assert fitted.schema.calendar.cycles == ("day", "week")
    assert Forecaster(calendar=["day", "week"]).settings.calendar == "day,week"


def test_rows_without_a_target_are_the_future_and_no_part_of_a_series(model: Forecaster) -> None:
    inside = pd.concat([TABLE, FUTURE.assign(city=["Bonn"] * 4 + ["Ulm"] * 4 + ["Bonn"] * 4)], ignore_index=True)
    one, two = (model.backtest(frame, origins=2, baselines={}) for frame in (TABLE, inside))
    assert [w.origin for w in one.windows] == [w.origin for w in two.windows] == [52, 56] * 3
    assert model.evaluate(inside) == pytest.approx(model.evaluate(TABLE))
    assert model.explain(inside, "shop 1").title == "shop 1: 4 steps from 2024-02-26 on"


@pytest.mark.parametrize("settings", [{"log": True}, {"scaling": "none"}, {"head": "negative_binomial"}])
def test_errors_are_scaled_where_there_is_a_scale(settings: dict[str, Any]) -> None:
    counts = WITHOUT.assign(sales=WITHOUT["sales"].round().clip(1))
    figures = Forecaster("gru", **SMALL, **settings).fit(counts).evaluate(counts, first=50)
    assert "MAE" in figures and not any("scaled M" in name for name in figures)


def test_a_longer_run_does_not_end_at_the_usual_updates() -> None:
    assert Forecaster().set_params(epochs=200).training.updates is None
    assert Forecaster(updates=7).set_params(epochs=200).training.updates == 7
    assert Forecaster().set_params(epochs=200, updates=9).training.updates == 9


def test_the_series_of_several_targets_is_named_that_has_no_counts() -> None:
    frame = pd.DataFrame({"id": ["a"] * 40 + ["b"] * 40, "t": [*range(40)] * 2, "u": 1.0, "v": 2.0})
    frame.loc[75, "v"] = -1.0
    with pytest.raises(DataError, match=r"column 'v', series 'b', row 75 .35.: -1 is no count"):
        Forecaster(**SMALL, target=["u", "v"], series="id", head="negative_binomial").fit(frame)
