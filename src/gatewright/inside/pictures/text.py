"""Text whose tokens are coloured by what a unit does at them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from ...nn import arguments
from .picture import Picture, library_of, needed
from .scene import Scale
from .shown import array, kind_of, scale_of
from .style import Theme, along, hexadecimal, luminance
from .timeline import visible

POINTS, ACROSS, NARROWEST, LINE, HEAD, EDGE = 9, 110, 60, 0.2, 0.42, 0.16
"""matplotlib: size of letters, letters to a line, at most and at least; inches of a line, a heading and the edge."""
LETTER = POINTS * 0.602 / 72


def ramp_of(kind: str, theme: Theme) -> tuple[str, ...]:
    """Nothing is the page's own colour: what is read is what stands out."""
    return theme.signed if kind == "signed" else theme.signed[len(theme.signed) // 2 :]


@dataclass(frozen=True)
class Row:
    """The whole text for one unit. values: (T,)."""

    name: str
    values: np.ndarray
    scale: Scale

    def colours(self, theme: Theme) -> tuple[list[str], list[str]]:
        """The background of each token, and the ink that can be read on it."""
        behind = along(ramp_of(self.scale.kind, theme), np.nan_to_num(self.scale.places(self.values), nan=0.5))
        light = luminance(behind) > 0.179  # where black and white are as far from it
        inks = ["#000000" if on else "#ffffff" for on in light]
        missing = np.isnan(self.values)
        backs = [theme.page if m else colour for m, colour in zip(missing, hexadecimal(behind), strict=True)]
        return backs, [theme.quiet if m else ink for m, ink in zip(missing, inks, strict=True)]


def coloured_text(
    tokens: Sequence[Any] | str,
    values: Any,
    *,
    scale: tuple[float, float] | None = None,
    theme: str = "light",
    library: str = "html",
    title: str = "",
) -> TextPicture:
    """Text with each token in the colour of a value: what does this unit look at?

    The picture of Karpathy, Johnson and Fei-Fei (2015), "Visualizing and understanding recurrent networks", figure 2.
    Spaces, tabs and ends of lines are shown as · → ↵. As HTML it needs no script; a token's number and value appear
    when it is pointed at.

    Args:
        tokens: T words, pieces or characters; a string is its characters.
        values: (T,) numbers, (T, k) for k units, or (T,) numbers by name: the text is repeated for each.
        scale: the values of the lowest and the highest colour; default 0 to 1, or as far below 0 as above it.
        theme: "light" or "dark".
        library: "html", or "matplotlib" for an image in a notebook; `save` goes by the file's suffix.
        title: over the picture.

    Raises:
        ValueError, TypeError: no tokens, or not one number for each.

    >>> import gatewright as gw, torch
    >>> picture = gw.inside.coloured_text("if (x):", {"unit 7": torch.tensor([0, 0, 0, 0.9, 0.8, 0.1, 0])})
    >>> "unit 7" in picture.html(), "http" in picture.html()
    (True, False)
    """
    words = list(tokens)
    if not words:
        raise arguments.wrong("tokens", "one token at least", "none")
    return TextPicture(words, _rows(values, len(words), scale), theme, library, title)


def _rows(values: Any, count: int, ends: tuple[float, float] | None) -> list[Row]:
    if isinstance(values, Mapping):
        named = {str(name): array(v, str(name)) for name, v in values.items()}
    else:
        given = array(values, "values")
        columns = given.T if given.ndim == 2 else [given]
        named = {f"unit {k}" if given.ndim == 2 else "": column for k, column in enumerate(columns)}
    for name, v in named.items():
        if v.shape != (count,):
            raise arguments.wrong(name or "values", f"one for each of the {count} tokens", f"shape {v.shape}")
    if not named:
        raise arguments.wrong("values", "one unit at least", "none")
    kinds = {name: kind_of("", v) for name, v in named.items()}
    scales = {kind: scale_of([named[n] for n in named if kinds[n] == kind], kind, "") for kind in kinds.values()}
    if ends is not None:
        if len(ends) != 2 or not ends[0] < ends[1]:
            raise arguments.wrong("scale", "the values of the lowest and the highest colour", repr(ends))
        given = Scale("signed" if ends[0] < 0 else "size", float(ends[0]), float(ends[1]), "")
        scales = dict.fromkeys(scales, given)
    return [Row(name, v.astype(np.float64), scales[kinds[name]]) for name, v in named.items()]


class TextPicture(Picture):
    """Tokens in colours. `html()` is a page, `fragment()` a piece of one."""

    def __init__(self, tokens: list[Any], rows: list[Row], theme: str, library: str, title: str):
        super().__init__(theme, library_of(library, ("html", "matplotlib")), title)
        self.rows = rows
        self.tokens = [visible(t) for t in tokens]
        raw = [t.decode("utf-8", "replace") if isinstance(t, bytes) else str(t) for t in tokens]
        self.ends_line = [t.endswith(("\n", "\r")) for t in raw]
        spaced = any(any(c.isspace() for c in t) for t in raw)
        self.apart = not spaced and max(map(len, raw)) > 1  # a list of words has no spaces of its own
        self.breaks = [self.apart or t[-1:].isspace() for t in raw]

    @property
    def figure(self) -> Any:
        """matplotlib's figure."""
        return self.still

    def fragment(self, *, plotlyjs: bool = False) -> str:  # noqa: ARG002 - it needs no script
        title = f'<h1 style="font:600 17px {SANS};margin:0 0 10px">{escape(self.title)}</h1>' if self.title else ""
        return f'<div style="color:{self.theme.ink}">{title}{"".join(map(self._block, self.rows))}</div>'

    def _block(self, row: Row) -> str:
        low, high = (f"{v:.3g}".replace("-", "−") for v in (row.scale.low, row.scale.high))
        ramp = ",".join(ramp_of(row.scale.kind, self.theme))
        bar = f"display:inline-block;width:110px;height:10px;margin:0 6px;background:linear-gradient(to right,{ramp})"
        legend = (
            f'<span style="color:{self.theme.quiet};white-space:nowrap">{low}<span style="{bar}"></span>{high}</span>'
        )
        head = f'<div style="font:13px {SANS};margin:14px 0 4px"><b style="margin-right:18px">{escape(row.name)}</b>'
        backs, inks = row.colours(self.theme)
        tokens = [self._token(k, row, backs[k], inks[k]) for k in range(len(self.tokens))]
        return f'{head}{legend}</div><div style="{BODY}">{"".join(tokens)}</div>'

    def _token(self, k: int, row: Row, back: str, ink: str) -> str:
        seen = f"{k}: {row.values[k]:.3f}"
        gap = ";margin-right:3px" if self.apart else ""
        word = f'<span style="background:{back};color:{ink}{gap}" title="{seen}">{escape(self.tokens[k])}</span>'
        return word + ("<br>" if self.ends_line[k] else "<wbr>" if self.breaks[k] else "")

    # -- matplotlib ------------------------------------------------------------------------------------

    def _still(self) -> Any:
        places = self._places()
        lines = 1 + max(line for line, _ in places)
        top = 0.45 if self.title else 0.1
        block = HEAD + lines * LINE + 0.1
        across = max(column + len(token) for (_, column), token in zip(places, self.tokens, strict=True))
        width, height = 2 * EDGE + max(across, NARROWEST) * LETTER, top + block * len(self.rows) + 0.05
        figure = needed("matplotlib.figure").Figure((width, height), facecolor=self.theme.page)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, width), ylim=(height, 0))
        axes.set_axis_off()
        if self.title:
            axes.text(EDGE, 0.12, self.title, fontsize=11.5, fontweight="bold", va="top", color=self.theme.ink)
        for k, row in enumerate(self.rows):
            self._draw(axes, row, places, top + k * block)
        return figure

    def _draw(self, axes: Any, row: Row, places: list[tuple[int, int]], top: float) -> None:
        axes.text(EDGE, top + 0.17, row.name, fontsize=9, va="center", color=self.theme.ink, parse_math=False)
        at = EDGE + (len(row.name) + 4) * 0.078 + 0.35
        words = {"fontsize": 8, "va": "center", "color": self.theme.quiet}
        axes.text(at - 0.06, top + 0.17, f"{row.scale.low:.3g}".replace("-", "−"), ha="right", **words)
        axes.text(at + 1.26, top + 0.17, f"{row.scale.high:.3g}".replace("-", "−"), **words)
        ramp = along(ramp_of(row.scale.kind, self.theme), np.linspace(0, 1, 128))[None]
        limits = axes.get_xlim(), axes.get_ylim()
        axes.imshow(ramp, extent=(at, at + 1.2, top + 0.22, top + 0.12), aspect="auto")
        axes.set(xlim=limits[0], ylim=limits[1])
        backs, inks = row.colours(self.theme)
        boxes, y = [], top + HEAD
        for k, (line, column) in enumerate(places):
            left, right = EDGE + column * LETTER, EDGE + (column + len(self.tokens[k])) * LETTER
            upper, lower = y + line * LINE, y + (line + 0.92) * LINE
            boxes.append([(left, upper), (right, upper), (right, lower), (left, lower)])
            style = {"fontsize": POINTS, "family": "monospace", "va": "center_baseline", "parse_math": False}
            axes.text(left, (upper + lower) / 2, self.tokens[k], color=inks[k], **style)
        cells = needed("matplotlib.collections").PolyCollection(
            boxes, facecolors=backs, linewidths=0, antialiaseds=False
        )
        axes.add_collection(cells, autolim=False)

    def _places(self) -> list[tuple[int, int]]:
        """(line, column) of each token: lines are broken behind spaces where they can be."""
        places: list[tuple[int, int]] = []
        line = column = 0
        for group in self._groups():
            long = sum(len(self.tokens[k]) for k in group)
            if column and column + long > ACROSS:
                line, column = line + 1, 0
            for k in group:
                if column and column + len(self.tokens[k]) > ACROSS:
                    line, column = line + 1, 0
                places.append((line, column))
                column += len(self.tokens[k]) + self.apart
            if self.ends_line[group[-1]]:
                line, column = line + 1, 0
        return places

    def _groups(self) -> list[list[int]]:
        groups: list[list[int]] = [[]]
        for k, ends in enumerate(self.breaks):
            groups[-1].append(k)
            if ends:
                groups.append([])
        return [g for g in groups if g]

    def page_height(self) -> int:
        return int(96 * self.still.get_figheight()) + 40

    def _repr_html_(self) -> str | None:
        return self.fragment() if self.library == "html" else None

    def __repr__(self) -> str:
        names = ", ".join(row.name or "a unit" for row in self.rows)
        return f"<picture of {len(self.tokens)} tokens in the colours of {names}>"


SANS = "system-ui,-apple-system,'Segoe UI',sans-serif"
BODY = (
    "font:14px/1.6 ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;white-space:pre-wrap;overflow-wrap:anywhere"
)
