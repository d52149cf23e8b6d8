"""What the report of a language model shows: baselines, samples, hard and easy tokens, an example to look inside."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gatewright.inside.pictures.timeline import visible
from gatewright.tasks.errors import TextError
from gatewright.tasks.progress import clock
from gatewright.tasks.report.axis import words
from gatewright.tasks.report.parts import Alert, Findings, Markup, Part, Probe, Score, Section, Table, Text

if TYPE_CHECKING:
    from jaxtyping import Integer

    from gatewright.tasks.language.model import LanguageModel
    from gatewright.tasks.tokenizers import Tokenizer

__all__ = ["Example", "Seen", "baselines", "language_findings", "text_findings"]

LN2 = math.log(2)
MOST = 1 << 22  # tokens that baselines are counted on
CONTEXT = 256  # tokens that are read before an example, so that it does not begin with an empty state
STEPS = {"chars": 256, "bytes": 256, "pieces": 128, "words": 128}
SHOWN = {"chars": 60, "bytes": 60, "pieces": 40, "words": 40}
SAMPLE = {"chars": 400, "bytes": 400, "pieces": 120, "words": 80}
ROWS, NUMBERS = 8, 1 << 24  # sequences that are looked into, and numbers that are recorded at most
LONGEST = 2048  # tokens of a text that a page is about
COLOURS = 7
DISCOUNT = 0.75


@dataclass(frozen=True)
class Seen:
    """The tokens that a model was trained and validated on."""

    train: Integer[np.ndarray, " N"]
    valid: Integer[np.ndarray, " M"]


def language_findings(model: LanguageModel, seen: Seen | None) -> Findings:
    """What the report of a language model shows; without the text only what its metrics say."""
    text = (model.metrics.get("data") or {}).get("name", "a text")
    title = f"{model.cell_name} on {Path(text).name if os.sep in text else text}"
    data = {name.replace("_", " "): value for name, value in (model.metrics.get("data") or {}).items()}
    if seen is None:
        told = (
            "the text of this run is not known here, so there are no baselines and no examples; give it as an argument"
        )
        return Findings(title, "tokens", _headline(model), _ours(model), data, alerts=[Alert(told, "note")])
    example = Example.of(model, seen.valid)
    sections = [
        Section("Samples", _samples(model, example)),
        Section("Surprise", _surprise(model.tokenizer, example)),
    ]
    scores = [*_ours(model), *baselines(seen, model.tokenizer.size, _per_character(model))]
    return Findings(title, "tokens", _headline(model), scores, data, sections, example.probe(model))


def text_findings(model: LanguageModel, ids: Integer[np.ndarray, " N"], title: str) -> Findings:
    """What a page about one text shows: its cost, each token's surprise, and a probe of what happens inside.

    ids: two tokens at least, read as one sequence from an empty state. Raises `TextError`.
    """
    if not 2 <= len(ids) <= LONGEST:
        advice = "give a longer one" if len(ids) < 2 else "give a part of it"
        raise TextError(f"{title}: expected a text of 2 to {LONGEST} tokens, got {len(ids)}; {advice}")
    network, kind = model.network.eval(), model.tokenizer.kind
    tokens = torch.from_numpy(ids.astype(np.int64))[:, None].to(model.device)
    names = [shown_token(model.tokenizer, int(i)) for i in ids[:-1]]
    example = Example(network, tokens[:0], tokens, None, names, kind)
    with torch.no_grad():
        loss = float(example.losses().double().mean())
    figures = _figures(loss, None)
    headline = [(name, words(round(value, 4))) for name, value in figures.items()]
    about = "The text as one sequence; a column is a step, written below it is the token that comes in."
    probe = Probe(network, example.losses, {"tokens": names}, SHOWN[kind], about=about)
    section = Section("Surprise", _surprise(model.tokenizer, example))
    scores = [Score(model.cell_name, figures, "on this text", ours=True)]
    return Findings(title, "tokens", headline, scores, {}, [section], probe)


def _headline(model: LanguageModel) -> list[tuple[str, str]]:
    m = model.metrics
    best = m.get("best")
    if not best:
        return []
    found = [
        ("validation loss, nats a token", f"{best['loss']:.4f}"),
        ("perplexity", words(round(best["perplexity"], 3))),
    ]
    ratio = _per_character(model)
    if ratio:
        found.append(("bits a character", f"{best['loss'] / LN2 * ratio:.3f}"))
    items = m["history"][-1].get("items")
    found += [("parameters", f"{m['parameters']:,}"), ("training", clock(m["seconds"]))]
    if items and m["seconds"]:
        found += [("tokens read", f"{items:,}"), ("tokens a second", words(round(items / m["seconds"])))]
    return found


def _per_character(model: LanguageModel) -> float | None:
    """Tokens to a character of the whole text; None for words, of which unknown ones cost next to nothing."""
    text = model.metrics.get("data") or {}
    if not text.get("characters") or model.settings.tokenizer == "words":
        return None
    return (text["train_tokens"] + text["validation_tokens"]) / text["characters"]


def _figures(loss: float, ratio: float | None) -> dict[str, float]:
    found = {"loss": loss, "perplexity": math.exp(min(loss, 700.0)), "bits a token": loss / LN2}
    return found | ({"bits a character": loss / LN2 * ratio} if ratio and abs(ratio - 1) > 1e-3 else {})


def _ours(model: LanguageModel) -> list[Score]:
    best = model.metrics.get("best")
    if not best:
        return []
    return [Score(model.cell_name, _figures(best["loss"], _per_character(model)), "this model, at its best", ours=True)]


def baselines(seen: Seen, size: int, ratio: float | None = None) -> list[Score]:
    """Cross-entropy of the validation text by chance, by frequency, and by the token before.

    Frequencies come from the training text, one is added to each (Laplace). The bigram takes 0.75 off each count and
    gives what is left over to the frequencies: absolute discounting (Ney, Essen and Kneser 1994). Of longer texts the
    first 4 million tokens count.

    >>> seen = Seen(np.array([0, 1] * 50), np.array([0, 1, 0, 1]))
    >>> [(s.name, round(s.figures["loss"], 2)) for s in baselines(seen, 2)]
    [('uniform', 0.69), ('unigram', 0.69), ('bigram', 0.01)]
    """
    train, valid = np.asarray(seen.train[:MOST], np.int64), np.asarray(seen.valid[:MOST], np.int64)
    counts = np.bincount(train, minlength=size) + 1.0
    frequency = counts / counts.sum()
    before, after = valid[:-1], valid[1:]
    pairs, number = np.unique(train[:-1] * size + train[1:], return_counts=True)
    first = pairs // size
    follows = np.bincount(first, weights=number, minlength=size)  # how often a token is followed by any
    kinds = np.bincount(first, minlength=size)  # by how many different ones
    wanted = before * size + after
    at = np.minimum(np.searchsorted(pairs, wanted), len(pairs) - 1)
    seen_so = np.where(pairs[at] == wanted, number[at] - DISCOUNT, 0.0)
    total = np.maximum(follows[before], 1)
    left = np.where(follows[before] > 0, DISCOUNT * kinds[before] / total, 1.0)
    bigram = seen_so / total + left * frequency[after]
    losses = {
        "uniform": (math.log(size), f"every one of {size:,} tokens alike"),
        "unigram": (-float(np.log(frequency[after]).mean()), "how often each token is in the training text"),
        "bigram": (-float(np.log(bigram).mean()), "given the token before alone"),
    }
    return [Score(name, _figures(loss, ratio), note) for name, (loss, note) in losses.items()]


# -- an example ------------------------------------------------------------------------------------------------


@dataclass
class Example:
    """Stretches of the validation text, (T + 1, B), each with the state that the text before it leaves."""

    network: Any
    before: Tensor
    tokens: Tensor
    state: Any
    names: list[str]  # of the first stretch's inputs
    kind: str

    @classmethod
    @torch.no_grad()
    def of(cls, model: LanguageModel, valid: np.ndarray) -> Example:
        """Evenly spaced through the validation text."""
        kind, network = model.tokenizer.kind, model.network.eval()
        steps = min(STEPS[kind], len(valid) - 1)
        context = min(CONTEXT, len(valid) - 1 - steps)
        whole = context + steps + 1
        values = len(model.cell.graph.equations) * model.settings.num_layers * model.settings.hidden_size
        rows = max(1, min(ROWS, len(valid) // whole, NUMBERS // (steps * values)))
        starts = np.linspace(0, len(valid) - whole, rows).astype(np.int64)
        tokens = np.asarray(valid[starts[None] + np.arange(whole)[:, None]], np.int64)
        device = network.embedding.weight.device
        before, after = (torch.from_numpy(t).to(device) for t in (tokens[:context], tokens[context:]))
        state = network(before)[1] if context else None
        names = [shown_token(model.tokenizer, int(i)) for i in after[:-1, 0]]
        return cls(network, before, after, state, names, kind)

    def logits(self) -> Tensor:
        """(T, B, V), the state carried in."""
        logits = self.network(self.tokens[:-1], self.state)[0]
        return logits if logits.dtype == torch.float64 else logits.float()

    def losses(self) -> Tensor:
        """(T, B), in nats."""
        return F.cross_entropy(self.logits().flatten(0, 1), self.tokens[1:].flatten(), reduction="none").view(
            self.tokens[1:].shape
        )

    def probe(self, model: LanguageModel) -> Probe:
        """What the report looks inside of."""
        steps, rows = self.tokens[1:].shape
        about = (
            f"Measured on {rows} stretches of the validation text of {steps} tokens each, the text before them read "
            "first. The first stretch is drawn; a column is a step, written below it is the token that comes in."
        )
        return Probe(model.network, self.losses, {"tokens": self.names}, SHOWN[self.kind], about=about)


def shown_token(tokenizer: Tokenizer, number: int) -> str:
    """A token by itself, as text."""
    return tokenizer.decode([number]) or "↵"


# -- samples ---------------------------------------------------------------------------------------------------


def _samples(model: LanguageModel, example: Example) -> list[Part]:
    """What the model writes behind the start of the example."""
    prompt_ids = (example.before if len(example.before) else example.tokens)[-60:, 0].tolist()
    prompt = model.tokenizer.decode(prompt_ids)
    length, parts = SAMPLE[example.kind], []
    for temperature in (0.5, 0.8, 1.0):
        text = model.generate(prompt, length=length, temperature=temperature, seed=0)
        given, made = escape(prompt), escape(text[len(prompt) :])
        parts += [Text(f"Temperature {temperature}", quiet=True)]
        parts += [Markup(f'<div class="tokens sample" tabindex="0"><span class="given">{given}</span>{made}</div>')]
    return [Text("Behind a piece of the validation text (in grey) the model writes on:"), *parts]


# -- surprise --------------------------------------------------------------------------------------------------


@torch.no_grad()
def _surprise(tokenizer: Tokenizer, example: Example) -> list[Part]:
    """Where the model was wrong and where it was sure."""
    log_p = example.logits().log_softmax(-1)
    targets = example.tokens[1:]
    nats = -log_p.gather(-1, targets[..., None]).squeeze(-1)
    return [
        Text("Each token of an example in the colour of its surprise, −ln p: what could the model not foresee?"),
        Markup(_coloured(tokenizer, targets[:, 0].tolist(), nats[:, 0].tolist(), example.kind)),
        _hardest(tokenizer, example, log_p, nats),
        *_by_token(tokenizer, targets.flatten().cpu().numpy(), nats.flatten().double().cpu().numpy()),
    ]


def _coloured(tokenizer: Tokenizer, ids: list[int], nats: list[float], kind: str) -> str:
    """Tokens in seven colours, a nat each."""
    gap = " " if kind == "words" else ""
    parts = []
    for number, surprise in zip(ids, nats, strict=True):
        token = shown_token(tokenizer, number)
        title = f"{visible(token)}: {surprise:.2f} nats, p = {math.exp(-surprise):.3g}"
        end = '<span class="end">↵</span>' if token.endswith("\n") else ""
        body = escape(token[:-1] if end else token)
        newline = "\n" if end else gap
        colour = min(int(surprise), COLOURS - 1)
        parts.append(f'<span class="q{colour}" title="{escape(title)}">{body}{end}</span>{newline}')
    key = "".join(f'<span class="q{k}">{k}{"+" if k == COLOURS - 1 else ""}</span>' for k in range(COLOURS))
    return f'<div class="tokens">{"".join(parts)}</div><div class="key">nats: {key}</div>'


def _hardest(tokenizer: Tokenizer, example: Example, log_p: Tensor, nats: Tensor) -> Table:
    rows = []
    for place in nats.flatten().argsort(descending=True)[:8].tolist():
        t, b = divmod(place, nats.shape[1])
        whole = torch.cat([example.before[:, b], example.tokens[: t + 1, b]])
        before = visible(tokenizer.decode(whole[-24:].tolist()))[-48:]
        best = log_p[t, b].topk(min(3, log_p.shape[-1]))
        expected = ", ".join(
            f"{visible(shown_token(tokenizer, int(i)))} {math.exp(float(p)):.0%}"
            for p, i in zip(best.values, best.indices, strict=True)
        )
        token = visible(shown_token(tokenizer, int(example.tokens[t + 1, b])))
        rows.append([before, token, round(float(nats[t, b]), 2), expected])
    head = ["behind", "came", "nats", "the model expected"]
    return Table(head, rows, "The greatest surprises", code=frozenset({0, 1, 3}))


def _by_token(tokenizer: Tokenizer, ids: np.ndarray, nats: np.ndarray) -> list[Part]:
    """Which tokens cost the most, and which are easy."""
    kinds, place, number = np.unique(ids, return_inverse=True, return_counts=True)
    total = np.bincount(place, weights=nats)
    mean, often = total / number, np.flatnonzero(number >= 5)
    head = ["token", "times", "mean nats", "share of the loss, %"]

    def table(chosen: np.ndarray, caption: str) -> Table:
        rows = [
            [visible(shown_token(tokenizer, int(kinds[k]))), int(number[k]), round(float(mean[k]), 3),
             round(100 * float(total[k] / nats.sum()), 1)]
            for k in chosen
        ]  # fmt: skip
        return Table(head, rows, caption, code=frozenset({0}))

    costly = table(np.argsort(-total)[:8], "Tokens that cost the most")
    easy = table(often[np.argsort(mean[often])[:8]], "The easiest tokens (seen five times at least)")
    return [costly, *([easy] if len(often) else [])]
