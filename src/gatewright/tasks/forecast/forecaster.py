"""Forecasts: what comes next in one series or in thousands, by one recurrent network for all."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from gatewright.inside.pictures.picture import Drawing
from gatewright.tasks.errors import DataError, TaskError
from gatewright.tasks.estimator import Estimator
from gatewright.tasks.forecast.backtest import LEVELS, Backtest, backtest
from gatewright.tasks.forecast.baselines import usual
from gatewright.tasks.forecast.data import (
    Columns,
    ForecastData,
    Sampling,
    Scaling,
    Schema,
    final_windows,
    forecast_columns,
    prepare_forecast,
    rolling_windows,
)
from gatewright.tasks.forecast.findings import explanation, findings
from gatewright.tasks.forecast.inputs import shape_of
from gatewright.tasks.forecast.job import ForecastJob
from gatewright.tasks.forecast.network import Direct, Stepwise
from gatewright.tasks.forecast.plots import draw_forecasts
from gatewright.tasks.forecast.predict import (
    able,
    as_model,
    check_counts,
    check_levels,
    chosen_series,
    forecast_columns_of,
    forecast_windows,
    measured,
    on_grid,
    refuse_none,
)
from gatewright.tasks.forecast.serving import Session, answer, example
from gatewright.tasks.forecast.settings import ForecastSettings, ForecastTraining, as_text
from gatewright.tasks.report.parts import Findings
from gatewright.tasks.table.table import read_table
from gatewright.tasks.tuning.tune import Between, OneOf

__all__ = ["Forecaster"]


class Forecaster(Estimator):
    """A recurrent network that forecasts series: one network for all of them, H steps at once or one after another.

    cell: a `gw.Cell`, a name of the zoo, equations as text, or a path to a file of equations. Every other argument is a
    field of `ForecastSettings` (what is read and foretold, and by what network) or of `ForecastTraining` (how it is
    trained); columns may be lists. An unknown one raises `SettingsError`.

    >>> import numpy as np
    >>> months = np.arange("2015-01", "2020-01", dtype="datetime64[M]").astype("datetime64[D]")
    >>> sales = 100 + 10 * np.sin(np.arange(60) * np.pi / 6)
    >>> model = Forecaster("gru", horizon=6, hidden_size=8, updates=3)
    >>> frame = model.fit({"month": months, "sales": sales}).predict()
    >>> list(frame.columns), len(frame)
    (['month', 'median', '0.1', '0.9'], 6)
    """

    task: ClassVar[str] = "forecast"
    _given: Any = None  # the data of `fit`
    settings_type = ForecastSettings
    training_type = ForecastTraining
    job_type = ForecastJob
    network_type = Direct
    units = ("head", "horizon", "kind", "log", "quantiles", "scaling", "target", "validation_windows", "window")
    search: ClassVar[Mapping[str, Any]] = {
        "hidden_size": OneOf(32, 64, 128, 256),
        "num_layers": OneOf(1, 2),
        "dropout": Between(0.0, 0.5),
        "learning_rate": Between(5e-4, 1e-2, log=True),
        "residual": OneOf("none", "season", "last"),
    }

    def __init__(self, cell: Any = "lstm", **settings: Any) -> None:
        settings = {name: as_text(name, value) for name, value in settings.items()}
        super().__init__(cell, **_lasting(settings))

    def set_params(self, **changes: Any) -> Self:
        """Change settings; `epochs` or `minutes` alone take the place of the usual `updates`."""
        usual = self.training.updates == ForecastTraining().updates
        return super().set_params(**_lasting(changes) if usual else changes)

    @classmethod
    def make_network(cls, cell: Any, settings: ForecastSettings, config: dict[str, Any]) -> Direct | Stepwise:
        """The network of some data, with new weights."""
        shape = shape_of(settings, Schema.from_dict(config["data"]))
        return Stepwise(cell, settings, shape) if settings.stepwise else Direct(cell, settings, shape)

    # -- training ------------------------------------------------------------------------------------------------

    def fit(
        self,
        data: Any,
        *,
        validation: Any = None,
        out: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
        progress: str = "none",
    ) -> Self:
        """Train, and keep the weights with the best validation loss.

        Args:
            data: a table in long format, a row for each series and time: a path (CSV, Parquet), a pandas or polars
                frame, an Arrow table, or a dict of lists.
            validation: a table that goes on where data end; by default the end of each series (setting `validation`).
            out: the model folder (default: none is kept). overwrite: begin anew where it holds a model.
            progress: "bar", "lines", "auto" or "none".

        Raises:
            DataError: a table that cannot be forecast; the message names row, column or series.
            SettingsError, FolderError, TrainingError: as for every task.
        """
        self._given = data
        sources = self._sources(data=data, validation=validation)
        return self._fit(sources, out=out, overwrite=overwrite, progress=progress)

    def _sources(self, *, data: Any = None, validation: Any = None) -> dict[str, Any]:
        return {"data": _path(data), "validation": _path(validation)}

    def _prepare(
        self,
        *,
        data: Any = None,
        validation: Any = None,
        config: dict[str, Any] | None = None,
    ) -> ForecastData:
        s = self.settings
        if data is None:
            raise DataError("data: none are given; give a path, a frame, or a dict of lists")
        columns = Columns.of(
            series=s.names("series"),
            time=s.time,
            target=s.names("target"),
            known=s.names("known"),
            past=s.names("past"),
            static=s.names("static"),
            freq=s.freq,
            irregular=s.irregular,
        )
        by_series, by_window = s.scalings
        return prepare_forecast(
            data,
            columns,
            context=s.context_for,
            horizon=s.horizon,
            scaling=Scaling(by_series, by_window, s.log),
            calendar=s.calendar,
            periods=s.cycles,
            sampling=Sampling(
                self.training.batch_size,
                s.windows,
                s.stride,
                weights=s.draw,
                seed=self.training.seed,
                buffer_rows=s.buffer_rows,
            ),
            validation=validation if validation is not None else s.split,
            evaluation_windows=s.validation_windows,
            learned=None if config is None else Schema.from_dict(config["data"]),
        )

    def check(self, prepared: Any) -> None:
        """Counts must be whole and not negative."""
        if prepared.uncounted is not None and self.settings.head_name == "negative_binomial":
            raise DataError(
                f"{prepared.uncounted} is no count; head negative_binomial is for whole numbers from 0 on: take "
                "another --head (student_t, quantiles)"
            )

    # -- forecasts -----------------------------------------------------------------------------------------------

    @property
    def schema(self) -> Schema:
        """What the model knows of the data. Raises `TaskError` before `fit` or `load`."""
        return Schema.from_dict(self._made(self.config)["data"])

    def predict(
        self, data: Any = None, future: Any = None, *, quantiles: Sequence[float] | None = None, seed: int = 0
    ) -> Any:
        """The `horizon` steps after each series' last value, as a frame of the library that came in.

        Args:
            data: as for `fit`: new values of the same series, or other series; None is what the model was fitted on.
            future: a table of the covariates known in the future; or they stand in rows of data without a target.
            quantiles: levels between 0 and 1 (0.1 and 0.9; none for heads without). seed: of sampled paths.

        Returns:
            A row for each series and step: the columns of series and time ("target", where there are several), "median"
            or "mean", and one for each level.

        Raises:
            DataError: data that do not fit the model; known covariates are missing somewhere in the horizon.
            SettingsError: a level that the head has no quantile at.
        """
        table = self._table(data)
        levels = self._levels(quantiles)
        windows = final_windows(self.schema.read(table, future), self.schema)
        found = forecast_windows(self.network, self.settings, windows, levels, seed=seed)
        places = forecast_columns(windows, table)
        targets = self.schema.columns.target
        if len(targets) > 1:
            places["target"] = np.repeat(np.array(targets)[windows.channel], self.schema.horizon)
        return table.frame(forecast_columns_of(self.network.centre, found, places))

    def evaluate(
        self, data: Any, *, first: Any = None, stride: int = 1, at_most: int | None = None
    ) -> dict[str, float]:
        """Figures on all windows of data: forecasts from every origin with a whole context before it.

        To be honest figures the origins must lie behind the training: give the context that stands before them too.

        Args:
            data: as for `fit`. first: the first origin, a date or a row. stride: steps from origin to origin.
            at_most: so many windows, evenly spread.

        Returns:
            loss-free figures over all values: windows, MASE, MAE, RMSE, MSE, sMAPE, of quantiles CRPS and
            coverage; "scaled MSE" and "scaled MAE" are in units of each series' scale in training, its standard
            deviation by default (without one, and with log, they are left out).
        """
        check_counts(stride=stride, at_most=at_most)
        series = self.schema.read(self._table(data))
        start = np.minimum(self.schema.context, series.ends - self.schema.horizon) if first is None else first
        windows = rolling_windows(series, self.schema, first=start, stride=stride, at_most=at_most)
        refuse_none(windows, "" if first is None else f" from {first} on")
        tested = self._tested(windows, {}, self._levels(None))
        found = tested.scores()[self.cell_name]
        figures = {"windows": len(windows), **found}
        scaling = self.schema.scaling
        if scaling.log or scaling.series == "none":  # no scale in the data's units
            return figures
        error = (tested.forecasts[self.cell_name].mean - tested.truth) / windows.series_scales()[1][:, None]
        scaled = {"scaled MSE": float(np.nanmean(error**2)), "scaled MAE": float(np.nanmean(np.abs(error)))}
        return {**figures, **scaled}

    def backtest(
        self,
        data: Any = None,
        *,
        origins: int = 10,
        stride: int | None = None,
        levels: Sequence[float] = LEVELS,
        baselines: Mapping[str, Any] | None = None,
        seconds: float = 60.0,
    ) -> Backtest:
        """Forecasts from the last origins of each series, beside what came and beside baselines.

        Args:
            data: as for `fit`; None is what the model was fitted on, whose last part is the validation's.
            origins: of each series. stride: steps between two (the horizon). levels: of quantiles.
            baselines: models by name (naive, seasonal naive, drift, theta, ETS). seconds: for each slow one.
        """
        check_counts(origins=origins, stride=stride)
        series = self.schema.read(self._table(data))
        first = on_grid(series.ends, self.schema.horizon, origins, stride or self.schema.horizon)
        windows = rolling_windows(series, self.schema, first=first, stride=stride or self.schema.horizon)
        refuse_none(windows)
        return self._tested(windows, usual(self.season, seconds=seconds) if baselines is None else baselines, levels)

    def plot(self, data: Any = None, future: Any = None, *, series: Any = 4, seed: int = 0, **options: Any) -> Drawing:
        """Forecasts of the steps to come as a picture, `save("forecast.png")` or ".html"; see `draw_forecasts`.

        data, future, seed: as for `predict`. series: their names, one or several, or how many. options: those of
        `draw_forecasts`.
        """
        windows = final_windows(self.schema.read(self._table(data), future), self.schema)
        if isinstance(series, int):
            check_counts(series=series)
            chosen = list(range(min(series, len(windows))))
        else:
            chosen = [chosen_series(windows.series, name) for name in ([series] if isinstance(series, str) else series)]
        levels = able(self.network, self.settings, (0.1, 0.25, 0.75, 0.9))
        found = forecast_windows(self.network, self.settings, windows, levels, seed=seed)
        return draw_forecasts(measured(windows), {self.cell_name: found}, chosen=chosen, **options)

    # -- reports -------------------------------------------------------------------------------------------------

    def _findings(self, prepared: ForecastData | None) -> Findings:
        return findings(self, prepared)

    def _explanation(  # type: ignore[override]
        self, data: Any = None, series: str | None = None, *, origin: Any = None
    ) -> Findings:
        """One forecast: the last one of which the truth is known, or that from an origin, a date or a row."""
        found = self.schema.read(self._table(data))
        return explanation(self, found, series, origin)

    # -- serving -------------------------------------------------------------------------------------------------

    def answer(self, items: list[Any]) -> list[Any]:
        """Forecasts for requests, each a dict: the columns of the model as lists ({"sales": [3, 4, …]}).

        A request may have "series", the name of a known one, "start", the time of its first value, "quantiles", levels,
        and "future", known covariates by column. Times are of the training's time zone; a start with an offset is
        converted. Returns dicts: "time", "median" or "mean", and "quantiles", of the steps after the last value that is
        not null.
        """
        return answer(self, items)

    def example(self) -> Any:
        """A request that `answer` understands."""
        return example(self)

    def session(self) -> Session:
        """`step({"sales": 3.0})` takes one value after another and forecasts what comes next."""
        return Session(self)

    # -- within --------------------------------------------------------------------------------------------------

    def _tested(self, windows: Any, baselines: Mapping[str, Any], levels: Sequence[float]) -> Backtest:
        """These windows forecast by the model and its baselines."""
        models = {self.cell_name: as_model(self.network, self.settings, windows), **baselines}
        return backtest(models, measured(windows), season=self.season, levels=levels)

    @property
    def season(self) -> int:
        """Steps of a season, as set or by the frequency."""
        return self.settings.season or self.schema.frequency.season

    def _table(self, data: Any) -> Any:
        if data is not None:
            return read_table(data)
        if self._given is None:
            raise TaskError("data: this model was not fitted here; give the series to forecast")
        return read_table(self._given)

    def _levels(self, quantiles: Sequence[float] | None) -> tuple[float, ...]:
        if quantiles is None:
            return able(self.network, self.settings, (0.1, 0.9))
        levels = check_levels(quantiles)
        self.network.head.check_levels(levels)
        return levels


def _lasting(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings in which `epochs` or `minutes` alone are the limit: the usual updates would end a run without a word."""
    longer = any(settings.get(limit) is not None for limit in ("epochs", "minutes"))
    return {"updates": None, **settings} if longer else settings


def _path(data: Any) -> Any:
    """A text is a path: a checkpoint remembers it."""
    return Path(data) if isinstance(data, str) else data
