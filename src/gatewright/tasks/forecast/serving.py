"""Forecasts as JSON: requests in, forecasts out, one batch for all; and a session that takes one value at a time."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from gatewright.tasks.errors import DataError
from gatewright.tasks.forecast.arrange import key_parts
from gatewright.tasks.forecast.backtest import Forecasts
from gatewright.tasks.forecast.data import final_windows
from gatewright.tasks.forecast.predict import able, check_levels, forecast_batches
from gatewright.tasks.forecast.reading import moment_of
from gatewright.tasks.forecast.time import as_stamps, has_zone
from gatewright.tasks.table.table import Table, read_table

if TYPE_CHECKING:
    from gatewright.tasks.forecast.forecaster import Forecaster

__all__ = ["Session", "answer", "example"]

OWN = ("series", "start", "future", "quantiles")  # keys of a request that are no columns
USUAL = (0.1, 0.9)
LARGEST = 1e30  # beyond it a value's square, or the value in float32, is infinite
LAST_STEP = 1 << 52
ANCHOR = "2000-01-01"  # the first time of a request that says none, where nothing depends on it
KEPT = 2  # contexts that a session remembers


def answer(model: Forecaster, items: list[Any]) -> list[dict[str, Any]]:
    """Forecasts for requests, in one batch. Raises `DataError` where one cannot be answered, with its number."""
    windows, wanted, begins = [], [], []
    for number, item in enumerate(items):
        where = f"request {number}" if len(items) > 1 else "request"
        windows.append(_window(model, item, where))
        begins.append(_begin(model.schema, item, where))
        levels = item.get("quantiles")
        usual = able(model.network, model.settings, USUAL)
        wanted.append(usual if levels is None else _levels(levels, f"{where}, quantiles"))
        model.network.head.check_levels(wanted[-1])
    levels = tuple(sorted({level for levels in wanted for level in levels}))
    batches = [window.batch(slice(None)) for window in windows]
    # Paths are drawn for each by itself, with the same seed: they must not depend on who else asks.
    together = [[batch] for batch in batches] if model.settings.stepwise else [[_joined(batches)]]
    parts = [forecast_batches(model.network, model.settings, some, levels) for some in together]
    found = Forecasts(
        np.concatenate([part.mean for part in parts]),
        np.concatenate([part.quantiles for part in parts if part.quantiles is not None]) if levels else None,
        levels,
    )
    answers = []
    for n, window in enumerate(windows):
        told = {
            "time": [_spelled(time + begins[n]) for time in window.times(0)],
            model.network.centre: found.mean[n].tolist(),
        }
        if found.quantiles is not None and wanted[n]:
            places = {f"{level:g}": levels.index(level) for level in wanted[n]}
            told["quantiles"] = {name: found.quantiles[n, :, k].tolist() for name, k in places.items()}
        answers.append(told)
    return answers


def _levels(given: Any, where: str) -> tuple[float, ...]:
    """The quantiles that a request wants."""
    if not isinstance(given, list) or not all(_is_number(level) for level in given):
        raise DataError(f"{where}: expected a list of numbers between 0 and 1, got {given!r:.60}")
    return check_levels(given, where)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _joined(batches: list[Any]) -> Any:
    """One batch of several."""
    whole = {
        f.name: torch.cat([getattr(batch, f.name) for batch in batches])
        for f in dataclasses.fields(batches[0])
        if isinstance(getattr(batches[0], f.name), torch.Tensor)
    }
    return dataclasses.replace(batches[0], **whole)


def example(model: Forecaster) -> dict[str, Any]:
    """A request that `answer` understands: two seasons of a wave, and covariates that say nothing."""
    schema = model.schema
    columns, length = schema.columns, max(2 * model.season, min(schema.context, 48))
    wave = 10 + np.round(np.sin(2 * np.pi * np.arange(length) / max(model.season, 8)), 3)
    if model.settings.head_name == "negative_binomial":
        wave = wave.round()
    item: dict[str, Any] = {name: wave.tolist() for name in columns.target}
    for name in columns.past:
        item[name] = [_word(schema, name)] * length
    for name in columns.static:
        item[name] = _word(schema, name)
    for name in columns.known:
        item[name] = [_word(schema, name)] * length
    if columns.known:
        item["future"] = {name: [_word(schema, name)] * schema.horizon for name in columns.known}
    if _by_steps(schema) or not columns.time:
        return item
    return {**item, "start": ANCHOR}


class Session:
    """Forecasts while values come in one by one.

    >>> from gatewright.tasks.forecast.forecaster import Forecaster
    >>> model = Forecaster("gru", horizon=2, hidden_size=4, updates=2).fit({"y": [1.0, 2.0, 3.0, 4.0] * 10})
    >>> session = model.session()
    >>> len(session.step({"y": 3.0})["median"]), session.step({"y": 4.0})["time"]
    (2, [2, 3])
    """

    def __init__(self, model: Forecaster) -> None:
        self.model, self._known, self._dropped = model, {}, 0
        self._fixed: dict[str, Any] = {}

    def step(self, item: Any) -> dict[str, Any]:
        """Take a value, {"sales": 3.0} and the covariates of its time (null: missing), and forecast what comes after
        the last one that is known.

        The first step may have "series", "start" and static columns; any may have "future" and "quantiles". What it
        costs does not grow: a few contexts are remembered.
        """
        model, columns = self.model, self.model.schema.columns
        if not isinstance(item, Mapping):
            raise DataError(f"step: expected an object, got {type(item).__name__}")
        needed = [*columns.target, *columns.known, *columns.past]
        if lacking := [name for name in needed if name not in item]:
            raise DataError(f"step: {', '.join(map(repr, lacking))} missing; give {', '.join(map(repr, needed))}")
        fixed = {**self._fixed, **{n: item[n] for n in ("series", "start", *columns.static) if n in item}}
        known = {name: [*self._known.get(name, []), item[name]] for name in needed}
        request = {**known, **fixed, **{n: item[n] for n in ("future", "quantiles") if n in item}}
        length = len(known[needed[0]])
        found = answer(model, [_later(request, self._dropped, model)])[0]
        self._fixed, most = fixed, KEPT * (model.schema.context + model.season)
        calendar = model.schema.calendar
        counted = calendar.age or (calendar.size and not columns.time)  # features of how many values there were
        drop = length - most // 2 if length > most and not counted else 0
        self._known = {name: values[drop:] for name, values in known.items()}
        self._dropped += drop
        return found


def _later(request: dict[str, Any], rows: int, model: Forecaster) -> dict[str, Any]:
    """A request whose first values are no longer remembered: it begins later."""
    if not rows:
        return request
    frequency = model.schema.frequency
    anchor = _anchor(request.get("start"), model.schema, "step")
    moved = int(frequency.at(anchor, np.array([rows]))[0])
    if _by_steps(model.schema):
        return {**request, "start": moved}
    in_utc = model.schema.zone and not frequency.by_clock
    return {**request, "start": f"{np.datetime64(moved, 'us')}{'Z' if in_utc else ''}"}


def _window(model: Forecaster, item: Any, where: str) -> Any:
    """The window behind the last value of a request."""
    schema, columns = model.schema, model.schema.columns
    if not isinstance(item, Mapping):
        raise DataError(f"{where}: expected an object with {columns.target[0]!r} and its values, got {_kind(item)}")
    known = {*OWN, *columns.target, *columns.covariates}
    if unknown := [name for name in item if name not in known]:
        raise DataError(f"{where}: {unknown[0]!r} is not known; there are {', '.join(map(repr, sorted(known)))}")
    rows = _rows(item, [*columns.target, *columns.known, *columns.past], where)
    table = _table(model, item, rows, 0, where)
    future = None
    if columns.known:
        ahead, names = item.get("future"), ", ".join(columns.known)
        if not isinstance(ahead, Mapping):
            raise DataError(f"{where}: 'future' is missing: {schema.horizon} values of {names}")
        if (given := _rows(ahead, list(columns.known), f"{where}, future")) != schema.horizon:
            raise DataError(f"{where}, future: expected {schema.horizon} values of {names}, got {given}")
        future = _table(model, {**item, **ahead}, schema.horizon, rows, where, ahead=True)
    series = schema.read(table, future)
    windows = final_windows(series, schema)
    if len(windows) > 1:
        raise DataError(f"{where}: a model of several targets answers no requests; train one for each")
    return windows


def _table(
    model: Forecaster, item: Mapping[str, Any], rows: int, begin: int, where: str, *, ahead: bool = False
) -> Table:
    """A request's table. begin: of the first row; ahead: whether it is of covariates to come."""
    schema, columns = model.schema, model.schema.columns
    names = [*columns.known] if ahead else [*columns.target, *columns.known, *columns.past]
    found: dict[str, Any] = {name: list(item[name]) for name in names}
    found |= {name: [item.get(name)] * rows for name in columns.static if not ahead}
    if columns.series:
        key = item.get("series", "")
        parts = key_parts(str(key)) if len(columns.series) > 1 else [str(key)]
        parts += [""] * (len(columns.series) - len(parts))
        found |= {name: [part or "new"] * rows for name, part in zip(columns.series, parts, strict=False)}
    table = read_table(found, name=where)
    if not columns.time:
        return table
    times = schema.frequency.at(_anchor(item.get("start"), schema, where), begin + np.arange(rows))
    stamps = [times] if _by_steps(schema) else as_stamps(times, schema.frequency, schema.zone)
    return dataclasses.replace(table, arrow=table.arrow.append_column(columns.time, stamps))


