"""A picture: drawn when it is looked at, written to a file by its suffix."""

from __future__ import annotations

import importlib
import io
import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

from ...nn import arguments
from .scene import Scene
from .style import Theme, theme_of

STILL = ("png", "svg", "pdf")
SETTINGS = {
    "responsive": True,
    "displaylogo": False,
    "showSendToCloud": False,  # plotly's page would offer to send the data away
    "plotlyServerURL": "",
    "modeBarButtonsToRemove": ["select2d", "lasso2d"],
}


def needed(library: str) -> Any:
    """An optional library, or an error that says how to get it."""
    try:
        return importlib.import_module(library)
    except ImportError as error:
        top = library.split(".")[0]
        raise ImportError(
            f"this picture needs {top}, which is not installed; install it with: pip install 'gatewright[pictures]'"
        ) from error


def library_of(name: str, known: tuple[str, ...] = ("matplotlib", "plotly")) -> str:
    if name not in known:
        raise arguments.wrong("library", " or ".join(map(repr, known)), repr(name))
    return name


class Picture(ABC):
    """What every picture can do.

    `save` writes .png, .svg and .pdf by matplotlib and .html as one page that works offline. In a notebook the picture
    shows itself: as an image, or interactive with `library="plotly"`.
    """

    def __init__(self, theme: str, library: str, title: str):
        self.theme: Theme = theme_of(theme)
        self.library, self.title = library, title

    @property
    @abstractmethod
    def figure(self) -> Any:
        """The library's own figure, for changes that are not foreseen here."""

    @cached_property
    def still(self) -> Any:
        """matplotlib's figure."""
        return self._still()

    @abstractmethod
    def _still(self) -> Any: ...

    @abstractmethod
    def fragment(self, *, plotlyjs: bool = False) -> str:
        """A piece of HTML for a page of one's own; with `plotlyjs` it brings plotly's script (once a page will do)."""

    def html(self) -> str:
        """A whole page that refers to nothing outside itself."""
        return (
            f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(self.title or "Picture")}'
            '</title><meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<style>body{{margin:0;padding:12px;background:{self.theme.page};color:{self.theme.ink}}}</style></head>"
            f"<body>{self.fragment(plotlyjs=True)}</body></html>\n"
        )

    def data(self, format: str, *, dpi: int = 150) -> bytes:
        """The picture as the bytes of a file: "png", "svg", "pdf" or "html"."""
        if format == "html":
            return self.html().encode()
        if format not in STILL:
            raise arguments.wrong("format", "png, svg, pdf or html", repr(format))
        out = io.BytesIO()
        dated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(format)  # the same picture, the same bytes
        still = self.still
        with needed("matplotlib").rc_context({"svg.hashsalt": "gatewright"}):
            still.savefig(out, format=format, dpi=dpi, metadata=dated, facecolor=self.theme.page)
        return out.getvalue()

    def save(self, path: str | Path, *, dpi: int = 150) -> Path:
        """Write it: .png, .svg, .pdf or .html. The file appears whole or not at all.

        Args:
            path: where; its suffix says in which format.
            dpi: pixels an inch, for .png.

        Raises:
            ValueError: another suffix. FileNotFoundError: there is no such folder.
            ImportError: the library that draws it is not installed.
        """
        path = Path(path)
        suffix = path.suffix[1:].lower()
        if suffix not in (*STILL, "html"):
            raise arguments.wrong("path", "a name that ends in .png, .svg, .pdf or .html", repr(str(path)))
        if not path.parent.is_dir():
            raise FileNotFoundError(f"path: there is no folder {str(path.parent)!r}")
        data = self.data(suffix, dpi=dpi)
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            (folder / path.name).write_bytes(data)
            os.replace(folder / path.name, path)
        finally:
            shutil.rmtree(folder)
        return path

    def _repr_png_(self) -> bytes | None:
        return self.data("png", dpi=100) if self.library == "matplotlib" else None

    def _repr_html_(self) -> str | None:
        if self.library == "matplotlib":
            return None
        height = self.page_height()
        frame = f'width="100%" height="{height}" style="border:0" sandbox="allow-scripts allow-downloads"'
        return f'<iframe srcdoc="{escape(self.html())}" {frame}></iframe>'

    def page_height(self) -> int:
        """Of the page in a notebook, in pixels."""
        return 480


class Drawing(Picture):
    """A picture made of panels.

    Attributes:
        scene: the numbers and words that are drawn.
    """

    def __init__(self, scene: Scene, theme: str, library: str):
        super().__init__(theme, library_of(library), scene.title)
        self.scene = scene

    @property
    def figure(self) -> Any:
        """A `matplotlib.figure.Figure`, or a `plotly.graph_objects.Figure`."""
        return self.still if self.library == "matplotlib" else self.interactive

    def _still(self) -> Any:
        from .by_matplotlib import drawn

        return drawn(self.scene, self.theme)

    @cached_property
    def interactive(self) -> Any:
        """plotly's figure."""
        from .by_plotly import drawn

        return drawn(self.scene, self.theme)

    def fragment(self, *, plotlyjs: bool = False) -> str:
        figure, parts = self.interactive, {"include_plotlyjs": plotlyjs, "include_mathjax": False, "full_html": False}
        return needed("plotly.io").to_html(figure, config=SETTINGS, validate=False, **parts)

    def page_height(self) -> int:
        return int(self.interactive.layout.height) + 40

    def __repr__(self) -> str:
        titles = ", ".join(repr(p.title) for p in self.scene.panels)
        return f"<picture {self.title!r} of {titles}>"
