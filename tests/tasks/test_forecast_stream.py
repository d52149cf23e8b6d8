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


def cut(whole: pa.Table, held: int) -> tuple[pa.Table, pa.Table]:
    """The rows of each series but its last `held`, and those."""
    late = (whole.to_pandas().groupby("id").cumcount(ascending=False) < held).to_numpy()
    return whole.filter(~late), whole.filter(late)


@pytest.mark.parametrize("overlap", [False, True], ids=["goes on", "holds all"])
@pytest.mark.parametrize("held", [4, 7])
def test_a_table_of_validation_is_read_as_in_memory(tmp_path, overlap, held):
    """Its rows follow those of training, which are their context; one series is of that table alone."""
    first, later = cut(table(), held)
    other = table(series=1, seed=5)
    new = other.set_column(0, "id", pa.array(["new"] * len(other)))
    pq.write_table(first, tmp_path / "t.parquet", row_group_size=70)
    later = pa.concat_tables([table() if overlap else later, new])
    streamed, whole = (prepared(tmp_path / "t.parquet", validation=later, buffer=b) for b in (200, None))
    assert streamed.schema.series == whole.schema.series and "new" not in whole.schema.series
    assert streamed.source.training_windows == whole.source.training_windows
    windows = [
        sorted(
            (*b.context[k].tolist(), *b.target[k].tolist()) for b in data.source.validation(16) for k in range(len(b))
        )
        for data in (streamed, whole)
    ]
    np.testing.assert_allclose(windows[0], windows[1], rtol=1e-5, atol=1e-6)
    assert len(windows[0]) == 20 * (held - 3) + len(new) - 4
    again = prepared(tmp_path / "t.parquet", validation=later.slice(0, len(later) - 1))
    assert streamed.sha256 == prepared(tmp_path / "t.parquet", validation=later).sha256 != again.sha256
    with pytest.raises(DataError, match=r"no row comes after the training data .*t\.parquet"):
        prepared(tmp_path / "t.parquet", validation=first)


def test_validation_may_begin_at_a_time(path):
    assert max(prepared(path, validation=25).source.train) == 25


def test_the_frequency_is_that_of_the_first_part_with_two_rows(tmp_path):
    """A first part of single rows, and a last one in which no two rows are one step apart."""
    single = {"id": [f"a{k}" for k in range(40)], "time": [*range(40)], "y": [1.0] * 40}
    series = {"id": ["b"] * 30, "time": [*range(30)], "y": [float(k) for k in range(30)]}
    wide = {"id": ["c"] * 4 + ["d"] * 4, "time": [0, 2, 5, 7] * 2, "y": [1.0] * 8}
    columns = Columns.of(series="id", time="time", target="y")
    whole = pa.concat_tables([pa.table(part) for part in (single, series, wide)])
    pq.write_table(whole, tmp_path / "t.parquet", row_group_size=8)
    data = prepared(tmp_path / "t.parquet", columns, buffer=34, context=5)
    assert data.schema.frequency.name == "step"
    assert [piece.keys for piece in data.source.pieces] == [(0, 39), (39, 42), (42, 43)]
    assert data.source.valid.series.names[1] == "b"  # the part that has windows
    coarse = pa.table({"id": ["e"] * 8, "time": [*range(0, 16, 2)], "y": [1.0] * 8})
    pq.write_table(pa.concat_tables([whole, coarse]), tmp_path / "t.parquet", row_group_size=8)
    with pytest.raises(DataError, match=r"frequency is 'step', but row 78 .* row 79 .* of series 'e' are 2 steps"):
        prepared(tmp_path / "t.parquet", columns, buffer=34, context=5)


def test_files_of_a_folder_may_differ_in_type(tmp_path):
    whole = table()
    cut = int(np.flatnonzero(np.array(whole["id"]) == "s9")[0]) + 5
    short = whole[:cut].set_column(1, "time", whole[:cut]["time"].cast(pa.int32())).drop_columns(["load"])
    pq.write_table(short, tmp_path / "1.parquet")
    pq.write_table(whole[cut:], tmp_path / "2.parquet")
    streamed, memory = prepared(tmp_path), prepared(tmp_path, buffer=None)
    assert streamed.source.training_windows == memory.source.training_windows
    assert streamed.counts["rows"] == len(whole)
    pq.write_table(short.set_column(1, "time", short["time"].cast(pa.string())), tmp_path / "1.parquet")
    with pytest.raises(DataError, match=r"the files' columns do not fit together: .*time"):
        prepared(tmp_path)


def test_what_is_no_count_is_found_in_every_part(tmp_path):
    whole = table()
    counts = np.arange(len(whole)) % 5.0
    counts[-3] = 1.5
    pq.write_table(whole.set_column(2, "y", pa.array(counts)), tmp_path / "t.parquet")
    found = prepared(tmp_path / "t.parquet").uncounted
    assert found is not None and f"column 'y', series 's19', row {len(whole) - 3} " in found and found.endswith(": 1.5")


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
