"""Two LSTMs, written as equations, learn to write Python's own documentation; about a minute on two cores.

    python examples/demo.py [SECONDS]

The text is the language reference inside Python, so nothing is downloaded. The model folders are in
runs/demo.
"""

from __future__ import annotations

import sys
from pathlib import Path

import gatewright as gw
from gatewright import affine, diagonal, sigmoid, tanh

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
FOLDER = Path("runs") / "demo"


@gw.cell
def peephole_lstm(x, h, c):
    """Gers, Schraudolph & Schmidhuber 2002: the gates see the cell state."""
    i = sigmoid(affine(x, h) + diagonal(c))
    f = sigmoid(affine(x, h) + diagonal(c))
    g = tanh(affine(x, h))
    c = f * c + i * g
    o = sigmoid(affine(x, h) + diagonal(c))
    h = o * tanh(c)
    return h, c


def train(name: str, cell: gw.Cell, share: float, **settings: int) -> None:
    """Train one model for its share of the time and show what it has learned."""
    model = gw.tasks.LanguageModel(cell, minutes=share * SECONDS / 60, **settings)
    print(f"\n--- {name} ---\n{cell}\n", flush=True)
    model.fit(out=FOLDER / name, overwrite=True, progress="lines")
    print(f"\nran on   {model.metrics['backend']}")
    sample = model.generate("The ", length=240, temperature=0.7, seed=1)
    print("sample   " + "\n         ".join(sample.splitlines()))
    print(f"model    {(FOLDER / name).resolve()}", flush=True)


def main() -> None:
    """Train the peephole LSTM above, then torch's LSTM as the zoo has it."""
    train("peephole_lstm", peephole_lstm, 0.5, hidden_size=96, batch_size=64, steps=32, evaluate_every=40)
    train("lstm", gw.cells.lstm, 0.5, hidden_size=256, batch_size=32, evaluate_every=40)
    print(f"\nAsk for more:  gatewright language generate {FOLDER / 'lstm'} --prompt 'The ' --length 300")
    print(f"Its report:    {FOLDER / 'lstm' / 'report.html'}")
    print(f"See inside:    gatewright explore {FOLDER / 'lstm'}")


if __name__ == "__main__":
    main()
