"""A scene drawn by plotly: to be zoomed and hovered over, the panels of a column moving together."""

from __future__ import annotations

from functools import singledispatch
from html import escape
from typing import Any, NamedTuple

import numpy as np

from .page import LEFT, Frame, Page, curves
from .picture import needed
from .png import data_uri
from .scene import Axis, Band, Bars, HeatMap, Image, Line, Mark, Panel, Scale, Scene
from .style import Theme, rgb

INCH = 96
DASHES = {"solid": "solid", "dash": "dash", "dot": "dot"}
TICK = 24
"""Pixels that a tick of an upright axis takes."""
Figure = dict[str, Any]


def drawn(scene: Scene, theme: Theme) -> Any:
    """A `plotly.graph_objects.Figure`."""
    page = Page(scene)
    figure: Figure = {"data": [], "layout": _page(page, scene, theme)}
    for k, (panel, frame) in enumerate(zip(scene.panels, page.frames, strict=True)):
        place = Place(page, frame)
        number = "" if k == 0 else str(k + 1)
        figure["layout"][f"xaxis{number}"] = _x_axis(panel, scene, place, number, theme)
        figure["layout"][f"yaxis{number}"] = _y_axis(panel, place, number, theme)
        _title(figure, panel, place, theme)
        if curves(panel):
            figure["layout"][f"legend{number}"] = _legend(place, theme)
        for item in panel.items:
            _draw(item, On(figure, panel, place, number, theme))
    if scene.note:
        note = {"xref": "paper", "yref": "paper", "x": 0, "y": 0, "yshift": 6 - figure["layout"]["margin"]["b"]}
        look = {"xanchor": "left", "yanchor": "bottom"}
        figure["layout"]["annotations"].append(_words(scene.note, theme.quiet, 12) | note | look)
    return needed("plotly.graph_objects").Figure(figure)


class Place:
    """A frame as parts of what lies inside the page's margins, from 0 to 1, and its height in pixels."""

    def __init__(self, page: Page, frame: Frame):
        width, high = page.width - LEFT - page.right, _inner(page)
        left, top = frame.left - LEFT, frame.top - page.frames[0].top
        self.x = (left / width, (left + frame.width) / width)
        self.y = (1 - (top + frame.height) / high, 1 - top / high)
        self.height = INCH * frame.height


def _inner(page: Page) -> float:
    """From the first frame's top to the last one's foot."""
    return max(f.top + f.height for f in page.frames) - page.frames[0].top


def _page(page: Page, scene: Scene, theme: Theme) -> Figure:
    top = page.frames[0].top + 0.1
    made: Figure = {
        "paper_bgcolor": theme.page,
        "plot_bgcolor": theme.page,
        "font": {"color": theme.ink, "size": 12, "family": "system-ui, -apple-system, 'Segoe UI', sans-serif"},
        "height": round(INCH * (page.height + 0.25)),
        "annotations": [],
        "shapes": [],
        "images": [],
        "hoverlabel": {"bgcolor": theme.page, "bordercolor": theme.quiet, "font": {"color": theme.ink}},
        "modebar": {"color": theme.quiet, "activecolor": theme.ink, "bgcolor": "rgba(0,0,0,0)"},
    }
    under = page.height + 0.15 - page.frames[0].top - _inner(page)
    sides = {"l": LEFT, "r": page.right, "t": top, "b": under}
    made["margin"] = {side: round(INCH * inches) for side, inches in sides.items()}
    if scene.title:
        title = {"text": escape(scene.title), "x": 0, "xref": "paper", "y": 1, "yref": "container"}
        made["title"] = title | {"yanchor": "top", "pad": {"t": 14}, "font": {"size": 16}}
    return made


# -- axes and words --------------------------------------------------------------------------------


def _axis(axis: Axis, theme: Theme) -> Figure:
    made: Figure = {
        "title": {"text": escape(axis.label), "standoff": 8, "font": {"size": 12}},
        "gridcolor": theme.grid,
        "linecolor": theme.grid,
        "zerolinecolor": theme.grid,
        "tickfont": {"color": theme.quiet, "size": 11},
        "automargin": True,
    }
    if axis.dates:
        made["type"] = "date"
    elif axis.names is not None:
        made["type"] = "category"
    elif axis.log:
        made |= {"type": "log", "exponentformat": "power"}
    if axis.names is None and axis.ticks is not None:
        made |= {"tickmode": "array", "tickvals": [place for place, _ in axis.ticks]}
        made["ticktext"] = [escape(word) for _, word in axis.ticks]
    if axis.low is not None and axis.high is not None and not axis.dates:
        ends = [axis.low, axis.high]
        made["range"] = np.log10(ends).tolist() if axis.log else ends
    return made


