"""A linear-chain conditional random field: the probability of a whole sequence of tags, and the likeliest one.

    score(y | x) = start[y₁] + Σₜ emissions[t, yₜ] + Σₜ transitions[yₜ₋₁, yₜ] + end[y_T]
    p(y | x)     = exp score(y | x) / Σ_y′ exp score(y′ | x)

The sum over all sequences is the forward algorithm, the likeliest sequence is Viterbi's; a step is one for the whole
batch.

Source: J. Lafferty, A. McCallum and F. Pereira, Conditional random fields: probabilistic models for segmenting and
labeling sequence data, 2001; on top of an LSTM: Z. Huang, W. Xu and K. Yu, Bidirectional LSTM-CRF models for sequence
tagging, 2015.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from gatewright.nn.sequences import mask
from gatewright.tasks.tag.spans import Scheme, follows

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int64

__all__ = ["CRF", "allowed_tags", "viterbi"]


class CRF(nn.Module):
    """A linear-chain CRF over K tags; times go first, as everywhere.

    Args:
        tags: how many tags there are, K.

    Shapes: emissions (T, B, K), tags (T, B), lengths (B,) from 1 to T; what lies behind a sentence's end counts for
    nothing.

    Parameters: `transitions` (K, K), from a tag to the next one; `start` and `end` (K,); they begin at 0.

    >>> import torch
    >>> crf = CRF(3)
    >>> emissions, lengths = torch.zeros(4, 2, 3), torch.tensor([4, 1])
    >>> crf(emissions, torch.zeros(4, 2, dtype=torch.int64), lengths).exp().round().tolist()
    [81.0, 3.0]
    """

    def __init__(self, tags: int) -> None:
        super().__init__()
        self.transitions = nn.Parameter(torch.zeros(tags, tags))
        self.start = nn.Parameter(torch.zeros(tags))
        self.end = nn.Parameter(torch.zeros(tags))

    def forward(
        self, emissions: Float[Tensor, "T B K"], tags: Int64[Tensor, "T B"], lengths: Int64[Tensor, " B"]
    ) -> Float[Tensor, " B"]:
        """−ln p(tags | emissions) of every sentence."""
        wide = _wide(emissions)
        return (self._log_sum(wide, lengths) - self._score(wide, tags, lengths)).to(self.start.dtype)

    def _score(self, emissions: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        inside = mask(lengths, len(emissions))
        at = emissions.gather(-1, tags.unsqueeze(-1)).squeeze(-1)
        between = self.transitions.to(emissions.dtype)[tags[:-1], tags[1:]]
        last = tags.gather(0, (lengths - 1).unsqueeze(0)).squeeze(0)
        steps = at.where(inside, 0).sum(0) + between.where(inside[1:], 0).sum(0)
        return steps + self.start[tags[0]] + self.end[last]

    def _log_sum(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """The forward algorithm. A step is one product of matrices, of exponentials with the largest one at 1."""
        matrix = self.transitions.to(emissions.dtype)
        top = matrix.detach().max()
        factors = (matrix - top).exp()  # (K, K)
        smallest = torch.finfo(emissions.dtype).tiny
        total = self.start + emissions[0]  # (B, K): ln of the sum over all sequences that end in a tag
        for t in range(1, len(emissions)):
            most = total.detach().amax(-1, keepdim=True)
            summed = ((total - most).exp() @ factors).clamp(min=smallest).log()
            total = (summed + most + top + emissions[t]).where((t < lengths).unsqueeze(-1), total)
        return (total + self.end).logsumexp(-1)

    def decode(
        self,
        emissions: Float[Tensor, "T B K"],
        lengths: Int64[Tensor, " B"],
        allowed: tuple[Tensor, Tensor, Tensor] | None = None,
    ) -> Int64[Tensor, "T B"]:
        """The likeliest tags; `allowed` is what `allowed_tags` returns."""
        return viterbi(emissions, lengths, self.transitions, self.start, self.end, allowed)


def viterbi(
    emissions: Float[Tensor, "T B K"],
    lengths: Int64[Tensor, " B"],
    transitions: Float[Tensor, "K K"],
    start: Float[Tensor, " K"],
    end: Float[Tensor, " K"],
    allowed: tuple[Tensor, Tensor, Tensor] | None = None,
) -> Int64[Tensor, "T B"]:
    """The sequence of tags with the highest score, 0 behind a sentence's end.

    >>> import torch
    >>> steps = torch.tensor([[[0.0, 1.0]], [[0.0, 2.0]]])
    >>> never_twice = torch.tensor([[0.0, 0.0], [0.0, -9.0]])
    >>> viterbi(steps, torch.tensor([2]), never_twice, torch.zeros(2), torch.zeros(2)).T
    tensor([[0, 1]])
    """
    if allowed is not None:
        pairs, first, last = allowed
        transitions, start, end = (
            scores.masked_fill(~may, -torch.inf)
            for scores, may in ((transitions, pairs), (start, first), (end, last))
        )  # fmt: skip
    total, back = start + emissions[0], []
    same = torch.arange(emissions.shape[-1], device=emissions.device).expand_as(total)
    for t in range(1, len(emissions)):
        best, origin = (total.unsqueeze(-1) + transitions).max(1)  # over the tag before
        goes_on = (t < lengths).unsqueeze(-1)
        total = (best + emissions[t]).where(goes_on, total)
        back.append(origin.where(goes_on, same))
    tags = [(total + end).argmax(-1)]
    for origin in reversed(back):
        tags.append(origin.gather(-1, tags[-1].unsqueeze(-1)).squeeze(-1))
    return torch.stack(tags[::-1]).where(mask(lengths, len(emissions)), 0)


def allowed_tags(
    tags: Sequence[str], scheme: Scheme, seen: Sequence[tuple[str | None, str | None]] = ()
) -> tuple[Bool[Tensor, "K K"], Bool[Tensor, " K"], Bool[Tensor, " K"]]:
    """Which tag may follow which, which may begin and which may end a sentence.

    Args:
        tags: their names, K of them.
        scheme: what `find_scheme` found.
        seen: pairs (before, after) that are allowed besides, since the training data has them; None is the edge.

    >>> pairs, first, last = allowed_tags(["O", "B-x", "I-x"], "BIO")
    >>> pairs.tolist(), first.tolist()
    ([[True, True, False], [True, True, True], [True, True, True]], [True, True, False])
    """
    extra = set(seen)

    def may(before: str | None, after: str | None) -> bool:
        return follows(before, after, scheme) or (before, after) in extra

    pairs = torch.tensor([[may(before, after) for after in tags] for before in tags])
    return pairs, torch.tensor([may(None, tag) for tag in tags]), torch.tensor([may(tag, None) for tag in tags])


def _wide(emissions: Tensor) -> Tensor:
    """In float64 exponentials reach over 700 nats; Apple's GPUs have none."""
    return emissions.float() if emissions.device.type == "mps" else emissions.double()
