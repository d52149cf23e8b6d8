"""What every argument of everything public does not take: the table of `test_every_argument`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import nn

import gatewright as gw

T, B, I, H = 5, 3, 4, 6
NAN, INF = math.nan, math.inf


@dataclass(frozen=True)
class Free:
    """An argument that takes anything, and why."""

    why: str


@dataclass(frozen=True)
class Entry:
    """A call, arguments that are right, and for each argument what is wrong; `called` has other words for a name."""

    call: Callable[[dict[str, Any]], Any]
    right: Callable[[], dict[str, Any]]
    rows: Mapping[str, Sequence[Any] | Free]
    called: Mapping[str, str] = field(default_factory=dict)


# -- what is wrong of a kind ---------------------------------------------------------------------------------

SIZE = [0, -1, 2.5, True, "3", None, NAN, [3]]
COUNT = [-1, 2.5, True, "3", NAN]
FLAG = [1, 0.0, "yes", None, [True]]
RATE = [-0.1, 1.5, NAN, INF, True, "0.1", None, [0.1], 1j]
CHOICE = ["other", 3, None, True, ["sum"]]
DTYPE = ["float32", int, torch.int64, torch.bool, 32, torch.zeros(1)]
DEVICE = ["warp", 3.5, torch.float32, ["cpu"]]
NUMBER = [NAN, "1", None, True, [1.0], 1j]
MODULE = [None, "lstm", 3, torch.zeros(2), nn.LSTM, gw.cells.lstm]
WORDS = [3, True, [], ""]


def layers_rates(one: str, other: str) -> list[Any]:
    """Rates below 1, or by a name of the cell's."""
    return [*RATE, 1.0, {one: 1.0}, {one: -0.1}, {one: NAN}, {one: True}, {one: "a"}, {other: 0.1}, {3: 0.1}]


COMMON: dict[str, Any] = {
    "input_size": [*SIZE, (I, 0), ()],
    "hidden_size": SIZE,
    "num_layers": SIZE,
    "bias": FLAG,
    "batch_first": FLAG,
    "dropout": RATE,
    "bidirectional": FLAG,
    "backend": CHOICE,
    "dropout_kind": CHOICE,
    "recurrent_dropout": layers_rates("f", "q"),
    "zoneout": layers_rates("h", "q"),
    "weight_drop": layers_rates("U_f", "W_f"),
    "learned_state": [1, 0.5, None, "h", ("q",), (3,)],
    "recompute": [0, -1, 2.5, "all", NAN, [4]],
    "dtype": DTYPE,
    "device": DEVICE,
}
DROP_IN = {name: row for name, row in COMMON.items() if name != "input_size"} | {"input_size": SIZE}


def made(kind: Any, rows: Mapping[str, Any], called: Mapping[str, str] | None = None, **right: Any) -> Entry:
    """A constructor."""
    return Entry(lambda given: kind(**given), lambda: dict(right), rows, called or {})


# -- what is called with tensors -----------------------------------------------------------------------------


def x() -> torch.Tensor:
    return torch.zeros(T, B, I)


def inputs(*shape: int) -> list[Any]:
    """What no layer takes in place of a tensor of this shape."""
    zeros = torch.zeros(shape)
    *before, last = shape
    wide, deep = torch.zeros(*before, last + 1), zeros[None, None, None]
    others = [zeros.double(), zeros.long(), zeros.to("meta"), zeros.bool(), zeros.to(torch.complex64)]
    return [None, "x", 3, zeros.tolist(), zeros.numpy(), wide, deep, torch.zeros(()), *others, (zeros, zeros), ()]


LENGTHS = [
    [T + 1, 1, 1], [-1, 1, 1], [1, 1], [1.0, 2.0, 3.0], "abc", 5, torch.ones(B), torch.ones(B, 1, dtype=torch.int64),
    torch.ones(B, dtype=torch.bool), [True] * B, [None] * B,
]  # fmt: skip
RESET = [
    torch.zeros(T, B), torch.zeros(B, T, dtype=torch.bool), torch.zeros(T, dtype=torch.bool), [[False] * B] * T, True,
    "no",
]  # fmt: skip


