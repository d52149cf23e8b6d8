"""Settings: unknown, ill-typed and impossible values are refused with what to do."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from gatewright.tasks.errors import SettingsError
from gatewright.tasks.language.sampling import Sampling
from gatewright.tasks.language.settings import LanguageSettings
from gatewright.tasks.settings import TrainingSettings, split_settings


@pytest.mark.parametrize("kind", [LanguageSettings, TrainingSettings, Sampling])
def test_settings_survive_a_dictionary_and_document_themselves(kind: Any) -> None:
    assert kind.from_dict(kind().to_dict()) == kind()
    assert all(f.metadata["help"] for f in dataclasses.fields(kind))


def test_an_unknown_setting_suggests_the_nearest() -> None:
    with pytest.raises(SettingsError, match=r"unknown setting 'hiden_size'; did you mean 'hidden_size'\?"):
        split_settings({"hiden_size": 3}, LanguageSettings, TrainingSettings)
    with pytest.raises(SettingsError, match=r"unknown setting 'zzz'; known settings: length, temperature"):
        Sampling.from_dict({"zzz": 1})


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (LanguageSettings, {"hidden_size": 0}, "hidden_size: expected a number of at least 1, got 0"),
        (LanguageSettings, {"hidden_size": 3.5}, "hidden_size: expected a whole number, got 3.5"),
        (
            LanguageSettings,
            {"tokenizer": "runes"},
            "tokenizer: expected chars, bytes, words, pieces, got 'runes'",
        ),
        (LanguageSettings, {"dropout": 1.0}, r"dropout: expected a number from 0 up to \(not including\) 1"),
        (LanguageSettings, {"validation": 0}, "validation: expected a share above 0"),
        (LanguageSettings, {"tied": 1}, "tied: expected true or false or nothing, got 1"),
        (
            TrainingSettings,
            {"learning_rate": float("nan")},
            "learning_rate: expected a number, got nan",
        ),
        (TrainingSettings, {"epochs": 0}, "epochs: expected a number above 0"),
        (TrainingSettings, {"batch_size": 5, "devices": 2}, "5 sequences do not divide among 2 processes"),
        (TrainingSettings, {"precision": "8"}, "precision: expected 32-true, 64-true, bf16-mixed"),
        (TrainingSettings, {"learning_rate": float("inf")}, "learning_rate: expected a number, got inf"),
        (TrainingSettings, {"seed": 2**63}, r"seed: expected a number below 2\*\*63"),
        (TrainingSettings, {"learning_rate": 10**400}, r"learning_rate: expected a number below 2\*\*63"),
        (LanguageSettings, {"backend": "foo"}, "backend: expected auto, cpu, reference, vendor, got 'foo'"),
        (Sampling, {"temperature": float("inf")}, "temperature: expected a number, got inf"),
        (Sampling, {"seed": 10**23}, r"seed: expected a number below 2\*\*63"),
        (Sampling, {"temperature": -1}, "temperature: expected a number of at least 0"),
        (Sampling, {"top_k": 0}, "top_k: expected a number of at least 1"),
    ],
)
def test_impossible_values(kind: Any, values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        kind(**values)
