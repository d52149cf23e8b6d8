"""The settings of a forecast: what is read, what is foretold and by what network."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from gatewright.tasks.errors import SettingsError
from gatewright.tasks.settings import Settings, TrainingSettings, defaults, setting

__all__ = ["ForecastSettings", "ForecastTraining", "as_text", "parse_levels"]

LISTS = ("series", "target", "known", "past", "static", "quantiles", "periods", "calendar")  # one text, comma between
LONG = 200  # steps of a context that are read one by one
SEASONS = 7  # of a context, where the series are long enough
SHORTEST = 32  # steps of a context, where the series are long enough
DATE = re.compile(r"\d{4}-\d.*|\d{4}/\d.*")


@dataclass(frozen=True)
class ForecastSettings(Settings):
    """What a forecast reads and is made of."""

    cell: str = setting("lstm", "a name of the zoo, equations, or a file of equations")
    horizon: int = setting(24, "steps to forecast, H")
    target: str | None = setting(None, "the column to forecast; several with a comma (found where there is one number)")
    time: str | None = setting(None, "the column of time stamps or whole numbers (found by its type or name)")
    series: str | None = setting(None, "the column that names the series; several with a comma (none: one series)")
    known: str | None = setting(None, "columns known in the future too, with a comma: prices, holidays")
    past: str | None = setting(None, "columns known up to the present only, with a comma")
    static: str | None = setting(None, "columns that do not change along a series, with a comma")
    freq: str | None = setting(None, "distance of two rows: 15min, h, D, W, MS, … (found)")
    irregular: Literal["error", "steps"] = setting(
        "error", "time stamps without a frequency: an error, or one step a row"
    )
    calendar: str = setting(
        "auto", "features of the time stamps: auto, none, or with a comma: minute, hour, day, week, month, year, age"
    )
    periods: str | None = setting(None, "lengths of cycles in steps, with a comma, as features: 24,168")
    season: int | None = setting(None, "steps of a season, which the first guess looks back (by the frequency)")
    validation: str | None = setting(
        None, "for validation: a share of each series' end, 0.2, or a date it begins with (a tenth)"
    )
    context: int | None = setting(None, "steps that are read, L (7 seasons, 2 horizons, less for short series)")
    kind: Literal["auto", "direct", "autoregressive"] = setting(
        "auto", "all steps at once, or one after another with what was drawn before (auto: direct)"
    )
    segment: int | None = setting(None, "steps that are read at once, w (1; a season for contexts above 200)")
    head: Literal["auto", "mse", "mae", "huber", "quantiles", "normal", "student_t", "negative_binomial"] = setting(
        "auto", "what is said of a step (quantiles; autoregressive: student_t); negative_binomial is for counts"
    )
    quantiles: str = setting("0.025,0.1,0.25,0.5,0.75,0.9,0.975", "levels of the head `quantiles`, with a comma")
    scaling: Literal["none", "mean", "standard", "robust"] = setting("standard", "of each series, by its training part")
    window: Literal["none", "last", "mean", "standard"] = setting(
        "standard", "of each context, on top: its last value taken off, its mean divided by, or both standardised"
    )
    log: bool = setting(False, "take the logarithm of the target first (it must be above 0)")
    level: Literal["none", "season"] = setting(
        "season", "take the mean of a context's last season off, and put it back"
    )
    residual: Literal["none", "season", "last"] = setting(
        "season", "what the network corrects: the value one season before, the last value, or nothing"
    )
    hidden_size: int = setting(64, "units of a layer")
    num_layers: int = setting(1, "layers")
    dropout: float = setting(0.1, "on what is read, between layers and on what is said")
    identity: int | None = setting(None, "width of a vector for each series (8 where there are several; 0: none)")
    samples: int = setting(200, "paths that an autoregressive forecast is made of")
    draw: Literal["windows", "series", "scale"] = setting(
        "windows", "how training windows are drawn: all alike, series alike, or large series more often"
    )
    windows: int | None = setting(None, "training windows of an epoch (all)")
    stride: int = setting(1, "steps from one training window to the next")
    validation_windows: int = setting(1024, "windows of a validation during training, at most")
    buffer_rows: int | None = setting(None, "rows in memory at once; Parquet above is streamed (all are read)")
    backend: Literal["auto", "cpu", "reference", "vendor"] = setting("auto", "what runs the cell")

    def check(self) -> None:
        for name in ("horizon", "season", "context", "segment", "hidden_size", "num_layers", "samples", "windows"):
            self._at_least(name, 1)
        for name in ("stride", "validation_windows", "buffer_rows"):
            self._at_least(name, 1)
        self._at_least("identity", 0)
        self._below_one("dropout")
        parse_levels(self.quantiles, "quantiles")
        _ = self.split, self.cycles
        if self.head_name == "quantiles" and 0.5 not in self.levels:
            raise SettingsError(
                f"setting quantiles: expected 0.5 among them, the forecast itself; got {self.quantiles}"
            )
        self._check_counts()
        self._check_steps()

    def _check_counts(self) -> None:
        if self.head_name != "negative_binomial":
            return
        wanted = {"scaling": "none", "window": "mean", "log": False}
        changed = {name: v for name, v in wanted.items() if getattr(self, name) not in (v, USUAL[name])}
        for name, value in changed.items():
            raise SettingsError(
                f"setting {name}: head negative_binomial is for counts, which are divided by their mean only: "
                f"expected {value!r}, got {getattr(self, name)!r}; leave it out"
            )

    def _check_steps(self) -> None:
        if not self.stepwise:
            return
        if self.head_name == "quantiles":
            raise SettingsError(
                "setting head: an autoregressive forecast draws values from a distribution, and quantiles are none; "
                "take student_t, normal or negative_binomial, or kind direct"
            )
        if self.segment not in (None, 1):
            raise SettingsError(f"setting segment: an autoregressive forecast goes by single steps, got {self.segment}")

    @property
    def stepwise(self) -> bool:
        """Whether the forecast is made one step after another."""
        return self.kind == "autoregressive"

    @property
    def head_name(self) -> str:
        """The head, `auto` resolved."""
        return self.head if self.head != "auto" else ("student_t" if self.stepwise else "quantiles")

    @property
    def split(self) -> float | int | str | None:
        """What `validation` says: a share, a date, or a step where times are whole numbers."""
        text = self.validation
        if text is None or DATE.fullmatch(text):
            return text
        try:
            return int(text) if text.isdigit() else float(text)
        except ValueError as error:
            raise SettingsError(
                f"setting validation: expected a share (0.2), a date (2024-01-31) or a step, got {text!r}"
            ) from error

    @property
    def scalings(self) -> tuple[str, str]:
        """Of each series and of each context; counts are divided by the mean of the context alone."""
        return ("none", "mean") if self.head_name == "negative_binomial" else (self.scaling, self.window)

    @property
    def levels(self) -> tuple[float, ...]:
        """The levels of `quantiles`, rising."""
        return parse_levels(self.quantiles, "quantiles")

    def names(self, role: str) -> tuple[str, ...]:
        """The columns of a role: series, target, known, past, static."""
        text = getattr(self, role)
        return tuple(name.strip() for name in text.split(",") if name.strip()) if text else ()

    @property
    def cycles(self) -> tuple[int, ...]:
        """The lengths of cycles. Raises `SettingsError` for what is no whole number."""
        found = []
        for part in self.names("periods"):
            if not part.isdigit() or int(part) < 2:
                raise SettingsError(f"setting periods: expected whole numbers from 2 on, with a comma, got {part!r}")
            found.append(int(part))
        return tuple(found)

    def context_for(self, season: int, lengths: Sequence[int] | np.ndarray) -> int:
        """Steps of the context, where none are set: 7 seasons or 2 horizons, in whole seasons, and few enough that half
        the series have as much again to learn from.

        >>> ForecastSettings(horizon=12).context_for(12, [132])
        60
        """
        if self.context:
            return self.context
        season = self.season or season
        wanted = max(2 * self.horizon, SEASONS * season, SHORTEST)
        room = (int(np.median(lengths)) - self.horizon) // 2 if len(lengths) else wanted
        found = max(1, min(wanted, room))
        return found - found % season if found > season > 1 else found

    def segment_for(self, context: int, season: int) -> int:
        """Steps that are read at once, where none are set: a season (at least √L / 2) of long contexts, else 1.

        >>> ForecastSettings().segment_for(96, 24), ForecastSettings().segment_for(720, 24)
        (1, 24)
        """
        if self.segment or self.stepwise or context <= LONG:
            return self.segment or 1
        least = math.isqrt(context) // 2
        return season * -(-least // season) if season > 1 else 2 * least


USUAL: dict[str, Any] = {"scaling": "standard", "window": "standard", "log": False}

ForecastTraining = defaults(
    TrainingSettings,
    "ForecastTraining",
    batch_size=64,
    updates=1000,
    learning_rate=1e-3,
    evaluate_every=25,
    patience=12,
)


def as_text(name: str, value: Any) -> Any:
    """A list of names or numbers as the text that a setting holds; anything else as it is.

    >>> as_text("known", ["price", "holiday"]), as_text("quantiles", (0.1, 0.5)), as_text("horizon", 3)
    ('price,holiday', '0.1,0.5', 3)
    """
    if name in LISTS and isinstance(value, list | tuple):
        return ",".join(f"{part:g}" if isinstance(part, float) else str(part) for part in value)
    dates = (float, int, datetime.date, np.datetime64)
    return str(value) if name == "validation" and isinstance(value, dates) and not isinstance(value, bool) else value


def parse_levels(text: str, where: str) -> tuple[float, ...]:
    """Levels of quantiles, rising, from text. Raises `SettingsError` where one is none.

    >>> parse_levels("0.9, .1", "quantiles")
    (0.1, 0.9)
    """
    try:
        found = sorted({float(part) for part in text.split(",") if part.strip()})
    except ValueError:
        found = []
    if not found or not 0 < found[0] <= found[-1] < 1:
        raise SettingsError(
            f"setting {where}: expected numbers between 0 and 1 with a comma, 0.1,0.5,0.9, got {text!r}"
        )
    return tuple(found)
