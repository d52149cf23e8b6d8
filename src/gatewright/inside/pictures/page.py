"""Where panels lie on a page, in inches: worked out once for both libraries, so that nothing has to be tried out."""

from __future__ import annotations

from typing import NamedTuple

from .scene import Band, Bars, Line, Panel, Scene

LETTER = 0.068
LEFT, TITLE, PANEL_TITLE, EDGE = 0.74, 0.4, 0.27, 0.16
BAR, LEGEND_LINE = 0.92, 0.4
"""What a colour bar with its words takes, and the line in front of a legend's words."""
AXIS, WORDS, NOTE = 0.14, 0.42, 0.24
"""Below a panel whose axis is not written, below one whose axis is, and a note."""


class Frame(NamedTuple):
    """A panel's frame; top is measured from the upper edge of the page."""

    left: float
    top: float
    width: float
    height: float


class Page:
    """frames: one for each panel of the scene, in order."""

    def __init__(self, scene: Scene):
        self.width = scene.width
        rights = [max(_right(p) for p in scene.panels if p.column == k) for k in range(scene.columns)]
        across = (scene.width - sum(rights) - LEFT * scene.columns) / scene.columns
        lefts = [LEFT * (k + 1) + across * k + sum(rights[:k]) for k in range(scene.columns)]
        top = (TITLE if scene.title else 0.06) + PANEL_TITLE
        tops, heights = [], []
        for row in range(scene.rows):
            panels = [p for p in scene.panels if p.row == row]
            tops.append(top)
            heights.append(max(p.height for p in panels))
            top += heights[-1] + max(_below(p, scene) for p in panels) + PANEL_TITLE
        self.right = rights[-1]
        self.height = top - PANEL_TITLE + (NOTE if scene.note else 0) + 0.04
        self.frames = [Frame(lefts[p.column], tops[p.row], across, heights[p.row]) for p in scene.panels]


def curves(panel: Panel) -> list[str]:
    """What its legend lists: nothing where there is one curve alone."""
    named = [i.name for i in panel.items if isinstance(i, Line | Band | Bars) and i.name]
    return named if len(named) > 1 else []


def _right(panel: Panel) -> float:
    if panel.heat is not None:
        return BAR
    names = curves(panel)
    return LEGEND_LINE + EDGE + LETTER * max(map(len, names)) if names else EDGE


def _below(panel: Panel, scene: Scene) -> float:
    if not scene.with_axis_under(panel):
        return AXIS
    if not panel.x.upright or not panel.x.ticks:
        return WORDS
    return WORDS + LETTER * max(len(word) for _, word in panel.x.ticks)
