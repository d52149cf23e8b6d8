"""What can go wrong in a task, by what the user has to do about it.

Every message says where, what was expected, what came, and what to do. The command line turns `SettingsError`
into exit code 2 (the command itself was wrong) and the others into 1.
"""

from __future__ import annotations

__all__ = [
    "DataError",
    "FolderError",
    "MissingExtra",
    "SettingsError",
    "TaskError",
    "TextError",
    "TrainingError",
    "first_line",
]


class TaskError(ValueError):
    """An error whose message is meant for the user; the base of the others here."""


class SettingsError(TaskError):
    """A setting is unknown, out of range, or contradicts another."""


class TextError(TaskError):
    """A text is missing, empty, not text, not UTF-8, or too short."""


class DataError(TaskError):
    """Data are missing, empty, malformed, or do not fit the task: a table, labels, tags, a recording."""


class FolderError(TaskError):
    """A model folder cannot be read or written: damaged, changed, newer, somebody else's, or a full disk."""


class TrainingError(TaskError):
    """Training cannot go on: the loss is no number."""


class MissingExtra(ImportError):
    """An optional library is absent; the message names the extra that brings it."""

    def __init__(self, library: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs {library}, which is not installed; install it with: pip install 'gatewright[{extra}]'"
        )


def first_line(error: BaseException) -> str:
    """What another library's error says, without the pages that some add to it."""
    return (str(error).splitlines() or [type(error).__name__])[0]
