"""A scene (`gw.inside`'s description of a picture) as SVG inside a page: no library, and the page's own colours.

Lines and words take their colours from the page's style sheet, so that one drawing serves a light and a dark page;
heat maps whose colours depend on the theme are there twice. Widths and heights are CSS pixels, 96 to an inch.
"""

from __future__ import annotations

from html import escape
from typing import Any, NamedTuple

import numpy as np

from gatewright.inside.pictures.page import Frame, Page, curves
from gatewright.inside.pictures.png import data_uri, indexed_uri
from gatewright.inside.pictures.scene import Axis, Band, Bars, HeatMap, Image, Line, Mark, Panel, Scale, Scene
from gatewright.inside.pictures.style import THEMES, along
from gatewright.tasks.report.axis import Place, words

__all__ = ["scene_svg"]

INCH = 96
LEVELS = 96  # colours of a heat map
DASHES = {"solid": "", "dash": ' stroke-dasharray="7 3"', "dot": ' stroke-dasharray="2 3"'}
DOTS, HOVER = (
    40,
    120,
)  # curves of no more points have dots; of no more points say their numbers when they are pointed at


class On(NamedTuple):
    """Where a panel's items are drawn, in pixels: width, height, and the places along both axes."""

    width: float
    height: float
    x: Place
    y: Place
    panel: Panel


def scene_svg(scene: Scene, alt: str) -> str:
    """The scene as one `<svg>` element; `alt`: what it shows, for those who cannot see it."""
    page = Page(scene)
    width, height = page.width * INCH, page.height * INCH
    parts = [
        f'<svg class="pic" role="img" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'style="aspect-ratio:{width:.0f}/{height:.0f};min-width:{min(width, 640):.0f}px;max-width:{width:.0f}px">'
        f"<title>{escape(alt)}</title>"
    ]
    if scene.title:
        parts.append(_text(10, 20, scene.title, "h"))
    for panel, frame in zip(scene.panels, page.frames, strict=True):
        parts.append(_panel(scene, panel, Frame(*(v * INCH for v in frame))))
    if scene.note:
        parts.append(_text(10, height - 6, scene.note, "k"))
    return "".join([*parts, "</svg>"])


def _panel(scene: Scene, panel: Panel, frame: Frame) -> str:
    beside = [p for p in scene.panels if p.column == panel.column] if scene.shared else [panel]
    x = Place.of(panel.x, _along_x(beside), frame.width)
    y = Place.of(panel.y, _along_y(panel), frame.height, padded=panel.heat is None, up=True)
    on = On(frame.width, frame.height, x, y, panel)
    plain = panel.heat is None and not panel.images
    inner = "".join(_drawn(item, on) for item in panel.items)
    parts = [f'<g transform="translate({frame.left:.1f} {frame.top:.1f})">', _text(0, -7, panel.title, "h")]
    parts += [_y_axis(on, grid=plain), _x_axis(on, grid=plain, written=scene.with_axis_under(panel))]
    parts.append(f'<svg width="{frame.width:.1f}" height="{frame.height:.1f}">{inner}</svg>')
    parts += [_legend(on), *([_colour_bar(panel.heat, on)] if panel.heat else []), "</g>"]
    return "".join(parts)


# -- what there is along the axes ------------------------------------------------------------------------------


def _along_x(panels: list[Panel]) -> np.ndarray:
    found: list[np.ndarray] = []
    for item in (i for p in panels for i in p.items):
        if isinstance(item, Line | Band):
            found.append(np.asarray(item.x))
        elif isinstance(item, HeatMap | Bars):
            found.append(np.asarray(item.edges))
        elif isinstance(item, Mark):
            found.append(np.array([item.x]))
        else:
            found.append(np.array([item.left, item.right]))
    return np.concatenate(found)


def _along_y(panel: Panel) -> np.ndarray:
    found = [np.empty(0)]
    for item in panel.items:
        if isinstance(item, Line):
            found.append(np.asarray(item.y, np.float64))
        elif isinstance(item, Band):
            found += [np.asarray(item.low, np.float64), np.asarray(item.high, np.float64)]
        elif isinstance(item, Bars):
            found.append(np.append(item.counts, 0.0))
        elif isinstance(item, HeatMap):
            found.append(np.array([len(item.values), 0.0]) if item.row_edges is None else item.row_edges)
    return np.concatenate(found)


# -- axes ------------------------------------------------------------------------------------------------------


