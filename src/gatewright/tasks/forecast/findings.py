"""What a forecast's report is made from: a backtest on the validation part, and a look inside some windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from gatewright.tasks.errors import DataError
from gatewright.tasks.forecast.backtest import LEVELS, backtest
from gatewright.tasks.forecast.baselines import usual
from gatewright.tasks.forecast.data import rolling_windows, thinned
from gatewright.tasks.forecast.inputs import Inputs
from gatewright.tasks.forecast.predict import as_model, chosen_series, losses_of, measured
from gatewright.tasks.forecast.report import forecast_findings
from gatewright.tasks.forecast.time import spell_time
from gatewright.tasks.progress import clock
from gatewright.tasks.report.parts import Alert, Findings, Probe, Score

if TYPE_CHECKING:
    from gatewright.tasks.forecast.forecaster import Forecaster

__all__ = ["explanation", "findings"]

REPORTED = 200  # windows of a report, at most
PROBED = 8  # windows that a report looks inside
SECONDS = 10.0  # for each slow baseline of a report


def findings(model: Forecaster, prepared: Any | None) -> Findings:
    """What the report shows; without the data only what the metrics say."""
    data = {name.replace("_", " "): v for name, v in (model.metrics.get("data") or {}).items() if name != "notes"}
    of = f" of {data['name']}" if "name" in data else ""
    title = f"{model.cell_name}: {', '.join(model.schema.columns.target)}{of}, {model.settings.horizon} steps ahead"
    if prepared is None:
        told = "the data of this run are not known here, so there are no baselines and no examples; give them"
        return Findings(title, "windows", _headline(model), _ours(model), data, alerts=[Alert(told, "note")])
    windows = thinned(prepared.source.valid, REPORTED)
    models = {model.cell_name: as_model(model.network, model.settings, windows), **usual(model.season, seconds=SECONDS)}
    tested = backtest(models, measured(windows), season=model.season, levels=LEVELS)
    notes = [Alert(note, "note") for note in prepared.notes]
    return forecast_findings(
        title, tested, model.cell_name, data=data, probe=_probe(model, thinned(windows, PROBED)), alerts=notes
    )


def explanation(model: Forecaster, series: Any, name: str | None, origin: Any) -> Findings:
    """One forecast beside what came and beside the baselines, and what happened inside the network."""
    at, horizon = chosen_series(series, name), model.schema.horizon
    windows = rolling_windows(series, model.schema, first=origin, last=origin)
    mine = np.flatnonzero(windows.item == at)
    if not len(mine):
        raise DataError(
            f"series {series.names[at]!r}: no forecast of {horizon} steps of which the truth is known"
            + (f" begins at {origin}" if origin is not None else "")
            + "; give an earlier origin, or longer series"
        )
    window = windows[mine[-1:]]
    models = {model.cell_name: as_model(model.network, model.settings, window), **usual(model.season, seconds=SECONDS)}
    tested = backtest(models, measured(window), season=model.season, levels=LEVELS)
    begin = spell_time(int(window.times(0)[0].astype(np.int64)), series.steps)
    title = f"{series.names[at]}: {horizon} steps from {'step ' * series.steps}{begin} on"
    return forecast_findings(title, tested, model.cell_name, probe=_probe(model, window))


def _probe(model: Forecaster, windows: Any) -> Probe:
    """The network on some windows, read step by step."""
    batch = next(iter(windows.batches(PROBED)))
    inputs, segment = Inputs(batch, model.network), model.network.shape.segment
    axis = {"signal": {windows.series.names[windows.item[0]]: _read(model, batch)}}
    seasons = {"a season": float(model.season / segment)} if model.season > segment else None
    which = "This forecast" if len(batch) == 1 else f"{len(batch)} windows of the validation part"
    how = f" in segments of {segment}" if segment > 1 else ""
    how = ", then those to come, each told the true value before" if model.settings.stepwise else how
    about = f"{which}: {model.schema.context} steps are read{how}."
    return Probe(model.network, lambda: losses_of(model.network, inputs), axis, lags=seasons, about=about)


def _read(model: Forecaster, batch: Any) -> np.ndarray:
    """The values of the first window that the network reads, one after the other, NaN where there are none: the
    context, in whole segments, or what each step of a stepwise forecast is told.
    """
    values = torch.cat([batch.context, batch.target], 1).double()
    seen = torch.cat([batch.observed, batch.target_observed], 1)
    found = torch.where(seen > 0, batch.inverse(values), torch.nan)[0].numpy()
    length, segment = model.schema.context, model.network.shape.segment
    if model.settings.stepwise:
        return found[:-1]
    return np.concatenate([np.full(-length % segment, np.nan), found[:length]])


def _ours(model: Forecaster) -> list[Score]:
    best = model.metrics.get("best")
    if not best:
        return []
    figures = {name: best[name] for name in ("loss", "mae") if name in best}
    return [Score(model.cell_name, figures, "this model, at its best", ours=True)]


def _headline(model: Forecaster) -> list[tuple[str, str]]:
    best, m = model.metrics.get("best"), model.metrics
    if not best:
        return []
    return [
        ("validation loss", f"{best['loss']:.4f}"),
        ("parameters", f"{m['parameters']:,}"),
        ("training", clock(m["seconds"])),
    ]
