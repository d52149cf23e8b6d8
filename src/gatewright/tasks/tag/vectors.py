"""Word vectors as text: a word and its numbers a line, as GloVe and fastText write them (fastText with a first line of
two numbers, how many words and how wide).
"""

from __future__ import annotations

from collections.abc import Callable, Container
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gatewright.tasks.errors import DataError

if TYPE_CHECKING:
    from jaxtyping import Float32

__all__ = ["Vectors", "read_vectors"]


class Vectors(NamedTuple):
    """words: M of them; values: (M, width)."""

    words: list[str]
    values: Float32[np.ndarray, "M W"]


def read_vectors(path: Path, form: Callable[[str], str], wanted: Container[str], most: int) -> Vectors:
    """The first `most` words of a file, and those that are wanted, in the form in which they are looked up.

    Of several words of one form the first counts. Raises `DataError` with the line.
    """
    words: dict[str, int] = {}
    rows: list[np.ndarray] = []
    width = 0
    for number, line in _numbered(path):
        word, *numbers = line.rstrip().split(" ")
        if number == 1 and len(numbers) == 1 and word.isdigit():  # fastText's first line
            continue
        looked_up = form(word)
        if looked_up in words or (len(words) >= most and looked_up not in wanted):
            continue
        row = _row(path, number, numbers)
        width = width or len(row)
        if len(row) != width:
            raise DataError(f"{path}, line {number}: {len(row)} numbers, and the lines before have {width}")
        words[looked_up] = len(rows)
        rows.append(row)
    if not rows:
        raise DataError(f"{path}: no vector in it; give a file with a word and its numbers on each line")
    return Vectors(list(words), np.stack(rows))


def _numbered(path: Path):
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    yield number, line.decode("utf-8")
                except UnicodeDecodeError as error:
                    raise DataError(f"{path}, line {number}: not UTF-8; convert the file") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); give a file of word vectors") from error


def _row(path: Path, number: int, numbers: list[str]) -> np.ndarray:
    try:
        row = np.array(numbers, np.float32)
    except ValueError as error:
        raise DataError(f"{path}, line {number}: expected a word and numbers behind it ({error})") from error
    if not len(row) or not np.isfinite(row).all():
        raise DataError(f"{path}, line {number}: expected a word and finite numbers behind it")
    return row
