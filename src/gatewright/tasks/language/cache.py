"""The neural cache (E. Grave, A. Joulin and N. Usunier, Improving neural language models with a continuous cache,
2017): what came behind like states a while ago is likelier to come again.

    p_cache(w) ∝ Σ_i 1{x_{i+1} = w} · exp(θ h_t · h_i)      over the last `window` steps i
    p(w) = (1 − λ) p_model(w) + λ p_cache(w)

h is the last layer's output. Nothing is trained: a cache is put behind any model when it is evaluated.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gatewright.tasks.language.score import Score, score
from gatewright.tasks.settings import Settings, setting

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int64, Integer

    from gatewright.tasks.language.network import LanguageNetwork

__all__ = ["Cache", "cache_score", "choose_cache"]

THETAS = (0.03, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)
WEIGHTS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3)


@dataclass(frozen=True)
class Cache(Settings):
    """A neural cache: how much it remembers, and how much it says.

    >>> import gatewright as gw
    >>> gw.tasks.Cache(window=500, theta=1.0)
    Cache(window=500, theta=1.0, weight=0.1)
    """

    window: int = setting(2000, "tokens that are remembered")
    theta: float = setting(0.3, "θ: how alike a state must be; 0: all that is remembered counts the same")
    weight: float = setting(0.1, "λ: the share of the cache in the probability")

    def check(self) -> None:
        self._at_least("window", 1)
        self._at_least("theta", 0)
        self._below_one("weight")


def cache_score(
    network: LanguageNetwork,
    arrays: Iterable[Integer[np.ndarray, " N"]],
    cache: Cache,
    *,
    unknown: int | None = None,
    chunk: int | None = None,
) -> Score:
    """The score of a stream of tokens with a cache; see `language_score.score`."""
    head = _Head(network, cache.window, [cache.theta], [cache.weight])
    return score(network, arrays, unknown=unknown, chunk=chunk, head=head)


def choose_cache(
    network: LanguageNetwork,
    arrays: Iterable[Integer[np.ndarray, " N"]],
    *,
    window: int = 2000,
    thetas: Sequence[float] = THETAS,
    weights: Sequence[float] = WEIGHTS,
) -> Cache:
    """The cache with the best score on a stream of tokens, of all pairs of θ and λ, in one pass."""
    head = _Head(network, window, thetas, weights)
    score(network, arrays, head=head)
    k, j = divmod(int(head.nats.argmin()), len(weights))
    return Cache(window=window, theta=thetas[k], weight=weights[j])


class _Head:
    """Turns outputs into nats with a cache; `nats` has the sums for every pair of θ and λ, (thetas, weights)."""

    def __init__(
        self, network: LanguageNetwork, window: int, thetas: Sequence[float], weights: Sequence[float]
    ) -> None:
        self.network, self.window, self.thetas = network, window, thetas
        self.weights = torch.tensor(weights, dtype=torch.float64)
        self.nats = torch.zeros(len(thetas), len(weights), dtype=torch.float64)
        self._outputs: Tensor | None = None  # of the last `window` steps, (W, H)
        self._came: Tensor | None = None  # the tokens that came behind them

    def __call__(self, y: Float[Tensor, "T H"], targets: Int64[Tensor, " T"]) -> float:
        logits = self.network.logits(y)
        wide = logits if logits.dtype == torch.float64 else logits.float()
        own = (-F.cross_entropy(wide, targets, reduction="none")).double().exp().cpu()
        nats = torch.zeros_like(self.nats)
        for k, (mass, empty) in enumerate(self._masses(y if y.dtype == torch.float64 else y.float(), targets)):
            share = torch.where(empty[:, None], 0.0, self.weights)  # before the first step there is nothing to remember
            mixed = (1 - share) * own[:, None] + share * mass.double().cpu()[:, None]
            nats[k] = -mixed.log().sum(0)
        self.nats += nats
        return nats[0, 0].item()

    def _masses(self, y: Tensor, targets: Tensor) -> Iterable[tuple[Tensor, Tensor]]:
        """For each θ what the cache gives the targets, (T,), and where it was empty."""
        outputs = y if self._outputs is None else torch.cat([self._outputs, y])
        came = targets if self._came is None else torch.cat([self._came, targets])
        seen = _seen(len(y), len(outputs), self.window).to(y.device)
        alike, same = y @ outputs.T, came == targets[:, None]
        self._outputs, self._came = outputs[-self.window :], came[-self.window :]
        empty = ~seen.any(1).cpu()
        for theta in self.thetas:
            chances = (theta * alike).masked_fill(~seen, -torch.inf).softmax(1).nan_to_num()  # NaN where it is empty
            yield (chances * same).sum(1), empty


def _seen(steps: int, kept: int, window: int) -> Bool[Tensor, "T W"]:
    """Which of the kept steps, the last of them the new ones, each new step remembers: the `window` before it."""
    now = torch.arange(kept - steps, kept)[:, None]
    then = torch.arange(kept)
    return (then < now) & (then >= now - window)
