"""The second half of the table of `test_every_argument`: functions, streams, and the words of a cell."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from bad_arguments import (
    DEVICE,
    FLAG,
    INF,
    LENGTHS,
    MODULE,
    MODULES,
    NAN,
    NUMBER,
    RESET,
    SIZE,
    B,
    Entry,
    Free,
    H,
    I,
    T,
    layer_of,
    x,
)  # fmt: skip
from torch import nn

import gatewright as gw

ENTRIES: dict[str, Entry] = dict(MODULES)


def add(name: str, call: Callable[..., Any], rows: dict[str, Any], called: dict[str, str] | None = None, **right: Any):
    """A function; a right value that is a function makes the value."""

    def values() -> dict[str, Any]:
        return {key: value() if callable(value) else value for key, value in right.items()}

    ENTRIES[name] = Entry(lambda given: call(**given), values, rows, called or {})


# -- models and files ----------------------------------------------------------------------------------------

PATH = [3, None, b"file", ""]
GENERATOR = [3, "seed", torch.tensor(3)]


def saved() -> Path:
    path = Path(tempfile.mkdtemp()) / "layer.safetensors"
    gw.save(layer_of(), path)
    return path


add("save", gw.save, {"model": MODULE, "path": PATH}, model=layer_of, path=lambda: saved())
add("load", gw.load, {"path": PATH, "into": [m for m in MODULE if m is not None], "device": DEVICE}, path=saved)
add("replace", gw.replace, {"model": MODULE}, model=lambda: nn.Sequential(nn.LSTM(I, H)))
add("detach", gw.detach, {"state": [object(), {1, 2}, (object(),)]}, state=lambda: torch.zeros(2))
add(
    "constrain", lambda module, rules=None: gw.constrain(module, **(rules or {"U_f": (-1, 1)})),
    {
        "module": [*MODULE, nn.Linear(2, 3)],
        "rules": [{name: wrong} for name, wrong in [
            ("U_q", (-1, 1)), ("U_f", 3), ("U_f", (1, -1)), ("U_f", (NAN, 1)), ("U_f", ("a", 1)), ("U_f", (0, 1, 2)),
            ("U_f", lambda w: w[0]),
        ]],
    },
    {"module": "constrain", "rules": "U_[fq]|between"}, module=layer_of,
)  # fmt: skip

# -- constraints, penalties ----------------------------------------------------------------------------------

BOUND = ["1", None, NAN, [1]]
c = gw.constraints
add(
    "constraints.between",
    c.between,
    {"low": [*BOUND, 2], "high": [*BOUND, -2]},
    {"low": "between", "high": "between"},
    low=-1,
    high=1,
)
add("constraints.non_negative", c.non_negative, {})
add(
    "constraints.magnitude",
    c.magnitude,
    {"low": [*BOUND, -1, 2], "high": [*BOUND, 0.1]},
    {"low": "magnitude", "high": "magnitude"},
    low=0.5,
    high=1,
)
add("constraints.max_norm", c.max_norm, {"limit": [*BOUND, -1, INF]}, {"limit": "max_norm"}, limit=1)
LAGS = {"max_lag": SIZE, "gamma": [*NUMBER, 0, -1, INF]}
add("constraints.indrnn_bound", c.indrnn_bound, LAGS, max_lag=9)
add("constraints.indrnn", c.indrnn, LAGS | {"epsilon": [*NUMBER, -1, 3]}, max_lag=9)
add("constraints.constrain", gw.constrain, {"module": MODULE, "rules": Free("see constrain")}, {"module": "constrain"})
ENTRIES["constraints.constrain"] = ENTRIES["constrain"]

OUTPUTS = [None, "y", 3, [[0.0]], torch.zeros(3), torch.zeros(2, 2, 2, 2)]
for name, weight, rows in (("activation", "alpha", {}), ("temporal_activation", "beta", {"reset": RESET})):
    add(
        f"penalties.{name}", getattr(gw.penalties, name),
        {"y": OUTPUTS, weight: [*NUMBER, -1, INF], "lengths": LENGTHS, "batch_first": FLAG} | rows,
        **{"y": x, weight: 1.0, "lengths": lambda: [T, 1, 0]},
    )  # fmt: skip

# -- sequences -----------------------------------------------------------------------------------------------

COUNTS = [LENGTHS[0], LENGTHS[1], [1.0], "abc", 5, torch.ones(B), [None], [True]]
MASK = torch.ones(T, B, dtype=torch.bool)
add(
    "sequences.mask",
    gw.sequences.mask,
    {"lengths": COUNTS, "steps": [-1, 2.5, True, "3", NAN], "batch_first": FLAG},
    lengths=[1, 2],
    steps=T,
)
add(
    "sequences.lengths_of",
    gw.sequences.lengths_of,
    {
        "mask": [None, [[True]], MASK.float(), MASK[0], torch.arange(T)[:, None].expand(T, B) % 2 == 1],
        "padding": ["middle", None, 3],
        "batch_first": FLAG,
    },
    mask=lambda: MASK,
)
PADDED = {
    "x": [None, "x", [[0.0]], torch.zeros(3)],
    "lengths": [*LENGTHS, ~MASK[1:], None],
    "batch_first": FLAG,
    "padding_value": ["0", None, [0], 1j],
}
add("sequences.from_left_padding", gw.sequences.from_left_padding, PADDED, x=x, lengths=[1, 2, 3])
add("sequences.to_left_padding", gw.sequences.to_left_padding, PADDED, x=x, lengths=[1, 2, 3])
add(
    "sequences.last",
    gw.sequences.last,
    {"y": [None, "y", 3, torch.zeros(3)], "lengths": LENGTHS, "bidirectional": FLAG, "batch_first": FLAG},
    y=x,
)

# -- beginnings, what is not finite, truncated back-propagation -----------------------------------------------

OTHERS = [*MODULE, nn.Linear(2, 3)]
LAYER = {"layer": [m for m in OTHERS if not isinstance(m, gw.Cell)]}
NAMES = [("q",), (3,), (None,)]
GAIN = {"gain": NUMBER, "generator": GENERATOR}


def named(function: Callable) -> Callable:
    """With the names in a tuple, as one argument."""
    return lambda layer, names=(), **rest: function(layer, *names, **rest)


init = gw.init
add("init.forget_gates", init.forget_gates, {"cell": [None, "lstm", 3, nn.Linear(2, 3)]}, cell=layer_of)
add("init.forget_bias", init.forget_bias, LAYER | {"value": NUMBER}, layer=layer_of)
add(
    "init.chrono",
    init.chrono,
    LAYER | {"max_lag": [*NUMBER, 2, -1, INF], "generator": GENERATOR},
    layer=layer_of,
    max_lag=9,
)
CALLED = {"names": "weight"}
add("init.identity", named(init.identity), LAYER | {"names": [*NAMES], "gain": NUMBER}, CALLED, layer=layer_of)
add("init.orthogonal", named(init.orthogonal), LAYER | {"names": NAMES} | GAIN, CALLED, layer=layer_of)
add("init.glorot", named(init.glorot), LAYER | {"names": NAMES} | GAIN, CALLED, layer=layer_of)
add(
    "init.uniform",
    named(init.uniform),
    LAYER | {"names": NAMES, "bound": [NAN, "1", True, -1, INF], "generator": GENERATOR},
    CALLED,
    layer=layer_of,
)
add(
    "init.constant",
    lambda layer, value, names=("U_f",): init.constant(layer, value, *names),
    LAYER | {"value": ["1", None, True, [1.0], 1j], "names": [*NAMES, ()]},
    {"names": "weights?"},
    layer=layer_of,
    value=1.0,
)
add("init.zeros", named(init.zeros), LAYER | {"names": NAMES}, CALLED, layer=layer_of)
add("debug.check_finite", gw.debug.check_finite, {"model": OTHERS, "action": ["stop", None, 3]}, model=layer_of)


def parts(**given: Any) -> list:
    return list(gw.truncated(**given))


add(
    "truncated",
    parts,
    {
        "model": [None, "lstm", 3, gw.GRU(I, H, bidirectional=True)],
        "input": [None, "x", 3, [[0.0]], torch.zeros(3), ()],
        "k": SIZE,
        "state": Free("the model checks it"),
        "through": [0, -1, 3, 2.5, True, "3", NAN],
        "lengths": LENGTHS,
        "reset": RESET,
        "batch_first": [1, "yes"],
    },
    model=layer_of,
    input=x,
    k=2,
)

# -- other libraries' weights ---------------------------------------------------------------------------------

THEIRS = [None, 3, "lstm", nn.Linear(2, 3), nn.LSTM]
add("convert.from_torch", gw.convert.from_torch, {"module": THEIRS}, module=lambda: nn.GRU(I, H))
for library in ("to_torch", "to_onnx_weights"):
    rows = {"layer": [*THEIRS, gw.GRU]}
    add(f"convert.{library}", getattr(gw.convert, library), rows, layer=lambda: gw.GRU(I, H))

# -- the words of a cell -------------------------------------------------------------------------------------

NAME = [3, "", "two words", "1st", ["i"]]
VALUES = [None, "x", [1.0], torch.zeros(2)]


def inside(word: str, given: dict[str, Any], values: tuple[str, ...]) -> gw.Cell:
    """A cell with that word in it."""

    def tried(x, h):
        own = {
            "a": h,
            "b": x,
            "v": h,
            "x": x,
            "condition": h > 0,
            "value": 1.0,
            "k": 1,
            "n": 1,
            "vectors": (x,),
        } | given
        several = own["vectors"] if word in ("affine", "linear", "layer_norm") else own.get("others", ())
        rest = {key: value for key, value in given.items() if key not in ("vectors", "others", *values)}
        before = [own[name] for name in values]
        a = getattr(gw, word)(*before, *several, **rest)
        return gw.tanh(gw.linear(x, h) + a, name="new")

    return gw.cell(tried)


def add_word(word: str, values: tuple[str, ...], **rows: Any) -> None:
    known = dict.fromkeys(values, VALUES) | {"name": NAME} | rows
    called = dict.fromkeys((*values, "vectors", "others", "value"), word)
    needed = {"constant": {"value": 1.0}, "repeat": {"n": 1}}.get(word, {})
    ENTRIES[word] = Entry(lambda given: inside(word, given, values), lambda: dict(needed), known, called)


for word in "abs exp log mean relu sigmoid softplus sqrt stop_gradient sum tanh".split():
    add_word(word, ("a",))
for word in ("maximum", "minimum"):
    add_word(word, ("a", "b"))
add_word("where", ("condition", "a", "b"))
add_word("diagonal", ("v",))
add_word("previous", ("x",), k=[0, -1, 1.5, True, "1", None])
add_word("repeat", ("v",), n=[0, -1, 1.5, True, "1", None])
add_word("max", ("a",), others=[(1.0,), (None,)])
add_word("constant", (), value=[None, "x", [1.0], torch.zeros(2)])
WIDTH = [0, -1, 1.5, True, "2x", ["P"]]
for word in ("affine", "linear"):
    add_word(word, (), vectors=[(), *((v,) for v in VALUES)], width=WIDTH)
add_word("bias", (), width=WIDTH)
add_word("layer_norm", (), vectors=[(), *((v,) for v in VALUES)], gain=FLAG, eps=[0, -1, "1", None, NAN])

TEXT = "h_t = tanh(W_h x_t + U_h h_{t-1} + b_h)"
add(
    "parse",
    gw.parse,
    {"text": [None, 3, [TEXT], "", "h_t ="], "name": [3, "two words", "1st"], "doc": [3, ["a"]]},
    {"text": "equations?|text"},
    text=TEXT,
)


def elman(x, h):
    return gw.tanh(gw.affine(x, h), name="h")


add(
    "cell",
    lambda function=elman, **how: gw.cell(**how)(function) if how else gw.cell(function),
    {
        "function": [3, "lstm", nn.LSTM(2, 3), lambda: 3, lambda *x: x, lambda x: x],
        "name": [3, "two words", "1st", ["i"]],
        "initial": [{"q": 1.0}, {"h": "1"}, {"h": None}, 3, ["h"], {"h": NAN}],
    },
    {"function": "cell"},
)

# -- streams -------------------------------------------------------------------------------------------------

ENTRIES["Stream"] = Entry(
    lambda g: gw.Stream(**g), lambda: {"model": layer_of()}, {"model": OTHERS, "time": Free("of a model")}
)
