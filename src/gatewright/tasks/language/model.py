"""Language models: any cell, trained on any text, one token after another."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self, cast

import numpy as np
import torch

from gatewright.tasks.errors import SettingsError, TaskError
from gatewright.tasks.estimator import Estimator
from gatewright.tasks.language.cache import Cache, cache_score, choose_cache
from gatewright.tasks.language.corpus import prepare
from gatewright.tasks.language.dynamic import Dynamic, choose_dynamic, dynamic_score, gradient_rms
from gatewright.tasks.language.findings import Seen, language_findings, text_findings
from gatewright.tasks.language.generate import Continuation, drawn, searched
from gatewright.tasks.language.job import LanguageJob, LanguagePrepared, check_length
from gatewright.tasks.language.network import LanguageNetwork
from gatewright.tasks.language.sampling import Sampling
from gatewright.tasks.language.score import Score, score
from gatewright.tasks.language.serving import LanguageSession, answer, example
from gatewright.tasks.language.settings import LanguageSettings, beside_recipe, with_recipe
from gatewright.tasks.language.units import Followed, follow
from gatewright.tasks.report.parts import Findings, Report
from gatewright.tasks.text import Text, open_text, survey
from gatewright.tasks.tokenizers import Tokenizer, load_tokenizer
from gatewright.tasks.tuning.tune import Between, OneOf

__all__ = ["LanguageModel"]

TextLike = str | os.PathLike[str] | None


class LanguageModel(Estimator):
    """A recurrent language model: the probability of every token given all tokens before it.

    `cell`: a `gw.Cell`, a name of the zoo (default `"lstm"`), equations as text, or a path to a file of
    equations. Every other argument is a field of `LanguageSettings` (what the model reads and is made of) or
    of `TrainingSettings` (how it is trained). An unknown one raises `SettingsError`.

    Example:
        >>> import gatewright as gw
        >>> model = gw.tasks.LanguageModel(cell="lstm", hidden_size=16, batch_size=4, updates=3)
        >>> _ = model.fit("To be, or not to be, that is the question. " * 20)
        >>> model.generate("To ", length=5, seed=1).startswith("To ")
        True
    """

    task = "language"
    settings_type = LanguageSettings
    job_type = LanguageJob
    network_type = LanguageNetwork
    data_sources = ("text", "validation")
    units = ("tokenizer", "vocabulary")
    search: ClassVar[Mapping[str, Any]] = {
        "hidden_size": OneOf(128, 256, 512),
        "num_layers": OneOf(1, 2),
        "dropout": Between(0.0, 0.6),
        "learning_rate": Between(5e-4, 1e-2, log=True),
    }
    _tokenizer: Tokenizer | None = None

    def __init__(self, cell: Any = "lstm", **settings: Any) -> None:
        super().__init__(cell, **with_recipe(settings))

    def set_params(self, **changes: Any) -> Self:
        """Change settings, as every estimator does; another recipe changes those that are as their recipe has them."""
        if changes.get("recipe", self.settings.recipe) != self.settings.recipe:
            usual = type(self)(recipe=self.settings.recipe).get_params()
            changes = type(self)(**{**beside_recipe(self.get_params(), usual), **changes}).get_params()
        return super().set_params(**changes)

    def fit(
        self,
        text: TextLike = None,
        *,
        validation: TextLike = None,
        out: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
        pattern: str = "*",
        progress: str = "none",
    ) -> Self:
        """Train on a text and keep the weights with the best validation loss.

        `text`: a string is the text itself; a `Path` is a file or a folder of files (those like `pattern`);
        None is the Python language reference inside Python. `validation`: another text instead of the share
        at the text's end. `out`: the model folder (default: none is kept); `overwrite`: begin anew where it
        holds a model. `progress`: "bar", "lines", "auto" or "none". Raises `TextError`, `SettingsError`,
        `FolderError`, or `TrainingError` where the loss is no number.
        """
        sources = {"text": text, "validation": validation, "pattern": pattern}
        return self._fit(sources, out=out, overwrite=overwrite, progress=progress)

    @classmethod
    def resume(  # type: ignore[override]
        cls,
        folder: str | os.PathLike[str],
        text: TextLike = None,
        *,
        validation: TextLike = None,
        progress: str = "none",
        **changes: Any,
    ) -> Self:
        """Go on with the training that a folder's newest checkpoint holds.

        `text` and `validation` may be left out where they were paths or the default. Of the settings, only
        those of the run's length and the devices may change, and the text must be the same. Raises
        `SettingsError` or `FolderError` otherwise.
        """
        return cls._resume(folder, {"text": text, "validation": validation}, progress, changes)

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer. Raises `TaskError` before `fit` or `load`."""
        return self._made(self._tokenizer)

    def report(  # type: ignore[override]
        self, text: TextLike = None, *, validation: TextLike = None, pattern: str | None = None
    ) -> Report:
        """What training has shown, as a page: scores beside baselines, curves, examples, gates; `.save(path)`.

        `text` and `validation`: those of the training. They may be left out after `fit`, and where they were paths or
        the default text that are still there; without them the report has no baselines and no examples. Raises
        `SettingsError` for another text.

        >>> import gatewright as gw
        >>> model = gw.tasks.LanguageModel(hidden_size=8, batch_size=4, updates=2).fit("To be, or not to be. " * 40)
        >>> [section.title for section in model.report().sections][:4]
        ['Scores', 'Training', 'Samples', 'Surprise']
        """
        return self._report_on({"text": text, "validation": validation, "pattern": pattern})

    def score(
        self,
        text: TextLike,
        *,
        pattern: str = "*",
        cache: Cache | None = None,
        dynamic: Dynamic | None = None,
        training: TextLike = None,
        from_start: bool = False,
    ) -> Score:
        """The text's negative log-likelihood as one sequence: each token but the first, given all before it.

        The state is carried through the whole text, which is streamed, so it may be larger than memory.
        `cache`: a neural cache behind the model. `dynamic`: dynamic evaluation, whose kind "rms" looks at the
        training text; give it as `training` where the model does not find it again. `from_start`: the first
        token counts too, as if an end of line stood before it, which is how papers count. Raises `TextError`, or
        `SettingsError` where both are given.

        >>> import gatewright as gw
        >>> model = gw.tasks.LanguageModel(hidden_size=8, batch_size=4, updates=2).fit("To be, or not to be. " * 40)
        >>> model.score("To be", from_start=True).predictions, model.score("To be").predictions
        (5, 4)
        >>> model.score("To be, or not", cache=gw.tasks.Cache(window=10)).predictions
        12
        """
        if cache is not None and dynamic is not None:
            raise SettingsError("score: expected a cache or dynamic evaluation, got both; leave one out")
        source, arrays = self._stream(text, pattern, from_start=from_start)
        unknown = self.tokenizer.unknown
        if cache is not None:
            found = cache_score(self.network, arrays, cache, unknown=unknown)
        elif dynamic is not None:
            found = dynamic_score(self.network, arrays, dynamic, self._rms(dynamic, training), unknown=unknown)
        else:
            found = score(self.network, arrays, unknown=unknown)
        if not found.predictions:
            raise TaskError(f"{source.name}: too short: at least 2 tokens are needed; give a longer text")
        return found

    def choose_cache(self, text: TextLike, *, window: int = 2000, pattern: str = "*") -> Cache:
        """The cache of a window's length that is best on a text, which should be the validation text."""
        return choose_cache(self.network, self._stream(text, pattern)[1], window=window)

    def choose_dynamic(
        self,
        text: TextLike,
        *,
        kind: str = "rms",
        training: TextLike = None,
        tokens: int = 10_000,
        pattern: str = "*",
    ) -> Dynamic:
        """The dynamic evaluation that is best on the first `tokens` of a text, which should be the validation text."""
        ids = np.concatenate([np.empty(0, np.int64), *self._stream(text, pattern)[1]])[:tokens]
        how = Dynamic.from_dict({"kind": kind})
        return choose_dynamic(self.network, ids, self._rms(how, training), kind=kind)

    def _stream(self, text: TextLike, pattern: str, *, from_start: bool = False) -> tuple[Text, Iterator[Any]]:
        """A text, checked, and its tokens."""
        source = open_text(text, pattern)
        survey(source)
        arrays = self.tokenizer.encode_stream(source.strings())
        return source, itertools.chain([np.array([self.tokenizer.start])], arrays) if from_start else arrays

    def _rms(self, how: Dynamic, training: TextLike) -> list[torch.Tensor] | None:
        """The gradients' root mean square on the training text, which is taken once for each number of steps."""
        if how.kind == "sgd":
            return None
        if training is not None:
            tokens = np.concatenate([np.empty(0, np.int64), *self._stream(training, "*")[1]])
            return gradient_rms(self.network, tokens, how.steps)
        prepared, _ = self._find_data({})
        if prepared is None:
            raise SettingsError(
                "dynamic evaluation, kind rms: expected the training text, which is not found again; "
                "give it as training, or take the kind sgd"
            )
        return gradient_rms(self.network, cast("LanguagePrepared", prepared).corpus.train, how.steps)

    def perplexity(self, text: TextLike) -> float:
        """exp of the mean negative log-likelihood of a token; see `score`."""
        return self.score(text).perplexity

    def evaluate(self, text: TextLike = None, *, pattern: str = "*", **how: Any) -> dict[str, float]:
        """Loss (nats a token), perplexity, bits a character, and counts, on a text; `how` is as in `score`."""
        found = self.score(text, pattern=pattern, **how)
        characters = survey(open_text(text, pattern)).characters
        return {
            "loss": found.loss,
            "perplexity": found.perplexity,
            "bits_per_token": found.loss / LN2,
            "bits_per_character": found.nats / LN2 / characters,
            "tokens": found.predictions,
            "unknown_tokens": found.unknown,
            "characters": characters,
        }

    def follow(self, text: TextLike, what: str = "brackets", *, top: int = 5) -> Followed:
        """Which units follow something known about a text; see `tasks.language_units.follow`."""
        source = open_text(text, "*")
        survey(source)
        return follow(self.network, self.tokenizer, "".join(source.strings()), what, top=top)

    def summary(self) -> dict[str, Any]:
        """The figures of the training run, for a table. Raises `TaskError` where there was none."""
        named = {"train tokens": "training tokens", "validation loss": "validation loss (nats a token)"}
        found = {named.get(name, name): value for name, value in super().summary().items()}
        best = self.metrics.get("best") or {}
        return found | {"bits a token": best["loss"] / LN2 if best else None}

    def generate(self, prompt: str = "", **sampling: Any) -> str:
        """The prompt and a continuation of it.

        `sampling`: fields of `Sampling`: length, temperature, top_k, top_p, repetition_penalty, until, seed; or
        beams and length_penalty for the likeliest text that beam search finds. The same seed gives the same
        text.
        """
        how = Sampling.from_dict(sampling)
        if how.beams is not None:
            return searched(self.network, self.tokenizer, prompt, how)[0].text
        return drawn(self.network, self.tokenizer, prompt, how)

    def beams(self, prompt: str = "", *, beams: int = 4, **sampling: Any) -> list[Continuation]:
        """The likeliest continuations that beam search finds, the best one first, each with its log probability.

        `sampling`: fields of `Sampling`; nothing is drawn, so temperature, top_k, top_p and seed do nothing.

        >>> import gatewright as gw
        >>> model = gw.tasks.LanguageModel(hidden_size=8, batch_size=4, updates=2).fit("To be, or not to be. " * 40)
        >>> best, *others = model.beams("To ", beams=3, length=4)
        >>> len(best.text), best.log_probability >= others[0].log_probability
        (7, True)
        """
        how = Sampling.from_dict({**sampling, "beams": beams})
        return searched(self.network, self.tokenizer, prompt, how)

    def answer(self, items: list[Any]) -> list[Any]:
        """Texts for `{"prompt": …}` with fields of `Sampling`, losses for `{"text": …}`; see `gatewright serve`."""
        return answer(self, items)

    def example(self) -> Any:
        """A request that `answer` understands."""
        return example()

    def session(self) -> LanguageSession:
        """What reads a text piece by piece; `step({"text": …})` says what may come next."""
        return LanguageSession(self)

    def _prepare(
        self,
        *,
        config: dict[str, Any] | None = None,
        text: TextLike = None,
        validation: TextLike = None,
        pattern: str = "*",
    ) -> LanguagePrepared:
        source = open_text(text, pattern)
        corpus = prepare(
            source,
            kind=self.settings.tokenizer,
            size=self.settings.vocabulary,
            tokenizer=None if config is None else load_tokenizer(config["tokenizer"]),
            share=self.settings.validation,
            validation=None if validation is None else open_text(validation, pattern),
        )
        config = {"tokenizer": corpus.tokenizer.to_dict()}
        return LanguagePrepared(source.name, corpus.sha256, config, corpus=corpus)

    @classmethod
    def make_network(cls, cell: Any, settings: Any, config: dict[str, Any]) -> LanguageNetwork:
        return LanguageNetwork(cell, load_tokenizer(config["tokenizer"]).size, settings)

    def check(self, prepared: Any) -> None:
        check_length(prepared.corpus, prepared.name, self.training.batch_size)

    def _explanation(self, text: TextLike, *, pattern: str = "*") -> Findings:
        """text: a string is the text itself; a path is a file or a folder of files."""
        source, arrays = self._stream(text, pattern)
        return text_findings(self, np.concatenate([np.empty(0, np.int64), *arrays]), source.name)

    def _findings(self, prepared: LanguagePrepared | None) -> Findings:
        return language_findings(self, prepared and Seen(prepared.corpus.train, prepared.corpus.valid))

    def _adopt(self, settings: Any, cell_name: str, config: dict[str, Any], weights: dict[str, torch.Tensor]) -> None:
        self._tokenizer = load_tokenizer(config["tokenizer"])
        super()._adopt(settings, cell_name, config, weights)


LN2 = 0.6931471805599453
