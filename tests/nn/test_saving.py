"""`gw.save` and `gw.load`: what comes back is what was saved, made from the file alone or loaded by names."""

from __future__ import annotations

import errno
import inspect
import subprocess
import sys
import warnings
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune

import gatewright as gw
from cases import generator
from gatewright.nn import describe, files

T, B, I, H = 5, 4, 3, 6


@gw.cell
def no_weights(x, h):
    return gw.constant(0.9) * h + 0.1 * x


@gw.cell(initial={"c": 0.5})
def written(x, h, c):
    """A cell of one's own."""
    i = gw.sigmoid(gw.affine(x, h))
    f = gw.sigmoid(gw.affine(x, h) + gw.diagonal(c))
    c = f * c + i * gw.tanh(gw.affine(x, h), name="g")
    return gw.tanh(c, name="h"), c


@gw.cell(initial={"c": 0.5})
def swapped(x, h, c):
    """The same, the gates in another order."""
    f = gw.sigmoid(gw.affine(x, h) + gw.diagonal(c))
    i = gw.sigmoid(gw.affine(x, h))
    c = f * c + i * gw.tanh(gw.affine(x, h), name="g")
    return gw.tanh(c, name="h"), c


def sample(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=generator(7), dtype=dtype)


def computed(layer: nn.Module, name: str, by: str = "weight_norm", **how) -> nn.Module:
    return getattr(parametrizations, by)(layer, name, **how)


def deep(**options) -> gw.Deep:
    f64 = {"dtype": torch.float64}
    lower, upper = gw.Recurrent("mgu", I, H, **f64), gw.GRU(H, H, **f64)
    return gw.Deep([lower, nn.Linear(H, H, **f64), nn.Tanh(), upper], **options)


KINDS = {
    "Recurrent": lambda: gw.Recurrent(written, I, H, 2, bidirectional=True, learned_state=True, merge="sum"),
    "two inputs": lambda: gw.Recurrent("ea_lstm", (I, 2), H),
    "a width of its own": lambda: gw.Recurrent("lstmp", I, H, sizes={"P": 4}, weight_drop={"U_i": 0.3}),
    "heads in float64": lambda: gw.Recurrent("slstm", I, H, heads=2, zoneout={"h": 0.1}, dtype=torch.float64),
    "bfloat16": lambda: gw.GRU(I, H, dtype=torch.bfloat16),
    "no weights": lambda: gw.Recurrent(no_weights, I, I, 2, dtype=torch.float64),
    "LSTM": lambda: gw.LSTM(I, H, 2, proj_size=2, dropout=0.2, backend="reference", recompute=True),
    "GRU": lambda: gw.GRU(I, H, bias=False, batch_first=True, recompute=2),
    "RNN": lambda: gw.RNN(I, H, nonlinearity="relu", bidirectional=True, learned_state=("h",)),
    "LSTMCell": lambda: gw.LSTMCell(I, H),
    "GRUCell": lambda: gw.GRUCell(I, H, bias=False, backend="reference"),
    "RNNCell": lambda: gw.RNNCell(I, H, nonlinearity="relu"),
    "Deep": lambda: deep(residual=True, norm="pre", dropout=0.1, dropout_kind="locked"),
    "Deep with other norms": lambda: deep(highway=True, norm="post", norm_layer=nn.RMSNorm),
    "Deep in a Deep": lambda: gw.Deep([gw.Deep.of(["lstm", "gru"], I, 8), gw.Recurrent(no_weights, 8, 8)]),
    "Ensemble": lambda: gw.Ensemble(gw.Recurrent("slstm", I, H, learned_state=True), 3),
    "ConvRecurrent": lambda: gw.ConvRecurrent(
        "peephole_lstm",
        2,
        3,
        (3, 1),
        dilation=2,
        padding_mode="circular",
        peephole_size=(4, 5),
        recurrent_kernel_size=1,
    ),
    "weight norm": lambda: computed(gw.Recurrent("mgu", I, H, dtype=torch.float64), "W_l0", dim=1),
    "spectral norm": lambda: computed(gw.LSTM(I, H), "weight_hh_l0", "spectral_norm", n_power_iterations=2),
    "Ensemble with weight norm": lambda: computed(gw.Ensemble(gw.Recurrent("mgu", I, H), 2), "W_l0"),
    "Sequential": lambda: nn.Sequential(gw.EmbeddingDropout(nn.Embedding(9, I)), gw.LockedDropout(0.3), gw.LSTM(I, H)),
    "ModuleDict": lambda: nn.ModuleDict({"b": nn.Conv1d(2, 3, 3, bias=False), "a": nn.ModuleList([nn.BatchNorm1d(3)])}),
}


