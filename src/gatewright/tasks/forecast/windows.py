"""Windows: a context that a network reads, and the horizon after it that it forecasts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor

from gatewright.tasks.errors import DataError
from gatewright.tasks.forecast.scaling import forward, series_scale, window_scale

if TYPE_CHECKING:
    from jaxtyping import Float, Int, Int64

    from gatewright.tasks.forecast.schema import Schema
    from gatewright.tasks.forecast.series import SeriesSet

__all__ = ["Batch", "Windows", "final_windows", "rolling_windows", "thinned"]


@dataclass(frozen=True)
class Batch:
    """B windows of context L and horizon H, as tensors.

    context: (B, L) float32, scaled; what is missing is the last value before it, or 0. observed: (B, L) float32, 1
    where there is a value. target: (B, H) float32, scaled, 0 where missing; target_observed: (B, H). past: (B, L, P),
    known: (B, L + H, K), calendar: (B, L + H, F), static: (B, S), all float32. past_codes, known_codes, static_codes:
    the same of categories, int64. series: (B,) int64, the index of an embedding, 0 for a new one. channel: (B,), the
    target column. location, scale: (B,) float64. log: whether the scale is of logarithms. item, origin: (B,), which
    series, and the row of the first step that is forecast.
    """

    context: Float[Tensor, "B L"]
    observed: Float[Tensor, "B L"]
    target: Float[Tensor, "B H"]
    target_observed: Float[Tensor, "B H"]
    past: Float[Tensor, "B L P"]
    past_codes: Int64[Tensor, "B L PC"]
    known: Float[Tensor, "B LH K"]
    known_codes: Int64[Tensor, "B LH KC"]
    calendar: Float[Tensor, "B LH F"]
    static: Float[Tensor, "B S"]
    static_codes: Int64[Tensor, "B SC"]
    series: Int64[Tensor, " B"]
    channel: Int64[Tensor, " B"]
    location: Float[Tensor, " B"]
    scale: Float[Tensor, " B"]
    item: Int64[Tensor, " B"]
    origin: Int64[Tensor, " B"]
    log: bool = False

    def __len__(self) -> int:
        return len(self.context)

    def __getitem__(self, rows: Any) -> Self:
        """Some of the windows: a slice, or indices."""
        return self._each(lambda tensor: tensor[rows])

    def to(self, device: Any) -> Self:
        """The same on a device, in single precision where it knows no other."""
        single = torch.device(device).type == "mps"
        return self._each(lambda t: (t.float() if single and t.dtype is torch.float64 else t).to(device))

    def inverse(self, scaled: Tensor) -> Tensor:
        """Values (B, …) in the data's units. log: the exponential of them, so that quantiles stay quantiles."""
        shape = (-1, *[1] * (scaled.dim() - 1))
        values = scaled * self.scale.view(shape) + self.location.view(shape)
        return values.exp() if self.log else values

    def forward(self, values: Tensor) -> Tensor:
        """Values (B, …) of the data in the windows' scales: `inverse` undone."""
        shape = (-1, *[1] * (values.dim() - 1))
        whole = values.double() if values.device.type != "mps" else values
        return forward(whole.log() if self.log else whole, self.location.view(shape), self.scale.view(shape)).float()

    def _each(self, change: Any) -> Self:
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        changed = {name: change(value) for name, value in fields.items() if isinstance(value, Tensor)}
        return dataclasses.replace(self, **changed)


