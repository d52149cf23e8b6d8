"""`gatewright language`: train, evaluate and generate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gatewright.cli.errors import exit_codes, stopped
from gatewright.cli.options import settings_options
from gatewright.tasks import LanguageModel
from gatewright.tasks.errors import SettingsError
from gatewright.tasks.folder import REPORT
from gatewright.tasks.language_settings import LanguageSettings
from gatewright.tasks.progress import metrics_table
from gatewright.tasks.sampling import Sampling
from gatewright.tasks.settings import TrainingSettings

__all__ = ["app"]

app = typer.Typer(help="Language models on any text.", no_args_is_help=True)

TextArgument = Annotated[
    Path | None,
    typer.Argument(help="A file or folder of text; default: the Python reference inside Python."),
]
FolderArgument = Annotated[Path, typer.Argument(help="A model folder.")]
Pattern = Annotated[str, typer.Option("--files", help="Which files of a folder of text.")]
Device = Annotated[str, typer.Option(help="Where to run: cpu, cuda, cuda:1, mps.")]


@app.command()
@settings_options(LanguageSettings, TrainingSettings)
def train(
    text: TextArgument = None,
    out: Annotated[str, typer.Option(help="The model folder to write.")] = "runs/language",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the training of the folder.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Begin anew where a model is.")] = False,
    valid: Annotated[Path | None, typer.Option(help="A text for validation (default: the end of the text).")] = None,
    files: Annotated[str | None, typer.Option(help="Which files of a folder of text (default: all).")] = None,
    progress: Annotated[str, typer.Option(help="auto, bar, lines or none.")] = "auto",
    settings: Any = None,
) -> None:
    """Train a model; the best one, by its loss on the validation text, is in the folder.

    Ctrl-C stops after the current update and saves; --resume goes on.
    """
    with exit_codes():
        if resume:
            _refuse_with_resume({"--overwrite": overwrite, "--files": files is not None})
            model = LanguageModel.resume(out, text, validation=valid, progress=progress, **settings)
        else:
            model = LanguageModel(**settings)
            model.fit(text, validation=valid, out=out, overwrite=overwrite, pattern=files or "*", progress=progress)
        if model.stopped:
            again = f"gatewright language train --out {out} --resume"
            stopped(model.stopped, f"stopped after update {model.metrics['updates']}; go on with: {again}")
        if model.leads:
            _print(metrics_table(out, model.summary()))
            print(f"report: {Path(out) / REPORT}", flush=True)


@app.command()
def report(
    folder: FolderArgument,
    text: Annotated[Path | None, typer.Argument(help="The text of the training, where it has moved.")] = None,
    valid: Annotated[Path | None, typer.Option(help="Its validation text, where it had one of its own.")] = None,
    files: Pattern = "*",
    out: Annotated[Path | None, typer.Option(help="The page to write (default: report.html in the folder).")] = None,
) -> None:
    """Write the report of a model's training again: scores, curves, examples, gates."""
    with exit_codes():
        page = LanguageModel.load(folder).report(text, validation=valid, pattern=files)
        print(page.save(out or folder / REPORT), flush=True)


@app.command()
def evaluate(folder: FolderArgument, text: TextArgument = None, files: Pattern = "*", device: Device = "cpu") -> None:
    """Loss and perplexity on a text, its state carried from the first token to the last."""
    with exit_codes():
        model = LanguageModel.load(folder).to(device)
        _print(metrics_table(f"{folder} on {text or 'the default text'}", model.evaluate(text, pattern=files)))


@app.command()
@settings_options(Sampling)
def generate(
    folder: FolderArgument,
    prompt: Annotated[str, typer.Option(help="What the text begins with.")] = "",
    device: Device = "cpu",
    settings: Any = None,
) -> None:
    """Write text that goes on from a prompt."""
    with exit_codes():
        print(LanguageModel.load(folder).to(device).generate(prompt, **settings), flush=True)


@app.command()
def units(
    folder: FolderArgument,
    text: Annotated[Path, typer.Argument(help="A text that the model has not seen, one file.")],
    follow: Annotated[
        str,
        typer.Option(
            help="brackets, depth, quotes, indent or line of Python source; or next:is,are (which comes next)."
        ),
    ] = "brackets",
    top: Annotated[int, typer.Option(help="How many units.")] = 5,
    out: Annotated[Path | None, typer.Option(help="A picture: the text coloured by the best unit.")] = None,
) -> None:
    """Which units follow something known about a text: found on one half of it, scored on the other."""
    with exit_codes():
        model = LanguageModel.load(folder)
        found = model.follow(text, follow, top=top)
        for unit in found.units:
            print(unit, flush=True)
        if out is not None:
            best = found.units[0]
            library = "html" if out.suffix == ".html" else "matplotlib"
            found.picture(best, library=library, title=f"{best.name}, unit {best.unit}: {follow}").save(out)
            print(out, flush=True)


def _refuse_with_resume(given: dict[str, bool]) -> None:
    for flag in (flag for flag, is_given in given.items() if is_given):
        raise SettingsError(f"{flag}: a run that goes on keeps its folder and its text; leave out {flag} or --resume")


def _print(thing: Any) -> None:
    from rich import print as rich_print

    rich_print(thing)
