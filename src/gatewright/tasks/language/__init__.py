"""Language models on any text."""

from gatewright.tasks.language.model import LanguageModel
from gatewright.tasks.language.settings import LanguageSettings

__all__ = ["LanguageModel", "LanguageSettings"]