def _y_axis(on: On, *, grid: bool) -> str:
    heat = on.panel.heat
    if on.panel.images:
        return ""
    if heat is not None and heat.row_edges is None:
        tall = on.height / max(len(heat.rows), 1)
        stride = next(s * 10**p for p in range(9) for s in (1, 2, 5) if tall * s * 10**p >= 14)
        ticks = [(tall * (k + 0.5), word) for k, word in enumerate(heat.rows) if k % stride == 0]
    else:
        ticks = on.y.ticks(max(2, int(on.height / 26)))
    parts = [f'<path class="g" d="M0 {at:.1f}H{on.width:.1f}"/>' for at, _ in ticks] if grid else []
    parts += [_text(-6, at + 4, word, "k e") for at, word in ticks]
    if on.panel.y.label:
        turned = f'transform="translate(-54 {on.height / 2:.1f}) rotate(-90)"'
        parts.append(f'<text class="l m" {turned}>{escape(on.panel.y.label)}</text>')
    return "".join(parts)


def _x_axis(on: On, *, grid: bool, written: bool) -> str:
    upright = on.panel.x.upright
    ticks = on.x.ticks(max(2, int(on.width / 75)))
    parts = [f'<path class="g" d="M{at:.1f} 0V{on.height:.1f}"/>' for at, _ in ticks] if grid else []
    parts.append(f'<path class="a" d="M0 {on.height:.1f}H{on.width:.1f}"/>')
    if not written:
        return "".join(parts)
    for at, word in ticks:
        if upright:
            turned = f'transform="translate({at + 4:.1f} {on.height + 8:.1f}) rotate(-90)"'
            parts.append(f'<text class="k e" {turned}>{escape(word)}</text>')
        else:
            parts.append(_text(at, on.height + 15, word, "k m"))
    longest = max((len(word) for _, word in ticks), default=1) * 6.5 if upright else 0
    parts.append(_text(on.width / 2, on.height + 31 + longest, on.panel.x.label, "l m"))
    return "".join(parts)


def _legend(on: On) -> str:
    if not curves(on.panel):
        return ""
    parts, at = [], 6.0
    for item in on.panel.items:
        if isinstance(item, Line | Band | Bars) and item.name:
            parts.append(_key(item, on.width + 10, at))
            parts.append(_text(on.width + 40, at + 4, item.name, "w"))
            at += 17
    return "".join(parts)


def _key(item: Line | Band | Bars, x: float, y: float) -> str:
    if isinstance(item, Band):
        box = f'x="{x:.1f}" y="{y - 6:.1f}" width="24" height="12"'
        return f'<rect class="f {_colour(item.colour)}" opacity="{item.strength:g}" {box}/>'
    dash = DASHES[item.dash] if isinstance(item, Line) else ""
    return f'<path class="s {_colour(item.colour)}"{dash} d="M{x:.1f} {y:.1f}h24"/>'


def _colour_bar(heat: HeatMap, on: On) -> str:
    left, scale = on.width + 10, heat.scale
    ramp = np.arange(LEVELS)[::-1, None]
    parts = [_images(ramp, scale, left, 0, 12, on.height)]
    place = Place.of(Axis(low=scale.low, high=scale.high), np.empty(0), on.height, up=True)
    parts += [_text(left + 17, at + 4, word, "k") for at, word in place.ticks(max(2, int(on.height / 34)))]
    turned = f'transform="translate({left + 62:.1f} {on.height / 2:.1f}) rotate(-90)"'
    return "".join([*parts, f'<text class="l m" {turned}>{escape(scale.label)}</text>'])


def _text(x: float, y: float, words_: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(words_)}</text>' if words_ else ""


# -- items -----------------------------------------------------------------------------------------------------


def _drawn(item: Any, on: On) -> str:
    if isinstance(item, HeatMap):
        return _heat(item, on)
    if isinstance(item, Line):
        return _line(item, on)
    if isinstance(item, Band):
        return _band(item, on)
    if isinstance(item, Bars):
        return _bars(item, on)
    return _mark(item, on) if isinstance(item, Mark) else _image(item, on)


def _heat(heat: HeatMap, on: On) -> str:
    values = heat.values
    edges = on.x.at(heat.edges)
    if not np.allclose(np.diff(edges), edges[1] - edges[0], rtol=1e-3):  # updates that are not evenly apart
        columns = np.linspace(edges[0], edges[-1], 2 * min(len(edges), 300) + 1)
        middles = (columns[1:] + columns[:-1]) / 2
        values = values[:, np.clip(np.searchsorted(edges, middles) - 1, 0, values.shape[1] - 1)]
    top, height = 0.0, on.height
    if heat.row_edges is not None:
        ends = on.y.at(heat.row_edges[[0, -1]])
        values, top, height = values[::-1], float(ends.min()), float(abs(ends[1] - ends[0]))
    places = np.nan_to_num(heat.scale.places(values), nan=-1.0)
    index = np.where(places < 0, -1, np.rint(places * (LEVELS - 1))).astype(int)
    return _images(index, heat.scale, edges[0], top, edges[-1] - edges[0], height)


