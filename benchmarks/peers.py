"""Our kernels against what a user has today: torch's modules, packed sequences, a loop written by hand."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import gatewright as gw

from .shapes import INFERENCE, SHAPES, TRAINING, Shape, agree, drop_in, everywhere, module_side, sequences, side
from .timing import SLACK, Line, Race, Side

Sides = dict[str, Side]


def _races(
    group: str, name: str, least: dict[str, float], make: Callable[[Shape, str], Sides], shapes: Iterable[Shape]
) -> Iterator[Race]:
    """One race a shape and mode: them over us."""
    for shape, mode in everywhere(shapes):
        line = Line(name, "theirs", "ours", least=least[mode], slack=SLACK, peer=True)
        yield Race(group, shape, mode, partial(make, shape, mode), (line,))


# -- torch's modules -------------------------------------------------------------------------------


def lstm(shapes: Iterable[Shape] = SHAPES) -> Iterator[Race]:
    return _races("lstm", "nn.LSTM / ours", {INFERENCE: 1.03, TRAINING: 1.03}, partial(_module, "LSTM"), shapes)


def gru(shapes: Iterable[Shape] = SHAPES) -> Iterator[Race]:
    return _races("gru", "nn.GRU / ours", {INFERENCE: 2.2, TRAINING: 2.2}, partial(_module, "GRU"), shapes)


def proj(shapes: Iterable[Shape] = SHAPES) -> Iterator[Race]:
    large = [shape for shape in shapes if shape["H"] >= 128]
    return _races("proj", "nn.LSTM(proj_size=H/2) / ours", {INFERENCE: 2, TRAINING: 2}, _projected, large)


def _module(kind: str, shape: Shape, mode: str, **options) -> Sides:
    theirs = getattr(nn, kind)(shape["I"], shape["H"], **options)
    ours = drop_in(theirs, backend="cpu")
    x = sequences(shape)
    agree(lambda: theirs(x)[0], lambda: ours(x)[0])
    return {"theirs": module_side(mode, theirs, x), "ours": module_side(mode, ours, x)}


def _projected(shape: Shape, mode: str) -> Sides:
    with warnings.catch_warnings():
        # torch says so once a process, and it is why the row is here
        warnings.filterwarnings("ignore", "LSTM with projections is not supported with oneDNN")
        return _module("LSTM", shape, mode, proj_size=shape["H"] // 2)


# -- sequences of other lengths --------------------------------------------------------------------


def packed(shapes: Iterable[Shape] = SHAPES) -> Iterator[Race]:
    many = [shape for shape in shapes if shape["B"] > 1]
    return _races("packed", "packed nn.LSTM / lengths=", {INFERENCE: 2.5, TRAINING: 2.8}, _packed, many)


def _packed(shape: Shape, mode: str) -> Sides:
    theirs = nn.LSTM(shape["I"], shape["H"])
    ours = drop_in(theirs, backend="cpu")
    x, T = sequences(shape), shape["T"]
    lengths = torch.randint(T // 2, T + 1, (shape["B"],)).clamp(min=1)

    def by_packing() -> Tensor:
        y, _ = theirs(pack_padded_sequence(x, lengths, enforce_sorted=False))
        return pad_packed_sequence(y, total_length=T)[0]

    agree(by_packing, lambda: ours(x, lengths=lengths)[0])
    return {
        "theirs": side(mode, by_packing, [x, *theirs.parameters()]),
        "ours": module_side(mode, ours, x, lengths=lengths),
    }


# -- a loop by hand --------------------------------------------------------------------------------


def loop(shapes: Iterable[Shape] = SHAPES) -> Iterator[Race]:
    """Where products take most of the time, a loop loses less: there it is our plain LSTM that we must keep up with."""
    for shape, mode in everywhere(shapes):
        small = shape["H"] <= 128
        line = Line(
            "peephole loop / ours", "loop", "ours",
            least=5 if small else None, least_of=None if small else (0.9, "plain"), slack=SLACK, peer=True,
        )  # fmt: skip
        yield Race("loop", shape, mode, partial(_loop, shape, mode), (line,))


class PeepholeLoop(nn.Module):
    """As one would write it: one product for all gates, those with x before the loop."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        w, u, b, p = (layer.get_parameter(f"{kind}_l0") for kind in "WUbp")
        self.from_input = nn.Linear(w.shape[1], w.shape[0])
        self.from_input.weight, self.from_input.bias = w, b
        self.recurrent, self.peepholes = u, p

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        h = c = x.new_zeros(x.shape[1], self.recurrent.shape[1])
        p_i, p_f, p_o = self.peepholes.chunk(3)
        outputs = []
        for from_x in self.from_input(x):
            i, f, g, o = (from_x + h @ self.recurrent.T).chunk(4, -1)
            i, f = torch.sigmoid(i + p_i * c), torch.sigmoid(f + p_f * c)
            c = f * c + i * torch.tanh(g)
            h = torch.sigmoid(o + p_o * c) * torch.tanh(c)
            outputs.append(h)
        return torch.stack(outputs), (h, c)


def _loop(shape: Shape, mode: str) -> Sides:
    ours = gw.Recurrent("peephole_lstm", shape["I"], shape["H"], backend="cpu")
    by_hand, plain = PeepholeLoop(ours), gw.LSTM(shape["I"], shape["H"], backend="cpu")
    x = sequences(shape)
    agree(lambda: by_hand(x)[0], lambda: ours(x)[0])
    modules = {"loop": by_hand, "ours": ours} | ({"plain": plain} if shape["H"] > 128 else {})
    return {name: module_side(mode, module, x) for name, module in modules.items()}


# -- one step --------------------------------------------------------------------------------------

STEPS = 50
"""A stream's steps in one call."""


def step(hidden: Iterable[int] = (64, 128, 256, 512)) -> Iterator[Race]:
    """A stream that carries its state, and `layer.step`, which gives and takes it."""
    for H in hidden:
        least = 3 if H <= 128 else 2 if H <= 256 else 1.2
        lines = [
            Line(f"{STEPS} of nn.LSTMCell / {name}", "theirs", ours, least=least, slack=SLACK, peer=True)
            for name, ours in (("gw.Stream", "stream"), ("layer.step", "step"))
        ]
        yield Race("step", {"B": 1, "T": 1, "I": H, "H": H}, INFERENCE, partial(_step, H), tuple(lines))


def _step(H: int) -> Sides:
    theirs, ours = nn.LSTMCell(H, H), gw.LSTM(H, H, backend="cpu")
    for name, weight in theirs.named_parameters():
        ours.register_parameter(f"{name}_l0", weight)
    steps, stream = list(torch.randn(STEPS, 1, H)), gw.Stream(ours)

    def by_cell() -> Tensor:
        state = None
        for x in steps:
            state = theirs(x, state)
        assert state is not None
        return state[0]

    def by_step() -> Tensor:
        y, state = ours.step(steps[0])
        for x in steps[1:]:
            y, state = ours.step(x, state)
        return y

    def by_stream() -> Tensor:
        for x in steps:
            y = stream(x)
        return y

    agree(by_cell, by_step)
    agree(by_cell, by_stream)
    sides = {"theirs": by_cell, "step": by_step, "stream": by_stream}
    return {name: side(INFERENCE, call, ()) for name, call in sides.items()}
