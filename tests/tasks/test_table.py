"""Tables of any library are read alike, and what is wrong with one is said with its place."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from gatewright.tasks.errors import DataError, MissingExtra
from gatewright.tasks.table.table import read_table

VALUES = {
    "name": ["a", "b", None, "a"],
    "count": [1, 2, 3, 4],
    "size": [0.5, None, 2.0, -1.5],
    "flag": [True, False, True, True],
    "day": pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"]).tolist(),
}


def sources(folder: Path) -> dict[str, Any]:
    """The same table in every form."""
    frame = pl.DataFrame(VALUES)
    frame.write_csv(folder / "t.csv")
    (folder / "t.csv.gz").write_bytes(gzip.compress((folder / "t.csv").read_bytes()))
    (folder / "t.tsv").write_bytes((folder / "t.csv").read_bytes().replace(b",", b"\t"))
    frame.write_parquet(folder / "t.parquet")
    feather.write_feather(frame.to_arrow(), folder / "t.feather")
    (folder / "parts").mkdir()
    frame[:1].write_parquet(folder / "parts" / "1.parquet")
    frame[1:].write_parquet(folder / "parts" / "2.parquet")
    files = {p.name: p for p in folder.iterdir()}
    return {
        **files,
        "pandas": pd.DataFrame(VALUES),
        "pandas category": pd.DataFrame(VALUES).astype({"name": "category"}),
        "polars": frame,
        "polars lazy": frame.lazy(),
        "polars category": frame.with_columns(pl.col("name").cast(pl.Categorical)),
        "arrow": frame.to_arrow(),
        "dictionary": VALUES,
        "record batch": pa.table({k: pa.array(v) for k, v in VALUES.items()}),
    }


def test_every_form_gives_the_same(tmp_path):
    for kind, source in sources(tmp_path).items():
        table = read_table(source)
        assert table.columns == list(VALUES), kind
        np.testing.assert_array_equal(table.numbers("size"), [0.5, np.nan, 2.0, -1.5], err_msg=kind)
        np.testing.assert_array_equal(table.numbers("count"), [1, 2, 3, 4], err_msg=kind)
        np.testing.assert_array_equal(table.numbers("flag"), [1, 0, 1, 1], err_msg=kind)
        names = ["a", "b", None if "csv" not in kind and "tsv" not in kind else "", "a"]
        assert table.texts("name") == names, kind
        assert table.texts("count") == ["1", "2", "3", "4"], kind
        assert table.is_text("name") and not table.is_text("size") and table.is_time("day"), kind


def test_results_come_in_the_library_that_came_in(tmp_path):
    kinds = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "arrow": pa.Table, "t.csv": pd.DataFrame}
    found = sources(tmp_path)
    for name, kind in kinds.items():
        made = read_table(found[name]).frame({"y": [1.0, 2.0], "t": pa.array(["a", "b"])})
        assert isinstance(made, kind)
        assert read_table(made).texts("t") == ["a", "b"]


def test_whole_numbers_as_text_do_not_depend_on_missing_values():
    assert read_table(pd.DataFrame({"k": [1.0, np.nan, 2.0]})).texts("k") == ["1", None, "2"]
    assert read_table(pl.DataFrame({"k": [1, None, 2]})).texts("k") == ["1", None, "2"]
    assert read_table({"k": [1.5, float("nan"), 2.0]}).texts("k") == ["1.5", None, "2.0"]


def test_words_and_their_places():
    words, place = read_table({"k": ["b", None, "a", "b"]}).words("k")
    assert words == ["b", "a"] and place.tolist() == [0, -1, 1, 0]
    words, place = read_table(pl.DataFrame({"k": [2.0, float("nan"), 1.0, None, 2.0]})).words("k")
    assert words == ["2", "1"] and place.tolist() == [0, -1, 1, -1, 0]


def test_an_index_that_says_something_becomes_a_column():
    times = pd.date_range("2024-01-01", periods=2)
    assert read_table(pd.Series([1.0, 2.0], index=times, name="y")).columns == ["time", "y"]
    assert read_table(pd.DataFrame({"y": [1.0, 2.0]}, index=times.rename("when"))).columns == ["when", "y"]
    assert read_table(pd.DataFrame({"y": [1.0, 2.0]}, index=[5, 6])).columns == ["y"]
    both = pd.DataFrame({"when": times, "y": [1.0, 2.0]}).set_index("when", drop=False)
    assert read_table(both).columns == ["when", "y"]
    with pytest.raises(DataError, match="the index and a column are both called 'when'; rename one of them"):
        read_table(both.assign(when=times[::-1]))
    months = pd.DataFrame({"y": [1.0, 2.0]}, index=pd.period_range("2024-01", periods=2, freq="M"))
    assert read_table(months).is_time("time")


def test_decimal_commas_and_semicolons(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("name;size\na;1,5\nb;-2,25\n", encoding="utf-8")
    assert read_table(path).numbers("size").tolist() == [1.5, -2.25]
    path.write_text('\ufeffname,size\n"a, b",1.5\n', encoding="utf-8")
    assert read_table(path).texts("name") == ["a, b"]


def test_a_line_is_named_only_where_a_row_is_a_line(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("name,y\na,1\nb,x\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"column 'y' \(target\), line 3: expected a number, got the text 'x'"):
        read_table(path).numbers("y", "target")
    path.write_text('name,y\n"a\nb",1\nb,x\n', encoding="utf-8")
    with pytest.raises(DataError, match="column 'y', row 1: expected a number, got the text 'x'"):
        read_table(path).numbers("y")


BAD_FILES = {
    b"": "the file is empty; expected a header line and rows",
    b"  \n\n": "the file is empty",
    b"a,b\n": "has the columns a, b but no rows; give at least one row",
    b"a,b\n1,2\n3\n": "line 3 has 1 values where the header has 2",
    b"1,2\n3,4\n": "line 1: expected the columns' names, got '1,2', of which '1' is a number",
    b"a,b\nx,1\n\xe9t\xe9,2\n": r"line 3: byte 0xe9 is not UTF-8; save the file as UTF-8 .*iconv -f latin1",
    b"a,a\n1,2\n": "two columns are called 'a'; rename one of them",
    b"a,,b\n1,2,3\n": "line 1: column 2 has no name",
    b"a\0b\n1\0": "not a text file",
    b"PK\x03\x04 and so on": "a zip archive or a spreadsheet; save it as CSV",
    b"\x1f\x8b and so on": "damaged or cut off: .*fetch the file again",
    b"PAR1 and so on": "not a whole Parquet file: .*write it again",
    b"ARROW1 and so on": "not a whole Feather file: .*write it again",
}


@pytest.mark.parametrize(("content", "message"), BAD_FILES.items(), ids=range(len(BAD_FILES)))
def test_a_bad_file_is_named_with_what_is_wrong(tmp_path, content, message):
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"{re.escape(str(path))}.*{message}"):
        read_table(path)


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.csv: no such file; give the path of a CSV or Parquet file"):
        read_table(tmp_path / "nowhere.csv")
    with pytest.raises(DataError, match=r"a folder without \.parquet files"):
        read_table(tmp_path)


def test_parts_whose_columns_do_not_fit(tmp_path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"a": ["x"]}), tmp_path / "2.parquet")
    with pytest.raises(DataError, match="the files' columns do not fit together"):
        read_table(tmp_path)


BAD_OBJECTS = [
    (5, "expected a path .* or a dictionary of lists; got int"),
    (np.zeros(3), r"got numpy\.ndarray"),
    ({"a": [1, 2], "b": [1]}, "column 'a' has 2 values and 'b' has 1; give one value a row to each"),
    ({"a": 3}, "column 'a': expected a list of values, got int"),
    ({"a": [1, "x"]}, r"column 'a': row 1 is 'x' \(str\) where row 0 is 1 \(int\); give values of one type"),
    (pd.DataFrame({"a": [1, "x"]}), r"the pandas frame, column 'a': row 1 is 'x' \(str\)"),
    ({}, "has no columns and no rows"),
    (pl.DataFrame({"a": []}), "the polars frame: has the columns a but no rows"),
    (pd.DataFrame([[1, 2]], columns=["a", "a"]), "the pandas frame: two columns are called 'a'"),
]


@pytest.mark.parametrize(("source", "message"), BAD_OBJECTS, ids=range(len(BAD_OBJECTS)))
def test_a_bad_object_is_named_with_what_is_wrong(source, message):
    with pytest.raises(DataError, match=message):
        read_table(source)


def test_columns_that_are_not_there_or_of_another_kind():
    table = read_table({"price": [1.0, float("inf"), float("-inf")], "day": VALUES["day"][:3]}, name="shop")
    with pytest.raises(DataError, match=r"shop: no column 'prize' \(known\); did you mean 'price'\?"):
        table.column("prize", "known")
    with pytest.raises(DataError, match="shop: no column 'zzz'; it has: price, day"):
        table.column("zzz")
    with pytest.raises(DataError, match=r"column 'price', row 1: the value is inf \(and 1 more are infinite\)"):
        table.numbers("price")
    with pytest.raises(DataError, match=r"column 'day' \(target\): expected numbers, got values of type timestamp"):
        table.numbers("day", "target")


@pytest.mark.parametrize("library", ["pyarrow", "narwhals"])
def test_a_missing_library_is_named_with_its_extra(monkeypatch, library):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == library else found(name))
    with pytest.raises(MissingExtra, match=rf"reading tables needs {library}.*gatewright\[tables\]"):
        read_table({"a": [1]})
