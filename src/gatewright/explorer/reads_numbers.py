"""An opened layer, or a module with layers inside: numbers in, numbers out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..inside import sensitivity
from ..nn.stack import Stack
from .opened import STEPS, Opened, checked_steps
from .refused import Refused


class ReadsNumbers(Opened):
    """A model from a file of `gw.save`. Its output is shown where it has a row for each step."""

    task = "layer"

    def __init__(self, model: nn.Module, name: str):
        super().__init__(model, name, f"{type(model).__name__} of {name}")
        self.sizes = _sizes(model)
        self.features = sum(self.sizes)
        first = next(model.children(), None)
        self.entries = first.num_embeddings if isinstance(first, nn.Embedding) else None  # it reads numbers of tokens
        self.batch_first = self.first.stack.batch_first
        self.examples = [
            {"id": f"random {steps}", "title": f"{steps} random steps", "text": f"random {steps}", "why": why}
            for steps, why in (
                (100, "Numbers drawn anew from the same seed: where do gates stay, whatever comes in?"),
                (STEPS, "A long sequence: does a state settle, oscillate, or grow?"),
            )
        ]

    @property
    def input(self) -> dict[str, Any]:
        return {"kind": "numbers", "unit": "step", "features": self.features}

    def read(self, text: str) -> Tensor:
        """A line of numbers for each step; or `random 100`."""
        head, _, steps = text.strip().partition(" ")
        if head == "random" and steps.strip().isdecimal():
            return self.random(int(steps[:9]))
        try:
            rows = [[float(x) for x in line.replace(",", " ").split()] for line in text.splitlines() if line.strip()]
        except ValueError as error:
            raise Refused(422, f"not a number: {error}", where="text", remedy="one step a line: 0.5 -1 2") from None
        return self.numbers(rows)

    def numbers(self, rows: Sequence[Sequence[float]]) -> Tensor:
        """Steps as rows of as many numbers as the model reads."""
        for t, row in enumerate(rows):
            if len(row) != self.features:
                raise Refused(422, f"step {t} has {len(row)} numbers, expected {self.features}", where="numbers")
            if not all(map(math.isfinite, row)):
                raise Refused(422, f"step {t} has a number that is not finite", where="numbers")
        return checked_steps(torch.tensor(rows).view(-1, self.features))

    def random(self, steps: int) -> Tensor:
        """Standard normal numbers, or tokens, the same ones each time."""
        if steps > STEPS:
            raise Refused(413, f"{steps} steps are more than {STEPS}", where="random")
        generator = torch.Generator().manual_seed(0)
        if self.entries is not None:
            return checked_steps(torch.randint(self.entries, (steps, 1), generator=generator).float())
        return checked_steps(torch.randn(steps, self.features, generator=generator))

    def tokens(self, given: Tensor) -> None:  # noqa: ARG002 numbers have no names
        return None

    def output(self, given: Tensor) -> Tensor | None:
        found = self._call(given.to(next(self.model.parameters()).dtype))
        return found.squeeze(0 if self.batch_first else 1) if self._is_by_step(found, len(given)) else None

    def _call(self, given: Tensor) -> Any:
        x = given.unsqueeze(0 if self.batch_first else 1)
        if self.entries is not None:
            x = x.squeeze(-1).long()
        elif isinstance(self.model, Stack) and len(self.sizes) > 1:
            x = tuple(x.split(self.sizes, -1))
        try:
            found = self.model(x)
        except (ValueError, TypeError, RuntimeError, IndexError) as error:
            raise Refused(422, f"the model cannot read this: {error}", where="numbers") from error
        return found[0] if isinstance(found, tuple | list) else found

    def _is_by_step(self, found: Any, steps: int) -> bool:
        time = 1 if self.batch_first else 0
        return isinstance(found, Tensor) and found.dim() == 3 and found.shape[time] == steps

    def explained(self, given: Tensor, t: int, rank: int) -> Tensor:  # noqa: ARG002 there is one output alone
        """Of the sum of the output at step t."""
        if self.entries is not None:
            raise Refused(422, "a module that reads numbers of tokens has no gradient to them", where="sensitivity")
        ahead = any(layer.reverse for layer in self.layers.values())
        x = (given if ahead else given[: t + 1]).to(next(self.model.parameters()).dtype)
        return sensitivity(_ByStep(self), x, lambda output: output[t].sum(), method="gradient")[: t + 1]


class _ByStep(nn.Module):
    """The output, a row for each step, of an input with a row for each step."""

    def __init__(self, opened: ReadsNumbers):
        super().__init__()
        self.opened = [opened]  # in a list, so that it is no module of this one

    def forward(self, x: Tensor) -> Tensor:
        found = self.opened[0].output(x)
        if found is None:
            raise Refused(422, "the model has no output for each step", where="sensitivity")
        return found


def _sizes(model: nn.Module) -> tuple[int, ...]:
    """How many numbers each input of a model has a step: those of the first module that says so."""
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            return (1,)
        for attribute in ("input_size", "in_features"):
            size = getattr(module, attribute, None)
            if isinstance(size, int):
                return (size,)
            if isinstance(size, tuple):
                return size
    raise Refused(422, "no layer of this model says how many features it reads")
