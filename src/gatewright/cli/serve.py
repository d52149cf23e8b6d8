"""`gatewright serve`: a model behind HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gatewright.cli.errors import exit_codes
from gatewright.cli.options import settings_options
from gatewright.serve import ServeSettings
from gatewright.serve import serve as run

__all__ = ["serve"]


@settings_options(ServeSettings)
def serve(
    folder: Annotated[Path, typer.Argument(help="A folder of a trained model, of any task.")],
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: any that is free.")] = 8000,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="GATEWRIGHT_TOKEN",
            help="That a request has to show (default: a new one, but none at 127.0.0.1).",
        ),
    ] = None,
    settings: Any = None,
) -> None:
    """Serve a model over HTTP: predictions in batches, sessions step by step, health and figures.

    Ctrl-C or SIGTERM ends it after the requests that are running.
    """
    with exit_codes():
        run(folder, host=host, port=port, token=token, say=lambda line: typer.echo(line), **settings)
