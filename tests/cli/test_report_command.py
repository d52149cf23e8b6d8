"""`gatewright language report` and `gatewright report` write a folder's report again."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gatewright.cli.main import app
from gatewright.tasks import LanguageModel

PROSE = "".join(f"{n} gates remember {n * n} things, and forget {n % 7}.\n" for n in range(80))


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    text = tmp_path / "text.txt"
    text.write_text(PROSE)
    small = {"hidden_size": 12, "batch_size": 4, "steps": 8, "updates": 4, "evaluate_every": 2}
    LanguageModel(**small).fit(text, out=tmp_path / "m")
    (tmp_path / "m" / "report.html").unlink()
    return tmp_path / "m"


@pytest.mark.parametrize("command", [("language", "report"), ("report",)])
def test_it_is_written_again(folder: Path, command: tuple[str, ...]) -> None:
    done = call(*command, folder)
    assert (done.exit_code, done.output.strip()) == (0, str(folder / "report.html"))
    assert "Surprise" in (folder / "report.html").read_text()
    assert call(*command, folder, "--out", folder / "other.html").exit_code == 0
    assert (folder / "other.html").exists()


def test_the_text_has_moved(folder: Path) -> None:
    text = folder.parent / "text.txt"
    text.rename(folder.parent / "moved.txt")
    assert call("language", "report", folder).exit_code == 0
    assert "Surprise" not in (folder / "report.html").read_text()
    assert call("language", "report", folder, folder.parent / "moved.txt").exit_code == 0
    assert "Surprise" in (folder / "report.html").read_text()


def test_mistakes_are_a_line(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text(PROSE[:2000])
    done = call("language", "report", folder, other)
    assert done.exit_code == 2
    assert "other.txt: not the data that this model was trained on; give those" in done.output
    (tmp_path / "config.json").write_text('{"task": "chess"}')
    done = call("report", tmp_path)
    assert done.exit_code == 1
    assert "expected a model of one of the tasks 'classify', 'forecast', 'language', 'tag', got 'chess'" in done.output
    assert call("report", tmp_path / "none").exit_code == 1


def test_training_tells_where_the_report_is(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text(PROSE)
    small = ("--hidden-size", 12, "--batch-size", 4, "--steps", 8, "--updates", 2)
    done = call("language", "train", text, "--out", tmp_path / "m", *small)
    assert done.exit_code == 0
    assert f"report: {tmp_path / 'm' / 'report.html'}" in done.output
