"""The axis that maps and curves share: steps with their tokens, seconds or dates; a signal or frames under them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from ...nn import arguments
from .reduce import COLUMNS, bins, envelope
from .scene import Axis, Image, Line, Panel
from .shown import array

LETTER, LINE = 0.068, 0.145
"""Inches that a letter and a line of a tick's label take."""
LONGEST, NARROW, WIDE, FRAMES = 16, 9.0, 14.0, 12
MARGINS = 2.1


@dataclass(frozen=True)
class Timeline:
    """edges: (T + 1,) where steps end, as numbers or `datetime64`. width: of the page, in inches."""

    axis: Axis
    edges: np.ndarray
    width: float

    @property
    def steps(self) -> int:
        return len(self.edges) - 1

    @property
    def middles(self) -> np.ndarray:
        return self.edges[:-1] + (self.edges[1:] - self.edges[:-1]) / 2

    def line(self, y: np.ndarray, name: str, colour: int | str = 0, dash: str = "solid") -> Line:
        """(T,) numbers over the steps."""
        return Line(*envelope(self.middles, y), name, colour, dash)


def timeline(
    steps: int, padded: int, tokens: Sequence[Any] | None, rate: float | None, dates: Any, columns: int = 1
) -> Timeline:
    """The time axis of a sequence.

    tokens: a word for each step. rate: steps a second. dates: one for each step. At most one of them.
    """
    given = [n for n, v in (("tokens", tokens), ("rate", rate), ("dates", dates)) if v is not None]
    if len(given) > 1:
        raise ValueError(f"{' and '.join(given)}: expected one of them, they say what the time axis is")
    numbers = np.arange(steps + 1) - 0.5
    if rate is not None:
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not rate > 0:
            raise arguments.wrong("rate", "steps or samples a second, above 0", repr(rate))
        return Timeline(Axis("time in seconds"), np.arange(steps + 1) / rate, NARROW)
    if dates is not None:
        return Timeline(Axis("date", dates=True), _date_edges(dates, steps, padded), NARROW)
    if tokens is None:
        return Timeline(Axis("step", low=-0.5, high=steps - 0.5), numbers, NARROW)
    words = tuple(visible(t) for t in _fitting("tokens", list(tokens), steps, padded))
    width = float(np.clip(MARGINS * columns + LINE * steps * columns, NARROW, WIDE))
    ticks, upright = _ticks(words, width / columns - MARGINS)
    names = words if steps <= COLUMNS else None
    axis = Axis("token", ticks=ticks, upright=upright, names=names, low=-0.5, high=steps - 0.5)
    return Timeline(axis, numbers, width)


def _fitting(what: str, given: Any, steps: int, padded: int) -> Any:
    if len(given) not in (steps, padded):
        raise arguments.wrong(what, f"one for each of the {steps} steps", f"{len(given)}")
    return given[:steps]


def visible(token: Any) -> str:
    """A token as it can be seen: spaces, ends of lines and tabs as signs, bytes as text.

    >>> visible(" the"), visible("\\n"), visible(b"if"), visible(7)
    ('·the', '↵', 'if', '7')
    """
    text = token.decode("utf-8", "replace") if isinstance(token, bytes) else str(token)
    text = text.replace("\r\n", "↵").replace("\n", "↵").replace("\r", "↵").replace("\t", "→").replace(" ", "·")
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def _ticks(words: Sequence[str], room: float) -> tuple[tuple[tuple[float, str], ...], bool]:
    """(the places and words that fit into so many inches, whether they stand upright)."""
    short = [w if len(w) <= LONGEST else w[: LONGEST - 1] + "…" for w in words]
    longest = max(map(len, short))
    if len(short) * (longest * LETTER + 0.06) <= room:
        return tuple(enumerate(short)), False
    stride = next(s * 10**p for p in range(9) for s in (1, 2, 5) if len(short) / (s * 10**p) * LINE <= room)
    if stride == 1:
        return tuple(enumerate(short)), longest > 1
    return tuple((k, f"{k} {short[k]}") for k in range(0, len(short), stride)), True


