"""Tiny Shakespeare, characters, 90 % for training and the last 10 % for validation: a plain LSTM in ten
minutes.

    python benchmarks/results/tinyshakespeare.py [--minutes 10] [--seed 0] [--text FILE] [--out FOLDER]

Prints the validation loss in nats a character, the state carried through the whole validation text from its
first character (the figure of `gatewright language evaluate`, not the running one of training), and the time
all in. Target: at most 1.60. Published: 1.4697 (a Transformer of 10.7M parameters, three minutes on an A100,
nanoGPT).
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from pathlib import Path

import torch

import gatewright as gw

TEXT = Path(__file__).parents[2] / ".." / "shared" / "data" / "tinyshakespeare" / "input.txt"
SETTINGS = {"hidden_size": 512, "batch_size": 32, "steps": 128, "learning_rate": 4e-3, "dropout": 0.3}


def main() -> None:
    """Train, then score the validation text as one sequence."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="all in, the last evaluation included")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--text", type=Path, default=TEXT)
    parser.add_argument("--out", type=Path, default=Path("runs") / "tinyshakespeare")
    options = parser.parse_args()
    if not options.text.exists():
        raise SystemExit(f"{options.text}: no such file; give the text with --text")
    began = time.perf_counter()
    # Half a minute is left for the exact score at the end, and for a machine that does other things too.
    model = gw.tasks.LanguageModel("lstm", minutes=options.minutes - 0.5, seed=options.seed, **SETTINGS)
    model.fit(options.text, out=options.out, overwrite=True, progress="lines")
    text = options.text.read_text(encoding="utf-8")
    score = model.score(text[len(text) - int(len(text) * 0.1) :])
    minutes = (time.perf_counter() - began) / 60
    print(f"settings         {SETTINGS}, seed {options.seed}, {model.metrics['parameters']:,} parameters")
    print(f"backend          {model.metrics['backend']}")
    print(
        f"machine          {platform.processor() or platform.machine()}, {torch.get_num_threads()} threads "
        f"of {os.cpu_count()} cores, torch {torch.__version__}"
    )
    print(f"updates          {model.metrics['updates']}, best at {model.metrics['best']['update']}")
    print(f"minutes          {minutes:.2f}, all in")
    print(f"validation loss  {score.loss:.4f} nats a character over {score.predictions:,} (target: 1.60)")


if __name__ == "__main__":
    main()
