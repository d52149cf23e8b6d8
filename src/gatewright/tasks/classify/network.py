"""The network of a classifier: features or an embedding, convolutions, recurrent layers, pooling over time, output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gatewright as gw
from gatewright.tasks.errors import SettingsError

if TYPE_CHECKING:
    from jaxtyping import Float, Int64

    from gatewright.tasks.classify.settings import ClassifySettings

__all__ = ["ClassifyNetwork", "Convolution", "Pooling"]


class ClassifyNetwork(nn.Module):
    """From sequences as they were measured to a logit for each class, or to one number (in standard deviations of the
    training targets from their mean); time first.

    cell: a `gw.Cell`. config: what the model knows of the data: "features", "mean" and "scale" of numbers, or
    "vocabulary"; "labels". Raises `SettingsError` where settings contradict data.
    """

    def __init__(self, cell: Any, settings: ClassifySettings, config: dict[str, Any]) -> None:
        super().__init__()
        s = self.settings = settings
        self.tokens, self.classes = config["input"] == "tokens", config.get("labels")
        self.embedding = nn.Embedding(config["vocabulary"], s.embedding_size) if self.tokens else None
        # No buffers, which would become bfloat16 where the weights do: a feature may be large and hardly vary.
        self.mean = torch.tensor(config.get("mean") or [0.0], dtype=torch.float64)
        self.scale = torch.tensor(config.get("scale") or [1.0], dtype=torch.float64)
        width = s.embedding_size if self.tokens else len(config["features"])
        width *= s.stack
        layers = []
        for _ in range(s.convolutions(self.tokens)):
            layers.append(Convolution(width, s.conv_channels, s.conv_kernel, s.conv_stride, causal=not s.bidirectional))
            width = s.conv_channels
        self.front = nn.ModuleList(layers)
        self.enter, self.recurrent = recurrent_layers(cell, width, s)
        features = self.recurrent.output_size
        self.pool = Pooling(s.pooling, features, bidirectional=s.bidirectional)
        self.decoder = nn.Linear(features, len(config["labels"]) if config.get("labels") else 1)
        if not self.tokens and len(self.mean) not in (1, len(config["features"])):
            raise SettingsError("config: mean and features do not fit together; train the model again")

    def forward(self, x: Tensor, lengths: Int64[Tensor, " B"], *, standard: bool = False) -> Float[Tensor, "B C"]:
        """Logits of whole sequences: features (T, B, F) or tokens (T, B), of which the first `lengths` steps count.

        standard: whether x has been through `standard` already.
        """
        y, ends = self.outputs(x, lengths, standard=standard)
        return self.decoder(F.dropout(self.pool(y, ends), self.settings.dropout, self.training))

    def running(self, x: Tensor, lengths: Int64[Tensor, " B"]) -> tuple[Float[Tensor, "S B C"], Int64[Tensor, " B"]]:
        """Logits after every step that the recurrent layers took, and how many those were. One direction only.

        Raises `SettingsError` where there are two, whose reverse one sees the end first, or a normalisation that does.
        """
        self.refuse_stream()
        y, ends = self.outputs(x, lengths)
        return self.decoder(self.pool.running(y)), ends

    def refuse_stream(self) -> None:
        """Raise `SettingsError` where the network has to see a sequence's end before it says anything."""
        if self.settings.bidirectional:
            raise SettingsError(
                "bidirectional: the reverse direction begins at the end; train with bidirectional=False"
            )
        if self.settings.normalize == "sequence":
            raise SettingsError("normalize 'sequence': needs the whole sequence; train with normalize 'data'")

    def outputs(
        self, x: Tensor, lengths: Int64[Tensor, " B"], *, standard: bool = False
    ) -> tuple[Float[Tensor, "S B H"], Int64[Tensor, " B"]]:
        """What the recurrent layers give at each of their steps, and how many steps each sequence has there."""
        x = x if standard else self.standard(x, lengths)
        if self.embedding is not None:
            x = self.embedding(x)
        if self.settings.stack > 1:
            x, lengths = stacked(x, lengths, self.settings.stack)
        for layer in self.front:
            x, lengths = layer(x, lengths)
        if self.tokens or len(self.front):
            x = F.dropout(x, self.settings.dropout, self.training)
        return self.recurrent(self.enter(x), lengths=lengths)[0], lengths

    def standard(self, x: Tensor, lengths: Int64[Tensor, " B"]) -> Tensor:
        """Features at mean 0 and deviation 1, and 0 behind the ends, in the weights' precision; tokens as they are.

        It is reckoned in float32 at least, so the cast to half precision comes behind it.
        """
        if self.tokens:
            return x
        kind = self.decoder.weight.dtype
        x = x.to(torch.promote_types(kind, torch.float32))
        mean, scale = (numbers.to(x.dtype).to(x.device) for numbers in (self.mean, self.scale))
        x, inside = (x - mean) / scale, valid(x, lengths)
        if self.settings.normalize == "sequence":
            count = lengths.clamp(min=1)[:, None]
            mean = (x * inside).sum(0) / count
            variance = ((x - mean).square() * inside).sum(0) / count
            x = (x - mean) / (variance + 1e-5).sqrt()
        return (x * inside).to(kind)


