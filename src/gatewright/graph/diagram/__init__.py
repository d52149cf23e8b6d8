"""Any cell as a picture: `cell.diagram()`.

`sketch` makes pieces of a graph, `place` gives each a row and a column, `route` draws lines along a grid, `geometry`
turns the grid into coordinates and `draw` writes SVG.
"""

from .build import drawn
from .picture import Diagram, diagram

__all__ = ["Diagram", "diagram", "drawn"]
