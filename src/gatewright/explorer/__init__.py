"""The explorer: a local page on which to walk through a model step by step, look at it, ask it, and write cells."""

from .serve import explore

__all__ = ["explore"]
