"""Classification and regression of sequences."""

from gatewright.tasks.classify.classifier import Classifier
from gatewright.tasks.classify.settings import ClassifySettings

__all__ = ["Classifier", "ClassifySettings"]
