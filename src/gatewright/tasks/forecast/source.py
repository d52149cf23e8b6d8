"""Where training takes its windows from: which, how often, and in what order."""

from __future__ import annotations

import typing
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from gatewright.tasks.errors import SettingsError

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from gatewright.tasks.forecast.windows import Batch, Windows

__all__ = ["InMemory", "Sampling", "Source"]

Weights = Literal["windows", "series", "scale"]


@dataclass(frozen=True)
class Sampling:
    """How windows are drawn for training.

    batch_size: windows a batch. windows: an epoch (every one once). stride: rows between origins, counted back from
    each series' end: with a season's length, all windows are in the phase in which the forecast will be. weights:
    "windows", each alike; "series", every series alike, however long; "scale", series in proportion to their mean size
    (Salinas et al. 2020). seed: of the draw. buffer_rows: rows that are in memory at a time, where a Parquet file is
    streamed (all).
    """

    batch_size: int = 64
    windows: int | None = None
    stride: int = 1
    weights: Weights = "windows"
    seed: int = 0
    buffer_rows: int | None = None

    def __post_init__(self) -> None:
        for name in ("batch_size", "windows", "stride", "buffer_rows"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SettingsError(f"setting {name}: expected a number of at least 1, got {value!r}")
        if self.weights not in typing.get_args(Weights):
            known = ", ".join(typing.get_args(Weights))
            raise SettingsError(f"setting weights: expected one of {known}, got {self.weights!r}")


class Source(ABC):
    """Batches of windows for training and for validation."""

    training_windows: int
    validation_windows: int

    @abstractmethod
    def batches(self, epoch: int) -> int:
        """Batches in an epoch."""

    @abstractmethod
    def batch(self, epoch: int, index: int, rank: int = 0, world: int = 1) -> Batch:
        """A batch of an epoch, or the part of it that one of `world` processes takes: rows rank, rank + world, …

        A function of its arguments alone.
        """

    @property
    @abstractmethod
    def valid(self) -> Windows:
        """The windows of validation; where data are streamed, those of the part that has the most."""

    @abstractmethod
    def validation(self, batch_size: int, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """The windows of validation, or the part of them that one of `world` processes takes."""


class InMemory(Source):
    """Windows of series that are in memory.

    train, valid: the windows. sizes: (N,) of each series, for weights by scale. part: tells the draws of several such
    sources apart.
    """

    def __init__(
        self, train: Windows, valid: Windows, sampling: Sampling, sizes: Float[np.ndarray, " N"], part: int = 0
    ) -> None:
        self.train, self._valid, self.sampling, self.sizes, self.part = train, valid, sampling, sizes, part
        self.training_windows, self.validation_windows = len(train), len(valid)
        self._drawn: tuple[int, Int[np.ndarray, " W"]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_drawn": None}

    @property
    def valid(self) -> Windows:
        return self._valid

    def batches(self, epoch: int) -> int:  # noqa: ARG002 - every epoch has as many
        return max(1, (self.sampling.windows or len(self.train)) // self.sampling.batch_size)

    def batch(self, epoch: int, index: int, rank: int = 0, world: int = 1) -> Batch:
        size = self.sampling.batch_size
        return self.train.batch(self._some(epoch, index * size, (index + 1) * size, world)[rank::world])

    def validation(self, batch_size: int, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        mine = self.valid[rank::world]
        return mine.batches(batch_size)

    def _some(self, epoch: int, begin: int, end: int, world: int) -> Int[np.ndarray, " B"]:
        """A stretch of the epoch's windows; every process has one at least."""
        some = self.order(epoch)[begin:end]
        return np.resize(some, max(len(some), world))

    def order(self, epoch: int) -> Int[np.ndarray, " W"]:
        """The windows of an epoch, as they are drawn."""
        if self._drawn is None or self._drawn[0] != epoch:
            self._drawn = epoch, self._draw(np.random.default_rng([self.sampling.seed, epoch, self.part]))
        return self._drawn[1]

    def _draw(self, generator: np.random.Generator) -> Int[np.ndarray, " W"]:
        whole = len(self.train)
        count = self.sampling.windows or whole
        if self.sampling.weights == "windows":
            times = -(-count // whole)
            return np.concatenate([generator.permutation(whole) for _ in range(times)])[:count]
        series, first, counts = np.unique(self.train.item, return_index=True, return_counts=True)
        weight = self.sizes[series] if self.sampling.weights == "scale" else np.ones(len(series))
        weight = weight if weight.any() else np.ones(len(series))
        drawn = generator.choice(len(series), count, p=weight / weight.sum())
        return first[drawn] + generator.integers(counts[drawn])