def _date_edges(dates: Any, steps: int, padded: int) -> np.ndarray:
    try:
        days = np.asarray(dates, dtype="datetime64[ms]")
    except (TypeError, ValueError) as error:
        raise TypeError("dates: expected dates, as datetime64, datetime or text such as '2024-05-01'") from error
    days = _fitting("dates", days, steps, padded)
    apart = np.diff(days)
    if (apart <= np.timedelta64(0, "ms")).any():
        where = int(np.argmax(apart <= np.timedelta64(0, "ms"))) + 1
        raise arguments.wrong("dates", "dates that rise", f"{days[where]} behind {days[where - 1]}")
    last = apart[-1] if steps > 1 else np.timedelta64(1, "D").astype("timedelta64[ms]")
    return np.append(days, days[-1] + last)  # a date is where its step starts


# -- under the maps ------------------------------------------------------------------------------------


def signal_panel(signal: Any, time: Timeline, row: int) -> Panel:
    """A waveform, a series, or several by name, over the sequence's whole time."""
    series = signal if isinstance(signal, Mapping) else {"": signal}
    lengths = {str(name): len(y) for name, y in series.items()}
    if len(set(lengths.values())) != 1 or (time.axis.dates and set(lengths.values()) != {time.steps}):
        expected = f"series of {time.steps} numbers" if time.axis.dates else "series of one length"
        raise arguments.wrong("signal", expected, f"lengths {lengths}", "NaN leaves a gap")
    lines = []
    for k, (name, given) in enumerate(series.items()):
        y = array(given, "signal").squeeze()
        what = f"signal {name!r}" if name else "signal"
        if y.ndim != 1 or len(y) < time.steps:
            expected = f"a number for each of the {time.steps} steps, or more of them evenly in that time"
            raise arguments.wrong(what, expected, f"shape {y.shape}")
        lines.append(Line(*envelope(_spread(len(y), time), y), str(name), k))
    return Panel(lines, "signal" if len(lines) == 1 else ", ".join(map(str, series)), time.axis, Axis(), 0.9, row)


def _spread(count: int, time: Timeline) -> np.ndarray:
    if count == time.steps:
        return time.middles
    first, whole = time.edges[0], time.edges[-1] - time.edges[0]
    return first + (np.arange(count) + 0.5) / count * whole


def frames_panel(frames: Any, time: Timeline, row: int) -> Panel:
    """Small images, as many as there is room for: (T, h, w), (T, h, w, 3) or (T, 3, h, w)."""
    pixels = array(frames, "frames")
    whole_numbers = isinstance(frames, torch.Tensor | np.ndarray) and "int" in str(frames.dtype)
    if pixels.ndim == 4 and pixels.shape[1] in (1, 3) and pixels.shape[-1] not in (1, 3):
        pixels = np.moveaxis(pixels, 1, -1)
    if pixels.ndim not in (3, 4) or (pixels.ndim == 4 and pixels.shape[-1] not in (1, 3)):
        raise arguments.wrong("frames", "(T, h, w), (T, h, w, 3) or (T, 3, h, w)", f"shape {pixels.shape}")
    pixels = pixels[..., 0] if pixels.ndim == 4 and pixels.shape[-1] == 1 else pixels
    pixels = _fitting("frames", pixels, time.steps, len(pixels))
    pixels = pixels / 255 if whole_numbers else _stretched(pixels)
    starts = bins(time.steps, FRAMES)
    across = (time.width - MARGINS) / (len(starts) - 1)
    height = float(np.clip(across * pixels.shape[1] / pixels.shape[2], 0.3, 1.4))
    wide = height * pixels.shape[2] / pixels.shape[1] / across  # of the room that an image has
    images = []
    for start, end in pairwise(starts):
        left, room = time.edges[start], time.edges[end] - time.edges[start]
        shown = int(start + (end - start - 1) // 2)
        gap = room * (1 - min(wide, 0.94)) / 2
        images.append(Image(pixels[shown], left + gap, left + room - gap, f"step {shown}"))
    return Panel(images, "frames", time.axis, Axis(), height, row)


def _stretched(pixels: np.ndarray) -> np.ndarray:
    low, high = float(pixels.min()), float(pixels.max())
    return pixels if low >= 0 and high <= 1 else (pixels - low) / max(high - low, 1e-12)
