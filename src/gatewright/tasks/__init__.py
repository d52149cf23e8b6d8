"""Tasks: what recurrent networks are used for, all in one shape: data, model, metric, report."""

from gatewright.tasks.classify import Classifier
from gatewright.tasks.classify_settings import ClassifySettings
from gatewright.tasks.errors import (
    FolderError,
    MissingExtra,
    SettingsError,
    TaskError,
    TextError,
    TrainingError,
)
from gatewright.tasks.forecast import Forecaster
from gatewright.tasks.forecast_settings import ForecastSettings
from gatewright.tasks.language import LanguageModel
from gatewright.tasks.language_cache import Cache
from gatewright.tasks.language_dynamic import Dynamic
from gatewright.tasks.language_generate import Continuation
from gatewright.tasks.language_settings import LanguageSettings
from gatewright.tasks.settings import TrainingSettings
from gatewright.tasks.tag import Tagged, Tagger
from gatewright.tasks.tag_settings import TagSettings

__all__ = [
    "Cache",
    "Classifier",
    "ClassifySettings",
    "Continuation",
    "Dynamic",
    "FolderError",
    "ForecastSettings",
    "Forecaster",
    "LanguageModel",
    "LanguageSettings",
    "MissingExtra",
    "SettingsError",
    "TagSettings",
    "Tagged",
    "Tagger",
    "TaskError",
    "TextError",
    "TrainingError",
    "TrainingSettings",
]
