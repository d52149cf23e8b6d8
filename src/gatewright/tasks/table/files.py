"""CSV, Parquet and Feather files as Arrow tables, and what is wrong with those that cannot be read."""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gatewright.tasks.errors import DataError, first_line

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["parquet_files", "read_file"]

PARQUET, FEATHER, GZIP, ZIP = b"PAR1", b"ARROW1", b"\x1f\x8b", b"PK\x03\x04"
DELIMITERS = ",;\t|"
NUMBER = re.compile(r"\s*[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?\s*")
BLOCK = 1 << 20


def read_file(path: Path) -> tuple[pa.Table, int | None]:
    """A file's table, and the line of its first row where every row is a line of text.

    Raises:
        DataError: it is missing, empty, damaged, not UTF-8, without a header, or of a foreign kind.
    """
    if path.is_dir():
        return _joined(parquet_files(path), path), None
    data = _bytes(path)
    if data[:4] == PARQUET:
        return _joined([path], path), None
    if data[:6] == FEATHER:
        return _feather(path), None
    return _csv(data, path)


def parquet_files(path: Path) -> list[Path]:
    """The Parquet files of a folder (by name, also of folders within) or the file itself."""
    if not path.is_dir():
        return [path]
    files = sorted(p for p in path.rglob("*.parquet") if p.is_file())
    if not files:
        raise DataError(f"{path}: a folder without .parquet files; give a file or a folder of Parquet files")
    return files


def is_parquet(path: Path) -> bool:
    """Whether a file begins as Parquet files do, or a folder holds some."""
    if path.is_dir():
        return True
    try:
        with path.open("rb") as file:
            return file.read(4) == PARQUET
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}; give the path of a CSV or Parquet file") from error


def _joined(paths: list[Path], whole: Path) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = []
    for path in paths:
        try:
            tables.append(pq.ParquetFile(path).read())
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"{path}: not a whole Parquet file: {first_line(error)}; write it again") from error
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"{whole}: the files' columns do not fit together: {first_line(error)}") from error


def _feather(path: Path) -> pa.Table:
    import pyarrow as pa
    from pyarrow import feather

    try:
        return feather.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path}: not a whole Feather file: {first_line(error)}; write it again") from error


def _bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; give the path of a CSV or Parquet file") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    if data[:2] == GZIP:
        try:
            data = gzip.decompress(data)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"{path}: damaged or cut off: {first_line(error)}; fetch the file again") from error
    if not data.strip():
        raise DataError(f"{path}: the file is empty; expected a header line and rows")
    if data[:4] == ZIP:
        raise DataError(f"{path}: a zip archive or a spreadsheet; save it as CSV (UTF-8) or Parquet")
    return data


def _csv(data: bytes, path: Path) -> tuple[pa.Table, int | None]:
    import pyarrow as pa
    from pyarrow import csv

    _check_text(data, path)
    header, second = _first_lines(data)
    delimiter = max(DELIMITERS, key=header.count)  # the first of them where none occurs
    decimal = "," if delimiter == ";" and re.search(r"(^|;)-?\d+,\d+(;|$)", second) else "."
    _check_header(header, second, delimiter, path)
    try:
        table = csv.read_csv(
            pa.BufferReader(data),
            read_options=csv.ReadOptions(use_threads=False),  # so that an error knows its line
            parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=csv.ConvertOptions(decimal_point=decimal),
        )
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: {_said(error)}; give every line the header's columns") from error
    lines = data.rstrip().count(b"\n")
    return table, 2 if lines == table.num_rows else None


def _said(error: Exception) -> str:
    """Arrow's complaint of a line in our words, or in its own."""
    text = first_line(error)
    found = re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", text)
    return f"line {found[1]} has {found[3]} values where the header has {found[2]}" if found else text


def _check_text(data: bytes, path: Path) -> None:
    """Raise `DataError` where bytes are not UTF-8, with the line."""
    decoder, place = codecs.getincrementaldecoder("utf-8")(), 0
    for block in _blocks(data):
        try:
            decoder.decode(block, final=place + len(block) == len(data))
        except UnicodeDecodeError as error:
            at = place + len(block) - len(error.object) + error.start
            line = data.count(b"\n", 0, at) + 1
            raise DataError(
                f"{path}, line {line}: byte 0x{data[at]:02x} is not UTF-8; save the file as UTF-8 "
                f"(for example: iconv -f latin1 -t utf-8 {path.name})"
            ) from error
        place += len(block)
    if b"\0" in data[:BLOCK]:
        raise DataError(f"{path}: not a text file; expected CSV, Parquet or Feather")


def _blocks(data: bytes) -> Iterator[bytes]:
    return (data[k : k + BLOCK] for k in range(0, len(data), BLOCK))


def _first_lines(data: bytes) -> tuple[str, str]:
    begin = data[: 1 << 16].decode("utf-8-sig", errors="ignore")
    lines = [*begin.splitlines(), "", ""]
    return lines[0], lines[1]


def _check_header(header: str, second: str, delimiter: str, path: Path) -> None:
    """Raise `DataError` where the first line looks like values, or where there is nothing else."""
    names = [name.strip().strip('"') for name in header.split(delimiter)]
    numbers = [name for name in names if NUMBER.fullmatch(name)]
    if numbers:
        raise DataError(
            f"{path}, line 1: expected the columns' names, got {header[:60]!r}, of which {numbers[0]!r} is a number; "
            "write the names into the first line"
        )
    if "" in names and second:
        raise DataError(f"{path}, line 1: column {names.index('') + 1} has no name; write one")