def states(*shape: int) -> list[Any]:
    """For a cell with one state of this shape."""
    zeros = torch.zeros(shape)
    others = [zeros.double(), zeros.long(), zeros.to("meta"), zeros[..., :-1], zeros[None], (zeros, zeros), (), (None,)]
    return ["zeros", 0, {"h": zeros}, *others]


def layer_of(**options: Any) -> Any:
    return gw.Recurrent("mgu", I, H, 2, **options)


def forward(make: Callable[[], Any], state: tuple[int, ...], **rows: Any) -> Entry:
    """Called with sequences."""
    make = cache(make)
    found = {
        "input": inputs(T, B, I),
        "hx": states(*state),
        "lengths": LENGTHS,
        "reset": RESET,
        "states": ["each", 1, True],
    }
    return Entry(
        lambda given: make()(given.pop("input"), **given),
        lambda: {"input": x(), "lengths": [T, 0, 1], "reset": torch.zeros(T, B, dtype=torch.bool)},
        found | rows,
        {"hx": "state"},
    )


def stepped(make: Callable[[], Any], state: Sequence[Any], *shape: int) -> Entry:
    shape, make = shape or (B, I), cache(make)
    return Entry(
        lambda given: make().step(**given),
        lambda: {"input": torch.zeros(shape)},
        {"input": inputs(*shape), "state": state},
    )


def weights(make: Callable[[], Any]) -> Entry:
    make = cache(make)
    rows = {"layer": [2, -1, 0.5, "0", None, True], "reverse": [True, "yes", None, 1], "grad": FLAG}
    return Entry(lambda given: make().weights(**given), dict, rows)


def backend_for(make: Callable[[], Any], shape: tuple[int, ...] = (T, B, I), **rows: Any) -> Entry:
    make = cache(make)
    found = {"input": [None, "x", 3], "reset": Free("only whether there is one counts"), "states": ["each", 1]}
    return Entry(lambda given: make().backend_for(**given), lambda: {"input": torch.zeros(shape)}, found | rows)


def methods(name: str, make: Callable[[], Any], state: tuple[int, ...], *, pairs: bool = False) -> dict[str, Entry]:
    wrong = [s for s in states(*state) if not (pairs and isinstance(s, tuple) and len(s) == 2)]
    return {
        f"{name}.forward": forward(make, state, hx=wrong),
        f"{name}.step": stepped(make, wrong),
        f"{name}.weights": weights(make),
        f"{name}.backend_for": backend_for(make),
    }


def deep() -> gw.Deep:
    return gw.Deep([gw.GRU(I, H), nn.Linear(H, H), gw.GRU(H, H)])


@cache
def conv() -> gw.ConvRecurrent:
    return gw.ConvRecurrent("gru", 2, H, 3, 2, dims=1)


FRAMES = torch.zeros(T, B, 2, 7)
FRAMED = [
    None,
    "x",
    3,
    FRAMES.tolist(),
    FRAMES[:, :, :1],
    FRAMES[0, 0],
    FRAMES.double(),
    FRAMES.long(),
    FRAMES.to("meta"),
    (),
]
DEEP_STATE = ["zeros", 0, torch.zeros(1), (), (None,) * 3, (torch.zeros(1, B, H + 1), None), ("h", None)]
STEP = {
    "input_size": SIZE, "hidden_size": SIZE, "bias": FLAG, "device": DEVICE, "dtype": DTYPE, "backend": CHOICE,
}  # fmt: skip
STEPPED = {"input": inputs(B, I), "hx": states(B, H)}


def step_cell(kind: Any, hx: Sequence[Any]) -> Entry:
    rows = {"input": inputs(B, I), "hx": hx}
    cell = kind(I, H)
    return Entry(lambda g: cell(**g), lambda: {"input": torch.zeros(B, I)}, rows, {"hx": "state"})


