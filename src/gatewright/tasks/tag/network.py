"""The network of a tagger: words and their characters, a recurrence in both directions, tags and an intent.

    x_t = [word vector ; what its characters say]
    h_1 … h_T = recurrent layers in both directions over x
    z = Σ_t a_t h_t,  a = softmax_t(v·tanh(A h_t))        (pooling "attention"; or the maximum, or the mean)
    p(intent) = softmax(C z)
    emissions_t = E h_t + F p(intent)
    p(tags) = CRF(emissions), or softmax(emissions_t) at each word

Sources: G. Lample et al., Neural architectures for named entity recognition, 2016 (words, characters, CRF); B. Liu and
I. Lane, Attention-based recurrent neural network models for joint intent detection and slot filling, 2016; C.-W. Goo
et al., Slot-gated modeling for joint slot filling and intent prediction, 2018 (tags that see the intent); E.
Kiperwasser and Y. Goldberg, Simple and accurate dependency parsing using bidirectional LSTM feature representations,
2016 (word dropout).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gatewright as gw
from gatewright.tasks.tag.crf import CRF, allowed_tags, viterbi
from gatewright.tasks.tag.encode import UNKNOWN, Batch, Vocabulary

if TYPE_CHECKING:
    from jaxtyping import Float, Int64

    from gatewright.tasks.tag.settings import TagSettings

__all__ = ["Characters", "Output", "Pooling", "TagNetwork"]

WINDOW = 3  # characters that the convolution sees


class Output(NamedTuple):
    """emissions: (T, B, K). intents: logits, (B, N), N = 0 without intents. tag_loss, intent_loss: −ln p of what is
    true, (B,), in nats; 0 where the truth is something that training did not have.
    """

    emissions: Float[Tensor, "T B K"]
    intents: Float[Tensor, "B N"]
    tag_loss: Float[Tensor, " B"]
    intent_loss: Float[Tensor, " B"]


class Characters(nn.Module):
    """A vector for each word from its characters.

    Args:
        cell: what runs over them in both directions, whose last outputs are taken; None for a convolution of width 3
            with the maximum over places.
        size: how many characters there are, with unknown ones.
        embedding_size, hidden_size: widths of a character's vector and of the word's.

    Shapes: letters (C, U), lengths (U,); the result is (U, `output_size`).
    """

    def __init__(self, cell: Any, size: int, embedding_size: int, hidden_size: int, *, backend: str = "auto") -> None:
        super().__init__()
        self.embedding = nn.Embedding(size, embedding_size)
        self.before: nn.Module = nn.Identity()
        if cell is None:
            self.layer: Any = nn.Conv1d(embedding_size, hidden_size, WINDOW, padding=WINDOW // 2)
            self.output_size = hidden_size
        else:
            self.before, self.layer = both_ways(cell, embedding_size, hidden_size // 2, 1, backend=backend)
            self.output_size = self.layer.output_size

    def forward(self, letters: Int64[Tensor, "C U"], lengths: Int64[Tensor, " U"]) -> Float[Tensor, "U W"]:
        x = self.before(self.embedding(letters))
        if isinstance(self.layer, nn.Conv1d):
            inside = gw.sequences.mask(lengths, len(letters)).unsqueeze(-1)
            y = self.layer((x * inside).permute(1, 2, 0)).permute(2, 0, 1)
            return y.masked_fill(~inside, -torch.inf).amax(0).relu()
        y, _ = self.layer(x, lengths=lengths)
        return gw.sequences.last(y, lengths, bidirectional=True)


def both_ways(cell: Any, width: int, hidden_size: int, layers: int, **options: Any) -> tuple[nn.Module, gw.Recurrent]:
    """Layers in both directions, and what comes before them.

    That is a linear map for cells whose input must be as wide as their state, as SRU's; the two directions of their
    layers are added where others follow.
    """
    try:
        return nn.Identity(), gw.Recurrent(cell, width, hidden_size, layers, bidirectional=True, **options)
    except gw.CellError:
        merge = "sum" if layers > 1 else "concat"
        made = gw.Recurrent(cell, hidden_size, hidden_size, layers, bidirectional=True, merge=merge, **options)
        return nn.Linear(width, hidden_size), made


class Pooling(nn.Module):
    """A vector for each sentence from those of its words: (T, B, W), lengths (B,) -> (B, W).

    kind: "attention", "max" or "mean".
    """

    def __init__(self, width: int, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.score = (
            nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)) if kind == "attention" else None
        )

    def forward(self, y: Float[Tensor, "T B W"], lengths: Int64[Tensor, " B"]) -> Float[Tensor, "B W"]:
        outside = ~gw.sequences.mask(lengths, len(y)).unsqueeze(-1)
        if self.kind == "max":
            return y.masked_fill(outside, -torch.inf).amax(0)
        if self.score is None:
            return y.masked_fill(outside, 0).sum(0) / lengths.unsqueeze(-1)
        return (self.score(y).masked_fill(outside, -torch.inf).softmax(0) * y).sum(0)


class TagNetwork(nn.Module):
    """Tags for words, and an intent for the sentence where `config` has intents.

    cell: a `gw.Cell`. config: the JSON of a `Vocabulary`, and `vector_size`, the width of given word vectors or None.
    """

    counts: Tensor

    def __init__(self, cell: Any, settings: TagSettings, config: dict[str, Any]) -> None:
        super().__init__()
        s, self.settings = settings, settings
        known = Vocabulary.from_dict(config["vocabulary"])
        self.tags, self.intents = len(known.tags), len(known.intents)
        self.embedding = nn.Embedding(len(known.words), config.get("vector_size") or s.embedding_size)
        self.register_buffer("counts", torch.tensor(known.counts, dtype=torch.float32), persistent=False)
        read = cell if s.characters == "recurrent" else None
        self.characters = (
            None
            if s.characters == "none"
            else Characters(read, len(known.characters) + 1, s.character_size, s.character_hidden, backend=s.backend)
        )
        width = self.embedding.embedding_dim + (self.characters.output_size if self.characters else 0)
        self.before, self.recurrent = both_ways(
            cell,
            width,
            s.hidden_size,
            s.num_layers,
            dropout=s.dropout if s.num_layers > 1 else 0.0,
            dropout_kind="locked",
            recurrent_dropout=s.recurrent_dropout,
            backend=s.backend,
        )
        self.drop = gw.LockedDropout(s.dropout)
        features = self.recurrent.output_size
        self.emit = nn.Linear(features, self.tags)
        self.crf = CRF(self.tags) if s.crf else None
        if self.intents:
            self.pool = Pooling(features, s.pooling)
            self.intent = nn.Linear(features, self.intents)
            self.to_tags = nn.Linear(self.intents, self.tags, bias=False) if s.intent_to_tags else None
        self.allowed = allowed_tags(known.tags, known.scheme if s.constrained else None, known.exceptions)

    @torch.no_grad()
    def begin_with(self, words: Any, vectors: Any) -> None:
        """Begin with given vectors, (M, W), for the words of these numbers, (M,); the others get their scale."""
        given = torch.as_tensor(vectors, dtype=self.embedding.weight.dtype)
        self.embedding.weight.mul_(given.std())
        self.embedding.weight[torch.as_tensor(words)] = given

    def features(self, batch: Batch) -> Float[Tensor, "T B W"]:
        """What the recurrence gives for each word."""
        x = self.embedding(self._some_unknown(batch.words))
        if self.characters is not None:
            spelled = self.characters(batch.letters, batch.letter_lengths)
            x = torch.cat([x, F.embedding(batch.forms, spelled)], -1)
        y, _ = self.recurrent(self.before(self.drop(x)), lengths=batch.lengths)
        return self.drop(y)

    def forward(self, batch: Batch) -> Output:
        """Scores, and how unlikely the truth is."""
        y = self.features(batch)
        emissions, intents = self.emit(y), y.new_zeros(y.shape[1], 0)
        if self.intents:
            intents = self.intent(self.pool(y, batch.lengths))
            if self.to_tags is not None:
                emissions = emissions + self.to_tags(intents.softmax(-1))
        return Output(emissions, intents, self._tag_loss(emissions, batch), self._intent_loss(intents, batch))

    @torch.no_grad()
    def decode(self, output: Output, lengths: Int64[Tensor, " B"]) -> Int64[Tensor, "T B"]:
        """The likeliest tags that may follow each other."""
        allowed = (part.to(lengths.device) for part in self.allowed)
        if self.crf is not None:
            return self.crf.decode(output.emissions, lengths, tuple(allowed))  # type: ignore[arg-type]
        zero = output.emissions.new_zeros(self.tags, self.tags)
        return viterbi(output.emissions.log_softmax(-1), lengths, zero, zero[0], zero[0], tuple(allowed))  # type: ignore[arg-type]

    def _some_unknown(self, words: Tensor) -> Tensor:
        """In training, words are unknown now and then, rare ones more often."""
        w = self.settings.word_dropout
        if not self.training or not w:
            return words
        unknown = torch.rand(words.shape, device=words.device) < w / (w + self.counts[words])
        return words.masked_fill(unknown, UNKNOWN)

    def _tag_loss(self, emissions: Tensor, batch: Batch) -> Tensor:
        inside = gw.sequences.mask(batch.lengths, len(emissions))
        known = (batch.tags < self.tags).logical_or(~inside).all(0)
        tags = batch.tags.clamp(max=self.tags - 1)
        if self.crf is not None:
            nats = self.crf(emissions, tags, batch.lengths)
        else:
            each = F.cross_entropy(emissions.flatten(0, 1), tags.flatten(), reduction="none").view(tags.shape)
            nats = each.where(inside, 0).sum(0)
        return nats.where(known, 0)

    def _intent_loss(self, intents: Tensor, batch: Batch) -> Tensor:
        if not self.intents:
            return intents.sum(-1)
        known = (batch.intents >= 0) & (batch.intents < self.intents)
        true, smoothing = batch.intents.clamp(0, self.intents - 1), self.settings.label_smoothing * self.training
        nats = F.cross_entropy(intents, true, reduction="none", label_smoothing=smoothing)
        return nats.where(known, 0)
