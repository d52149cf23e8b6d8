"""Batches of sequences of about one length, shuffled by seed, padded, and changed a little (augmentation)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gatewright.tasks.classify.sequences import Sequences
from gatewright.tasks.classify.settings import ClassifySettings

if TYPE_CHECKING:
    from jaxtyping import Int

__all__ = ["Batch", "Changes", "by_length", "epoch_order", "padded"]

POOL = 32  # batches that are sorted by length together


class Batch(NamedTuple):
    """x: (T, B, F) features or (T, B) tokens. lengths: (B,). targets: (B,). share: what a process has of the batch on
    average; one may have a sequence more.
    """

    x: Tensor
    lengths: Tensor
    targets: Tensor
    share: float


def padded(parts: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Sequences side by side, 0 behind their ends, and their lengths.

    >>> x, lengths = padded([np.ones((2, 1), np.float32), np.ones((1, 1), np.float32)])
    >>> x[:, :, 0].tolist(), lengths.tolist()
    ([[1.0, 1.0], [1.0, 0.0]], [2, 1])
    """
    lengths = [len(part) for part in parts]
    kind = np.int64 if parts[0].dtype.kind in "iu" else np.float32
    x = np.zeros((max(lengths), len(parts), *parts[0].shape[1:]), kind)
    for k, part in enumerate(parts):
        x[: len(part), k] = part
    return torch.from_numpy(x), torch.tensor(lengths)


def by_length(lengths: Int[np.ndarray, " n"], size: int) -> list[np.ndarray]:
    """Indices in batches, the longest first; for evaluation."""
    order = np.argsort(-lengths, kind="stable")
    return [order[k : k + size] for k in range(0, len(order), size)]


def epoch_order(
    lengths: Int[np.ndarray, " n"], size: int, seed: Sequence[int], drawn: np.ndarray | None = None
) -> list[np.ndarray]:
    """An epoch's batches: shuffled, in pools sorted by length so that there is little padding, batches shuffled.

    drawn: a probability for each sequence, with which it is drawn, with replacement; default all, once.

    >>> sorted(sorted(b.tolist()) for b in epoch_order(np.array([9, 1, 9, 1]), 2, [0, 0]))
    [[0, 2], [1, 3]]
    """
    generator = np.random.default_rng(seed)
    count = len(lengths)
    order = generator.permutation(count) if drawn is None else generator.choice(count, count, p=drawn)
    batches: list[np.ndarray] = []
    for k in range(0, count, POOL * size):
        pool = order[k : k + POOL * size]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += [pool[j : j + size] for j in range(0, len(pool), size)]
    return [batches[int(k)] for k in generator.permutation(len(batches))]


def equal_chances(targets: np.ndarray) -> np.ndarray:
    """A probability for each sequence that makes all classes alike."""
    counts = np.bincount(targets)
    weights = 1 / counts[targets]
    return weights / weights.sum()


