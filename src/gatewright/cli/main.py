"""`gatewright`: the command."""

from __future__ import annotations

from typing import Annotated

import typer

from gatewright.cli import errors
from gatewright.cli.diagram import diagram
from gatewright.cli.explore import explore
from gatewright.cli.language import app as language
from gatewright.cli.report import report

__all__ = ["app", "run"]

app = typer.Typer(
    name="gatewright",
    help="Write the gates; get the network: recurrent cells as equations.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(language, name="language")
app.command()(diagram)
app.command()(explore)
app.command()(report)


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of every error.")] = False,
) -> None:
    """Write the gates; get the network: recurrent cells as equations."""
    errors.DEBUG["on"] = debug


def run() -> None:
    """The entry point of the command; exits with its code."""
    app()
