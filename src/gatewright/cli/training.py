"""The commands that every task has: `train`, `evaluate`, `report`; a task adds its own beside them."""

# No `from __future__ import annotations`: the helps below are values of this function's caller.

from pathlib import Path
from typing import Annotated, Any

import typer

from gatewright.cli.errors import exit_codes, stopped
from gatewright.cli.options import settings_options
from gatewright.tasks.checkpoint import replace_file
from gatewright.tasks.errors import SettingsError
from gatewright.tasks.estimator import Estimator
from gatewright.tasks.folder import REPORT, json_bytes
from gatewright.tasks.progress import metrics_table
from gatewright.tasks.table.write import check_folder

__all__ = ["Device", "Folder", "Tune", "add_commands", "finish", "refuse_with_resume", "show"]

Folder = Annotated[Path, typer.Argument(help="A model folder.")]
Device = Annotated[str, typer.Option(help="Where to run: cpu, cuda, cuda:1, mps.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the training (or tuning) of the folder.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Begin anew where a model is.")]
Tune = Annotated[int | None, typer.Option(help="Try this many settings first, and train with the best.")]
Progress = Annotated[str, typer.Option(help="auto, bar, lines or none.")]


def add_commands(app: typer.Typer, estimator: type[Estimator], *, data: str) -> None:
    """Give a task's commands `train`, `evaluate` and `report`. data: what the argument DATA is, for the help."""
    task = estimator.task
    training_data = typer.Argument(help=f"{data} May be left out with --resume.")
    validation_data = typer.Option(help="Validation data of their own (default: a part of the training data).")

    @app.command()
    @settings_options(estimator.settings_type, estimator.training_type)
    def train(
        data: Annotated[Path | None, training_data] = None,
        out: Annotated[str, typer.Option(help="The model folder to write.")] = f"runs/{task}",
        resume: Resume = False,
        overwrite: Overwrite = False,
        valid: Annotated[Path | None, validation_data] = None,
        tune: Tune = None,
        progress: Progress = "auto",
        settings: Any = None,
    ) -> None:
        """Train a model; the best one, by its loss on the validation data, is in the folder.

        Ctrl-C stops after the current update and saves; --resume goes on.
        """
        with exit_codes():
            if data is None and not resume:
                raise SettingsError(f"DATA is missing; give it: gatewright {task} train DATA")
            if tune is not None:
                sources = {"data": data, "validation": valid}
                model = estimator(**settings).tune(
                    tune, sources, out=out, resume=resume, overwrite=overwrite, progress=progress
                )
            elif resume:
                refuse_with_resume({"--overwrite": overwrite})
                model = estimator.resume(out, data, validation=valid, progress=progress, **settings)
            else:
                model = estimator(**settings)
                sources = model._sources(data=data, validation=valid)
                model._fit(sources, out=out, overwrite=overwrite, progress=progress)
            finish(model, out)

    @app.command()
    def evaluate(
        folder: Folder,
        data: Annotated[Path, typer.Argument(help=data)],
        json_out: Annotated[Path | None, typer.Option("--json", help="Write the figures to a file, too.")] = None,
        device: Device = "cpu",
    ) -> None:
        """The figures of a model on other data."""
        with exit_codes():
            if json_out is not None:
                check_folder(json_out)
            figures = estimator.load(folder).to(device).evaluate(data)
            show(metrics_table(f"{folder} on {data.name or data}", figures))
            if json_out is not None:
                replace_file(json_out, json_bytes(figures))

    @app.command()
    def report(
        folder: Folder,
        data: Annotated[Path | None, typer.Argument(help="The data of the training, where they have moved.")] = None,
        valid: Annotated[Path | None, validation_data] = None,
        out: Annotated[Path | None, typer.Option(help=f"The page to write (default: {REPORT} in the folder).")] = None,
    ) -> None:
        """Write the report of a model's training again: scores, curves, examples, gates."""
        with exit_codes():
            if out is not None:
                check_folder(out)
            page = estimator.load(folder).report(data, validation=valid)
            print(page.save(out or folder / REPORT), flush=True)


def finish(model: Any, out: str) -> None:
    """What is said at a training's end: how to go on where a signal stopped it, else its figures."""
    if model.stopped:
        where, flags = model.stopped_at()
        again = f"gatewright {model.task} train --out {out} --resume{flags}"
        stopped(model.stopped, f"stopped {where}; go on with: {again}")
    if model.leads:
        show(metrics_table(out, model.summary()))
        if (Path(out) / REPORT).exists():  # on a full disk there is a warning instead
            print(f"report: {Path(out) / REPORT}", flush=True)


def refuse_with_resume(given: dict[str, bool]) -> None:
    """Raise `SettingsError` for a flag that was given and cannot be changed for a run that goes on."""
    for flag in (flag for flag, is_given in given.items() if is_given):
        raise SettingsError(f"{flag}: a run that goes on keeps its folder and its data; leave out {flag} or --resume")


def show(thing: Any) -> None:
    """Print with rich."""
    from rich import print as rich_print

    rich_print(thing)
