"""A layer by the CPU's kernels: the reference's results in every setting, and what a module of torch must bear."""

from __future__ import annotations

import copy
import inspect
import itertools
import pickle
import re
import sys
import threading
import warnings

import pytest
import torch
from torch import Tensor, nn
from torch._inductor import config as inductor
from torch.func import functional_call, grad, jacrev, jvp, vmap
from torch.nn.utils import parametrizations
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.data import DataLoader, Dataset

import gatewright as gw
from cases import case_for, generator, sequence_inputs
from gatewright.nn import choice
from tolerances import assert_close

# torch's own use of what torch itself has deprecated: in forward mode, and where Dynamo meets an autograd.Function.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit.script.* is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning"),
]

T, B, I, H = 6, 4, 3, 5
LENGTHS = torch.tensor([3, 0, 6, 1])
RESET = torch.rand(T, B, generator=generator(2)) < 0.3
EVERYTHING = {"recurrent_dropout": 0.3, "zoneout": 0.2, "weight_drop": 0.4}


def sample(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def tensors(found) -> list[Tensor]:
    """Every tensor of what a layer gives or takes, in order."""
    if isinstance(found, Tensor):
        return [found]
    return [t for part in found for t in tensors(part)]


def both(make) -> tuple[gw.Recurrent, gw.Recurrent]:
    """The same layer by the kernels and by the reference."""
    ours, theirs = make(backend="cpu"), make(backend="reference")
    with torch.no_grad():
        for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
            q.copy_(p)
    return ours, theirs


def results(layer, x, hx=None, **given) -> list[Tensor]:
    """Outputs, states, and the gradients of inputs, states and weights for random cotangents."""
    torch.manual_seed(7)
    leaves = [t.requires_grad_() for t in (*tensors(x), *(tensors(hx) if hx is not None else ()))]
    outputs = tensors(layer(x, hx, **given))
    loss = sum((y * sample(*y.shape, seed=i).to(y.dtype)).sum() for i, y in enumerate(outputs))
    assert isinstance(loss, Tensor)
    found = torch.autograd.grad(loss, [*leaves, *layer.parameters()], materialize_grads=True)
    return [*outputs, *found]


def check(make, x, hx=None, *, tolerance=1e-10, **given) -> None:
    ours, theirs = both(make)
    assert ours.backend_for(x, reset=given.get("reset"), states=given.get("states")).name == "cpu"
    pairs = zip(results(ours, x, hx, **given), results(theirs, x, hx, **given), strict=True)
    for i, (mine, expected) in enumerate(pairs):
        assert_close(mine, expected, tolerance, f"result {i}")


# -- the reference's results ---------------------------------------------------------------------------------


@pytest.mark.parametrize("reset", [False, True], ids=["no reset", "reset"])
@pytest.mark.parametrize("states", [None, "all"])
def test_every_setting(states, reset):
    """All layers, directions, layouts, lengths and first states."""
    switches = itertools.product((1, 2), *[(False, True)] * 4)
    for layers, two, first, cut, began in switches:

        def make(backend, layers=layers, two=two, first=first):
            torch.manual_seed(1)
            options = {"bidirectional": two, "batch_first": first, "dtype": torch.float64, "backend": backend}
            return gw.Recurrent("peephole_lstm", I, H, layers, **options)

        shape = (B, T) if first else (T, B)
        hx = tuple(sample(layers * (1 + two), B, H, seed=s) for s in (3, 4)) if began else None
        given = {"lengths": LENGTHS} if cut else {}
        given |= {"reset": RESET.T if first else RESET} if reset else {}
        check(make, sample(*shape, I), hx, states=states, **given)


@pytest.mark.parametrize("name", gw.cells)
def test_every_cell(name):
    case = case_for(gw.cells[name].graph, I, H)
    alone = name in ("mut1", "mut2", "sru")  # as wide as its input: no pair of directions fits on top

    def make(backend):
        options = {"bidirectional": True, "dtype": torch.float64, "backend": backend}
        return case.layer(gw.cells[name], 1 if alone else 2, **options)

    check(make, sequence_inputs(case, T, B, generator(3)), lengths=[3, 2, 6, 1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
def test_torchs_modules_are_peers(name, dtype):
    for options in ({"batch_first": True}, {"num_layers": 2, "bidirectional": True}, {"bias": False}):
        theirs = getattr(nn, name)(I, H, dtype=dtype, **options)
        ours = getattr(gw, name)(I, H, dtype=dtype, backend="cpu", **options)
        ours.load_state_dict(theirs.state_dict())
        x = sample(T, B, I).to(dtype)
        counts = [4, 4, 2, 1, 3, 3] if ours.batch_first else [5, 6, 2, 1]
        packed = pack_padded_sequence(x, counts, ours.batch_first, enforce_sorted=False)
        for given in (x, x[:, 0], packed):
            mine, expected = results_of(ours, given), results_of(theirs, given)
            for a, b in zip(mine, expected, strict=True):
                assert_close(a, b, 1e-5 if dtype == torch.float32 else 1e-10)


def results_of(module, x) -> list[Tensor]:
    y, final = module(x)
    outputs = [y if isinstance(y, Tensor) else y.data, *tensors(final)]
    return [*outputs, *torch.autograd.grad(sum(y.sin().sum() for y in outputs), list(module.parameters()))]


def test_inputs_that_stay_and_inputs_of_before():
    """(B, features) at every step; and `previous`, in both directions, across resets and from call to call."""

    @gw.cell
    def cell(x, static, /, h):
        f = gw.sigmoid(gw.affine(x, h))
        late = gw.linear(gw.previous(static, 1))
        z = gw.tanh(gw.affine(gw.previous(x, 2)) + late)
        return f * h + (1 - f) * z

    def make(backend, two=True):
        torch.manual_seed(1)
        return gw.Recurrent(cell, (I, 2), H, 2, bidirectional=two, dtype=torch.float64, backend=backend)

    x, static = sample(T, B, I), sample(B, 2, seed=1)
    for given in ({}, {"lengths": LENGTHS}, {"lengths": LENGTHS, "reset": RESET}):
        check(make, (x, static), **given)
        check(lambda backend: make(backend, two=False), (x, static), **given)
    layer = make("cpu", two=False)
    y, final = layer((x, static))
    first, state = layer((x[:2], static))
    second, last = layer((x[2:], static), state)
    assert_close(torch.cat([first, second]), y, 1e-12)
    for mine, expected in zip(tensors(last), tensors(final), strict=True):
        assert_close(mine, expected, 1e-12)


@pytest.mark.parametrize("options", [EVERYTHING, {"weight_drop": 0.5}, {"zoneout": {"c": 0.4}}], ids=str)
def test_regularisers_draw_the_same_masks(options):
    for training in (True, False):

        def make(backend, training=training):
            torch.manual_seed(1)
            layer = gw.Recurrent(
                "lstm", I, H, 2, bidirectional=True, dropout=0.3, dtype=torch.float64, backend=backend, **options
            )
            return layer.train(training)

        check(make, sample(T, B, I), lengths=LENGTHS)


@pytest.mark.parametrize("shape", [(0, B), (T, 0), (0, 0)], ids=str)
def test_no_steps_and_no_sequences(shape):
    def make(backend):
        torch.manual_seed(1)
        return gw.Recurrent("peephole_lstm", I, H, 2, bidirectional=True, dtype=torch.float64, backend=backend)

    hx = tuple(sample(4, shape[1], H, seed=s) for s in (3, 4))
    check(make, sample(*shape, I), hx)
    ours = make("cpu")
    assert [s.shape for s in ours(sample(*shape, I), hx, states="all")[1]] == [(4, *shape, H)] * 2
    if not shape[0]:
        assert all(torch.equal(a, b) for a, b in zip(ours(sample(*shape, I), hx)[1], hx, strict=True))


@pytest.mark.parametrize("name", ["peephole_lstm", "qrnn"])
def test_a_stream(name):
    for first in (False, True):
        layer = gw.Recurrent(name, I, H, 2, batch_first=first, dtype=torch.float64, backend="cpu").eval()
        x = sample(T, B, I)
        with torch.no_grad():
            y, final = layer(x.transpose(0, 1) if first else x)
            state, found = None, []
            for step in x:
                out, state = layer.step(step, state)
                found.append(out)
            single, _ = layer.step(x[0, 0])
        assert_close(torch.stack(found, 1 if first else 0), y, 1e-12)
        assert_close(single, found[0][0], 1e-12)
        assert state is not None
        for mine, expected in zip(tensors(state), tensors(final), strict=True):
            assert_close(mine, expected, 1e-12)


@pytest.mark.parametrize(("name", "hidden", "heads"), [("lstm", 12, 3), ("slstm", 32, 2), ("gru_original", 15, 5)])
def test_heads(name, hidden, heads):
    """Block-diagonal matrices, also where blocks and vectors do not fit each other."""
    mine, reference = (
        gw.Recurrent(name, I, hidden, num_layers=2, heads=heads, dtype=torch.float64, backend=backend)
        for backend in ("cpu", "reference")
    )
    reference.load_state_dict(mine.state_dict())
    x = torch.randn(T, B, I, dtype=torch.float64)
    outputs = [layer(x)[0] for layer in (mine, reference)]
    assert_close(outputs[0], outputs[1], 1e-12)
    weights = [
        torch.autograd.grad(y.square().sum(), list(layer.parameters()))
        for y, layer in zip(outputs, (mine, reference), strict=True)
    ]
    for own, expected in zip(*weights, strict=True):
        assert_close(own, expected, 1e-10)


# -- which backend -------------------------------------------------------------------------------------------


def test_who_runs_and_why():
    x = torch.zeros(T, B, I)
    kernels = "cpu: kernels are compiled from the equations"
    for layer in (gw.LSTM(I, H), gw.Recurrent("mgu", I, H, zoneout=0.1)):
        assert str(layer.backend_for(x)) == str(layer.eval().backend_for(x)) == kernels
        assert str(layer.backend_for(x, reset=RESET, states="all")) == kernels
    assert str(gw.LSTM(I, H, backend="reference").backend_for(x)) == "reference: backend='reference' was asked for"
    assert str(gw.Recurrent("lstm", I, 6, heads=2).backend_for(x)) == kernels
    half = gw.Recurrent("mgu", I, H).bfloat16()
    assert "the CPU's kernels know float32 and float64, not bfloat16" in half.backend_for(x.bfloat16()).why
    assert gw.LSTM(I, H, dtype=torch.bfloat16).backend_for(x.bfloat16()).name == "vendor"
    meta = gw.Recurrent("mgu", I, H, device="meta")
    assert meta(x.to("meta"))[0].shape == (T, B, H) and meta.backend_for(x.to("meta")).name == "reference"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"half": True}, "the CPU's kernels know float32 and float64, not float16"),
        ({"device": "meta"}, "the CPU's kernels cannot run on meta"),
    ],
    ids=str,
)
def test_kernels_that_cannot_run_are_an_error_where_they_were_asked_for(options, why):
    half = options.pop("half", False)
    layer = gw.Recurrent("mgu", I, H, backend="cpu", **options).to(torch.float16 if half else torch.float32)
    x = torch.zeros(T, B, I, dtype=torch.float16 if half else torch.float32, device=options.get("device"))
    message = f"backend: expected a cell and a call that the CPU's kernels know, got {why}"
    for call in (layer, layer.backend_for):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            call(x)


