"""Dropout on what goes into and comes out of recurrent layers: locked over time, and of whole words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from . import arguments

if TYPE_CHECKING:
    from jaxtyping import Float, Int

KINDS = ("fresh", "locked")


def between(x: Float[Tensor, "T B I"], p: float, kind: str, training: bool) -> Float[Tensor, "T B I"]:
    """Dropout of what one layer gives the next: drawn at each step, or locked over time."""
    return locked(x, p, training) if kind == "locked" else functional.dropout(x, p, training)


def locked(x: Tensor, p: float, training: bool, *, time: int = 0) -> Tensor:
    """x with one mask for all steps of the axis `time`; the units that stay are scaled by 1 / (1 − p)."""
    if not training or p == 0:
        return x
    shape = list(x.shape)
    shape[time] = 1
    return x * functional.dropout(x.new_ones(shape), p)


def check_kind(kind: object) -> str:
    """How dropout between layers is drawn."""
    if kind not in KINDS:
        raise arguments.wrong("dropout_kind", "'fresh' or 'locked'", repr(kind))
    return str(kind)


def _probability(p: object) -> float:
    if isinstance(p, bool) or not isinstance(p, int | float):
        raise TypeError(f"p: expected a probability, got {p!r}")
    if not 0 <= p <= 1:
        raise arguments.wrong("p", "a probability from 0 to 1", p)
    return float(p)


class LockedDropout(nn.Module):
    """Dropout with one mask for all steps: a unit of a sequence is 0 at every step or at none.

    In training a unit is 0 with probability p, drawn once a call for each sequence and unit; the rest is scaled by
    1 / (1 − p). In evaluation nothing happens. Between the layers of one module it is `dropout_kind="locked"`.

    Args:
        p: the probability, default 0.5.
        batch_first: inputs are (B, T, features) rather than (T, B, features).

    Shapes: (T, B, …), or (T, features) for one sequence; the output has the same.

    Source: Y. Gal and Z. Ghahramani, A theoretically grounded application of dropout in recurrent neural networks,
    2016; as in S. Merity, N. S. Keskar and R. Socher, Regularizing and optimizing LSTM language models, 2018.

    >>> import gatewright as gw, torch
    >>> y = gw.LockedDropout(0.5)(torch.ones(4, 2, 3))
    >>> torch.equal(y, y[:1].expand(4, 2, 3))
    True
    """

    def __init__(self, p: float = 0.5, *, batch_first: bool = False):
        super().__init__()
        self.p, self.batch_first = _probability(p), arguments.check_flag("batch_first", batch_first)

    def forward(self, input: Tensor) -> Tensor:
        if arguments.check_tensor("input", input).dim() < 2:
            layout = "(B, T, …)" if self.batch_first else "(T, B, …)"
            raise arguments.wrong("input", f"{layout} or (T, features)", f"shape {tuple(input.shape)}")
        return locked(input, self.p, self.training, time=1 if self.batch_first and input.dim() > 2 else 0)

    def extra_repr(self) -> str:
        return f"p={self.p}" + (", batch_first=True" if self.batch_first else "")


class EmbeddingDropout(nn.Module):
    """An embedding that drops whole words: a word's vector is 0 in all of its places of a call, or in none.

    In training every word of the vocabulary is dropped with probability p, drawn once a call; the vectors of the rest
    are scaled by 1 / (1 − p). In evaluation it is the embedding. Only the words that are met cost anything.

    Args:
        embedding: an `nn.Embedding`; its settings are taken over, and its very weight is shared, so that one tied to
            it stays tied. The `state_dict` is that of the embedding: `weight`.
        p: the probability, default 0.1.

    Shapes: tokens of any shape (…) give (…, embedding_dim).

    Source: Y. Gal and Z. Ghahramani, A theoretically grounded application of dropout in recurrent neural networks,
    2016; as in S. Merity, N. S. Keskar and R. Socher, Regularizing and optimizing LSTM language models, 2018.

    >>> import gatewright as gw, torch
    >>> embedding = gw.EmbeddingDropout(torch.nn.Embedding(100, 8), 0.1)
    >>> embedding(torch.randint(100, (35, 4))).shape, list(embedding.state_dict())
    (torch.Size([35, 4, 8]), ['weight'])
    """

    def __init__(self, embedding: nn.Embedding, p: float = 0.1):
        super().__init__()
        if type(embedding) is not nn.Embedding:
            got = f"a {type(embedding).__name__}"
            remedy = "a subclass or a parametrised one may do something else with its weight"
            raise TypeError(f"embedding: expected an nn.Embedding itself, got {got}; {remedy}")
        self.p = _probability(p)
        self.num_embeddings, self.embedding_dim = embedding.num_embeddings, embedding.embedding_dim
        self.padding_idx, self.max_norm, self.norm_type = embedding.padding_idx, embedding.max_norm, embedding.norm_type
        self.scale_grad_by_freq, self.sparse = embedding.scale_grad_by_freq, embedding.sparse
        self.weight = embedding.weight

    def forward(self, input: Int[Tensor, "*places"]) -> Float[Tensor, "*places E"]:
        if arguments.check_tensor("input", input).dtype not in (torch.int64, torch.int32):
            raise arguments.wrong("input", "numbers of words (torch.int64)", input.dtype)
        if input.device != self.weight.device:
            raise arguments.wrong("input", f"device {self.weight.device}, where the weight is", input.device)
        vectors = functional.embedding(
            input, self.weight, self.padding_idx, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.sparse
        )
        if not self.training or self.p == 0:
            return vectors
        kept = functional.dropout(vectors.new_ones(self.num_embeddings), self.p)
        return vectors * kept[input].unsqueeze(-1)

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}, p={self.p}"
