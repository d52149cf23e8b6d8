"""Tables as files: whole or not at all."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from gatewright.tasks.checkpoint import replace_file
from gatewright.tasks.errors import FolderError, SettingsError
from gatewright.tasks.table.table import read_table

__all__ = ["as_csv", "check_folder", "check_path", "write_table"]


def check_path(path: Path) -> None:
    """Raise `SettingsError` where the path ends neither in .csv nor in .parquet, `FolderError` where its folder is not
    there.
    """
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise SettingsError(f"{path}: expected a name that ends in .csv or .parquet")
    check_folder(path)


def check_folder(path: Path) -> None:
    """Raise `FolderError` where a file has no folder to be written to."""
    if not path.parent.is_dir():
        raise FolderError(f"{path}: there is no folder {str(path.parent)!r}; make it, or give another path")


def write_table(table: Any, path: Path) -> None:
    """Write a frame, or a dictionary of columns, as CSV or Parquet, as the path's end says.

    Raises `FolderError` where the disk is full; see `check_path`.
    """
    check_path(path)
    if path.suffix.lower() == ".csv":
        replace_file(path, as_csv(table).encode())
        return
    from pyarrow import parquet

    content = io.BytesIO()
    parquet.write_table(read_table(table).arrow, content)
    replace_file(path, content.getvalue())


def as_csv(table: Any) -> str:
    """A frame, or a dictionary of columns, as the text of a CSV file.

    >>> as_csv({"day": ["mon", "tue"], "y": [1.5, None]})
    '"day","y"\\n"mon",1.5\\n"tue",\\n'
    """
    from pyarrow import csv

    content = io.BytesIO()
    csv.write_csv(read_table(table).arrow, content)
    return content.getvalue().decode()
