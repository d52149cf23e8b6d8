"""What both code generators share: the equations that run, and how their step is laid out."""

from .regularise import chances, index_of, rate, recurrent_matrices, regularised, stream

__all__ = ["chances", "index_of", "rate", "recurrent_matrices", "regularised", "stream"]
