"""A scene drawn by matplotlib, without pyplot: no window, no global state."""

from __future__ import annotations

from functools import singledispatch
from typing import Any, NamedTuple

import numpy as np

from .page import Frame, Page, curves
from .picture import needed
from .scene import Axis, Band, Bars, HeatMap, Image, Line, Mark, Panel, Scale, Scene
from .style import Theme

TITLE, TICKS, LABEL = 9.5, 8, 8.5
DASHES = {"solid": "-", "dash": (0, (5, 2)), "dot": (0, (1.2, 1.6))}


def drawn(scene: Scene, theme: Theme) -> Any:
    """A `matplotlib.figure.Figure`."""
    page = Page(scene)
    figure = needed("matplotlib.figure").Figure((page.width, page.height), facecolor=theme.page)
    if scene.title:
        at = {"x": 0.12 / page.width, "y": 1 - 0.1 / page.height, "ha": "left", "va": "top"}
        figure.text(s=scene.title, color=theme.ink, fontsize=11.5, fontweight="bold", **at)
    if scene.note:
        figure.text(0.12 / page.width, 0.08 / page.height, scene.note, color=theme.quiet, fontsize=TICKS)
    first: dict[int, Any] = {}
    for panel, frame in zip(scene.panels, page.frames, strict=True):
        place = _place(page, frame)
        axes = figure.add_axes(place, sharex=first.get(panel.column) if scene.shared else None)
        first.setdefault(panel.column, axes)
        _panel(axes, panel, scene, theme)
    return figure


def _place(page: Page, frame: Frame) -> tuple[float, float, float, float]:
    """As parts of the page, from its lower left corner."""
    below = page.height - frame.top - frame.height
    return (frame.left / page.width, below / page.height, frame.width / page.width, frame.height / page.height)


def _panel(axes: Any, panel: Panel, scene: Scene, theme: Theme) -> None:
    axes.set_facecolor(theme.page)
    axes.set_title(panel.title, color=theme.ink, fontsize=TITLE, loc="left", pad=4)
    axes.tick_params(colors=theme.quiet, labelsize=TICKS, length=3)
    for side, spine in axes.spines.items():
        spine.set_color(theme.grid)
        spine.set_visible(side in ("left", "bottom") and not panel.images)
    if panel.heat is None and not panel.images:
        axes.grid(color=theme.grid, linewidth=0.6)
        axes.set_axisbelow(True)
    for item in panel.items:
        _draw(item, On(axes, panel, theme))
    _axis(axes, "y", panel.y, theme)
    if scene.with_axis_under(panel):
        _axis(axes, "x", panel.x, theme)
    elif panel.heat or panel.images or panel.x.ticks:
        axes.xaxis.set_visible(False)  # hundreds of ticks that nobody sees take seconds
    else:
        axes.tick_params(labelbottom=False)
    if panel.images:
        axes.set_yticks([])
    if curves(panel):
        style = {"fontsize": TICKS, "labelcolor": theme.ink, "handlelength": 1.8}
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), borderpad=0.3, frameon=False, **style)


def _axis(axes: Any, which: str, axis: Axis, theme: Theme) -> None:
    at: Any = getattr(axes, f"{which}axis")
    at.set_label_text(axis.label, color=theme.ink, fontsize=LABEL)
    if axis.log:
        getattr(axes, f"set_{which}scale")("log")
    if axis.low is not None or axis.high is not None:
        getattr(axes, f"set_{which}lim")(axis.low, axis.high)
    if axis.ticks is not None:
        at.set_ticks([place for place, _ in axis.ticks], [word for _, word in axis.ticks])
        at.set_tick_params(which="minor", length=0)
        for label in at.get_ticklabels():
            label.set_parse_math(False)  # a token such as "$x$" is no formula
            if axis.upright:
                label.set_rotation(90)
    elif axis.dates:
        dates = needed("matplotlib.dates")
        locator = dates.AutoDateLocator()
        at.set_major_locator(locator)
        at.set_major_formatter(dates.ConciseDateFormatter(locator))
        at.get_offset_text().set_color(theme.quiet)
    at.get_offset_text().set_fontsize(TICKS)


def _numbers(places: np.ndarray) -> np.ndarray:
    return needed("matplotlib.dates").date2num(places) if places.dtype.kind == "M" else places


