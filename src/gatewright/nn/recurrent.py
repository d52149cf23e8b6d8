"""Any cell as a layer."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ..cells import zoo
from ..graph import Cell
from ..plan.regularise import Rates
from . import init, initial
from .initial import Learned
from .recompute import Recompute
from .stack import Stack


class Recurrent(Stack):
    """A stack of layers of one cell, as an `nn.Module`.

    Args:
        cell: a `gw.Cell`, or a name of `gw.cells`.
        input_size: features of the input; for a cell with several inputs a tuple.
        hidden_size: units of a layer, the width H.
        num_layers: layers on top of each other.
        bias: False leaves every bias out.
        batch_first: inputs and outputs are (B, T, features) rather than (T, B, features).
        dropout: probability between layers, in training.
        dropout_kind: "fresh" draws that dropout at each step, as torch does; "locked" once a call for each sequence and
            unit, the same at all steps.
        bidirectional: a second direction runs from each sequence's end to its start.
        merge: what becomes of the outputs of two directions, in each layer: "concat" (side by side), "sum" or "mean".
        backend: "auto" takes the fastest that knows the cell and the call; "cpu", "vendor" or "reference" that one.
        sizes: the sizes of the cell's own widths: `sizes={"P": 32}`.
        heads: every recurrent matrix U is block-diagonal with so many blocks.
        recurrent_dropout: probability that a unit is 0 where a vector enters a recurrent product, in training: one
            mask for each vector and call, the same at all steps; `{"g": 0.2}` for the products of that equation alone.
        zoneout: probability that a unit of a state keeps its old value, at each step, in training; in evaluation the
            expectation. `{"h": 0.05, "c": 0.5}` by state.
        weight_drop: probability that an element of a recurrent matrix U is 0, in training: one mask for each call;
            `{"U_g": 0.5}` for that matrix alone.
        learned_state: what a sequence begins with is learned: a parameter for each state, `h_0`, `c_0`, with a row
            for each layer and direction; `("h",)` for some states alone. It is what `hx` is where none is passed, and
            what a reset inside a sequence goes back to.
        recompute: True keeps the states at about every √T-th step alone, k those at every k-th, in each layer and
            direction, and backward computes the rest again: memory for long sequences; None saves all.
        dtype, device: of the weights; default torch's.

    Shapes: input (T, B, I), output (T, B, `output_size`), each state (layers · directions, B, its width).
    Weights are stacked by kind, `W_l0`, `U_l0`, `b_l0`, `p_l0`; a cell that is exactly torch's LSTM, GRU or RNN has
    torch's names and layout. They begin by Glorot (W), orthogonal for each gate (U), 1 for the bias of a gate
    that keeps a state and 0 for other biases (`gatewright.init`).

    Raises:
        CellError: an unknown cell, or widths that do not fit; the message names the equations.

    >>> import gatewright as gw, torch
    >>> layer = gw.Recurrent("mgu", input_size=3, hidden_size=5, num_layers=2)
    >>> y, h = layer(torch.zeros(7, 2, 3))
    >>> y.shape, h.shape
    (torch.Size([7, 2, 5]), torch.Size([2, 2, 5]))
    """

    def __init__(
        self,
        cell: Cell | str,
        input_size: int | tuple[int, ...],
        hidden_size: int,
        num_layers: int = 1,
        *,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        merge: str = "concat",
        dropout_kind: str = "fresh",
        backend: str = "auto",
        sizes: Mapping[str, int] | None = None,
        heads: int = 1,
        recurrent_dropout: Rates = 0.0,
        zoneout: Rates = 0.0,
        weight_drop: Rates = 0.0,
        learned_state: Learned = False,
        recompute: Recompute = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ):
        super().__init__(
            named(cell),
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            merge=merge,
            dropout_kind=dropout_kind,
            backend=backend,
            sizes=sizes,
            heads=heads,
            recurrent_dropout=recurrent_dropout,
            zoneout=zoneout,
            weight_drop=weight_drop,
            learned_state=learned_state,
            recompute=recompute,
            dtype=dtype,
            device=device,
        )

    def reset_parameters(self) -> None:
        """Draw new weights: Glorot, orthogonal, and biases that keep states; learned states start anew."""
        initial.reset(self)
        for k in range(self.num_layers):
            for reverse in (False, True)[: 1 + self.bidirectional]:
                init.default(self._graph, self.weights(k, reverse), self.heads)


def named(cell: Cell | str) -> Cell:
    """A cell, or the zoo's cell of that name."""
    if isinstance(cell, Cell):
        return cell
    if isinstance(cell, str):
        return zoo[cell]
    raise TypeError(f"cell: expected a gw.Cell or a name of gw.cells, got {type(cell).__name__} (is @gw.cell missing?)")
