"""Windows, series and scales: what they hold, and that they never see what comes after their origin."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewright.tasks.errors import DataError, SettingsError
from gatewright.tasks.forecast.data import (
    Columns,
    Sampling,
    Scaling,
    Schema,
    final_windows,
    prepare_forecast,
    rolling_windows,
)

COLUMNS = Columns.of(series="id", time="time", target="y", known="price", past="load", static="kind")


@st.composite
def frames(draw: Any, least: int = 12) -> pd.DataFrame:
    """Two or three hourly series with missing rows and values inside, in any order of rows."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    parts = []
    for k in range(draw(st.integers(2, 3))):
        n = draw(st.integers(least, 40))
        keep = generator.random(n) > draw(st.sampled_from([0.0, 0.2]))
        keep[[0, 1, 2, -2, -1]] = True
        y = generator.normal(5 * k, 1 + k, n)
        y[1:-1][generator.random(n - 2) < draw(st.sampled_from([0.0, 0.2]))] = np.nan
        part = {
            "id": f"s{k}",
            "time": pd.date_range("2024-03-01", periods=n, freq="h") + pd.Timedelta(days=k),
            "y": y,
            "price": generator.normal(size=n),
            "load": generator.normal(size=n),
            "kind": "ab"[k % 2],
        }
        parts.append(pd.DataFrame(part)[keep])
    whole = pd.concat(parts, ignore_index=True)
    if draw(st.booleans()):
        whole = whole.sample(frac=1, random_state=1).sort_values("id", kind="stable")
    return whole.reset_index(drop=True)


def prepared(frame: Any, columns: Columns = COLUMNS, **changes: Any) -> Any:
    return prepare_forecast(frame, columns, **{"context": 6, "horizon": 3, **changes})


def equal(one: Any, two: Any) -> None:
    for name in one.__dataclass_fields__:
        a, b = getattr(one, name), getattr(two, name)
        if isinstance(a, torch.Tensor):
            torch.testing.assert_close(a, b, rtol=0, atol=0, msg=lambda m, name=name: f"{name}: {m}")


@settings(max_examples=20)
@given(frames(), st.sampled_from(["none", "last", "mean", "standard"]), st.integers(3, 20))
def test_a_window_does_not_see_past_its_origin(frame, window, cut):
    """Whatever comes after a window's origin changes nothing of what it reads, but for covariates known ahead."""
    data = prepared(frame, scaling=Scaling("standard", window), calendar=("day",))
    begin = frame.groupby("id").time.transform("min")
    later = frame.time >= begin + pd.Timedelta(hours=cut)
    other = frame.assign(y=frame.y.mask(later, frame.y * 7 + 100), load=frame.load.mask(later, -frame.load))
    one, two = (rolling_windows(data.schema.read(f), data.schema, first=cut, last=cut) for f in (frame, other))
    if len(one) == 0:
        return
    a, b = one.batch(slice(None)), two.batch(slice(None))
    for name in ("context", "observed", "past", "known", "calendar", "location", "scale"):
        assert torch.equal(getattr(a, name), getattr(b, name)), name
    assert not torch.equal(a.target, b.target)


@settings(max_examples=20)
@given(frames())
def test_windows_hold_the_rows_of_their_times(frame):
    data = prepared(frame)
    windows = rolling_windows(data.series, data.schema)
    by_time = {(row.id, row.time): row for row in frame.itertuples()}
    batch = windows.batch(slice(None))
    price = data.schema.numbers["price"]
    for k in range(0, len(windows), 5):
        name, origin = data.series.names[windows.item[k]], int(windows.origin[k])
        times = pd.DatetimeIndex(data.series.times(int(windows.item[k]), 0, origin + 3))
        rows = [by_time.get((name, time)) for time in times]
        y = [np.nan if row is None else row.y for row in rows]
        np.testing.assert_array_equal(windows.targets(slice(k, k + 1))[0], y[origin:])
        np.testing.assert_array_equal(windows.history(k), y[:origin])
        np.testing.assert_array_equal(pd.DatetimeIndex(windows.times(k)), times[origin:])
        expected = np.isfinite(y[max(origin - 6, 0) : origin])
        np.testing.assert_array_equal(batch.observed[k].bool().numpy()[-len(expected) :], expected)
        assert not batch.observed[k, : -len(expected)].any()
        filled = pd.Series(y[:origin]).ffill().to_numpy()[-6:]
        got = batch.inverse(batch.context)[k].numpy()[-len(filled) :]
        seen = np.isfinite(filled)
        np.testing.assert_allclose(got[seen], filled[seen], rtol=1e-5, atol=1e-5)
        ahead = batch.known[k, 6:, 0].numpy()
        for row, value in zip(rows[origin:], ahead, strict=True):
            if row is not None:
                assert value == pytest.approx((row.price - price.location) / price.scale, rel=1e-4, abs=1e-5)


