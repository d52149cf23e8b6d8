"""`report.html`: what a training run has shown, as one page that needs nothing outside itself.

A task gives `Findings`: scores beside baselines, examples, and a `Probe` by which the report looks inside. The rest is
the same for every task: settings, equations, diagram, curves, gates, memory, gradients, warnings (`report.run`).
A `Report` is a list of sections, a section a list of parts: text, tables, scenes, code, markup.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from gatewright.inside.pictures.scene import Scene
from gatewright.tasks.checkpoint import replace_file
from gatewright.tasks.errors import first_line
from gatewright.tasks.folder import REPORT

__all__ = [
    "Alert",
    "Code",
    "Figure",
    "Findings",
    "Folded",
    "Markup",
    "Probe",
    "Report",
    "Score",
    "Section",
    "Table",
    "Text",
]


# -- parts -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Text:
    """A paragraph. quiet: an explanation, in smaller letters."""

    text: str
    quiet: bool = False


@dataclass(frozen=True)
class Alert:
    """Something to look at. kind: "warning", "note", or "fine" for its absence."""

    text: str
    kind: str = "warning"


@dataclass(frozen=True)
class Code:
    """Text as it is, in letters of one width."""

    text: str


@dataclass(frozen=True)
class Table:
    """Rows of words and numbers. strong: the rows that stand out. bars: the column whose numbers get bars. code:
    columns in letters of one width."""

    head: Sequence[str]
    rows: Sequence[Sequence[Any]]
    caption: str = ""
    strong: frozenset[int] = frozenset()
    bars: int | None = None
    code: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Figure:
    """A picture with what it shows: any scene, as the pictures of `gw.inside` have in `.scene`."""

    scene: Scene
    caption: str


@dataclass(frozen=True)
class Markup:
    """HTML that a part of the report has made and escaped itself."""

    html: str


@dataclass(frozen=True)
class Folded:
    """Parts behind a line that opens them."""

    summary: str
    parts: Sequence[Part]


Part = Text | Alert | Code | Table | Figure | Markup | Folded


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    title: str
    parts: Sequence[Part]


# -- what a task gives -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Score:
    """A model's figures by name, the first one the measure that counts: less is better.

    ours: whether it is the trained model; the others are baselines.
    """

    name: str
    figures: Mapping[str, float]
    note: str = ""
    ours: bool = False


@dataclass(frozen=True)
class Probe:
    """Examples of the validation data on which a report looks inside.

    network: in evaluation mode it is run by `losses`, which gives the loss of every step, (T, B), or of every sequence,
    (B,). axis: what `gw.inside.heatmaps` takes for the time axis of the first sequence: tokens=, signal= and rate=,
    dates= or frames=. shown: how many steps of it are drawn (a signal is drawn whole). lags: steps that matter in
    the data, by name. about: a line that says what the examples are.
    """

    network: nn.Module
    losses: Callable[[], Tensor]
    axis: Mapping[str, Any] = field(default_factory=dict)
    shown: int | None = None
    lags: Mapping[str, float] | None = None
    about: str = ""


@dataclass(frozen=True)
class Findings:
    """What a task knows of a trained model.

    title: of the page. unit: what a network reads, "tokens".
    headline: the few figures at its top, (name, value). scores: the model among its baselines.
    data: names and values of what it was trained on. examples: sections with the task's own examples.
    """

    title: str
    unit: str = "items"
    headline: Sequence[tuple[str, str]] = ()
    scores: Sequence[Score] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    examples: Sequence[Section] = ()
    probe: Probe | None = None
    alerts: Sequence[Alert] = ()


# -- the report ------------------------------------------------------------------------------------------------


@dataclass
class Report:
    """A page: title, a line below it, the figures that count, what to look at, and sections.

    missing: what could not be made, a line each; the page says so too.

    >>> report = Report("a run", sections=[Section("Scores", [Table(["loss"], [[1.5]])])])
    >>> "<h2 id=\\"scores\\">Scores</h2>" in report.html(), "http" in report.html().replace("http://www.w3.org", "")
    (True, False)
    """

    title: str
    subtitle: str = ""
    headline: Sequence[tuple[str, str]] = ()
    alerts: list[Alert] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    footer: str = ""
    missing: list[str] = field(default_factory=list)

    def html(self) -> str:
        """The whole page."""
        from gatewright.tasks.report.page import page

        return page(self)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page, whole or not at all. Raises `FolderError` where the disk or the folder refuses."""
        replace_file(Path(path), self.html().encode())
        return Path(path)

    def write(self, folder: Path) -> Path:
        """Put `report.html` into a model folder."""
        return self.save(folder / REPORT)

    @contextlib.contextmanager
    def making(self, what: str) -> Iterator[None]:
        """While a part is made: what goes wrong leaves a line in the report instead of ending the training run."""
        try:
            yield
        except Exception as error:
            self.missing.append(f"{what}: could not be made ({type(error).__name__}: {first_line(error)})")

    def add(self, title: str, make: Callable[[], Iterable[Part]]) -> None:
        """Add a section where there is something to put into it; where that fails, its heading and why."""
        before, parts = len(self.missing), []
        with self.making(title):
            parts = list(make())
        parts += [Alert(line) for line in self.missing[before:]]
        if parts:
            self.sections.append(Section(title, parts))
