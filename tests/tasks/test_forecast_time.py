"""Times, frequencies and features of the calendar, beside what pandas says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.tasks.errors import DataError, SettingsError
from gatewright.tasks.forecast.arrange import arrange, find_frequency
from gatewright.tasks.forecast.calendar import Calendar
from gatewright.tasks.forecast.columns import Columns
from gatewright.tasks.forecast.reading import moment_of
from gatewright.tasks.forecast.time import DAY, HOUR, Frequency, read_times, spell_time
from gatewright.tasks.table.table import read_table

SPELLED = {
    "30s": "30s",
    "15min": "15min",
    "h": "h",
    "2h": "2h",
    "36h": "36h",
    "D": "D",
    "3D": "3D",
    "W": "W-THU",
    "B": "B",
    "MS": "MS",
    "ME": "ME",
    "QS": "QS",
    "QE": "QE",
    "YS": "YS",
    "YE": "YE",
}
"""Our name of a frequency, and pandas'."""


def found(times, **columns) -> Frequency:
    table = read_table({"time": times, "y": np.arange(float(len(times)))})
    return find_frequency(arrange(table, Columns.of(time="time", target="y", **columns)))


@pytest.mark.parametrize(("name", "theirs"), SPELLED.items())
def test_a_frequency_is_found_and_goes_on_as_pandas_says(name, theirs):
    times = pd.date_range("2019-11-28 06:00", periods=40, freq=theirs)
    frequency = found(times.tolist())
    assert frequency == Frequency.parse(name) and frequency.name == name
    micro = times.as_unit("us").asi8
    np.testing.assert_array_equal(frequency.at(micro[0], np.arange(40)), micro)
    np.testing.assert_array_equal(frequency.rows(micro[0], micro), np.arange(40))
    np.testing.assert_array_equal(frequency.rows(micro[0], micro + 1), np.arange(40))
    np.testing.assert_array_equal(frequency.rows(micro[1], micro[1:] - 1), np.arange(39) - 1)


@given(st.sampled_from(sorted(SPELLED)), st.integers(0, 10_000), st.integers(-300, 300))
def test_the_row_of_a_rows_time_is_the_row(name, day, row):
    frequency = Frequency.parse(name)
    anchor = int(frequency.at(day * DAY + 5 * HOUR, 0))
    time = frequency.at(anchor, row)
    assert frequency.rows(anchor, time) == row
    assert frequency.rows(anchor, time - 1) == row - 1
    assert Frequency.parse(frequency.name) == frequency


def test_seasons():
    names = {"15min": 96, "h": 24, "2h": 12, "D": 7, "W": 52, "B": 5, "MS": 12, "QS": 4, "YS": 1, "step": 1, "30s": 2}
    assert {name: Frequency.parse(name).season for name in names} == names


def test_days_of_a_zone_are_days_whatever_the_clock_does():
    times = pd.date_range("2024-03-25", periods=20, freq="D", tz="Europe/Berlin").tolist()
    assert found(times) == Frequency.parse("D")
    hours = pd.date_range("2024-03-30", periods=72, freq="h", tz="Europe/Berlin").tolist()
    assert found(hours) == Frequency.parse("h")


def test_steps_and_gaps():
    assert found([3, 5, 7, 11, 13]) == Frequency("step", 2)
    assert found([1.0, 2.0, 3.0]) == Frequency("step", 1)
    assert found([2**60, 2**60 + 1, 2**60 + 2]) == Frequency("step", 1)  # more than a float tells apart
    assert found(["2024-01-01", "2024-01-02", "2024-01-05"]) == Frequency.parse("D")
    assert found(["2024-01-01", "2024-02-01", "2024-05-01"]) == Frequency.parse("MS")
    assert found(["2023-11-30", "2023-12-31", "2024-02-29"]) == Frequency.parse("ME")
    assert found(["2024-01-01", "2024-01-02", "2024-01-04"], freq="D").name == "D"