@settings(max_examples=20)
@given(frames(), st.sampled_from(["none", "standard", "mean", "robust"]), st.booleans())
def test_scaling_and_its_inverse(frame, kind, log):
    frame = frame.assign(y=frame.y.abs() + 0.5) if log else frame
    for window in ("none", "last", "mean", "standard"):
        data = prepared(frame, scaling=Scaling(kind, window, log))
        windows = rolling_windows(data.series, data.schema)
        batch, raw = windows.batch(slice(None)), windows.targets()
        present = np.isfinite(raw)
        assert torch.equal(batch.target_observed.bool(), torch.from_numpy(present))
        np.testing.assert_allclose(batch.inverse(batch.target).numpy()[present], raw[present], rtol=1e-4, atol=1e-4)
        again = batch.forward(torch.from_numpy(raw)).numpy()
        np.testing.assert_allclose(again[present], batch.target.numpy()[present], rtol=1e-5, atol=1e-5)


@settings(max_examples=20)
@given(frames())
def test_every_possible_window_is_drawn_once_an_epoch(frame):
    data = prepared(frame, sampling=Sampling(batch_size=1))
    source, seen = data.source, []
    for k in range(source.batches(0)):
        batch = source.batch(0, k)
        seen.append((int(batch.item[0]), int(batch.origin[0])))
    expected = []
    for item in range(len(data.series)):
        n = data.series.last(item)
        held = max(3, round(0.1 * n))
        values = data.series.values(item)
        for origin in range(min(6, n - held - 3), n - held - 3 + 1):
            if (
                np.isfinite(values[max(origin - 6, 0) : origin]).any()
                and np.isfinite(values[origin : origin + 3]).any()
            ):
                expected.append((item, origin))
    assert sorted(seen) == expected and len(seen) == source.training_windows


@settings(max_examples=20)
@given(frames())
def test_training_and_validation_do_not_overlap(frame):
    data = prepared(frame)
    ends = dict.fromkeys(range(len(data.series)), 0)
    for item, origin in zip(data.source.train.item, data.source.train.origin, strict=True):
        ends[int(item)] = max(ends[int(item)], int(origin) + 3)
    for item, origin in zip(data.source.valid.item, data.source.valid.origin, strict=True):
        assert origin >= ends[int(item)] and origin + 3 <= data.series.last(int(item))


def test_the_form_of_the_data_changes_nothing(tmp_path):
    generator = np.random.default_rng(0)
    n = 40
    frame = pd.DataFrame(
        {
            "id": np.repeat([7, 3], n),
            "time": np.tile(pd.date_range("2024-01-01", periods=n, freq="D"), 2),
            "y": generator.normal(size=2 * n),
            "price": generator.normal(size=2 * n),
            "load": generator.normal(size=2 * n),
            "kind": np.repeat(["a", "b"], n),
        }
    ).drop(index=[5, 6, 50])
    frame.loc[10, "y"] = np.nan
    frame.loc[11, "load"] = np.nan
    polars = pl.from_pandas(frame)
    polars.write_csv(tmp_path / "t.csv")
    polars.write_parquet(tmp_path / "t.parquet")
    forms = [frame, polars, polars.lazy(), polars.to_arrow(), polars.to_dict(as_series=False)]
    forms += [tmp_path / "t.csv", tmp_path / "t.parquet", frame.astype({"kind": "category"})]
    found = [prepared(form) for form in forms]
    for other in found[1:]:
        assert other.sha256 == found[0].sha256 and other.config == found[0].config
        equal(other.source.batch(0, 0), found[0].source.batch(0, 0))
    assert prepared(frame.assign(y=frame.y + 1e-9)).sha256 != found[0].sha256


