"""`gatewright classify`, as it is typed."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import gatewright as gw
from gatewright.cli.main import app

QUICK = ["--hidden-size", "6", "--batch-size", "8", "--epochs", "3", "--progress", "none"]


def run(*args: object) -> tuple[int, str, str]:
    found = CliRunner().invoke(app, [str(a) for a in args])
    return found.exit_code, found.stdout, found.stderr


@pytest.fixture
def table(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    rows = ["id,x,y,label"]
    for k in range(24):
        label = "up" if k % 2 else "down"
        for t in range(8 + k % 3):
            slope = t if label == "up" else -t
            rows.append(f"s{k},{slope + generator.standard_normal():.3f},{generator.standard_normal():.3f},{label}")
    path = tmp_path / "table.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_train_evaluate_predict_explain(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    code, said, _ = run("classify", "train", table, "--out", out, *QUICK)
    assert code == 0 and "validation accuracy" in said and (out / "report.html").exists()
    code, said, _ = run("classify", "evaluate", out, table, "--json", tmp_path / "figures.json")
    assert code == 0 and json.loads((tmp_path / "figures.json").read_text())["sequences"] == 24
    code, said, _ = run("classify", "predict", out, table)
    rows = list(csv.DictReader(io.StringIO(said)))
    assert code == 0 and len(rows) == 24 and rows[3]["sequence"] == "s3"
    assert all(r["prediction"] == ("up" if float(r["p(up)"]) >= 0.5 else "down") for r in rows)
    code, said, _ = run("classify", "predict", out, table, "--out", tmp_path / "p.csv")
    assert code == 0 and list(csv.DictReader(io.StringIO((tmp_path / "p.csv").read_text()))) == rows
    code, said, _ = run("classify", "classes", out, table)
    assert code == 0 and "precision" in said and "share seen" in said
    code, said, _ = run("classify", "explain", out, table, "--number", 2, "--out", tmp_path / "why.html")
    assert code == 0 and "sequence" in (tmp_path / "why.html").read_text()
    code, said, _ = run("report", out)
    assert code == 0


def test_predictions_need_no_labels(table: Path, tmp_path: Path) -> None:
    run("classify", "train", table, "--out", tmp_path / "run", *QUICK)
    lines = [line.rpartition(",")[0] for line in table.read_text().splitlines()]
    (tmp_path / "bare.csv").write_text("\n".join(lines) + "\n")
    with_labels, bare = (run("classify", "predict", tmp_path / "run", p)[1] for p in (table, tmp_path / "bare.csv"))
    assert with_labels == bare
    code, _, said = run("classify", "evaluate", tmp_path / "run", tmp_path / "bare.csv")
    assert code == 1 and "no column 'label'" in said


def test_a_class_that_looks_like_markup_is_shown(table: Path, tmp_path: Path) -> None:
    table.write_text(table.read_text().replace("up", "[/up]").replace("down", "[down]"))
    assert run("classify", "train", table, "--out", tmp_path / "run", *QUICK)[0] == 0
    code, said, _ = run("classify", "classes", tmp_path / "run", table)
    assert code == 0 and all(name in said for name in ("[/up]", "[down]", "as [/up]"))


def test_a_regression(tmp_path: Path) -> None:
    path = tmp_path / "r.ts"
    cases = [",".join(f"{k + t / 10}" for t in range(6)) + f":{k}.5" for k in range(20)]
    path.write_text("@targetLabel true\n@data\n" + "\n".join(cases) + "\n")
    code, said, _ = run("classify", "train", path, "--kind", "regression", "--out", tmp_path / "run", *QUICK)
    assert code == 0 and "validation rmse" in said
    code, said, _ = run("classify", "predict", tmp_path / "run", path)
    assert code == 0 and len(said.splitlines()) == 21 and said.startswith("sequence,prediction\n")
    code, _, said = run("classify", "classes", tmp_path / "run", path)
    assert code == 1 and "a regression has no classes" in said


def test_a_file_of_equations(table: Path, tmp_path: Path) -> None:
    cell = tmp_path / "own.txt"
    cell.write_text("h = tanh(W x + U h + b)\n")
    code, said, _ = run("classify", "train", table, "--cell", cell, "--out", tmp_path / "run", *QUICK)
    assert code == 0 and "own" in said


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["train"], 2, "DATA is missing"),
        (["train", "gone.csv"], 1, "gone.csv: no such file or folder"),
        (["train", "{table}", "--pooling", "nose"], 2, "nose"),
        (["train", "{table}", "--label", "x", "--features", "y"], 1, "a sequence has one label"),
        (["train", "{table}", "--group", "who"], 1, "no column 'who' (the group)"),
        (["evaluate", "{folder}/none", "{table}"], 1, "no such model folder"),
    ],
)
def test_what_was_wrong_is_said_in_a_line(
    table: Path, tmp_path: Path, args: list[str], code: int, message: str
) -> None:
    given = [a.format(table=table, folder=tmp_path) for a in args]
    out = ["--out", tmp_path / "run"] if args[0] == "train" else []
    found, _, said = run("classify", *given, *out)
    assert found == code and message in said.replace("\n", " ")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_as_one_that_was_not(table: Path, tmp_path: Path) -> None:
    settings = ["--hidden-size", "6", "--batch-size", "8", "--updates", "80", "--evaluate-every", "5"]
    settings += ["--schedule", "constant", "--patience", "0", "--progress", "none"]
    command = [str(Path(sys.executable).parent / "gatewright"), "classify", "train"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run([*command, str(table), "--out", str(whole), *settings], check=True, capture_output=True)
    process = subprocess.Popen([*command, str(table), "--out", str(killed), *settings], stdout=subprocess.DEVNULL)
    while not (killed / "model.safetensors").exists():
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    subprocess.run([*command, "--out", str(killed), "--resume", "--progress", "none"], check=True, capture_output=True)
    weights = [gw.Classifier.load(folder).network.state_dict() for folder in (whole, killed)]
    for name, weight in weights[0].items():
        if "_extra" not in name:
            assert weight.equal(weights[1][name]), name


def test_the_page_names_flags_that_there_are() -> None:
    page = (Path(__file__).parents[2] / "docs" / "classify.md").read_text(encoding="utf-8")
    settings = [*gw.tasks.ClassifySettings().to_dict(), *gw.tasks.TrainingSettings().to_dict()]
    known = {"--" + name.replace("_", "-") for name in settings} | {"--out", "--valid", "--help"}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page)) <= known
