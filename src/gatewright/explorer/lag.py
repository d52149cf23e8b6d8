"""The long-lag task: remember the first symbol over many that mean nothing (Hochreiter and Schmidhuber 1997, §5.2).

A sequence is one of `SYMBOLS` symbols, `lag` distractors, drawn from `DISTRACTORS` others, and a sign that asks: the
class is the first symbol. What a network gets wrong at the end has to reach the start, over lag + 1 steps, or nothing
is learned; |∂loss/∂h_t| shows whether it does. Gates that keep a state begin open for about as long as the lag
(`gw.init.chrono`: Tallec and Ollivier 2018); without that no gated cell learns lags of 60 within these updates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..graph import Cell, CellError
from ..inside import gradient_flow, record
from ..nn import init
from ..nn.gates import keepers
from ..nn.recurrent import Recurrent
from .reduce import number, thinned

SYMBOLS, DISTRACTORS = 4, 4
FEATURES = SYMBOLS + DISTRACTORS + 1
UNITS, BATCH, RATE = 32, 32, 5e-3
UPDATES, EVERY = 600, 5
LEARNED = 0.99
"""The accuracy over the last updates at which a cell has learned the task, and stops."""
POINTS = 128
"""Of a curve of gradients, at most."""
LAGS = (1, 500)


def batch(lag: int, generator: torch.Generator, size: int = BATCH) -> tuple[Tensor, Tensor]:
    """(sequences (lag + 2, size, FEATURES), classes (size,))

    >>> x, y = batch(3, torch.Generator().manual_seed(0), 2)
    >>> x.shape, torch.equal(x[0].argmax(-1), y)
    (torch.Size([5, 2, 9]), True)
    """
    first = torch.randint(SYMBOLS, (1, size), generator=generator)
    between = torch.randint(SYMBOLS, SYMBOLS + DISTRACTORS, (lag, size), generator=generator)
    asked = torch.full((1, size), FEATURES - 1)
    return F.one_hot(torch.cat([first, between, asked]), FEATURES).float(), first[0]


class Network(nn.Module):
    """A recurrent layer, and a class from its last output."""

    def __init__(self, cell: Cell, units: int = UNITS):
        super().__init__()
        if len(cell.inputs) != 1:
            raise CellError(f"cell {cell.name} has {len(cell.inputs)} inputs: this task has one")
        free = {symbol: max(1, units // 2) for symbol in cell.graph.widths.symbols() - {"I", "H"}}
        self.recurrent = Recurrent(cell, FEATURES, units, sizes=free)
        self.out = nn.Linear(self.recurrent.output_size, SYMBOLS)

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.recurrent(x)
        return self.out(y[-1])


@dataclass
class Learner:
    """One cell on its way."""

    label: str
    network: Network
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    update: int = 0
    right: float = 0.0
    done: bool = False

    @classmethod
    def of(cls, label: str, cell: Cell, lag: int, seed: int) -> Learner:
        torch.manual_seed(seed)
        network = Network(cell)
        if keepers(cell.graph):
            init.chrono(network.recurrent, lag + 2)
        return cls(label, network, torch.optim.Adam(network.parameters(), RATE), torch.Generator().manual_seed(seed))

    def learn(self, lag: int, updates: int) -> dict[str, Any]:
        """A few updates; what is told of them."""
        states = [s.name for s in self.network.recurrent.cell.graph.states]
        losses, right, flow = [], [], {}
        for k in range(EVERY):
            x, y = batch(lag, self.generator)
            watch = k == EVERY - 1
            tape = record(self.network, states, grad=states) if watch else None
            try:
                logits = self.network(x)
            finally:
                if tape is not None:
                    tape.close()
            loss = F.cross_entropy(logits, y)
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            self.optimizer.step()
            losses.append(loss.item())
            right.append(float((logits.argmax(-1) == y).float().mean()))
            if tape is not None:
                flow = {name: thinned(gradient_flow(tape, name).tolist(), POINTS) for name in states}
        self.update += EVERY
        accuracy = sum(right) / len(right)
        self.right = 0.7 * self.right + 0.3 * accuracy
        self.done = self.update >= updates or self.right >= LEARNED
        told = {"update": self.update, "updates": updates, "loss": number(sum(losses) / len(losses))}
        return {"kind": "progress", "cell": self.label, **told, "accuracy": accuracy, "flow": flow}


def race(cells: dict[str, Cell], lag: int, *, seed: int = 0, updates: int = UPDATES) -> Iterator[dict[str, Any]]:
    """Train several cells on the same sequences from the same seed, in turn: what is told every few updates.

    >>> import gatewright as gw
    >>> events = list(race({"gru": gw.cells.gru}, 3, updates=20))
    >>> [event["kind"] for event in events], len(events[0]["flow"]["h"])
    (['progress', 'progress', 'progress', 'progress', 'done'], 5)
    """
    learners = [Learner.of(label, cell, lag, seed) for label, cell in cells.items()]
    while going := [learner for learner in learners if not learner.done]:
        for learner in going:
            yield learner.learn(lag, updates)
            if learner.done:
                yield {"kind": "done", "cell": learner.label}