@dataclass(frozen=True)
class Windows:
    """Windows of a set of series. item: (W,) which series; origin: (W,) the row of the first step that is forecast.

    Nothing is copied before a batch is made.
    """

    series: SeriesSet
    schema: Schema
    item: Int[np.ndarray, " W"]
    origin: Int[np.ndarray, " W"]

    def __len__(self) -> int:
        return len(self.item)

    def __getitem__(self, index: Any) -> Self:
        """Some of the windows: a slice, or indices."""
        return dataclasses.replace(self, item=self.item[index], origin=self.origin[index])

    @property
    def key(self) -> Int[np.ndarray, " W"]:
        """Which key each window's series belongs to."""
        return self.item // self.series.channels

    @property
    def channel(self) -> Int[np.ndarray, " W"]:
        """Which target column each window is of."""
        return self.item % self.series.channels

    def batches(self, size: int) -> Iterator[Batch]:
        """All windows in their order, `size` at a time."""
        return (self.batch(slice(k, k + size)) for k in range(0, len(self), size))

    def targets(self, index: Any = slice(None)) -> Float[np.ndarray, "B H"]:
        """The values that are to be forecast, as they came; NaN where they are missing or not there yet."""
        some, horizon = self[index], self.schema.horizon
        view = sliding_window_view(self.series.target, horizon, axis=1)
        return view[some.channel, self.series.offsets[some.key] + some.origin]

    def history(self, window: int) -> Float[np.ndarray, " n"]:
        """All values of a window's series before its origin."""
        return self.series.values(int(self.item[window]))[: int(self.origin[window])]

    def times(self, window: int) -> np.ndarray:
        """The times of the steps that are forecast, as `SeriesSet.times` gives them."""
        origin = int(self.origin[window])
        return self.series.times(int(self.item[window]), origin, origin + self.schema.horizon)

    def batch(self, index: Any) -> Batch:
        """Some windows as tensors. index: a slice, a list or an array."""
        some, s, length = self[index], self.series, self.schema.context
        whole = length + self.schema.horizon
        begin = s.offsets[some.key] + some.origin - length
        inside = some.origin[:, None] + np.arange(-length, 0) >= 0
        context, observed, location, scale = some._context(begin, inside)
        target = some.targets()
        present = np.isfinite(target)
        log = self.schema.scaling.log
        target = forward(_logarithm(target, log), location[:, None], scale[:, None])
        both = np.concatenate([inside, np.ones_like(present)], 1)
        return Batch(
            context=_float(context),
            observed=_float(observed),
            target=_float(np.where(present, target, 0.0)),
            target_observed=_float(present),
            past=_float(_cut(s.past, begin, length, inside)),
            past_codes=_whole(_cut(s.past_codes, begin, length, inside)),
            known=_float(_cut(s.known, begin, whole, both)),
            known_codes=_whole(_cut(s.known_codes, begin, whole, both)),
            calendar=_float(_cut(s.calendar, begin, whole, both)),
            static=_float(s.static[some.key]),
            static_codes=_whole(s.static_codes[some.key]),
            series=_whole(s.code[some.item]),
            channel=_whole(some.channel),
            location=torch.from_numpy(location),
            scale=torch.from_numpy(scale),
            item=_whole(some.item),
            origin=_whole(some.origin),
            log=log,
        )

    def series_scales(self) -> tuple[Float[np.ndarray, " W"], Float[np.ndarray, " W"]]:
        """The series' part of the windows' locations and scales."""
        s, scaling = self.series, self.schema.scaling
        location, scale = s.location[self.item], s.scale[self.item]
        for k in np.flatnonzero(s.growing[self.item]).tolist():
            location[k], scale[k] = series_scale(_logarithm(self.history(k), scaling.log), scaling.series)
        return location, scale

    def _context(self, begin: Any, inside: Any) -> tuple[Any, Any, Any, Any]:
        """The scaled context, where it is observed, and the windows' locations and scales."""
        s, length = self.series, self.schema.context
        log, kind = self.schema.scaling.log, self.schema.scaling.window
        observed = np.isfinite(sliding_window_view(s.target, length, axis=1)[self.channel, begin]) & inside
        filled = np.where(inside, sliding_window_view(s.filled, length, axis=1)[self.channel, begin], np.nan)
        location, scale = self.series_scales()
        values = forward(_logarithm(filled, log), location[:, None], scale[:, None])
        there = np.isfinite(values)
        values = np.where(there, values, 0.0)
        shift, width = window_scale(values, observed, values[:, -1], kind)
        values = np.where(there, forward(values, shift[:, None], width[:, None]), 0.0)
        return values, observed, location + scale * shift, scale * width


def _logarithm(values: Any, log: bool) -> Any:
    return np.log(values) if log else values


def _cut(values: Any, begin: Any, length: int, inside: Any) -> Any:
    """Slices of `length` slots (B, length, ·), 0 before a series begins: those slots may be another's."""
    if not values.shape[1]:
        return np.zeros((len(begin), length, 0), values.dtype)
    cut = sliding_window_view(values, length, axis=0)[begin].swapaxes(1, 2)
    return cut * inside[:, :, None].astype(values.dtype)


