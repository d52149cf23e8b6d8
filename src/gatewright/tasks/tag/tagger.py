"""Taggers: a tag for every word, and an intent for the sentence; any cell, in both directions."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch

from gatewright.tasks.errors import DataError, TaskError
from gatewright.tasks.estimator import Estimator
from gatewright.tasks.report.parts import Findings
from gatewright.tasks.tag.data import Sentences, find_part, read_sentences
from gatewright.tasks.tag.encode import Encoded, Vocabulary, broken, normal
from gatewright.tasks.tag.job import TagCounts, TagJob, TagPrepared, guesses
from gatewright.tasks.tag.network import TagNetwork
from gatewright.tasks.tag.report import sentence_findings, tag_findings
from gatewright.tasks.tag.settings import TagSettings, TagTraining
from gatewright.tasks.tag.spans import Score, Span, find_scheme, spans
from gatewright.tasks.tag.vectors import Vectors, read_vectors
from gatewright.tasks.text import check_string
from gatewright.tasks.tuning.tune import Between, OneOf

__all__ = ["Tagged", "Tagger"]


@dataclass(frozen=True)
class Tagged:
    """A sentence with what a model says of it: a tag for each word; intent and its probability, "" and 0 where the
    model knows no intents.
    """

    words: list[str]
    tags: list[str]
    intent: str = ""
    probability: float = 0.0

    @property
    def spans(self) -> list[Span]:
        """What the tags mark: type, first word, and the one behind the last; nothing where they are of another kind.

        >>> Tagged(["to", "San", "Jose"], ["O", "B-city", "I-city"]).spans
        [Span(type='city', start=1, stop=3)]
        """
        return spans(self.tags) if find_scheme(self.tags) else []

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        found = [{**span._asdict(), "text": " ".join(self.words[span.start : span.stop])} for span in self.spans]
        intent = {"intent": self.intent, "probability": self.probability} if self.intent else {}
        return {"words": self.words, "tags": self.tags, "spans": found, **intent}


class Tagger(Estimator):
    """Tags for the words of sentences (slots, names, parts of speech), and an intent for each sentence.

    `cell`: a `gw.Cell`, a name of the zoo (default `"lstm"`), equations as text, or a path to a file of equations; it
    runs in both directions. Every other argument is a field of `TagSettings` (what the model reads and is made of) or
    of `TrainingSettings` (how it is trained). An unknown one raises `SettingsError`.

    Example:
        >>> words = [["fly", "to", "Rome"], ["fly", "to", "Oslo"], ["fares", "to", "Rome"], ["fares", "to", "Bonn"]]
        >>> tags = [["O", "O", "B-city"]] * 4
        >>> tagger = Tagger(hidden_size=16, batch_size=2, epochs=20, learning_rate=0.02)
        >>> intents = ["book", "book", "price", "price"]
        >>> _ = tagger.fit(words, tags, intents, validation=(words, tags, intents))
        >>> tagger.predict(["fares to Paris"]), tagger.annotate(["fares to Paris"])[0].intent
        ([['O', 'O', 'B-city']], 'price')
    """

    task = "tag"
    settings_type = TagSettings
    training_type = TagTraining
    job_type = TagJob
    network_type = TagNetwork
    data_sources = ("data", "tags", "intents", "validation")
    _vocabulary: Vocabulary | None = None

    units = ("crf", "intent_weight")
    search: ClassVar[Mapping[str, Any]] = {
        "hidden_size": OneOf(64, 128, 200, 256),
        "num_layers": OneOf(1, 2),
        "learning_rate": Between(3e-4, 5e-3, log=True),
        "dropout": Between(0.2, 0.7),
        "word_dropout": Between(0.05, 1.0, log=True),
    }

    def fit(
        self,
        data: Any,
        tags: Any = None,
        intents: Any = None,
        *,
        validation: Any = None,
        out: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
        progress: str = "none",
    ) -> Self:
        """Train on sentences and keep the weights with the best validation loss.

        Args:
            data: a path of CoNLL columns, of a folder with `seq.in`, `seq.out` and perhaps `label`, or of a folder with
                such parts named `train` and `valid`; or the sentences, lists of words.
            tags: for sentences in lists, a list of tags for each.
            intents: for sentences in lists, perhaps an intent for each.
            validation: a path, or `(sentences, tags)` or `(sentences, tags, intents)`; default the part `valid` (or
                `dev`) of a folder, else the share `validation` of the sentences, drawn by `seed`.
            out: the model folder (default: none is kept).
            overwrite: begin anew where it holds a model.
            progress: "bar", "lines", "auto" or "none".

        Raises `DataError` with file and line, `SettingsError`, `FolderError`, or `TrainingError`.
        """
        sources = self._sources(data, tags, intents, validation=validation)
        return self._fit(sources, out=out, overwrite=overwrite, progress=progress)

    def _sources(
        self, data: Any = None, tags: Any = None, intents: Any = None, *, validation: Any = None
    ) -> dict[str, Any]:
        vectors = _path(self.settings.vectors)  # a path as those of data, so that the run finds it from anywhere
        given = {"data": _path(data), "tags": tags, "intents": intents, "validation": _path(validation)}
        return {**given, "vectors": vectors}

    @classmethod
    def resume(  # type: ignore[override]
        cls,
        folder: str | os.PathLike[str],
        data: Any = None,
        tags: Any = None,
        intents: Any = None,
        *,
        validation: Any = None,
        progress: str = "none",
        **changes: Any,
    ) -> Self:
        """Go on with the training that a folder's newest checkpoint holds.

        The data may be left out where they were paths. Of the settings, only those of the run's length and the devices
        may change, and the data must be the same. Raises `SettingsError` or `FolderError` otherwise.
        """
        sources = {"data": _path(data), "tags": tags, "intents": intents, "validation": _path(validation)}
        sources["vectors"] = _path(changes.get("vectors"))
        return cls._resume(folder, sources, progress, changes)

    # -- use -----------------------------------------------------------------------------------------------------

    def predict(self, sentences: Any) -> list[list[str]]:
        """The tags of sentences: lists of words, or texts whose words are separated by white space."""
        return [found.tags for found in self.annotate(sentences)]

    def predict_intent(self, sentences: Any) -> list[str]:
        """The intents of sentences. Raises `TaskError` where the model was trained without intents."""
        if not self.vocabulary.intents:
            raise TaskError("this Tagger knows no intents: the data that it was trained on have none")
        return [found.intent for found in self.annotate(sentences)]

    def annotate(self, sentences: Any) -> list[Tagged]:
        """Words, tags, spans and intent of each sentence: lists of words, or texts."""
        words = [_words(sentence, f"sentence {i}") for i, sentence in enumerate(_several(sentences))]
        data = Encoded.of(Sentences("the sentences given", words), self.vocabulary)
        found: list[Any] = [None] * len(words)
        for row, guess in guesses(self.network, data, self.vocabulary):
            found[row] = Tagged(words[row], guess.tags, guess.intent, guess.probability)
        return found

    def evaluate(self, data: Any, tags: Any = None, intents: Any = None) -> dict[str, float]:
        """Loss, span F1, precision and recall as `conlleval` counts them, and accuracies, on tagged sentences.

        data, tags, intents: as for `fit`; of a folder with parts, the part `test`. A tag or intent that training did
        not have counts as wrong, and its sentence not in the loss.
        """
        counts = self._counts(data, tags, intents)
        return {
            **counts.figures(self.vocabulary.scheme, self.settings.intent_weight),
            "sentences": int(counts.count["sentences"]),
            "words": int(counts.count["words"]),
        }

    def by_type(self, data: Any, tags: Any = None) -> dict[str, Score]:
        """Precision, recall and F1 for each type of span, or for each tag where tags mark no spans."""
        return self._counts(data, tags, None).spans.by_type()

    def score(self, data: Any, tags: Any = None) -> float:
        """Span F1, or the share of right tags where they mark no spans: scikit-learn's measure, more is better."""
        figures = self.evaluate(data, tags)
        return figures.get("f1", figures["accuracy"])

    @property
    def vocabulary(self) -> Vocabulary:
        """The words, characters, tags and intents that the model knows. Raises `TaskError` before `fit` or `load`."""
        return self._made(self._vocabulary)

    def _counts(self, data: Any, tags: Any, intents: Any) -> TagCounts:
        found = read_sentences(_path(data), tags, intents, part="test")
        encoded, counts = Encoded.of(found, self.vocabulary), TagCounts(self.vocabulary.scheme)
        if not self.vocabulary.intents:
            encoded.intent.fill(-1)
        for row, guess in guesses(self.network, encoded, self.vocabulary):
            counts.add(*encoded.truth(row), guess)
        return counts

    # -- what the estimator asks for -----------------------------------------------------------------------------

    def _prepare(
        self,
        *,
        config: dict[str, Any] | None = None,
        data: Any = None,
        tags: Any = None,
        intents: Any = None,
        validation: Any = None,
        vectors: Path | None = None,
    ) -> TagPrepared:
        data, validation = _path(data), _path(validation)
        train = read_sentences(data, tags, intents)
        if self.settings.invalid == "error":
            refuse_broken(train)
        part = find_part(data, "valid") if validation is None else None
        if validation is not None or part is not None:
            valid = _given(part or validation)
        else:
            train, valid = self._parted(train)
        check_sentences(train, valid)
        read = self._vectors(train, vectors or _path(self.settings.vectors))
        known = (
            Vocabulary.from_dict(config["vocabulary"])
            if config
            else Vocabulary.build(train, self.settings, read.words if read else ())
        )
        refuse_unknown(valid, known)
        return TagPrepared(
            train.name,
            _fingerprint(train, valid, read),
            {"vocabulary": known.to_dict(), "vector_size": read.values.shape[1] if read else None},
            train=Encoded.of(train, known),
            valid=Encoded.of(valid, known),
            vectors=read and (np.array([known.words[word] for word in read.words]), read.values),
            invalid=sum(1 for _ in breaks(train, known.exceptions)),
        )

    def _parted(self, train: Sentences) -> tuple[Sentences, Sentences]:
        """Some sentences are kept for validation."""
        number = max(1, round(len(train) * self.settings.validation))
        if len(train) <= number:
            raise DataError(f"{train.name}: {len(train)} sentences; some must be left for validation, so give more")
        order = np.random.default_rng(self.training.seed).permutation(len(train)).tolist()
        return train.take(sorted(order[number:])), train.take(sorted(order[:number]))

    def _vectors(self, train: Sentences, path: Path | None) -> Vectors | None:
        if path is None:
            return None
        form = functools.partial(normal, lowercase=self.settings.lowercase, digits=self.settings.digits)
        wanted = {form(word) for sentence in train.words for word in sentence}
        return read_vectors(path, form, wanted, self.settings.vector_words)

    def _adopt(self, settings: Any, cell_name: str, config: dict[str, Any], weights: dict[str, torch.Tensor]) -> None:
        super()._adopt(settings, cell_name, config, weights)
        self._vocabulary = Vocabulary.from_dict(config["vocabulary"])

    def _findings(self, prepared: TagPrepared | None) -> Findings:
        return tag_findings(self, prepared)

    def _explanation(self, sentence: Any) -> Findings:
        """Of one sentence: a text or a list of words."""
        return sentence_findings(self, _words(sentence, "sentence"))

    # -- serving -------------------------------------------------------------------------------------------------

    def answer(self, items: list[Any]) -> list[Any]:
        """Requests `{"text": …}` or `{"words": […]}`, each with words, tags, spans and intent. Raises `DataError`."""
        found = self.annotate([_asked(item) for item in items]) if items else []
        return [tagged.to_dict() for tagged in found]

    def example(self) -> Any:
        """A request that `answer` understands."""
        words = [word for word in self.vocabulary.words if word.isalpha()][:4]
        return {"text": " ".join(words) or "words"}


