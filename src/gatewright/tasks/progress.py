"""What a user sees of training: a progress bar on a terminal, a line an evaluation elsewhere, and a table at
the end.
"""

from __future__ import annotations

import sys
import time
import typing
from typing import Any, Literal, Protocol

from gatewright.tasks.errors import SettingsError

__all__ = ["Style", "Watcher", "make_watcher", "metrics_table"]

Style = Literal["auto", "bar", "lines", "none"]


class Watcher(Protocol):
    """Told by the trainer how it goes on."""

    def update(self, share: float, number: int, loss: float, rate: float, left: float) -> None:
        """After an update: share done (0 to 1), number of updates, loss of late, items per second, seconds
        left.
        """

    def evaluated(self, row: dict[str, float], *, best: bool) -> None:
        """After an evaluation: its row of the history."""

    def note(self, text: str) -> None:
        """Something worth a line."""

    def close(self) -> None:
        """Training has ended, one way or the other."""


class Silent:
    """Shows nothing."""

    def update(self, share: float, number: int, loss: float, rate: float, left: float) -> None:
        pass

    def evaluated(self, row: dict[str, float], *, best: bool) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def close(self) -> None:
        pass


class Lines(Silent):
    """One line an evaluation; for logs and pipes."""

    def evaluated(self, row: dict[str, float], *, best: bool) -> None:
        print(_line(row, best=best), flush=True)

    def note(self, text: str) -> None:
        print(text, flush=True)


class Bar(Silent):
    """A bar with loss, items per second and time left; lines of evaluations scroll above it."""

    def __init__(self, unit: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._unit, self._drawn = unit, 0.0
        self._bar = Progress(
            TextColumn("update {task.fields[number]}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%  {task.fields[figures]}"),
            console=Console(),
            transient=True,
        )
        self._task = self._bar.add_task("", total=1.0, number=0, figures="")
        self._bar.start()

    def update(self, share: float, number: int, loss: float, rate: float, left: float) -> None:
        now = time.monotonic()
        if now - self._drawn >= 0.2:
            self._drawn = now
            figures = f"loss {loss:.3f}  {rate:,.0f} {self._unit}/s  {clock(left)} left"
            self._bar.update(self._task, completed=share, number=number, figures=figures)

    def evaluated(self, row: dict[str, float], *, best: bool) -> None:
        self._bar.console.print(_line(row, best=best), highlight=False)

    def note(self, text: str) -> None:
        self._bar.console.print(text, highlight=False, markup=False)

    def close(self) -> None:
        self._bar.stop()


def make_watcher(style: str | Watcher, unit: str) -> Watcher:
    """The watcher of a style; `auto` is a bar on a terminal and lines elsewhere. A watcher is one already."""
    if not isinstance(style, str):
        return style
    check_style(style)
    if style == "auto":
        style = "bar" if sys.stdout.isatty() else "lines"
    return Bar(unit) if style == "bar" else Lines() if style == "lines" else Silent()


def check_style(style: str | Watcher) -> None:
    """Raise `SettingsError` for a style that there is not."""
    if isinstance(style, str) and style not in typing.get_args(Style):
        raise SettingsError(f"progress: expected auto, bar, lines or none, got {style!r}")


def metrics_table(title: str, rows: dict[str, Any]) -> Any:
    """A table of name and value, for `rich.print`."""
    from rich.table import Table
    from rich.text import Text

    # A folder's name may look like markup.
    table = Table(title=Text(title), title_justify="left", show_header=False)
    table.add_column("name")
    table.add_column("value", justify="right", overflow="fold")
    for name, value in rows.items():
        table.add_row(name, Text(f"{value:,.4f}" if isinstance(value, float) else str(value)))
    return table


def clock(seconds: float) -> str:
    """`1:02:03` or `2:03`."""
    if seconds != seconds or seconds == float("inf"):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _line(row: dict[str, float], *, best: bool) -> str:
    mark = "  best" if best else ""
    return (
        f"update {row['update']:>6}  epoch {row['epoch']:6.2f}  train {row['train_loss']:.4f}  "
        f"valid {row['loss']:.4f}  lr {row['learning_rate']:.2e}  {clock(row['seconds'])}{mark}"
    )
