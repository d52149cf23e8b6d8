"""What the report of a forecaster shows: scores beside baselines, forecasts against the truth, error by step,
intervals and their measured coverage, the series that are hard."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gatewright.tasks.errors import DataError
from gatewright.tasks.forecast.backtest import Backtest
from gatewright.tasks.forecast.metrics import mae
from gatewright.tasks.forecast.plots import draw_coverage, draw_forecasts, draw_steps
from gatewright.tasks.report.axis import words
from gatewright.tasks.report.parts import Alert, Figure, Findings, Part, Probe, Score, Section, Table, Text

__all__ = ["forecast_alerts", "forecast_findings", "forecast_scores", "forecast_sections"]

NOTES = {
    "naive": "the last value",
    "drift": "the line from the first value to the last",
    "seasonal naive": "the value one season before",
    "Naive2": "the last value, seasonally adjusted",
    "theta": "by statsmodels, fitted to each window",
    "ETS": "by statsmodels, the best of eight by AICc, fitted to each window",
}
BESIDE = 2  # baselines that are drawn beside a forecast
ROWS = 12  # series, and origins, that get a row
OFF = 0.1  # how far a measured coverage may be from the nominal one before the report says so


def forecast_findings(
    title: str,
    tested: Backtest,
    ours: str,
    *,
    data: Mapping[str, Any] | None = None,
    probe: Probe | None = None,
    alerts: Sequence[Alert] = (),
) -> Findings:
    """What the report shows of a backtest.

    Args:
        title: of the page. tested: the model and its baselines. ours: the model's name in it.
        data: names and values of what the model was trained on. probe: what the report looks inside of.
        alerts: what the task itself has to say, before those that are found here.

    Raises:
        DataError: the backtest has no such model.
    """
    tested.done(ours)
    found = [*alerts, *forecast_alerts(tested, ours)]
    sections = forecast_sections(tested, ours)
    scores = forecast_scores(tested, ours)
    return Findings(title, "windows", _headline(tested, ours), scores, data or {}, sections, probe, found)


def forecast_scores(tested: Backtest, ours: str) -> list[Score]:
    """The model's figures, then those of the baselines.

    A baseline that left windows out, being slow, says how many it did and what the model's error is on the same ones.
    """
    tested.done(ours)
    scores, whole = tested.scores(), len(tested.windows)
    measure = _measure(scores[ours])
    found = [Score(ours, _shown(scores[ours]), f"this model, {_counted(whole, 'forecast')}", ours=True)]
    for name, figures in scores.items():
        if name == ours or not figures:
            continue
        done = len(tested.done(name))
        note = NOTES.get(name, "")
        if done < whole:
            same = tested.scores(like=name)[ours].get(measure, math.nan)
            note = f"{note}; on {done:,} of {whole:,} windows, where this model has {measure} {words(same)}".lstrip(
                "; "
            )
        found.append(Score(name, _shown(figures), note))
    return found


def forecast_alerts(tested: Backtest, ours: str) -> list[Alert]:
    """What to look at: a baseline that is better, intervals that do not cover what they should, windows left out."""
    found = []
    scores = tested.scores()
    measure = _measure(scores[ours])
    mine = {name: tested.scores(like=name)[ours].get(measure, math.nan) for name in scores if name != ours}
    better = [name for name, value in mine.items() if scores[name].get(measure, math.inf) < value]
    if better:
        told = f"{' and '.join(better)} forecast better than this model by {measure}, on the windows that both did."
        found.append(Alert(f"{told} Train longer, give a longer context, or take the baseline."))
    for nominal, figures in list(tested.coverage().get(ours, {}).items())[:1]:
        chance = 2 * math.sqrt(nominal * (1 - nominal) / len(tested.windows))  # steps of one window err together
        if abs(figures["measured"] - nominal) > max(OFF, chance):
            kind = "narrow" if figures["measured"] < nominal else "wide"
            found.append(
                Alert(
                    f"Intervals of {nominal:.0%} hold {figures['measured']:.0%} of the truth: they are too {kind} here."
                )
            )
    if tested.left_out:
        found.append(Alert(f"Left out to save time: {'; '.join(tested.left_out)}.", "note"))
    return found


def forecast_sections(tested: Backtest, ours: str) -> list[Section]:
    """Forecasts against the truth, error by step and by origin, intervals, series."""
    tested.done(ours)
    sections = [
        Section("Forecasts against the truth", _forecasts(tested, ours)),
        Section("Error by step of the horizon", _steps(tested, ours)),
    ]
    if len(tested.windows) > 1 and (intervals := _intervals(tested)):
        sections.append(Section("Prediction intervals", intervals))
    if series := _series(tested, ours):
        sections.append(Section("Series, hard and easy", series))
    return sections


# -- within ----------------------------------------------------------------------------------------------------


def _measure(figures: Mapping[str, float]) -> str:
    """MASE, or MAE where no history is long enough to scale by."""
    return "MAE" if math.isnan(figures.get("MASE", math.nan)) else "MASE"


def _shown(figures: Mapping[str, float]) -> dict[str, float]:
    """The measure that counts in front; squared errors say nothing that their root does not, and less coverage is not
    better: it has a table of its own.
    """
    first = _measure(figures)
    rest = {n: v for n, v in figures.items() if n not in (first, "MSE") and "coverage" not in n and not math.isnan(v)}
    return {first: figures[first], **rest} if first in figures else rest


def _headline(tested: Backtest, ours: str) -> list[tuple[str, str]]:
    figures = tested.scores()[ours]
    names = [_measure(figures), "sMAPE", "CRPS"]
    found = [(name, words(round(figures[name], 4))) for name in names if name in figures]
    best = _best_baseline(tested, ours)
    if best is not None:
        name, ratio = best
        found.append((f"{names[0]} as a share of {name}'s", f"{ratio:.0%}"))
    for nominal, shares in list(tested.coverage().get(ours, {}).items())[:1]:
        found.append((f"measured coverage of {nominal:.0%} intervals", f"{shares['measured']:.1%}"))
    return found


def _best_baseline(tested: Backtest, ours: str) -> tuple[str, float] | None:
    """The baseline next to the model among those that did every window, and the model's error as a share of its."""
    scores, whole = tested.scores(), len(tested.windows)
    measure = _measure(scores[ours])
    rivals = {n: f[measure] for n, f in scores.items() if n != ours and len(tested.done(n)) == whole and measure in f}
    rivals = {name: value for name, value in rivals.items() if value > 0}
    if not rivals:
        return None
    name = min(rivals, key=lambda n: rivals[n])
    return name, scores[ours][measure] / rivals[name]


