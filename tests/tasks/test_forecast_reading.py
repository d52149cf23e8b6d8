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
    rolling_windows,
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


def test_times_of_a_zone_that_only_order_the_rows():
    times = pd.to_datetime([f"2024-01-{k:02} {k % 5}:00" for k in range(1, 31)], utc=True)
    frame = pd.DataFrame({"time": times, "y": np.arange(30.0)})
    data = prepared(frame, Columns.of(irregular="steps"))
    assert final_windows(data.schema.read(frame), data.schema).origin.tolist() == [30]


def test_numbers_that_are_dates_are_read_as_such_where_training_did():
    days = pd.date_range("2024-01-20", periods=40)
    frame = pd.DataFrame({"date": days.strftime("%Y%m%d").astype(int), "y": np.arange(40.0)})
    data = prepared(frame, Columns())
    assert data.schema.frequency.name == "D" and data.describe()["gaps"] == 0
    assert "the numbers of column 'date' are read as dates (with freq='step' as steps)" in data.notes
    after = forecast_columns(final_windows(data.schema.read(frame), data.schema), read_table(frame))["date"]
    assert [str(day) for day in after.to_pylist()] == ["2024-02-29", "2024-03-01", "2024-03-02"]
    steps = prepared(frame[:12], Columns.of(freq="step"), context=2)
    assert steps.schema.read(frame[:12]).lengths.tolist() == [12]  # 20240120 to 20240131
    with pytest.raises(DataError, match="the times are time stamps; training had whole numbers"):
        steps.schema.read(frame.assign(date=days))


def test_a_new_series_is_measured_by_what_comes_before_each_origin():
    data = prepared({"id": ["a"] * 30, "time": list(range(30)), "y": list(np.arange(30.0))}, Columns())
    values = np.concatenate([np.tile([1.0, 3.0], 10), np.full(10, 1000.0)])
    new = data.schema.read({"id": ["b"] * 30, "time": list(range(30)), "y": values})
    windows = rolling_windows(new, data.schema, first=10, last=25, stride=15)
    location, scale = windows.series_scales()
    np.testing.assert_allclose([location[0], scale[0]], [2.0, 1.0])
    np.testing.assert_allclose([location[1], scale[1]], [values[:25].mean(), values[:25].std()])
    later = data.schema.read({"id": ["b"] * 30, "time": list(range(30)), "y": np.where(np.arange(30) < 10, values, 7)})
    other = rolling_windows(later, data.schema, first=10, last=10)
    assert torch.equal(windows[:1].batch([0]).context, other.batch([0]).context)


def test_series_without_a_training_window_are_new_ones():
    frame = pd.DataFrame({"id": "a", "time": range(60), "y": np.arange(60.0)})
    late = pd.DataFrame({"id": "late", "time": range(30, 60), "y": 500 + np.arange(30.0) % 3})
    data = prepared(pd.concat([frame, late]), Columns(), validation=30)
    assert data.schema.series == ("a",) and len(data.schema.scales) == 1 and data.schema.inputs.series == 2
    assert data.counts["series"] == 2
    windows = data.source.valid[data.source.valid.item == 1]
    assert len(windows) > 0 and (windows.batch(slice(None)).series == 0).all()
    location, _ = windows.series_scales()
    assert (location >= 500).all()


def test_names_of_several_columns_are_told_apart():
    frame = pd.DataFrame({"p": ["a/b", "a"] * 30, "q": ["c", "b/c"] * 30, "time": np.arange(60) // 2})
    data = prepared(frame.assign(y=[1.0, 500.0] * 30), Columns.of(series=["p", "q"], target="y"))
    assert data.series.code.tolist() == [1, 2] and data.series.location.tolist() == [1.0, 500.0]


def test_rows_behind_the_last_value_belong_to_no_window():
    frame = pd.DataFrame({"time": range(40), "y": np.where(np.arange(40) < 30, np.arange(40.0), np.nan)})
    data = prepared(frame, Columns())
    assert rolling_windows(data.series, data.schema).origin.max() == 27
