"""From words, characters, tags and intents to numbers, and to batches of sentences of about one length."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gatewright.tasks.tag.data import Sentences
from gatewright.tasks.tag.spans import find_scheme, follows

if TYPE_CHECKING:
    from jaxtyping import Int64, Integer

    from gatewright.tasks.tag.settings import TagSettings

__all__ = ["Batch", "Encoded", "Vocabulary", "bucketed", "collate", "normal"]

UNKNOWN = 0  # of words and characters
LONGEST = 32  # characters of a word that are read
DIGIT = re.compile(r"\d")


def normal(word: str, *, lowercase: bool, digits: bool) -> str:
    """The form in which a word is looked up.

    >>> normal("Flight-212", lowercase=True, digits=True)
    'flight-000'
    """
    word = word.lower() if lowercase else word
    return DIGIT.sub("0", word) if digits else word


@dataclass(frozen=True)
class Vocabulary:
    """What a model knows, from its training data: the JSON of `config`, with places by name.

    words: with the number of their occurrences, "" for unknown ones at 0. characters: at 1, 2, …. tags, intents: their
    names. exceptions: pairs of tags that break the scheme, and are in the training data.
    """

    words: dict[str, int]
    counts: list[int]
    characters: str
    tags: list[str]
    intents: list[str]
    scheme: str | None
    exceptions: list[tuple[str | None, str | None]]
    lowercase: bool
    digits: bool

    @classmethod
    def build(cls, train: Sentences, settings: TagSettings, more: Iterable[str] = ()) -> Vocabulary:
        """Of training data. more: words that are known besides, as those of a file of vectors."""
        how = {"lowercase": settings.lowercase, "digits": settings.digits}
        forms = Counter(word for sentence in train.words for word in sentence)
        counts: Counter[str] = Counter()
        for word, number in forms.items():
            counts[normal(word, **how)] += number
        kept = [word for word, number in counts.items() if number >= settings.min_count]
        words = ["", *dict.fromkeys([*sorted(kept), *more])]
        tags = sorted({tag for sentence in train.tags or [] for tag in sentence}, key=lambda tag: (tag != "O", tag))
        scheme = find_scheme(tags)
        return cls(
            {word: i for i, word in enumerate(words)},
            [0, *(counts[word] for word in words[1:])],
            "".join(sorted(set().union(*forms))),
            tags,
            sorted(set(train.intents or [])),
            scheme,
            broken(train.tags or [], scheme),
            **how,
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {**{f.name: getattr(self, f.name) for f in fields(self)}, "words": list(self.words)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Vocabulary:
        """What `to_dict` gave."""
        words = {word: i for i, word in enumerate(values["words"])}
        return cls(**{**values, "words": words, "exceptions": [(a, b) for a, b in values["exceptions"]]})

    @cached_property
    def _letters(self) -> dict[str, int]:
        return {c: i for i, c in enumerate(self.characters, 1)}

    def word(self, word: str) -> int:
        """A word's number."""
        return self.words.get(normal(word, lowercase=self.lowercase, digits=self.digits), UNKNOWN)

    def spell(self, word: str) -> list[int]:
        """The numbers of its first characters."""
        return [self._letters.get(c, UNKNOWN) for c in word[:LONGEST]]


def broken(tags: Iterable[Sequence[str]], scheme: str | None) -> list[tuple[str | None, str | None]]:
    """Pairs of neighbours that break the scheme, each once.

    >>> broken([["O", "I-x"], ["I-x"]], "BIO")
    [(None, 'I-x'), ('O', 'I-x')]
    """
    pairs = {pair for sentence in tags for pair in zip([None, *sentence], [*sentence, None], strict=True)}
    wrong = [pair for pair in pairs if not follows(*pair, scheme)]
    return sorted(wrong, key=lambda pair: (pair[0] or "", pair[1] or ""))


