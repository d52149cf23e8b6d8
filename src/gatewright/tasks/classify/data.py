"""What a classifier's data become: sequences of features or tokens, targets, a validation part, and the scales."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from gatewright.tasks.classify.audio import AudioFeatures, read_audio, resampled
from gatewright.tasks.classify.reading import read_sequences, sequences_of_table
from gatewright.tasks.classify.sequences import Sequences, ends, from_arrays, from_padded, with_labels
from gatewright.tasks.classify.settings import ClassifySettings
from gatewright.tasks.errors import DataError
from gatewright.tasks.task_job import Prepared
from gatewright.tasks.tokenizers import TOKENIZERS, load_tokenizer

__all__ = ["ClassifyPrepared", "as_inputs", "as_sequences", "prepare", "split"]

RATE = 16_000  # of waveforms in memory whose rate is not said


@dataclass(frozen=True)
class ClassifyPrepared(Prepared):
    """Training and validation sequences, as the network reads them, and their targets: numbers, or those of classes."""

    train: Sequences = field(kw_only=True)
    valid: Sequences = field(kw_only=True)
    train_targets: np.ndarray = field(kw_only=True)
    valid_targets: np.ndarray = field(kw_only=True)


def as_sequences(
    data: Any,
    settings: ClassifySettings,
    labels: Any = None,
    *,
    groups: Any = None,
    lengths: Any = None,
    labelled: bool = True,
    features: Sequence[str] = (),
) -> Sequences:
    """Whatever a user has, as `Sequences`: a path, paths of recordings, a frame, arrays, a padded array, texts.

    features: the columns that are read of a table, in that order, where a model knows them (default: as the settings
    say). Arrays have no names, so theirs are taken as they stand.
    """
    if isinstance(data, Sequences):
        return data if labels is None and groups is None else with_labels(data, labels, groups)
    if isinstance(data, os.PathLike):
        found = read_sequences(Path(data), settings, labelled=labelled and labels is None, features=features)
        return with_labels(found, labels, groups)
    if isinstance(data, str):
        raise DataError("data: got a string; a path is given as pathlib.Path(…), texts as a list of strings")
    if hasattr(data, "columns") or isinstance(data, dict):
        found = sequences_of_table(data, settings, labelled=labelled and labels is None, features=features)
        return with_labels(found, labels, groups)
    if hasattr(data, "detach"):
        data = data.detach().cpu().numpy()
    if isinstance(data, np.ndarray) and data.dtype != object and data.dtype.kind not in "US":
        if lengths is None and data.ndim == 2 and settings.audio is not None:
            return _in_memory(list(data), settings, labels, groups)
        return from_padded(data, lengths, labels=labels, groups=groups)
    return _in_memory(list(data), settings, labels, groups)


def _in_memory(items: list[Any], settings: ClassifySettings, labels: Any, groups: Any) -> Sequences:
    if items and isinstance(items[0], os.PathLike):
        rate, waves = settings.sample_rate, []
        for item in items:
            samples, rate = read_audio(item, rate)
            waves.append(samples)
        return from_arrays(waves, labels=labels, groups=groups, ids=[Path(i).name for i in items], rate=rate)
    rate = (settings.sample_rate or RATE) if settings.audio is not None else None
    return from_arrays(items, labels=labels, groups=groups, rate=rate)


# -- into what the network reads -------------------------------------------------------------------------------


def as_inputs(found: Sequences, config: dict[str, Any]) -> Sequences:
    """Sequences as a model's network reads them. Raises `DataError` where they are of another kind or width."""
    kind = {"tokens": "text", "audio": "audio", "numbers": "numbers"}[config["input"]]
    if found.kind != kind:
        raise DataError(f"{found.name}: got {found.kind}, and the model was trained on {kind}; give it {kind}")
    if kind == "text":
        return _encoded(found, config)
    if kind == "audio":
        return _of_audio(found, AudioFeatures(**config["audio"]))
    if len(found.features) != len(config["features"]):
        raise DataError(
            f"{found.name}: {len(found.features)} features ({', '.join(found.features[:8])}), and the model was "
            f"trained on {len(config['features'])} ({', '.join(config['features'][:8])}); give it those, in that order"
        )
    return found


