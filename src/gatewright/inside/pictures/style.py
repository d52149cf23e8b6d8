"""Colours and sizes of the pictures: one light theme, one dark, both readable with any kind of colour vision.

Lines: M. Okabe and K. Ito, Color Universal Design, 2008. Magnitudes: cividis, J. Nuñez, C. Anderton and R. Renslow,
Optimizing colormaps with consideration for color vision deficiency, 2018. Signed values: RdBu of C. Brewer,
ColorBrewer 2, whose middle is the page's white; on a dark page a map of our own whose middle is the page's black.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...nn import arguments

CIVIDIS = (
    "#00224e #002e6a #1a386f #32436d #434e6c #535a6d #61656f #6f7073 #7d7c78 #8c8878 #9b9476 #aba072 #bcae6c #cdbb63 "
    "#dec958 #f0d846 #fee838"
).split()
BLUE_WHITE_RED = "#053061 #2166ac #4393c3 #92c5de #d1e5f0 #f7f7f7 #fddbc7 #f4a582 #d6604d #b2182b #67001f".split()
BLUE_BLACK_ORANGE = "#b5e3ff #6bbdf0 #3a8fc9 #256391 #1b3a54 #1b1e23 #4f2f14 #8a4d17 #c4711f #f0a04b #ffd9a8".split()


@dataclass(frozen=True)
class Theme:
    """Colours as `#rrggbb`. lines: of curves, in order; sizes: of magnitudes; signed: from negative to positive."""

    name: str
    page: str
    ink: str
    quiet: str
    grid: str
    lines: tuple[str, ...]
    sizes: tuple[str, ...]
    signed: tuple[str, ...]

    def ramp(self, kind: str) -> tuple[str, ...]:
        """The colours of a kind of value, from its lowest to its highest."""
        return self.signed if kind == "signed" else self.sizes

    def line(self, k: int) -> str:
        return self.lines[k % len(self.lines)]


THEMES = {
    "light": Theme(
        name="light",
        page="#ffffff",
        ink="#1c1f24",
        quiet="#5b6470",
        grid="#e3e6ea",
        lines=("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#1c1f24"),
        sizes=tuple(CIVIDIS),
        signed=tuple(BLUE_WHITE_RED),
    ),
    "dark": Theme(
        name="dark",
        page="#15181c",
        ink="#e8eaed",
        quiet="#a3abb6",
        grid="#30363e",
        lines=("#56b4e9", "#e69f00", "#2bc49a", "#e39cc4", "#f0e442", "#ef7f2e", "#e8eaed"),
        sizes=tuple(CIVIDIS),
        signed=tuple(BLUE_BLACK_ORANGE),
    ),
}


def theme_of(name: str) -> Theme:
    if name not in THEMES:
        raise arguments.wrong("theme", "'light' or 'dark'", repr(name))
    return THEMES[name]


def rgb(colour: str) -> np.ndarray:
    """(3,), from 0 to 1.

    >>> rgb("#ff0033").tolist()
    [1.0, 0.0, 0.2]
    """
    return np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255


def along(colours: tuple[str, ...], places: np.ndarray) -> np.ndarray:
    """(…, 3): the colours at places from 0 to 1 along a ramp."""
    anchors = np.stack([rgb(c) for c in colours])
    at = np.linspace(0, 1, len(anchors))
    return np.stack([np.interp(places, at, anchors[:, k]) for k in range(3)], axis=-1)


def hexadecimal(colours: np.ndarray) -> list[str]:
    """(N, 3) from 0 to 1, as `#rrggbb`."""
    return ["#{:02x}{:02x}{:02x}".format(*row) for row in np.rint(colours * 255).astype(int)]


def luminance(colours: np.ndarray) -> np.ndarray:
    """(…,): relative luminance of (…, 3), as WCAG 2 defines it."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    return linear @ np.array([0.2126, 0.7152, 0.0722])
