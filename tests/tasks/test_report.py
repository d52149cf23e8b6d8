"""report.html: one page that needs nothing outside itself, always written, whatever goes wrong with a part of it."""

from __future__ import annotations

import errno
import json
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import gatewright as gw
from gatewright.inside.pictures.scene import Axis, HeatMap, Panel, Scale, Scene
from gatewright.nn import files
from gatewright.tasks import LanguageModel, SettingsError, TrainingError
from gatewright.tasks.report import inside as report_inside
from gatewright.tasks.report import run as report_run
from gatewright.tasks.report.parts import Figure, Findings, Probe, Report, Score, Section, Text
from gatewright.tasks.report.run import Run, run_report

Settings = dict[str, Any]
SECTIONS = [
    "Scores",
    "Training",
    "Samples",
    "Surprise",
    "Cell",
    "Gates",
    "Memory",
    "Saturation",
    "Gradient flow",
    "Weights and gradients",
    "Settings",
    "Data and machine",
]


class Page(HTMLParser):
    """The tags and the words of a page; fails where a tag is closed that is not open."""

    EMPTY = ("meta", "br", "img", "input", "hr")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.headings: list[str] = []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.words)


@pytest.fixture(scope="module")
def nasty() -> str:
    """A text that would be markup."""
    return "<script>alert('it')</script> &amp; $title \"quotes\" gates remember\n" * 60


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, nasty: str) -> Path:
    """A short run of two layers on that text, in a folder with a name like markup."""
    folder = tmp_path_factory.mktemp("run") / "<b>m"
    text = folder.parent / "<i>text.txt"
    text.write_text(nasty)
    settings = {"hidden_size": 12, "batch_size": 4, "steps": 8, "embedding_size": 6, "num_layers": 2}
    LanguageModel(**settings, updates=12, evaluate_every=4).fit(text, out=folder)
    return folder


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    return (run / "report.html").read_text(encoding="utf-8")


# -- the page of a run -----------------------------------------------------------------------------------------


def test_every_section_is_there(page: str) -> None:
    found = Page(page)
    assert found.headings == SECTIONS
    targets = {attrs["id"] for tag, attrs in found.tags if tag == "h2"}
    links = [attrs["href"] for tag, attrs in found.tags if tag == "a"]
    assert links == [f"#{target}" for target in [attrs["id"] for tag, attrs in found.tags if tag == "h2"]]
    assert len(targets) == len(SECTIONS)
    assert found.text.count("could not be") == 0


def test_it_needs_nothing_outside_itself(page: str) -> None:
    for tag, attrs in Page(page).tags:
        assert tag not in ("script", "link", "iframe", "img", "base", "object"), tag
        for name in ("src", "href", "xlink:href", "data", "action"):
            assert (attrs.get(name) or "#").startswith(("#", "data:image/png;base64,")), attrs
        assert not any(name.startswith("on") for name in attrs)
    assert "url(" not in page
    assert "@import" not in page
    assert set(re.findall(r"https?://[^\s\"<]+", page)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1998/Math/MathML",
    }


def test_it_escapes_what_the_user_wrote(page: str) -> None:
    assert "&lt;/script&gt; &amp;amp; $title &quot;quotes&quot;" in page
    assert "<script" not in page
    assert "<b>m" not in page
    assert "<i>text" not in page
    assert "$title" in Page(page).text


def test_it_is_small(page: str) -> None:
    assert 20_000 < len(page.encode()) < 400_000


def test_the_figures_are_those_of_the_metrics(run: Path, page: str) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    text = Page(page).text
    assert f"{metrics['best']['loss']:.4f}" in text
    assert f"{metrics['parameters']:,}" in text
    for row in metrics["history"]:
        assert row["gradient_norm_max"] >= row["gradient_norm"] > 0
        assert row["items"] == row["update"] * 4 * 8


def test_both_layers_are_looked_into(page: str) -> None:
    text = Page(page).text
    for gate in ("i, input gate", "f, forget gate", "o, output gate", "c, cell state", "h, hidden state"):
        assert text.count(gate) == 2
    assert "recurrent l0" in text
    assert "recurrent l1" in text