def _encoded(found: Sequences, config: dict[str, Any]) -> Sequences:
    tokenizer = load_tokenizer(config["tokenizer"])
    tokens = [tokenizer.encode(text) for text in found.texts]
    for k, ids in enumerate(tokens):
        if not len(ids):
            raise DataError(f"{found.name}: {found.called(k)}: the text has no tokens; leave it out")
    return replace(
        found, values=np.concatenate(tokens).astype(np.int32), offsets=ends([len(t) for t in tokens]), kind="tokens"
    )


def _of_audio(found: Sequences, features: AudioFeatures) -> Sequences:
    rate = found.rate or features.rate
    made = [features(resampled(np.asarray(wave), rate, features.rate)) for wave in found]
    return replace(
        found,
        values=np.concatenate(made),
        offsets=ends([len(m) for m in made]),
        kind="numbers",
        features=tuple(features.names),
    )


# -- a run's data ----------------------------------------------------------------------------------------------


def prepare(
    found: Sequences,
    validation: Sequences | None,
    settings: ClassifySettings,
    seed: int,
    config: dict[str, Any] | None = None,
) -> ClassifyPrepared:
    """Training and validation parts with targets and scales. config: of a run that goes on, which is kept."""
    for part in (found, validation):
        if part is not None and part.labels is None:
            raise DataError(f"{part.name}: no labels; give one for each sequence")
    assert found.labels is not None
    sha = hashlib.sha256((found.digest() + (validation.digest() if validation else "")).encode()).hexdigest()
    labels = _labels(found, settings) if config is None else config["labels"]
    targets = targets_of(found, labels)
    if validation is None:
        train, valid = split(found, targets, settings, seed)
        parts, answers = (found.take(train), found.take(valid)), (targets[train], targets[valid])
    else:
        parts, answers = (found, validation), (targets, targets_of(validation, labels))
    if config is None:
        config = _inputs_config(parts[0], settings) | {"labels": labels, "target": None}
        if labels is None:
            scale = float(answers[0].std()) if np.ptp(answers[0]) else 1.0
            config["target"] = {"mean": float(answers[0].mean()), "scale": scale}
    inputs = [as_inputs(part, config) for part in parts]
    if config["input"] != "tokens" and "mean" not in config:
        config |= scales(inputs[0].values, settings)
    return ClassifyPrepared(
        found.name, sha, config, train=inputs[0], valid=inputs[1], train_targets=answers[0], valid_targets=answers[1]
    )