def _anchor(start: Any, schema: Any, where: str) -> int:
    """The time of a request's first row, as its frequency counts; without an offset it is of the training's zone."""
    if _by_steps(schema):
        if start is None:
            return 0
        if isinstance(start, bool) or not isinstance(start, int) or abs(start) > LAST_STEP:
            raise DataError(f"{where}: start: expected a whole number, the step of the first value, got {start!r:.60}")
        return start
    if start is None and schema.calendar.size:
        raise DataError(
            f"{where}: 'start' is missing: the time of the first value, 2024-01-31T18:00, on which the forecast depends"
        )
    try:
        start = ANCHOR if start is None else start
        if not isinstance(start, str) or (has_zone(start) and not schema.zone):
            raise DataError("no text, or an offset where training had no time zone")
        start = f"{start}-01" if re.fullmatch(r"\d{4}", start) else start  # a year
        return moment_of(schema.frequency, schema.zone, False, start)
    except DataError as error:
        without = " without an offset" if isinstance(start, str) and has_zone(start) and not schema.zone else ""
        raise DataError(f"{where}: start: expected a time, 2024-01-31T18:00{without}, got {start!r:.60}") from error


def _begin(schema: Any, item: Mapping[str, Any], where: str) -> int:
    """What is added to the times of a model without a column of times, which counts from 0."""
    if schema.columns.time:
        return 0
    if item.get("start") and schema.calendar.size:
        raise DataError(f"{where}: start: this model counts from the first value of a series; leave it out")
    return _anchor(item.get("start"), schema, where)