def recurrent_layers(cell: Any, width: int, s: ClassifySettings) -> tuple[nn.Module, Any]:
    """What brings the input to a width that the cell takes, and the layers.

    Cells that add their input to their state (SRU, highways) need I = H: they get a linear map before them.
    """
    options = {
        "bidirectional": s.bidirectional,
        "dropout": s.dropout if s.num_layers > 1 else 0.0,
        "recurrent_dropout": s.recurrent_dropout,
        "backend": s.backend,
        "heads": s.heads,
        "sizes": {"P": s.projection} if s.projection else None,
    }
    try:
        return nn.Identity(), gw.Recurrent(cell, width, s.hidden_size, s.num_layers, **options)
    except gw.CellError:
        layers = gw.Recurrent(cell, s.hidden_size, s.hidden_size, s.num_layers, **options)
        return nn.Linear(width, s.hidden_size), layers


class Convolution(nn.Module):
    """A convolution over time, a norm over its channels and a rectifier; the padding behind an end never counts.

    causal: it sees its step and those before it; else steps on both sides.
    """

    def __init__(self, width: int, channels: int, kernel: int, stride: int, *, causal: bool) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, channels, kernel, stride)
        self.norm = nn.LayerNorm(channels)
        self.stride, self.left = stride, kernel - 1 if causal else (kernel - 1) // 2
        self.right = kernel - 1 - self.left

    def forward(self, x: Float[Tensor, "T B F"], lengths: Tensor) -> tuple[Float[Tensor, "S B C"], Tensor]:
        x = F.pad((x * valid(x, lengths)).permute(1, 2, 0), (self.left, self.right))
        y = self.after(self.conv(x).permute(2, 0, 1))
        return y, (lengths + self.stride - 1) // self.stride

    def after(self, y: Float[Tensor, "... C"]) -> Float[Tensor, "... C"]:
        """What follows the products."""
        return F.relu(self.norm(y))


class Pooling(nn.Module):
    """From outputs at every step to one: the last one, their mean, their maximum, or a mean weighted by attention.

        score_t = v · tanh(W y_t + b),    pooled = Σ_t softmax(score)_t y_t

    Attention: Z. Yang et al., Hierarchical attention networks for document classification, 2016, equations 5 to 7.
    """

    def __init__(self, kind: str, features: int, *, bidirectional: bool) -> None:
        super().__init__()
        self.kind, self.bidirectional = kind, bidirectional
        hidden = min(features, 64)
        attends = kind == "attention"
        self.vector = nn.Linear(hidden, 1, bias=False) if attends else None  # v
        self.matrix = nn.Linear(features, hidden) if attends else None  # W and b

    def forward(self, y: Float[Tensor, "S B H"], lengths: Int64[Tensor, " B"]) -> Float[Tensor, "B H"]:
        """Over the first `lengths` steps, of which there is one at least."""
        if self.kind == "last":
            return gw.sequences.last(y, lengths, bidirectional=self.bidirectional)
        inside = valid(y, lengths)
        if self.kind == "max":
            return y.masked_fill(~inside, -torch.inf).amax(0)
        if self.vector is None:
            return (y * inside).sum(0) / lengths[:, None]
        weights = self.score(y).masked_fill(~inside, -torch.inf).softmax(0)
        return (weights * y).sum(0)

    def running(self, y: Float[Tensor, "S B H"]) -> Float[Tensor, "S B H"]:
        """Over the steps up to each one."""
        if self.kind == "last":
            return y
        if self.kind == "max":
            return y.cummax(0).values
        weights = self.weights(y)
        return ((weights * y).cumsum(0) / weights.cumsum(0)).to(y.dtype)

    def weights(self, y: Float[Tensor, "... H"]) -> Float[Tensor, "... 1"]:
        """Before they are made to add up to 1, in float64; |score| is at most Σ|v|, so that none is above 1."""
        kind = torch.float32 if y.device.type == "mps" else torch.float64  # which Apple's GPUs do not have
        if self.vector is None:
            return torch.ones_like(y[..., :1], dtype=kind)
        return (self.score(y).to(kind) - self.vector.weight.abs().sum()).exp()

    def score(self, y: Float[Tensor, "... H"]) -> Float[Tensor, "... 1"]:
        """v · tanh(W y + b)."""
        assert self.vector is not None and self.matrix is not None
        return self.vector(torch.tanh(self.matrix(y)))


def valid(x: Tensor, lengths: Int64[Tensor, " B"]) -> Tensor:
    """(T, B, 1), True inside the sequences."""
    return gw.sequences.mask(lengths, len(x)).unsqueeze(-1)


def stacked(x: Float[Tensor, "T B F"], lengths: Tensor, count: int) -> tuple[Float[Tensor, "S B G"], Tensor]:
    """`count` steps side by side as one; 0 in place of what the last one lacks.

    >>> x, ends = stacked(torch.arange(3.0).reshape(3, 1, 1), torch.tensor([3]), 2)
    >>> x.squeeze(1).tolist(), ends.tolist()
    ([[0.0, 1.0], [2.0, 0.0]], [2])
    """
    steps = -(-len(x) // count)
    x = F.pad(x * valid(x, lengths), (0, 0, 0, 0, 0, steps * count - len(x)))
    x = x.unflatten(0, (steps, count)).transpose(1, 2).flatten(2)
    return x, (lengths + count - 1) // count
