"""A Parquet file that is streamed gives the windows that it gives in memory, in bounded room."""

from __future__ import annotations

import pickle
import tracemalloc
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from gatewright.tasks.errors import DataError
from gatewright.tasks.forecast.data import Columns, Sampling, Scaling, prepare_forecast

COLUMNS = Columns.of(series="id", time="time", target="y", past="load", static="kind")


def table(series: int = 20, least: int = 30, seed: int = 0) -> pa.Table:
    generator = np.random.default_rng(seed)
    lengths = generator.integers(least, 2 * least, series)
    ids = np.repeat([f"s{k}" for k in range(series)], lengths)
    y = generator.normal(np.repeat(generator.normal(size=series), lengths))
    load = generator.normal(size=len(y))
    load[generator.random(len(y)) < 0.1] = np.nan
    kind = np.repeat(generator.choice(["u", "v"], series), lengths)
    time = np.concatenate([np.arange(n) for n in lengths])
    return pa.table({"id": ids, "time": time, "y": y, "load": pa.array(load, from_pandas=True), "kind": kind})


def prepared(data: Any, columns: Columns = COLUMNS, buffer: int | None = 200, **changes: Any) -> Any:
    sampling = Sampling(batch_size=8, seed=3, buffer_rows=buffer, windows=changes.pop("windows", None))
    settings = {"context": 10, "horizon": 4, "scaling": Scaling("standard", "last"), "evaluation_windows": None}
    return prepare_forecast(data, columns, sampling=sampling, **{**settings, **changes})


@pytest.fixture
def path(tmp_path):
    pq.write_table(table(), tmp_path / "t.parquet", row_group_size=70)
    return tmp_path / "t.parquet"


def test_what_is_learned_is_the_same_as_in_memory(path):
    streamed, whole = prepared(path), prepared(path, buffer=None)
    assert streamed.counts["parts"] > 3
    one, two = streamed.schema.to_dict(), whole.schema.to_dict()
    numbers = np.array([one["numbers"].pop("load"), two["numbers"].pop("load")], float)
    np.testing.assert_allclose(numbers[0], numbers[1], rtol=1e-12)
    assert one == two
    assert streamed.source.training_windows == whole.source.training_windows
    assert streamed.source.validation_windows == whole.source.validation_windows
    assert {k: v for k, v in streamed.counts.items() if k != "parts"} == whole.counts


def test_windows_are_those_in_memory(path):
    streamed, whole = prepared(path), prepared(path, buffer=None)
    a = sorted(batch.target[k].tolist() for batch in streamed.source.validation(16) for k in range(len(batch)))
    b = sorted(batch.target[k].tolist() for batch in whole.source.validation(16) for k in range(len(batch)))
    np.testing.assert_allclose(a, b, rtol=1e-6)
    every = whole.source.train.batch(slice(None))
    known = {tuple(row) for row in every.context.tolist()}
    seen = [
        tuple(row) for k in range(streamed.source.batches(0)) for row in streamed.source.batch(0, k).context.tolist()
    ]
    assert set(seen) <= known and len(set(seen)) == len(seen) > 0.8 * len(known)


def test_the_same_seed_gives_the_same_in_any_order(path):
    one, two = prepared(path), pickle.loads(pickle.dumps(prepared(path)))
    last = one.source.batches(1) - 1
    for epoch, index in ((0, 0), (1, last), (0, 5), (1, 0)):
        a, b = one.source.batch(epoch, index), two.source.batch(epoch, index)
        assert torch.equal(a.context, b.context) and torch.equal(a.item, b.item)
    parts = [one.source.batch(0, 5, rank, 2) for rank in range(2)]
    assert torch.equal(parts[0].context, one.source.batch(0, 5).context[::2])
    assert sum(map(len, parts)) == len(one.source.batch(0, 5))
    assert not torch.equal(one.source.batch(0, 0).context, one.source.batch(1, 0).context)
    assert one.sha256 == prepared(path).sha256


def test_a_folder_and_a_number_of_windows(tmp_path):
    whole = table()
    cut = int(np.flatnonzero(np.array(whole["id"]) == "s9")[0]) + 5  # in the middle of a series
    pq.write_table(whole[:cut], tmp_path / "1.parquet")
    pq.write_table(whole[cut:], tmp_path / "2.parquet")
    data = prepared(tmp_path, windows=80, validation=0.3)
    assert data.source.batches(0) == pytest.approx(10, abs=3)
    assert data.counts["rows"] == len(whole)


def test_validation_may_be_a_table_or_a_time(path):
    later = table(series=3, least=40, seed=9)
    data = prepared(path, validation=later)
    assert data.source.valid.series.names == ("s0", "s1", "s2")
    assert sum(len(b) for b in data.source.validation(8)) == data.source.validation_windows > 0
    by_time = prepared(path, validation=25)
    assert max(by_time.source.train) == 25


def test_scattered_series_and_those_that_do_not_fit(tmp_path):
    whole = table()
    pq.write_table(pa.concat_tables([whole, whole[:5]]), tmp_path / "t.parquet")
    with pytest.raises(DataError, match=rf"series 's0' goes on at row {len(whole)}, after others; .* must be sorted"):
        prepared(tmp_path / "t.parquet")
    with pytest.raises(
        DataError, match=r"series 's0' \(from row 0 on\) does not fit the buffer of 20 rows; raise buffer"
    ):
        prepared(tmp_path / "t.parquet", buffer=20)
    pq.write_table(whole.drop_columns(["id"]), tmp_path / "u.parquet")
    with pytest.raises(DataError, match="must have a column of series and one of times"):
        prepared(tmp_path / "u.parquet", Columns.of(target="y"))
    pq.write_table(whole[:0], tmp_path / "t.parquet")
    with pytest.raises(DataError, match="no rows; give at least one"):
        prepared(tmp_path / "t.parquet")


@pytest.fixture
def arrow_pool():
    """A pool of Arrow's that counts from now on."""
    before = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(before)
    pa.set_memory_pool(pool)
    yield pool
    pa.set_memory_pool(before)


def test_room_is_bounded_by_the_buffer_and_not_by_the_file(tmp_path, arrow_pool):
    """300,000 rows: many times what is taken at any time, in Arrow and in numpy together."""
    generator = np.random.default_rng(0)
    series, length = 1000, 300
    rows = {"id": np.repeat(np.arange(series), length), "time": np.tile(np.arange(length), series)}
    whole = pa.table({**rows, "y": generator.normal(size=series * length)})
    pq.write_table(whole, tmp_path / "t.parquet", row_group_size=50_000)
    prepared(whole[:600], Columns.of(series="id"))  # what is imported on the way is no part of it
    held = arrow_pool.bytes_allocated()
    tracemalloc.start()
    sampling = Sampling(batch_size=64, windows=2000, buffer_rows=10_000)
    data = prepare_forecast(tmp_path, Columns.of(series="id"), context=24, horizon=6, sampling=sampling)
    drawn = sum(len(data.source.batch(0, k)) for k in range(data.source.batches(0)))
    seen = sum(len(batch) for batch in data.source.validation(64))
    numpy = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert drawn > 1500 and seen == 4096
    needed = whole.nbytes + 8 * 3 * len(whole)  # the table, and target, filled and places as arrays
    assert arrow_pool.max_memory() - held + numpy < needed / 2
