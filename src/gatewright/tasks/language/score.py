"""What a text costs a language model, as one sequence: the state is carried from the first token to the last."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from jaxtyping import Float, Int64, Integer

    from gatewright.tasks.language.network import LanguageNetwork

__all__ = ["LOGITS", "Score", "negative_log_likelihood", "score", "stretches"]

LOGITS = 1 << 23  # numbers in one array of logits, at most, when scoring

Head = Callable[["Float[Tensor, 'T H']", "Int64[Tensor, ' T']"], float]
"""From the last layer's outputs and the tokens that came, their nats."""


class Score(NamedTuple):
    """Negative log-likelihood of a text in nats, and its numbers of predictions and unknown tokens."""

    nats: float
    predictions: int
    unknown: int

    @property
    def loss(self) -> float:
        """Nats a token."""
        return self.nats / self.predictions

    @property
    def perplexity(self) -> float:
        """exp(loss)."""
        return math.exp(self.loss) if self.loss < 700 else math.inf


def score(
    network: LanguageNetwork,
    arrays: Iterable[Integer[np.ndarray, " N"]],
    *,
    unknown: int | None = None,
    chunk: int | None = None,
    head: Head | None = None,
) -> Score:
    """Score a stream of tokens as one sequence: every token but the first, given all before it.

    The state is carried from the first token to the last, so the result does not depend on how the stream is
    cut; `chunk` steps are run at a time. `head`: what turns outputs into nats, in the order of the text; the output
    layer's softmax, where none is given.
    """
    device = network.embedding.weight.device
    chunk = chunk or max(1, min(1024, LOGITS // network.embedding.num_embeddings))
    head = head or (lambda y, targets: negative_log_likelihood(network.logits(y), targets))
    network.eval()
    nats, count, lacking, state = 0.0, 0, 0, None
    with torch.no_grad():
        for piece in stretches(arrays, chunk):
            # The first token of a stretch was the last of the one before, and has been counted there.
            lacking += 0 if unknown is None else int((piece[1 if count else 0 :] == unknown).sum())
            tokens = torch.from_numpy(piece).to(device)
            y, state = network.outputs(tokens[:-1, None], state)
            nats += head(y[:, 0], tokens[1:])
            count += len(piece) - 1
    return Score(nats, count, lacking)


def stretches(arrays: Iterable[Integer[np.ndarray, " N"]], steps: int) -> Iterator[Integer[np.ndarray, " T1"]]:
    """A stream of tokens in stretches of `steps` predictions, the last of them perhaps shorter; each begins with the
    token that the one before ended with. How the stream is cut into arrays does not matter.

    >>> [s.tolist() for s in stretches([np.array([1, 2, 3]), np.array([4, 5, 6])], 2)]
    [[1, 2, 3], [3, 4, 5], [5, 6]]
    """
    kept = np.empty(0, np.int64)
    for array in arrays:
        kept = np.concatenate([kept, array.astype(np.int64)])
        while len(kept) > steps:
            yield kept[: steps + 1]
            kept = kept[steps:]
    if len(kept) > 1:
        yield kept


def negative_log_likelihood(logits: Float[Tensor, "N V"], targets: Int64[Tensor, " N"]) -> float:
    """Summed over N in float64, in nats."""
    wide = logits if logits.dtype in (torch.float32, torch.float64) else logits.float()
    return F.cross_entropy(wide, targets, reduction="none").double().sum().item()