def _asked(item: Any) -> str | list[Any]:
    """The text, or the words, of a request."""
    if isinstance(item, dict) and len(item) == 1:
        if isinstance(item.get("text"), str):
            return check_string(item["text"])
        if isinstance(item.get("words"), list):
            check_string("".join(word for word in item["words"] if isinstance(word, str)))
            return item["words"]
    raise DataError(f'request: expected {{"text": "…"}} or {{"words": ["…"]}}, got {json.dumps(item)[:80]}')


def check_sentences(train: Sentences, valid: Sentences) -> None:
    """Raise `DataError` for data on which there is nothing to learn, or that do not fit together."""
    for what, names in (("tag", {t for tags in train.tags or [] for t in tags}), ("intent", set(train.intents or []))):
        if len(names) == 1:
            raise DataError(
                f"{train.name}: every {what} is {next(iter(names))!r}, so there is nothing to learn; "
                f"give data with several {what}s" + (", or none" if what == "intent" else "")
            )
    if (train.intents is None) != (valid.intents is None):
        has, lacks = (train, valid) if valid.intents is None else (valid, train)
        raise DataError(f"{lacks.name}: no intents, and {has.name} has them; give them for both, or for none")


def breaks(
    sentences: Sentences, wrong: Sequence[tuple[str | None, str | None]]
) -> Iterator[tuple[int, int, tuple[str | None, str | None]]]:
    """Where tags are neighbours that must not be: the sentence, the place of the second one, and both."""
    pairs = set(wrong)
    for number, tags in enumerate(sentences.tags or [] if pairs else ()):
        for place, pair in enumerate(zip([None, *tags], [*tags, None], strict=True)):
            if pair in pairs:
                yield number, place, pair


