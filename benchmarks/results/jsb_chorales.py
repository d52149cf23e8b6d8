"""JSB chorales, quarter notes: the 88 notes of the next step by those before; an LSTM in a loop of one's own.

    python benchmarks/results/jsb_chorales.py [--seeds 3] [--cell lstm] [--data FILE] [--json FILE]

The layers are Gatewright's, the loop is torch's. The figure is −ln p in nats for a time step, summed over its notes,
the mean over all steps of all test chorales but each one's first (and, beside it, the mean of the chorales' own means).
The weights with the best validation figure are kept, and the settings were chosen by it too. Nothing is transposed: in
these data all chorales are in C already (214 of the 229 end on it), and transposing them made the validation worse.

Target: at most 8.38, mean of 3 seeds. Published (means over steps): LSTM 8.45, TCN 8.10 (S. Bai, J. Z. Kolter and V.
Koltun, An empirical evaluation of generic convolutional and recurrent networks for sequence modeling, 2018); LSTM 8.33
(the repository of the Residual Recurrent Unit); 8.38, the best of 1,800 runs, over sequences (K. Greff et al., LSTM: a
search space odyssey, 2017). Data: 229, 76 and 77 chorales (N. Boulanger-Lewandowski, Y. Bengio and P. Vincent 2012).
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import platform
import statistics
import time
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gatewright as gw

DATA = Path(__file__).parents[2] / ".." / "shared" / "data" / "jsb_chorales" / "jsb-chorales-quarter.json"
NOTES, LOWEST = 88, 21  # keys of a piano, and the number of the lowest in MIDI
SETTINGS = {
    "hidden_size": 200,
    "dropout_in": 0.1,
    "recurrent_dropout": 0.3,
    "dropout_out": 0.5,
    "learning_rate": 3e-3,
    "weight_decay": 1e-4,
    "batch_size": 4,
    "epochs": 150,
}


class Music(nn.Module):
    """The notes of every next step, as logits: (T, B, 88) -> (T, B, 88)."""

    def __init__(self, cell: str) -> None:
        super().__init__()
        s = SETTINGS
        self.drop_in, self.drop_out = gw.LockedDropout(s["dropout_in"]), nn.Dropout(s["dropout_out"])
        self.recurrent = gw.Recurrent(cell, NOTES, s["hidden_size"], recurrent_dropout=s["recurrent_dropout"])
        self.out = nn.Linear(s["hidden_size"], NOTES)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        y, _ = self.recurrent(self.drop_in(x), lengths=lengths)
        return self.out(self.drop_out(y))


def read(path: Path) -> dict[str, list[Tensor]]:
    """Every part's chorales, (T, 88) each, 1 where a note sounds."""
    parts = {}
    for part, pieces in json.loads(path.read_text()).items():
        parts[part] = [torch.zeros(len(piece), NOTES) for piece in pieces]
        for roll, piece in zip(parts[part], pieces, strict=True):
            for t, chord in enumerate(piece):
                roll[t, [int(note) - LOWEST for note in chord if note >= LOWEST]] = 1
    return parts


def nats(model: nn.Module, pieces: list[Tensor]) -> tuple[Tensor, Tensor]:
    """−ln p of the steps but the first of each chorale, summed; and how many they are: (B,) each."""
    lengths = torch.tensor([len(piece) - 1 for piece in pieces])
    rolls = nn.utils.rnn.pad_sequence(pieces)
    losses = F.binary_cross_entropy_with_logits(model(rolls[:-1], lengths), rolls[1:], reduction="none").sum(-1)
    return losses.where(gw.sequences.mask(lengths, len(losses)), 0).sum(0), lengths


@torch.no_grad()
def evaluated(model: nn.Module, pieces: list[Tensor]) -> tuple[float, float]:
    """The mean over steps, and the mean of the chorales' means."""
    model.eval()
    total, lengths = nats(model, pieces)
    return float(total.sum() / lengths.sum()), float((total / lengths).mean())


def train(parts: dict[str, list[Tensor]], cell: str, seed: int) -> tuple[nn.Module, float, int]:
    """The model with the best validation figure, that figure, and its epoch."""
    torch.manual_seed(seed)
    s, model = SETTINGS, Music(cell)
    optimizer = torch.optim.AdamW(model.parameters(), s["learning_rate"], weight_decay=s["weight_decay"])
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda e: (1 + math.cos(math.pi * e / s["epochs"])) / 2)
    best, at, weights = math.inf, 0, {}
    for epoch in range(s["epochs"]):
        model.train()
        for rows in torch.randperm(len(parts["train"])).split(s["batch_size"]):
            total, lengths = nats(model, [parts["train"][i] for i in rows.tolist()])
            optimizer.zero_grad()
            (total.sum() / lengths.sum()).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        schedule.step()
        found = evaluated(model, parts["valid"])[0]
        if found < best:
            best, at, weights = found, epoch + 1, copy.deepcopy(model.state_dict())
    model.load_state_dict(weights)
    return model, best, at


def main() -> None:
    """Train with every seed, choose by the validation chorales, score the test chorales once each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cell", default="lstm")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--json", type=Path, help="append the figures as a line of JSON")
    options = parser.parse_args()
    if not options.data.exists():
        raise SystemExit(f"{options.data}: no such file; give the chorales with --data")
    began, parts, runs = time.perf_counter(), read(options.data), []
    print(f"settings  {options.cell}, {SETTINGS}")
    machine = (
        f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads of {os.cpu_count()} cores"
    )
    print(f"machine   {machine}, torch {torch.__version__}")
    for seed in range(options.seeds):
        start = time.perf_counter()
        model, valid, epoch = train(parts, options.cell, seed)
        test, by_piece = evaluated(model, parts["test"])
        minutes = (time.perf_counter() - start) / 60
        runs.append({"seed": seed, "valid": valid, "test": test, "by_piece": by_piece, "epoch": epoch})
        print(
            f"seed {seed}    validation {valid:.3f}, test {test:.3f} a step ({by_piece:.3f} by chorale), "
            f"epoch {epoch}, {minutes:.2f} minutes",
            flush=True,
        )
    tests = [run["test"] for run in runs]
    spread = statistics.stdev(tests) if len(tests) > 1 else 0.0
    minutes = (time.perf_counter() - began) / 60
    mean = statistics.mean(tests)
    print(f"test      {mean:.3f} ± {spread:.3f} nats a step (target: 8.38), {minutes:.2f} minutes all in")
    if options.json:
        figures = {"result": "jsb_chorales", "cell": options.cell, "runs": runs, "test": mean}
        with options.json.open("a") as file:
            file.write(json.dumps({**figures, "spread": spread, "minutes": minutes}) + "\n")


if __name__ == "__main__":
    main()
