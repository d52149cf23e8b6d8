"""What a trained model reads: new series, categories that training had not, the future of covariates, other times."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from gatewright.tasks.errors import DataError
from gatewright.tasks.forecast.data import (
    Columns,
    Windows,
    final_windows,
    forecast_columns,
    prepare_forecast,
    read_table,
)


def prepared(frame: Any, columns: Columns, **changes: Any) -> Any:
    return prepare_forecast(frame, columns, **{"context": 6, "horizon": 3, **changes})


def equal(one: Any, two: Any) -> None:
    for name in one.__dataclass_fields__:
        a, b = getattr(one, name), getattr(two, name)
        if isinstance(a, torch.Tensor):
            torch.testing.assert_close(a, b, rtol=0, atol=0, msg=lambda m, name=name: f"{name}: {m}")


def test_a_new_series_is_measured_by_itself():
    data = prepared({"id": ["a"] * 30, "time": list(range(30)), "y": list(np.arange(30.0))}, Columns())
    new = data.schema.read({"id": ["b"] * 3, "time": [1, 2, 3], "y": [100.0, 100.0, 100.0]})
    assert (new.code[0], new.location[0], new.scale[0]) == (0, 100.0, 1.0)
    batch = final_windows(new, data.schema).batch([0])
    assert batch.observed.sum() == 3 and batch.context.abs().sum() == 0


def test_masks_of_covariates_that_were_missing_in_training():
    frame = pd.DataFrame({"time": range(40), "y": np.arange(40.0), "load": np.arange(40.0)})
    frame.loc[[4, 5], "load"] = np.nan
    data = prepared(frame, Columns.of(past="load"))
    assert data.schema.inputs.past == 2
    first = Windows(data.series, data.schema, np.array([0]), np.array([8])).batch([0])
    assert first.past[0, :, 1].tolist() == [1, 1, 0, 0, 1, 1]
    assert first.past[0, 2:4, 0].tolist() == [first.past[0, 1, 0].item()] * 2


def test_categories_and_what_training_had_not():
    frame = {"time": list(range(40)), "y": list(np.arange(40.0)), "kind": ["b", "a"] * 20}
    data = prepared(frame, Columns.of(past="kind"))
    assert data.schema.categories == {"kind": ("a", "b")} and data.schema.inputs.past_categories == (3,)
    later = {"time": [1, 2, 3, 4], "y": [1.0, 2.0, 3.0, 4.0], "kind": ["a", "c", "d", None]}
    message = r"column 'kind', row 1: training had no c, d; 2 rows count as unseen"
    with pytest.warns(UserWarning, match=message) as caught:
        batch = final_windows(data.schema.read(later), data.schema).batch([0])
    assert len(caught) == 1 and batch.past_codes[0, :, 0].tolist() == [0, 0, 1, 0, 0, 0]
    with pytest.raises(DataError, match="training had no c, d; train with such rows, or let them count as unseen"):
        data.schema.read(later, unseen="error")


def test_the_future_of_known_covariates():
    frame = pd.DataFrame({"time": pd.date_range("2024-01-01", periods=40), "y": np.arange(40.0), "price": 1.0})
    data = prepared(frame, Columns.of(known="price"))
    later = pd.DataFrame({"time": pd.date_range("2024-02-10", periods=3), "price": [4.0, 5.0, 6.0]})
    price = data.schema.numbers["price"]
    series = data.schema.read(frame, later)
    batch = final_windows(series, data.schema).batch([0])
    np.testing.assert_allclose(batch.known[0, 6:, 0], (np.array([4, 5, 6]) - price.location) / price.scale)
    inside = pd.concat([frame, later], ignore_index=True)
    equal(batch, final_windows(data.schema.read(inside), data.schema).batch([0]))
    assert batch.target_observed.sum() == 0
    message = r"price must be known over the whole horizon \(3 rows .*\), but nothing is given from 2024-02-12 on"
    with pytest.raises(DataError, match=message):
        final_windows(data.schema.read(frame, later[:2]), data.schema)
    whole = pd.concat([frame.assign(price=9.0), later], ignore_index=True)[["time", "price"]]
    equal(batch, final_windows(data.schema.read(frame, whole), data.schema).batch([0]))  # what data have stands
    with pytest.raises(DataError, match=r"row 41 of future: the value is|column 'price', row 41 of future"):
        data.schema.read(frame, whole.assign(price=[1.0] * 41 + [np.inf] * 2))
    with pytest.raises(DataError, match=r"future: no column 'price' \(future\)"):
        data.schema.read(frame, later[["time"]])


def test_times_go_on_in_the_types_and_the_zone_that_came_in():
    times = pd.date_range("2024-10-25", periods=50, freq="h", tz="Europe/Berlin")
    frame = pd.DataFrame({"id": 7, "time": times, "y": np.arange(50.0)})
    data = prepared(frame, Columns.of(series="id"))
    made = read_table(frame).frame(forecast_columns(final_windows(data.series, data.schema), read_table(frame)))
    expected = pd.date_range(times[-1], periods=4, freq="h")[1:]  # over the end of summer time
    assert made.time.dt.tz is not None and (made.time.to_numpy() == expected.to_numpy()).all()
    assert made.id.tolist() == [7, 7, 7]
    months = {"time": ["1949-01", "1949-02", "1949-03", *[f"1950-{k:02}" for k in range(1, 13)]], "y": [1.0] * 15}
    found = prepared(months, Columns())
    assert found.series.length(0) == 24 and np.isnan(found.series.values(0)[3:12]).all()
    stamps = forecast_columns(final_windows(found.series, found.schema), read_table(months))["time"]
    assert [str(day) for day in stamps.to_pylist()] == ["1951-01-01", "1951-02-01", "1951-03-01"]


def test_a_request_without_times():
    data = prepared(
        {"time": pd.date_range("2024-01-01", periods=40).tolist(), "y": [1.0, 2.0] * 20},
        calendar="none",
        columns=Columns(),
    )
    assert final_windows(data.schema.read({"y": [1.0, 2.0]}), data.schema).origin.tolist() == [2]
    other = prepared(
        {"time": pd.date_range("2024-01-01", periods=40).tolist(), "y": [1.0, 2.0] * 20},
        calendar="week",
        columns=Columns(),
    )
    with pytest.raises(DataError, match=r"no column 'time' \(time; the model uses week\)"):
        other.schema.read({"y": [1.0, 2.0]})