def _rows(item: Mapping[str, Any], names: list[str], where: str) -> int:
    """How many values each column of a request has: all as many."""
    lengths = {}
    for name in names:
        values = item.get(name)
        if not isinstance(values, list) or not values:
            raise DataError(f"{where}: {name!r}: expected a list of values, got {_kind(values)}")
        if large := [k for k, v in enumerate(values) if _is_number(v) and abs(v) > LARGEST]:
            got = f"{values[large[0]]!r:.30}"
            raise DataError(f"{where}: {name!r}, value {large[0]}: expected a number up to {LARGEST:g}, got {got}")
        lengths[name] = len(values)
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{name!r} has {n}" for name, n in lengths.items())
        raise DataError(f"{where}: columns of several lengths: {said}; give all of them as many values")
    return next(iter(lengths.values()))


def _by_steps(schema: Any) -> bool:
    return schema.frequency.unit == "step"


def _word(schema: Any, name: str) -> Any:
    """A value that a column may have: its mean, or one of its categories."""
    if name in schema.numbers:
        return float(schema.numbers[name].location)
    return next(iter(schema.categories[name]), "")


def _kind(value: Any) -> str:
    return "nothing" if value is None else "an empty list" if value == [] else type(value).__name__


def _spelled(time: Any) -> Any:
    """A time as JSON has it: 2024-01-31T18:00:00, microseconds only where there are some."""
    return str(time).removesuffix(".000000") if isinstance(time, np.datetime64) else int(time)
