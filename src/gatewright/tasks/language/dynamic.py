"""Dynamic evaluation (B. Krause, E. Kahembwe, I. Murray and S. Renals, Dynamic evaluation of neural sequence models,
2018): the weights follow the text that is being read, and are drawn back to the trained ones.

    w ← w − η ∇L + λ (w_g − w)                                              sgd
    w ← w − η ∇L / (RMS_g + ε) + min(λ RMS_g / mean(RMS_g), 1) ⊙ (w_g − w)  rms

L is the mean loss of the last few tokens, taken before the weights have seen them; w_g are the trained weights, and
RMS_g the root mean square of the gradients on the training text, taken batch by batch.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gatewright as gw
from gatewright.tasks.language.corpus import Rows
from gatewright.tasks.language.score import Score, stretches
from gatewright.tasks.settings import Settings, setting

if TYPE_CHECKING:
    from jaxtyping import Integer

    from gatewright.tasks.language.network import LanguageNetwork

__all__ = ["Dynamic", "choose_dynamic", "dynamic_score", "gradient_rms"]

ROWS, BATCHES = 100, 400  # of the training text, for the gradients' mean square
RATES = {"rms": (2e-4, 5e-4, 1e-3, 2e-3), "sgd": (0.03, 0.1, 0.3)}
DECAYS = {"rms": (5e-3, 2e-2), "sgd": (1e-3, 1e-2)}


@dataclass(frozen=True)
class Dynamic(Settings):
    """Dynamic evaluation: by what rule, and how fast, weights follow the text.

    >>> import gatewright as gw
    >>> gw.tasks.Dynamic(kind="sgd", learning_rate=0.1, decay=0.0).steps
    5
    """

    kind: Literal["rms", "sgd"] = setting(
        "rms", "rms: steps are divided by the gradients' usual size; sgd: they are not"
    )
    learning_rate: float = setting(0.001, "η")
    decay: float = setting(0.02, "λ: how strongly weights are drawn back to the trained ones")
    steps: int = setting(5, "tokens between two changes of the weights")
    epsilon: float = setting(1e-3, "ε, added to the gradients' usual size")

    def check(self) -> None:
        self._at_least("steps", 1)
        for name in ("learning_rate", "decay"):
            self._at_least(name, 0)
        self._at_least("epsilon", 0, above=True)


def dynamic_score(
    network: LanguageNetwork,
    arrays: Iterable[Integer[np.ndarray, " N"]],
    how: Dynamic,
    rms: list[Tensor] | None = None,
    *,
    unknown: int | None = None,
) -> Score:
    """The score of a stream of tokens, weights following it; every token is predicted before they have seen it.

    The network itself stays as it is. rms: what `gradient_rms` found, for the kind "rms".
    """
    reader = copy.deepcopy(network).eval()
    device = reader.embedding.weight.device
    follow = _Follower(reader, how, rms)
    nats, count, lacking, state = 0.0, 0, 0, None
    with torch.enable_grad():
        for piece in stretches(arrays, how.steps):
            lacking += 0 if unknown is None else int((piece[1 if count else 0 :] == unknown).sum())
            tokens = torch.from_numpy(piece).to(device)[:, None]
            losses, state = _losses(reader, tokens, state)
            nats += losses.detach().double().sum().item()
            count += len(piece) - 1
            follow.step(losses.mean())
    return Score(nats, count, lacking)


def gradient_rms(network: LanguageNetwork, tokens: Integer[np.ndarray, " N"], steps: int) -> list[Tensor]:
    """The root mean square of each weight's gradient of the mean loss, over batches of 100 rows of the training text,
    `steps` tokens each; the first 400 batches, or as many as there are.
    """
    reader = copy.deepcopy(network).eval()
    weights = list(reader.parameters())
    squares = [torch.zeros_like(w) for w in weights]
    rows = Rows(tokens, max(1, min(ROWS, (len(tokens) - 1) // (4 * steps))), steps)
    number, state = min(BATCHES, len(rows)), None
    with torch.enable_grad():
        for index in range(number):
            batch = torch.from_numpy(rows.batch(index)).to(weights[0].device)
            losses, state = _losses(reader, batch, state)
            grads = torch.autograd.grad(losses.mean(), weights)
            for square, grad in zip(squares, grads, strict=True):
                square.addcmul_(grad, grad)
    return [(square / number).sqrt() for square in squares]


def choose_dynamic(
    network: LanguageNetwork,
    tokens: Integer[np.ndarray, " N"],
    rms: list[Tensor] | None = None,
    *,
    kind: str = "rms",
    steps: int = 5,
) -> Dynamic:
    """The rate and decay with the best score on a text, of a few that are usual."""
    tried = [
        Dynamic.from_dict({"kind": kind, "learning_rate": rate, "decay": decay, "steps": steps})
        for rate in RATES[kind]
        for decay in DECAYS[kind]
    ]
    return min(tried, key=lambda how: dynamic_score(network, [tokens], how, rms).nats)


class _Follower:
    """Moves weights along a gradient and back to where they were."""

    def __init__(self, network: nn.Module, how: Dynamic, rms: list[Tensor] | None) -> None:
        if how.kind == "rms" and rms is None:
            raise ValueError("rms: expected the gradients' root mean squares, which gradient_rms finds")
        self.how, self.weights = how, list(network.parameters())
        self.trained = [w.detach().clone() for w in self.weights]
        self.usual = None if rms is None or how.kind == "sgd" else [r + how.epsilon for r in rms]
        self.pull: list[Any] = [how.decay] * len(self.weights) if self.usual is None else _pulls(rms or [], how.decay)

    def step(self, loss: Tensor) -> None:
        grads, rate = torch.autograd.grad(loss, self.weights), -self.how.learning_rate
        with torch.no_grad():
            for k, weight in enumerate(self.weights):
                weight.lerp_(self.trained[k], self.pull[k])
                if self.usual is None:
                    weight.add_(grads[k], alpha=rate)
                else:
                    weight.addcdiv_(grads[k], self.usual[k], value=rate)


def _pulls(rms: list[Tensor], decay: float) -> list[Tensor]:
    """How far each weight is drawn back: further where gradients are usually large, never past the trained one."""
    mean = sum(r.double().sum() for r in rms) / sum(r.numel() for r in rms)
    return [(decay * r / mean).clamp(max=1.0).to(r.dtype) for r in rms]


def _losses(network: LanguageNetwork, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
    """The loss of each prediction, flat, and the state, its gradient cut."""
    logits, state = network(tokens[:-1], state)
    wide = logits if logits.dtype == torch.float64 else logits.float()
    return F.cross_entropy(wide.flatten(0, 1), tokens[1:].flatten(), reduction="none"), gw.detach(state)
