"""One layer as one node of ONNX's own: LSTM, GRU or RNN, with all its directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..nn.gate_orders import ONNX
from .builder import Body
from .clock import Clock
from .forms import Found

Weights = Mapping[str, Tensor]


class Native(NamedTuple):
    """What one node is made of. weights: of each direction. starts: the states (D, B, H) each, or None for zeros."""

    found: Found
    weights: Sequence[Weights]
    prefix: str
    starts: Sequence[str] | None


def write(body: Body, given: Native, x: str, clock: Clock, merge: str) -> tuple[str, list[str]]:
    """Write it; gives the output (T, B, D · H), or (T, B, H) where directions are merged, and the final states
    (D, B, H) each."""
    op, hidden, directions = given.found.form.op, _hidden(given), len(given.weights)
    stacked = {name: torch.stack(parts) for name, parts in _stacked(given).items()}
    inputs = [x, *(body.weight(stacked[name], given.prefix + name) for name in ("W", "R", "B"))]
    inputs += ["" if clock.lengths is None else clock.lengths32]
    count = 2 if op == "LSTM" else 1
    inputs += given.starts or [""] * count
    if "P" in stacked:
        inputs.append(body.weight(stacked["P"], f"{given.prefix}P"))
    while not inputs[-1]:
        inputs.pop()
    names = [f"{given.prefix}{name}" for name in ("Y", "Y_h", "Y_c")[: 1 + count]]
    y, *finals = body.nodes_of(op, inputs, names, hidden_size=hidden, **_attributes(given.found, directions))
    output = _output(body, y, directions, hidden, merge, f"{given.prefix}y")
    if given.starts and clock.lengths is not None:  # ONNX Runtime gives zeros for a sequence without steps
        finals = [
            body.node("Where", clock.empty, s, f, name=f"{given.prefix}last")
            for s, f in zip(given.starts, finals, strict=True)
        ]
    return output, list(finals)


def _output(body: Body, y: str, directions: int, hidden: int, merge: str, name: str) -> str:
    """(T, D, B, H)  →  (T, B, D · H), or (T, B, H) as a sum or mean of directions."""
    if directions == 1:
        return body.node("Squeeze", y, body.whole(1), name=name)
    if merge != "concat":
        reduce = "ReduceSum" if merge == "sum" else "ReduceMean"
        return body.node(reduce, y, body.whole(1), name=name, keepdims=0)
    beside = body.node("Transpose", y, perm=[0, 2, 1, 3])
    return body.node("Reshape", beside, body.whole(0, 0, directions * hidden), name=name)


def _hidden(given: Native) -> int:
    return next(given.weights[0][name].shape[0] for key, name in given.found.names.items() if key.startswith("U"))


def _attributes(found: Found, directions: int) -> dict[str, Any]:
    form = found.form
    attributes: dict[str, Any] = {"direction": "bidirectional" if directions == 2 else "forward", **form.attributes}
    usual = ("Sigmoid", "Tanh", "Tanh") if form.op == "LSTM" else ("Sigmoid", "Tanh")[-len(form.activations) :]
    if form.activations != usual:
        attributes["activations"] = list(form.activations) * directions
        if affine := form.activations.count("Affine") * directions:
            attributes |= {"activation_alpha": [1.0] * affine, "activation_beta": [0.0] * affine}
    return attributes


def _stacked(given: Native) -> dict[str, list[Tensor]]:
    """W, R, B and P of each direction, with the gates in ONNX's order."""
    order, parts = ONNX[given.found.form.op], [_Gates(given.found, w) for w in given.weights]
    stacked = {
        "W": [torch.cat([p.matrix("W", gate) for gate in order.gates]) for p in parts],
        "R": [torch.cat([p.matrix("U", gate) for gate in order.gates]) for p in parts],
        "B": [torch.cat([p.bias(gate, side) for side in "xh" for gate in order.gates]) for p in parts],
    }
    if any(name.startswith("p_") for name in given.found.names):
        stacked["P"] = [torch.cat([p.peephole(gate) for gate in order.peepholes]) for p in parts]
    return stacked


class _Gates:
    """The weights of one direction by the operator's gates; zeros where the equations have none."""

    def __init__(self, found: Found, weights: Weights):
        self.found, self.weights = found, weights
        any_gate = next(iter(found.form.slots.values()))[0]
        self.like = {kind: weights[found.names[f"{kind}_{any_gate}"]] for kind in "WU"}

    def matrix(self, kind: str, gate: str) -> Tensor:
        found = self._signed(gate, kind)
        return torch.zeros_like(self.like[kind]) if found is None else found

    def bias(self, gate: str, side: str) -> Tensor:
        """What comes with the input (side x) or with the state (side h); a single bias comes with the input."""
        whole = self._signed(gate, "b") if side == "x" else None
        half = self._signed(gate, "b", f"_{side}")
        found = whole if whole is not None else half
        return self.like["U"].new_zeros(self.like["U"].shape[0]) if found is None else found

    def peephole(self, gate: str) -> Tensor:
        found = self._signed(gate, "p")
        return self.like["U"].new_zeros(self.like["U"].shape[0]) if found is None else found

    def _signed(self, gate: str, kind: str, suffix: str = "") -> Tensor | None:
        if gate not in self.found.form.slots:
            return None
        own, sign = self.found.form.slots[gate]
        name = self.found.names.get(f"{kind}_{own}{suffix}")
        return None if name is None else sign * self.weights[name]
