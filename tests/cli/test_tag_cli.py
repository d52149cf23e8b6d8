"""`gatewright tag`: what a newcomer types, and no traceback for a mistake."""

from __future__ import annotations

import gzip
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

SMALL = ["--hidden-size", "6", "--embedding-size", "6", "--character-hidden", "4", "--progress", "none"]
CITIES = ["Rome", "San Jose", "Oslo"]


class Done:
    """What a command left: exit code, output, errors."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command in this process, in a folder of its own."""
    from gatewright.cli.main import run

    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> Done:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["gatewright", "tag", *arguments])
        with pytest.raises(SystemExit) as exit_:
            run()
        found = capsys.readouterr()
        return Done(exit_.value.code or 0, found.out, found.err)  # type: ignore[arg-type]

    return call


@pytest.fixture
def data(tmp_path: Path) -> str:
    """Columns with intents."""
    lines = []
    for i in range(24):
        city, intent = CITIES[i % 3].split(), ("fly", "fares")[i % 2]
        tags = [f"{'BI'[k > 0]}-city" for k in range(len(city))]
        lines += [f"# intent: {intent}", f"{intent} O", "to O", *map(" ".join, zip(city, tags, strict=True)), ""]
    (tmp_path / "data.txt").write_text("\n".join(lines))
    return "data.txt"


def test_train_evaluate_predict_explain(call, data, tmp_path, monkeypatch):
    done = call("train", data, "--out", "m", *SMALL, "--updates", "2", "--cell", "gru")
    assert done.code == 0, done.err
    assert "validation f1" in done.out and "report.html" in done.out
    assert "Types" in (tmp_path / "m" / "report.html").read_text()

    done = call("evaluate", "m", data, "--json", "figures.json")
    assert done.code == 0, done.err
    assert {"f1", "precision", "recall", "intent_accuracy"} <= json.loads(
        (tmp_path / "figures.json").read_text()
    ).keys()
    assert "city" in call("types", "m", data).out

    done = call("predict", "m", "fly to San Jose")
    rows = done.out.splitlines()
    assert rows[0].startswith("# intent: f") and [row.split("\t")[0] for row in rows[1:5]] == "fly to San Jose".split()

    (tmp_path / "texts.txt").write_text("fly to Oslo\n\nfares to Rome\n")
    by_file = call("predict", "m", "texts.txt").out
    (tmp_path / "again.txt").write_text(by_file)
    assert call("evaluate", "m", "again.txt").code == 0  # what comes out can go in
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"fly to Oslo\n\nfares to Rome")))
    assert call("predict", "m").out == by_file
    as_json = [json.loads(line) for line in call("predict", "m", "texts.txt", "--format", "json").out.splitlines()]
    assert [found["words"][-1] for found in as_json] == ["Oslo", "Rome"]

    assert call("explain", "m", "fly to Oslo", "--out", "page.html").code == 0
    assert "Oslo" in (tmp_path / "page.html").read_text()
    assert call("report", "m").code == 0


def test_a_type_that_looks_like_markup_is_shown(call, data, tmp_path):
    (tmp_path / data).write_text((tmp_path / data).read_text().replace("-city", "-[/city]"))
    assert call("train", data, "--out", "m", *SMALL, "--updates", "1").code == 0
    done = call("types", "m", data)
    assert done.code == 0 and "[/city]" in done.out


def test_a_file_of_equations_is_a_cell_and_a_run_goes_on(call, data, tmp_path):
    (tmp_path / "mine.txt").write_text("h = tanh(W_h x + U_h h + b_h)\n")
    assert call("train", data, "--out", "m", *SMALL, "--updates", "2", "--cell", "mine.txt").code == 0
    done = call("train", "--out", "m", "--resume", "--updates", "3")
    assert done.code == 0, done.err
    assert "mine" in done.out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["train"], 2, "DATA is missing; give it: gatewright tag train DATA"),
        (["train", "nowhere.txt"], 1, "nowhere.txt: no such file or folder"),
        (["train", "bad.txt"], 1, "bad.txt, line 2: expected 2 columns as before, got 'Rome'"),
        (["train", "data.txt", "--hidden-size", "0"], 2, "setting hidden_size: expected a number of at least 1, got 0"),
        (["train", "data.txt", "--cell", "lstmm"], 2, "lstmm"),
        (["predict", "nowhere", "fly"], 1, "nowhere: no such model folder"),
    ],
)
def test_mistakes_are_one_line(call, data, tmp_path, arguments, code, message):
    (tmp_path / "bad.txt").write_text("fly O\nRome\n")
    done = call(*arguments)
    assert done.code == code
    assert message in done.err and "Traceback" not in done.err
    assert not (tmp_path / "runs").exists()  # nothing is left on the disk


def test_a_text_that_is_no_utf8_is_named(call, data, tmp_path):
    assert call("train", data, "--out", "m", *SMALL, "--updates", "1").code == 0
    (tmp_path / "latin.txt").write_bytes(b"fly\nM\xfcnchen\n")
    assert "nowhere.txt: no such file" in call("predict", "m", "nowhere.txt").err
    (tmp_path / "texts.gz").write_bytes(gzip.compress(b"fly to Rome\n"))
    assert "fly\t" in call("predict", "m", "texts.gz").out
    done = call("predict", "m", "latin.txt")
    assert done.code == 1 and "latin.txt, line 2: not UTF-8" in done.err