def _labels(found: Sequences, settings: ClassifySettings) -> list[Any] | None:
    """The classes, sorted; None for regression."""
    assert found.labels is not None
    if settings.kind == "regression":
        return None
    if found.labels.dtype.kind == "f" and len(np.unique(found.labels)) > max(20, len(found) // 2):
        raise DataError(
            f"{found.name}: {len(np.unique(found.labels))} different labels, all numbers such as "
            f"{found.labels[0]}, for {len(found)} sequences; for numbers take kind 'regression'"
        )
    labels = np.unique(found.labels).tolist()
    if len(labels) < 2:
        raise DataError(f"{found.name}: one class only ({labels[0]!r}); a classifier needs two at least")
    return labels


def targets_of(found: Sequences, labels: Sequence[Any] | None) -> np.ndarray:
    """Numbers of classes, (n,) int64, or the numbers themselves. Raises `DataError` for a label that is no class, or no
    number.

    >>> targets_of(from_arrays([[1.0], [2.0]], labels=["0.5", "2"]), None).tolist()
    [0.5, 2.0]
    """
    assert found.labels is not None
    if labels is None:
        return np.array([_number(found, k, label) for k, label in enumerate(found.labels.tolist())], np.float64)
    number = {label: k for k, label in enumerate(labels)}
    given = found.labels.tolist()
    for k, label in enumerate(given):
        if label not in number:
            known = ", ".join(repr(known) for known in labels[:12])
            raise DataError(
                f"{found.name}: {found.called(k)}: the label {label!r} is not among those of the training data "
                f"({known}); correct it, or train on data that have it"
            )
    return np.array([number[label] for label in given], np.int64)


def _number(found: Sequences, index: int, label: Any) -> float:
    try:
        number = float(label)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise DataError(
            f"{found.name}: {found.called(index)}: expected a number to regress on, got the label {label!r}; "
            "correct it, or take kind 'classification'"
        )
    return number


def _inputs_config(train: Sequences, settings: ClassifySettings) -> dict[str, Any]:
    """What the network reads, and by what it is made of what was given."""
    if train.kind == "text":
        tokenizer = TOKENIZERS[settings.tokenizer].build(iter(t + "\n" for t in train.texts), settings.vocabulary)
        return {"input": "tokens", "tokenizer": tokenizer.to_dict(), "vocabulary": tokenizer.size, "features": ["text"]}
    if train.kind == "numbers":
        return {"input": "numbers", "features": list(train.features)}
    names = ("bands", "coefficients", "frame_ms", "hop_ms", "trim_db")
    audio = {
        "kind": settings.audio or "logmel",
        "rate": settings.sample_rate or train.rate,
        **{name: getattr(settings, name) for name in names},
    }
    return {"input": "audio", "audio": audio, "features": AudioFeatures(**audio).names}


def scales(values: np.ndarray, settings: ClassifySettings) -> dict[str, Any]:
    """Mean and standard deviation of every feature, in float64; a constant one is left in its units."""
    mean, scale = values.mean(0, dtype=np.float64), values.std(0, dtype=np.float64)
    scale = np.where(scale > 1e-6 * np.abs(mean), scale, 1.0)
    if settings.normalize == "none":
        mean, scale = np.zeros_like(mean), np.ones_like(scale)
    return {"mean": mean.tolist(), "scale": scale.tolist()}


def split(
    found: Sequences, targets: np.ndarray, settings: ClassifySettings, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of training and validation: a share of every class, or whole groups.

    Raises `DataError` where there are too few sequences or groups.

    >>> both = from_arrays([[float(k)] for k in range(10)], labels=["a"] * 5 + ["b"] * 5)
    >>> train, valid = split(both, np.array([0] * 5 + [1] * 5), ClassifySettings(validation=0.2), 0)
    >>> len(train), both.labels[valid].tolist()
    (8, ['a', 'b'])
    """
    generator = np.random.default_rng([seed, 0x5117])
    if settings.group is not None or found.groups is not None:
        held = _held_groups(found, targets, settings, generator)
    elif settings.kind == "regression":
        held = generator.permutation(len(found)) < max(1, round(settings.validation * len(found)))
    else:
        held = np.zeros(len(found), bool)
        for k in range(int(targets.max()) + 1):
            own = generator.permutation(np.flatnonzero(targets == k))
            count = max(1, round(settings.validation * len(own))) if len(own) > 1 else 0
            held[own[:count]] = True
    if held.all() or not held.any():
        raise DataError(
            f"{found.name}: {len(found)} sequences are too few to keep a share of {settings.validation} for "
            "validation; give more, or validation data of their own"
        )
    return np.flatnonzero(~held), np.flatnonzero(held)


def _held_groups(
    found: Sequences, targets: np.ndarray, settings: ClassifySettings, generator: np.random.Generator
) -> np.ndarray:
    if found.groups is None:
        raise DataError(f"{found.name}: no groups, and --group {settings.group} asks for them; give groups=…")
    names, number = np.unique(found.groups, return_inverse=True)
    if len(names) < 2:
        raise DataError(f"{found.name}: all sequences are of one group ({names[0]}); validation needs another one")
    count = min(len(names) - 1, max(1, round(settings.validation * len(names))))
    classes = np.unique(targets) if settings.kind == "classification" else None
    for _ in range(100):  # until every class is left for training
        held = np.isin(number, generator.permutation(len(names))[:count])
        if classes is None or len(np.unique(targets[~held])) == len(classes):
            return held
    raise DataError(
        f"{found.name}: wherever {count} of {len(names)} groups are held out, a class is left without training data; "
        "give validation data of their own"
    )
