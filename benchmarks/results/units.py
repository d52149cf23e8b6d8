"""Units that anybody can read, on real text: one that knows when it is inside brackets, one that keeps a subject's
number until its verb.

    python benchmarks/results/units.py python  [--minutes 4] [--out FOLDER]
    python benchmarks/results/units.py number  [--minutes 4] [--captions FILE --held FILE ...]

`python` trains a character LSTM on modules of Python's standard library and looks at modules that it has not seen: the
units inside brackets and quotes of Karpathy, Johnson and Fei-Fei (2015, "Visualizing and understanding recurrent
networks"). `number` trains a word LSTM on English image captions (Multi30k) and asks, at every word before a line's
first "is" or "are", which of the two will come. What it prints is the area under the ROC curve of one unit's value on
the held-out half of the steps, and then, where the number has to be kept: at least five words before the verb; and
where the last word before the verb says the opposite ("a man with two dogs is …"). Last it takes the unit away with
`gw.clamp`, and prints how much less sure of the verb's number the model is.
"""

from __future__ import annotations

import argparse
import gzip
import random
import sysconfig
from pathlib import Path

import numpy as np
import torch

import gatewright as gw
from gatewright.inside import Found
from gatewright.tasks.language.units import Followed, follow, next_of

CAPTIONS = Path(__file__).parents[2] / ".." / "shared" / "data" / "multi30k"
TRAIN, HELD = "train.lc.norm.tok.en.gz", ("val.lc.norm.tok.en.gz", "test_2016_flickr.lc.norm.tok.en.gz")
FOLDERS = ("email", "json", "http", "asyncio", "logging", "unittest")


def main() -> None:
    """Train unless the model is there, read what it has not seen, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", choices=("python", "number"))
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--captions", type=Path, default=CAPTIONS / TRAIN)
    parser.add_argument("--held", type=Path, nargs="+", default=[CAPTIONS / name for name in HELD])
    parser.add_argument("--out", type=Path, help="the model folder; default runs/units-…")
    parser.add_argument("--pictures", type=Path, help="a folder for the pictures")
    options = parser.parse_args()
    options.out = options.out or Path("runs") / f"units-{options.which}"
    {"python": python, "number": number}[options.which](options)


def trained(options: argparse.Namespace, text: str, **settings) -> gw.tasks.LanguageModel:
    if (options.out / "model.safetensors").exists():
        print(f"{options.out} is there: it is not trained again")
        return gw.tasks.LanguageModel.load(options.out)
    model = gw.tasks.LanguageModel("lstm", minutes=options.minutes, seed=options.seed, **settings)
    return model.fit(text, out=options.out, progress="lines")


# -- brackets and quotes ---------------------------------------------------------------------------------------


def python(options: argparse.Namespace) -> None:
    seen, held = modules(3_000_000, 200_000, options.seed)
    model = trained(options, seen, hidden_size=200)
    for what in ("brackets", "quotes", "line", "indent"):
        found = follow(model.network, model.tokenizer, held, what, top=2)
        print(f"{what:9} {found.units[0]}")
        if what == "brackets" and options.pictures:
            first = busiest(found, 420)
            save(options.pictures / "brackets.png", found, found.units[0], slice(first, first + 420))


def modules(seen: int, held: int, seed: int) -> tuple[str, str]:
    """So many characters of the standard library's modules, and of others; whole files."""
    root = Path(sysconfig.get_paths()["stdlib"])
    files = sorted(p for p in root.glob("*.py") if not p.name.startswith("_"))
    files += [p for folder in FOLDERS for p in sorted(root.glob(f"{folder}/*.py"))]
    random.Random(seed).shuffle(files)
    parts: tuple[list[str], list[str]] = ([], [])
    for path in files:
        text = path.read_text(encoding="utf-8")
        enough = sum(map(len, parts[0])) >= seen
        if text.isascii() and sum(map(len, parts[1])) < held:
            parts[enough].append(text + "\n")
    return "".join(parts[0]), "".join(parts[1])


