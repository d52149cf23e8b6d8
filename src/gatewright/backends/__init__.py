"""What runs a cell's equations: the reference, which is their meaning, and what is faster."""

from .cpu import forks  # from now on it takes note of forks: a child must know that it is one

__all__ = ["forks"]
