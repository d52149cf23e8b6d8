"""Classification and regression of sequences: sensors, features of sound, text, anything that is measured in steps."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import torch

from gatewright.tasks.classify.batches import by_length, padded
from gatewright.tasks.classify.data import ClassifyPrepared, as_inputs, as_sequences, prepare, targets_of
from gatewright.tasks.classify.job import ClassifyJob
from gatewright.tasks.classify.metrics import class_table, confusion_of, from_predictions
from gatewright.tasks.classify.network import ClassifyNetwork
from gatewright.tasks.classify.report import classify_findings, example_findings
from gatewright.tasks.classify.sequences import Sequences
from gatewright.tasks.classify.session import ClassifySession, as_request, items_of
from gatewright.tasks.classify.settings import ClassifySettings
from gatewright.tasks.errors import DataError, SettingsError
from gatewright.tasks.estimator import Estimator
from gatewright.tasks.report.parts import Findings, Report
from gatewright.tasks.settings import TrainingSettings, defaults
from gatewright.tasks.tuning.tune import Between, OneOf

__all__ = ["Classifier", "ClassifyTraining"]

ClassifyTraining = defaults(TrainingSettings, "ClassifyTraining", learning_rate=2e-3, batch_size=None)


class Classifier(Estimator):
    """A class, or with `kind="regression"` a number, for every sequence.

    cell: a `gw.Cell`, a name of the zoo, equations as text, or a path to a file of equations. Every other argument is
    a field of `ClassifySettings` (what the model reads and is made of) or of `ClassifyTraining` (how it is trained).
    An unknown one raises `SettingsError`.

    It is a classifier (or regressor) as scikit-learn knows them: `fit(X, y)`, `predict`, `predict_proba`, `score`,
    `classes_`, and `cross_val_score` take it.

    >>> import gatewright as gw, numpy as np
    >>> t = np.arange(40)
    >>> waves = [np.sin(t * speed + k) for k in range(20) for speed in (0.2, 0.6)]
    >>> model = gw.Classifier(hidden_size=8, epochs=12, batch_size=8).fit(waves, ["slow", "fast"] * 20)
    >>> model.predict([np.sin(t * 0.2), np.sin(t * 0.6)]).tolist()
    ['slow', 'fast']
    """

    task = "classify"
    settings_type = ClassifySettings
    training_type = ClassifyTraining
    job_type = ClassifyJob
    network_type = ClassifyNetwork
    data_sources = ("data", "labels", "validation", "groups", "lengths")
    units = ("kind",)
    search: ClassVar[Mapping[str, Any]] = {
        "hidden_size": OneOf(64, 128, 256),
        "num_layers": OneOf(1, 2),
        "conv_layers": OneOf(0, 1, 2),
        "pooling": OneOf("attention", "mean", "max", "last"),
        "dropout": Between(0.1, 0.6),
        "learning_rate": Between(5e-4, 1e-2, log=True),
    }

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        validation: Any = None,
        groups: Any = None,
        lengths: Any = None,
        out: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
        progress: str = "none",
    ) -> Self:
        """Train, and keep the weights with the best validation loss.

        Args:
            X: a list of arrays (T, F) or (T,), of texts, or of paths of recordings; a padded array (B, T, F); a long
                table (pandas, polars, Arrow, a dictionary of lists); or a `Path` (docs/classify.md).
            y: a label (or number) for each sequence; None where X has them.
            validation: (X, y), or a path; default a share of every class, or of the groups.
            groups: who each sequence is from; all sequences of one are in the same part.
            lengths: of the sequences of a padded array.
            out: the model folder (default: none is kept). overwrite: begin anew where it holds a model.
            progress: "bar", "lines", "auto" or "none".

        Raises:
            DataError, SettingsError, FolderError; TrainingError where the loss is no number.
        """
        sources = self._sources(X, y, validation=validation, groups=groups, lengths=lengths)
        return self._fit(sources, out=out, overwrite=overwrite, progress=progress)

    def _sources(
        self, X: Any = None, y: Any = None, *, data: Any = None, labels: Any = None, **others: Any
    ) -> dict[str, Any]:
        return {"data": data if X is None else X, "labels": labels if y is None else y, **others}

    @classmethod
    def resume(  # type: ignore[override]
        cls,
        folder: str | os.PathLike[str],
        X: Any = None,
        y: Any = None,
        *,
        data: Any = None,
        validation: Any = None,
        groups: Any = None,
        lengths: Any = None,
        progress: str = "none",
        **changes: Any,
    ) -> Self:
        """Go on with the training that a folder's newest checkpoint holds; data that were paths may be left out.

        Of the settings, only those of the run's length and the devices may change, and the data must be the same.
        Raises `SettingsError` or `FolderError` otherwise.
        """
        given = {"data": data if X is None else X, "labels": y, "validation": validation}
        return cls._resume(folder, {**given, "groups": groups, "lengths": lengths}, progress, changes)

    def report(  # type: ignore[override]
        self, data: Any = None, labels: Any = None, *, validation: Any = None, groups: Any = None, lengths: Any = None
    ) -> Report:
        """What training has shown, as a page: scores beside baselines, confusions, examples, gates; `.save(path)`.

        The arguments are the data of the training. They may be left out after `fit`, and where they were paths that
        are still there; without them the report has no baselines and no examples.
        """
        given = {"data": data, "labels": labels, "validation": validation, "groups": groups, "lengths": lengths}
        return self._report_on(given)

    # -- predictions ---------------------------------------------------------------------------------------------

    @property
    def classes_(self) -> np.ndarray:
        """The classes, sorted. Raises `TaskError` before `fit`, `AttributeError` for regression."""
        if self.settings.kind == "regression":
            raise AttributeError("classes_: a regressor has no classes")
        return np.array(self._made(self.config)["labels"])

    def predict(self, X: Any, *, lengths: Any = None) -> np.ndarray:
        """The likeliest class, or the number, of each sequence. X: as in `fit`."""
        found = self._outputs(self._inputs(X, lengths))
        if self.settings.kind == "regression":
            return self._numbers(found)
        return self.classes_[found.argmax(1)]

    def predict_proba(self, X: Any, *, lengths: Any = None) -> np.ndarray:
        """Probabilities (n, classes), in the order of `classes_`."""
        if self.settings.kind == "regression":
            raise AttributeError("predict_proba: a regressor gives numbers; call predict")
        return _softmax(self._outputs(self._inputs(X, lengths)))

    def score(self, X: Any, y: Any = None, *, lengths: Any = None) -> float:
        """Accuracy, or R² of a regression."""
        figures = self.evaluate(X, y, lengths=lengths)
        return figures["r2" if self.settings.kind == "regression" else "accuracy"]

    def evaluate(self, X: Any, y: Any = None, *, lengths: Any = None) -> dict[str, float]:
        """Figures on labelled sequences: loss, accuracy, balanced accuracy, macro F1; or loss, RMSE, MAE, R²."""
        inputs, targets = self._labelled(X, y, lengths)
        return {**self._figures(inputs, targets), "sequences": len(inputs)}

    def confusion(self, X: Any, y: Any = None, *, lengths: Any = None) -> np.ndarray:
        """(classes, classes): how many of each class (row) were taken for each (column)."""
        inputs, targets = self._labelled(X, y, lengths)
        return confusion_of(self._outputs(inputs).argmax(1), targets, len(self.classes_))

    def by_class(self, X: Any, y: Any = None, *, lengths: Any = None) -> list[dict[str, Any]]:
        """Precision, recall, F1 and number of each class."""
        return class_table(self.confusion(X, y, lengths=lengths), self.classes_.tolist())

    def early(self, X: Any, y: Any = None, *, lengths: Any = None, parts: int = 10) -> list[tuple[float, float]]:
        """How early the class is known: (share of the sequence seen, accuracy), or with a regression R².

        A model of one direction is read once and asked after each share; one of two reads each beginning by itself.
        """
        inputs, targets = self._labelled(X, y, lengths)
        return [(share, self._measure(found, targets)) for share, found in self._early(inputs, parts)]

    def _early(self, inputs: Sequences, parts: int) -> list[tuple[float, np.ndarray]]:
        """Outputs (n, C) after each share of the sequences."""
        shares = [(k + 1) / parts for k in range(parts)]
        if not self.settings.bidirectional and self.settings.normalize != "sequence":
            return list(zip(shares, self._running_at(inputs, shares), strict=True))
        return [(share, self._outputs(beginnings(inputs, share))) for share in shares]

    def _running_at(self, inputs: Sequences, shares: list[float]) -> list[np.ndarray]:
        found = np.zeros((len(shares), len(inputs), self.network.decoder.out_features))
        for chosen, x, lengths in self._batches(inputs):
            logits, ends = self.network.running(x, lengths)
            for k, share in enumerate(shares):
                at = (torch.ceil(ends * share).long() - 1).clamp(min=0)
                found[k, chosen] = logits[at, torch.arange(len(chosen))].cpu().double().numpy()
        return list(found)

    def _measure(self, found: np.ndarray, targets: np.ndarray) -> float:
        if self.settings.kind == "regression":
            return from_predictions(self._numbers(found), targets, classes=None)["r2"]
        return float((found.argmax(1) == targets).mean())

    def _figures(self, inputs: Sequences, targets: np.ndarray) -> dict[str, float]:
        config, found = self._made(self.config), self._outputs(inputs)
        if self.settings.kind == "regression":
            return from_predictions(self._numbers(found), targets, classes=None, scale=config["target"]["scale"])
        return from_predictions(_softmax(found), targets, classes=config["labels"])

    def _numbers(self, found: np.ndarray) -> np.ndarray:
        target = self._made(self.config)["target"]
        return target["mean"] + target["scale"] * found[:, 0]

    @torch.no_grad()
    def _outputs(self, inputs: Sequences) -> np.ndarray:
        """Logits (n, C), in the order of the sequences."""
        found = np.zeros((len(inputs), self.network.decoder.out_features))
        for chosen, x, lengths in self._batches(inputs):
            found[chosen] = self.network(x, lengths).cpu().double().numpy()
        return found

    def _batches(self, inputs: Sequences) -> Any:
        device = self.network.eval().decoder.weight.device
        with torch.no_grad():
            for chosen in by_length(inputs.lengths, 256):
                x, lengths = padded([inputs[int(k)] for k in chosen])
                yield chosen, x.to(device), lengths.to(device)

    def read(self, X: Any, *, lengths: Any = None) -> Sequences:
        """Data as this model reads them, without labels: what `predict` takes, and the names of the sequences."""
        return self._more(X, lengths=lengths, labelled=False)

    def _inputs(self, X: Any, lengths: Any = None) -> Sequences:
        return as_inputs(self.read(X, lengths=lengths), self._made(self.config))

    def _labelled(self, X: Any, y: Any, lengths: Any) -> tuple[Sequences, np.ndarray]:
        config, found = self._made(self.config), self._more(X, y, lengths=lengths)
        if found.labels is None:
            raise DataError(f"{found.name}: no labels; give one for each sequence")
        return as_inputs(found, config), targets_of(found, config["labels"])

    def _more(self, X: Any, y: Any = None, **how: Any) -> Sequences:
        """More data of the same kind: recordings at the model's rate, of tables the columns that it was trained on."""
        config = self._made(self.config)
        audio, columns = config.get("audio"), config["features"] if config["input"] == "numbers" else ()
        changes = {"audio": audio["kind"], "sample_rate": audio["rate"]} if audio else {}
        settings = self.settings.replace(group=None, **changes)  # groups are for training alone
        return as_sequences(X, settings, y, features=columns, **how)

    # -- what the base asks for ----------------------------------------------------------------------------------

    def _prepare(
        self,
        *,
        config: dict[str, Any] | None = None,
        data: Any = None,
        labels: Any = None,
        validation: Any = None,
        groups: Any = None,
        lengths: Any = None,
    ) -> ClassifyPrepared:
        found = as_sequences(data, self.settings, labels, groups=groups, lengths=lengths)
        held = None
        if validation is not None:
            pair = validation if isinstance(validation, tuple) else (validation, None)
            if len(pair) != 2:
                raise SettingsError(f"validation: expected (X, y) or a path, got a tuple of {len(pair)}")
            columns = found.features if found.kind == "numbers" else ()
            held = as_sequences(pair[0], self.settings.replace(group=None), pair[1], features=columns)
        return prepare(found, held, self.settings, self.training.seed, config)

    def _findings(self, prepared: ClassifyPrepared | None) -> Findings:
        return classify_findings(self, prepared)

    def _explanation(self, X: Any, *, number: int = 0, lengths: Any = None) -> Findings:
        """X: data, of which the sequence of that number is explained."""
        found = self.read(X, lengths=lengths)
        if not 0 <= number < len(found):
            raise SettingsError(f"number: expected 0 to {len(found) - 1} for {found.name}, got {number}")
        return example_findings(self, as_inputs(found.take([number]), self._made(self.config)), found.called(number))

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn asks: a classifier or a regressor, whose X need not be a table of two axes."""
        from sklearn.utils import ClassifierTags, InputTags, RegressorTags, Tags, TargetTags

        regression = self.settings.kind == "regression"
        return Tags(
            estimator_type="regressor" if regression else "classifier",
            target_tags=TargetTags(required=True),
            classifier_tags=None if regression else ClassifierTags(),
            regressor_tags=RegressorTags() if regression else None,
            input_tags=InputTags(two_d_array=False, three_d_array=True, string=True),
        )

    # -- serving -------------------------------------------------------------------------------------------------

    def answer(self, items: list[Any]) -> list[Any]:
        """Predictions of a batch of requests: {"sequence": [[…], …]}, {"text": "…"} or {"samples": […]}."""
        config = self._made(self.config)
        found = self._outputs(as_inputs(items_of(items, config), config))
        if self.settings.kind == "regression":
            return [{"prediction": float(value)} for value in self._numbers(found)]
        return [self._told(row) for row in _softmax(found)]

    def _told(self, probabilities: np.ndarray) -> dict[str, Any]:
        labels = self._made(self.config)["labels"]
        named = {str(label): float(p) for label, p in zip(labels, probabilities, strict=True)}
        return {"prediction": labels[int(probabilities.argmax())], "probabilities": named}

    def example(self) -> Any:
        """A request that `answer` understands."""
        return as_request(self._made(self.config))

    def session(self) -> ClassifySession | None:
        """Takes one step at a time and says what it thinks so far; None for a model that needs the whole sequence."""
        if self.settings.bidirectional or self.settings.normalize == "sequence" or self.settings.trim_db is not None:
            return None
        return ClassifySession(self)


def beginnings(inputs: Sequences, share: float) -> Sequences:
    """The first steps of each sequence, one at least."""
    counts = np.ceil(inputs.lengths * share).astype(np.int64).clip(min=1)
    parts = [x[:n] for x, n in zip(inputs, counts.tolist(), strict=True)]
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return Sequences(np.concatenate(parts), offsets, inputs.kind, inputs.name, features=inputs.features)


def _softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)
