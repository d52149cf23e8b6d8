"""From equations, as a function or as text, to an immutable graph that has been checked."""

from .cell import Cell, cell
from .errors import CellError, NotationError
from .graph import Graph, State
from .node import Node, Param
from .notation.parser import parse
from .widths import Sizes, Width, Widths

__all__ = [
    "Cell",
    "CellError",
    "Graph",
    "Node",
    "NotationError",
    "Param",
    "Sizes",
    "State",
    "Width",
    "Widths",
    "cell",
    "parse",
]