PAIR = torch.zeros(B, H)
PAIRS = ["zeros", PAIR, (PAIR,), (PAIR, None), (PAIR, PAIR.double()), (PAIR, PAIR[:, 1:]), (PAIR, PAIR.to("meta"))]
LAYERS = [[], [nn.Linear(I, H)], [nn.LSTM(I, H)], ["lstm"], [gw.GRU(I, H), gw.GRU(I, H)], None, 3, gw.GRU(I, H)]
ARRANGED = {
    "layers": LAYERS, "residual": FLAG, "highway": FLAG, "norm": ["both", 3, True],
    "norm_layer": ["layer", 3, None, lambda _: 3], "dropout": [*RATE, 1.0], "dropout_kind": CHOICE,
}  # fmt: skip
OF_CELLS = {name: row for name, row in ARRANGED.items() if name != "layers"} | {
    "cell": [None, 3, "lstn", [3], [], nn.LSTM], "input_size": COMMON["input_size"], "hidden_size": [*SIZE[:-1], [0]],
    "num_layers": [n for n in SIZE if n is not None], "projection": [n for n in SIZE if n is not None],
    "options": Free("gw.Recurrent checks them"),
}  # fmt: skip
CONV = {
    "cell": [None, 3, "lstn", nn.LSTM], "in_channels": [*SIZE, ()], "hidden_channels": SIZE, "num_layers": SIZE,
    "kernel_size": [*SIZE[:-1], (3, 3), (0,), "33"], "dims": [*SIZE, 4], "dilation": [*SIZE[:-1], (1, 1)],
    "recurrent_kernel_size": [n for n in SIZE[:-1] if n is not None], "padding_mode": CHOICE,
    "peephole_size": [n for n in SIZE if n is not None and n != [3]],
    "bias": FLAG, "batch_first": FLAG, "dropout": RATE, "bidirectional": FLAG, "backend": CHOICE,
    "sizes": [{"Q": 3}, {"P": 0}, 3, "P", {"H": 3}], "dtype": DTYPE, "device": DEVICE,
}  # fmt: skip

