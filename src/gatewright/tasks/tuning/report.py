"""What a report shows of a tuning: the trials as a table, and as lines from setting to setting."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from gatewright.inside.pictures.scene import Axis, Line, Panel, Scene
from gatewright.tasks.report.axis import words
from gatewright.tasks.report.parts import Figure, Folded, Part, Section, Table, Text
from gatewright.tasks.tuning.tune import read_range

__all__ = ["TUNING", "tuning_sections"]

TUNING = "tuning.json"
SHOWN, COLOURED = 20, 3  # rows that are not folded away, and lines that stand out


def tuning_sections(folder: Path | None, data: str | None, settings: dict[str, Any]) -> list[Section]:
    """The section about the tuning that a folder's model comes from, if it does: of these data, with these settings."""
    if folder is None or not (folder / TUNING).is_file():
        return []
    try:
        found = json.loads((folder / TUNING).read_bytes())
        best = found["best"]
        ours = best["data"] == data and all(settings[name] == value for name, value in best["settings"].items())
    except (KeyError, TypeError, ValueError):  # another tool's file, or a study without a result
        return []
    return [Section("Tuning", _parts(found))] if ours else []


def _parts(tuning: dict[str, Any]) -> list[Part]:
    trials = sorted(tuning["trials"], key=_rank)
    names = list(tuning["search"])
    counts = {state: sum(t["state"] == state for t in trials) for state in ("complete", "pruned", "failed")}
    told = f"{len(trials)} trials: {counts['complete']} to the end, {counts['pruned']} ended early because they were "
    told += f"worse than the median of the others, {counts['failed']} failed. The model has the best settings."
    head = ["trial", "validation loss", *names, "evaluations", "what became of it"]
    rows = [
        [t["number"], _loss(t), *(_cell(t["settings"].get(n)) for n in names), t["evaluations"], _fate(t)]
        for t in trials
    ]
    parts: list[Part] = [Text(told, quiet=True), Table(head, rows[:SHOWN], strong=frozenset({0}))]
    if len(rows) > SHOWN:
        parts.append(Folded(f"The other {len(rows) - SHOWN} trials", [Table(head, rows[SHOWN:])]))
    drawn = [t for t in trials if _loss(t) is not None]
    return [*parts, Figure(_picture(drawn, tuning["search"]), CAPTION)] if len(drawn) > 1 else parts


CAPTION = (
    "Each line is a trial: where it stands among the values of each setting, and on the right by its loss, the best "
    f"trial at the bottom. The {COLOURED} best are coloured."
)


def _rank(trial: dict[str, Any]) -> tuple[int, float, int]:
    order = {"complete": 0, "pruned": 1, "failed": 2}[trial["state"]]
    loss = _loss(trial)
    return order, math.inf if loss is None else loss, trial["number"]


def _loss(trial: dict[str, Any]) -> float | None:
    return trial["loss"] if trial["loss"] is not None else trial["last_loss"]


def _fate(trial: dict[str, Any]) -> str:
    again = f"as trial {trial['like']}" if trial["like"] else ""
    return {"complete": again or "came to its end", "pruned": "ended early", "failed": trial["why"]}[trial["state"]]


def _cell(value: Any) -> Any:
    """Numbers stay numbers, so that they stand in columns."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else _word(value)


def _word(value: Any) -> str:
    return words(value) if isinstance(value, float) else "–" if value is None else str(value)


def _picture(trials: list[dict[str, Any]], search: dict[str, Any]) -> Scene:
    """Parallel coordinates. trials: the best one first. A line has a gap where a setting is none of those searched."""
    names = [*search, "loss"]
    losses = [_loss(t) or 0.0 for t in trials]
    low, high = min(losses), max(losses)
    lines = []
    for k, trial in reversed(list(enumerate(trials))):  # the best ones are drawn last, on top
        places = [_place(trial["settings"][name], among) for name, among in search.items()]
        places.append((losses[k] - low) / (high - low) if high > low else 0.0)
        x, y = np.arange(len(names), dtype=np.float64), np.array(places)
        best = k < COLOURED
        lines.append(Line(x, y, f"trial {trial['number']}" if best else "", k if best else "quiet"))
    ends = [(str(_end(among, 0)), str(_end(among, -1))) for among in search.values()] + [(words(low), words(high))]
    ticks = tuple((float(k), f"{n}: {a} to {b}") for k, (n, (a, b)) in enumerate(zip(names, ends, strict=True)))
    x_axis = Axis("", ticks=ticks, low=-0.15, high=len(names) - 0.85)
    y_axis = Axis("", ticks=((0.0, "low"), (1.0, "high")), low=-0.05, high=1.05)
    return Scene([Panel(lines, "trials", x_axis, y_axis, 2.6)], width=9.6)


def _end(among: dict[str, Any], which: int) -> str:
    return _word(among["one_of"][which] if "one_of" in among else among[("low", "high")[which]])


def _place(value: Any, among: dict[str, Any]) -> float:
    """From 0 to 1 along the values of a setting; NaN for one that is none of them, as the first trial's may be.

    >>> _place(0.01, {"low": 0.0001, "high": 1.0, "log": True}), _place(64, {"one_of": [32, 64, 128]})
    (0.5, 0.5)
    """
    if value not in read_range(among):
        return math.nan
    if "one_of" in among:
        return among["one_of"].index(value) / max(1, len(among["one_of"]) - 1)
    scale = math.log if among["log"] else float
    low, high = scale(among["low"]), scale(among["high"])
    return (scale(value) - low) / (high - low)
