"""Exit codes: 0 well, 1 failed, 2 the command was wrong, 128 + n ended by signal n (Ctrl-C: 130)."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator

import typer

import gatewright as gw
from gatewright.tasks.errors import MissingExtra, SettingsError, TaskError

__all__ = ["DEBUG", "exit_codes", "stopped"]

DEBUG = {"on": False}  # set by --debug


@contextlib.contextmanager
def exit_codes() -> Iterator[None]:
    """Turn the errors that are meant for a user into a line on standard error and an exit code.

    Anything else is a fault of ours and keeps its traceback; so does everything under `--debug`.
    """
    try:
        yield
    except KeyboardInterrupt:
        _fail("stopped by Ctrl-C", 128 + signal.SIGINT)
    except BrokenPipeError:
        # Nobody reads what is left, and Python flushes it once more on the way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(128 + signal.SIGPIPE) from None
    except (SettingsError, gw.CellError) as error:
        _fail(f"error: {error}", 2)
    except (TaskError, MissingExtra, OSError) as error:
        _fail(f"error: {error}", 1)


def stopped(name: str, message: str) -> None:
    """End the command because of a signal, with its exit code."""
    typer.echo(message, err=True)
    raise typer.Exit(128 + signal.Signals[name])


def _fail(message: str, code: int) -> None:
    if DEBUG["on"]:
        raise
    typer.echo(message, err=True)
    raise typer.Exit(code)