def test_a_process_without_kernels_says_so_once(monkeypatch):
    monkeypatch.setattr(choice, "_broken", lambda: "memory cannot be made executable")
    choice._tell.cache_clear()
    layer, x = gw.Recurrent("mgu", I, H), torch.zeros(T, B, I)
    with pytest.warns(
        RuntimeWarning, match=r"no CPU kernels .*: memory cannot be made executable; backend='reference'"
    ):
        layer(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer(x)
        assert layer.backend_for(x).why.startswith("memory cannot be made executable")
        assert gw.GRU(I, H).backend_for(x).name == "vendor"
        with pytest.raises(ValueError, match=r"backend: expected .* got memory cannot be made executable"):
            gw.GRU(I, H, backend="cpu")(x)
    choice._tell.cache_clear()


# -- autocast, weights, profiler -----------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("options", [{}, {"proj_size": 2}], ids=str)
@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("given", [torch.float32, torch.bfloat16], ids=str)
def test_autocast_gives_torchs_dtypes(name, given, options):
    options = options if name == "LSTM" else {}
    theirs, ours = getattr(nn, name)(I, H, **options), getattr(gw, name)(I, H, backend="cpu", **options)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(T, B, I).to(given)
    exact = ours(x.float())[0]
    with torch.autocast("cpu", torch.bfloat16):
        found, expected = tensors(ours(x)), tensors(theirs(x))
    for mine, torchs in zip(found, expected, strict=True):
        assert mine.dtype == torchs.dtype
        assert_close(mine.float(), torchs.float(), 0.05)
    assert torch.equal(found[0], exact.to(found[0].dtype)), "rounded once, at the end"
    found[0].float().sum().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in ours.parameters())


