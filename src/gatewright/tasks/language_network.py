"""The network of a language model: embedding, recurrent layers, output."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gatewright as gw
from gatewright.tasks.errors import SettingsError, TaskError, first_line

if TYPE_CHECKING:
    from jaxtyping import Float, Int64, Integer

    from gatewright.tasks.language_settings import LanguageSettings

__all__ = ["LanguageNetwork", "Score", "check_network", "detach", "score"]

LOGITS = 1 << 23  # numbers in one array of logits, at most, when scoring


class LanguageNetwork(nn.Module):
    """Embedding -> dropout -> recurrent layers -> dropout -> output; time first.

    `cell`: a `gw.Cell`; `size`: entries of the vocabulary, V. Raises `SettingsError` where tied widths do not
    fit.
    """

    def __init__(self, cell: Any, size: int, settings: LanguageSettings) -> None:
        super().__init__()
        s = settings
        width = s.embedding_size or ((s.projection or s.hidden_size) if s.is_tied else min(s.hidden_size, 128))
        self.embedding = nn.Embedding(size, width)
        self.recurrent = gw.Recurrent(
            cell,
            width,
            s.hidden_size,
            s.num_layers,
            dropout=s.dropout if s.num_layers > 1 else 0.0,
            backend=s.backend,
            heads=s.heads,
            sizes={"P": s.projection} if s.projection else None,
        )
        features = self.recurrent.output_size
        if s.is_tied and features != width:
            raise SettingsError(
                f"setting embedding_size: tied weights need the cell's output width, {features}, got {width}"
            )
        self.decoder = None if s.is_tied else nn.Linear(features, size, bias=False)
        self.bias = nn.Parameter(torch.zeros(size))
        if s.is_tied:
            nn.init.normal_(self.embedding.weight, std=width**-0.5)
        self.drop_in = s.dropout if s.dropout_embedding is None else s.dropout_embedding
        self.drop_out = s.dropout if s.dropout_output is None else s.dropout_output

    def backend(self) -> str:
        """What runs the cell in training, in the layer's own words; it does not depend on how long the input is."""
        weight = self.embedding.weight
        return str(self.recurrent.backend_for(weight.new_zeros(1, 1, weight.shape[1])))

    def forward(self, tokens: Int64[Tensor, "T B"], state: Any = None) -> tuple[Float[Tensor, "T B V"], Any]:
        """Logits of the token after each, and the state after the last."""
        x = F.dropout(self.embedding(tokens), self.drop_in, self.training)
        y, state = self.recurrent(x, state)
        return self.logits(F.dropout(y, self.drop_out, self.training)), state

    def step(self, tokens: Int64[Tensor, " B"], state: Any) -> tuple[Float[Tensor, "B V"], Any]:
        """One step without dropout, for generation."""
        y, state = self.recurrent.step(self.embedding(tokens), state)
        return self.logits(y), state

    def logits(self, y: Float[Tensor, "... H"]) -> Float[Tensor, "... V"]:
        """The output layer, whose matrix is the embedding's where they are tied."""
        matrix = self.embedding.weight if self.decoder is None else self.decoder.weight
        return F.linear(y, matrix, self.bias)


def check_network(cell: Any, size: int, settings: LanguageSettings) -> None:
    """Raise `SettingsError` where no network can be made: widths, heads, backend and memory must fit."""
    try:
        LanguageNetwork(cell, size, settings).backend()
    except (TaskError, gw.CellError):
        raise
    except (ValueError, RuntimeError, MemoryError) as error:
        reason = first_line(error)
        if "allocate memory" in reason or "overflow" in reason:
            reason = (
                f"hidden_size {settings.hidden_size} and num_layers {settings.num_layers} need more memory than is here"
            )
        raise SettingsError(f"these settings make no network: {reason}") from error


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
) -> Score:
    """Score a stream of tokens as one sequence: every token but the first, given all before it.

    The state is carried from the first token to the last, so the result does not depend on how the stream is
    cut; `chunk` steps are run at a time.
    """
    device = network.embedding.weight.device
    chunk = chunk or max(1, min(1024, LOGITS // network.embedding.num_embeddings))
    network.eval()
    nats, count, lacking, last, state = 0.0, 0, 0, np.empty(0, np.int64), None
    with torch.no_grad():
        for array in arrays:
            lacking += 0 if unknown is None else int((array == unknown).sum())
            for piece in _pieces(array, chunk):
                tokens = torch.from_numpy(np.concatenate([last, piece]).astype(np.int64)).to(device)
                last = piece[-1:]
                if len(tokens) < 2:
                    continue
                logits, state = network(tokens[:-1, None], state)
                nats += negative_log_likelihood(logits[:, 0], tokens[1:])
                count += len(tokens) - 1
    return Score(nats, count, lacking)


def negative_log_likelihood(logits: Float[Tensor, "N V"], targets: Int64[Tensor, " N"]) -> float:
    """Summed over N in float64, in nats."""
    return F.cross_entropy(_wide(logits), targets, reduction="none").double().sum().item()


def mean_loss(logits: Float[Tensor, "T B V"], targets: Int64[Tensor, "T B"]) -> Float[Tensor, ""]:
    """Mean cross-entropy in nats."""
    return F.cross_entropy(_wide(logits).flatten(0, 1), targets.flatten())


def detach(state: Any) -> Any:
    """The state without its history, so that the gradient stops here."""
    return state.detach() if isinstance(state, Tensor) else tuple(s.detach() for s in state)


def _wide(logits: Tensor) -> Tensor:
    return logits if logits.dtype in (torch.float32, torch.float64) else logits.float()


def _pieces(array: np.ndarray, chunk: int) -> Iterator[np.ndarray]:
    for start in range(0, len(array), chunk):
        yield array[start : start + chunk]
