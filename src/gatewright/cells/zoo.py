"""The cells that come with the library, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..graph import Cell
from ..graph.errors import UnknownName, suggestion
from . import ea_lstm, elementwise, elman, gru, lstm, lstm_history, mut, odyssey, slstm

_FAMILIES = (elman, lstm, lstm_history, odyssey, gru, mut, elementwise, ea_lstm, slstm)


class Zoo(Mapping[str, Cell]):
    """All cells by name, as attributes and as a mapping.

    >>> import gatewright as gw
    >>> gw.cells.gru
    <cell gru(x; h)>
    >>> "mgu" in gw.cells
    True
    """

    def __init__(self, cells: Mapping[str, Cell]):
        self._cells = dict(cells)

    def __getitem__(self, name: str) -> Cell:
        if name in self._cells:
            return self._cells[name]
        raise UnknownName(
            f"there is no cell {name!r}{suggestion(name, self._cells)} (gw.cells has {', '.join(self._cells)})"
        )

    def __getattr__(self, name: str) -> Cell:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._cells)

    def __len__(self) -> int:
        return len(self._cells)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._cells]

    def __repr__(self) -> str:
        return f"<the cells {', '.join(self._cells)}>"


zoo = Zoo({thing.name: thing for family in _FAMILIES for thing in vars(family).values() if isinstance(thing, Cell)})