def test_weights_that_are_computed():
    def make(backend):
        torch.manual_seed(1)
        layer = gw.Recurrent("mgu", I, H, dtype=torch.float64, backend=backend)
        for name in [name for name, _ in layer.named_parameters() if name.startswith("U")]:
            parametrizations.weight_norm(layer, name)
        return layer

    check(make, sample(T, B, I))


def test_ranges_for_the_profiler():
    layer = gw.Recurrent("mgu", I, H, 2, bidirectional=True, backend="cpu")
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        layer(torch.zeros(T, B, I))
    found = [e.key for e in profile.key_averages() if e.key.startswith("gatewright::mgu")]
    assert sorted(found) == [f"gatewright::mgu l{k}{d}" for k in (0, 1) for d in ("", " reverse")]


# -- copies, processes, threads ------------------------------------------------------------------------------


def test_copies():
    layer = gw.Recurrent("peephole_lstm", I, H, 2, bidirectional=True, backend="cpu", **EVERYTHING)
    fresh = gw.Recurrent("peephole_lstm", I, H, 2, bidirectional=True, backend="cpu", **EVERYTHING)
    fresh.load_state_dict(layer.state_dict())
    assert not any("program" in name for name in layer.state_dict())
    x = torch.randn(T, B, I)
    for twin in (fresh, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert twin.programs == layer.programs
        pairs = []
        for one in (layer, twin):
            torch.manual_seed(3)
            pairs.append(one(x)[0])
        assert torch.equal(*pairs)
        with torch.no_grad():
            next(twin.parameters()).zero_()
        torch.manual_seed(3)
        assert torch.equal(layer(x)[0], pairs[0]), "a copy has weights of its own"


def test_layers_share_programs_unless_they_draw():
    plain = gw.Recurrent("mgu", I, H, 3, bidirectional=True)
    drawing = gw.Recurrent("mgu", I, H, 3, bidirectional=True, recurrent_dropout=0.1)
    assert len({p.text for p in plain.programs.values()}) == 4
    assert len({p.text for p in drawing.programs.values()}) == 4 + 4 * 6


class Encoded(Dataset):
    """Items that a layer computes where they are loaded."""

    def __init__(self):
        self.layer = gw.Recurrent("mgu", I, H, backend="cpu")
        self.x = torch.randn(4, T, I)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> Tensor:
        with torch.no_grad():
            return self.layer(self.x[index])[0]


def test_a_worker_process_runs_a_layer():
    torch.set_num_threads(2)
    data = Encoded()
    expected = torch.stack([data[i] for i in range(4)])  # OpenMP's threads are there before the fork
    loader = DataLoader(data, batch_size=2, num_workers=2, multiprocessing_context="fork", timeout=60)
    assert_close(torch.cat(list(loader)), expected, 1e-6)


def test_many_threads_and_any_number_of_openmps():
    layer = gw.Recurrent("mgu", I, H, dtype=torch.float64, backend="cpu")
    xs = [sample(T, B, I, seed=s) for s in range(4)]
    expected = [results(layer, x) for x in xs]
    found: dict[int, list[Tensor]] = {}

    def work(i: int) -> None:
        leaves = [xs[i].detach().requires_grad_(), *layer.parameters()]
        for _ in range(20):
            y, h = layer(leaves[0])
            loss = (y * sample(*y.shape)).sum() + (h * sample(*h.shape, seed=1)).sum()
            found[i] = [y, h, *torch.autograd.grad(loss, leaves)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for count in (1, 2, 3, 1):
        torch.set_num_threads(count)
        for i, x in enumerate(xs):
            for mine, other, wanted in zip(results(layer, x), found[i], expected[i], strict=True):
                assert_close(mine, wanted, 1e-12)
                assert_close(other, wanted, 1e-12)


# -- compiled, and transformed -------------------------------------------------------------------------------


def is_checked(function) -> bool:
    return inspect.isfunction(function) and "jaxtyping" in function.__code__.co_filename


@pytest.fixture
def unchecked(monkeypatch) -> None:
    """Without the checks of types that the tests put around the backends' functions: Dynamo cannot trace them."""
    for module in [m for name, m in sys.modules.items() if name.startswith(("gatewright.backends", "gatewright.nn"))]:
        classes = [c for c in vars(module).values() if inspect.isclass(c) and c.__module__ == module.__name__]
        for place in (module, *classes):
            for name, thing in list(vars(place).items()):
                function = thing.__func__ if isinstance(thing, staticmethod) else thing
                if is_checked(function):
                    plain = inspect.unwrap(function, stop=lambda f: not is_checked(f))
                    monkeypatch.setattr(place, name, plain if function is thing else staticmethod(plain))


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.below, self.middle, self.above = nn.Linear(4, I), gw.LSTM(I, H), nn.Linear(H, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.above(self.middle(self.below(x))[0])


def compiled_and_not(model, inputs: tuple, backend: str, **given) -> None:
    """A program without a break gives the same, in training and evaluation, gradients included."""
    for training in (True, False):
        model.train(training)
        torch._dynamo.reset()
        program = torch.compile(model, backend=backend, fullgraph=True)
        pairs = []
        for run in (program, model):
            torch.manual_seed(4)
            outputs = tensors(run(*inputs, **given))
            loss = sum((y.sin().sum() for y in outputs), torch.zeros(()))
            pairs.append([*outputs, *torch.autograd.grad(loss, list(model.parameters()))])
        for mine, expected in zip(*pairs, strict=True):
            assert_close(mine, expected, 1e-5)


COMPILERS = [
    "eager",
    pytest.param("aot_eager", marks=pytest.mark.slow),
    pytest.param("inductor", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("backend", COMPILERS)
def test_a_compiled_model(unchecked, backend):
    compiled_and_not(Tagger(), (torch.randn(T, B, 4),), backend)


@pytest.mark.parametrize("backend", COMPILERS)
def test_a_compiled_layer_with_lengths(unchecked, backend):
    layer = gw.Recurrent("peephole_lstm", I, H, 2, bidirectional=True)
    compiled_and_not(layer, (torch.randn(T, B, I),), backend, lengths=LENGTHS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "options"),
    [
        ("aot_eager", EVERYTHING),
        ("inductor", {"recurrent_dropout": 0.3, "zoneout": 0.2}),
        ("inductor", {"weight_drop": 0.4}),
    ],
)
def test_a_compiled_layer_draws_the_same(unchecked, backend, options):
    layer = gw.Recurrent("peephole_lstm", I, H, 2, bidirectional=True, **options)
    with inductor.patch(fallback_random=True):  # else it draws its seeds from a generator of its own
        compiled_and_not(layer, (torch.randn(T, B, I),), backend, lengths=LENGTHS)


def test_gradcheck():
    layer = gw.Recurrent("peephole_lstm", 2, 2, bidirectional=True, dtype=torch.float64, backend="cpu")
    names = [name for name, _ in layer.named_parameters()]

    def run(x, h, c, *weights):
        y, final = functional_call(layer, dict(zip(names, weights, strict=True)), (x, (h, c)), {"lengths": [3, 1]})
        return y, *final

    leaves = [sample(3, 2, 2), sample(2, 2, 2), sample(2, 2, 2), *(p.detach() for p in layer.parameters())]
    assert torch.autograd.gradcheck(run, [t.requires_grad_() for t in leaves])


def test_transforms():
    ours, theirs = both(lambda backend: gw.Recurrent("peephole_lstm", I, H, dtype=torch.float64, backend=backend))
    x, along = sample(T, B, I), sample(T, B, I, seed=1)
    weights = dict(ours.named_parameters())

    def run(layer):
        return lambda weights, x: functional_call(layer, weights, (x,))[0]

    def loss(layer):
        return lambda weights, x: run(layer)(weights, x).sin().sum()

    for transform in (
        lambda f: grad(loss(f))(weights, x),
        lambda f: vmap(grad(loss(f)), (None, 1))(weights, x),
        lambda f: jacrev(run(f), 1)(weights, x[:2, :1]),
        lambda f: jvp(lambda x: run(f)(weights, x), (x,), (along,))[1],
    ):
        mine, expected = transform(ours), transform(theirs)
        pairs = zip(mine.values(), expected.values(), strict=True) if isinstance(mine, dict) else [(mine, expected)]
        for a, b in pairs:
            assert_close(a, b, 1e-10)
