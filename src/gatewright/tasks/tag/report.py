"""What the report of a tagger shows: baselines, scores by type, what is taken for what, examples with their errors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from gatewright.tasks.progress import clock
from gatewright.tasks.report.parts import Alert, Findings, Markup, Part, Probe, Score, Section, Table, Text
from gatewright.tasks.tag.data import Sentences
from gatewright.tasks.tag.encode import Encoded, Vocabulary, collate
from gatewright.tasks.tag.job import Guess, TagCounts, TagPrepared, guesses
from gatewright.tasks.tag.spans import SpanCounts, spans

if TYPE_CHECKING:
    from gatewright.tasks.tag.tagger import Tagger

__all__ = ["baseline", "sentence_findings", "tag_findings"]

ROWS = 32  # sentences that are looked into
SHOWN, CONFUSIONS, TYPES = 8, 12, 25
MISSED = "nothing"
RIGHT, WRONG, EXTRA = "q2", "q6", "q4"  # the report's colours


def tag_findings(model: Tagger, prepared: TagPrepared | None) -> Findings:
    """What the report of a tagger shows; without the data only what its metrics say."""
    about = dict(model.metrics.get("data") or {})
    title = f"{model.cell_name} on {str(about.get('name', 'sentences')).rstrip('/').rpartition('/')[2]}"
    data = {name.replace("_", " "): value for name, value in about.items()}
    best = model.metrics.get("best")
    ours = [_score(model.cell_name, best, "this model, at its best", ours=True)] if best else []
    headline = _headline(model)
    if prepared is None:
        told = (
            "the data of this run are not known here, so there are no baselines and no examples; give them as arguments"
        )
        return Findings(title, "words", headline, ours, data, alerts=[Alert(told, "note")])
    valid, known = prepared.valid, model.vocabulary
    found = dict(guesses(model.network, valid, known))
    sections = [Section(name, parts) for name, parts in _sections(valid, found, known) if parts]
    scores = [*ours, baseline(prepared.train, valid, known)]
    return Findings(title, "words", headline, scores, data, sections, _probe(model, valid))


def _headline(model: Tagger) -> list[tuple[str, str]]:
    m = model.metrics
    best = m.get("best")
    if not best:
        return []
    names = {"f1": "span F1", "accuracy": "right tags", "intent_accuracy": "right intents"}
    names |= {"sentence_accuracy": "sentences without an error"}
    found = [(name, f"{best[key]:.2%}") for key, name in names.items() if key in best]
    return [*found, ("parameters", f"{m['parameters']:,}"), ("training", clock(m["seconds"]))]


def _score(name: str, figures: Any, note: str, *, ours: bool = False) -> Score:
    """In percent; the first figure is the share of errors, of which less is better."""
    shown = {"f1": "span F1, %", "precision": "precision, %", "recall": "recall, %", "accuracy": "right tags, %"}
    shown |= {"intent_accuracy": "right intents, %", "sentence_accuracy": "right sentences, %"}
    error = 1 - figures.get("f1", figures["accuracy"])
    first = "100 − F1" if "f1" in figures else "wrong tags, %"
    rows = {label: 100 * figures[key] for key, label in shown.items() if key in figures}
    return Score(name, {first: 100 * error, **rows}, note, ours)


def baseline(train: Encoded, valid: Encoded, known: Vocabulary) -> Score:
    """Each word's most frequent tag in the training data (an unseen word's the most frequent of all), and the most
    frequent intent.
    """
    size = len(known.tags)
    table = np.zeros((len(known.words), size), np.int64)
    np.add.at(table, (train.word, train.tag), 1)
    table[table.sum(1) == 0] = table.sum(0)
    usual = table.argmax(1)
    intent = known.intents[np.bincount(train.intent).argmax()] if known.intents else ""
    counts = TagCounts()
    for row in range(len(valid)):
        at = slice(valid.offsets[row], valid.offsets[row + 1])
        tags = [known.tags[k] for k in usual[valid.word[at]]]
        counts.add(*valid.truth(row), Guess(tags, intent, 0.0, None, None))
    return _score(
        "most frequent", counts.figures(known.scheme), "each word's most frequent tag, and one intent for all"
    )


# -- sections ------------------------------------------------------------------------------------------------------


def _sections(valid: Encoded, found: dict[int, Guess], known: Vocabulary) -> list[tuple[str, list[Part]]]:
    pairs = [(row, *valid.truth(row), guess) for row, guess in sorted(found.items())]
    counts = SpanCounts()
    for _, tags, _, guess in pairs:
        counts.add(tags, guess.tags)
    made = [("Examples", _examples(valid, pairs))]
    if known.scheme is not None:
        made += [("Types", _types(counts)), ("What is taken for what", _confusions(pairs))]
    else:
        made.append(("What is taken for what", _tag_confusions(pairs)))
    return [*made, ("Intents", _intents(pairs))]


def _types(counts: SpanCounts) -> list[Part]:
    scores = sorted(counts.by_type().items(), key=lambda item: -item[1].gold)
    rows = [
        [kind, s.gold, s.predicted, *(round(100 * x, 1) for x in (s.precision, s.recall, s.f1))]
        for kind, s in scores[:TYPES]
    ]
    head = ["type", "true", "predicted", "precision, %", "recall, %", "F1, %"]
    rest = f"The {TYPES} most frequent of {len(scores)} types. " if len(scores) > TYPES else ""
    told = "A span is right where its type and both of its ends are."
    return [Text(rest + told, quiet=True), Table(head, rows, bars=5, code=frozenset({0}))] if rows else []


def _confusions(pairs: Sequence[Any]) -> list[Part]:
    """Types of spans that lie on each other without being equal."""
    number: Counter[tuple[str, str]] = Counter()
    for _, tags, _, guess in pairs:
        truth, found = spans(tags), spans(guess.tags)
        for span in set(truth) - set(found):
            touching = [f for f in found if f.start < span.stop and span.start < f.stop]
            names = {f.type if f.type != span.type else f"{f.type}, other ends" for f in touching}
            number.update((span.type, name) for name in names or {MISSED})
        for f in set(found) - set(truth):
            if not any(f.start < span.stop and span.start < f.stop for span in truth):
                number[MISSED, f.type] += 1
    return _table(number, "spans")


def _tag_confusions(pairs: Sequence[Any]) -> list[Part]:
    wrong = ((t, g) for _, tags, _, guess in pairs for t, g in zip(tags, guess.tags, strict=True) if t != g)
    return _table(Counter(wrong), "words")


def _intents(pairs: Sequence[Any]) -> list[Part]:
    return _table(Counter((i, g.intent) for _, _, i, g in pairs if i is not None and i != g.intent), "sentences")


def _table(number: Counter[tuple[str, str]], what: str) -> list[Part]:
    rows = [[true, found, n] for (true, found), n in number.most_common(CONFUSIONS)]
    return [Table(["true", "predicted", what], rows, bars=2, code=frozenset({0, 1}))] if rows else []


def _examples(valid: Encoded, pairs: Sequence[Any]) -> list[Part]:
    """The sentences of which the model was most mistaken, then the first ones of the data."""
    by_loss = sorted(pairs, key=lambda p: -((p[3].tag_loss or 0) + (p[3].intent_loss or 0)))
    wrong = [p for p in by_loss if p[1] != p[3].tags or p[2] not in (None, p[3].intent)]
    key = "".join(
        f'<span class="{c}">{name}</span>' for c, name in ((RIGHT, "right"), (WRONG, "missed"), (EXTRA, "wrong"))
    )
    parts: list[Part] = [Markup(f'<div class="key">{key}</div>')]
    for title, chosen in (("The greatest mistakes", wrong[:SHOWN]), ("The first sentences", pairs[:SHOWN])):
        if chosen:
            body = "\n\n".join(_marked(valid.words(row), tags, intent, guess) for row, tags, intent, guess in chosen)
            parts += [Text(title), Markup(f'<div class="tokens" tabindex="0">{body}</div>')]
    return parts


def _marked(words: Sequence[str], tags: Sequence[str], intent: str | None, guess: Guess) -> str:
    """A sentence with its predicted tags behind the words, and the true ones where they are others."""
    made = []
    for word, true, found in zip(words, tags, guess.tags, strict=True):
        if true == found:
            tag = f' <span class="{RIGHT}">{escape(found)}</span>' if found != "O" else ""
        else:
            tag = f' <span class="{WRONG}">{escape(true)}</span>→<span class="{EXTRA}">{escape(found)}</span>'
        made.append(f"{escape(word)}{tag}")
    line = "  ".join(made)
    if intent is None:
        return line
    right = intent == guess.intent
    name = (
        f'<span class="{RIGHT}">{escape(intent)}</span>'
        if right
        else f'<span class="{WRONG}">{escape(intent)}</span>→<span class="{EXTRA}">{escape(guess.intent)}</span>'
    )
    return f"{line}\n  {name} {guess.probability:.0%}"


def _probe(model: Tagger, data: Encoded, about: str = "") -> Probe:
    """Sentences from the longest one down, so that the first, which is drawn, shows most; −ln p of each sentence.

    It looks into the layers that read words; those that read characters have other steps.
    """
    rows = np.argsort(-data.lengths, kind="stable")[:ROWS]
    batch = collate(data, rows).to(model.device)

    def losses() -> Tensor:
        out = model.network(batch)
        return out.tag_loss + model.settings.intent_weight * out.intent_loss

    about = about or (
        f"Measured on the {len(rows)} longest sentences of the validation data, read in both directions. The longest "
        "is drawn; a column is a word."
    )
    return Probe(model.network.recurrent, losses, {"tokens": data.words(int(rows[0]))}, about=about)


# -- one sentence --------------------------------------------------------------------------------------------------


@torch.no_grad()
def sentence_findings(model: Tagger, words: list[str]) -> Findings:
    """What a model says of a sentence, how sure it is, and what happens inside."""
    known = model.vocabulary
    data = Encoded.of(Sentences("the sentence", [words]), known)
    guess = dict(guesses(model.network, data, known))[0]
    tagged = Encoded.of(
        Sentences("the sentence", [words], [guess.tags], [guess.intent] if guess.intent else None), known
    )
    out = model.network(collate(tagged, np.array([0])).to(model.device))
    sure = float((-out.tag_loss[0]).exp()) if model.settings.crf else float("nan")
    headline = [("intent", guess.intent)] if guess.intent else []
    if model.settings.crf:
        headline.append(("p(these tags)", f"{sure:.1%}"))
    rows = [
        [word, tag, "" if known.word(word) else "not in the vocabulary", *_rivals(out.emissions[t, 0], known.tags)]
        for t, (word, tag) in enumerate(zip(words, guess.tags, strict=True))
    ]
    head = ["word", "tag", "", "by this word alone"]
    examples = [Section("Tags", [Table(head, rows, code=frozenset({0, 1, 3}))])]
    if guess.intent:
        shares = out.intents[0].softmax(-1)
        best = shares.topk(min(5, len(shares)))
        ranked = [
            [known.intents[int(k)], round(100 * float(p), 2)] for p, k in zip(best.values, best.indices, strict=True)
        ]
        examples.append(Section("Intent", [Table(["intent", "probability, %"], ranked, bars=1)]))
    about = "The sentence as the network reads it; the loss is −ln p of what it predicts. A column is a word."
    title = " ".join(words) if len(words) <= 12 else f"{' '.join(words[:12])} …"
    return Findings(title, "words", headline, examples=examples, probe=_probe(model, tagged, about))


def _rivals(emissions: Tensor, tags: Sequence[str]) -> list[str]:
    """The likeliest tags by the scores of one word, without its neighbours' tags."""
    best = emissions.softmax(-1).topk(min(3, len(tags)))
    shown = (
        f"{tags[int(k)]} {float(p):.0%}" for p, k in zip(best.values, best.indices, strict=True) if float(p) > 0.005
    )
    return [", ".join(shown)]
