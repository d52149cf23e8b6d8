"""`gatewright explore`: a model in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gatewright.cli.errors import exit_codes

__all__ = ["explore"]


def explore(
    model: Annotated[
        Path | None,
        typer.Argument(help="A folder of a trained language model, or a file of gw.save; default: a shipped one."),
    ] = None,
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Where it is taken, the next free one is used; 0: any.")] = 8765,
    no_open: Annotated[bool, typer.Option("--no-open", help="Do not open the browser.")] = False,
    token: Annotated[
        str | None, typer.Option(help="That a page has to show (default: a new one, but none at 127.0.0.1).")
    ] = None,
) -> None:
    """Look into a model in the browser: step through it, see its gates, hold them, compare cells, write your own."""
    with exit_codes():
        from gatewright.explorer import explore as run

        run(model, host=host, port=port, open_browser=not no_open, token=token, say=lambda line: typer.echo(line))
