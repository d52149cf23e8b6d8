"""Settings that are tried, and the best of them trained."""

from gatewright.tasks.tuning.tune import Between, OneOf, Tuned

__all__ = ["Between", "OneOf", "Tuned"]
