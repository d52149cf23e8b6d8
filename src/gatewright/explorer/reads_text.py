"""An opened language model: words, characters or pieces in, the probability of the next one out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..inside import sensitivity
from ..tasks import LanguageModel
from ..tasks.language.network import LanguageNetwork
from ..tasks.text import check_string
from .opened import Clamp, Opened, checked_steps
from .refused import Refused

LOGITS = 1 << 22
"""Numbers in one array of logits, at most."""
LIKELIEST = 8
UNITS = {"words": "word", "chars": "character", "bytes": "byte", "pieces": "piece"}
SHOWN = {" ": "␣", "\n": "⏎", "\t": "⇥"}


class Likely(NamedTuple):
    """The likeliest next tokens at every step: (T, k) each, the likeliest first."""

    p: Tensor
    ids: Tensor


class ReadsText(Opened):
    """A language model.

    spaced: what a typed text has to become before it is cut into tokens.
    """

    task = "language"

    def __init__(
        self,
        language: LanguageModel,
        name: str,
        *,
        examples: Sequence[dict[str, str]] = (),
        corpus: Sequence[str] = (),
        spaced: Callable[[str], str] = str,
        stop: str | None = None,
    ):
        network = language.network
        unit = UNITS[language.tokenizer.kind]
        layers = f"{language.settings.num_layers} × " if language.settings.num_layers > 1 else ""
        size = f"{layers}{network.recurrent.hidden_size} units of {language.cell_name}"
        super().__init__(network, name, f"A language model: {size}, one {unit} a step.")
        self.network: LanguageNetwork = network
        self.language, self.tokenizer, self.unit = language, language.tokenizer, unit
        self.corpus, self._spaced, self.stop = corpus, spaced, stop
        self.examples = examples or self._own_examples()

    def _own_examples(self) -> list[dict[str, str]]:
        """What it writes by itself, where nobody has said what to look at."""
        text = self.language.generate(length=60 if self.unit == "word" else 240, temperature=0.6, seed=1)
        why = "Text that the model wrote itself: what it knows best."
        return [{"id": "own", "title": "What it writes", "text": text, "why": why}]

    # -- in and out ----------------------------------------------------------------------------------

    @property
    def input(self) -> dict[str, Any]:
        return {"kind": "tokens", "unit": self.unit, "features": self.tokenizer.size}

    def read(self, text: str) -> Tensor:
        return checked_steps(torch.from_numpy(self.tokenizer.encode(self._spaced(check_string(text)))).long())

    def tokens(self, given: Tensor) -> list[str]:
        return [self.token(i) for i in given.tolist()]

    def token(self, i: int) -> str:
        """One entry of the vocabulary, visible."""
        if self.unit == "word":
            return self.tokenizer.words[i]  # pyright: ignore[reportAttributeAccessIssue]
        text = self.tokenizer.decode([i])
        return "".join(SHOWN.get(character, character) for character in text)

    def output(self, given: Tensor) -> Tensor:
        y, _ = self.network.recurrent(self.network.embedding(given[:, None]))
        return y[:, 0]

    # -- predictions ---------------------------------------------------------------------------------

    @torch.no_grad()
    def likely(self, output: Tensor) -> Likely:
        """The likeliest next tokens after every step."""
        k = min(LIKELIEST, self.tokenizer.size)
        found = [logits.softmax(-1).topk(k) for logits in self._logits(output)]
        return Likely(torch.cat([f.values for f in found]), torch.cat([f.indices for f in found]))

    @torch.no_grad()
    def difference(self, plain: Tensor, changed: Tensor) -> Tensor:
        """Half of the sum of |p − q| over the vocabulary at every step: the total variation distance, 0 to 1."""
        pairs = zip(self._logits(plain), self._logits(changed), strict=True)
        return torch.cat([(a.softmax(-1) - b.softmax(-1)).abs().sum(-1) / 2 for a, b in pairs])

    @torch.no_grad()
    def chance_of(self, output: Tensor, token: int) -> tuple[float, int]:
        """(probability, rank from 1) of a token after one step."""
        p = self.network.logits(output).softmax(-1)
        return float(p[token]), int((p > p[token]).sum()) + 1

    def _logits(self, output: Tensor):
        """Of a few steps at a time: a large vocabulary takes much memory."""
        for part in output.split(max(1, LOGITS // self.tokenizer.size)):
            yield self.network.logits(part)

    def named(self, likely: Likely, t: int, k: int = LIKELIEST) -> list[dict[str, Any]]:
        """The likeliest next tokens after step t, for a page."""
        pairs = zip(likely.p[t, :k].tolist(), likely.ids[t, :k].tolist(), strict=True)
        return [{"token": self.token(i), "p": p} for p, i in pairs]

    def goes_on(self, given: Tensor, clamps: Sequence[Clamp], length: int) -> str:
        """The likeliest continuation, token by token, under the clamps that reach beyond the text's end."""
        made: list[int] = []
        with self.lock, torch.no_grad():
            with self.held(given, clamps):
                y, state = self.network.recurrent(self.network.embedding(given[:, None]))
            logits, still, hold = self.network.logits(y[-1]), None, None
            try:
                for t in range(len(given), len(given) + length):
                    i = self._best(logits)
                    made.append(i)
                    if self.token(i) == self.stop:
                        break
                    on = [c._replace(start=0, stop=None) for c in clamps if c.start <= t and (c.stop or t + 1) > t]
                    if on != still:
                        hold = _left(hold)
                        still, hold = on, self.held(given, on)
                        hold.__enter__()
                    logits, state = self.network.step(torch.tensor([i]), state)
            finally:
                _left(hold)
        return self.tokenizer.decode(made).strip("\n")

    def _best(self, logits: Tensor) -> int:
        """The likeliest token but the one that stands for none."""
        if self.tokenizer.unknown is not None and logits.shape[-1] > 1:
            logits[..., self.tokenizer.unknown] = -torch.inf
        return int(logits[0].argmax())

    # -- what a prediction depends on --------------------------------------------------------------------

    def explained(self, given: Tensor, t: int, rank: int) -> Tensor:
        if rank >= self.tokenizer.size:
            raise Refused(422, f"there are {self.tokenizer.size} tokens to predict", where="k")
        read = given[: t + 1, None]
        last = _Last(self.network)
        with torch.no_grad():
            token = int(last(read)[0].topk(rank + 1).indices[rank])
        return sensitivity(
            last, read, lambda logits: F.log_softmax(logits, -1)[0, token], method="gradient", at=self.network.embedding
        )[:, 0]


def _left(hold: Any) -> None:
    if hold is not None:
        hold.__exit__(None, None, None)


class _Last(nn.Module):
    """A language model's logits after the last step alone, (B, V)."""

    def __init__(self, network: LanguageNetwork):
        super().__init__()
        self.network = network

    def forward(self, tokens: Tensor) -> Tensor:
        y, _ = self.network.recurrent(self.network.embedding(tokens))
        return self.network.logits(y[-1])