def _images(index: np.ndarray, scale: Scale, x: float, y: float, width: float, height: float) -> str:
    """Colours of a ramp; where the themes have different ones, an image for each."""
    place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" preserveAspectRatio="none"'
    along_it = np.linspace(0, 1, LEVELS)
    made = {name: indexed_uri(index, along(theme.ramp(scale.kind), along_it)) for name, theme in THEMES.items()}
    if made["light"] == made["dark"]:
        return f'<image {place} href="{made["light"]}"/>'
    return "".join(f'<image class="only-{name}" {place} href="{uri}"/>' for name, uri in made.items())


def _line(line: Line, on: On) -> str:
    x, y = on.x.at(line.x), on.y.at(np.asarray(line.y, np.float64))
    there = np.isfinite(x) & np.isfinite(y)
    steps, pen = [], False
    for a, b, ok in zip(x, y, there, strict=True):
        if ok:
            steps.append(f"{'L' if pen else 'M'}{a:.1f} {b:.1f}")
        pen = bool(ok)
    colour = _colour(line.colour)
    parts = [f'<path class="s {colour}"{DASHES[line.dash]} d="{"".join(steps)}"/>']
    if there.sum() <= DOTS and line.colour != "quiet":
        parts += [
            f'<circle class="f {colour}" cx="{a:.1f}" cy="{b:.1f}" r="2.6"/>'
            for a, b in zip(x[there], y[there], strict=True)
        ]
    if line.name and there.sum() <= HOVER and np.asarray(line.x).dtype.kind != "M":
        for k in np.flatnonzero(there):
            said = f"{line.name}: {words(float(line.y[k]))} at {on.panel.x.label} {words(float(line.x[k]))}"
            parts.append(
                f'<circle class="hover" cx="{x[k]:.1f}" cy="{y[k]:.1f}" r="7"><title>{escape(said)}</title></circle>'
            )
    return "".join(parts)


def _band(band: Band, on: On) -> str:
    known = np.isfinite(band.low) & np.isfinite(band.high)
    x, low, high = (place.at(v[known]) for place, v in ((on.x, band.x), (on.y, band.low), (on.y, band.high)))
    around = [*zip(x, high, strict=True), *zip(x[::-1], low[::-1], strict=True)]
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in around)
    return f'<polygon class="f {_colour(band.colour)}" opacity="{band.strength:g}" points="{points}"/>'


def _bars(bars: Bars, on: On) -> str:
    x, y, zero = on.x.at(bars.edges), on.y.at(np.asarray(bars.counts, np.float64)), float(on.y.at(np.zeros(1))[0])
    parts = []
    for k, count in enumerate(bars.counts):
        if count:
            said = f"{count:g} from {words(float(bars.edges[k]))} to {words(float(bars.edges[k + 1]))}"
            box = f'x="{x[k] + 0.5:.1f}" y="{y[k]:.1f}" width="{x[k + 1] - x[k] - 1:.1f}" height="{zero - y[k]:.1f}"'
            parts.append(f'<rect class="f {_colour(bars.colour)}" {box}><title>{escape(said)}</title></rect>')
    return "".join(parts)


def _mark(mark: Mark, on: On) -> str:
    x = float(on.x.at(np.array([mark.x]))[0])
    words_ = _text(x + 4, 12, mark.label, "w") if x < on.width - 60 else _text(x - 4, 12, mark.label, "w e")
    return f'<path class="mark" d="M{x:.1f} 0V{on.height:.1f}"/>{words_}'


def _image(image: Image, on: On) -> str:
    left, right = on.x.at(np.array([image.left, image.right]))
    size = f'width="{right - left:.1f}" height="{on.height:.1f}" preserveAspectRatio="none"'
    title = f"<title>{escape(image.label)}</title>"
    return f'<image x="{left:.1f}" y="0" {size} href="{data_uri(image.pixels)}">{title}</image>'


def _colour(colour: int | str) -> str:
    return "cq" if colour == "quiet" else f"c{int(colour) % len(THEMES['light'].lines)}"
