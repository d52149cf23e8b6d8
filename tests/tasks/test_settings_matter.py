"""Every setting changes something."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from gatewright.tasks import LanguageModel, LanguageSettings, TrainingSettings
from gatewright.tasks.run_folder import RunFolder

Settings = dict[str, Any]

# Field: (what is set besides, its other value). The run with both is compared with the run without the other value.
CHANGES: dict[str, tuple[Settings, Any]] = {
    "cell": ({}, "gru"),
    "tokenizer": ({}, "bytes"),
    "vocabulary": ({}, 10),
    "validation": ({}, 0.3),
    "hidden_size": ({}, 16),
    "num_layers": ({}, 2),
    "embedding_size": ({}, 7),
    "projection": ({"cell": "lstmp", "backend": "reference", "projection": 3}, 4),
    "heads": ({"cell": "peephole_lstm"}, 2),
    "tied": ({"embedding_size": 12}, True),
    "dropout": ({}, 0.5),
    "dropout_embedding": ({}, 0.5),
    "dropout_output": ({}, 0.5),
    "dropout_between": ({"num_layers": 2}, 0.6),
    "dropout_kind": ({}, "locked"),
    "dropout_words": ({}, 0.2),
    "weight_drop": ({}, 0.5),
    "activation": ({}, 2.0),
    "temporal_activation": ({}, 1.0),
    "variable_steps": ({}, True),
    "last_size": ({"num_layers": 2}, 7),
    "recipe": ({"num_layers": 2}, "awd"),
    "steps": ({}, 5),
    "backend": ({}, "reference"),
    "batch_size": ({}, 8),
    "epochs": ({"updates": None, "epochs": 0.1}, 0.2),
    "updates": ({}, 7),
    "minutes": ({}, 1e-9),
    "optimizer": ({}, "sgd"),
    "learning_rate": ({}, 0.1),
    "schedule": ({}, "constant"),
    "warmup": ({}, 5),
    "final": ({}, 0.9),
    "decay": ({"schedule": "plateau", "learning_rate": 5.0, "evaluate_every": 1}, 0.9),
    "weight_decay": ({}, 0.9),
    "momentum": ({"optimizer": "sgd"}, 0.9),
    "clip": ({"optimizer": "sgd"}, 0.01),
    "averaging": ({"learning_rate": 5.0, "evaluate_every": 1}, 1),
    "patience": ({"learning_rate": 5.0, "evaluate_every": 1}, 1),
    "evaluate_every": ({}, 2),
    "seed": ({}, 1),
    "precision": ({}, "64-true"),
}
ELSEWHERE = {"accelerator", "devices", "nodes", "save_minutes"}  # where it runs, and how often it is saved


def outcome(path: Path, prose: str, **settings: Any) -> Any:
    """All that a run leaves but its clock."""
    LanguageModel(**settings).fit(prose, out=path)
    tree, about, _ = RunFolder(path).read()
    history = [{k: v for k, v in row.items() if k != "seconds"} for row in tree["progress"]["history"]]
    weights = {name: weight.tolist() for name, weight in tree["network"].items() if "_extra" not in name}
    return history, weights, about["backend"]


def test_every_setting_is_tried() -> None:
    names = {f.name for kind in (LanguageSettings, TrainingSettings) for f in dataclasses.fields(kind)}
    assert names == CHANGES.keys() | ELSEWHERE


@pytest.mark.parametrize("name", CHANGES)
def test_a_setting_changes_something(name: str, small: Settings, prose: str, tmp_path: Path) -> None:
    besides, value = CHANGES[name]
    base = {**small, "updates": 6, "evaluate_every": 3, "patience": 0, **besides}
    one = outcome(tmp_path / "one", prose, **base)
    assert one == outcome(tmp_path / "again", prose, **base)
    assert one != outcome(tmp_path / "two", prose, **{**base, name: value})


def test_checkpoints_are_made_by_the_clock(small: Settings, prose: str, tmp_path: Path, monkeypatch: Any) -> None:
    saved: list[int] = []
    save = RunFolder.save
    monkeypatch.setattr(RunFolder, "save", lambda self, number, *a: [saved.append(number), save(self, number, *a)])
    LanguageModel(**small, updates=5, evaluate_every=5, save_minutes=1e-9).fit(prose, out=tmp_path / "m")
    assert saved == [0, 1, 2, 3, 4, 5]
