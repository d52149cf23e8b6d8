"""The table, the geometric means that are asked for, and the same as JSON."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .own import NORMALISED
from .shapes import INFERENCE, MODES, TRAINING
from .timing import Result

NOTE = """\
against others: their time / ours, above 1 we are faster; own: the variant's time / our plain LSTM's
medians of alternating rounds, and their middle half; a row against a peer counts from 0.97 of its figure on
"""


@dataclass(frozen=True)
class Mean:
    """A geometric mean over a group's rows of one mode, and what it must be; `large` takes those of H >= 256 alone."""

    group: str
    mode: str
    least: float | None = None
    most: float | None = None
    large: bool = False
    name: str = ""

    def rows(self, results: Sequence[Result]) -> list[Result]:
        """The results that it is taken of."""
        return [
            r
            for r in results
            if (r.group, r.mode) == (self.group, self.mode)
            and self.name in r.name
            and (not self.large or r.shape["H"] >= 256)
        ]

    @property
    def label(self) -> str:
        return f"{self.group}, {self.name or 'all'}{', H >= 256' if self.large else ''}"


MEANS = (
    Mean("lstm", INFERENCE, least=1.5),
    Mean("lstm", INFERENCE, least=1.15, large=True),
    Mean("lstm", TRAINING, least=1.6),
    Mean("lstm", TRAINING, least=1.2, large=True),
    Mean("gru", INFERENCE, least=4),
    Mean("gru", TRAINING, least=5.5),
    Mean("packed", INFERENCE, least=4),
    Mean("packed", TRAINING, least=6),
    Mean("proj", INFERENCE, least=3),
    Mean("proj", TRAINING, least=3.5),
    *(Mean("own", mode, most=1.3, name=NORMALISED) for mode in MODES),
)


def means(results: Sequence[Result]) -> list[Result]:
    """Those of which there are rows."""
    found = []
    for mean in MEANS:
        values = [r.value for r in mean.rows(results)]
        if values:
            value = statistics.geometric_mean(values)
            found.append(
                Result(
                    mean.group, mean.label, {}, mean.mode, value, min(values), max(values), len(values),
                    least=mean.least, most=mean.most,
                )
            )  # fmt: skip
    return found


# -- text ------------------------------------------------------------------------------------------


def head(about: Mapping[str, object]) -> str:
    """What was measured on, and what the columns are."""
    told = ", ".join(f"{key} {value}" for key, value in about.items())
    columns = _columns("", "B,T,I,H", "", "figure", "middle half", "required", "")
    return f"{told}\n{NOTE}\n{columns}"


def line(result: Result) -> str:
    """One row of the table."""
    middle = f"{_figure(result.low)}-{_figure(result.high)}"
    name = result.name if result.name.startswith(result.group) else f"{result.group}: {result.name}"
    end = "  ".join(filter(None, (result.verdict, _times(result), result.note)))
    return _columns(
        name, shape_text(result.shape), result.mode, _figure(result.value) + result.unit, middle, _required(result), end
    )


def _columns(name: str, shape: str, mode: str, figure: str, middle: str, required: str, end: str) -> str:
    return f"{name:45} {shape:18} {mode:18} {figure:>8}  {middle:13} {required:>8}  {end}".rstrip()


def shape_text(shape: Mapping[str, int]) -> str:
    return ",".join(str(size) for size in shape.values())


def _figure(value: float) -> str:
    return f"{value:.3f}" if value < 10 else f"{value:.1f}" if value < 1000 else f"{value:.0f}"


def _required(result: Result) -> str:
    if result.least is not None:
        return f">= {result.least:.3g}"
    return f"<= {result.most:.3g}" if result.most is not None else ""


def _times(result: Result) -> str:
    """Times are there to see what a ratio is made of; they are not to be quoted."""
    return ", ".join(f"{name} {micros:.0f} µs" for name, micros in (result.times or {}).items())


def summary(results: Sequence[Result], means: Sequence[Result]) -> str:
    """Means, then how many rows are not what they must be, and how many we lose."""
    asked = [r for r in results if r.least is not None or r.most is not None]
    missed, lost = [r for r in asked if not r.passed], [r for r in results if r.slower]
    lines = ["", "geometric means, lowest and highest of their rows", *(line(mean) for mean in means)] if means else []
    lines += [
        "",
        f"{len(results)} rows, {len(asked)} of them with a requirement: {len(missed)} missed; {len(lost)} are slower"
        f" than a peer; {sum(not mean.passed for mean in means)} of {len(means)} means missed",
    ]
    return "\n".join(lines)


# -- JSON ------------------------------------------------------------------------------------------


def write(file: Path, about: Mapping[str, object], results: Sequence[Result], means: Sequence[Result]) -> None:
    """All that the table says, for programs."""
    table = {"about": about, "rows": [_row(r) for r in results], "means": [_row(r) for r in means]}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _row(result: Result) -> dict[str, object]:
    return dataclasses.asdict(result) | {"passed": result.passed, "verdict": result.verdict}
