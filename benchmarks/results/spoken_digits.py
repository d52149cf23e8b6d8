"""Spoken digits (FSDD): which of ten words a recording is, from its log-mel features.

    python benchmarks/results/spoken_digits.py [--seeds 3] [--data FILE] [--no-speakers] [--json FILE]

Two questions. The official split: takes 0 to 4 of every speaker and digit are the test set (300), takes 5 to 49 the
training set (2,700), of which a tenth of each digit is for validation. Leave one speaker out: trained on five
speakers' takes 5 to 49, tested on all 500 recordings of the sixth; six runs, the mean over speakers. Settings were
chosen on validation recordings of the official split alone.

Prints the accuracy of each seed, their mean and spread. Target: at least 98 % on the official split. No published
figure of a recurrent network is known that could be cited; a linear probe on embeddings of mms-1b has 93.5 % (MTEB).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import gatewright as gw

DATA = Path(__file__).parents[2] / ".." / "shared" / "data" / "fsdd" / "fsdd.npz"
TEST_TAKES = 5
SETTINGS: dict[str, Any] = {
    "audio": "logmel",
    "sample_rate": 8000,
    "hidden_size": 128,
    "stack": 2,
    "dropout": 0.5,
    "label_smoothing": 0.1,
    "conv_layers": 0,
    "mask_time": 0.15,
    "mask_features": 0.25,
    "warp": 0.2,
    "shift": 0.1,
    "validation": 0.1,
    "batch_size": 32,
    "learning_rate": 3e-3,
    "epochs": 30,
    "patience": 0,
}


def recordings(path: Path) -> tuple[list[np.ndarray], np.ndarray, np.ndarray, np.ndarray]:
    """Waveforms from −1 to 1, digits, speakers, takes."""
    data = np.load(path, allow_pickle=False)
    waves = np.split(data["samples"].astype(np.float32) / 32768, data["offsets"][1:-1])
    return waves, data["label"], data["speaker_names"][data["speaker"]], data["take"]


def run(waves: list[np.ndarray], digits: np.ndarray, train: np.ndarray, test: np.ndarray, seed: int, cell: str) -> Any:
    """Accuracy on the test recordings, on the validation ones, and minutes all in."""
    began = time.perf_counter()
    model = gw.Classifier(cell, seed=seed, **SETTINGS)
    model.fit([waves[k] for k in np.flatnonzero(train)], digits[train])
    figures = model.evaluate([waves[k] for k in np.flatnonzero(test)], digits[test])
    minutes = (time.perf_counter() - began) / 60
    return {"seed": seed, **figures, "validation": model.metrics["best"]["accuracy"], "minutes": minutes}


def main() -> None:
    """Train and score, for each seed and each speaker."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--cell", default="lstm")
    parser.add_argument("--no-speakers", action="store_true", help="the official split alone")
    parser.add_argument("--json", type=Path, help="write the figures to a file, too")
    options = parser.parse_args()
    if not options.data.exists():
        raise SystemExit(f"{options.data}: no such file; give fsdd.npz with --data")
    waves, digits, speakers, takes = recordings(options.data)
    print(f"settings  {options.cell}, {SETTINGS}")
    print(
        f"machine   {platform.processor() or platform.machine()}, {torch.get_num_threads()} threads "
        f"of {os.cpu_count()} cores, torch {torch.__version__}"
    )
    official = []
    for seed in range(options.seeds):
        official.append(run(waves, digits, takes >= TEST_TAKES, takes < TEST_TAKES, seed, options.cell))
        print(f"seed {seed}    {line(official[-1])}")
    accuracy = 100 * np.array([r["accuracy"] for r in official])
    print(f"official split  {accuracy.mean():.2f} ± {accuracy.std():.2f} % over {len(official)} seeds (target: 98)")
    left_out = {}
    for speaker in [] if options.no_speakers else np.unique(speakers).tolist():
        own = speakers == speaker
        left_out[speaker] = run(waves, digits, ~own & (takes >= TEST_TAKES), own, 0, options.cell)
        print(f"without {speaker:10} {line(left_out[speaker])}")
    result = {"result": "spoken_digits", "cell": options.cell, "settings": SETTINGS, "official": official}
    result |= {"mean": accuracy.mean(), "spread": accuracy.std(), "left_out": left_out}
    if left_out:
        apart = 100 * np.array([r["accuracy"] for r in left_out.values()])
        print(f"one speaker left out  {apart.mean():.2f} ± {apart.std():.2f} % over {len(apart)} speakers")
        result |= {"left_out_mean": apart.mean(), "left_out_spread": apart.std()}
    if options.json:
        options.json.write_text(json.dumps(result) + "\n")


def line(figures: dict[str, Any]) -> str:
    """A run's figures in words."""
    return (
        f"test accuracy {100 * figures['accuracy']:.2f} % of {figures['sequences']}, validation "
        f"{100 * figures['validation']:.2f} %, {figures['minutes']:.2f} minutes all in"
    )


if __name__ == "__main__":
    main()
