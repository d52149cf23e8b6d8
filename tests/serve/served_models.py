"""A model to serve: what it answers is what its network says, and it can be made slow, wrong or broken."""

import threading

import torch

import gatewright as gw
from gatewright.tasks.errors import TaskError
from gatewright.tasks.language.settings import LanguageSettings


class Sums:
    """Sequences of numbers through an LSTM; `{"x": […]}` is answered by the sum of its last state."""

    task = "sums"
    cell_name = "lstm"

    def __init__(self):
        torch.manual_seed(0)
        self.network = gw.LSTM(1, 8).double().eval()
        self.cell = gw.cells.lstm
        self.equations = str(self.cell)
        self.settings = LanguageSettings()
        self.metrics = {}
        self.batches = []
        self.go = threading.Event()  # what items that are "slow" wait for
        self.begun = threading.Event()

    def to(self, device):
        self.network.to(device)
        return self

    def answer(self, items):
        assert not torch.is_grad_enabled()
        self.batches.append(len(items))
        sequences = [self._read(item) for item in items]
        x = torch.zeros(max(map(len, sequences)), len(items), 1, dtype=torch.float64)
        for k, sequence in enumerate(sequences):
            x[: len(sequence), k, 0] = torch.tensor(sequence, dtype=torch.float64)
        lengths = torch.tensor([len(sequence) for sequence in sequences])
        _, (h, _) = self.network(x, lengths=lengths)
        return [{"sum": float(one)} for one in h[-1].sum(-1)]

    def _read(self, item):
        if not isinstance(item, dict) or not isinstance(item.get("x"), list) or not item["x"]:
            raise TaskError(f"expected x, some numbers, got {item!r}")
        if item.get("slow"):
            self.begun.set()
            assert self.go.wait(20)
        if item.get("crash"):
            raise ZeroDivisionError("a fault of the model")
        return item["x"]

    def example(self):
        return {"x": [0.5, -1.0]}

    def session(self):
        return State(self)


class State:
    """The same, a number at a time."""

    def __init__(self, model):
        self.model, self.stream = model, gw.Stream(model.network)

    def step(self, item):
        (x,) = self.model._read(item)
        y = self.stream(torch.tensor([[x]], dtype=torch.float64))
        return {"sum": float(y.sum())}
