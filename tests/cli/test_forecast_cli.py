"""`gatewright forecast`: every command, and exit codes."""

from __future__ import annotations

import json
import warnings
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from gatewright.cli.main import app

SMALL = "--horizon 3 --context 9 --hidden-size 8 --updates 4 --warmup 2 --progress none".split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of two shops, and a model of it."""
    path = tmp_path_factory.mktemp("forecast")
    rng = np.random.default_rng(0)
    days = np.tile(pd.date_range("2024-01-01", periods=50), 2)
    frame = pd.DataFrame({"shop": np.repeat(["a", "b"], 50), "day": days, "sales": rng.normal(9, 1, 100)})
    frame.to_csv(path / "sales.csv", index=False)
    frame.assign(price=1.5).to_parquet(path / "known.parquet")
    result = run("train", path / "sales.csv", "--series", "shop", "--out", path / "model", *SMALL)
    assert result.exit_code == 0, result.output
    assert "report:" in result.output
    return path


def run(*arguments: object):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return CliRunner().invoke(app, ["forecast", *map(str, arguments)])


def test_training_leaves_a_model_and_a_report(folder: Path) -> None:
    for name in ("model.safetensors", "config.json", "metrics.json", "report.html"):
        assert (folder / "model" / name).stat().st_size > 0
    assert run("train", folder / "sales.csv", "--series", "shop", "--out", folder / "model").exit_code == 2
    assert run("train").exit_code == 2


def test_predict_writes_a_table_and_a_picture(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "f.csv"
    result = run("predict", folder / "model", folder / "sales.csv", "--out", out, "--quantiles", ".25,.5,.75")
    assert result.exit_code == 0, result.output
    found = pd.read_csv(out)
    assert list(found.columns) == ["shop", "day", "median", "0.25", "0.5", "0.75"]
    assert found["day"].tolist() == ["2024-02-20", "2024-02-21", "2024-02-22"] * 2
    picture = tmp_path / "p.png"
    parquet = tmp_path / "f.parquet"
    result = run("predict", folder / "model", folder / "sales.csv", "--out", parquet, "--plot", picture)
    assert result.exit_code == 0, result.output
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert len(pd.read_parquet(parquet)) == 6


def test_known_columns_go_on_in_a_table_of_their_own(folder: Path, tmp_path: Path) -> None:
    model = tmp_path / "m"
    named = ["--series", "shop", "--target", "sales", "--known", "price"]
    assert run("train", folder / "known.parquet", *named, "--out", model, *SMALL).exit_code == 0
    result = run("predict", model, folder / "known.parquet", "--out", tmp_path / "f.csv")
    assert result.exit_code == 1
    assert "price must be known over the whole horizon" in result.output
    days = np.tile(pd.date_range("2024-02-20", periods=3), 2)
    pd.DataFrame({"shop": list("aaabbb"), "day": days, "price": 2.0}).to_parquet(tmp_path / "future.parquet")
    more = ["--future", tmp_path / "future.parquet", "--out", tmp_path / "f.csv"]
    assert run("predict", model, folder / "known.parquet", *more).exit_code == 0
    assert len(pd.read_csv(tmp_path / "f.csv")) == 6


def test_evaluate_and_backtest_tell_figures(folder: Path, tmp_path: Path) -> None:
    result = run("evaluate", folder / "model", folder / "sales.csv", "--json", tmp_path / "figures.json")
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "figures.json").read_text())["windows"] == 2 * (50 - 9 - 3 + 1)
    out = tmp_path / "b.csv"
    result = run("backtest", folder / "model", folder / "sales.csv", "--origins", 2, "--out", out, "--seconds", 1)
    assert result.exit_code == 0, result.output
    assert "seasonal" in result.output
    found = pd.read_csv(out)
    assert set(found[found["model"] == "lstm"]["origin"]) == {44, 47}


def test_explain_writes_a_page(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "e.html"
    result = run("explain", folder / "model", folder / "sales.csv", "--series", "b", "--out", page)
    assert result.exit_code == 0, result.output
    assert "b: 3 steps from 2024-02-17 on" in page.read_text()
    assert run("explain", folder / "model", folder / "sales.csv", "--series", "c", "--out", page).exit_code == 1


def test_what_is_wrong_is_said_before_anything_is_written(folder: Path, tmp_path: Path) -> None:
    model, data = folder / "model", folder / "sales.csv"
    result = run("predict", model, data, "--out", tmp_path / "f.txt")
    assert result.exit_code == 2 and "expected a name that ends in .csv or .parquet" in result.output
    result = run("predict", model, data, "--out", tmp_path / "no" / "f.csv")
    assert result.exit_code == 1 and "there is no folder" in result.output
    result = run("predict", model, data, "--out", tmp_path / "f.csv", "--plot", tmp_path / "p.xyz")
    assert result.exit_code == 2 and "p.xyz" in result.output
    result = run("predict", model, data, "--out", tmp_path / "f.csv", "--quantiles", "5")
    assert result.exit_code == 2 and "expected numbers between 0 and 1" in result.output
    for command in (["explain", model, data, "--out"], ["evaluate", model, data, "--json"], ["report", model, "--out"]):
        result = run(*command, tmp_path / "no" / "page")
        assert result.exit_code == 1 and "there is no folder" in result.output
    result = run("explain", model, data, "--origin", "soon", "--out", tmp_path / "e.html")
    assert result.exit_code == 1 and "'soon': expected a date (2024-01-31)" in result.output
    result = run("train", data, "--series", "shop", "--out", tmp_path / "m", "--horizon", "400")
    assert result.exit_code == 1 and "horizon" in result.output
    assert list(tmp_path.iterdir()) == []


def test_predict_writes_csv_to_standard_output(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("predict", folder / "model", folder / "sales.csv", "--plot", "p.svg")
    assert result.exit_code == 0, result.output
    assert len(pd.read_csv(StringIO(result.stdout))) == 6
    assert result.stderr == "p.svg\n" and [path.name for path in tmp_path.iterdir()] == ["p.svg"]
