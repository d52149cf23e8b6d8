"""The drop-ins are torch's modules: results and every gradient, signatures, weights and files."""

from __future__ import annotations

import copy
import inspect
import io
import itertools
import pickle
import typing
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

import gatewright as gw
from cases import generator
from tolerances import TOLERANCE, assert_close

# torch says once a process that oneDNN knows no projections; it is right on both sides.

T, B, I, H, P = 6, 4, 3, 5, 2
LENGTHS = (4, 6, 1, 3)
WITH_EMPTY = (0, 6, 0, 3)
KINDS = {
    "lstm": ("LSTM", {}),
    "lstm with a projection": ("LSTM", {"proj_size": P}),
    "gru": ("GRU", {}),
    "rnn": ("RNN", {}),
    "rnn relu": ("RNN", {"nonlinearity": "relu"}),
}
FORMS = ("padded", "no state", "unbatched", "packed", "packed unsorted", "lengths", "lengths from 0")
OPTIONS = [
    {"num_layers": layers, "bidirectional": both, "bias": bias, "batch_first": first}
    for layers, both, bias, first in itertools.product((1, 2), (False, True), (True, False), (False, True))
]
# Each two settings in all their combinations; the others take longer.
PAIRWISE = [OPTIONS[i] for i in (0b0000, 0b0111, 0b1011, 0b1101, 0b1110)]
REST = [given for given in OPTIONS if given not in PAIRWISE]

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")


def pair(kind: str, dtype=torch.float64, backend: str = "auto", **options):
    """(ours, theirs) with the same weights."""
    name, given = KINDS[kind]
    theirs = getattr(nn, name)(I, H, **given, **options, dtype=dtype)
    ours = getattr(gw, name)(I, H, **given, **options, dtype=dtype, backend=backend)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def states_of(module, batch: tuple[int, ...], g: torch.Generator, dtype) -> tuple[Tensor, ...]:
    rows = module.num_layers * (2 if module.bidirectional else 1)
    widths = (module.proj_size or H, H) if isinstance(module, nn.LSTM) else (H,)
    return tuple(torch.randn(rows, *batch, w, generator=g, dtype=dtype) for w in widths)


def one_or_all(states: tuple[Tensor, ...]):
    return states if len(states) > 1 else states[0]


@dataclass
class Run:
    """What a call gives: tensors to be compared, by name."""

    call: Callable[..., tuple]
    x: Tensor
    states: tuple[Tensor, ...] | None

    def results(self, module: nn.Module) -> dict[str, Tensor]:
        """Output, final states, and the gradient of everything under random cotangents."""
        leaves = {"x": self.x.clone().requires_grad_()}
        states = None
        if self.states is not None:
            states = tuple(s.clone().requires_grad_() for s in self.states)
            leaves |= {f"state {i}": s for i, s in enumerate(states)}
        leaves |= dict(module.named_parameters())
        y, final = self.call(module, leaves["x"], None if states is None else one_or_all(states))
        y = y.data if isinstance(y, PackedSequence) else y
        given = {"output": y} | {f"final {i}": s for i, s in enumerate(final if isinstance(final, tuple) else (final,))}
        g = generator(7)
        loss = sum((v * torch.randn(v.shape, generator=g, dtype=v.dtype)).sum() for v in given.values())
        grads = torch.autograd.grad(loss, list(leaves.values()))
        return given | {f"gradient of {name}": grad for name, grad in zip(leaves, grads, strict=True)}


def by_packing(module, x: Tensor, hx, lengths: tuple[int, ...]):
    """What `lengths=` means, by torch alone: the rows that have a step packed, zeros and old states for the others."""
    time, batch = (1, 0) if module.batch_first else (0, 1)
    kept = torch.tensor([i for i, n in enumerate(lengths) if n])
    counts = torch.tensor([n for n in lengths if n])
    states = hx if isinstance(hx, tuple) else (hx,)
    packed = pack_padded_sequence(x.index_select(batch, kept), counts, module.batch_first, enforce_sorted=False)
    out, final = module(packed, one_or_all(tuple(s.index_select(1, kept) for s in states)))
    y = pad_packed_sequence(out, module.batch_first, total_length=x.shape[time])[0]
    final = final if isinstance(final, tuple) else (final,)
    whole = y.new_zeros(*x.shape[:2], y.shape[-1]).index_copy(batch, kept, y)
    return whole, one_or_all(tuple(s.index_copy(1, kept, f) for s, f in zip(states, final, strict=True)))


