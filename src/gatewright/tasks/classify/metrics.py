"""Figures of classifiers and regressors, simple models beside them, and how early a class is known."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gatewright.tasks.errors import MissingExtra

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from gatewright.tasks.classify.data import ClassifyPrepared
    from gatewright.tasks.classify.sequences import Sequences

__all__ = ["baselines", "class_table", "confusion_of", "from_confusion", "from_errors", "from_predictions", "summaries"]


def from_confusion(confusion: Float[np.ndarray, "C C"]) -> dict[str, float]:
    """Accuracy, balanced accuracy (the mean recall of the classes that occur), and macro F1.

    confusion: how many of class i (row) were taken for class j (column).

    >>> from_confusion(np.array([[3, 1], [0, 4]]))
    {'accuracy': 0.875, 'balanced_accuracy': 0.875, 'macro_f1': 0.873015873015873}
    """
    right, true, told = np.diag(confusion).astype(float), confusion.sum(1), confusion.sum(0)
    recall = right[true > 0] / true[true > 0]
    either = (true + told) > 0
    f1 = 2 * right[either] / (true + told)[either]
    return {
        "accuracy": float(right.sum() / confusion.sum()),
        "balanced_accuracy": float(recall.mean()),
        "macro_f1": float(f1.mean()),
    }


def from_errors(
    count: float, squares: float, absolute: float, centred: float, centred_squares: float, *, scale: float
) -> dict[str, float]:
    """Loss (error² in standard deviations), RMSE, MAE and R² from sums over sequences."""
    around_mean = centred_squares - centred**2 / count
    return {
        "loss": squares / count / scale**2,
        "rmse": math.sqrt(squares / count),
        "mae": absolute / count,
        "r2": 1 - squares / around_mean if around_mean > 0 else (1.0 if squares == 0 else 0.0),
    }


def from_predictions(
    predicted: np.ndarray, targets: np.ndarray, *, classes: Sequence[Any] | None, scale: float = 1.0
) -> dict[str, float]:
    """Figures of probabilities (n, C) of classes by number, or of numbers (n,)."""
    if classes is None:
        error, mean = predicted - targets, targets.mean()
        sums = (error**2).sum(), np.abs(error).sum(), 0.0, ((targets - mean) ** 2).sum()
        return from_errors(float(len(targets)), *map(float, sums), scale=scale)
    confusion = confusion_of(predicted.argmax(1), targets, len(classes))
    of_truth = np.clip(predicted[np.arange(len(targets)), targets], 1e-12, None)
    return {"loss": float(-np.log(of_truth).mean()), **from_confusion(confusion)}


def confusion_of(predicted: Int[np.ndarray, " n"], targets: Int[np.ndarray, " n"], classes: int) -> np.ndarray:
    """(C, C): rows are the truth, columns what was predicted."""
    return np.bincount(targets * classes + predicted, minlength=classes**2).reshape(classes, classes)


def class_table(confusion: Float[np.ndarray, "C C"], classes: Sequence[Any]) -> list[dict[str, Any]]:
    """Precision, recall, F1 and number of every class.

    >>> class_table(np.array([[3, 1], [0, 4]]), ["a", "b"])[0]
    {'class': 'a', 'precision': 1.0, 'recall': 0.75, 'f1': 0.8571428571428571, 'sequences': 4}
    """
    rows = []
    for k, name in enumerate(classes):
        right, true, told = float(confusion[k, k]), float(confusion[k].sum()), float(confusion[:, k].sum())
        rows.append(
            {
                "class": name,
                "precision": right / told if told else 0.0,
                "recall": right / true if true else 0.0,
                "f1": 2 * right / (true + told) if true + told else 0.0,
                "sequences": int(true),
            }
        )
    return rows


# -- simple models ---------------------------------------------------------------------------------------------


def baselines(data: ClassifyPrepared) -> dict[str, tuple[dict[str, float], str]]:
    """Figures on the validation data of the simplest guess and of a linear model, with what they are."""
    classes = data.config["labels"]
    return _of_classes(data, classes) if classes is not None else _of_numbers(data)


def _of_classes(data: ClassifyPrepared, classes: list[Any]) -> dict[str, tuple[dict[str, float], str]]:
    counts = np.bincount(data.train_targets, minlength=len(classes)) + 1.0
    often = np.broadcast_to(counts / counts.sum(), (len(data.valid), len(classes)))
    linear_model, pipeline, preprocessing = _sklearn()
    model = pipeline.make_pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression(max_iter=300, C=0.1))
    train, valid = _described(data)
    probabilities = np.full((len(valid), len(classes)), 1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a baseline that stops early says so to nobody's use
        model.fit(train, data.train_targets)
        probabilities[:, model.classes_] = model.predict_proba(valid)
    return {
        "commonest class": (_figures(often, data), "how often each class is in the training data"),
        "logistic regression": (_figures(probabilities, data), _what(data)),
    }


def _of_numbers(data: ClassifyPrepared) -> dict[str, tuple[dict[str, float], str]]:
    linear_model, pipeline, preprocessing = _sklearn()
    mean = np.full(len(data.valid), data.train_targets.mean())
    model = pipeline.make_pipeline(preprocessing.StandardScaler(), linear_model.Ridge(alpha=10.0))
    train, valid = _described(data)
    model.fit(train, data.train_targets)
    return {
        "mean": (_figures(mean, data), "the mean of the training data"),
        "ridge regression": (_figures(model.predict(valid), data), _what(data)),
    }


def _figures(predicted: np.ndarray, data: ClassifyPrepared) -> dict[str, float]:
    target = data.config["target"]
    scale = target["scale"] if target else 1.0
    return from_predictions(predicted, data.valid_targets, classes=data.config["labels"], scale=scale)


def _what(data: ClassifyPrepared) -> str:
    if data.config["input"] == "tokens":
        return "on how often each token occurs"
    return "on each feature's mean, deviation, least, greatest, first and last value and mean change, and the length"


def _described(data: ClassifyPrepared) -> tuple[np.ndarray, np.ndarray]:
    if data.config["input"] == "tokens":
        size = min(data.config["vocabulary"], 5000)
        return bags(data.train, size), bags(data.valid, size)
    return summaries(data.train), summaries(data.valid)


def bags(found: Sequences, size: int) -> Float[np.ndarray, "n V"]:
    """√(how often each of the first tokens of the vocabulary occurs) in each text."""
    counts = [np.bincount(tokens[tokens < size], minlength=size) for tokens in found]
    return np.sqrt(np.stack(counts), dtype=np.float32)


def summaries(found: Sequences) -> Float[np.ndarray, "n S"]:
    """A few numbers for each sequence, in which the order of its steps hardly counts."""
    rows = []
    for x in found:
        change = np.abs(np.diff(x, axis=0)).mean(0) if len(x) > 1 else np.zeros(x.shape[1], x.dtype)
        parts = [x.mean(0), x.std(0), x.min(0), x.max(0), x[0], x[-1], change, [np.log(len(x))]]
        rows.append(np.concatenate(parts))
    return np.stack(rows)


def _sklearn() -> tuple[Any, Any, Any]:
    try:
        from sklearn import linear_model, pipeline, preprocessing
    except ImportError as error:
        raise MissingExtra("scikit-learn", "classify", "the baselines of the report") from error
    return linear_model, pipeline, preprocessing
