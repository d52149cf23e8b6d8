"""Scales: what a series is measured by, so that one network serves series of any size."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from gatewright.tasks.errors import SettingsError

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

__all__ = ["Scaling", "forward", "inverse", "series_scale", "window_scale"]

SeriesScale = Literal["none", "mean", "standard", "robust"]
WindowScale = Literal["none", "last", "mean", "standard"]
TINY = 1e-9  # of the values' size: what varies by less is constant


@dataclass(frozen=True)
class Scaling:
    """scaled = (y − location) / scale, first by the series, then by the window; with log, of log y.

    series, of the training part of a series: "standard" (mean, standard deviation), "mean" (0, mean of |y|), "robust"
    (median, interquartile range / 1.349), "none". window, of the observed context: "last" (its last value, 1; Lin et
    al. 2023), "mean" (0, mean of |y|; Salinas et al. 2020), "standard", "none". What is constant has scale 1, or its
    own size where the scale is its mean.
    """

    series: SeriesScale = "standard"
    window: WindowScale = "none"
    log: bool = False

    def __post_init__(self) -> None:
        for name, kinds in (("series", SeriesScale), ("window", WindowScale)):
            if getattr(self, name) not in typing.get_args(kinds):
                known = ", ".join(typing.get_args(kinds))
                raise SettingsError(f"scaling of the {name}: expected one of {known}, got {getattr(self, name)!r}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Scaling from what `to_dict` gave."""
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return dataclasses.asdict(self)


def forward(values: Any, location: Any, scale: Any) -> Any:
    """Values in units of a scale."""
    return (values - location) / scale


def inverse(values: Any, location: Any, scale: Any) -> Any:
    """What `forward` made, undone."""
    return values * scale + location


def series_scale(values: Float[np.ndarray, " n"], kind: str) -> tuple[float, float]:
    """Location and scale of a series' observed values; (0, 1) where there are none.

    >>> series_scale(np.array([1.0, np.nan, 3.0]), "standard")
    (2.0, 1.0)
    >>> series_scale(np.array([5.0, 5.0]), "standard")
    (5.0, 1.0)
    """
    known = values[np.isfinite(values)]
    if kind == "none" or not len(known):
        return 0.0, 1.0
    size = float(np.abs(known).mean())
    if kind == "mean":
        return 0.0, size or 1.0
    if kind == "standard":
        location, scale = float(known.mean()), float(known.std())
    else:
        low, middle, high = np.percentile(known, [25, 50, 75])
        location, scale = float(middle), float(high - low) / 1.349
        scale = scale if scale > TINY * size else float(known.std())  # more than half of the values are alike
    return location, scale if scale > TINY * size else 1.0


def window_scale(
    values: Float[np.ndarray, "B L"], observed: Bool[np.ndarray, "B L"], last: Float[np.ndarray, " B"], kind: str
) -> tuple[Float[np.ndarray, " B"], Float[np.ndarray, " B"]]:
    """Location and scale of windows. values: the context, 0 where nothing is observed; last: the last value, or 0."""
    zeros, ones = np.zeros(len(values)), np.ones(len(values))
    if kind == "none":
        return zeros, ones
    if kind == "last":
        return last, ones
    count = np.maximum(observed.sum(1), 1)
    size = np.abs(values * observed).sum(1) / count
    if kind == "mean":
        return zeros, np.where(size > 0, size, 1.0)
    location = (values * observed).sum(1) / count
    scale = np.sqrt((((values - location[:, None]) ** 2) * observed).sum(1) / count)
    return location, np.where(scale > TINY * size, scale, 1.0)