def refuse_broken(sentences: Sentences) -> None:
    """Raise `DataError` for the first tag that breaks BIO (or BIOES)."""
    scheme = find_scheme({tag for tags in sentences.tags or [] for tag in tags})
    for number, place, pair in breaks(sentences, broken(sentences.tags or [], scheme)):
        before, after = (tag or "the edge of the sentence" for tag in pair)
        raise DataError(
            f"{sentences.name}, sentence {number + 1} ({' '.join(sentences.words[number][:8])} …), word {place + 1}: "
            f"{after} behind {before} breaks {scheme}; correct the tag, or take --invalid accept"
        )


def refuse_unknown(valid: Sentences, known: Vocabulary) -> None:
    """Raise `DataError` where the validation data have no sentence by which a model could be chosen."""
    tags, intents = set(known.tags), set(known.intents)
    for what, there in (
        ("tags", any(tags.issuperset(of) for of in valid.tags or [])),
        ("intent", valid.intents is None or not intents.isdisjoint(valid.intents)),
    ):
        if not there:
            raise DataError(
                f"{valid.name}: no validation sentence has {what} that the training data have, so no model can be "
                "chosen by them; give validation data of the same kind, or more training data"
            )


def _given(validation: Any) -> Sentences:
    if isinstance(validation, Path):
        return read_sentences(validation, part="valid")
    if not isinstance(validation, tuple | list) or not 2 <= len(validation) <= 3:
        raise DataError("validation: expected a path, (sentences, tags) or (sentences, tags, intents)")
    return read_sentences(*validation)