def busiest(found: Followed, count: int) -> int:
    """Where so many tokens change between yes and no the most often."""
    changes = np.concatenate([[0], np.cumsum(np.abs(np.diff(found.labels.astype(np.float64))))])
    return int(np.argmax(changes[count:] - changes[:-count]))


# -- the subject's number --------------------------------------------------------------------------------------


def number(options: argparse.Namespace) -> None:
    model = trained(
        options, read(options.captions), tokenizer="words", vocabulary=4000, hidden_size=128, embedding_size=128
    )
    found = follow(model.network, model.tokenizer, "".join(map(read, options.held)), "next:is,are", top=3)
    unit = found.units[0]
    print(f"at every word before the verb          {unit}")
    far = next_of(found.tokens, "is", "are", least=5, at_verb=True)
    print(f"at the verb, after five words or more  {area(found, unit, far)}")
    against = far.copy()
    against[far == np.array([t.strip().endswith("s") for t in found.tokens])] = np.nan
    print(f"… and the last word says the opposite  {area(found, unit, against)}")
    ablated(model, found, unit, far)
    if options.pictures:
        save(options.pictures / "number.png", found, unit, lines_with(found.tokens, against, 12))


def lines_with(tokens: list[str], labels: np.ndarray, count: int) -> list[int]:
    """The tokens of so many lines that have a label."""
    line = np.cumsum([0, *("\n" in t for t in tokens[:-1])])
    wanted = np.unique(line[np.isfinite(labels)])[:count]
    return np.flatnonzero(np.isin(line, wanted)).tolist()


def read(path: Path) -> str:
    if not path.exists():
        raise SystemExit(f"{path}: no such file; give the captions with --captions and --held")
    return gzip.open(path, "rt", encoding="utf-8").read() if path.suffix == ".gz" else path.read_text(encoding="utf-8")


def area(found: Followed, unit: Found, labels: np.ndarray) -> str:
    """How often a step before "are" has the larger value than one before "is": ties count by half."""
    values = found.values[unit.name][:, unit.unit].numpy() * unit.sign
    no, yes = values[labels == 0], values[labels == 1]
    larger = (yes[:, None] > no[None]).mean() + 0.5 * (yes[:, None] == no[None]).mean()
    return f"auc {larger:.3f} of {len(no)} singular and {len(yes)} plural subjects"


def ablated(model: gw.tasks.LanguageModel, found: Followed, unit: Found, labels: np.ndarray) -> None:
    """How sure the model is of the verb's number, with the unit and without it."""
    ids = torch.as_tensor(np.asarray(model.tokenizer.encode("".join(join(found.tokens)))), dtype=torch.int64)[:, None]
    singular, plural = (int(model.tokenizer.encode(word)[0]) for word in ("is", "are"))
    network = model.network.eval()

    def sure() -> float:
        with torch.no_grad():
            logits = network(ids)[0][:, 0]
        odds = (logits[:, plural] - logits[:, singular]).numpy()
        return float(np.median(odds[labels == 1]) - np.median(odds[labels == 0]))

    whole = sure()
    with gw.clamp(network, units=[unit.unit], h=0.0, c=0.0):
        without = sure()
    others = []
    for other in [k for k in range(128) if k != unit.unit][::8]:
        with gw.clamp(network, units=[other], h=0.0, c=0.0):
            others.append(sure())
    print(f"log odds of are : is, plural − singular  {whole:.2f}; without the unit {without:.2f}; "
          f"without another one {np.median(others):.2f} (median of {len(others)})")  # fmt: skip


def join(tokens: list[str]) -> list[str]:
    """Words as a text again."""
    return [t if t == "\n" else f"{t} " for t in tokens]


def save(path: Path, found: Followed, unit: Found, where: slice | list[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    title = f"{unit.name}, unit {unit.unit}"
    found.picture(unit, where, library="matplotlib", title=title).save(path)
    print(f"{path}")


if __name__ == "__main__":
    main()
