"""Saving and loading weights by the names of their rows, never by their positions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from ..graph import Cell
    from .stack import Layer

ROWS = "row_names"


def encode(rows: dict[str, Any]) -> Tensor:
    """JSON as a uint8 tensor, which every format of weights can hold."""
    return torch.frombuffer(bytearray(json.dumps(rows).encode()), dtype=torch.uint8).clone()


def decode(tensor: Tensor) -> dict[str, list[tuple[str, int]]]:
    """Row names as they were saved; raises ValueError where they are none."""
    rows = json.loads(bytes(tensor.cpu().to(torch.uint8).tolist()).decode())
    if not isinstance(rows, dict):
        raise ValueError("no table of rows")
    return {str(k): [(str(n), int(c)) for n, c in v] for k, v in rows.items()}


class Rows:
    """The part of a layer that writes its row names beside its weights, and matches them on loading.

    A layer stored as torch stores it has torch's fixed order, and torch's `state_dict` to the letter.
    """

    cell: Cell
    _layers: list[Layer]

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
        """The saved tensors with their rows in this layer's order."""
        state_dict = dict(state_dict)
        saved = state_dict.pop(prefix + ROWS, None)
        present = [name for name in self._stored() if prefix + name in state_dict]
        if saved is None:
            if present:
                missing.append(prefix + ROWS)
                errors.append(
                    f"{prefix}{ROWS} is missing: without the names of its rows no weight can be told from another; "
                    "save the layer with state_dict()"
                )
                for name in present:
                    state_dict[prefix + name] = getattr(self, name).detach()
            return state_dict
        try:
            pieces = _pieces(decode(saved), state_dict, prefix)
        except (ValueError, KeyError, TypeError) as error:
            errors.append(f"{prefix}{ROWS} cannot be read: {error}")
            return state_dict
        self._assemble(pieces, state_dict, prefix, errors)
        return state_dict

    def _assemble(
        self, pieces: dict[tuple[str, str], Tensor], state_dict: dict, prefix: str, errors: list[str]
    ) -> None:
        wanted = {(_place(name), row) for name, rows in self._stored().items() for row, _ in rows}
        if lacking := sorted(row for _, row in wanted - pieces.keys()):
            errors.append(f"{prefix}: the saved weights have no rows {', '.join(dict.fromkeys(lacking))}")
        if extra := sorted(row for _, row in pieces.keys() - wanted):
            errors.append(
                f"{prefix}: no equation of {self.cell.name} knows the saved rows {', '.join(dict.fromkeys(extra))}"
            )
        if lacking or extra:
            return
        for name, rows in self._stored().items():
            parts = [pieces[_place(name), row] for row, _ in rows]
            if len({p.shape[1:] for p in parts}) == 1:
                state_dict[prefix + name] = torch.cat(parts)


def _place(name: str) -> str:
    """The layer and direction in a stored tensor's name: `l0_reverse` of `W_l0_reverse`."""
    head = name.removesuffix("_reverse")
    return head.rsplit("_", 1)[1] + name[len(head) :]


def _pieces(rows: dict, state_dict: dict, prefix: str) -> dict[tuple[str, str], Tensor]:
    """Every saved row block by (layer and direction, row name)."""
    found: dict[tuple[str, str], Tensor] = {}
    for name, parts in rows.items():
        tensor = state_dict.pop(prefix + name)
        if sum(count for _, count in parts) != tensor.shape[0]:
            raise ValueError(f"{name} has {tensor.shape[0]} rows, not {sum(count for _, count in parts)}")
        for (row, _), piece in zip(parts, tensor.split([c for _, c in parts]), strict=True):
            found[_place(name), row] = piece
    return found
