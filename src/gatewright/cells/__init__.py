"""The zoo: one file a family, each the paper's equations as code with its citation."""

from .zoo import Zoo, zoo

__all__ = ["Zoo", "zoo"]
