"""Data that cannot be forecast from are refused with series, row or column, and what to do; the rest is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gatewright.tasks.errors import DataError, SettingsError
from gatewright.tasks.forecast.data import (
    Columns,
    Sampling,
    Scaling,
    final_windows,
    prepare_forecast,
    rolling_windows,
)

DATA = Path(__file__).parents[2] / ".." / "shared" / "data"


def long(**series: Any) -> pd.DataFrame:
    """A table of daily series by name."""
    parts = [
        pd.DataFrame({"id": name, "time": pd.date_range("2024-01-01", periods=len(y)), "y": np.asarray(y, float)})
        for name, y in series.items()
    ]
    return pd.concat(parts, ignore_index=True)


def prepared(frame: Any, columns: Columns | None = None, **changes: Any) -> Any:
    return prepare_forecast(frame, columns, **{"context": 6, "horizon": 3, **changes})


UP = np.arange(30.0)


def changed(frame: pd.DataFrame, row: int, column: str, value: Any) -> pd.DataFrame:
    frame = frame.astype({column: object}) if isinstance(value, str) else frame.copy()
    frame.loc[row, column] = value
    return frame


BAD = {
    "duplicates": (
        changed(long(a=UP, b=UP), 7, "time", pd.Timestamp("2024-01-03")),
        "row 2 and row 7 of series 'a' have the same time, 2024-01-03 .1 such pairs.; keep one row, or add the column",
    ),
    "no series column": (
        long(a=UP, b=UP).rename(columns={"id": "shop"}),
        "row 0 and row 30 of the series have the same time, 2024-01-01 .30 such pairs.; if the table holds several",
    ),
    "text": (
        long(a=UP).astype({"y": str}).replace({"y": {"4.0": "n/a"}}),
        "column 'y' .target., row 4: .* the text 'n/a'",
    ),
    "mixed types": (changed(long(a=UP), 4, "y", "n/a"), "column 'y': row 4 is 'n/a' .str. where row 0 is 0.0 .float."),
    "infinite": (changed(long(a=UP), 9, "y", np.inf), "column 'y', row 9: the value is inf"),
    "all missing": (long(a=UP, b=[np.nan] * 30), "column 'y': series 'b' has no value at all; leave it out"),
    "time missing": (changed(long(a=UP), 3, "time", pd.NaT), "column 'time' .time., row 3: the time is missing"),
    "key missing": (changed(long(a=UP), 3, "id", None), "column 'id' .series., row 3: the series' name is missing"),
    "mixed frequencies": (
        pd.concat([long(a=UP), long(b=UP).assign(time=pd.date_range("2024-01-01", periods=30, freq="W-MON"))]),
        "mixed frequencies: row 0 .* and row 1 .* of series 'a' are 1 day apart, but row 30 .* of series 'b' are 7",
    ),
    "irregular": (
        changed(long(a=UP), 5, "time", pd.Timestamp("2024-01-06 07:13:00")),
        "series 'a': the frequency is '24h', but row 5 .2024-01-06 07:13. comes 1873 minutes after row 4",
    ),
    "far away": (
        changed(long(a=UP), 29, "time", pd.Timestamp("9024-01-06")),
        "between row 28 .2024-01-29. and row 29 .9024-01-06. 2,5.*rows are missing; correct the time",
    ),
    "too short": (
        long(a=UP[:6]),
        "nothing to validate on: the longest series .a. has 6 rows, .* at least 7 rows are needed",
    ),
    "longer than the data": (long(a=UP[:3]), "nothing to train on: the longest series .a. has 3 rows .* at least 4"),
    "no rows": (long(a=UP)[:0], "has the columns id, time, y but no rows"),
    "no target": (long(a=UP).drop(columns="y"), "none of the columns left .* holds numbers.*; name the column"),
    "several targets": (
        long(a=UP).rename(columns={"y": "u"}).assign(v=1.0),
        "any of u, v could be the target; name the column that is to be forecast",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_data_are_named_with_what_to_do(name):
    frame, message = BAD[name]
    with pytest.raises(DataError, match=message):
        prepared(frame.reset_index(drop=True))


def test_lines_of_a_file_are_named(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("time,y\n2024-01-01,1\n2024-01-02,2\n2024-01-02,3\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"t\.csv: line 3 and line 4 of the series have the same time, 2024-01-02"):
        prepared(path)


def test_the_hour_that_comes_twice_without_a_zone():
    zoned = pd.date_range("2024-10-26", periods=60, freq="h", tz="Europe/Berlin")
    frame = pd.DataFrame({"time": zoned, "y": np.arange(60.0)})
    assert prepared(frame).series.length(0) == 60
    with pytest.raises(
        DataError, match=r"2024-10-27 02:00 .*where the clock was put back, give times with a time zone"
    ):
        prepared(frame.assign(time=zoned.tz_localize(None)))


def test_columns_that_vary_or_are_not_there():
    frame = long(a=UP, b=UP).assign(kind=["x"] * 35 + ["y"] * 25)
    message = r"column 'kind' \(static\): series 'b' has one value at row 30 .* and another at row 35"
    with pytest.raises(DataError, match=message):
        prepared(frame, Columns.of(static="kind"))
    with pytest.raises(DataError, match=r"no column 'prize' \(known\); it has: id, time, y, kind"):
        prepared(frame, Columns.of(known="prize"))
    with pytest.raises(DataError, match="column 'y', row 0: 0 has no logarithm; scale without log"):
        prepared(frame, scaling=Scaling(log=True))
    with pytest.raises(SettingsError, match="column 'y' is named as target and as past; leave one out"):
        Columns.of(target="y", past="y")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"horizon": 0}, "setting horizon: expected a number of at least 1, got 0"),
        ({"context": 0}, "setting context: expected a number of at least 1, got 0"),
        ({"sampling": lambda: Sampling(batch_size=0)}, "setting batch_size: expected a number of at least 1, got 0"),
        ({"sampling": lambda: Sampling(weights="rows")}, "setting weights: expected one of windows, series, scale"),  # pyright: ignore[reportArgumentType]
        ({"scaling": lambda: Scaling("zscore")}, "scaling of the series: expected one of none, mean, standard, robust"),  # pyright: ignore[reportArgumentType]
        ({"columns": lambda: Columns.of(irregular="drop")}, "setting irregular: expected error or steps"),  # pyright: ignore[reportArgumentType]
    ],
)
def test_settings_that_no_data_fit(changes, message):
    with pytest.raises(SettingsError, match=message):
        prepared(long(a=UP), **{name: value() if callable(value) else value for name, value in changes.items()})


def test_what_is_odd_but_can_be_used_is_told():
    frame = long(a=UP, constant=[5.0] * 30, short=[1.0, 2.0])
    frame.loc[10, "y"] = np.nan
    frame = frame.drop(index=[20]).sort_values("y")
    data = prepared(frame)
    told = "; ".join(data.notes)
    assert "rows were sorted by time" in told and "1 rows are not in the table" in told
    assert "1 values are missing" in told and "constant in training: constant" in told
    assert "too short to train on (at most 3 rows): short" in told
    described = data.describe()
    assert (described["series"], described["gaps"], described["missing"]) == (3, 1, 1)
    flat = data.series.names.index("constant")
    assert (data.series.location[flat], data.series.scale[flat]) == (5.0, 1.0)


def test_rows_without_a_column_of_times_are_taken_as_they_stand():
    data = prepared({"y": [1.0, 2.0] * 15})
    assert data.notes == ("no column of times: rows are a step apart, as they stand",)
    assert data.series.times(0).tolist() == list(range(30))


def test_missing_values_at_both_ends():
    y = np.concatenate([[np.nan] * 10, np.arange(30.0), [np.nan] * 4])
    data = prepared(long(a=y))
    assert data.series.last(0) == 40 and final_windows(data.series, data.schema).origin.tolist() == [40]
    assert data.source.train.origin.min() == 11 and data.source.valid.origin.max() == 37
    first = data.source.train[[0]].batch([0])
    assert first.observed[0].tolist() == [0, 0, 0, 0, 0, 1] and first.context[0, :5].abs().sum() == 0


def test_what_is_missing_is_not_filled_from_another_series():
    y = np.concatenate([[np.nan] * 4, np.arange(26.0)])
    frame = long(a=UP + 100, b=y)
    data = prepared(frame.assign(load=frame.y), Columns.of(past="load"), context=8)
    item = data.series.names.index("b")
    windows = rolling_windows(data.series, data.schema, first=8, last=8)
    batch = windows.batch(np.flatnonzero(windows.item == item))
    assert batch.observed[0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert batch.context[0, :4].abs().sum() == 0 and batch.past[0, :4, 0].abs().sum() == 0


def test_a_series_shorter_than_the_context_is_padded():
    data = prepared(long(a=UP, b=UP[:9]), context=20)
    items = {int(i) for i in data.source.train.item}
    assert items == {0, 1}
    short = data.source.train.batch(np.flatnonzero(data.source.train.item == 1))
    assert short.observed.sum(1).tolist() == short.origin.tolist()


def test_a_series_without_a_value_is_named_at_prediction():
    data = prepared(long(a=UP))
    with pytest.raises(DataError, match=r"series 'b' has no value to forecast from; give some, or leave it out"):
        final_windows(data.schema.read(long(a=UP, b=[np.nan] * 4)), data.schema)
    with pytest.raises(DataError, match=r"the frequency is 'D', but row 1 .* comes 12 hours after row 0"):
        data.schema.read(long(a=UP).assign(time=pd.date_range("2024-01-01", periods=30, freq="12h")))


def test_times_are_read_as_in_training():
    zoned = long(a=UP).assign(time=pd.date_range("2024-01-01", periods=30, freq="h", tz="Europe/Berlin"))
    data = prepared(zoned, calendar="day")
    in_utc = zoned.assign(time=zoned.time.dt.tz_convert("UTC"))
    one, two = (final_windows(data.schema.read(frame), data.schema).batch([0]) for frame in (zoned, in_utc))
    assert (one.calendar == two.calendar).all()
    with pytest.raises(
        DataError, match="the times have no time zone; those of training had the time zone Europe/Berlin"
    ):
        data.schema.read(zoned.assign(time=zoned.time.dt.tz_localize(None)))
    with pytest.raises(DataError, match="the times are whole numbers; training had time stamps"):
        data.schema.read(zoned.assign(time=range(30)))
    with pytest.raises(DataError, match="the times have the time zone UTC; those of training had no time zone"):
        prepared(long(a=UP)).schema.read(in_utc)


def test_a_date_may_bound_the_origins():
    data = prepared(long(a=UP, b=UP))
    windows = rolling_windows(data.series, data.schema, first="2024-01-11", last="2024-01-13", stride=2)
    assert windows.origin.tolist() == [10, 12] * 2 and windows.item.tolist() == [0, 0, 1, 1]
    assert [str(t)[:10] for t in windows.times(0)] == ["2024-01-11", "2024-01-12", "2024-01-13"]


def test_windows_of_etth1_are_those_of_the_papers():
    """Train, validation and test of 8640, 2880 and 2880 hours; the context reaches back, every origin counts."""
    if not (DATA / "ett").exists():
        pytest.skip("ETTh1 is not here: ../shared/data/ett")
    table = pd.read_csv(DATA / "ett" / "ETTh1.csv.gz")
    columns = Columns.of(time="date", target=list(table.columns[1:]))
    data = prepare_forecast(
        table[:8640],
        columns,
        context=336,
        horizon=96,
        scaling=Scaling("standard", "last"),
        validation=table[8640:11520],
        evaluation_windows=None,
    )
    assert data.source.training_windows == 7 * (8640 - 336 - 96 + 1)
    assert data.source.validation_windows == 7 * (2880 - 96 + 1)
    test = data.schema.read(table[:14400])
    windows = rolling_windows(test, data.schema, first=11520)
    assert len(windows) == 7 * (2880 - 96 + 1)
    train = table[:8640].OT
    assert (test.location[6], test.scale[6]) == pytest.approx((train.mean(), train.std(ddof=0)), rel=1e-12)
    last = windows[[len(windows) - 1]].batch([0])
    np.testing.assert_allclose(last.inverse(last.target)[0], table.OT[14304:14400], rtol=1e-5, atol=1e-6)
    assert last.context[0, -1] == 0  # the last value is the window's location


def test_real_tables_are_read_without_being_told_how():
    if not (DATA / "monthly_daily_series").exists():
        pytest.skip("the classic series are not here: ../shared/data/monthly_daily_series")
    found = {}
    for path in sorted((DATA / "monthly_daily_series").glob("*.csv")):
        data = prepare_forecast(path, context=24, horizon=12)
        found[path.stem] = (data.schema.frequency.name, data.series.length(0), data.describe()["gaps"])
    assert found == {
        "daily-min-temperatures": ("D", 3652, 2),  # 31 December of two leap years is not in the table
        "monthly-airline-passengers": ("MS", 144, 0),
        "monthly-sunspots": ("MS", 2820, 0),
    }