IRREGULAR = [
    (
        ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-03 07:00"],
        "'24h', but row 3 .2024-01-03 07:00. comes 7 hours",
    ),
    (
        [*range(1, 15), *range(16, 32, 2)],
        "mixed frequencies: row 0 .1. and row 1 .2. .* are 1 steps apart, but row 13 .14. and row 14",
    ),
    (["2024-01-01"], "no series has two rows, so that there is no frequency; give freq"),
]


@pytest.mark.parametrize(("times", "message"), IRREGULAR, ids=range(3))
def test_what_has_no_frequency_is_refused(times, message):
    with pytest.raises(DataError, match=message) as caught:
        found(times)
    assert "freq" in str(caught.value)


def test_times_that_only_order_the_rows():
    assert found(["2024-01-01", "2024-01-02", "2024-01-03 07:00"], irregular="steps") == Frequency()
    assert found([*range(1, 15), *range(16, 32, 2)], freq=1) == Frequency()
    with pytest.raises(DataError, match="freq is 'h' but the times are whole numbers"):
        found([1, 2], freq="h")
    with pytest.raises(SettingsError, match="'fortnight' is no frequency; give a number of steps or one of"):
        Columns.of(freq="fortnight")


TEXTS = {
    ("1949-01", "1949-02"): ["1949-01-01", "1949-02-01"],
    ("01.02.2020 10:00", "31.12.2020 11:30"): ["2020-02-01 10:00", "2020-12-31 11:30"],
    ("01/02/2020", "13/02/2020"): ["2020-02-01", "2020-02-13"],
    ("Jan 2020", "Feb 2020"): ["2020-01-01", "2020-02-01"],
    ("2020-01-01T00:00:00Z", "2020-01-02T00:00:00+01:00"): ["2020-01-01", "2020-01-01 23:00"],
    ("7", "9"): ["7", "9"],
}


@pytest.mark.parametrize("texts", TEXTS)
def test_text_is_read_as_times(texts):
    times = read_times(read_table({"t": list(texts)}), "t")
    assert [spell_time(t, times.steps) for t in times.clock] == TEXTS[texts]


BAD = [
    (["28.02.2023", "29.02.2023"], "row 1: '29.02.2023' is no day of the calendar"),
    (["20240430", "20240431"], "row 1: '20240431' is no day of the calendar"),
    (["2020-01-01", "soon"], "row 1: 'soon' cannot be read as a time; write times as 2024-01-31"),
    (["01/02/2020", "02/03/2020"], "row 0: '01/02/2020' may be 2020-01-02 or 2020-02-01"),
    (["2020-01-01", None], "row 1: the time is missing"),
    ([1.0, 2.5], "row 1: expected a whole number of steps or a time stamp, got 2.5"),
    ([True, False], "expected times, got values of type bool"),
]


@pytest.mark.parametrize(("values", "message"), BAD, ids=range(len(BAD)))
def test_what_is_no_time_is_named(values, message):
    with pytest.raises(DataError, match=message):
        read_times(read_table({"t": values}), "t")


def test_a_calendar_has_what_two_cycles_of_data_show():
    def cycles(freq: str, days: float) -> tuple[str, ...]:
        return Calendar.make("auto", (), Frequency.parse(freq), days * DAY, steps=False).cycles

    assert cycles("h", 20) == ("day", "week")
    assert cycles("h", 800) == ("day", "week", "month", "year")
    assert cycles("5min", 3) == ("hour", "day")
    assert cycles("D", 800) == ("week", "month", "year")
    assert cycles("W", 800) == ("month", "year")
    assert cycles("MS", 800) == ("year",) and cycles("YS", 8000) == ()
    assert Calendar.make("auto", (), Frequency(), 1e9, steps=True) == Calendar()


