"""What a picture shows, before any library draws it: panels of heat maps, curves and images over axes with words.

A picture is described once, as a `Scene`, and drawn by matplotlib and by plotly from the same numbers and words.
Rows of panels lie under each other on one x axis where `shared` says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Axis:
    """label: with its unit. dates: positions are `datetime64`. ticks: chosen places and their words; the libraries'
    own choice without. names: words for the positions 0, 1, …, shown as space allows. low, high: the ends, if fixed.
    """

    label: str = ""
    log: bool = False
    dates: bool = False
    ticks: tuple[tuple[float, str], ...] | None = None
    upright: bool = False
    names: tuple[str, ...] | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Scale:
    """From values to colours. kind: "share" (0 to 1), "size" (0 and more) or "signed" (0 in the middle)."""

    kind: str
    low: float
    high: float
    label: str

    def places(self, values: np.ndarray) -> np.ndarray:
        """From 0 to 1 along the ramp."""
        return np.clip((values - self.low) / (self.high - self.low), 0, 1)


@dataclass(frozen=True)
class HeatMap:
    """values: (rows, columns), the first row on top; NaN is left empty. edges: (columns + 1,), where they end on the x
    axis. rows: a word for each row, or, on a y axis of numbers, `row_edges` (rows + 1,). of: what a row is called."""

    values: np.ndarray
    edges: np.ndarray
    scale: Scale
    rows: tuple[str, ...] = ()
    row_edges: np.ndarray | None = None
    of: str = "unit"


@dataclass(frozen=True)
class Line:
    """dash: "solid", "dash" or "dot". colour: its number in the theme, or "quiet"."""

    x: np.ndarray
    y: np.ndarray
    name: str
    colour: int | str = 0
    dash: str = "solid"


@dataclass(frozen=True)
class Band:
    """What lies between two curves, shaded. colour: its number in the theme. strength: from 0 to 1, how dark."""

    x: np.ndarray
    low: np.ndarray
    high: np.ndarray
    name: str
    colour: int = 0
    strength: float = 0.2


@dataclass(frozen=True)
class Bars:
    """A histogram: counts between edges."""

    edges: np.ndarray
    counts: np.ndarray
    name: str
    colour: int = 0


@dataclass(frozen=True)
class Mark:
    """A vertical line with a word."""

    x: float
    label: str


@dataclass(frozen=True)
class Image:
    """(h, w) or (h, w, 3), from 0 to 1, between two places of the x axis."""

    pixels: np.ndarray
    left: float
    right: float
    label: str


Item = HeatMap | Line | Band | Bars | Mark | Image


@dataclass(frozen=True)
class Panel:
    """height: of its frame in inches. row, column: its place among the panels."""

    items: Sequence[Item]
    title: str
    x: Axis
    y: Axis
    height: float = 1.3
    row: int = 0
    column: int = 0

    @property
    def heat(self) -> HeatMap | None:
        return next((i for i in self.items if isinstance(i, HeatMap)), None)

    @property
    def images(self) -> list[Image]:
        return [i for i in self.items if isinstance(i, Image)]


@dataclass(frozen=True)
class Scene:
    """width: of the page in inches. shared: whether the panels of a column have one x axis, written under the last.
    note: a line under the picture."""

    panels: Sequence[Panel]
    title: str = ""
    width: float = 9.0
    shared: bool = True
    note: str = ""

    @property
    def rows(self) -> int:
        return 1 + max(p.row for p in self.panels)

    @property
    def columns(self) -> int:
        return 1 + max(p.column for p in self.panels)

    def last_of_column(self, panel: Panel) -> bool:
        return panel.row == max(p.row for p in self.panels if p.column == panel.column)

    def with_axis_under(self, panel: Panel) -> bool:
        """Whether the words of the x axis are written under this panel."""
        return not self.shared or self.last_of_column(panel)

    def panel(self, title: str) -> Panel:
        """The panel whose title begins so."""
        return next(p for p in self.panels if p.title.startswith(title))