def calls(form: str, batch_first: bool) -> tuple[Callable, Callable]:
    """How ours and how theirs is called in each form."""
    if form.startswith("packed"):
        counts = torch.tensor(LENGTHS if form.endswith("unsorted") else sorted(LENGTHS, reverse=True))

        def packed(module, x, hx):
            return module(pack_padded_sequence(x, counts, batch_first, enforce_sorted="unsorted" not in form), hx)

        return packed, packed
    if form.startswith("lengths"):
        lengths = WITH_EMPTY if form.endswith("0") else LENGTHS
        return (
            lambda module, x, hx: module(x, hx, lengths=torch.tensor(lengths)),
            lambda module, x, hx: by_packing(module, x, hx, lengths),
        )
    return (lambda module, x, hx: module(x, hx),) * 2


def check_equal(kind: str, form: str, backend: str, dtype: torch.dtype, options: dict) -> None:
    ours, theirs = pair(kind, dtype, backend, **options)
    g = generator(3)
    batch = () if form == "unbatched" else (B,)
    x = torch.randn(T, *batch, I, generator=g, dtype=dtype)
    x = x.transpose(0, 1).contiguous() if batch and options["batch_first"] else x
    states = None if form == "no state" else states_of(theirs, batch, g, dtype)
    mine, torchs = calls(form, options["batch_first"])
    found, expected = Run(mine, x, states).results(ours), Run(torchs, x, states).results(theirs)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert_close(found[name], value, TOLERANCE[dtype, backend.replace("auto", "cpu")], f"{options}: {name}")
    assert ours.backend_for(x).name == backend.replace("auto", "cpu")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("backend", ["reference", "vendor", "auto"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("settings", [PAIRWISE, pytest.param(REST, marks=pytest.mark.slow)], ids=["pairs", "rest"])
def test_equal_to_torch_in_outputs_states_and_every_gradient(settings, kind, form, backend, dtype):
    for options in settings:
        check_equal(kind, form, backend, dtype, options)


@pytest.mark.parametrize("backend", ["reference", "vendor", "auto"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_of_length_0_is_as_if_it_were_left_out(kind, backend):
    ours, theirs = pair(kind, backend=backend, num_layers=2, bidirectional=True)
    g = generator(4)
    x, states = torch.randn(T, B, I, generator=g, dtype=torch.float64), states_of(theirs, (B,), g, torch.float64)
    y, final = ours(x, one_or_all(states), lengths=list(WITH_EMPTY))
    kept = [i for i, n in enumerate(WITH_EMPTY) if n]
    y_kept, final_kept = ours(
        x[:, kept], one_or_all(tuple(s[:, kept] for s in states)), lengths=[n for n in WITH_EMPTY if n]
    )
    assert_close(y[:, kept], y_kept, 1e-12)
    assert not y[:, [0, 2]].any()
    for new, small, old in zip(
        *(f if isinstance(f, tuple) else (f,) for f in (final, final_kept)), states, strict=True
    ):
        assert_close(new[:, kept], small, 1e-12)
        assert torch.equal(new[:, [0, 2]], old[:, [0, 2]])


@pytest.mark.parametrize("backend", ["reference", "vendor", "auto"])
def test_all_sequences_empty(backend):
    ours = gw.LSTM(I, H, backend=backend)
    states = (torch.randn(1, B, H), torch.randn(1, B, H))
    y, final = ours(torch.randn(T, B, I), states, lengths=[0] * B)
    assert not y.any()
    for new, old in zip(final, states, strict=True):
        assert torch.equal(new, old)
        assert new.data_ptr() != old.data_ptr()  # what is returned aliases nothing


@pytest.mark.parametrize("backend", ["reference", "vendor", "auto"])
def test_second_derivatives_through_either_backend(backend):
    """torch's CPU kernels have them in float32 too; whichever runs, they are the reference's."""
    wanted, _ = pair("lstm", torch.float32, "reference", num_layers=2)
    layer = gw.LSTM(I, H, 2, backend=backend)
    layer.load_state_dict(wanted.state_dict())
    found = []
    for module in (layer, wanted):
        x = torch.randn(T, B, I, generator=generator(5)).requires_grad_()
        (first,) = torch.autograd.grad(module(x)[0].pow(2).sum(), x, create_graph=True)
        found.append(torch.autograd.grad(first.pow(2).sum(), [x, *module.parameters()]))
    for mine, theirs in zip(*found, strict=True):
        assert_close(mine, theirs, 1e-4)


# -- as a module -------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_state_dict_is_torchs(kind, options):
    name, given = KINDS[kind]
    torch.manual_seed(5)
    theirs = getattr(nn, name)(I, H, **given, **options)
    torch.manual_seed(5)
    ours = getattr(gw, name)(I, H, **given, **options)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    for key, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[key], value), f"{key}: one seed, the same weights"
    for mine, torchs in zip(ours.all_weights, theirs.all_weights, strict=True):
        assert [tuple(w.shape) for w in mine] == [tuple(w.shape) for w in torchs]
        assert all(torch.equal(m, t) for m, t in zip(mine, torchs, strict=True))
    for module in (ours, theirs):
        torch.manual_seed(6)
        module.reset_parameters()
    assert all(torch.equal(m, t) for m, t in zip(ours.parameters(), theirs.parameters(), strict=True))
    ours.reset_parameters()
    assert str(theirs.load_state_dict(ours.state_dict())) == "<All keys matched successfully>"
    ours.reset_parameters()
    assert str(ours.load_state_dict(theirs.state_dict(), strict=True)) == "<All keys matched successfully>"
    assert all(torch.equal(m, t) for m, t in zip(ours.parameters(), theirs.parameters(), strict=True))


@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell"])
def test_signature_is_torchs(name):
    """Names, order and defaults; what is ours stands behind them, by keyword alone."""
    theirs = getattr(nn, name).__init__
    theirs = inspect.signature((typing.get_overloads(theirs) or [theirs])[0]).parameters.values()
    ours = inspect.signature(getattr(gw, name).__init__).parameters.values()
    positional = [(p.name, p.default) for p in ours if p.kind is not p.KEYWORD_ONLY]
    assert positional == [(p.name, p.default) for p in theirs]
    own = ["backend"]
    if not name.endswith("Cell"):
        own += "dropout_kind recurrent_dropout zoneout weight_drop learned_state recompute".split()
    assert [p.name for p in ours if p.kind is p.KEYWORD_ONLY] == own


def test_positional_arguments_mean_what_they_mean_in_torch():
    for name, arguments in {
        "LSTM": (3, 5, 2, False, True, 0.1, True, 2, "cpu", torch.float64),
        "GRU": (3, 5, 2, False, True, 0.1, True),
        "RNN": (3, 5, 2, "relu", False, True, 0.1, True),
    }.items():
        ours, theirs = getattr(gw, name)(*arguments), getattr(nn, name)(*arguments)
        for field in ("mode", "input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout"):
            assert getattr(ours, field) == getattr(theirs, field), field
        assert ours.bidirectional and ours.proj_size == theirs.proj_size
        assert ours.weight_hh_l1_reverse.dtype == theirs.weight_hh_l1_reverse.dtype
        ours.flatten_parameters()


def test_mode_is_fixed():
    layer = gw.RNN(I, H, nonlinearity="relu")
    assert layer.mode == "RNN_RELU" and layer.nonlinearity == "relu"
    with pytest.raises(AttributeError, match=r"RNN\.mode is fixed when the module is made"):
        layer.mode = "LSTM"


@pytest.mark.parametrize("kind", KINDS)
def test_copies_and_files(kind, tmp_path):
    ours, theirs = pair(kind, num_layers=2, bidirectional=True)
    x = torch.randn(T, B, I, dtype=torch.float64)
    y = ours(x)[0]
    for copied in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert torch.equal(copied(x)[0], y)
        copied.weight_hh_l0.data.zero_()
    assert torch.equal(ours(x)[0], y), "a copy shares nothing"

    memory = io.BytesIO()
    torch.save(ours.state_dict(), memory)
    memory.seek(0)
    saved = torch.load(memory, weights_only=True)
    save_file(ours.state_dict(), tmp_path / "model.safetensors")
    for weights in (saved, load_file(tmp_path / "model.safetensors")):
        for module in (ours, theirs):
            module.reset_parameters()
            module.load_state_dict(weights)
            assert_close(module(x)[0], y, 1e-12)


def test_whole_module_survives_torch_save():
    layer = gw.Recurrent("peephole_lstm", I, H, 2)
    memory = io.BytesIO()
    torch.save(layer, memory)
    memory.seek(0)
    x = torch.randn(T, B, I)
    assert torch.equal(torch.load(memory, weights_only=False)(x)[0], layer(x)[0])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_small_dtypes_on_the_reference(kind, dtype):
    ours, theirs = pair(kind, torch.float32, "reference")
    ours = ours.to(dtype)
    theirs.load_state_dict({k: v.float() for k, v in ours.state_dict().items()})
    x = torch.randn(T, B, I).to(dtype)
    y, final = ours(x)
    assert y.dtype == dtype
    assert all(s.dtype == dtype for s in (final if isinstance(final, tuple) else (final,)))
    assert_close(y.float(), theirs(x.float())[0], 8 * torch.finfo(dtype).eps)


def test_to_another_dtype_keeps_the_results():
    ours, theirs = pair("gru", torch.float32)
    x = torch.randn(T, B, I)
    assert_close(ours.double()(x.double())[0].float(), theirs(x)[0], 1e-5)
    assert ours.weight_ih_l0.dtype == torch.float64
    assert ours.float()(x)[0].dtype == torch.float32


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_between_layers(kind):
    ours, theirs = pair(kind, num_layers=2, dropout=0.5, backend="vendor")
    reference, _ = pair(kind, num_layers=2, dropout=0.5, backend="reference")
    reference.load_state_dict(theirs.state_dict())
    x = torch.randn(T, B, I, dtype=torch.float64)
    trained = []
    for module in (ours, theirs):
        torch.manual_seed(8)
        trained.append(module(x)[0])
    assert torch.equal(*trained), "torch's kernel draws torch's masks"
    assert not torch.equal(reference(x)[0], reference(x)[0])
    expected = theirs.eval()(x)[0]
    for module in (ours, reference):
        assert_close(module.eval()(x)[0], expected, 1e-10)
    for module in (ours, reference):
        module.train()
        module.dropout = 1.0
    assert_close(reference(x)[0], ours(x)[0], 1e-10)


def test_dropout_on_one_layer_warns_as_torch_does():
    with pytest.warns(UserWarning, match=r"dropout=0\.5 has no effect with num_layers=1"):
        gw.LSTM(I, H, dropout=0.5)


@pytest.mark.parametrize("backend", ["reference", "auto"])
@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
def test_no_steps_raises_as_torch_and_no_sequences_work(name, backend):
    theirs, ours = getattr(nn, name)(I, H), getattr(gw, name)(I, H, backend=backend)
    for module in (theirs, ours):
        for empty in (torch.zeros(0, B, I), torch.zeros(0, I)):
            with pytest.raises(RuntimeError, match="Expected sequence length to be larger than 0 in RNN"):
                module(empty)
    for lengths in (None, torch.zeros(0, dtype=torch.int64), []):
        y, final = ours(torch.zeros(T, 0, I), lengths=lengths)
        assert y.shape == (T, 0, H)
        assert all(s.shape == (1, 0, H) for s in (final if isinstance(final, tuple) else (final,)))
    first = getattr(gw, name)(I, H, batch_first=True, backend=backend)
    with pytest.raises(RuntimeError, match="larger than 0"):
        first(torch.zeros(B, 0, I))


def test_no_steps_of_any_other_layer_returns_the_state():
    layer = gw.Recurrent("peephole_lstm", I, H, 2, bidirectional=True)
    states = (torch.randn(4, B, H), torch.randn(4, B, H))
    y, final = layer(torch.zeros(0, B, I), states, lengths=[0] * B)
    assert y.shape == (0, B, 2 * H)
    assert all(torch.equal(new, old) for new, old in zip(final, states, strict=True))


def test_weights_that_are_computed_are_read_at_every_call():
    """A parametrised weight, or one that was replaced, is the one that runs."""
    ours, theirs = pair("lstm", torch.float32)
    x = torch.randn(T, B, I)
    for module in (ours, theirs):
        nn.utils.parametrizations.orthogonal(module, "weight_hh_l0", orthogonal_map="cayley", use_trivialization=False)
    ours.parametrizations.weight_hh_l0.original.data.copy_(theirs.parametrizations.weight_hh_l0.original.data)
    assert torch.equal(ours.weight_hh_l0, theirs.weight_hh_l0)
    plain = nn.LSTM(I, H)
    plain.load_state_dict({n: getattr(ours, n) for n in plain.state_dict()})
    assert_close(ours(x)[0], plain(x)[0], 1e-5)
    ours.bias_ih_l0 = nn.Parameter(torch.ones(4 * H))
    plain.bias_ih_l0.data.fill_(1.0)
    assert_close(ours(x)[0], plain(x)[0], 1e-5)


def test_drop_ins_have_extras():
    layer = gw.GRU(I, H)
    x = torch.randn(T, B, I)
    _, every = layer(x, states="all")
    assert every.shape == (1, T, B, H)
    reset = torch.zeros(T, B, dtype=torch.bool)
    reset[3] = True
    y, _ = layer(x, reset=reset)
    assert_close(y[3:], layer(x[3:])[0], 1e-5)
    layer.backend = "vendor"
    assert str(layer.backend_for(x)) == "vendor: the equations are torch's nn.GRU, and its kernel is fast"
    layer.backend = "auto"
    assert str(layer.backend_for(x, reset=reset)) == "cpu: kernels are compiled from the equations"


def test_the_vendor_is_recognised_from_the_equations():
    @gw.cell
    def mine(x, memory, cell):
        keep = gw.sigmoid(gw.affine(x, memory))
        let = gw.sigmoid(gw.affine(x, memory))
        show = gw.sigmoid(gw.affine(x, memory))
        new = gw.tanh(gw.affine(x, memory))
        cell = let * new + cell * keep
        memory = show * gw.tanh(cell)
        return memory, cell

    layer, theirs = gw.Recurrent(mine, I, H, backend="vendor"), nn.LSTM(I, H)
    theirs.load_state_dict(layer.state_dict())
    x = torch.randn(T, B, I)
    assert layer.backend_for(x).name == "vendor"
    assert_close(layer(x)[0], theirs(x)[0], 1e-5)
    assert torch.equal(layer.weights()["W_keep"], theirs.weight_ih_l0[H : 2 * H])
    layer.backend = "reference"
    assert_close(layer(x)[0], theirs(x)[0], 1e-5)


@pytest.mark.parametrize("projection", [H - 2, H, H + 2])
def test_a_projection_of_any_width(projection):
    """torch's kernel knows a projection by its width alone: one to H units would be taken for none."""
    layer = gw.Recurrent("lstmp", I, H, 2, sizes={"P": projection}, bidirectional=True, dtype=torch.float64)
    x = torch.randn(T, B, I, dtype=torch.float64)
    y = layer(x)[0]
    assert y.shape == (T, B, 2 * projection)
    layer.backend = "vendor"
    if projection == H:
        with pytest.raises(ValueError, match="torch's kernel takes a projection to as many units for none"):
            layer.backend_for(x)
    else:
        assert_close(layer(x)[0], y, 1e-10)
    layer.backend = "reference"
    assert_close(layer(x)[0], y, 1e-10)
