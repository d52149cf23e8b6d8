"""Saving and loading weights by the names of their rows, never by their positions."""

from __future__ import annotations

import json
from collections.abc import Set
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from ..graph import Cell
    from .layout import Layer

ROWS = "row_names"
Table = dict[str, list[tuple[str, int]]]
Key = tuple[str, str]
"""Layer and direction, and the name of rows: `("l0_reverse", "W_f")`."""


def encode(rows: dict[str, Any]) -> Tensor:
    """JSON as a uint8 tensor, which every format of weights can hold."""
    return torch.frombuffer(bytearray(json.dumps(rows).encode()), dtype=torch.uint8).clone()


def decode(tensor: Tensor) -> Table:
    """Row names as they were saved; raises ValueError where they are none."""
    rows = json.loads(bytes(tensor.cpu().to(torch.uint8).tolist()).decode())
    if not isinstance(rows, dict):
        raise ValueError("no table of rows")
    return {str(k): [(str(n), int(c)) for n, c in v] for k, v in rows.items()}


def _table(saved: Tensor) -> Table:
    """The same, with what it is in the message."""
    try:
        return decode(saved)
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"cannot be read as a table of rows ({error})") from None


class Rows:
    """The part of a layer that writes its row names beside its weights, and matches them on loading.

    A layer stored as torch stores it has torch's fixed order, and torch's `state_dict` to the letter.
    """

    cell: Cell
    _layers: list[Layer]
    _parameters: dict[str, Any]

    @property
    def _suffixes(self) -> tuple[str, ...]:
        raise NotImplementedError

    def _stored(self) -> dict[str, tuple[tuple[str, int], ...]]:
        """Every stored tensor of the layer with its rows."""
        return {
            f"{stored.name}_l{k}{suffix}": stored.rows
            for k, layer in enumerate(self._layers)
            for suffix in self._suffixes
            for stored in layer.layout.stored
        }

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        super()._save_to_state_dict(destination, prefix, keep_vars)  # pyright: ignore[reportAttributeAccessIssue]
        if self._layers[0].layout.form is None:
            destination[prefix + ROWS] = encode({k: list(v) for k, v in self._stored().items()})

    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
    ):
        if self._layers[0].layout.form is None:
            state_dict = self._matched(state_dict, prefix, missing_keys, error_msgs)
        super()._load_from_state_dict(  # pyright: ignore[reportAttributeAccessIssue]
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

    def _matched(self, state_dict: dict, prefix: str, missing: list[str], errors: list[str]) -> dict:
        """The saved tensors with their rows in this layer's order; the layer's own where they cannot be told apart."""
        state_dict = dict(state_dict)
        saved = state_dict.pop(prefix + ROWS, None)
        own = self._stored()
        if saved is None and not any(prefix + name in state_dict for name in own):
            return state_dict
        try:
            if saved is None:
                missing.append(prefix + ROWS)
                raise ValueError(
                    "missing: without the names of its rows no weight can be told from another; save the layer with "
                    "state_dict()"
                )
            return self._assembled(_table(saved), state_dict, prefix)
        except ValueError as error:
            errors.append(f"{prefix}{ROWS}: {error}")
        # What was saved is not read by position instead: every weight of the layer stays as it is.
        kept = {prefix + name: self._parameters[name].detach() for name in own if name in self._parameters}
        return state_dict | kept

    def _assembled(self, table: Table, state_dict: dict, prefix: str) -> dict:
        """The state_dict with every tensor of this layer put together from the rows that bear its names."""
        own = {k: v for k, v in self._stored().items() if k in self._parameters}
        # A weight that a parametrisation computes has no rows in the state_dict; in the same order it needs none.
        table = {k: v for k, v in table.items() if k in own or tuple(v) != self._stored().get(k)}
        pieces, faults = _pieces(table, state_dict, prefix)
        wanted = {(_place(k), row): (n, *self._parameters[k].shape[1:]) for k, rows in own.items() for row, n in rows}
        faults += [] if faults else _misfits(pieces, wanted, self.cell.name)
        if faults:
            for name in table:
                state_dict.pop(prefix + name, None)
            raise ValueError("; ".join(faults))
        for name, rows in own.items():
            state_dict[prefix + name] = torch.cat([pieces[_place(name), row] for row, _ in rows])
        return state_dict


def _place(name: str) -> str:
    """The layer and direction in a stored tensor's name: `l0_reverse` of `W_l0_reverse`."""
    head = name.removesuffix("_reverse")
    return head.rpartition("_")[2] + name[len(head) :]


def _pieces(table: Table, state_dict: dict, prefix: str) -> tuple[dict[Key, Tensor], list[str]]:
    """Every saved row block by (layer and direction, row name), taken out; and what is wrong with the table."""
    found: dict[Key, Tensor] = {}
    faults = []
    for name, rows in table.items():
        if prefix + name not in state_dict:
            faults.append(f"it names {name}, which the saved weights have not")
            continue
        tensor, counts = state_dict.pop(prefix + name), [count for _, count in rows]
        if min(counts, default=0) < 0 or sum(counts) != len(tensor):
            faults.append(f"{name} has {len(tensor)} rows, not {sum(counts)}")
            continue
        for (row, _), piece in zip(rows, tensor.split(counts), strict=True):
            found[_place(name), row] = piece
    return found, faults


def _misfits(pieces: dict[Key, Tensor], wanted: dict[Key, tuple[int, ...]], cell: str) -> list[str]:
    """All rows that are missing, that no equation knows, or that are not as many or as long as they should be."""
    faults = []
    if lacking := wanted.keys() - pieces.keys():
        faults.append(f"the saved weights have no rows {_titles(lacking, wanted.keys())}")
    if extra := pieces.keys() - wanted.keys():
        faults.append(f"no equation of {cell} knows the saved rows {_titles(extra, pieces.keys())}")
    for part, what in ((slice(0, 1), "rows"), (slice(1, None), "columns")):
        unlike: dict[tuple, set[Key]] = {}
        for key in wanted.keys() & pieces.keys():
            saved, own = tuple(pieces[key].shape[part]), wanted[key][part]
            if saved != own:
                unlike.setdefault((saved, own), set()).add(key)
        for sizes, keys in sorted(unlike.items()):
            have = "has" if len(keys) == 1 else "have"
            saved, own = (" × ".join(map(str, size)) or "no" for size in sizes)
            faults.append(f"{_titles(keys, wanted.keys())} {have} {saved} saved {what}, this layer's {have} {own}")
    return faults


def _titles(keys: Set[Key], among: Set[Key]) -> str:
    """The names of rows; with layer and direction where only some of them are concerned."""
    found = set()
    for place, row in keys:
        everywhere = {key for key in among if key[1] == row} <= keys
        found.add(row if everywhere else f"{row} ({place})")
    return ", ".join(sorted(found))
