"""`gatewright forecast`: train, evaluate, forecast, test on the past, and look inside."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from gatewright.cli.errors import exit_codes
from gatewright.cli.training import Device, Folder, add_commands, show
from gatewright.tasks.errors import SettingsError
from gatewright.tasks.forecast.forecaster import Forecaster
from gatewright.tasks.forecast.settings import parse_levels
from gatewright.tasks.table.write import as_csv, check_folder, check_path, write_table

__all__ = ["app"]

app = typer.Typer(help="Forecasts of one series or of thousands.", no_args_is_help=True)

PICTURES = (".png", ".svg", ".pdf", ".html")
DATA = "A table in long format, a row for each series and time: CSV (also .gz) or Parquet."
Data = Annotated[Path, typer.Argument(help=DATA)]
Future = Annotated[Path | None, typer.Option(help="A table of the covariates that are known in the future.")]
Quantiles = Annotated[str | None, typer.Option(help="Levels with a comma: 0.1,0.5,0.9 (0.1,0.9).")]

add_commands(app, Forecaster, data=DATA)


@app.command()
def predict(
    folder: Folder,
    data: Data,
    out: Annotated[
        Path | None, typer.Option(help="The table to write: .csv or .parquet (default: CSV to standard output).")
    ] = None,
    future: Future = None,
    quantiles: Quantiles = None,
    seed: Annotated[int, typer.Option(help="Of the paths of an autoregressive forecast.")] = 0,
    plot: Annotated[Path | None, typer.Option(help="A picture of the first four series: .png, .svg or .html.")] = None,
    device: Device = "cpu",
) -> None:
    """Forecast what comes after each series' last value."""
    with exit_codes():
        if out is not None:
            check_path(out)
        if plot is not None:
            _check_picture(plot)
        model = Forecaster.load(folder).to(device)
        levels = None if quantiles is None else parse_levels(quantiles, "quantiles")
        table = model.predict(data, future, quantiles=levels, seed=seed)
        if out is None:
            sys.stdout.write(as_csv(table))
        else:
            write_table(table, out)
            print(out, flush=True)
        if plot is not None:
            library = "plotly" if plot.suffix.lower() == ".html" else "matplotlib"
            saved = model.plot(data, future, seed=seed, library=library).save(plot)
            print(saved, file=sys.stderr if out is None else sys.stdout)


@app.command()
def backtest(
    folder: Folder,
    data: Data,
    origins: Annotated[int, typer.Option(help="Forecasts of each series, the last of which ends with it.")] = 10,
    stride: Annotated[int | None, typer.Option(help="Steps between two of them (the horizon).")] = None,
    seconds: Annotated[float, typer.Option(help="For each of the slow baselines.")] = 60.0,
    out: Annotated[Path | None, typer.Option(help="Every forecast beside the truth: .csv or .parquet.")] = None,
    device: Device = "cpu",
) -> None:
    """Forecast from origins in the past, beside what came and beside baselines; measure the intervals' coverage."""
    with exit_codes():
        if out is not None:
            check_path(out)
        tested = Forecaster.load(folder).to(device).backtest(data, origins=origins, stride=stride, seconds=seconds)
        show(_scores(tested.scores()))
        for line in tested.left_out:
            print(f"left out to save time: {line}", flush=True)
        if out is not None:
            write_table(tested.table(), out)
            print(out, flush=True)


@app.command()
def explain(
    folder: Folder,
    data: Data,
    series: Annotated[str | None, typer.Option(help="The name of the series (the first).")] = None,
    origin: Annotated[str | None, typer.Option(help="Where the forecast begins, a date or a row (the last).")] = None,
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("explanation.html"),
) -> None:
    """A page about one forecast: what was said and what came, baselines, gates, memory."""
    with exit_codes():
        check_folder(out)
        begin: Any = int(origin) if origin is not None and origin.isdigit() else origin
        print(Forecaster.load(folder).explain(data, series, origin=begin).save(out), flush=True)


def _scores(scores: dict[str, dict[str, float]]) -> Any:
    """A column a model, a row a figure."""
    from rich.table import Table

    table = Table("", *scores)
    for figure in dict.fromkeys(name for found in scores.values() for name in found):
        table.add_row(figure, *(f"{found[figure]:.4g}" if figure in found else "–" for found in scores.values()))
    return table


def _check_picture(path: Path) -> None:
    if path.suffix.lower() not in PICTURES:
        raise SettingsError(f"plot: {path}: expected a name that ends in {', '.join(PICTURES)}")
    check_folder(path)
