"""Requests and sessions: what they get is what `predict` says."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gatewright.tasks.errors import DataError, SettingsError
from gatewright.tasks.forecast.forecaster import Forecaster

SMALL: dict[str, Any] = {"horizon": 3, "context": 9, "hidden_size": 8, "updates": 3, "batch_size": 8, "warmup": 2}
DAYS = pd.date_range("2024-01-01", periods=60)
WAVE = 10 + np.sin(np.arange(60) * 2 * np.pi / 7)
PRICE = np.cos(np.arange(63.0))
RAIN = ["rain" if k % 3 else "sun" for k in range(60)]
FRAME = pd.DataFrame({"id": "a", "day": DAYS, "sales": WAVE, "price": PRICE[:60], "weather": RAIN, "city": "Bonn"})
OTHER = FRAME.assign(id="b", sales=3 * WAVE)
ROLES = {"target": "sales", "known": "price", "past": "weather", "static": "city"}


@pytest.fixture(scope="module")
def model() -> Forecaster:
    return Forecaster("gru", **SMALL, **ROLES).fit(pd.concat([FRAME, OTHER]))


@pytest.fixture(scope="module")
def plain() -> Forecaster:
    return Forecaster("gru", **SMALL).fit({"y": WAVE.tolist()})


def request(rows: int = 60, **more: Any) -> dict[str, Any]:
    return {
        "series": "a",
        "start": "2024-01-01",
        "sales": WAVE[:rows].tolist(),
        "price": PRICE[:rows].tolist(),
        "weather": RAIN[:rows],
        "city": "Bonn",
        "future": {"price": PRICE[rows : rows + 3].tolist()},
        **more,
    }


def test_an_answer_is_what_predict_says(model: Forecaster) -> None:
    future = pd.DataFrame({"id": "a", "day": pd.date_range("2024-03-01", periods=3), "price": PRICE[60:]})
    expected = model.predict(FRAME, future, quantiles=[0.1, 0.9])
    other = request(sales=(3 * WAVE).tolist(), series="b", quantiles=[0.5])
    found, second = model.answer([json.loads(json.dumps(request())), other])
    np.testing.assert_allclose(found["median"], expected["median"], rtol=1e-5)
    for name in ("0.1", "0.9"):
        np.testing.assert_allclose(found["quantiles"][name], expected[name], rtol=1e-5)
    assert [time[:10] for time in found["time"]] == ["2024-03-01", "2024-03-02", "2024-03-03"]
    assert list(second["quantiles"]) == ["0.5"]
    assert second["quantiles"]["0.5"] == second["median"]
    json.dumps([found, second])


def test_a_new_series_is_answered(model: Forecaster) -> None:
    found = model.answer([{**request(), "series": "unheard of"}])[0]
    assert np.isfinite(found["median"]).all()


def test_the_example_is_answered(model: Forecaster, plain: Forecaster) -> None:
    counts = {"y": np.random.default_rng(0).poisson(5, 60).tolist()}
    stepwise = Forecaster("gru", **SMALL, kind="autoregressive", head="negative_binomial", samples=5).fit(counts)
    for one in (model, plain, stepwise):
        found = one.answer([json.loads(json.dumps(one.example()))])[0]
        assert len(found[one.network.centre]) == len(found["time"]) == 3


def test_paths_do_not_depend_on_who_else_asks() -> None:
    stepwise = Forecaster("gru", **SMALL, kind="autoregressive", samples=7).fit({"y": WAVE.tolist()})
    one, two = {"y": WAVE[:20].tolist()}, {"y": WAVE[:30].tolist()}
    assert stepwise.answer([one, two]) == [*stepwise.answer([one]), *stepwise.answer([two])]


def test_a_session_says_what_the_whole_request_would(model: Forecaster, plain: Forecaster) -> None:
    session = model.session()
    for k in range(14):
        item = {
            "sales": WAVE[k],
            "price": PRICE[k],
            "weather": RAIN[k],
            "future": {"price": PRICE[k + 1 : k + 4].tolist()},
        }
        first = {"series": "a", "start": "2024-01-01", "city": "Bonn"} if k == 0 else {}
        found = session.step({**item, **first})
    whole = model.answer([request(14)])[0]
    assert found["time"] == whole["time"]
    np.testing.assert_allclose(found["median"], whole["median"], rtol=1e-5)


def test_a_session_forgets_what_no_forecast_needs(plain: Forecaster) -> None:
    session = plain.session()
    for k in range(60):
        found = session.step({"y": float(WAVE[k])})
    assert len(session._known["y"]) < 30
    whole = plain.answer([{"y": WAVE.tolist()}])[0]
    assert found["time"] == whole["time"] == [60, 61, 62]
    np.testing.assert_allclose(found["median"], whole["median"], rtol=1e-4)


def test_a_missing_value_may_be_null(plain: Forecaster) -> None:
    found = plain.answer([{"y": [1.0, None, 3.0, 4.0, 5.0]}])[0]
    assert found["time"] == [5, 6, 7]
    assert np.isfinite(found["median"]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sales": None}, "request: 'sales': expected a list of values, got nothing"),
        ({"sales": []}, "request: 'sales': expected a list of values, got an empty list"),
        ({"sales": [1.0]}, "request: columns of several lengths: 'sales' has 1, 'price' has 60"),
        ({"sales": ["a"] * 60}, "request, column 'sales'"),
        ({"future": None}, "request: 'future' is missing: 3 values of price"),
        ({"future": {"price": [1.0]}}, "request, future: expected 3 values of price, got 1"),
        ({"start": "yesterday"}, "request: start: expected a time, 2024-01-31T18:00, got 'yesterday'"),
        ({"start": None}, "request: 'start' is missing"),
        ({"colour": 1}, "request: 'colour' is not known; there are"),
    ],
)
def test_a_request_that_is_wrong(model: Forecaster, change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        model.answer([{**request(), **change}])


def test_requests_that_are_no_requests(plain: Forecaster, model: Forecaster) -> None:
    with pytest.raises(DataError, match="request: expected an object with 'y' and its values, got list"):
        plain.answer([[1, 2]])
    with pytest.raises(DataError, match="request 1: 'y': expected a list"):
        plain.answer([{"y": [1.0, 2.0]}, {}])
    with pytest.raises(DataError, match="request: start: expected a whole number"):
        plain.answer([{"y": [1.0, 2.0], "start": "2024"}])
    with pytest.raises(SettingsError, match=r"quantile 0\.999: this model was trained for quantiles from 0\.025"):
        plain.answer([{"y": [1.0, 2.0], "quantiles": [0.999]}])
    with pytest.raises(DataError, match="step: 'price', 'weather' missing; give 'sales', 'price', 'weather'"):
        model.session().step({"sales": 1.0})
    with pytest.raises(DataError, match="step: expected an object, got float"):
        plain.session().step(3.0)


@pytest.mark.parametrize("freq", ["h", "D"])
def test_times_of_a_zone_are_served(freq: str) -> None:
    zoned = pd.date_range("2024-03-20", periods=40 if freq == "D" else 290, freq=freq, tz="Europe/Berlin")  # a switch
    frame = pd.DataFrame({"time": zoned, "y": np.arange(len(zoned)) % 7.0})
    model = Forecaster("gru", **SMALL, calendar="day,week").fit(frame)
    expected = model.predict(frame)
    for start in (zoned[0].isoformat(), zoned[0].tz_convert("UTC").isoformat(), "2024-03-20T00:00"):
        found = model.answer([{"y": frame["y"].tolist(), "start": start}])[0]
        np.testing.assert_allclose(found["median"], expected["median"], rtol=1e-5)
        local = expected["time"].dt.tz_localize(None)
        assert found["time"] == [time.isoformat() for time in local]
    assert len(model.answer([model.example()])[0]["time"]) == 3
    session = model.session()
    session._known = {"y": frame["y"][:-30].tolist()}
    for value in frame["y"][-30:]:
        found = session.step({"y": value, "start": "2024-03-20"})
    assert found["time"] == [time.isoformat() for time in local]
    np.testing.assert_allclose(found["median"], expected["median"], rtol=1e-4)


def test_a_start_with_an_offset_needs_a_zone(model: Forecaster) -> None:
    with pytest.raises(DataError, match="start: expected a time, 2024-01-31T18:00 without an offset, got '2024-01-01T"):
        model.answer([request(start="2024-01-01T00:00Z")])
    assert model.answer([request(start="2024")])[0]["time"] == model.answer([request(start="2024-01-01")])[0]["time"]


def test_a_series_of_several_columns_is_found_by_its_name() -> None:
    frame = pd.concat([FRAME.assign(shop="x/1", kind="a"), OTHER.assign(shop="x", kind="1/a", sales=99 + WAVE)])
    model = Forecaster("gru", **SMALL, target="sales", series=["shop", "kind"], time="day").fit(frame)
    assert model.schema.series == (r"x\/1/a", r"x/1\/a")
    expected = model.predict(frame)["median"].tolist()
    items = [
        {"series": name, "start": "2024-01-01", "sales": y.tolist()}
        for name, y in zip(model.schema.series, (WAVE, 99 + WAVE), strict=True)
    ]
    found = [value for answer in model.answer(items) for value in answer["median"]]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
