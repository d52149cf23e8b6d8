"""`gatewright language`: what evaluate, generate and explain add to a plain figure."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from gatewright.tasks import LanguageModel

PROSE = "".join(f"{n} gates remember {n * n} things, and forget {n % 7}.\n" for n in range(120))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of words, its training text, and two others."""
    path = tmp_path_factory.mktemp("language")
    (path / "text.txt").write_text(PROSE, encoding="utf-8")
    (path / "valid.txt").write_text(PROSE[:900], encoding="utf-8")
    (path / "test.txt").write_text("gates forget things, and gates remember.\n" * 8, encoding="utf-8")
    settings: dict[str, Any] = {"hidden_size": 10, "batch_size": 4, "steps": 8, "updates": 20, "tokenizer": "words"}
    LanguageModel(**settings, dropout=0.0).fit(path / "text.txt", out=path / "m")
    return path


@pytest.fixture
def call(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command in this process: (exit code, output, errors)."""
    from gatewright.cli.main import run

    monkeypatch.chdir(folder)

    def call(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["gatewright", "language", *arguments])
        with pytest.raises(SystemExit) as exit_:
            run()
        found = capsys.readouterr()
        return int(exit_.value.code or 0), found.out, found.err

    return call


def figures(call: Any, *flags: str) -> dict[str, Any]:
    code, _, err = call("evaluate", "m", "test.txt", *flags, "--json", "figures.json")
    assert code == 0, err
    return json.loads(Path("figures.json").read_text(encoding="utf-8"))


def test_a_plain_figure_and_the_papers(call: Any) -> None:
    plain, papers = figures(call), figures(call, "--from-start")
    assert papers["tokens"] == plain["tokens"] + 1 == 56  # 48 words and 8 ends of lines


def test_a_cache_as_given_and_as_chosen(call: Any) -> None:
    plain = figures(call)
    given = figures(call, "--cache", "30", "--cache-theta", "0.5", "--cache-weight", "0.2")
    assert given["perplexity"] < plain["perplexity"]
    assert (given["cache window"], given["cache theta"], given["cache weight"]) == (30, 0.5, 0.2)
    chosen = figures(call, "--cache", "30", "--choose-on", "valid.txt")
    expected = LanguageModel.load("m").choose_cache(Path("valid.txt"), window=30)
    assert chosen["cache theta"] == expected.theta and chosen["cache weight"] == expected.weight


def test_weights_that_follow_the_text(call: Any) -> None:
    plain = figures(call)
    flags = ("--dynamic-rate", "0.5", "--dynamic-decay", "0.0", "--dynamic-steps", "3")
    followed = figures(call, "--dynamic", "sgd", *flags)
    assert followed["perplexity"] < plain["perplexity"]
    assert (followed["dynamic steps"], followed["dynamic learning_rate"]) == (3, 0.5)
    found = figures(call, "--dynamic", "rms", "--choose-on", "valid.txt")  # the training text is found again
    assert found["perplexity"] != plain["perplexity"]
    again = figures(call, "--dynamic", "rms", "--choose-on", "valid.txt", "--training", "text.txt")
    assert again["dynamic learning_rate"] == found["dynamic learning_rate"]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--cache-theta", "1.0"], "--cache-theta and --cache-weight: belong to --cache, which is not given"),
        (["--dynamic-rate", "1.0"], "belong to --dynamic, which is not given; add it, or leave them out"),
        (["--choose-on", "valid.txt"], "--choose-on: chooses what --cache N or --dynamic KIND leave open"),
        (["--cache", "9", "--cache-theta", "1", "--choose-on", "valid.txt"], "give one of them alone"),
        (["--cache", "9", "--dynamic", "sgd"], "expected a cache or dynamic evaluation, got both"),
        (["--cache", "9", "--dynamic", "sgd", "--choose-on", "nowhere.txt"], "got both; leave one out"),
        (["--training", "text.txt"], "--training: is for --dynamic rms alone; add that, or leave it out"),
        (["--dynamic", "sgd", "--training", "text.txt"], "--training: is for --dynamic rms alone"),
        (["--json", "nowhere/figures.json", "--training", "text.txt"], "there is no folder 'nowhere'"),
        (["--dynamic", "adam"], "setting kind: expected rms, sgd, got 'adam'"),
        (["--cache", "9", "--choose-on", "nowhere.txt"], "nowhere.txt: no such file or folder"),
    ],
)
def test_mistakes(call: Any, flags: list[str], told: str) -> None:
    code, _, err = call("evaluate", "m", "test.txt", *flags)
    assert code in (1, 2)
    assert told in " ".join(err.split())


def test_a_figure_that_overflows_is_null(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LanguageModel, "evaluate", lambda *_, **__: {"loss": 800.0, "perplexity": float("inf")})
    assert figures(call) == {"loss": 800.0, "perplexity": None}


def test_a_report_is_written_again_of_the_files_of_the_training(call: Any, folder: Path) -> None:
    texts = folder / "texts"
    texts.mkdir()
    (texts / "a.txt").write_text(PROSE, encoding="utf-8")
    (texts / "b.md").write_text("other words\n" * 50, encoding="utf-8")
    code, _, err = call("train", "texts", "--files", "*.txt", "--out", "t", "--updates", "2", "--hidden-size", "8",
                        "--batch-size", "4", "--progress", "none")  # fmt: skip
    assert code == 0, err
    for flags in ([], ["texts"]):
        assert call("report", "t", *flags)[0] == 0
        assert "no baselines" not in (folder / "t" / "report.html").read_text(encoding="utf-8")
    code, _, err = call("report", "t", "texts", "--files", "*.md")
    assert code == 2 and "not the data that this model was trained on" in " ".join(err.split())
    code, _, err = call("report", "t", "--out", "nowhere/page.html")
    assert code == 1 and "there is no folder 'nowhere'" in err


def test_the_best_of_beams_with_their_log_probabilities(call: Any) -> None:
    code, out, _ = call("generate", "m", "--prompt", "gates remember", "--beams", "5", "--best", "3", "--length", "4")
    lines = [line.split("\t") for line in out.splitlines()]
    assert code == 0
    assert [text.split("\n")[0].startswith("gates remember") for _, text in lines] == [True] * 3
    numbers = [float(number) for number, _ in lines]
    assert numbers == sorted(numbers, reverse=True) and numbers[0] < 0
    code, one, _ = call("generate", "m", "--prompt", "gates remember", "--beams", "5", "--length", "4")
    assert one.rstrip("\n") == lines[0][1]
    code, _, err = call("generate", "m", "--best", "3")
    assert code == 2 and "--best: belongs to --beams, which is not given" in " ".join(err.split())


def test_a_page_about_a_text(call: Any, folder: Path) -> None:
    code, out, err = call("explain", "m", "test.txt", "--out", "page.html")
    assert code == 0, err
    assert out.strip() == "page.html"
    page = (folder / "page.html").read_text(encoding="utf-8")
    for heading in ("Surprise", "Gates", "Memory", "Cell"):
        assert f">{heading}</h2>" in page
    report = LanguageModel.load("m").explain(Path("test.txt"))
    assert report.missing == []
    code, _, err = call("explain", "m", "text.txt")
    assert code == 0, err


def test_a_text_that_is_too_short_to_explain(call: Any, folder: Path) -> None:
    (folder / "short.txt").write_text("gates", encoding="utf-8")
    code, _, err = call("explain", "m", "short.txt")
    assert code == 1
    assert "expected a text of 2 to 2048 tokens, got 1; give a longer one" in " ".join(err.split())