MODULES: dict[str, Entry] = {
    "Recurrent": made(
        gw.Recurrent,
        COMMON | {
            "cell": [None, 3, "lstn", nn.LSTM, lambda x, h: h],
            "merge": CHOICE,
            "heads": [*SIZE, 4],
            "sizes": [{"Q": 3}, {"P": 0}, {"P": True}, {"P": 2.0}, 3, "P", {"H": 3}, {3: 3}],
        },
        {"sizes": "sizes?"},
        cell="mgu", input_size=I, hidden_size=H,
    ),
    "LSTM": made(gw.LSTM, DROP_IN | {"proj_size": [-1, H, 2.5, True, "3", None]}, input_size=I, hidden_size=H),
    "GRU": made(gw.GRU, DROP_IN | {"recurrent_dropout": layers_rates("r", "q"),
                                   "weight_drop": layers_rates("U_r", "W")}, input_size=I, hidden_size=H),
    "RNN": made(gw.RNN, DROP_IN | {"recurrent_dropout": layers_rates("h", "q"), "weight_drop": layers_rates("U_h", "W"),
                                   "nonlinearity": CHOICE}, input_size=I, hidden_size=H),
    **methods("Recurrent", layer_of, (2, B, H)),
    **methods("GRU", lambda: gw.GRU(I, H, 2), (2, B, H)),
    **methods("RNN", lambda: gw.RNN(I, H, 2, backend="reference"), (2, B, H)),
    **methods("LSTM", lambda: gw.LSTM(I, H, 2), (2, B, H), pairs=True),
    "LSTMCell": made(gw.LSTMCell, STEP, input_size=I, hidden_size=H),
    "GRUCell": made(gw.GRUCell, STEP, input_size=I, hidden_size=H),
    "RNNCell": made(gw.RNNCell, STEP | {"nonlinearity": CHOICE}, input_size=I, hidden_size=H),
    "LSTMCell.forward": step_cell(gw.LSTMCell, PAIRS),
    "GRUCell.forward": step_cell(gw.GRUCell, states(B, H)),
    "RNNCell.forward": step_cell(gw.RNNCell, states(B, H)),
    "LSTMCell.weights": Entry(lambda _: gw.LSTMCell(I, H).weights(), dict, {}),
    "GRUCell.weights": Entry(lambda _: gw.GRUCell(I, H).weights(), dict, {}),
    "RNNCell.weights": Entry(lambda _: gw.RNNCell(I, H).weights(), dict, {}),
    "Deep": Entry(
        lambda g: gw.Deep(**g), lambda: {"layers": [gw.GRU(I, H), gw.GRU(H, H)], "norm": "pre"},
        ARRANGED | {"norm": ["both", 3, True]},
    ),
    "Deep.of": made(gw.Deep.of, OF_CELLS, cell=["gru", "gru"], input_size=I, hidden_size=H, norm="pre"),
    "Deep.forward": forward(deep, (1, B, H), hx=DEEP_STATE),
    "Deep.step": stepped(deep, DEEP_STATE),
    "Deep.backend_for": backend_for(deep),
    "Ensemble": Entry(
        lambda g: gw.Ensemble(**g), lambda: {"layer": gw.GRU(I, H), "n": 2}, {"layer": MODULE, "n": SIZE}
    ),
    "Ensemble.of": Entry(
        lambda g: gw.Ensemble.of(**g), lambda: {"layers": [gw.GRU(I, H)]},
        {"layers": [[], [None], [gw.GRU(I, H), gw.GRU(I, H + 1)], None, 3, [nn.GRU(I, H)]]},
    ),
    "Ensemble.forward": forward(lambda: gw.Ensemble(layer_of(), 2), (2, 2, B, H)),
    "Ensemble.step": stepped(lambda: gw.Ensemble(layer_of(), 2), states(2, 2, B, H)),
    "Ensemble.weights": weights(lambda: gw.Ensemble(layer_of(), 2)),
    "Ensemble.backend_for": backend_for(lambda: gw.Ensemble(layer_of(), 2)),
    "Ensemble.__getitem__": Entry(
        lambda g: gw.Ensemble(gw.GRU(I, H), 2)[g["i"]], lambda: {"i": -2},
        {"i": ["0", 0.0, None, True]}, {"i": "ensemble"},
    ),
    "ConvRecurrent": made(gw.ConvRecurrent, CONV, {"sizes": "sizes?"}, cell="gru", in_channels=2, hidden_channels=H,
                          kernel_size=3, dims=1),
    "ConvRecurrent.forward": Entry(
        lambda g: conv()(g.pop("input"), **g), lambda: {"input": FRAMES},
        {"input": FRAMED, "hx": states(2, B, H, 7), "lengths": LENGTHS, "reset": RESET, "states": ["each", 1, True]},
        {"hx": "state"},
    ),
    "ConvRecurrent.step": Entry(
        lambda g: conv().step(**g), lambda: {"input": FRAMES[0]},
        {"input": [None, "x", FRAMES[0].tolist(), FRAMES[0, :, :1], FRAMES[0].double(), ()],
         "state": states(2, B, H, 7)},
    ),
    "ConvRecurrent.weights": weights(conv),
    "ConvRecurrent.backend_for": Entry(lambda g: conv().backend_for(**g), lambda: {"input": FRAMES}, {"input": FRAMED}),
    "LockedDropout": made(gw.LockedDropout, {"p": RATE, "batch_first": FLAG}),
    "LockedDropout.forward": Entry(
        lambda g: gw.LockedDropout()(**g), lambda: {"input": x()}, {"input": [None, "x", 3, [[0.0]], torch.zeros(3)]}
    ),
    "EmbeddingDropout": Entry(
        lambda g: gw.EmbeddingDropout(**g), lambda: {"embedding": nn.Embedding(3, 2)},
        {"embedding": [None, 3, nn.Linear(3, 2), torch.zeros(3, 2), nn.Embedding], "p": RATE},
    ),
    "EmbeddingDropout.forward": Entry(
        lambda g: gw.EmbeddingDropout(nn.Embedding(3, 2))(**g), lambda: {"input": torch.zeros(2, dtype=torch.int64)},
        {"input": [None, "x", 3, [0], torch.zeros(2), torch.zeros(2, dtype=torch.bool),
                   torch.zeros(2, dtype=torch.int64, device="meta")]},
    ),
}  # fmt: skip