def test_the_same_seed_draws_the_same_and_processes_share_a_batch():
    frame = pd.DataFrame({"time": range(300), "y": np.random.default_rng(0).normal(size=300)})
    one, two = (prepared(frame, Columns(), sampling=Sampling(batch_size=8, seed=5)) for _ in range(2))
    other = prepared(frame, Columns(), sampling=Sampling(batch_size=8, seed=6))
    sent = pickle.loads(pickle.dumps(one))
    for epoch, index in ((0, 0), (1, 3)):
        equal(one.source.batch(epoch, index), two.source.batch(epoch, index))
        equal(one.source.batch(epoch, index), sent.source.batch(epoch, index))
        assert not torch.equal(one.source.batch(epoch, index).origin, other.source.batch(epoch, index).origin)
    whole = one.source.batch(0, 1)
    parts = [one.source.batch(0, 1, rank, 3) for rank in range(3)]
    for rank, part in enumerate(parts):
        equal(part, whole[slice(rank, None, 3)])
    shares = [list(one.source.validation(4, rank, 2)) for rank in range(2)]
    seen = sorted(int(o) for share in shares for batch in share for o in batch.origin)
    assert seen == sorted(int(o) for batch in one.source.validation(4) for o in batch.origin)


def weighted(weights: str) -> np.ndarray:
    frame = pd.concat(
        pd.DataFrame({"id": k, "time": range(n), "y": np.random.default_rng(k).normal(size) * np.ones(n) + range(n)})
        for k, n, size in ((0, 40, 1), (1, 200, 1), (2, 40, 1))
    )
    frame.loc[frame.id == 2, "y"] *= 10
    data = prepared(frame, Columns(), sampling=Sampling(batch_size=100, windows=5000, weights=weights))
    assert data.source.batches(0) == 50
    items = np.concatenate([data.source.batch(0, k).item.numpy() for k in range(50)])
    return np.bincount(items, minlength=3) / 5000


def test_weights_of_the_draw():
    windows, series, scale = weighted("windows"), weighted("series"), weighted("scale")
    assert windows[1] > 4 * windows[0] and windows[0] == pytest.approx(windows[2], abs=0.02)
    np.testing.assert_allclose(series, 1 / 3, atol=0.03)
    assert scale[2] > 8 * scale[0]


def test_a_stride_keeps_the_phase_of_the_end():
    frame = pd.DataFrame({"time": range(200), "y": np.arange(200.0)})
    data = prepared(frame, Columns(), context=24, horizon=12, sampling=Sampling(stride=12))
    assert set((200 - data.source.train.origin) % 12) == {0}
    assert data.source.train.origin.max() + 12 <= 180 and data.source.valid.origin.tolist() == [188]


def test_validation_is_a_share_a_time_or_what_continues():
    times = pd.date_range("2024-01-01", periods=100, freq="D")
    frame = pd.DataFrame({"time": times, "y": np.arange(100.0)})

    def origins(data: Any, **changes: Any) -> list[int]:
        found = prepared(data, Columns(), **changes)
        assert found.source.train.origin.max() + 3 == found.source.valid.origin.min()
        return [int(o) for o in found.source.valid.origin]

    assert origins(frame) == list(range(90, 98))
    assert origins(frame, validation=0.25) == list(range(75, 98))
    assert origins(frame, validation="2024-03-21") == list(range(80, 98))
    assert origins(frame, validation=times[80]) == list(range(80, 98))
    assert origins(frame[:80], validation=frame[80:]) == list(range(80, 98))
    assert origins(frame[:80], validation=frame) == list(range(80, 98))
    assert len(origins(frame, validation=0.5, evaluation_windows=5)) == 5
    steps = pd.DataFrame({"step": range(10, 110), "y": np.arange(100.0)})
    assert origins(steps, validation=90) == list(range(80, 98))
    with pytest.raises(DataError, match=r"no row comes after the training data"):
        origins(frame, validation=frame[:50])
    with pytest.raises(SettingsError, match=r"setting validation: expected a share between 0 and 1, got 1\.5"):
        origins(frame, validation=1.5)
    with pytest.raises(DataError, match="90: expected a date"):
        origins(frame, validation=90)