def _float(values: Any) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))


def _whole(values: Any) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.int64))


def rolling_windows(
    series: SeriesSet,
    schema: Schema,
    *,
    first: Any = None,
    last: Any = None,
    stride: int = 1,
    at_most: int | None = None,
) -> Windows:
    """Windows whose origins roll through every series, the horizon inside it.

    first, last: of the origins, each a row, (G,) rows, or a date (a text or a datetime); default: from the first row
    that has a value before it, to the last that has a horizon up to the series' last value. The context may reach back
    before `first`. stride: rows between origins. at_most: keep so many, evenly spaced over all. Windows with nothing
    observed in the context or in the horizon are left out.
    """
    g, channels = len(series.keys), series.channels
    low = np.ones(g, np.int64) if first is None else np.maximum(_rows(series, first), 1)
    high = series.ends - schema.horizon
    if last is not None:
        high = np.minimum(high, _rows(series, last))
    return thinned(every_window(series, schema, np.repeat(low, channels), np.repeat(high, channels), stride), at_most)


def every_window(series: SeriesSet, schema: Schema, low: Any, high: Any, stride: int = 1) -> Windows:
    """The windows of origins low to high (N,), both included, that have something observed on both sides."""
    counts = np.maximum((high - low) // stride + 1, 0)
    item = np.repeat(np.arange(len(counts)), counts)
    before = np.repeat(np.cumsum(counts) - counts, counts)
    origin = low[item] + (np.arange(len(item)) - before) * stride
    key, channel = item // series.channels, item % series.channels
    known = np.pad(np.isfinite(series.target).cumsum(1), ((0, 0), (1, 0)))
    at = series.offsets[key] + origin
    begin = np.maximum(at - schema.context, series.offsets[key])
    some = (known[channel, at + schema.horizon] > known[channel, at]) & (known[channel, at] > known[channel, begin])
    return Windows(series, schema, item[some], origin[some])


def thinned(windows: Windows, at_most: int | None) -> Windows:
    """At most so many windows, evenly spaced over all, the first and the last among them."""
    if at_most is None or len(windows) <= at_most:
        return windows
    return windows[np.linspace(0, len(windows) - 1, at_most).round().astype(np.int64)]


def _rows(series: SeriesSet, where: Any) -> Int[np.ndarray, " G"]:
    if isinstance(where, (int, np.integer, np.ndarray)):
        return np.broadcast_to(np.asarray(where, np.int64), series.lengths.shape)
    from gatewright.tasks.forecast.reading import rows_from

    return rows_from(series.frequency, series.starts, series.zone, series.steps, where)


def final_windows(series: SeriesSet, schema: Schema) -> Windows:
    """One window a series: the horizon after its last value.

    Raises `DataError` where a series has no value, or a known covariate is missing over the horizon.
    """
    origin = np.array([series.last(item) for item in range(len(series))], np.int64)
    empty = np.flatnonzero(origin == 0)
    if len(empty):
        name = series.names[empty[0]]
        raise DataError(f"{series.name}: series {name!r} has no value to forecast from; give some, or leave it out")
    windows = Windows(series, schema, np.arange(len(series)), origin)
    if schema.columns.known:
        _refuse_unknown_future(windows)
    return windows


def _refuse_unknown_future(windows: Windows) -> None:
    series, schema = windows.series, windows.schema
    begin = series.offsets[windows.key] + windows.origin
    given = sliding_window_view(series.known_given, schema.horizon, axis=0)[begin]  # (W, columns, H)
    if given.all():
        return
    window, _, step = (int(k) for k in np.argwhere(~given)[np.argwhere(~given)[:, 2].argmin()])
    columns = [name for k, name in enumerate(schema.columns.known) if not given[window, k].all()]
    item, row = int(windows.item[window]), int(windows.origin[window]) + step
    raise DataError(
        f"{series.name}, series {series.names[item]!r}: {', '.join(columns)} must be known over the whole horizon "
        f"({schema.horizon} rows after the last value), but nothing is given from {series.say_time(item, row)} on; "
        "give these rows in `future`, or in the data with the target left empty"
    )