def test_light_and_dark(page: str) -> None:
    assert "prefers-color-scheme:dark" in page
    assert 'class="only-dark"' in page
    assert "--ink:#1c1f24" in page
    assert "--ink:#e8eaed" in page


def test_it_can_be_written_again(run: Path, page: str, tmp_path: Path) -> None:
    model = LanguageModel.load(run)
    again = model.report().save(tmp_path / "again.html").read_text(encoding="utf-8")
    assert Page(again).headings == SECTIONS
    assert cut(again) == cut(page)
    with pytest.raises(SettingsError, match="not the data that this model was trained on"):
        model.report("another text " * 50)


def cut(html: str) -> str:
    """Without the time at which it was made."""
    return re.sub(r"<footer>.*</footer>", "", html)


def test_without_its_text(small: Settings, prose: str, tmp_path: Path) -> None:
    LanguageModel(**small, updates=3).fit(prose, out=tmp_path / "m")
    model = LanguageModel.load(tmp_path / "m")
    report = model.report()
    assert [s.title for s in report.sections] == ["Scores", "Training", "Cell", "Settings", "Data and machine"]
    assert any("the text of this run is not known here" in a.text for a in report.alerts)
    assert Page(model.report(prose).html()).headings == [s for s in SECTIONS if s != "Weights and gradients"]


def test_it_says_why_the_data_are_missing(small: Settings, prose_file: Path, tmp_path: Path) -> None:
    def why() -> str:
        (found,) = [a.text for a in LanguageModel.load(tmp_path / "m").report().alerts if "not found again" in a.text]
        return found

    LanguageModel(**small, updates=3).fit(prose_file, out=tmp_path / "m")
    prose_file.write_text("other gates " * 300)
    assert f"{prose_file.name} has changed since the training" in why()
    prose_file.unlink()
    assert f"{prose_file}: " in why()
    shutil.rmtree(tmp_path / "m" / "checkpoints")
    assert "where they lie is in a run's checkpoints, and there are none here" in why()


@pytest.mark.parametrize(
    "change",
    [
        {"cell": "gru", "tokenizer": "words", "embedding_size": 12},
        {"cell": "h = tanh(W x + U h + b)", "tokenizer": "bytes"},
        pytest.param(
            {"cell": "mgu", "num_layers": 4, "tokenizer": "pieces", "vocabulary": 260, "tied": False},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"cell": "peephole_lstm", "precision": "64-true", "backend": "reference", "clip": 0.0},
            marks=pytest.mark.slow,
        ),
    ],
    ids=["gru", "equations", "pieces", "float64"],
)
def test_other_cells_and_tokenizers(small: Settings, prose: str, tmp_path: Path, change: Settings) -> None:
    model = LanguageModel(**{**small, **change}, updates=4, evaluate_every=2).fit(prose, out=tmp_path / "m")
    report = model.report()
    assert report.missing == []
    found = Page(report.html())
    gated = "σ" in str(model.cell)
    assert found.headings == [s for s in SECTIONS if gated or s != "Saturation"]
    assert "could not be" not in found.text


# -- a run that saves, stops, fails ----------------------------------------------------------------------------


def test_saving_writes_the_report_of_the_model_that_is_saved(small: Settings, prose: str, tmp_path: Path) -> None:
    model = LanguageModel(**small, updates=3).fit(prose)
    model.save(tmp_path / "m")
    assert f"{model.metrics['best']['loss']:.4f}" in (tmp_path / "m" / "report.html").read_text()
    other = LanguageModel.load(tmp_path / "m")
    other.save(tmp_path / "m")  # where it came from: the report is still its own
    assert (tmp_path / "m" / "report.html").exists()
    LanguageModel(**small, updates=1).fit(prose, out=tmp_path / "two")
    other.save(tmp_path / "two")  # the report there is of another model
    assert not (tmp_path / "two" / "report.html").exists()


