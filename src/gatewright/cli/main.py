"""`gatewright`: the command."""

from __future__ import annotations

from typing import Annotated

import typer

from gatewright.cli import errors
from gatewright.cli.classify import app as classify
from gatewright.cli.diagram import diagram
from gatewright.cli.explore import explore
from gatewright.cli.forecast import app as forecast
from gatewright.cli.language import app as language
from gatewright.cli.report import report
from gatewright.cli.serve import serve
from gatewright.cli.tag import app as tag

__all__ = ["app", "run"]

app = typer.Typer(
    name="gatewright",
    help="Write the gates; get the network: recurrent cells as equations.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(classify, name="classify")
app.add_typer(forecast, name="forecast")
app.add_typer(language, name="language")
app.add_typer(tag, name="tag")
app.command()(diagram)
app.command()(explore)
app.command()(report)
app.command()(serve)


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of every error.")] = False,
) -> None:
    """Write the gates; get the network: recurrent cells as equations."""
    errors.DEBUG["on"] = debug


def run() -> None:
    """The entry point of the command; exits with its code."""
    app()