def _forecasts(tested: Backtest, ours: str) -> list[Part]:
    chosen = _telling(tested, ours)
    scores = tested.scores()
    measure = _measure(scores[ours])
    rivals = sorted((n for n in scores if n != ours and measure in scores[n]), key=lambda n: scores[n][measure])
    drawn = {name: tested.forecasts[name] for name in [ours, *rivals[:BESIDE]]}
    picture = draw_forecasts(tested.windows, drawn, chosen=chosen)
    which = {
        1: "",
        2: ": the windows at which the model's error is smallest and largest",
        3: ": the windows at which the model's error is smallest, in the middle and largest",
    }
    caption = f"The forecast, its intervals and the best baselines against the truth{which[len(chosen)]}."
    return [Figure(picture.scene, caption)]


def _telling(tested: Backtest, ours: str) -> list[int]:
    """Windows with the smallest, a middle and the largest error, three at most."""
    done = tested.done(ours)
    sizes = mae(tested.truth[done], tested.forecasts[ours].mean[done], over="window")
    known = np.flatnonzero(~np.isnan(sizes))
    if not len(known):
        raise DataError(f"model {ours!r} has forecast no window of which the truth is known")
    scale = tested.scale[done]
    usable = scale > 0
    errors = sizes / np.where(usable, scale, np.max(sizes[known]) or 1.0)
    order = [int(n) for n in done[known[np.argsort(errors[known], kind="stable")]]]
    return list(dict.fromkeys([order[0], order[len(order) // 2], order[-1]]))


def _steps(tested: Backtest, ours: str) -> list[Part]:
    measure = _measure(tested.scores()[ours])
    caption = f"{measure} at each step of the horizon, over all windows."
    parts: list[Part] = [Figure(draw_steps(tested, measure=measure).scene, caption)]
    origins = tested.by_origin()
    if 1 < len(origins) <= ROWS:
        head = ["origin, steps known", *tested.forecasts]
        rows = [[k, *(f[n].get(measure) for n in tested.forecasts)] for k, f in sorted(origins.items())]
        parts.append(Table(head, [[_word(v) for v in row] for row in rows], f"{measure} by origin"))
    return parts


def _intervals(tested: Backtest) -> list[Part]:
    picture = draw_coverage(tested)
    if picture is None:
        return []
    coverage = tested.coverage()
    shares = sorted({nominal for found in coverage.values() for nominal in found}, reverse=True)
    parts: list[Part] = []
    for about, figure, spelled in (
        ("The share of the truth that intervals hold", "measured", "{:.1%}".format),
        ("Their mean width", "width", words),
    ):
        rows = [
            [name, *(spelled(found[nominal][figure]) if nominal in found else "–" for nominal in shares)]
            for name, found in coverage.items()
        ]
        if rows:
            parts.append(Table(["intervals of", *(f"{nominal:.0%}" for nominal in shares)], rows, about))
    said = "Where the curve is flatter than the diagonal the intervals are too narrow, where it is steeper too wide."
    return [*parts, Figure(picture.scene, said)]


def _series(tested: Backtest, ours: str) -> list[Part]:
    found = tested.by_series()
    if len(found) < 2:
        return []
    measure = _measure(tested.scores()[ours])
    errors = {name: figures[ours].get(measure, math.nan) for name, figures in found.items()}
    order = sorted((n for n in errors if not math.isnan(errors[n])), key=lambda n: -errors[n])
    half = ROWS // 2
    kept = order if len(order) <= ROWS else [*order[:half], *order[-half:]]
    head = ["series", *tested.forecasts]
    rows = [[name, *(_word(found[name][model].get(measure)) for model in tested.forecasts)] for name in kept]
    few = len(order) > ROWS
    about = f"The {half} hardest and the {half} easiest of {len(order):,} series." if few else "Hardest first."
    return [Text(about, quiet=True), Table(head, rows, measure)]


def _word(value: float | int | None) -> str:
    return "–" if value is None or math.isnan(value) else words(value)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
