"""`gatewright language`: train, evaluate and generate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gatewright.cli.errors import exit_codes
from gatewright.cli.language_evaluate import evaluate
from gatewright.cli.options import settings_options
from gatewright.cli.training import Device, Folder, Tune, finish, refuse_with_resume
from gatewright.tasks import LanguageModel, SettingsError
from gatewright.tasks.folder import REPORT
from gatewright.tasks.language.sampling import Sampling
from gatewright.tasks.language.settings import LanguageSettings
from gatewright.tasks.settings import TrainingSettings
from gatewright.tasks.table.write import check_folder

__all__ = ["app"]

app = typer.Typer(help="Language models on any text.", no_args_is_help=True)

TextArgument = Annotated[
    Path | None,
    typer.Argument(help="A file or folder of text; default: the Python reference inside Python."),
]


@app.command()
@settings_options(LanguageSettings, TrainingSettings)
def train(
    text: TextArgument = None,
    out: Annotated[str, typer.Option(help="The model folder to write.")] = "runs/language",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the training of the folder.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Begin anew where a model is.")] = False,
    valid: Annotated[Path | None, typer.Option(help="A text for validation (default: the end of the text).")] = None,
    files: Annotated[str | None, typer.Option(help="Which files of a folder of text (default: all).")] = None,
    tune: Tune = None,
    progress: Annotated[str, typer.Option(help="auto, bar, lines or none.")] = "auto",
    settings: Any = None,
) -> None:
    """Train a model; the best one, by its loss on the validation text, is in the folder.

    Ctrl-C stops after the current update and saves; --resume goes on.
    """
    with exit_codes():
        if resume:
            refuse_with_resume({"--overwrite": overwrite, "--files": files is not None})
        if tune is not None:
            sources = {"text": text, "validation": valid, **({} if resume else {"pattern": files or "*"})}
            options: dict[str, Any] = {"out": out, "resume": resume, "overwrite": overwrite, "progress": progress}
            model = LanguageModel(**settings).tune(tune, sources, **options)
        elif resume:
            model = LanguageModel.resume(out, text, validation=valid, progress=progress, **settings)
        else:
            model = LanguageModel(**settings)
            model.fit(text, validation=valid, out=out, overwrite=overwrite, pattern=files or "*", progress=progress)
        finish(model, out)


@app.command()
def report(
    folder: Folder,
    text: Annotated[Path | None, typer.Argument(help="The text of the training, where it has moved.")] = None,
    valid: Annotated[Path | None, typer.Option(help="Its validation text, where it had one of its own.")] = None,
    files: Annotated[str | None, typer.Option(help="Which files of a folder (default: those of the training).")] = None,
    out: Annotated[Path | None, typer.Option(help="The page to write (default: report.html in the folder).")] = None,
) -> None:
    """Write the report of a model's training again: scores, curves, examples, gates."""
    with exit_codes():
        if out is not None:
            check_folder(out)
        page = LanguageModel.load(folder).report(text, validation=valid, pattern=files)
        print(page.save(out or folder / REPORT), flush=True)


app.command()(evaluate)


@app.command()
def explain(
    folder: Folder,
    text: Annotated[Path, typer.Argument(help="A file with a text of at most 2,048 tokens.")],
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("explanation.html"),
) -> None:
    """A page about one text: each token's surprise, what was expected instead, and what the gates do."""
    with exit_codes():
        print(LanguageModel.load(folder).explain(text).save(out), flush=True)


@app.command()
@settings_options(Sampling)
def generate(
    folder: Folder,
    prompt: Annotated[str, typer.Option(help="What the text begins with.")] = "",
    best: Annotated[
        int | None, typer.Option(help="With --beams: print so many, each behind its log probability.", min=1)
    ] = None,
    device: Device = "cpu",
    settings: Any = None,
) -> None:
    """Write text that goes on from a prompt."""
    with exit_codes():
        if best is not None and "beams" not in settings:
            raise SettingsError("--best: belongs to --beams, which is not given; add it, or leave --best out")
        model = LanguageModel.load(folder).to(device)
        if best is None:
            print(model.generate(prompt, **settings), flush=True)
        else:
            for found in model.beams(prompt, **settings)[:best]:
                print(f"{found.log_probability:.3f}\t{found.text}", flush=True)


@app.command()
def units(
    folder: Folder,
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