def colours(scale: Scale, theme: Theme) -> Any:
    """A colour map."""
    maps = needed("matplotlib.colors")
    made = maps.LinearSegmentedColormap.from_list(scale.kind, theme.ramp(scale.kind), N=512)
    return made.with_extremes(bad=theme.page)


class On(NamedTuple):
    """Where an item is drawn."""

    axes: Any
    panel: Panel
    theme: Theme


@singledispatch
def _draw(item: object, on: On) -> None:  # noqa: ARG001
    raise TypeError(f"nothing draws a {type(item).__name__}")


@_draw.register
def _(heat: HeatMap, on: On) -> None:
    rows = len(heat.values)
    edges = _numbers(heat.edges)
    sides = np.arange(rows + 1) - 0.5 if heat.row_edges is None else heat.row_edges
    values = np.ma.masked_invalid(heat.values)
    steps = np.diff(edges)
    look = {"cmap": colours(heat.scale, on.theme), "vmin": heat.scale.low, "vmax": heat.scale.high}
    if heat.row_edges is None and np.allclose(steps, steps[0]):
        extent = (edges[0], edges[-1], rows - 0.5, -0.5)
        shown = on.axes.imshow(values, aspect="auto", extent=extent, interpolation="nearest", **look)
    else:
        shown = on.axes.pcolormesh(edges, sides, values, rasterized=True, **look)
        on.axes.set_xlim(edges[0], edges[-1])
    if heat.row_edges is None:
        chosen = _some(rows, on.panel.height)
        on.axes.set_yticks(chosen, [heat.rows[k] for k in chosen])
        on.axes.set_ylim(rows - 0.5, -0.5)
    bar = on.axes.figure.colorbar(shown, cax=_beside(on.axes))
    bar.set_label(heat.scale.label, color=on.theme.ink, fontsize=LABEL)
    bar.ax.tick_params(colors=on.theme.quiet, labelsize=TICKS, length=3)
    bar.ax.locator_params(nbins=max(2, int(on.panel.height / 0.3)))
    bar.outline.set_visible(False)


def _beside(axes: Any) -> Any:
    """A place for a colour bar."""
    box, width = axes.get_position(), axes.figure.get_figwidth()
    return axes.figure.add_axes((box.x1 + 0.1 / width, box.y0, 0.12 / width, box.height))


def _some(rows: int, height: float) -> list[int]:
    """Rows that get a label: every one, every second, fifth, tenth, …"""
    room = max(1, int(height / 0.17))
    steps = (k * 10**power for power in range(6) for k in (1, 2, 5))
    return list(range(0, rows, next(s for s in steps if rows / s <= room)))


@_draw.register
def _(line: Line, on: On) -> None:
    colour = on.theme.quiet if line.colour == "quiet" else on.theme.line(int(line.colour))
    style = {"linestyle": DASHES[line.dash], "linewidth": 1.3}
    on.axes.plot(_numbers(line.x), line.y, color=colour, label=line.name, **style)


@_draw.register
def _(band: Band, on: On) -> None:
    look = {"color": on.theme.line(band.colour), "alpha": band.strength, "linewidth": 0}
    on.axes.fill_between(_numbers(band.x), band.low, band.high, label=band.name, **look)


@_draw.register
def _(bars: Bars, on: On) -> None:
    colour = on.theme.line(bars.colour)
    on.axes.stairs(bars.counts, bars.edges, fill=True, color=colour, alpha=0.85, label=bars.name)
    on.axes.set_ylim(bottom=0)


@_draw.register
def _(mark: Mark, on: On) -> None:
    on.axes.axvline(mark.x, color=on.theme.ink, linewidth=1, linestyle=DASHES["dash"])
    where = {"xycoords": ("data", "axes fraction"), "xytext": (3, -2), "textcoords": "offset points", "va": "top"}
    on.axes.annotate(mark.label, (mark.x, 1), color=on.theme.ink, fontsize=TICKS, **where)


@_draw.register
def _(image: Image, on: On) -> None:
    look = {"cmap": "gray", "vmin": 0, "vmax": 1} if image.pixels.ndim == 2 else {}
    on.axes.imshow(image.pixels, extent=(image.left, image.right, 0, 1), aspect="auto", interpolation="nearest", **look)
    on.axes.set_ylim(0, 1)