def test_scales_are_of_the_training_part_alone():
    y = np.concatenate([np.tile([1.0, 3.0], 45), np.full(10, 1000.0)])
    data = prepared({"time": list(range(100)), "y": y}, Columns())
    assert (data.schema.locations, data.schema.scales) == ((2.0,), (1.0,))
    again = data.schema.read({"time": list(range(50)), "y": np.full(50, 9.0)})
    assert (again.location[0], again.scale[0]) == (2.0, 1.0)


def test_scales_of_windows():
    y = np.arange(40.0)
    y[[33, 35]] = np.nan

    def at_40(series: str, window: str) -> tuple[float, float]:
        data = prepared({"time": list(range(40)), "y": y}, Columns(), scaling=Scaling(series, window))  # pyright: ignore[reportArgumentType]
        batch = final_windows(data.series, data.schema).batch([0])
        assert batch.observed[0].tolist() == [1, 0, 1, 1, 1, 1] and batch.context[0, 0] == batch.context[0, 1]
        return float(batch.location[0]), float(batch.scale[0])

    known = np.array([34.0, 36.0, 37.0, 38.0, 39.0])  # of the context 34 to 39
    train = y[:36][np.isfinite(y[:36])]
    assert at_40("none", "none") == (0.0, 1.0)
    assert at_40("none", "last") == (39.0, 1.0)
    assert at_40("none", "mean") == pytest.approx((0.0, known.mean()))
    assert at_40("none", "standard") == pytest.approx((known.mean(), known.std()))
    assert at_40("standard", "none") == pytest.approx((train.mean(), train.std()))
    assert at_40("standard", "last") == pytest.approx((39.0, train.std()))
    assert at_40("mean", "none") == pytest.approx((0.0, train.mean()))
    low, middle, high = np.percentile(train, [25, 50, 75])
    assert at_40("robust", "none") == pytest.approx((middle, (high - low) / 1.349))


def test_what_is_constant_but_for_rounding_has_scale_one():
    data = prepared({"time": list(range(40)), "y": [0.1 + 0.2, 0.3] * 20}, Columns())
    assert data.schema.scales == (1.0,)


def test_many_series_of_one_table_and_several_targets():
    frame = pd.DataFrame(
        {
            "a": ["x"] * 30 + ["y"] * 30,
            "b": [1] * 60,
            "time": [*range(30)] * 2,
            "u": np.arange(60.0),
            "v": -np.arange(60.0),
        }
    )
    data = prepared(frame, Columns.of(series=["a", "b"], target=["u", "v"]))
    assert data.series.names == ("x/1, u", "x/1, v", "y/1, u", "y/1, v")
    assert data.series.values(3).tolist() == (-np.arange(30.0, 60.0)).tolist()
    assert data.schema.inputs.channels == 2 and data.schema.inputs.series == 5
    batch = rolling_windows(data.series, data.schema).batch(slice(None))
    assert (batch.series == batch.item + 1).all() and (batch.channel == batch.item % 2).all()
    some = data.schema.read(frame[30:])
    assert some.code.tolist() == [3, 4] and some.location.tolist() == data.series.location[2:].tolist()


def test_what_a_model_keeps_is_json():
    import json

    frame = {"time": pd.date_range("2024-01-01", periods=60).tolist(), "y": [1.0, 2.5] * 30, "kind": ["a", "b"] * 30}
    data = prepared(frame, Columns.of(known="kind"), periods=(5,), scaling=Scaling("robust", "last"))
    schema = Schema.from_dict(json.loads(json.dumps(data.config["data"])))
    assert schema == data.schema and schema.inputs == data.schema.inputs
    again = prepared(frame, Columns.of(known="kind"), learned=schema)
    equal(again.source.batch(0, 0), data.source.batch(0, 0))


def test_context_may_depend_on_the_data():
    seen = []

    def context(season: int, lengths: np.ndarray) -> int:
        seen.append((season, lengths.tolist()))
        return 2 * season

    data = prepared(
        {"time": pd.date_range("2024-01-01", periods=60).tolist(), "y": [1.0] * 60}, Columns(), context=context
    )
    assert seen == [(7, [54])] and data.schema.context == 14 and data.source.batch(0, 0).context.shape[1] == 14