def assert_equal(found: nn.Module, expected: nn.Module) -> None:
    """Class, arguments, weights, dtypes, mode."""
    assert type(found).__name__ == type(expected).__name__ and repr(found) == repr(expected)
    ours, theirs = found.state_dict(), expected.state_dict()
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert value.dtype == theirs[name].dtype and value.device == theirs[name].device, name
        assert torch.equal(value, theirs[name]), name
    frozen, theirs = ({n for n, p in m.named_parameters() if not p.requires_grad} for m in (found, expected))
    assert frozen == theirs
    pairs = list(zip(found.modules(), expected.modules(), strict=True))
    assert all(a.training == b.training for a, b in pairs)
    for a, b in pairs:
        if type(b).__name__ in describe.OURS:
            names = describe.arguments_of(type(b))
            assert describe.attributes(a, names) == describe.attributes(b, names)


def input_of(kind: str, model: nn.Module) -> Any:
    dtype = next((p.dtype for p in [*model.parameters(), *model.buffers()]), torch.float32)
    match kind:
        case "ConvRecurrent":
            return sample(T, B, 2, 4, 5)
        case "Sequential":
            return torch.randint(9, (T, B), generator=generator(1))
        case "LSTMCell" | "GRUCell" | "RNNCell":
            return sample(B, I)
        case "two inputs":
            return sample(T, B, I), sample(B, 2)
    return sample(T, B, I, dtype=dtype)


@pytest.mark.filterwarnings("ignore:LSTM with projections", "ignore:the cpu kernels", "ignore:.*takes? the reference")
@pytest.mark.parametrize("kind", KINDS)
def test_what_comes_back_is_what_was_saved(kind, tmp_path):
    torch.manual_seed(3)
    model, path = KINDS[kind](), tmp_path / "model.safetensors"
    gw.save(model, path)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    before = torch.get_rng_state()
    found = gw.load(path)
    assert torch.equal(torch.get_rng_state(), before), "loading draws nothing"
    assert_equal(found, model)
    filled = KINDS[kind]()
    assert gw.load(path, into=filled) is filled
    assert_equal(filled, model)
    if kind == "ModuleDict":
        return
    x = input_of(kind, model)
    expected, state = run(model, x)
    for twin in (found, filled):
        y, own = run(twin, x)
        assert torch.equal(y, expected) and torch.equal(own, state)
        if any(p.requires_grad for p in twin.parameters()):
            y.sum().backward()
        assert all(p.grad is not None for p in twin.parameters())


def run(model: nn.Module, x: Any) -> tuple[Tensor, Tensor]:
    """In training, with the same random numbers: the output, and a first state."""
    torch.manual_seed(11)
    found = model(x)
    while not isinstance(found, Tensor):
        found = found[0]
    torch.manual_seed(11)
    state = model(x)
    while not isinstance(state, Tensor):
        state = state[-1]
    return found, state


