"""`gatewright classify`: train, evaluate, predict and explain a class, or a number, for every sequence."""

from __future__ import annotations

import csv
import sys
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from gatewright.cli.errors import exit_codes
from gatewright.cli.training import Device, Folder, add_commands, show
from gatewright.tasks.checkpoint import replace_file
from gatewright.tasks.classify.classifier import Classifier
from gatewright.tasks.errors import DataError

__all__ = ["app"]

DATA = (
    "A long table (.csv, .parquet), sktime's .ts, .npz, lines of label<TAB>text, a table of texts or of recordings, "
    "or a folder of recordings by label."
)
Sequences = Annotated[Path, typer.Argument(help=DATA)]

app = typer.Typer(help="A class, or a number, for every sequence.", no_args_is_help=True)
add_commands(app, Classifier, data=DATA)


@app.command()
def predict(
    folder: Folder,
    data: Sequences,
    out: Annotated[Path | None, typer.Option(help="A CSV file to write (default: standard output).")] = None,
    device: Device = "cpu",
) -> None:
    """As CSV: the class of every sequence and the probability of each, or its number; labels need not be there."""
    with exit_codes():
        rows = predictions(Classifier.load(folder).to(device), data)
        if out is None:
            write(rows, sys.stdout)
        else:
            text = StringIO(newline="")
            write(rows, text)
            replace_file(out, text.getvalue().encode())
            print(out, flush=True)


@app.command()
def classes(folder: Folder, data: Sequences, device: Device = "cpu") -> None:
    """Precision, recall and F1 of every class, and how early the classes are known."""
    with exit_codes():
        from rich.table import Column, Table
        from rich.text import Text  # names are not markup

        model = Classifier.load(folder).to(device)
        if model.settings.kind == "regression":
            raise DataError(f"{folder}: a regression has no classes; take gatewright classify evaluate")
        rows, names = model.by_class(data), [str(name) for name in model.classes_]
        taken_as = [Column(Text(f"as {name}")) for name in names]
        table = Table("class", "precision", "recall", "F1", "sequences", *taken_as)
        for row, taken in zip(rows, model.confusion(data), strict=True):
            figures = [f"{row[name]:.4f}" for name in ("precision", "recall", "f1")]
            table.add_row(Text(str(row["class"])), *figures, str(row["sequences"]), *map(str, taken))
        show(table)
        early = Table("share seen", "accuracy")
        for share, accuracy in model.early(data):
            early.add_row(f"{share:.0%}", f"{accuracy:.4f}")
        show(early)


@app.command()
def explain(
    folder: Folder,
    data: Sequences,
    number: Annotated[int, typer.Option(help="Which sequence of the data, counted from 0.")] = 0,
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("explanation.html"),
) -> None:
    """A page about one sequence: what is predicted, which steps counted, gates and memory."""
    with exit_codes():
        print(Classifier.load(folder).explain(data, number=number).save(out), flush=True)


def predictions(model: Classifier, data: Path) -> list[list[Any]]:
    """A header and a row for each sequence."""
    inputs = model.read(data)
    names = [inputs.ids[k] if inputs.ids else k for k in range(len(inputs))]
    if model.settings.kind == "regression":
        return [["sequence", "prediction"], *([n, float(v)] for n, v in zip(names, model.predict(inputs), strict=True))]
    found, classes = model.predict_proba(inputs), model.classes_
    rows = [[n, classes[p.argmax()], *(round(float(v), 6) for v in p)] for n, p in zip(names, found, strict=True)]
    return [["sequence", "prediction", *(f"p({name})" for name in classes)], *rows]


def write(rows: list[list[Any]], file: TextIO) -> None:
    """Rows as CSV."""
    csv.writer(file, lineterminator="\n").writerows(rows)
