"""A language model as a service: texts that go on from prompts, side by side; and what may come next, step by step."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from gatewright.tasks.errors import SettingsError, TextError
from gatewright.tasks.language.beam import choose_rows
from gatewright.tasks.language.generate import finished_text, has_ended, prompt_tokens, searched
from gatewright.tasks.language.sampling import Sampling, probabilities
from gatewright.tasks.language.score import LOGITS, negative_log_likelihood
from gatewright.tasks.text import check_string

if TYPE_CHECKING:
    from gatewright.tasks.language.model import LanguageModel

__all__ = ["LanguageSession", "answer", "example"]

LONGEST = 4096
"""Tokens that one request may ask for: while it is answered, others wait."""
TOP = 10


@dataclass
class Drawing:
    """A text that is being drawn. kind: its sampling, less what makes no difference to probabilities."""

    prompt: str
    tokens: list[int]
    how: Sampling
    kind: Sampling
    generator: torch.Generator
    made: list[int]


def answer(model: LanguageModel, items: list[Any]) -> list[dict[str, Any]]:
    """What requests are answered with: `{"prompt": …}` by a text that goes on from it, `{"text": …}` by its loss.

    Beside a prompt, any field of `Sampling`. Texts are drawn side by side, each from a generator of its own, so that
    none depends on who else asks. Raises `TextError` or `SettingsError` for what is wrong with an item.
    """
    found: list[Any] = [None] * len(items)
    drawings: dict[int, Drawing] = {}
    for number, item in enumerate(items):
        if not isinstance(item, dict) or ("prompt" in item) == ("text" in item):
            raise TextError(f'a request: expected {{"prompt": …}} or {{"text": …}}, got {_short(item)}')
        if "text" in item:
            found[number] = _scored(model, item)
        elif item.get("beams") is not None:
            best = searched(model.network, model.tokenizer, _string(item, "prompt"), _sampling(item))[0]
            found[number] = {"text": best.text, "log_probability": best.log_probability}
        else:
            drawings[number] = _drawing(model, item)
    _draw(model, list(drawings.values()))
    for number, d in drawings.items():
        found[number] = {"text": finished_text(model.tokenizer, d.prompt, d.made, d.how.until), "tokens": len(d.made)}
    return found


def example() -> dict[str, Any]:
    """A request that `answer` understands."""
    return {"prompt": "The ", "length": 40, "temperature": 0.8, "seed": 1}


def _drawing(model: LanguageModel, item: dict[str, Any]) -> Drawing:
    prompt, how = _string(item, "prompt"), _sampling(item)
    generator = torch.Generator()
    generator.seed() if how.seed is None else generator.manual_seed(how.seed)
    kind = how.replace(length=0, seed=None, until=None)
    return Drawing(prompt, prompt_tokens(model.tokenizer, prompt), how, kind, generator, [])


def _sampling(item: dict[str, Any]) -> Sampling:
    how = Sampling.from_dict({name: value for name, value in item.items() if name != "prompt"})
    if how.length > LONGEST:
        raise SettingsError(
            f"setting length: {how.length} tokens are more than the {LONGEST} of one request; ask for less"
        )
    if how.length * (how.beams or 1) > LONGEST:
        raise SettingsError(
            f"setting beams: {how.beams} beams of {how.length} tokens are more than the {LONGEST} tokens of one "
            "request; give fewer, or a smaller length"
        )
    return how


def _scored(model: LanguageModel, item: dict[str, Any]) -> dict[str, Any]:
    if len(item) > 1:
        raise TextError(f"a request with a text has nothing else, got {_short(item)}")
    found = model.score(_string(item, "text"))
    return {"loss": found.loss, "perplexity": found.perplexity, "tokens": found.predictions}


def _string(item: dict[str, Any], name: str) -> str:
    if not isinstance(item[name], str):
        raise TextError(f"{name}: expected text, got {_short(item[name])}")
    return item[name]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


@torch.no_grad()
def _draw(model: LanguageModel, drawings: list[Drawing]) -> None:
    """Draw token by token, all texts side by side; one that has come to its end leaves the others."""
    network, tokenizer, device = model.network.eval(), model.tokenizer, model.device
    drawings = [d for d in drawings if d.how.length]
    if not drawings:
        return
    drawings, logits, state = _read(model, drawings)
    while True:
        _choose(drawings, logits, tokenizer.unknown)
        going = [k for k, d in enumerate(drawings) if not _over(model, d)]
        if not going:
            return
        if len(going) < len(drawings):
            drawings = [drawings[k] for k in going]
            state = choose_rows(state, torch.tensor(going, device=device))
        logits, state = network.step(torch.tensor([d.made[-1] for d in drawings], device=device), state)


def _choose(drawings: list[Drawing], logits: torch.Tensor, banned: int | None) -> None:
    """A token for each text, as `choose` would: the probabilities of all that are drawn alike are found together."""
    alike: dict[Sampling, list[int]] = defaultdict(list)
    for k, d in enumerate(drawings):
        alike[d.kind].append(k)
    for how, rows in alike.items():
        before = [[*drawings[k].tokens, *drawings[k].made] for k in rows] if how.repetition_penalty != 1 else []
        for k, p in zip(rows, probabilities(logits[rows], how, banned, before), strict=True):
            drawings[k].made.append(int(torch.multinomial(p, 1, generator=drawings[k].generator)))


def _over(model: LanguageModel, d: Drawing) -> bool:
    return len(d.made) >= d.how.length or (d.how.until is not None and has_ended(model.tokenizer, d.how.until)(d.made))


def _read(model: LanguageModel, drawings: list[Drawing]) -> tuple[list[Drawing], torch.Tensor, Any]:
    """Read the prompts, those of one length together; the texts in that order, and what comes after each."""
    by_length: dict[int, list[Drawing]] = defaultdict(list)
    for d in drawings:
        by_length[len(d.tokens)].append(d)
    logits, states = [], []
    for group in by_length.values():
        tokens = torch.tensor([d.tokens for d in group], device=model.device).T
        y, state = model.network.outputs(tokens)
        logits.append(model.network.logits(y[-1]))
        states.append(state)
    return [d for group in by_length.values() for d in group], torch.cat(logits), _joined(states)


def _joined(states: list[Any]) -> Any:
    """The states of some sequences as those of all; every part of a state has its sequences on axis 1."""
    if isinstance(states[0], torch.Tensor):
        return torch.cat(states, 1)
    return tuple(_joined(list(parts)) for parts in zip(*states, strict=True))


class LanguageSession:
    """A text that comes piece by piece, and what the model expects after each."""

    def __init__(self, model: LanguageModel) -> None:
        self.model, self.state, self.logits, self.read = model, None, None, 0

    @torch.no_grad()
    def step(self, item: Any) -> dict[str, Any]:
        """Read `{"text": …}`, and say what may come next, the `top` likeliest tokens first.

        nats: how unexpected the text was, −ln p of its tokens given all before them; of the very first token it is
        not known. Raises `TextError`, and the state is as it was.
        """
        if not isinstance(item, dict) or not set(item) <= {"text", "top"} or "text" not in item:
            raise TextError(f'a step: expected {{"text": …}}, perhaps with "top", got {_short(item)}')
        top = item.get("top", TOP)
        if isinstance(top, bool) or not isinstance(top, int) or top < 1:
            raise TextError(f"top: expected a whole number of at least 1, got {_short(top)}")
        model = self.model
        ids = [int(i) for i in model.tokenizer.encode(check_string(_string(item, "text")))]
        if not ids:
            raise TextError("text: is empty; a step reads at least one token")
        tokens = torch.tensor(ids, device=model.device)
        y, state = model.network.outputs(tokens[:, None], self.state)
        nats = 0.0 if self.logits is None else negative_log_likelihood(self.logits, tokens[:1])
        rows = max(1, LOGITS // model.network.embedding.num_embeddings)  # a long text's logits would fill the memory
        for some, targets in zip(y[:-1, 0].split(rows), tokens[1:].split(rows), strict=True):
            nats += negative_log_likelihood(model.network.logits(some), targets)
        self.state, self.logits, self.read = state, model.network.logits(y[-1]), self.read + len(ids)
        return {"tokens": len(ids), "read": self.read, "nats": nats, "next": self._next(self.logits[0], top)}

    def _next(self, logits: torch.Tensor, top: int) -> list[dict[str, Any]]:
        p, ids = logits.softmax(-1).topk(min(top, len(logits)))
        return [
            {"token": self.model.tokenizer.decode([i]), "p": q} for i, q in zip(ids.tolist(), p.tolist(), strict=True)
        ]