def test_a_resumed_run_has_histograms_of_all_of_it(small: Settings, prose_file: Path, tmp_path: Path) -> None:
    LanguageModel(**small, updates=4, evaluate_every=2).fit(prose_file, out=tmp_path / "m")
    model = LanguageModel.resume(tmp_path / "m", updates=8)
    assert model.watch is not None
    assert model.watch.steps == [2, 4, 6, 8]
    assert [row["items"] for row in model.metrics["history"]] == [2 * 32, 4 * 32, 6 * 32, 8 * 32]
    assert "8 updates" in (tmp_path / "m" / "report.html").read_text()


def test_a_run_that_fails_leaves_a_report_of_what_it_had(
    small: Settings, prose: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gatewright.tasks.language.job import LanguageJob

    loss, calls = LanguageJob.loss, []

    def explodes(self: Any, *arguments: Any) -> Any:
        calls.append(1)
        found = loss(self, *arguments)
        return found if len(calls) < 7 else found._replace(loss=found.loss * torch.nan)

    monkeypatch.setattr(LanguageJob, "loss", explodes)
    with pytest.raises(TrainingError, match="update 7: the loss is nan"):
        LanguageModel(**small, updates=12, evaluate_every=3).fit(prose, out=tmp_path / "m")
    text = Page((tmp_path / "m" / "report.html").read_text()).text
    assert "the run failed: update 7: the loss is nan" in text


def test_a_full_disk_is_a_warning_and_the_old_report_stays(
    run: Path, page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: Any) -> int:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    model = LanguageModel.load(run)
    monkeypatch.setattr(files, "write_file", full)
    with pytest.warns(UserWarning, match=r"the model is saved, its report is not: .*report\.html: cannot be written"):
        model._reported(run)
    assert (run / "report.html").read_text(encoding="utf-8") == page
    assert not list(run.glob(".new-*"))


@pytest.mark.parametrize("library", ["matplotlib", "plotly"])
def test_no_library_of_pictures_is_needed(run: Path, page: str, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [m for m in sys.modules if m.split(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    report = LanguageModel.load(run).report()
    assert report.missing == []
    assert cut(report.html()) == cut(page)


@pytest.mark.parametrize(
    ("place", "name", "section"),
    [
        (report_inside, "horizons", "Memory"),
        (report_run, "history", "Weights and gradients"),
        (report_run, "mathml", "Cell"),
    ],
)
def test_what_cannot_be_made_is_said(
    run: Path, place: Any, name: str, section: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise RuntimeError("it is <late>")

    monkeypatch.setattr(place, name, fails)
    report = LanguageModel.load(run).report()
    assert report.missing == [f"{section}: could not be made (RuntimeError: it is <late>)"]
    found = Page(report.html())
    assert found.headings == SECTIONS
    assert found.text.count("it is <late>") == 2  # at the top, and in its place


def test_a_part_that_cannot_be_drawn_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = Figure(Scene([]), "nothing")
    html = Report("t", sections=[Section("One", [bad, Text("the next")])]).html()
    assert "this figure could not be drawn" in html
    assert "the next" in html


def test_examples_that_fail_leave_the_rest(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gatewright.tasks.language import findings as report_language

    def fails(*_: Any) -> Any:
        raise MemoryError("too many")

    monkeypatch.setattr(report_language, "baselines", fails)
    report = LanguageModel.load(run).report()
    assert any("baselines and examples could not be made (MemoryError: too many)" in a.text for a in report.alerts)
    assert [s.title for s in report.sections][:3] == ["Scores", "Training", "Cell"]


# -- any task --------------------------------------------------------------------------------------------------


def test_another_task_needs_no_more_than_findings() -> None:
    """A series is classified at its end: losses (B,), a waveform as the axis, an accuracy in the history."""
    layer, x = gw.GRU(1, 8), torch.randn(50, 4, 1)
    signal = x[:, 0, 0].numpy()
    probe = Probe(layer, lambda: layer(x)[0][-1].square().sum(-1), {"signal": signal, "rate": 10.0}, lags={"day": 24})
    confusion = HeatMap(np.eye(2) * 5, np.arange(3) - 0.5, Scale("size", 0, 5, "times"), ("cat", "dog"))
    axis = Axis("predicted", ticks=((0, "cat"), (1, "dog")))
    example = Section(
        "Confusion", [Figure(Scene([Panel([confusion], "confusion", axis, Axis("true"))]), "Which for which")]
    )
    scores = [Score("gru", {"error": 0.2}, ours=True), Score("majority", {"error": 0.5})]
    rows = [{"update": k, "train_loss": 1 / k, "loss": 1 / k, "accuracy": 1 - 1 / k, "seconds": k} for k in (1, 2)]
    metrics = {"history": rows, "best": rows[-1], "updates": 2, "seconds": 2.0, "state": "finished", "training": {}}
    run = Run(gw.cells["gru"], metrics, {})
    report = run_report(
        run, Findings("classify", "series", [("error", "20 %")], scores, examples=[example], probe=probe)
    )
    assert report.missing == []
    text = Page(report.html()).text
    for expected in ("accuracy", "predicted", "z, update gate", "signal", "day", "majority"):
        assert expected in text
    assert "time in seconds" in text


def run_of(rows: list[dict[str, float]], state: str = "finished", **training: Any) -> list[str]:
    best = min(rows, key=lambda row: row["loss"])
    metrics = {"history": rows, "best": best, "updates": 9, "seconds": 1.0, "state": state, "training": training}
    report = run_report(Run(gw.cells["rnn"], metrics, {}), Findings("t"))
    assert report.missing == []
    return [alert.text for alert in report.alerts]


def test_warnings_from_the_curves() -> None:
    def rows(valid: list[float], train: list[float], norms: list[float]) -> list[dict[str, float]]:
        told = zip(valid, train, norms, strict=True)
        return [
            {"update": k, "loss": v, "train_loss": t, "gradient_norm": 1.0, "gradient_norm_max": n, "seconds": k}
            for k, (v, t, n) in enumerate(told, 1)
        ]

    calm = [1.0] * 4
    assert run_of(rows([3, 2, 1.999, 1.998], calm, calm)) == [
        "no unit is dead, no gate is stuck, no gradient explodes."
    ]
    assert "overfitting" in run_of(rows([3, 2, 2.2, 2.4], [3, 2, 1, 0.5], calm))[0]
    assert "still falling" in run_of(rows([4, 3, 2, 1], [4, 3, 2, 1], calm))[0]
    assert "exploding gradients: a norm of 500 was seen" in run_of(rows([3, 2, 2, 2], calm, [1, 1, 500, 1]))[0]
    assert "most updates were clipped" in run_of(rows([3, 2, 2, 2], calm, calm), clip=0.25)[0]
    assert "stopped by SIGINT after update 9" in run_of(rows([3, 2, 2, 2], calm, calm), state="SIGINT")[0]


def test_a_model_that_is_no_better_than_a_baseline_is_told() -> None:
    scores = [Score("ours", {"loss": 2.0}, ours=True), Score("bigram", {"loss": 1.5}), Score("uniform", {"loss": 4.0})]
    report = run_report(Run(gw.cells["rnn"], {}, {}), Findings("t", scores=scores))
    assert "no better than the baseline “bigram”: loss 2 against 1.5" in report.alerts[0].text


def test_dead_units_come_to_the_top() -> None:
    layer, x = gw.LSTM(2, 8), torch.randn(40, 2, 2)
    with gw.clamp(layer, o=0.0, units=[1, 2]):
        found = Findings("t", probe=Probe(layer, lambda: layer(x)[0].square().mean(-1)))
        report = run_report(Run(gw.cells["lstm"], {}, {}), found)
    assert report.missing == []
    assert "2 of 8 units of h are dead" in report.alerts[0].text
    assert "stuck closed" in report.alerts[1].text