class Changes:
    """The augmentations of the settings, of one sequence at a time, by a generator of its own.

    config: what the model knows of the data: the mean and scale of features, the tokenizer of text.
    Noise, scaling, rotation and warping of time: T. T. Um et al., Data augmentation of wearable sensor data, 2017.
    Masks: D. S. Park et al., SpecAugment, 2019.
    """

    def __init__(self, settings: ClassifySettings, config: dict[str, Any]) -> None:
        s = self.settings = settings
        self.mean = np.array(config.get("mean") or [0.0], np.float32)
        self.scale = np.array(config.get("scale") or [1.0], np.float32)
        self.tokens = config["input"] == "tokens"
        self.drops = self.tokens and config["tokenizer"]["kind"] in ("words", "chars")  # whose number 0 is the unknown
        on_numbers = (s.noise, s.scaling, s.warp, s.rotation, s.mask_time, s.mask_features)
        self.any = bool(s.shift or (s.drop_tokens and self.drops if self.tokens else any(on_numbers)))

    def __call__(self, x: np.ndarray, seed: Sequence[int]) -> np.ndarray:
        """The sequence changed; itself where nothing is set."""
        if not self.any:
            return x
        s, generator = self.settings, np.random.default_rng(seed)
        if s.shift:
            x = cut(x, s.shift, generator)
        if self.tokens:
            return np.where(generator.random(len(x)) < s.drop_tokens, 0, x) if self.drops else x
        if s.warp:
            x = warped(x, s.warp, generator)
        if s.rotation:
            x = rotated(x, s.rotation, generator)
        if s.scaling:
            x = x * (1 + generator.uniform(-s.scaling, s.scaling, x.shape[1])).astype(np.float32)
        if s.noise:
            x = x + s.noise * self.scale * generator.standard_normal(x.shape, np.float32)
        return self._masked(x, generator)

    def _masked(self, x: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        s = self.settings
        if not (s.mask_time or s.mask_features):
            return x
        x, fill = x.copy(), x.mean(0) if s.normalize == "sequence" else np.broadcast_to(self.mean, x.shape[1:])
        for _ in range(2):  # two masks of each kind, as in the paper's stronger policies
            first, end = stretch(len(x), s.mask_time, generator)
            x[first:end] = fill
            first, end = stretch(x.shape[1], s.mask_features, generator)
            x[:, first:end] = fill[first:end]
        return x


def stretch(count: int, share: float, generator: np.random.Generator) -> tuple[int, int]:
    """Where a random stretch of at most a share begins and ends."""
    width = int(generator.integers(int(share * count) + 1))
    first = int(generator.integers(count - width + 1))
    return first, first + width


def cut(x: np.ndarray, share: float, generator: np.random.Generator) -> np.ndarray:
    """Without up to a share of its steps, some from each end; one step is left at least."""
    gone = int(generator.integers(int(share * len(x)) + 1))
    first = int(generator.integers(gone + 1))
    return x[first : len(x) - gone + first]


def warped(x: np.ndarray, share: float, generator: np.random.Generator) -> np.ndarray:
    """Read at a speed that changes smoothly from 1 − share to 1 + share; of the same length and duration."""
    steps = len(x)
    knots = generator.uniform(1 - share, 1 + share, 5)
    speed = np.interp(np.arange(steps), np.linspace(0, max(steps - 1, 1), 5), knots)
    at = np.cumsum(speed) - speed[0]
    at *= (steps - 1) / at[-1] if at[-1] > 0 else 0.0
    below = np.minimum(at.astype(np.int64), max(steps - 2, 0))
    part = (at - below).astype(np.float32)[:, None]
    return x[below] * (1 - part) + x[np.minimum(below + 1, steps - 1)] * part


def rotated(x: np.ndarray, degrees: float, generator: np.random.Generator) -> np.ndarray:
    """All threes of features turned alike, about a random axis (Rodrigues' formula)."""
    axis = generator.standard_normal(3)
    axis /= np.linalg.norm(axis)
    angle = np.deg2rad(generator.uniform(-degrees, degrees))
    a, b, c = axis
    cross = np.array([[0, -c, b], [c, 0, -a], [-b, a, 0]])
    turn = (np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross).astype(np.float32)
    threes = x.shape[1] // 3
    turned = (x[:, : 3 * threes].reshape(len(x), threes, 3) @ turn.T).reshape(len(x), 3 * threes)
    return np.concatenate([turned, x[:, 3 * threes :]], 1)


def batch_of(
    found: Sequences,
    targets: np.ndarray,
    chosen: np.ndarray,
    changes: Changes | None,
    seed: Sequence[int],
    share: float,
) -> Batch:
    """A padded batch of some sequences; `seed` and a sequence's number make its augmentation."""
    parts = [found[int(k)] if changes is None else changes(found[int(k)], [*seed, int(k)]) for k in chosen]
    x, lengths = padded(parts)
    return Batch(x, lengths, torch.from_numpy(targets[chosen]), share)
