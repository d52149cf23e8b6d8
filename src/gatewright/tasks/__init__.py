"""Tasks: what recurrent networks are used for, all in one shape: data, model, metric, report."""

from gatewright.tasks.errors import (
    FolderError,
    MissingExtra,
    SettingsError,
    TaskError,
    TextError,
    TrainingError,
)
from gatewright.tasks.language import LanguageModel
from gatewright.tasks.language_settings import LanguageSettings
from gatewright.tasks.settings import TrainingSettings

__all__ = [
    "FolderError",
    "LanguageModel",
    "LanguageSettings",
    "MissingExtra",
    "SettingsError",
    "TaskError",
    "TextError",
    "TrainingError",
    "TrainingSettings",
]
