"""A classifier behind a service: requests as sequences, and sessions that read one step at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from gatewright.tasks.classify.audio import AudioFeatures
from gatewright.tasks.classify.network import ClassifyNetwork, Convolution, Pooling
from gatewright.tasks.classify.sequences import Sequences, from_arrays
from gatewright.tasks.errors import DataError
from gatewright.tasks.text import check_string
from gatewright.tasks.tokenizers import load_tokenizer

if TYPE_CHECKING:
    from gatewright.tasks.classify.classifier import Classifier

__all__ = ["ClassifySession", "as_request", "items_of"]

KEYS = {"numbers": "sequence", "tokens": "text", "audio": "samples"}


def items_of(items: Sequence[Any], config: dict[str, Any]) -> Sequences:
    """The sequences of requests. Raises `DataError` where one is no object with the key that the model reads."""
    key = KEYS[config["input"]]
    for k, item in enumerate(items):
        where = f"request {k}" if len(items) > 1 else "request"
        if not isinstance(item, dict) or set(item) != {key}:
            got = f"the keys {', '.join(item) or 'none'}" if isinstance(item, dict) else type(item).__name__
            raise DataError(f"{where}: expected an object with {key!r} alone, got {got:.80}")
        if not isinstance(item[key], str if key == "text" else list):
            wanted = "text" if key == "text" else "a list of numbers"
            raise DataError(f"{where}: {key}: expected {wanted}, got {type(item[key]).__name__}")
        if key == "text":
            check_string(item[key])
    rate = config["audio"]["rate"] if key == "samples" else None
    features = config["features"] if key == "sequence" else ()
    width = len(config["features"])
    found = from_arrays([item[key] for item in items], name="the request", rate=rate)
    if features and found.values.shape[1] == width:
        return from_arrays([item[key] for item in items], name="the request", features=features)
    return found


def as_request(config: dict[str, Any]) -> dict[str, Any]:
    """A request that a model understands.

    >>> as_request({"input": "numbers", "features": ["x", "y"], "mean": [0.0, 1.0]})
    {'sequence': [[0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]}
    """
    if config["input"] == "tokens":
        return {"text": "a text to classify"}
    if config["input"] == "audio":
        return {"samples": [0.0] * (config["audio"]["rate"] // 10)}
    return {"sequence": [[round(v, 4) for v in config["mean"]]] * 4}


class ClassifySession:
    """Reads a sequence step by step and says after each what it thinks so far, with the state kept in between.

    `step` takes {"frame": [features]}, {"text": "more text"} or {"samples": [more samples]}, any number of them, and
    gives {"prediction", "probabilities", "steps"}; `prediction` is None until the first step of the recurrent layers.
    """

    def __init__(self, model: Classifier) -> None:
        model.network.refuse_stream()
        self._model, self._config = model, model.config or {}
        self._network: ClassifyNetwork = model.network.eval()
        self._input = self._config["input"]
        self._audio = AudioFeatures(**self._config["audio"]) if self._input == "audio" else None
        self._waiting = np.zeros(0, np.float32)  # samples that are no whole frame yet
        self._skip = 0  # samples to come that are in no frame, where frames are farther apart than long
        self._stack: list[Tensor] = []
        self._front = [ConvolutionStream(layer) for layer in self._network.front]
        self._pool = PoolingStream(self._network.pool)
        self._state: Any = None
        self._steps = 0

    @torch.no_grad()
    def step(self, item: Any) -> dict[str, Any]:
        """What the model thinks after some more of the sequence. Raises `DataError` for another kind of step."""
        for x in self._features(item):
            self._read(x)
        pooled = self._pool.now
        if pooled is None:
            return {"prediction": None, "steps": 0}
        logits = self._network.decoder(pooled)
        outputs = logits.cpu().double()
        if self._model.settings.kind == "regression":
            return {"prediction": float(self._model._numbers(outputs.numpy())[0]), "steps": self._steps}
        return {**self._model._told(outputs.softmax(-1).numpy()[0]), "steps": self._steps}

    def _features(self, item: Any) -> list[Tensor]:
        """The network's input steps (1, F) that have become known."""
        key = {"numbers": "frame", "tokens": "text", "audio": "samples"}[self._input]
        if not isinstance(item, dict) or set(item) != {key}:
            raise DataError(f"step {self._steps}: expected an object with {key!r} alone, got {item!r:.60}")
        network, device = self._network, self._model.device
        if self._input == "tokens":
            if not isinstance(item[key], str):
                raise DataError(f"step {self._steps}: text: expected text, got {item[key]!r:.60}")
            ids = load_tokenizer(self._config["tokenizer"]).encode(check_string(item[key]))
            assert network.embedding is not None
            return list(network.embedding(torch.from_numpy(ids.astype(np.int64)).to(device))[:, None])
        values = self._numbers(item[key], key)
        frames = self._frames(values) if self._audio is not None else values[None]
        x = torch.from_numpy(frames).to(device)[:, None]
        return list(network.standard(x, torch.tensor([len(x)], device=device)))

    def _numbers(self, given: Any, key: str) -> np.ndarray:
        try:
            values = np.asarray(given, np.float32)
        except (OverflowError, TypeError, ValueError) as error:
            raise DataError(f"step {self._steps}: {key}: expected a list of numbers, got {given!r:.60}") from error
        width = None if self._audio is not None else len(self._config["features"])
        if values.ndim != 1 or (width is not None and len(values) != width) or not np.isfinite(values).all():
            wanted = "finite numbers" if width is None else f"{width} finite numbers"
            raise DataError(f"step {self._steps}: {key}: expected {wanted}, got {given!r:.60}")
        return values

    def _frames(self, samples: np.ndarray) -> np.ndarray:
        """Features of the frames that are whole by now."""
        assert self._audio is not None
        audio, waiting = self._audio, np.concatenate([self._waiting, samples[self._skip :]])
        count = max(0, (len(waiting) - audio.frame) // audio.hop + 1)
        self._skip = max(0, self._skip - len(samples)) + max(0, count * audio.hop - len(waiting))
        self._waiting = waiting[count * audio.hop :]
        if not count:
            return np.zeros((0, len(audio.names)), np.float32)
        frames = np.lib.stride_tricks.sliding_window_view(waiting, audio.frame)[: count * audio.hop : audio.hop]
        return audio.of_frames(frames)

    def _read(self, x: Tensor) -> None:
        self._stack.append(x)
        if len(self._stack) < self._network.settings.stack:
            return
        x, self._stack = torch.cat(self._stack, -1), []
        for layer in self._front:
            given = layer.step(x)
            if given is None:
                return
            x = given
        y, self._state = self._network.recurrent.step(self._network.enter(x), self._state)
        self._pool.step(y)
        self._steps += 1


class ConvolutionStream:
    """A causal convolution that keeps what it will look back at."""

    def __init__(self, layer: Any) -> None:
        self.layer: Convolution = layer
        self.seen: list[Tensor] = []
        self.count = 0

    def step(self, x: Tensor) -> Tensor | None:
        """What it gives at this step; None between two of its places."""
        conv = self.layer.conv
        kernel = conv.kernel_size[0]
        self.seen = [*(self.seen or [torch.zeros_like(x)] * (kernel - 1)), x][-kernel:]
        self.count += 1
        if (self.count - 1) % self.layer.stride:
            return None
        window = torch.stack(self.seen, -1)  # (1, F, kernel)
        return self.layer.after(conv(window)[..., 0])


class PoolingStream:
    """What is pooled over the steps so far."""

    def __init__(self, pool: Pooling) -> None:
        self.pool = pool
        self.now: Tensor | None = None  # (1, H), None before the first step
        self._total: Tensor | float = 0.0
        self._weight: Tensor | float = 0.0

    def step(self, y: Tensor) -> None:
        if self.now is None or self.pool.kind == "last":
            self.now = y
        elif self.pool.kind == "max":
            self.now = torch.maximum(self.now, y)
        if self.pool.kind in ("mean", "attention"):
            weight = self.pool.weights(y)
            self._total, self._weight = self._total + weight * y, self._weight + weight
            self.now = (self._total / self._weight).to(y.dtype)