@dataclass(frozen=True)
class Encoded:
    """Sentences end to end. N words, F distinct forms of words, S sentences.

    word, form, tag: (N,); offsets: (S + 1,), where a sentence begins; intent: (S,), -1 where there is none.
    letters: the characters of all forms, end to end; spelled: (F + 1,), where a form begins.
    forms: the words themselves, by number. tags, intents: names by number; those that training did not have stand
    behind its own.
    """

    word: Integer[np.ndarray, " N"]
    form: Integer[np.ndarray, " N"]
    tag: Integer[np.ndarray, " N"]
    offsets: Integer[np.ndarray, " S1"]
    intent: Integer[np.ndarray, " S"]
    letters: Integer[np.ndarray, " C"]
    spelled: Integer[np.ndarray, " F1"]
    forms: list[str]
    tags: list[str]
    intents: list[str]

    @classmethod
    def of(cls, sentences: Sentences, vocabulary: Vocabulary) -> Encoded:
        """In numbers; without tags all are 0."""
        forms: dict[str, int] = {}
        flat = [forms.setdefault(word, len(forms)) for sentence in sentences.words for word in sentence]
        number = np.array([vocabulary.word(form) for form in forms], np.int64)
        spelled = [vocabulary.spell(form) for form in forms]
        tags, intents = ({name: i for i, name in enumerate(names)} for names in (vocabulary.tags, vocabulary.intents))
        tag = [tags.setdefault(t, len(tags)) for sentence in sentences.tags or [] for t in sentence]
        intent = [intents.setdefault(name, len(intents)) for name in sentences.intents or []]
        form = np.array(flat, np.int64)
        return cls(
            number[form],
            form,
            np.array(tag or [0] * len(flat), np.int64),
            _ends(len(sentence) for sentence in sentences.words),
            np.array(intent or [-1] * len(sentences), np.int64),
            np.array([c for letters in spelled for c in letters], np.int64),
            _ends(map(len, spelled)),
            list(forms),
            list(tags),
            list(intents),
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Integer[np.ndarray, " S"]:
        """Words of each sentence."""
        return np.diff(self.offsets)

    def words(self, row: int) -> list[str]:
        """The words of a sentence."""
        return [self.forms[k] for k in self.form[self.offsets[row] : self.offsets[row + 1]]]

    def truth(self, row: int) -> tuple[list[str], str | None]:
        """The true tags and the true intent of a sentence."""
        tags, intent = self.tag[self.offsets[row] : self.offsets[row + 1]], int(self.intent[row])
        return [self.tags[k] for k in tags], self.intents[intent] if intent >= 0 else None


class Batch(NamedTuple):
    """B sentences of up to T words, U different forms of words of up to C characters.

    words, forms, tags: (T, B), 0 behind a sentence's end. lengths, intents: (B,). letters: (C, U).
    letter_lengths: (U,).
    """

    words: Int64[Tensor, "T B"]
    forms: Int64[Tensor, "T B"]
    lengths: Int64[Tensor, " B"]
    letters: Int64[Tensor, "C U"]
    letter_lengths: Int64[Tensor, " U"]
    tags: Int64[Tensor, "T B"]
    intents: Int64[Tensor, " B"]

    def to(self, device: torch.device) -> Batch:
        """On another device."""
        return Batch(*(part.to(device) for part in self))


def collate(data: Encoded, rows: Integer[np.ndarray, " B"]) -> Batch:
    """Some sentences, side by side."""
    lengths = data.lengths[rows]
    at, inside = _places(data.offsets[rows], lengths)
    kinds, forms = np.unique(data.form[at][inside], return_inverse=True)
    where = np.zeros(at.shape, np.int64)
    where[inside] = forms
    letter_lengths = np.diff(data.spelled)[kinds]
    letters_at, letters_inside = _places(data.spelled[kinds], letter_lengths)
    parts = (
        np.where(inside, data.word[at], 0),
        where,
        lengths,
        np.where(letters_inside, data.letters[letters_at], 0),
        letter_lengths,
        np.where(inside, data.tag[at], 0),
        data.intent[rows],
    )
    return Batch(*(torch.from_numpy(np.ascontiguousarray(part)) for part in parts))


def bucketed(lengths: Integer[np.ndarray, " S"], size: int, seed: Sequence[int]) -> list[Integer[np.ndarray, " B"]]:
    """An epoch's batches: sentences of about one length together, otherwise in a random order.

    >>> [sorted(batch.tolist()) for batch in bucketed(np.array([9, 1, 9, 1]), 2, [0])]
    [[1, 3], [0, 2]]
    """
    random = np.random.default_rng(seed)
    order = np.argsort(lengths + 2 * random.random(len(lengths)), kind="stable")
    batches = [order[first : first + size] for first in range(0, len(order), size)]
    return [batches[i] for i in random.permutation(len(batches))]


def _places(starts: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(most, number): places of the elements, 0 outside; and which are inside."""
    steps = np.arange(int(lengths.max(initial=1)))[:, None]
    inside = steps < lengths
    return np.where(inside, starts + steps, 0), inside


def _ends(lengths: Iterable[int]) -> Integer[np.ndarray, " N1"]:
    return np.concatenate([[0], np.cumsum(list(lengths), dtype=np.int64)]).astype(np.int64)
