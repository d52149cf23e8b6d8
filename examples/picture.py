"""Draw what an LSTM remembers while it reads: the picture of the README.

    python examples/picture.py [FOLDER] [--out FILE]

FOLDER is a model of `gatewright language train`; without one, a small model is trained on Python's own documentation
for about four minutes. Needs matplotlib (`pip install 'gatewright[all]'`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
import torch

import gatewright as gw

mpl.use("Agg")
from matplotlib import pyplot as plt  # the backend is chosen first

TEXT = 'The "import" statement (see "Import system") binds a name in the current scope.'
UNITS = 24


def trained(folder: Path | None) -> gw.tasks.LanguageModel:
    """The model of a folder, or a small one trained now."""
    if folder is not None:
        return gw.tasks.LanguageModel.load(folder)
    model = gw.tasks.LanguageModel("lstm", hidden_size=256, minutes=4)
    return model.fit(progress="auto")


def cell_states(model: gw.tasks.LanguageModel, text: str) -> torch.Tensor:
    """tanh(c) of the last layer at every character of the text: (T, H), read after some context."""
    before = "The following sections describe the syntax of statements. "
    tokens = torch.as_tensor(model.tokenizer.encode(before + text), dtype=torch.int64)
    network = model.network.eval()
    with torch.no_grad():
        x = network.embedding(tokens[:, None])
        _, (_, c) = network.recurrent(x, states="all")
    return torch.tanh(c[-1, -len(text) :, 0])


def sorted_by_memory(c: torch.Tensor, units: int) -> torch.Tensor:
    """Of the units that use their whole range, some from quick to slow: by how alike neighbours in time are."""
    spread = c.quantile(0.9, dim=0) - c.quantile(0.1, dim=0)
    moving = spread.argsort(descending=True)[: 4 * units]
    change = (c[1:, moving] - c[:-1, moving]).abs().mean(0) / c[:, moving].std(0)
    order = moving[change.argsort(descending=True)]
    return order[torch.linspace(0, len(order) - 1, units).round().long()]


def draw(c: torch.Tensor, text: str, out: Path) -> None:
    """Units as rows, characters as columns."""
    order = sorted_by_memory(c, UNITS)
    figure, axes = plt.subplots(figsize=(12, 4.6), layout="constrained")
    image = axes.imshow(c[:, order].T, aspect="auto", cmap="PuOr", vmin=-1, vmax=1, interpolation="nearest")
    axes.set_xticks(range(len(text)), [symbol if symbol != " " else "␣" for symbol in text], fontfamily="monospace")
    axes.tick_params(axis="x", length=0, labelsize=10)
    axes.set_yticks([0, UNITS - 1], ["quick", "slow"])
    axes.set_ylabel(f"{UNITS} units, by how long they remember")
    axes.set_xlabel("what it reads, character by character")
    axes.set_title("The cell state of an LSTM while it reads:  c = f ⊙ c + i ⊙ g", loc="left")
    figure.colorbar(image, label="tanh(c)", pad=0.01)
    figure.savefig(out, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--out", type=Path, default=Path("cell_state.png"))
    given = parser.parse_args()
    draw(cell_states(trained(given.folder), TEXT), TEXT, given.out)
    print(given.out.resolve())


if __name__ == "__main__":
    main()
