"""The report of any training run: what every task has in common."""

from __future__ import annotations

import dataclasses
import datetime
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

import gatewright as gw
from gatewright.graph.notation.mathml import mathml
from gatewright.inside.pictures.history import history
from gatewright.inside.pictures.scene import Axis, Line, Mark, Panel, Scene
from gatewright.inside.pictures.watch import Watch
from gatewright.tasks.progress import clock
from gatewright.tasks.report.axis import words
from gatewright.tasks.report.inside import inside
from gatewright.tasks.report.page import scrolling
from gatewright.tasks.report.parts import Alert, Code, Figure, Findings, Folded, Markup, Part, Report, Table, Text
from gatewright.tasks.settings import Settings

__all__ = ["Run", "example_report", "run_report"]


@dataclass(frozen=True)
class Run:
    """A training run. metrics: as `metrics.json` has them. settings: by what they are settings of. failed: what ended
    the run, where it did not end by itself. again: the command that writes the report again.
    """

    cell: gw.Cell
    metrics: Mapping[str, Any]
    settings: Mapping[str, Settings]
    watch: Watch | None = None
    failed: str = ""
    again: str = ""
    history: Sequence[Mapping[str, float]] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "history", self.metrics.get("history", []))


def run_report(run: Run, findings: Findings) -> Report:
    """The whole report. What cannot be made is said in it, and in `.missing`."""
    made = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    report = Report(findings.title, _subtitle(run), findings.headline)
    with report.making("Warnings"):
        report.alerts += [*_alerts(run, findings), *findings.alerts]
    report.add("Scores", lambda: _scores(findings))
    report.add("Training", lambda: _curves(run, findings))
    for section in findings.examples:
        report.add(section.title, lambda section=section: section.parts)
    report.add("Cell", lambda: _cell(run.cell))
    if findings.probe is not None:
        inside(report, findings.probe, run.cell)
    report.add("Weights and gradients", lambda: _histograms(run.watch))
    report.add("Settings", lambda: _settings(run))
    report.add("Data and machine", lambda: _origin(run, findings))
    if not report.alerts and not report.missing:
        report.alerts.append(Alert("no unit is dead, no gate is stuck, no gradient explodes.", "fine"))
    report.alerts += [Alert(line) for line in report.missing]
    again = f" Write it again: {run.again}." if run.again else ""
    report.footer = f"Made by Gatewright {gw.__version__} on {made}.{again}"
    return report


def example_report(cell: gw.Cell, findings: Findings, subtitle: str) -> Report:
    """The report of one example: what the task shows of it, its scores, the cell, and what happened inside."""
    report = Report(findings.title, subtitle, findings.headline, alerts=list(findings.alerts))
    for section in findings.examples:
        report.add(section.title, lambda section=section: section.parts)
    report.add("Scores", lambda: _scores(findings))
    if findings.probe is not None:
        inside(report, findings.probe, cell)
    report.add("Cell", lambda: _cell(cell))
    report.alerts += [Alert(line) for line in report.missing]
    report.footer = f"Made by Gatewright {gw.__version__}."
    return report


def _subtitle(run: Run) -> str:
    m = run.metrics
    if not m:
        return f"{run.cell.name}; this model came without the figures of its training"
    parts = [f"{run.cell.name}", f"{m['parameters']:,} parameters" if "parameters" in m else ""]
    parts += [f"{m['updates']:,} updates in {clock(m['seconds'])}", f"run by {m['backend']}" if "backend" in m else ""]
    return ", ".join(part for part in parts if part)


# -- what to look at -------------------------------------------------------------------------------------------


def _alerts(run: Run, findings: Findings) -> list[Alert]:
    m, found = run.metrics, []
    if run.failed:
        found.append(Alert(f"the run failed: {run.failed}. What is shown is its best model so far."))
    elif str(m.get("state", "")).startswith("SIG"):
        found.append(
            Alert(f"the run was stopped by {m['state']} after update {m['updates']:,}; --resume goes on.", "note")
        )
    ours = next((s for s in findings.scores if s.ours), None)
    others = [s for s in findings.scores if not s.ours]
    if ours is not None and others:
        measure = next(iter(ours.figures))
        best = min(others, key=lambda s: s.figures[measure])
        if ours.figures[measure] >= best.figures[measure]:
            told = f"{words(ours.figures[measure])} against {words(best.figures[measure])}"
            found.append(Alert(f"the model is no better than the baseline “{best.name}”: {measure} {told}."))
    return found + _about_curves(run)


