"""A cell's diagram: the object that `cell.diagram()` gives."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..errors import CellError, suggestion
from ..graph import Graph
from ..notation.printer import Printer
from .build import drawn
from .draw import Picture, Shown
from .geometry import Layout
from .style import THEMES
from .values import Summary, summaries, tints

GATES = frozenset({"sigmoid"})


@dataclass(frozen=True)
class Diagram:
    """A picture of one step of a cell.

    Attributes:
        svg: the picture, as one SVG element. Every box, circle and line of a named value is a group with the
            name in `data-name`, and its number is the text of class `value` within.
        names: the values that are shown.
        name: the cell's.
        crossings: how many lines cross.
    """

    svg: str
    names: tuple[str, ...]
    name: str
    crossings: int

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return f"<diagram of {self.name}: {', '.join(self.names)}>"

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture to a file, whole or not at all; returns its path.

        Args:
            path: ends in `.svg`, or in `.png` where the package cairosvg is installed.

        Raises:
            CellError: another ending.
            RuntimeError: a PNG without cairosvg.
        """
        to = Path(path)
        match to.suffix.lower():
            case ".svg":
                content = self.svg.encode()
            case ".png":
                content = self._png()
            case ending:
                raise CellError(
                    f"save: expected a path that ends in .svg or .png, got {ending or 'none'} in {str(to)!r}"
                )
        descriptor, unfinished = tempfile.mkstemp(prefix=f".{to.name}.", dir=to.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            os.chmod(unfinished, 0o644)
            os.replace(unfinished, to)
        except BaseException:
            Path(unfinished).unlink(missing_ok=True)
            raise
        return to

    def _png(self) -> bytes:
        if find_spec("cairosvg") is None:
            raise RuntimeError(
                "save: a .png needs the package cairosvg, which is not installed (pip install cairosvg); "
                "save an .svg: browsers, slides and papers take it as it is"
            )
        plain = re.sub(r"var\(--[\w-]+,(#\w+)\)", r"\1", self.svg)  # cairosvg knows no variables
        return import_module("cairosvg").svg2png(bytestring=plain.encode(), scale=2)


def diagram(
    graph: Graph,
    name: str,
    *,
    values: Mapping[str, Any] | None = None,
    title: str | None = None,
    theme: str = "light",
    legend: bool = False,
) -> Diagram:
    """The diagram of a graph; see `Cell.diagram`."""
    if theme not in THEMES:
        known = ", ".join(map(repr, THEMES))
        raise CellError(f"cell {name}: theme: expected one of {known}, got {theme!r}{suggestion(str(theme), THEMES)}")
    layout = drawn(graph)
    numbers = summaries(values or {}, graph, name)
    equations = _equations(graph)
    text = "; ".join(dict.fromkeys(equations.values()))
    shown = {key: _shown(key, summary, layout, theme == "dark") for key, summary in numbers.items()}
    asked = repr((name, text, theme, title, legend, sorted(shown.items())))
    picture = Picture(
        layout=layout,
        theme=theme,
        title=title or f"{name}: one step",
        description=f"The equations of a step: {text}",
        equations=equations,
        key=f"gw-{hashlib.sha256(asked.encode()).hexdigest()[:10]}",
        heading=title,
        legend=legend,
        values=shown,
    )
    names = dict.fromkeys(n for piece in layout.sketch.pieces for n in piece.names)
    return Diagram(picture.svg(), tuple(names), name, layout.crossings())


def _equations(graph: Graph) -> dict[str, str]:
    printer = Printer(graph)
    return {name: printer.equation(name, n) for name, n in graph.equations}


def _shown(key: str, summary: Summary, layout: Layout, dark: bool) -> Shown:
    gate = any(key in piece.names and piece.op in GATES for piece in layout.sketch.pieces)
    fill, ink, line = tints(summary.mean, gate=gate, dark=dark)
    return Shown(summary.text, fill, ink, line, f"{key} {summary.note}")
