"""Spans in sequences of tags, and their precision, recall and F1 exactly as the CoNLL script `conlleval` counts them.

A tag is `O`, or a prefix and a type: `B-city` begins a span, `I-city` is inside one, `E-city` ends one, `S-city` is one
by itself. A span begins too at an `I-` or `E-` that has nothing of its type before it, as in CoNLL-2000's script.

Source: E. F. Tjong Kim Sang and S. Buchholz, Introduction to the CoNLL-2000 shared task: chunking, 2000.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Scheme", "Score", "Span", "SpanCounts", "find_scheme", "follows", "spans", "split_tag"]

Scheme = str | None
"""What prefixes a set of tags has: "BIO", "BIOES", or None for tags that mark no spans (parts of speech)."""


class Span(NamedTuple):
    """A type, the first position, and the one behind the last."""

    type: str
    start: int
    stop: int


class Score(NamedTuple):
    """Shares from 0 to 1, and how many spans there are in the truth and in the prediction."""

    precision: float
    recall: float
    f1: float
    gold: int
    predicted: int

    @classmethod
    def of(cls, correct: int, gold: int, predicted: int) -> Score:
        """Where there is nothing to divide by, 0."""
        precision = correct / predicted if predicted else 0.0
        recall = correct / gold if gold else 0.0
        both = precision + recall
        return cls(precision, recall, 2 * precision * recall / both if both else 0.0, gold, predicted)


def split_tag(tag: str) -> tuple[str, str]:
    """Prefix and type.

    >>> split_tag("B-fromloc.city-name"), split_tag("O"), split_tag("I")
    (('B', 'fromloc.city-name'), ('O', ''), ('I', ''))
    """
    prefix, _, kind = tag.partition("-")
    return prefix, kind


def find_scheme(tags: Iterable[str]) -> Scheme:
    """The prefixes that a set of tags has.

    >>> find_scheme(["O", "B-x", "I-x"]), find_scheme(["S-x", "O"]), find_scheme(["NOUN", "VERB"]), find_scheme(["O"])
    ('BIO', 'BIOES', None, 'BIO')
    """
    prefixes = set()
    for tag in set(tags):
        prefix, kind = split_tag(tag)
        if prefix not in set("OBIES") or (prefix == "O") == bool(kind):
            return None
        prefixes.add(prefix)
    return "BIOES" if prefixes & {"E", "S"} else "BIO"


def follows(before: str | None, after: str | None, scheme: Scheme) -> bool:
    """Whether a tag may stand behind another one; None is the start or the end of a sentence.

    >>> follows("B-x", "I-x", "BIO"), follows("B-y", "I-x", "BIO"), follows(None, "I-x", "BIO")
    (True, False, False)
    """
    if scheme is None:
        return True
    (was, kind), (now, other) = (("O", "") if tag is None else split_tag(tag) for tag in (before, after))
    goes_on = was in ("B", "I") and now in ("I", "E") and kind == other
    if now in ("I", "E"):
        return goes_on
    return scheme == "BIO" or was not in ("B", "I")


def spans(tags: Sequence[str]) -> list[Span]:
    """The spans of a sentence, in order.

    >>> spans(["B-city", "I-city", "O", "I-day", "B-day"])
    [Span(type='city', start=0, stop=2), Span(type='day', start=3, stop=4), Span(type='day', start=4, stop=5)]
    """
    found: list[Span] = []
    start, was, kind = 0, "O", ""
    for place, tag in enumerate([*tags, "O"]):
        now, other = split_tag(tag)
        if was != "O" and (now in ("O", "B", "S") or was in ("E", "S") or kind != other):
            found.append(Span(kind, start, place))
            was = "O"
        if now != "O" and was == "O":
            start = place
        was, kind = now, other
    return found


@dataclass
class SpanCounts:
    """Counts of spans, sentence by sentence: a predicted one is correct where type and both ends are the truth's.

    >>> counts = SpanCounts()
    >>> counts.add(["B-city", "I-city", "O", "B-day"], ["B-city", "I-city", "O", "O"])
    >>> counts.score
    Score(precision=1.0, recall=0.5, f1=0.6666666666666666, gold=2, predicted=1)
    >>> {kind: score.recall for kind, score in counts.by_type().items()}
    {'city': 1.0, 'day': 0.0}
    """

    scheme: Scheme = "BIO"  # None: tags mark no spans, so that every word counts by itself, as one of its tag
    correct: Counter[str] = field(default_factory=Counter)
    gold: Counter[str] = field(default_factory=Counter)
    predicted: Counter[str] = field(default_factory=Counter)

    def add(self, gold: Sequence[str], predicted: Sequence[str]) -> None:
        """Count a sentence. Raises `ValueError` where the two are not of one length."""
        if len(gold) != len(predicted):
            raise ValueError(f"expected {len(gold)} predicted tags, one for each true one, got {len(predicted)}")
        truth, guess = self._marked(gold), self._marked(predicted)
        self.gold.update(span.type for span in truth)
        self.predicted.update(span.type for span in guess)
        self.correct.update(span.type for span in set(truth) & set(guess))

    def _marked(self, tags: Sequence[str]) -> list[Span]:
        return spans(tags) if self.scheme else [Span(tag, place, place + 1) for place, tag in enumerate(tags)]

    @property
    def score(self) -> Score:
        """Of all types together (the micro average)."""
        return Score.of(self.correct.total(), self.gold.total(), self.predicted.total())

    def by_type(self) -> dict[str, Score]:
        """By type, in the order of their names."""
        kinds = sorted(self.gold.keys() | self.predicted.keys())
        return {kind: Score.of(self.correct[kind], self.gold[kind], self.predicted[kind]) for kind in kinds}