def _x_axis(panel: Panel, scene: Scene, place: Place, number: str, theme: Theme) -> Figure:
    made = _axis(panel.x, theme) | {"domain": place.x, "anchor": f"y{number}"}
    if panel.heat is not None:
        made["showgrid"] = False
    first = next(k for k, p in enumerate(scene.panels) if p.column == panel.column)
    if scene.shared and scene.panels[first] is not panel:
        made["matches"] = f"x{first + 1}" if first else "x"
    if not scene.with_axis_under(panel):
        made |= {"showticklabels": False, "title": None}
    if panel.x.names is not None:
        names = _names(panel.x)
        made |= {
            "tickangle": -90 if panel.x.upright else 0,
            "categoryorder": "array",
            "categoryarray": names,
            "range": [-0.5, len(names) - 0.5],
        }
    return made


def _y_axis(panel: Panel, place: Place, number: str, theme: Theme) -> Figure:
    made = _axis(panel.y, theme) | {"domain": place.y, "anchor": f"x{number}"}
    if panel.y.log:
        made["dtick"] = _decades(panel, place)
    heat = panel.heat
    if heat is not None:
        made["showgrid"] = False
        if heat.row_edges is None:
            made |= {"type": "category", "autorange": "reversed"}
    if panel.images:
        made |= {"range": [0, 1], "showticklabels": False, "showgrid": False, "zeroline": False, "fixedrange": True}
    return made


def _decades(panel: Panel, place: Place) -> float | str:
    """How many powers of ten lie between two ticks, so that their words do not touch."""
    heat = panel.heat
    whole = [heat.row_edges] if heat and heat.row_edges is not None else [np.asarray(y) for y in _heights(panel)]
    found = np.concatenate([v[np.isfinite(v) & (v > 0)] for v in whole])
    decades = np.log10(found.max() / found.min()) if len(found) else 1.0
    return max(1, int(np.ceil(decades * TICK / place.height))) if decades > 1 else "D1"


def _heights(panel: Panel) -> list[np.ndarray]:
    lines = [item.y for item in panel.items if isinstance(item, Line)]
    return lines + [y for item in panel.items if isinstance(item, Band) for y in (item.low, item.high)]


def _names(axis: Axis) -> list[str]:
    """What the places are called: their number makes two of the same word different."""
    assert axis.names is not None
    return [f"{k} {escape(word)}" for k, word in enumerate(axis.names)]


def _at(places: np.ndarray, axis: Axis) -> Any:
    return [_names(axis)[int(k)] for k in places] if axis.names is not None else places


def _words(text: str, colour: str, size: int) -> Figure:
    return {"text": escape(text), "showarrow": False, "font": {"color": colour, "size": size}}


def _title(figure: Figure, panel: Panel, place: Place, theme: Theme) -> None:
    where = {"xref": "paper", "yref": "paper", "x": place.x[0], "y": place.y[1], "yshift": 3}
    made = _words(panel.title, theme.ink, 13) | where | {"xanchor": "left", "yanchor": "bottom"}
    figure["layout"]["annotations"].append(made)


def _legend(place: Place, theme: Theme) -> Figure:
    font = {"size": 11, "color": theme.ink}
    return {"x": place.x[1], "y": place.y[1], "xanchor": "left", "yanchor": "top", "font": font, "bgcolor": theme.page}


# -- items -----------------------------------------------------------------------------------------


class On(NamedTuple):
    """Where an item is drawn. number: of the panel's axes, "" for the first."""

    figure: Figure
    panel: Panel
    place: Place
    number: str
    theme: Theme

    def add(self, **trace: Any) -> None:
        self.figure["data"].append({"xaxis": f"x{self.number}", "yaxis": f"y{self.number}", **trace})


@singledispatch
def _draw(item: object, on: On) -> None:  # noqa: ARG001
    raise TypeError(f"nothing draws a {type(item).__name__}")


def colours(scale: Scale, theme: Theme) -> list[list[Any]]:
    ramp = theme.ramp(scale.kind)
    return [[k / (len(ramp) - 1), colour] for k, colour in enumerate(ramp)]


@_draw.register
def _(heat: HeatMap, on: On) -> None:
    middles = heat.edges[:-1] + (heat.edges[1:] - heat.edges[:-1]) / 2
    what = escape(on.panel.title.split(",")[0])
    x, unit = on.panel.x.label or "x", f"{heat.of} " if heat.row_edges is None else ""
    bar = {
        "x": on.place.x[1],
        "xanchor": "left",
        "xpad": 8,
        "y": sum(on.place.y) / 2,
        "len": on.place.height,
        "ypad": 0,
    }
    bar |= {"lenmode": "pixels", "thickness": 11, "outlinewidth": 0, "tickfont": {"size": 11, "color": on.theme.quiet}}
    bar |= {"nticks": max(2, int(on.place.height / 30)), "title": {"text": escape(heat.scale.label), "side": "right"}}
    on.add(
        type="heatmap",
        z=heat.values.astype(np.float32),
        x=_at(np.arange(len(middles)), on.panel.x) if on.panel.x.names is not None else heat.edges,
        y=list(heat.rows) if heat.row_edges is None else heat.row_edges,
        zmin=heat.scale.low,
        zmax=heat.scale.high,
        colorscale=colours(heat.scale, on.theme),
        colorbar=bar,
        hoverongaps=False,
        hovertemplate=f"{escape(x)} %{{x}}<br>{unit}%{{y}}<br>{what} = %{{z:.3f}}<extra></extra>",
    )


