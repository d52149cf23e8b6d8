"""Text that goes on from a prompt: drawn token by token, or searched for with beams."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch

from gatewright.tasks.language.beam import beam_search
from gatewright.tasks.language.sampling import Sampling, choose
from gatewright.tasks.text import check_string

if TYPE_CHECKING:
    from gatewright.tasks.language.network import LanguageNetwork
    from gatewright.tasks.tokenizers import Tokenizer

__all__ = ["Continuation", "drawn", "finished_text", "has_ended", "prompt_tokens", "searched"]


class Continuation(NamedTuple):
    """A prompt with a continuation, its log probability in nats, and what beams compare it by."""

    text: str
    log_probability: float
    score: float


def drawn(network: LanguageNetwork, tokenizer: Tokenizer, prompt: str, how: Sampling) -> str:
    """The prompt and a continuation, each token drawn from what the model gives after all before it."""
    tokens = prompt_tokens(tokenizer, prompt)
    generator = torch.Generator()
    generator.seed() if how.seed is None else generator.manual_seed(how.seed)
    return finished_text(tokenizer, prompt, _draw(network, tokenizer, tokens, how, generator), how.until)


def searched(network: LanguageNetwork, tokenizer: Tokenizer, prompt: str, how: Sampling) -> list[Continuation]:
    """The prompt with each of the best `how.beams` continuations that beams find, the best one first."""
    found = beam_search(
        network,
        prompt_tokens(tokenizer, prompt),
        width=how.beams or 1,
        length=how.length,
        length_penalty=how.length_penalty,
        ended=has_ended(tokenizer, how.until),
        banned=tokenizer.unknown,
        repetition_penalty=how.repetition_penalty,
    )
    texts = [finished_text(tokenizer, prompt, b.tokens, how.until) for b in found]
    return [Continuation(text, b.log_probability, b.score) for text, b in zip(texts, found, strict=True)]


@torch.no_grad()
def _draw(
    network: LanguageNetwork, tokenizer: Tokenizer, tokens: list[int], how: Sampling, generator: torch.Generator
) -> list[int]:
    device, ended = network.eval().embedding.weight.device, has_ended(tokenizer, how.until)
    state, made = None, []
    if len(tokens) > 1:
        _, state = network.outputs(torch.tensor(tokens[:-1], device=device)[:, None])
    last = torch.tensor(tokens[-1:], device=device)
    while len(made) < how.length and not ended(made):
        logits, state = network.step(last, state)
        last = choose(logits, how, generator, tokenizer.unknown, [[*tokens, *made]]).to(device)
        made.append(int(last))
    return made


def prompt_tokens(tokenizer: Tokenizer, prompt: str) -> list[int]:
    """What a text begins with: the tokens of its prompt, at least one."""
    return [int(i) for i in tokenizer.encode(check_string(prompt))] or [tokenizer.start]


def has_ended(tokenizer: Tokenizer, until: str | None) -> Callable[[list[int]], bool]:
    """Whether the text of tokens has come to `until`; the last few tokens tell, for no token is shorter than a byte."""
    if until is None:
        return lambda _: False
    tail = len(until.encode()) + 4  # whole characters before it, where tokens are bytes
    return lambda made: until in tokenizer.decode(made[-tail:])


def finished_text(tokenizer: Tokenizer, prompt: str, made: list[int], until: str | None) -> str:
    """The prompt and what was made after it, as text."""
    text = tokenizer.decode(made)
    if until is not None:
        text = text.split(until, 1)[0]
    glue = tokenizer.glue if prompt and not prompt[-1].isspace() else ""
    return prompt + (glue if text else "") + text
