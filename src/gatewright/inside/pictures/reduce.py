"""Long sequences and wide layers, brought down to what a page has pixels for."""

from __future__ import annotations

import numpy as np

from ...nn import arguments

COLUMNS, ROWS, POINTS = 750, 128, 1200
"""The columns of a map that a page of 9 inches shows at 100 pixels an inch; rows of a map; bins of a curve."""
HOW = ("mean", "max")


def check_how(reduce: object) -> None:
    if reduce not in HOW:
        raise arguments.wrong("reduce", " or ".join(map(repr, HOW)), repr(reduce))


def bins(count: int, most: int) -> np.ndarray:
    """Where the bins start and end that gather `count` things into at most `most` of one size; the last may be less.

    >>> bins(10, 4).tolist(), bins(3, 4).tolist()
    ([0, 3, 6, 9, 10], [0, 1, 2, 3])
    """
    size = -(-count // most)
    return np.append(np.arange(0, count, size), count)


def gathered(values: np.ndarray, starts: np.ndarray, how: str, axis: int = 0) -> np.ndarray:
    """One value a bin: the mean, or with "max" the one that is farthest from 0 (a spike in 10,000 steps is kept).

    >>> gathered(np.array([1.0, -5.0, 2.0]), np.array([0, 2, 3]), "max").tolist()
    [-5.0, 2.0]
    """
    first = starts[:-1]
    if len(first) == values.shape[axis]:
        return values
    if how == "mean":
        sizes = np.diff(starts).reshape([-1 if k == axis else 1 for k in range(values.ndim)])
        return np.add.reduceat(values, first, axis=axis) / sizes
    high, low = np.maximum.reduceat(values, first, axis=axis), np.minimum.reduceat(values, first, axis=axis)
    return np.where(-low > high, low, high)


def envelope(x: np.ndarray, y: np.ndarray, most: int = POINTS) -> tuple[np.ndarray, np.ndarray]:
    """A curve with two points a bin, its lowest and its highest, in their order: what a line through all would show."""
    if len(y) <= 2 * most:
        return x, y
    starts = bins(len(y), most)
    size = starts[1]
    whole = np.concatenate([y, np.full((-len(y)) % size, y[-1])]).reshape(-1, size)
    ends = np.stack([_place(np.argmin, whole), _place(np.argmax, whole)], axis=1)
    chosen = np.minimum(np.sort(ends, axis=1) + starts[:-1, None], len(y) - 1).ravel()
    return x[chosen], y[chosen]


def _place(of: object, rows: np.ndarray) -> np.ndarray:
    assert callable(of)
    return np.asarray(of(rows, axis=1))