def _middles(edges: np.ndarray, log: bool) -> np.ndarray:
    return np.sqrt(edges[1:] * edges[:-1]) if log else (edges[1:] + edges[:-1]) / 2


@_draw.register
def _(line: Line, on: On) -> None:
    colour = on.theme.quiet if line.colour == "quiet" else on.theme.line(int(line.colour))
    on.add(
        type="scatter",
        mode="lines",
        x=_at(line.x, on.panel.x),
        y=line.y,
        name=escape(line.name),
        legend=f"legend{on.number}",
        showlegend=bool(line.name and curves(on.panel)),
        line={"color": colour, "width": 1.6, "dash": DASHES[line.dash]},
        hovertemplate=f"{escape(on.panel.x.label)} %{{x}}<br>{escape(line.name)} %{{y:.4g}}<extra></extra>",
    )


@_draw.register
def _(band: Band, on: On) -> None:
    known = np.isfinite(band.low) & np.isfinite(band.high)
    x = np.concatenate([band.x[known], band.x[known][::-1]])
    y = np.concatenate([band.high[known], band.low[known][::-1]])
    colour = ",".join(f"{255 * part:.0f}" for part in rgb(on.theme.line(band.colour)))
    on.add(
        type="scatter",
        mode="lines",
        x=_at(x, on.panel.x),
        y=y,
        name=escape(band.name),
        legend=f"legend{on.number}",
        showlegend=bool(band.name and curves(on.panel)),
        fill="toself",
        fillcolor=f"rgba({colour},{band.strength:g})",
        line={"width": 0},
        hoverinfo="skip",
    )


@_draw.register
def _(bars: Bars, on: On) -> None:
    ends = [f"{low:.3g} to {high:.3g}" for low, high in zip(bars.edges, bars.edges[1:], strict=False)]
    x = np.repeat(bars.edges, 2)
    y = np.concatenate([[0], np.repeat(bars.counts, 2), [0]])
    style = {"color": on.theme.line(bars.colour), "width": 1}
    filled = {"fill": "tozeroy", "line": style, "hoverinfo": "skip"}
    name, legend = escape(bars.name), f"legend{on.number}"
    on.add(type="scatter", mode="lines", x=x, y=y, name=name, showlegend=False, legend=legend, **filled)
    middles = _middles(bars.edges, on.panel.x.log)
    seen = f"%{{text}}<br>%{{y}} {escape(on.panel.y.label)}<extra>{name}</extra>"
    shown = {"mode": "markers", "marker": {"opacity": 0, "size": 12}, "text": ends, "hovertemplate": seen}
    on.add(type="scatter", x=middles, y=bars.counts, showlegend=False, legend=legend, **shown)


@_draw.register
def _(mark: Mark, on: On) -> None:
    x = float(np.log10(mark.x)) if on.panel.x.log else mark.x
    across = {"xref": f"x{on.number}", "yref": f"y{on.number} domain"}
    line = {"color": on.theme.ink, "width": 1, "dash": "dash"}
    on.figure["layout"]["shapes"].append(
        {"type": "line", "x0": mark.x, "x1": mark.x, "y0": 0, "y1": 1, "line": line} | across
    )
    where = {"x": x, "y": 1, "xanchor": "left", "yanchor": "top", "xshift": 2} | across
    on.figure["layout"]["annotations"].append(_words(mark.label, on.theme.ink, 11) | where)


@_draw.register
def _(image: Image, on: On) -> None:
    where = {
        "xref": f"x{on.number}",
        "yref": f"y{on.number}",
        "x": image.left,
        "y": 1,
        "sizex": image.right - image.left,
    }
    on.figure["layout"]["images"].append({"source": data_uri(image.pixels), "sizey": 1, "sizing": "stretch"} | where)
    middle = np.array([(image.left + image.right) / 2])
    point = {"mode": "markers", "marker": {"opacity": 0, "size": 20}, "showlegend": False}
    seen = f"{escape(image.label)}<extra></extra>"
    on.add(type="scatter", x=middle, y=[0.5], hovertemplate=seen, **point)