def test_a_cell_comes_back_without_its_function(tmp_path):
    path = tmp_path / "layer.safetensors"
    layer = gw.Recurrent(written, I, H, dtype=torch.float64)
    gw.save(layer, path)
    torch.save((sample(T, B, I, dtype=torch.float64), layer(sample(T, B, I, dtype=torch.float64))[0]), tmp_path / "y")
    code = (
        "import sys, torch, gatewright as gw\n"
        "layer = gw.load(sys.argv[1])\n"
        "x, y = torch.load(sys.argv[2])\n"
        "assert torch.equal(layer(x)[0], y)\n"
        "print(layer.cell.name, layer.cell.__doc__, layer.cell.graph.states[1].initial)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, path, tmp_path / "y"], capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "written A cell of one's own. 0.5"


# -- any options ---------------------------------------------------------------------------------------------


RATE = st.sampled_from([0.0, 0.1, 0.25, 1 / 3])
COMMON = {
    "bias": st.booleans(),
    "batch_first": st.booleans(),
    "dropout": RATE,
    "dropout_kind": st.sampled_from(["fresh", "locked"]),
    "bidirectional": st.booleans(),
    "backend": st.sampled_from(["auto", "cpu", "reference"]),
    "recurrent_dropout": RATE | st.fixed_dictionaries({"h": RATE}),
    "zoneout": RATE | st.fixed_dictionaries({"h": RATE}),
    "weight_drop": RATE | st.fixed_dictionaries({"U_h": RATE}),
    "learned_state": st.booleans() | st.just(("h",)),
    "recompute": st.none() | st.booleans() | st.integers(1, 4),
    "dtype": st.sampled_from([None, torch.float32, torch.float64]),
}
OWN = {
    gw.Recurrent: {
        "merge": st.sampled_from(["concat", "sum", "mean"]),
        "heads": st.sampled_from([1, 2, 3]),
        "sizes": st.just({"P": 6}) | st.just({"P": 12}),
    },
    gw.LSTM: {"proj_size": st.integers(0, 5)},
    gw.GRU: {},
    gw.RNN: {"nonlinearity": st.sampled_from(["tanh", "relu"])},
}


@gw.cell
def projecting(x, h):
    p = gw.linear(h, width="P")
    return gw.tanh(gw.affine(x, p), name="h")


@st.composite
def layers(draw) -> tuple[type, tuple, dict[str, Any]]:
    """(class, sizes, options) of a layer."""
    kind = draw(st.sampled_from(list(OWN)))
    options = {name: draw(value) for name, value in (COMMON | OWN[kind]).items() if draw(st.booleans())}
    sizes: tuple[Any, ...] = (draw(st.integers(1, 4)), H, draw(st.integers(1, 3)))
    if kind is gw.Recurrent:
        options["sizes"] = options.get("sizes", {"P": 6})
        sizes = (projecting, *sizes)
    elif isinstance(options.get("weight_drop"), dict) or isinstance(options.get("recurrent_dropout"), dict):
        named = "h" if kind is gw.RNN else "i" if kind is gw.LSTM else "z"
        for option, prefix in (("weight_drop", "U_"), ("recurrent_dropout", "")):
            if isinstance(options.get(option), dict):
                options[option] = {prefix + named: 0.2}
    return kind, sizes, options


@settings(max_examples=40, deadline=None)
@given(given=layers(), training=st.booleans(), frozen=st.booleans())
def test_any_options_come_back(given, training, frozen, tmp_path_factory):
    path = tmp_path_factory.mktemp("any") / "layer.safetensors"
    kind, sizes, options = given
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that one layer has no dropout between layers
        layer = kind(*sizes, **options)
    layer.train(training)
    next(iter(layer.parameters())).requires_grad_(not frozen)
    gw.save(layer, path)
    assert_equal(gw.load(path), layer)


def test_every_argument_is_among_those_of_the_property():
    for kind, own in OWN.items():
        names = set(inspect.signature(kind).parameters) - {"cell", "input_size", "hidden_size", "num_layers", "device"}
        assert names == COMMON.keys() | own.keys()


# -- what a state_dict does not say --------------------------------------------------------------------------


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.lstm, self.head = nn.Embedding(9, I), gw.LSTM(I, I), nn.Linear(I, 9, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens):
        return self.head(self.lstm(self.embedding(tokens))[0])


def test_tied_weights_are_in_the_file_once_and_stay_tied(tmp_path):
    path = tmp_path / "model.safetensors"
    embedding = nn.Embedding(9, I)
    model = nn.Sequential(gw.EmbeddingDropout(embedding), gw.LSTM(I, I), nn.Linear(I, 9, bias=False))
    model[2].weight = model[0].weight
    gw.save(model, path)
    assert "2.weight" not in load_file(path)
    found = gw.load(path)
    assert found[2].weight is found[0].weight
    assert_equal(found, model)


def test_tied_weights_go_into_untied_ones_but_not_the_other_way_round(tmp_path):
    path, model = tmp_path / "model.safetensors", Tied()
    gw.save(model, path)
    apart = Tied()
    apart.head.weight = nn.Parameter(torch.zeros(9, I))
    gw.load(path, into=apart)
    assert torch.equal(apart.head.weight, model.embedding.weight)
    gw.save(apart, path)
    gw.load(path, into=model)  # equal as they are
    with torch.no_grad():
        apart.head.weight.zero_()
    gw.save(apart, path)
    kept = model.head.weight.clone()
    with pytest.raises(ValueError, match=r"embedding\.weight and head\.weight are one weight of the model, and two in"):
        gw.load(path, into=model)
    assert torch.equal(model.head.weight, kept)


def test_a_layer_in_two_places_is_one_layer_again(tmp_path):
    layer, path = gw.GRU(H, H), tmp_path / "model.safetensors"
    gw.save(gw.Deep([gw.LSTM(I, H), layer, layer]), path)
    found = gw.load(path)
    assert found.layers[1] is found.layers[2]


def test_modes_and_frozen_weights(tmp_path):
    path = tmp_path / "model.safetensors"
    model = nn.Sequential(gw.Ensemble(gw.LSTM(I, H), 2), gw.Deep([gw.GRU(H, H), nn.Dropout(0.5)]))
    model[0].eval()
    model[1].layers[1].training = False
    model[1].layers[0].requires_grad_(False)
    gw.save(model, path)
    found = gw.load(path)
    assert_equal(found, model)
    assert not found[0].layer.training
    into = nn.Sequential(gw.Ensemble(gw.LSTM(I, H), 2), gw.Deep([gw.GRU(H, H), nn.Dropout(0.5)]))
    gw.load(path, into=into)
    assert into[0].training and all(p.requires_grad for p in into.parameters()), "a model keeps its own"


def test_the_device_and_dtype_of_a_model_that_is_there_stay(tmp_path):
    path = tmp_path / "layer.safetensors"
    layer = gw.Recurrent("mgu", I, H, dtype=torch.float64)
    gw.save(layer, path)
    single = gw.load(path, into=gw.Recurrent("mgu", I, H))
    assert single.W_l0.dtype == torch.float32 and torch.equal(single.W_l0, layer.W_l0.float())
    assert gw.load(path, device="meta").W_l0.is_meta
    with torch.device("meta"):
        assert gw.load(path).W_l0.is_meta


# -- weights that are computed -------------------------------------------------------------------------------


HOW = {
    "orthogonal": lambda layer: parametrizations.orthogonal(layer, "U_h_l0"),
    "pruned": lambda layer: prune.l1_unstructured(layer, "W_l0", amount=0.5),
}


@pytest.mark.parametrize("how", HOW)
def test_other_computed_weights_go_into_a_model_that_computes_them(how, tmp_path):
    path, layer = tmp_path / "layer.safetensors", gw.Recurrent("mgu", I, 2)
    HOW[how](layer)
    layer.eval()
    gw.save(layer, path)
    with pytest.raises(ValueError, match=r"the model is a .*, or has one inside; make the model by its own code"):
        gw.load(path)
    twin = gw.Recurrent("mgu", I, 2)
    HOW[how](twin)
    gw.load(path, into=twin.eval())
    x = sample(T, B, I)
    assert torch.allclose(twin(x)[0], layer(x)[0], atol=1e-6)


def test_a_computed_weight_made_plain_is_saved_as_it_is(tmp_path):
    path, layer = tmp_path / "layer.safetensors", gw.Recurrent("mgu", I, 2)
    HOW["orthogonal"](layer)
    parametrize.remove_parametrizations(layer, "U_h_l0")
    gw.save(layer, path)
    assert_equal(gw.load(path), layer)


# -- files ---------------------------------------------------------------------------------------------------


def test_a_file_is_safetensors_with_the_equations_as_text(tmp_path):
    path, layer = tmp_path / "layer.safetensors", gw.Recurrent(written, I, H)
    gw.save(layer, str(path))
    assert gw.Recurrent(written, I, H).load_state_dict(load_file(path)) == ([], [])
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    assert metadata["format"] == "gatewright.module" and metadata["gatewright"] == gw.__version__
    assert "f_t = σ(W_f x_t + U_f h_{t-1} + b_f + p_f ⊙ c_{t-1})" in metadata["cells"]


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path, layer = tmp_path / "layer.safetensors", gw.GRU(I, H)
    gw.save(layer, path)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match=r"cannot be written \(No space left on device\); what was there before is unhar"):
        gw.save(gw.LSTM(I, H), path)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_a_loaded_model_does_not_need_its_file(tmp_path):
    path, layer = tmp_path / "layer.safetensors", gw.GRU(I, H)
    gw.save(layer, path)
    found = gw.load(path)
    path.write_bytes(b"")
    assert_equal(found, layer)
    assert all(p.data_ptr() % 64 == 0 for p in found.parameters())