def _about_curves(run: Run) -> list[Alert]:
    rows, found = run.history, []
    if len(rows) >= 3:
        best, last = min(rows, key=lambda r: r["loss"]), rows[-1]
        rise = last["loss"] / best["loss"] - 1 if best["loss"] > 0 else 0
        if rise > 0.02 and last["train_loss"] < best["train_loss"]:
            told = f"from {words(best['loss'])} at update {best['update']:,} to {words(last['loss'])}"
            found.append(
                Alert(
                    f"overfitting: the validation loss rose {told} while the training loss fell. The best is kept.",
                    "note",
                )
            )
        middle = rows[-1 - max(1, len(rows) // 10)]
        if best is last and run.metrics.get("state") == "finished" and middle["loss"] > 1.01 * last["loss"]:
            found.append(
                Alert("the validation loss was still falling when the run ended; a longer one would be better.", "note")
            )
    norms = [(r["gradient_norm"], r["gradient_norm_max"]) for r in rows if "gradient_norm" in r]
    if norms:
        usual, largest = float(np.median([mean for mean, _ in norms])), max(most for _, most in norms)
        if largest > 100 * usual > 0:
            found.append(
                Alert(f"exploding gradients: a norm of {words(largest)} was seen, the usual one is {words(usual)}.")
            )
        clip = (run.metrics.get("training") or {}).get("clip")
        clipped = sum(mean > clip for mean, _ in norms) / len(norms) if clip else 0
        if clip and clipped > 0.5:
            told = f"the gradient's norm is {words(usual)}, clip {words(clip)}"
            found.append(
                Alert(
                    f"most updates were clipped ({told}): the step is set by the clipping, not by the learning rate.",
                    "note",
                )
            )
    return found


# -- sections --------------------------------------------------------------------------------------------------


def _scores(findings: Findings) -> list[Part]:
    scores = sorted(findings.scores, key=lambda s: -next(iter(s.figures.values())))
    if not scores:
        return []
    measures = list(dict.fromkeys(name for s in scores for name in s.figures))
    rows = [[s.name, *(s.figures.get(name) for name in measures), s.note] for s in scores]
    strong = frozenset(k for k, s in enumerate(scores) if s.ours)
    noted = any(s.note for s in scores)
    rows = rows if noted else [row[:-1] for row in rows]
    head = ["", *measures, *["what it is"] * noted]
    return [
        Table(head, rows, strong=strong, bars=1),
        Text("Of the first figure, less is better; all on the same validation data.", quiet=True),
    ]


KNOWN = {
    "update",
    "epoch",
    "train_loss",
    "loss",
    "learning_rate",
    "seconds",
    "gradient_norm",
    "gradient_norm_max",
    "items",
}


def _curves(run: Run, findings: Findings) -> list[Part]:
    rows = run.history
    if not rows:
        return []
    at = np.array([row["update"] for row in rows], np.float64)
    x = Axis("update", low=0.0, high=float(at[-1]) * 1.02)
    best = run.metrics.get("best") or {}
    losses = [_line(at, rows, "train_loss", "training", 1), _line(at, rows, "loss", "validation", 0)]
    top = max(float(np.nanmax(line.y)) for line in losses)
    losses += [_level(x, s.name, s.figures["loss"]) for s in findings.scores if not s.ours and _near(s.figures, top)]
    items: list[Any] = [*losses, *([Mark(best["update"], "best")] if best else [])]
    panels = [Panel(items, "loss", x, Axis("loss"), 2.6, 0, 0)]
    others = [
        ("learning rate", "rate", [("learning_rate", "", 2)], False),
        (
            "norm of the gradient, before clipping",
            "norm",
            [("gradient_norm_max", "largest", 4), ("gradient_norm", "mean", 3)],
            True,
        ),
        *(
            (name.replace("_", " "), name.replace("_", " "), [(name, "", 5)], False)
            for name in rows[-1]
            if name not in KNOWN
        ),
    ]
    for title, label, lines, log in others:
        drawn = [_line(at, rows, key, name, colour) for key, name, colour in lines if key in rows[-1]]
        if drawn and any(np.isfinite(line.y).any() for line in drawn):
            panels.append(Panel(drawn, title, x, Axis(label, log=log), 1.25, len(panels), 0))
    if speed := _speed(rows):
        unit = findings.unit
        panels.append(Panel([speed], "speed, evaluations included", x, Axis(f"{unit} a second"), 1.25, len(panels), 0))
    caption = (
        "Training as it went: a point an evaluation; dropout is on in the training loss, off in the validation loss."
    )
    return [Figure(Scene(panels, width=9.6), caption), Folded("All evaluations as numbers", [_rows(rows)])]


def _near(figures: Mapping[str, float], top: float) -> bool:
    return figures.get("loss", math.inf) < 1.15 * top


def _level(x: Axis, name: str, value: float) -> Line:
    return Line(
        np.array([x.low, x.high]), np.array([value, value]), name, "quiet", "dash" if name == "unigram" else "dot"
    )


def _line(at: np.ndarray, rows: Sequence[Mapping[str, float]], key: str, name: str, colour: int) -> Line:
    y = np.array([row.get(key, math.nan) for row in rows], np.float64)
    return Line(at, y, name, colour)


def _speed(rows: Sequence[Mapping[str, float]]) -> Line | None:
    if "items" not in rows[0] or "items" not in rows[-1]:
        return None
    at = np.array([row["update"] for row in rows], np.float64)
    seconds = np.diff([0.0, *(row["seconds"] for row in rows)])
    items = np.diff([0.0, *(row.get("items", math.nan) for row in rows)])
    rate = np.divide(items, seconds, out=np.full(len(at), math.nan), where=seconds > 0)
    return Line(at, rate, "", 6)


def _rows(rows: Sequence[Mapping[str, float]]) -> Table:
    names = list(dict.fromkeys(name for row in rows for name in row))
    stride = max(1, math.ceil(len(rows) / 200))
    chosen = [row for k, row in enumerate(rows) if k % stride == 0 or row is rows[-1]]
    return Table([name.replace("_", " ") for name in names], [[row.get(name) for name in names] for row in chosen])


def _cell(cell: gw.Cell) -> list[Part]:
    latex = cell.latex()
    doc = str(getattr(cell, "doc", "") or "").strip()
    picture = cell.diagram(theme="auto", legend=True).svg
    parts: list[Part] = [Text(doc, quiet=True)] if doc else []
    return [
        *parts,
        Markup(scrolling(f'<div class="equations">{mathml(cell.graph)}</div>')),
        Markup(f"<figure>{scrolling(picture)}<figcaption>One step of the cell.</figcaption></figure>"),
        Folded("The equations as text and as LaTeX", [Code(str(cell)), Code(latex)]),
    ]


def _histograms(watch: Watch | None) -> list[Part]:
    if watch is None or len(watch.steps) < 2:
        return []
    caption = (
        "How large weights (left) and their gradients (right) were at each evaluation: the share of them in each "
        "octave. Gradients that wander down vanish, gradients that wander up explode."
    )
    scene = history(watch).scene
    maps = [panel for panel in scene.panels if panel.heat is not None]  # the curves stand above
    first = min(panel.row for panel in maps)
    panels = [dataclasses.replace(panel, row=panel.row - first) for panel in maps]
    return [Figure(dataclasses.replace(scene, panels=panels), caption)]


def _settings(run: Run) -> list[Part]:
    parts: list[Part] = []
    for title, settings in run.settings.items():
        rows, strong = [], set()
        for f in dataclasses.fields(settings):
            value = getattr(settings, f.name)
            if value != f.default:
                strong.add(len(rows))
            rows.append([f.name, "–" if value is None else str(value), f.metadata.get("help", "").replace("`", "")])
        parts.append(Table(["setting", "value", "meaning"], rows, title, frozenset(strong), code=frozenset({0, 1})))
    return [*parts, Text("What differs from its default stands out.", quiet=True)] if parts else []


def _origin(run: Run, findings: Findings) -> list[Part]:
    rows = [[name, value if isinstance(value, int | float) else str(value)] for name, value in findings.data.items()]
    rows += [["Gatewright", gw.__version__], ["torch", str(torch.__version__)], ["Python", platform.python_version()]]
    rows += [["system", f"{platform.system()} {platform.machine()}"], ["threads", str(torch.get_num_threads())]]
    if "backend" in run.metrics:
        rows.append(["backend of the cell", str(run.metrics["backend"])])
    return [Table(["", ""], [[str(name), words(v) if isinstance(v, int | float) else v] for name, v in rows])]
