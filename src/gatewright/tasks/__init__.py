"""Tasks: what recurrent networks are used for, all in one shape: data, model, metric, report."""

from gatewright.tasks.classify.classifier import Classifier
from gatewright.tasks.classify.settings import ClassifySettings
from gatewright.tasks.errors import (
    DataError,
    FolderError,
    MissingExtra,
    SettingsError,
    TaskError,
    TextError,
    TrainingError,
)
from gatewright.tasks.forecast.forecaster import Forecaster
from gatewright.tasks.forecast.settings import ForecastSettings
from gatewright.tasks.language.cache import Cache
from gatewright.tasks.language.dynamic import Dynamic
from gatewright.tasks.language.generate import Continuation
from gatewright.tasks.language.model import LanguageModel
from gatewright.tasks.language.settings import LanguageSettings
from gatewright.tasks.settings import TrainingSettings
from gatewright.tasks.tag.settings import TagSettings
from gatewright.tasks.tag.tagger import Tagged, Tagger

__all__ = [
    "Cache",
    "Classifier",
    "ClassifySettings",
    "Continuation",
    "DataError",
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