def test_a_compiled_model_is_what_was_compiled(tmp_path):
    path, layer = tmp_path / "layer.safetensors", gw.GRU(I, H)
    gw.save(torch.compile(layer, backend="eager"), path)
    assert_equal(gw.load(path), layer)
    other = gw.GRU(I, H)
    gw.load(path, into=torch.compile(other, backend="eager"))
    assert_equal(other, layer)


# -- into a model that is there ------------------------------------------------------------------------------


WRAPPED = {
    "alone": lambda layer: layer,
    "in a model": lambda layer: nn.ModuleDict({"a": layer, "b": Tied()}),
    "an ensemble": lambda layer: gw.Ensemble(layer, 2),
}


def recurrent_part(model: nn.Module) -> Any:
    return next(m for m in model.modules() if isinstance(m, gw.Recurrent | gw.Ensemble))


@pytest.mark.parametrize("wrap", WRAPPED)
def test_rows_find_their_gates_by_name(wrap, tmp_path):
    path = tmp_path / "layer.safetensors"
    model, other = (WRAPPED[wrap](gw.Recurrent(cell, I, H, 2, dtype=torch.float64)) for cell in (written, swapped))
    gw.save(model, path)
    gw.load(path, into=other)
    ours, theirs = recurrent_part(model), recurrent_part(other)
    for name, weight in ours.weights(1).items():
        assert torch.equal(theirs.weights(1)[name], weight), name
    x = sample(T, B, I, dtype=torch.float64)
    assert torch.allclose(theirs(x)[0], ours(x)[0], atol=1e-12)
    assert not torch.equal(ours.W_l0, theirs.W_l0)


def test_other_equations_are_told(tmp_path):
    path = tmp_path / "layer.safetensors"
    other = gw.parse(str(written).replace("h_t = tanh(c_t)", "h_t = σ(c_t)"), name="other")
    gw.save(nn.ModuleList([gw.Recurrent(written, I, H)]), path)
    into = nn.ModuleList([gw.Recurrent(other, I, H)])
    with pytest.warns(UserWarning, match=r"other equations than in 0 of the model: it was saved with") as told:
        gw.load(path, into=into)
    assert "\n  h_t = tanh(c_t)\nand the model has\n  h_t = σ(c_t)" in str(told[0].message)
    assert told[0].filename == __file__
