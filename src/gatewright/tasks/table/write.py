"""Tables as files: whole or not at all."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from gatewright.tasks.checkpoint import replace_file
from gatewright.tasks.errors import FolderError, SettingsError
from gatewright.tasks.table.table import read_table

__all__ = ["check_path", "write_table"]


def check_path(path: Path) -> None:
    """Raise `SettingsError` where the path ends neither in .csv nor in .parquet, `FolderError` where its folder is not
    there.
    """
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise SettingsError(f"{path}: expected a name that ends in .csv or .parquet")
    if not path.parent.is_dir():
        raise FolderError(f"{path}: there is no folder {str(path.parent)!r}; make it, or give another path")


def write_table(table: Any, path: Path) -> None:
    """Write a frame, or a dictionary of columns, as CSV or Parquet, as the path's end says.

    Raises `FolderError` where the disk is full; see `check_path`.
    """
    check_path(path)
    arrow, content = read_table(table).arrow, io.BytesIO()
    if path.suffix.lower() == ".csv":
        from pyarrow import csv

        csv.write_csv(arrow, content)
    else:
        from pyarrow import parquet

        parquet.write_table(arrow, content)
    replace_file(path, content.getvalue())
