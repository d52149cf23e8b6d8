"""`gatewright tag`: train, evaluate, tag texts, and look inside."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Literal

import typer

from gatewright.cli.errors import exit_codes
from gatewright.cli.training import Device, Folder, add_commands, show
from gatewright.tasks.errors import DataError
from gatewright.tasks.tag.data import lines_of
from gatewright.tasks.tag.tagger import Tagged, Tagger

__all__ = ["app"]

app = typer.Typer(help="Tags for words (slots, names, parts of speech) and intents.", no_args_is_help=True)

DATA = (
    "A file of CoNLL columns, a folder with seq.in, seq.out and perhaps label, or a folder with such parts named "
    "train, valid and test."
)
TOGETHER = 256  # texts that are tagged at once
ENDINGS = (".txt", ".text", ".in", ".gz")  # of what is meant as a file's name

add_commands(app, Tagger, data=DATA)


@app.command()
def predict(
    folder: Folder,
    text: Annotated[str, typer.Argument(help="A text, a file with a text on each line, or - for what comes in.")] = "-",
    form: Annotated[
        Literal["columns", "json"], typer.Option("--format", help="A word and its tag a line, or JSON, a text a line.")
    ] = "columns",
    device: Device = "cpu",
) -> None:
    """Tag texts, whose words are separated by white space; what comes out as columns can be trained on."""
    with exit_codes():
        model = Tagger.load(folder).to(device)
        lines = (line for line in _texts(text) if line.strip())
        while some := list(itertools.islice(lines, TOGETHER)):
            for tagged in model.annotate(some):
                written = _columns(tagged) if form == "columns" else json.dumps(tagged.to_dict(), ensure_ascii=False)
                print(written, flush=True)


@app.command()
def explain(
    folder: Folder,
    text: Annotated[str, typer.Argument(help="A sentence, its words separated by white space.")],
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("explanation.html"),
) -> None:
    """A page about one sentence: tags, how sure they are, rivals, and what the gates do at each word."""
    with exit_codes():
        print(Tagger.load(folder).explain(text).save(out), flush=True)


@app.command()
def types(
    folder: Folder,
    data: Annotated[Path, typer.Argument(help=DATA)],
    device: Device = "cpu",
) -> None:
    """Precision, recall and F1 of each type of span, as conlleval counts them; of each tag where they mark no spans."""
    from rich.table import Table
    from rich.text import Text

    with exit_codes():
        table = Table("type", *(name for name in ("precision", "recall", "F1", "true", "predicted")))
        for kind, score in Tagger.load(folder).to(device).by_type(data).items():
            shares = (f"{100 * share:.2f}" for share in (score.precision, score.recall, score.f1))
            table.add_row(Text(kind), *shares, str(score.gold), str(score.predicted))
        show(table)


def _texts(text: str) -> Iterable[str]:
    if text == "-":
        return _decoded(sys.stdin.buffer)
    path = Path(text)
    if len(text) < 256 and path.is_file():
        return lines_of(path)
    if len(text.split()) == 1 and path.suffix in ENDINGS:
        raise DataError(f"{text}: no such file; give a file with a text on each line, or a text")
    return [text]


def _decoded(lines: Iterable[bytes]) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"standard input, line {number}: not UTF-8; convert it, as with iconv -t UTF-8") from error


def _columns(tagged: Tagged) -> str:
    rows = [f"{word}\t{tag}" for word, tag in zip(tagged.words, tagged.tags, strict=True)]
    return "\n".join([*([f"# intent: {tagged.intent}"] if tagged.intent else []), *rows, ""])