def _fingerprint(train: Sentences, valid: Sentences, vectors: Vectors | None) -> str:
    content = json.dumps([[part.words, part.tags, part.intents] for part in (train, valid)]).encode()
    found = hashlib.sha256(content)
    if vectors is not None:
        found.update(json.dumps(vectors.words).encode() + vectors.values.tobytes())
    return found.hexdigest()


def _path(data: Any) -> Any:
    """A string is a path, too: sentences are lists."""
    return Path(data) if isinstance(data, str | os.PathLike) else data


def _several(sentences: Any) -> list[Any]:
    if isinstance(sentences, str) or not hasattr(sentences, "__iter__"):
        raise DataError(f"sentences: expected a list of texts or of lists of words, got {type(sentences).__name__}")
    return list(sentences)


def _words(sentence: Any, where: str) -> list[str]:
    words = sentence.split() if isinstance(sentence, str) else sentence
    if isinstance(words, dict) or not hasattr(words, "__iter__"):
        raise DataError(f"{where}: expected a text or a list of words, got {type(sentence).__name__}")
    words = list(words)
    for word in words:
        if not isinstance(word, str) or not word:
            raise DataError(f"{where}: expected words that are not empty, got {word!r}")
    if not words:
        raise DataError(f"{where}: no word in it; leave it out")
    return words
