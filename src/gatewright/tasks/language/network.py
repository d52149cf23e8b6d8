"""The network of a language model: embedding, recurrent layers, output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gatewright as gw
from gatewright.nn.dropout import between
from gatewright.tasks.errors import SettingsError
from gatewright.tasks.language.loss import linear_cross_entropy

if TYPE_CHECKING:
    from jaxtyping import Float, Int64

    from gatewright.tasks.language.settings import LanguageSettings

__all__ = ["LanguageNetwork", "Losses"]


class Losses(NamedTuple):
    """What training adds up: cross-entropy in nats a token, and the penalties on the output (None without any)."""

    entropy: Float[Tensor, ""]
    penalty: Float[Tensor, ""] | None


class LanguageNetwork(nn.Module):
    """Embedding -> dropout -> recurrent layers -> dropout -> output; time first.

    `cell`: a `gw.Cell`; `size`: entries of the vocabulary, V. Raises `SettingsError` where tied widths do not
    fit.
    """

    def __init__(self, cell: Any, size: int, settings: LanguageSettings) -> None:
        super().__init__()
        s = settings
        last = s.last_size or s.projection or s.hidden_size
        width = s.embedding_size or (last if s.is_tied else min(s.hidden_size, 128))
        self.embedding = gw.EmbeddingDropout(nn.Embedding(size, width), s.dropout_words)
        self.recurrent = _layers(cell, width, s)
        features = self.recurrent.output_size
        if s.is_tied and features != width:
            raise SettingsError(
                f"setting embedding_size: tied weights need the cell's output width, {features}, got {width}; "
                f"leave it out, or set last_size to {width} where there are several layers"
            )
        self.decoder = None if s.is_tied else nn.Linear(features, size, bias=False)
        self.bias = nn.Parameter(torch.zeros(size))
        if s.is_tied:
            nn.init.normal_(self.embedding.weight, std=width**-0.5)
        self.drop_in = s.dropout if s.dropout_embedding is None else s.dropout_embedding
        self.drop_out = s.dropout if s.dropout_output is None else s.dropout_output
        self.settings = settings

    def forward(
        self, tokens: Int64[Tensor, "T B"], state: Any = None, targets: Int64[Tensor, "T B"] | None = None
    ) -> tuple[Any, Any]:
        """Logits (T, B, V) of the token after each, or with `targets` their `Losses`; and the state after the last."""
        y, state = self.recurrent(self._dropped(self.embedding(tokens), self.drop_in), state)
        dropped = self._dropped(y, self.drop_out)
        if targets is None:
            return self.logits(dropped), state
        entropy = linear_cross_entropy(dropped.flatten(0, 1), self.matrix, self.bias, targets.flatten())
        return Losses(entropy, self._penalty(y, dropped)), state

    def step(self, tokens: Int64[Tensor, " B"], state: Any) -> tuple[Float[Tensor, "B V"], Any]:
        """One step without dropout, for generation."""
        y, state = self.recurrent.step(self.embedding(tokens), state)
        return self.logits(y), state

    def outputs(self, tokens: Int64[Tensor, "T B"], state: Any = None) -> tuple[Float[Tensor, "T B H"], Any]:
        """What goes into the output layer, in evaluation, and the state after the last token."""
        return self.recurrent(self.embedding(tokens), state)

    @property
    def matrix(self) -> Float[Tensor, "V H"]:
        """The output layer's, which is the embedding's where they are tied."""
        return self.embedding.weight if self.decoder is None else self.decoder.weight

    def logits(self, y: Float[Tensor, "... H"]) -> Float[Tensor, "... V"]:
        """The output layer."""
        return F.linear(y, self.matrix, self.bias)

    def _dropped(self, x: Tensor, p: float) -> Tensor:
        return between(x, p, self.settings.dropout_kind, self.training)

    def _penalty(self, y: Tensor, dropped: Tensor) -> Tensor | None:
        """On the output: that it is large, measured behind dropout, and that it changes, measured before it."""
        s = self.settings
        if not (s.activation or s.temporal_activation):
            return None
        return gw.penalties.activation(dropped, s.activation) + gw.penalties.temporal_activation(
            y, s.temporal_activation
        )


def _layers(cell: Any, width: int, s: LanguageSettings) -> gw.Recurrent | gw.Deep:
    """The recurrent layers: of one width, or the last of another."""
    rate = s.dropout if s.dropout_between is None else s.dropout_between
    options: dict[str, Any] = {"backend": s.backend, "heads": s.heads, "weight_drop": s.weight_drop}
    options["sizes"] = {"P": s.projection} if s.projection else None
    between = {"dropout": rate if s.num_layers > 1 else 0.0, "dropout_kind": s.dropout_kind}
    if s.last_size is None:
        return gw.Recurrent(cell, width, s.hidden_size, s.num_layers, **between, **options)
    below = gw.Recurrent(cell, width, s.hidden_size, s.num_layers - 1, **between, **options)
    return gw.Deep([below, gw.Recurrent(cell, below.output_size, s.last_size, **options)], **between)