def test_features_of_the_calendar_come_round():
    hours = np.datetime64("2024-01-01", "us").astype(np.int64) + np.arange(24 * 14) * HOUR
    rows = np.arange(len(hours))
    features = Calendar(("day", "week")).features(hours, rows, rows)
    assert features.shape == (len(hours), Calendar(("day", "week")).size) and np.abs(features).max() <= 1
    np.testing.assert_allclose(features[:168], features[168:], atol=1e-6)
    distinct = {tuple(row) for row in features.round(5).tolist()}
    assert len(distinct) == 168
    month = Calendar(("month", "year")).features(np.array([0, 31 * DAY, 365 * DAY]), rows[:3], rows[:3])
    np.testing.assert_allclose(month[0], month[2], atol=1e-6)
    np.testing.assert_allclose(month[0, :2], month[1, :2], atol=1e-6)


def test_periods_and_age():
    rows = np.arange(48)
    features = Calendar((), (24,), age=True).features(rows, rows + 5, rows)
    np.testing.assert_allclose(features[:24, :-1], features[24:, :-1], atol=1e-6)
    np.testing.assert_allclose(features[:, -1], np.log10(2 + rows), rtol=1e-6)
    shifted = Calendar((), (24,)).features(rows, rows, rows)
    np.testing.assert_allclose(shifted[5:29], features[:24, :-1], atol=1e-6)


def test_calendars_that_cannot_be():
    assert Calendar.make("day, week", (), Frequency.parse("h"), 1, steps=False).cycles == ("day", "week")
    with pytest.raises(SettingsError, match="unknown cycle 'hours'; did you mean 'hour'"):
        Calendar.make("hours", (), Frequency.parse("h"), 1, steps=False)
    with pytest.raises(SettingsError, match="day need time stamps, but the times are whole numbers; give periods"):
        Calendar.make(("day",), (), Frequency(), 1, steps=True)
    with pytest.raises(SettingsError, match="setting periods: expected whole numbers of at least 2, got 1"):
        Calendar.make("none", (24, 1), Frequency(), 1, steps=True)


@pytest.mark.parametrize(
    ("numbers", "name"),
    [
        ([20231229, 20231230, 20231231, 20240101, 20240102], "D"),
        ([20240126, 20240129, 20240130, 20240131, 20240201, 20240202, 20240205], "B"),
        ([202311, 202312, 202401, 202402], "MS"),
        ([1990, 1991, 1992], "step"),
        ([20240130, 20240131, 20240132], "step"),
        ([202411, 202412, 202413], "step"),
        ([20230228, 20230229], "step"),
        ([2**60, 2**60 + 1], "step"),
    ],
)
def test_whole_numbers_that_are_dates(numbers: list[int], name: str):
    assert found(numbers).name == name
    assert found(numbers, freq="step").unit == "step"


def test_a_first_row_that_is_off_the_grid_is_named_alone():
    times = ["2024-01-31", "2024-02-29", "2024-01-15", "2024-02-15"]
    table = read_table({"id": ["a", "a", "b", "b"], "time": times, "y": [1.0] * 4})
    with pytest.raises(
        DataError, match=r"series 'b': .* 'ME', but row 2 .2024-01-15. is no last day of a month; bring"
    ):
        find_frequency(arrange(table, Columns.of(series="id", time="time", target="y", freq="ME")))
    with pytest.raises(DataError, match=r"'B', but row 0 \(2024-01-06\) is no business day; bring"):
        found(["2024-01-06", "2024-01-08"], freq="B")


def test_moments_with_and_without_an_offset():
    berlin = {"zone": "Europe/Berlin", "steps": False}
    hour, day = Frequency.parse("h"), Frequency.parse("D")
    assert spell_time(moment_of(hour, when="2024-07-01 02:00", **berlin)) == "2024-07-01"  # in UTC
    assert spell_time(moment_of(day, when="2024-06-30T23:30Z", **berlin)) == "2024-07-01 01:30"
    assert spell_time(moment_of(hour, when="2024-03-31 02:30", **berlin)) == "2024-03-31 01:00"  # no such time there
    with pytest.raises(DataError, match="'2024': expected a date"):
        moment_of(hour, when="2024", **berlin)
