"""The gradient of a step: one rule an operation, and a reverse sweep that gives a graph again."""

from .rules import RULES
from .sweep import StepGradient, reverse

__all__ = ["RULES", "StepGradient", "reverse"]
