"""ETTh1, the hourly electricity transformer data, by a recurrence over segments: every test window of four horizons.

    python benchmarks/results/etth1.py [--horizons 96 192 336 720] [--seeds 3] [--json FILE]
    python benchmarks/results/etth1.py --univariate --horizons 24 720 [--seeds 3] [--json FILE]

The split is the usual one of 12, 4 and 4 months (8640, 2880 and 2880 rows), every column standardised by the training
months. Figures are the mean squared and absolute error of standardised values over all test windows at stride 1 (their
context may reach back into the validation months), all columns together. The weights are those with the least
validation loss; the test months are forecast once, at the end.

The network: segments of 48 hours of the last 720 are read by a GRU, the last value taken off, each column on its own;
then all segments to come at once (S. Lin and others, SegRNN, 2023, arXiv 2308.11200).

Targets, MSE: DLinear's .375 .405 .439 .472 (A. Zeng and others, Are Transformers effective for time series
forecasting?, 2023), univariate (oil temperature, OT) .098 at 24 (Informer's) and .189 at 720 (DLinear's). Published
besides: SegRNN .351 .390 .422 .436 or so; the LSTM of Informer's tables 1.960 at 720, univariate .114 and .683
(H. Zhou and others, Informer, 2021).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch

import gatewright as gw

DATA = Path(__file__).parents[2] / ".." / "shared" / "data" / "ett" / "ETTh1.csv.gz"
TRAIN, VALID, TEST = 8640, 2880, 2880
TARGETS = {False: {96: 0.375, 192: 0.405, 336: 0.439, 720: 0.472}, True: {24: 0.098, 720: 0.189}}
SETTINGS: dict[str, Any] = {
    "time": "date",
    "context": 720,
    "segment": 48,
    "head": "mae",
    "window": "last",
    "level": "none",
    "residual": "none",
    "calendar": "none",
    "hidden_size": 128,
    "dropout": 0.5,
    "batch_size": 448,  # columns of windows: 64 windows of the 7 columns
    "learning_rate": 1e-3,
    "weight_decay": 0.0,
    "evaluate_every": 122,  # an epoch
    "validation_windows": 4096,
}
EPOCHS = {24: 8, 96: 8, 192: 6, 336: 4, 720: 3}


def main() -> None:
    """Train and test each horizon with each seed, and say how far the targets are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--horizons", type=int, nargs="+", help="of 96 192 336 720, or 24 720 with --univariate")
    parser.add_argument("--univariate", action="store_true", help="the oil temperature alone")
    parser.add_argument("--seeds", type=int, default=3, help="how many, from --seed on")
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    parser.add_argument("--cell", default="gru")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="another setting")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--json", type=Path, help="add a line of figures to this file")
    parser.add_argument("--no-test", action="store_true", help="validation alone, to choose settings by")
    options = parser.parse_args()
    if not options.data.exists():
        raise SystemExit(f"{options.data}: no such file; give ETTh1.csv.gz with --data")
    frame = pd.read_csv(options.data, parse_dates=["date"], nrows=TRAIN + VALID + TEST)
    changes = {name: json.loads(value) for name, value in (text.split("=", 1) for text in options.set)}
    settings = {**SETTINGS, **changes}
    targets = TARGETS[options.univariate]
    print(f"settings     {settings}, cell {options.cell}")
    print(
        f"machine      {platform.processor() or platform.machine()}, {torch.get_num_threads()} threads of "
        f"{os.cpu_count()} cores, torch {torch.__version__}"
    )
    for horizon in options.horizons or targets:
        seeds = range(options.seed, options.seed + options.seeds)
        runs = [run(frame, horizon, seed, settings, options) for seed in seeds]
        said = summary(runs, targets.get(horizon))
        print(f"horizon {horizon:4d} {said}", flush=True)
        if options.json:
            figures = {"result": "etth1", "univariate": options.univariate, "horizon": horizon, "runs": runs}
            with options.json.open("a") as file:
                file.write(json.dumps({**figures, "settings": settings, "target": targets.get(horizon)}) + "\n")


def run(frame: pd.DataFrame, horizon: int, seed: int, settings: dict[str, Any], options: Any) -> dict[str, float]:
    """Train with a seed, and score every test window."""
    began = time.perf_counter()
    columns = ["OT"] if options.univariate else [name for name in frame if name != "date"]
    frame = frame.loc[:, ["date", *columns]]
    epochs = {} if "epochs" in settings or "updates" in settings else {"epochs": EPOCHS.get(horizon, 4)}
    begins = str(frame["date"][TRAIN])
    chosen = {**settings, **epochs, "target": columns, "horizon": horizon, "seed": seed, "validation": begins}
    model = gw.Forecaster(options.cell, **chosen).fit(frame[: TRAIN + VALID])
    best = model.metrics["best"]
    found = {"seed": seed, "validation loss": best["loss"], "update": best["update"]}
    if not options.no_test:
        scores = model.evaluate(frame, first=TRAIN + VALID)
        expected = len(columns) * (TEST - horizon + 1)
        if scores["windows"] != expected:
            raise SystemExit(f"{scores['windows']} test windows, expected {expected}")
        found |= {"MSE": scores["scaled MSE"], "MAE": scores["scaled MAE"]}
    found["minutes"] = (time.perf_counter() - began) / 60
    print(f"  horizon {horizon}, " + ", ".join(f"{name} {value:.4g}" for name, value in found.items()), flush=True)
    return found


def summary(runs: list[dict[str, float]], target: float | None) -> str:
    """Mean and spread over the seeds, beside the target."""
    parts = []
    for name in ("MSE", "MAE", "validation loss"):
        values = [run[name] for run in runs if name in run]
        if values:
            spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
            parts.append(f"{name} {statistics.mean(values):.4f}{spread}")
    minutes = sum(run["minutes"] for run in runs)
    aim = f" (target: MSE below {target})" if target else ""
    return f"{', '.join(parts)}{aim}, {len(runs)} seeds, {minutes:.1f} minutes all in"


if __name__ == "__main__":
    main()
