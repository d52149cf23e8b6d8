"""M4 hourly: 414 series, 48 hours ahead, by one recurrent network for all; the median of several seeds and contexts.

    python benchmarks/results/m4_hourly.py [--minutes 30] [--json FILE]
    python benchmarks/results/m4_hourly.py --validate [--members 1] [--set NAME=VALUE ...]

Figures are those of the competition: sMAPE and MASE, averaged over the series, and their mean as shares of those of
Naive2 (OWA), which are worked out here first: published are 18.383 and 2.395. With `--validate` the last 48 hours of
the training data are forecast in place of the test data, by models that have not seen them: settings were chosen so (of
one member with 400 updates: OWA .518 by the values, .491 by their logarithms; 256 units better than 128; one phase
better than all; a vector for each series no better; with 1500 updates .448 of two weeks of context, .433 of one, .430
of both).

Every member is trained on all but the last 48 hours of each series, by which its best weights are chosen, and then
forecasts from the end of the whole series. Members are trained until the time is up; all of them count.

Targets: OWA at most .50, sMAPE at most 11. Published: ES-RNN 9.328 / .893 / .440 (sMAPE / MASE / OWA), FFORMA 11.506 /
.819 / .484, seasonal naive 13.912 / 1.193 / .628 (S. Makridakis, E. Spiliotis and V. Assimakopoulos, The M4
Competition: 100,000 time series and 61 forecasting methods, 2020).
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import gatewright as gw
from gatewright.tasks.forecast.backtest import Window
from gatewright.tasks.forecast.baselines import Naive2, SeasonalNaive
from gatewright.tasks.forecast.metrics import mase, naive_scale, owa, smape

DATA = Path(__file__).parents[2] / ".." / "shared" / "data" / "m4_hourly"
HORIZON, SEASON = 48, 24
CONTEXTS = (336, 168)
SETTINGS: dict[str, Any] = {
    "series": "id",
    "time": "step",
    "target": "y",
    "season": SEASON,
    "segment": 24,
    "stride": 24,  # every series is forecast from the phase in which it ends
    "head": "mae",
    "scaling": "none",
    "window": "standard",
    "log": True,  # sMAPE counts an error by the value that it is of
    "identity": 0,
    "hidden_size": 256,
    "dropout": 0.2,
    "batch_size": 256,
    "updates": 1500,
    "learning_rate": 1e-3,
    "weight_decay": 1e-4,
    "evaluate_every": 250,
}


def main() -> None:
    """Naive2, then members of the ensemble until the time is up, then the figures of their median."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0, help="all in; no member is begun that would not end")
    parser.add_argument("--members", type=int, help="at most so many")
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    parser.add_argument("--cell", default="gru")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="another setting")
    parser.add_argument("--validate", action="store_true", help="on the last 48 hours of the training data")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--json", type=Path, help="add a line of figures to this file")
    options = parser.parse_args()
    if not options.data.exists():
        raise SystemExit(f"{options.data}: no such folder; give the one with Hourly-train.csv.gz with --data")
    began = time.perf_counter()
    series, truth = read(options.data, validate=options.validate)
    scores = Scores(series, truth)
    settings = {**SETTINGS, **{name: json.loads(value) for name, value in (text.split("=", 1) for text in options.set)}}
    print(f"settings     {settings}, contexts {CONTEXTS}, cell {options.cell}")
    print(
        f"machine      {platform.processor() or platform.machine()}, {torch.get_num_threads()} threads of "
        f"{os.cpu_count()} cores, torch {torch.__version__}"
    )
    for name, model in {"Naive2": Naive2(SEASON), "seasonal naive": SeasonalNaive(SEASON)}.items():
        scores.show(name, model(scores.windows, ()).mean)
    members, longest = [], 0.0
    for number in itertools.count():
        used = time.perf_counter() - began
        if number == options.members or (members and used + longest > options.minutes * 60):
            break
        context = settings.get("context", CONTEXTS[number % len(CONTEXTS)])
        chosen = {**settings, "context": context, "seed": options.seed + number}
        members.append(member(series, options.cell, chosen))
        longest = max(longest, time.perf_counter() - began - used)
        scores.show(f"seed {options.seed + number}, context {context}", members[-1])
    found = scores.show(f"median of {len(members)}", np.median(members, axis=0))
    minutes = (time.perf_counter() - began) / 60
    print(f"minutes      {minutes:.1f}, all in (targets: OWA .50, sMAPE 11)")
    if options.json:
        figures = {"result": "m4_hourly", "validate": options.validate, "members": len(members), **found}
        with options.json.open("a") as file:
            file.write(json.dumps({**figures, "minutes": minutes, "settings": settings}) + "\n")


def read(folder: Path, *, validate: bool) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The known part of each series by its name, and what comes after, (414, 48)."""
    train, test = (pd.read_csv(folder / f"Hourly-{part}.csv.gz", index_col=0) for part in ("train", "test"))
    known = {str(name): row[~np.isnan(row)] for name, row in zip(train.index, train.to_numpy(float), strict=True)}
    if not validate:
        return known, test.to_numpy(float)
    cut = {name: row[:-HORIZON] for name, row in known.items()}
    return cut, np.stack([row[-HORIZON:] for row in known.values()])


class Scores:
    """The competition's figures of forecasts, beside those of Naive2."""

    def __init__(self, series: dict[str, np.ndarray], truth: np.ndarray) -> None:
        self.truth = truth
        self.windows = [Window(name, y, row, len(y)) for (name, y), row in zip(series.items(), truth, strict=True)]
        self.scale = [naive_scale(y, SEASON) for y in series.values()]
        self.naive2 = self._errors(Naive2(SEASON)(self.windows, ()).mean)

    def _errors(self, forecast: np.ndarray) -> tuple[float, float]:
        return smape(self.truth, forecast), mase(self.truth, forecast, self.scale)

    def show(self, name: str, forecast: np.ndarray) -> dict[str, float]:
        """Print and return the figures of forecasts, (414, 48)."""
        errors = self._errors(forecast)
        found = {"sMAPE": errors[0], "MASE": errors[1], "OWA": owa(*errors, *self.naive2)}
        print(f"{name:24s} " + ", ".join(f"{k} {value:.4f}" for k, value in found.items()), flush=True)
        return found


def member(series: dict[str, np.ndarray], cell: str, settings: dict[str, Any]) -> np.ndarray:
    """Forecasts of one network, (414, 48)."""
    ids = np.repeat(list(series), [len(y) for y in series.values()])
    steps = np.concatenate([np.arange(len(y)) for y in series.values()])
    frame = pd.DataFrame({"id": ids, "step": steps, "y": np.concatenate(list(series.values()))})
    model = gw.Forecaster(cell, horizon=HORIZON, **settings).fit(frame)
    found = model.predict(frame, quantiles=())
    by = {name: part.to_numpy() for name, part in found.groupby("id")[model.network.centre]}
    return np.maximum(np.stack([by[name] for name in series]), 0)  # no series of these is ever negative


if __name__ == "__main__":
    main()
