"""Covering arrays: few rows in which every pair of values of every two factors occurs."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations, product

Value = Hashable
Row = dict[str, Value]
Pair = tuple[str, Value, str, Value]
Factors = Mapping[str, Sequence[Value]]
Forbidden = Callable[[Row], bool]
"""Whether two values, given as a row of two, never stand in one row."""


def pairs_of(row: Row, factors: Factors) -> Iterator[Pair]:
    """The pairs of values that a row holds, in the order of the factors."""
    for a, b in combinations((name for name in factors if name in row), 2):
        yield a, row[a], b, row[b]


def all_pairs(factors: Factors, forbidden: Forbidden) -> dict[Pair, None]:
    """Every pair that may occur; a dict, since a set of texts has another order in every process."""
    found = {}
    for a, b in combinations(factors, 2):
        for x, y in product(factors[a], factors[b]):
            if not forbidden({a: x, b: y}):
                found[a, x, b, y] = None
    return found


def filled(row: Row, factors: Factors, missing: dict[Pair, None], forbidden: Forbidden, turn: int = 0) -> Row:
    """The row with a value for each factor that it lacks: the one that brings the most missing pairs.

    Of equally good ones it is another one every turn.
    """
    row = dict(row)
    for name in factors:
        if name not in row:
            values = factors[name]
            turned = [values[(k + turn) % len(values)] for k in range(len(values))]
            allowed = [v for v in turned if not any(forbidden({name: v, a: x}) for a, x in row.items())]
            row[name] = max(allowed, key=lambda v, name=name: _gain(row | {name: v}, name, factors, missing))
    return {name: row[name] for name in factors}


def _gain(row: Row, name: str, factors: Factors, missing: dict[Pair, None]) -> int:
    """How many missing pairs the value of one factor makes with the others of its row."""
    mine, before, gain = row[name], True, 0
    for other in factors:
        if other == name:
            before = False
        elif other in row:
            pair = (other, row[other], name, mine) if before else (name, mine, other, row[other])
            gain += pair in missing
    return gain


def covering(factors: Factors, forbidden: Forbidden, *, start: Iterable[Row] = ()) -> list[Row]:
    """Rows that hold every pair of values that is not forbidden.

    Args:
        start: rows that lack some factors. Each is filled, and where that is not enough, one more time.
    """
    missing, rows = all_pairs(factors, forbidden), []

    def add(row: Row) -> None:
        rows.append(filled(row, factors, missing, forbidden, turn=len(rows)))
        for pair in pairs_of(rows[-1], factors):
            missing.pop(pair, None)

    given = list(start)
    for row in given:
        add(row)
    while missing:
        a, x, b, y = next(iter(missing))
        # the extra rows take what is given where they can, so that nothing new must be compiled
        fitting = (row for row in given if row.get(a, x) == x and row.get(b, y) == y)
        add(next(fitting, {}) | {a: x, b: y})
    return rows
