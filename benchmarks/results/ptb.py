"""Penn Treebank by words, two LSTM layers of 200 units, in half an hour on two cores.

    python benchmarks/results/ptb.py [--minutes 29] [--seed 0] [--seeds 1] [--data FOLDER] [--out FOLDER] [--json FILE]

FOLDER holds ptb.train.txt, ptb.valid.txt and ptb.test.txt, each as it is or as .gz (Mikolov's preprocessing: 10,000
words, <unk> as it stands in the file). The figure is the perplexity of the test text as papers count it: 82,430
tokens, an <eos> after every line, the state carried from the first to the last. Target: at most 110.

Published, 2 x 200 LSTM: 114.5 to 115.9 (W. Zaremba, I. Sutskever and O. Vinyals, Recurrent neural network
regularization, 2014, small model without dropout, as two other codes repeat it: 115 and 115.9).

Nothing is chosen on the test text: the weights that are kept are those with the best validation loss, and the cache
(E. Grave et al. 2017) and the rate and decay of dynamic evaluation (B. Krause et al. 2018) are chosen on the
validation text. Those two are figures of their own, not the one that the target is about.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

import gatewright as gw

DATA = Path(__file__).parents[2] / ".." / "shared" / "data" / "ptb"
SETTINGS: dict[str, Any] = {
    "tokenizer": "words",
    "hidden_size": 200,
    "num_layers": 2,
    "batch_size": 20,
    "steps": 35,
    "dropout": 0.25,
    "optimizer": "sgd",
    "learning_rate": 20.0,
    "clip": 0.25,
    "weight_decay": 1e-6,
    "warmup": 0,
    "schedule": "cosine",
    "patience": 0,
    "evaluate_every": 1328,  # updates of an epoch
    "precision": "bf16-mixed",  # the products of the output layer, four fifths of the arithmetic, in half the bytes
}


def main() -> None:
    """Train, choose on validation, score the test text; for every seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=29.0, help="of training, its evaluations included")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=Path("runs") / "ptb")
    parser.add_argument("--json", type=Path, help="a file that gets a line of figures for every seed")
    parser.add_argument("--further", action="store_true", help="a cache and dynamic evaluation, too (some minutes)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        texts = {name: unpacked(options.data, name, Path(folder)) for name in ("train", "valid", "test")}
        runs = [run(seed, texts, options) for seed in range(options.seed, options.seed + options.seeds)]
    if len(runs) > 1:
        found = [r["test_perplexity"] for r in runs]
        print(f"test perplexity  {statistics.mean(found):.2f} ± {statistics.stdev(found):.2f} over {len(found)} seeds")


def run(seed: int, texts: dict[str, Path], options: argparse.Namespace) -> dict[str, Any]:
    """One training, and its figures."""
    began = time.perf_counter()
    model = gw.tasks.LanguageModel("lstm", minutes=options.minutes, seed=seed, **SETTINGS)
    model.fit(texts["train"], validation=texts["valid"], out=options.out, overwrite=True, progress="lines")
    test, valid = texts["test"], texts["valid"]
    score = model.score(test, from_start=True)
    minutes = (time.perf_counter() - began) / 60
    found: dict[str, Any] = {
        "seed": seed,
        "test_perplexity": score.perplexity,
        "validation_perplexity": model.perplexity(valid),
        "test_tokens": score.predictions,
        "updates": model.metrics["updates"],
        "epochs": model.metrics["epochs"],
        "best_update": model.metrics["best"]["update"],
        "parameters": model.metrics["parameters"],
        "minutes": minutes,
    }
    print(f"settings         {SETTINGS}, seed {seed}, {model.metrics['parameters']:,} parameters")
    print(f"backend          {model.metrics['backend']}")
    print(
        f"machine          {platform.processor() or platform.machine()}, {torch.get_num_threads()} threads "
        f"of {os.cpu_count()} cores, torch {torch.__version__}"
    )
    print(f"updates          {found['updates']:,}, {found['epochs']:.2f} epochs, best at {found['best_update']:,}")
    print(f"minutes          {minutes:.2f}, all in")
    print(f"validation       {found['validation_perplexity']:.2f}")
    print(f"test perplexity  {score.perplexity:.2f} over {score.predictions:,} tokens (target: 110)", flush=True)
    if options.further:
        found |= further(model, valid, test)
    if options.json is not None:
        with options.json.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"result": "ptb", **found, "settings": SETTINGS}) + "\n")
    return found


def further(model: gw.tasks.LanguageModel, valid: Path, test: Path) -> dict[str, Any]:
    """The test text with a cache, and with weights that follow it."""
    found: dict[str, Any] = {}
    cache = model.choose_cache(valid, window=500)
    found["cache_perplexity"] = model.score(test, cache=cache, from_start=True).perplexity
    print(f"with a cache     {found['cache_perplexity']:.2f}, {cache} chosen on validation", flush=True)
    for kind in ("sgd", "rms"):
        how = model.choose_dynamic(valid, kind=kind)
        found[f"dynamic_{kind}_perplexity"] = model.score(test, dynamic=how, from_start=True).perplexity
        told = f"{found[f'dynamic_{kind}_perplexity']:.2f}, {how} chosen on validation"
        print(f"dynamic, {kind}     {told}", flush=True)
    return found


def unpacked(folder: Path, name: str, into: Path) -> Path:
    """The path of a part of the text, uncompressed."""
    plain, packed = folder / f"ptb.{name}.txt", folder / f"ptb.{name}.txt.gz"
    if plain.exists():
        return plain
    if not packed.exists():
        raise SystemExit(f"{packed}: no such file; give the folder with --data")
    (into / plain.name).write_bytes(gzip.decompress(packed.read_bytes()))
    return into / plain.name


if __name__ == "__main__":
    main()
