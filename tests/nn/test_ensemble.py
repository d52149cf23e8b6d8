"""Many networks at once: every network computes what its layer computes by itself, by whatever way it runs."""

from __future__ import annotations

import copy
import io
import itertools
import subprocess
import sys

import pytest
import torch
from benchmarks import ensemble as benchmark
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, stack_module_state, vmap
from torch.nn.utils.rnn import pack_sequence

import gatewright as gw
from cases import case_for, generator, sequence_inputs
from gatewright.backends.cpu import operators
from tolerances import assert_close

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script.* is deprecated:DeprecationWarning")

N, T, B, I, H = 3, 5, 4, 3, 4
LENGTHS = torch.tensor([3, 0, 5, 1])
RESET = torch.rand(N, T, B, generator=generator(2)) < 0.3


def sample(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def tensors(found) -> list[Tensor]:
    """Every tensor of what a layer gives or takes, in order."""
    return [found] if isinstance(found, Tensor) else [t for part in found for t in tensors(part)]


def layers_of(make, count: int = N) -> list[nn.Module]:
    """Layers that differ in every weight, biases too."""
    layers = [make() for _ in range(count)]
    with torch.no_grad():
        for i, layer in enumerate(layers):
            for k, p in enumerate(layer.parameters()):
                p.copy_(0.5 * sample(*p.shape, seed=100 * i + k))
    return layers


def part(given, i: int, own: bool):
    """What network i is given."""
    if given is None or not own:
        return given
    return given[i] if isinstance(given, Tensor) else tuple(t[i] for t in given)


def check(make, x, hx=None, *, x_own=False, own=False, **given) -> None:
    """Outputs, states and all gradients of an ensemble, against its layers one after the other."""
    layers = layers_of(make)
    ensemble = gw.Ensemble.of(layers)
    leaves = [t.requires_grad_() for t in (*tensors(x), *(tensors(hx) if hx is not None else ()))]
    torch.manual_seed(7)
    found = tensors(ensemble(x, hx, **given))
    torch.manual_seed(7)
    each = []
    for i, layer in enumerate(layers):
        options = {name: part(v, i, own) if name in ("lengths", "reset") else v for name, v in given.items()}
        each.append(tensors(layer(part(x, i, x_own), part(hx, i, True), **options)))
    expected = [torch.stack(parts) for parts in zip(*each, strict=True)]
    along = [sample(*y.shape, seed=i) for i, y in enumerate(found)]
    mine = torch.autograd.grad(found, [*leaves, *ensemble.parameters()], along, materialize_grads=True)
    wanted = [*leaves, *(p for layer in layers for p in layer.parameters())]
    theirs = list(torch.autograd.grad(expected, wanted, along, materialize_grads=True))
    count = len(list(layers[0].parameters()))
    weights = [torch.stack(theirs[len(leaves) + k :: count]) for k in range(count)]
    for k, (a, b) in enumerate(zip([*found, *mine], [*expected, *theirs[: len(leaves)], *weights], strict=True)):
        assert_close(a, b, 1e-10, f"result {k}")


# -- each network as by itself -------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("states", [None, pytest.param("all", marks=pytest.mark.slow)])
def test_every_setting(backend, states):
    """Layers, directions, layouts, lengths, resets and first states, given to all networks or to each."""
    rows = [(1, False, False, 1), (2, True, False, 0), (1, True, True, 1), (2, False, True, 0)]
    for (count, two, first, began), (cut, own) in itertools.product(rows, [(0, 0), (1, 0), (1, 1)]):

        def make(count=count, two=two, first=first):
            options = {"bidirectional": two, "batch_first": first, "dtype": torch.float64, "backend": backend}
            return gw.Recurrent("peephole_lstm", I, H, count, **options)

        given = {}
        if cut:
            reset = RESET.transpose(1, 2) if first else RESET
            lengths = torch.stack([torch.tensor([T] * B), LENGTHS, LENGTHS.flip(0)])
            given = {"lengths": lengths, "reset": reset} if own else {"lengths": LENGTHS, "reset": reset[0]}
        shape = (B, T) if first else (T, B)
        hx = tuple(sample(N, count * (1 + two), B, H, seed=s) for s in (3, 4)) if began else None
        x = sample(N, *shape, I) if own else sample(*shape, I)
        check(make, x, hx, x_own=bool(own), own=bool(own), states=states, **given)


@pytest.mark.parametrize("name", gw.cells)
def test_every_cell(name):
    case = case_for(gw.cells[name].graph)
    x = sequence_inputs(case, T, B, generator(3))
    check(lambda: case.layer(gw.cells[name], dtype=torch.float64, backend="cpu"), x)


@pytest.mark.parametrize("options", [{"learned_state": True}, {"merge": "sum", "bidirectional": True}, {"heads": 2}])
def test_what_else_a_layer_may_be(options):
    given = {"lengths": LENGTHS, "reset": RESET[1]}
    options = {"dtype": torch.float64, "backend": "cpu", **options}
    check(lambda: gw.Recurrent("peephole_lstm", I, H, 2, **options), sample(T, B, I), **given)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_cell_that_looks_back(backend):
    @gw.cell
    def delayed(x, h):
        n = gw.tanh(gw.affine(x, h) + gw.linear(gw.previous(x, 2), name="before"))
        return (h + n) / 2

    def make():
        return gw.Recurrent(delayed, I, H, dtype=torch.float64, backend=backend)

    check(make, sample(T, B, I), lengths=LENGTHS, reset=RESET[0])
    ensemble, x = gw.Ensemble(make(), N), sample(N, T, B, I)
    whole, _ = ensemble(x)
    y, state = ensemble(x[:, :3])
    again, _ = ensemble(x[:, 3:], state)
    assert_close(torch.cat([y, again], 1), whole, 1e-10)


def test_several_inputs():
    case = case_for(gw.cells["ea_lstm"].graph)
    first, static = sequence_inputs(case, T, B, generator(3))

    def make():
        return case.layer(gw.cells["ea_lstm"], dtype=torch.float64, backend="cpu")

    check(make, (first, static[0]))
    check(make, (sample(N, *first.shape), sample(N, *static[0].shape)), x_own=True)


def test_regularisers_draw_as_the_layers_by_themselves():
    options = {"recurrent_dropout": 0.3, "zoneout": 0.2, "weight_drop": 0.4, "dtype": torch.float64, "backend": "cpu"}
    check(lambda: gw.Recurrent("mgu", I, H, 2, bidirectional=True, **options), sample(T, B, I))
    check(lambda: gw.Recurrent("mgu", I, H, **options).eval(), sample(T, B, I))


@pytest.mark.parametrize("kind", ["fresh", "locked"])
def test_dropout_between_layers_is_each_networks_own(kind):
    layer = gw.Recurrent("rnn", I, 64, 2, dropout=0.5, dropout_kind=kind)
    ensemble = gw.Ensemble.of([layer, layer])
    y, _ = ensemble(torch.randn(T, B, I))
    assert not torch.allclose(y[0], y[1])
    y, _ = ensemble.eval()(torch.randn(T, B, I))
    assert torch.equal(y[0], y[1])


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("n", [1, 2, 7])
def test_any_number_of_threads_gives_the_same_bits(n, threads):
    layers = [gw.LSTM(16, 32, backend="cpu") for _ in range(n)]
    x = torch.randn(40, 8, 16)
    expected = torch.stack([layer(x)[0] for layer in layers])
    torch.set_num_threads(threads)
    if 2 * n <= threads:  # networks in turn: threads split each one's sequences
        assert_close(gw.Ensemble.of(layers)(x)[0], expected, 1e-6)
    else:
        assert torch.equal(gw.Ensemble.of(layers)(x)[0], expected)


def test_a_nan_stays_in_its_network():
    ensemble = gw.Ensemble(gw.LSTM(I, H, backend="cpu"), N)
    x = torch.randn(N, T, B, I)
    x[1, 2, 0] = float("nan")
    y, _ = ensemble(x)
    y.sum().backward()
    assert torch.isfinite(y[[0, 2]]).all() and not torch.isfinite(y[1, 2:, 0]).any()
    for p in ensemble.parameters():
        assert p.grad is not None and torch.isfinite(p.grad[[0, 2]]).all()


def test_sequences_without_steps_or_without_number():
    check(lambda: gw.LSTM(I, H, dtype=torch.float64, backend="cpu"), sample(T, 0, I))
    check(lambda: gw.Recurrent("mgu", I, H, dtype=torch.float64, backend="cpu"), sample(0, B, I))


def test_recompute_is_every_networks_own():
    check(lambda: gw.LSTM(I, H, dtype=torch.float64, backend="cpu", recompute=2), sample(T, B, I), lengths=LENGTHS)


def test_one_sequence_and_one_step():
    for first in (False, True):
        layers = layers_of(lambda first=first: gw.LSTM(I, H, batch_first=first, dtype=torch.float64))
        ensemble, x = gw.Ensemble.of(layers), sample(T, I)
        y, state = ensemble(x)
        y_all, state_all = ensemble(x, states="all")
        out, hx = torch.zeros(0), None
        for t in range(T):
            out, hx = ensemble.step(x[t], hx)
        for i, layer in enumerate(layers):
            expected, final = layer(x)
            for a, b in zip(tensors((y, state, y_all, state_all)), tensors((expected, final, *layer(x, states="all"))),
                            strict=True):  # fmt: skip
                assert_close(a[i], b, 1e-10)
            assert_close(out[i], expected[-1], 1e-10)
        steps = sample(N, B, I)
        out, hx = ensemble.step(steps)
        shared, _ = ensemble.step(steps[0])
        for i, layer in enumerate(layers):
            assert_close(out[i], layer.step(steps[i])[0], 1e-10)
            assert_close(shared[i], layer.step(steps[0])[0], 1e-10)


# -- derivatives of other kinds, and users' own vmap ----------------------------------------------------------


def counted(monkeypatch) -> list[str]:
    """The native calls that are made: by what they are called, of one network or of many."""
    calls, real = [], operators._runner

    def runner(text, like, states):
        calls.append("many" if states[0].dim() == 3 else "one")
        return real(text, like, states)

    monkeypatch.setattr(operators, "_runner", runner)
    return calls


@pytest.mark.parametrize("own", [False, True])
def test_vmap_over_stacked_modules_is_one_call(monkeypatch, own):
    layers = layers_of(lambda: gw.LSTM(I, H, dtype=torch.float64, backend="cpu"))
    parameters, buffers = stack_module_state(layers)
    x = sample(N, T, B, I) if own else sample(T, B, I)
    calls = counted(monkeypatch)

    def loss(parameters, buffers, x):
        return functional_call(layers[0], (parameters, buffers), (x,))[0].sin().sum()

    found = vmap(grad(loss), in_dims=(0, 0, 0 if own else None))(parameters, buffers, x)
    assert calls == ["many", "many"]
    for i, layer in enumerate(layers):
        y = layer(x[i] if own else x)[0].sin().sum()
        expected = torch.autograd.grad(y, list(layer.parameters()))
        for name, g in zip(parameters, expected, strict=True):
            assert_close(found[name][i], g, 1e-10, name)


def test_gradients_of_each_sample_are_one_call(monkeypatch):
    layer = layers_of(lambda: gw.GRU(I, H, dtype=torch.float64, backend="cpu"), 1)[0]
    x, calls = sample(6, T, I), counted(monkeypatch)
    parameters = dict(layer.named_parameters())

    def loss(parameters, x):
        return functional_call(layer, parameters, (x,))[0].sin().sum()

    found = vmap(grad(loss), in_dims=(None, 0))(parameters, x)
    assert calls == ["one", "many", "many"]  # the samples side by side; again, each by itself; and its gradients
    for i in range(6):
        expected = torch.autograd.grad(layer(x[i])[0].sin().sum(), list(layer.parameters()))
        for name, g in zip(parameters, expected, strict=True):
            assert_close(found[name][i], g, 1e-10, name)


def test_one_call_for_each_layer_and_direction(monkeypatch):
    ensemble = gw.Ensemble(gw.LSTM(I, H, 2, bidirectional=True, backend="cpu"), N)
    calls = counted(monkeypatch)
    ensemble(torch.randn(T, B, I))[0].sum().backward()
    assert calls == ["many"] * 8


def test_an_ensemble_under_transforms_and_twice_differentiable():
    layers = layers_of(lambda: gw.GRU(I, 2, dtype=torch.float64, backend="cpu"), 2)
    ensemble, slow = gw.Ensemble.of(layers), gw.Ensemble.of(layers)
    slow.layer.backend = "reference"
    x, along = sample(2, 3, 2, I), sample(2, 3, 2, I, seed=1)
    assert_close(jvp(lambda x: ensemble(x)[0], (x,), (along,))[1], jvp(lambda x: slow(x)[0], (x,), (along,))[1], 1e-10)
    batch = sample(5, 2, 3, 2, I)
    assert_close(vmap(lambda x: ensemble(x)[0])(batch), torch.stack([ensemble(b)[0] for b in batch]), 1e-10)

    def loss(model, parameters, x):
        return functional_call(model, parameters, (x,))[0].pow(3).sum()

    found, wanted = (
        vmap(grad(lambda p, x, m=m: loss(m, p, x)), in_dims=(None, 0))(dict(m.named_parameters()), batch)
        for m in (ensemble, slow)
    )
    for name in found:
        assert_close(found[name], wanted[name], 1e-10, name)
    names = [name for name, _ in ensemble.named_parameters()]

    def run(x, *weights):
        return functional_call(ensemble, dict(zip(names, weights, strict=True)), (x,))[0]

    leaves = [x.requires_grad_(), *ensemble.parameters()]
    assert torch.autograd.gradcheck(run, leaves, fast_mode=True)
    assert torch.autograd.gradgradcheck(run, leaves, fast_mode=True)


COMPILED = """
import torch, gatewright as gw

ensemble, x = gw.Ensemble(gw.LSTM(3, 4, 2, bidirectional=True, backend="cpu"), 3), torch.randn(5, 4, 3)
compiled = torch.compile(ensemble, fullgraph=True, backend="aot_eager")
mine, expected = compiled(x, lengths=torch.tensor([5, 0, 2, 1])), ensemble(x, lengths=torch.tensor([5, 0, 2, 1]))
torch.testing.assert_close(mine, expected)
mine, expected = (torch.autograd.grad(y.sin().sum(), ensemble.parameters()) for y, _ in (mine, expected))
torch.testing.assert_close(mine, expected)
"""


@pytest.mark.slow
def test_compiled_without_a_break():
    """In a process of its own, since Dynamo cannot look through the checks of types that tests put everywhere."""
    subprocess.run([sys.executable, "-c", COMPILED], check=True)


# -- a module --------------------------------------------------------------------------------------------------


def test_networks_begin_differently_and_the_pattern_stays():
    layer = gw.LSTM(I, H)
    before = copy.deepcopy(layer.state_dict())
    ensemble = gw.Ensemble(layer, N)
    for name, p in ensemble.named_parameters():
        assert p.shape == (N, *getattr(layer, name).shape)
        assert len(p.unique(dim=0)) == N
        assert torch.equal(before[name], layer.state_dict()[name])
    assert ensemble.weight_hh_l0.abs().max() <= H**-0.5
    assert gw.Ensemble(gw.Recurrent("mgu", I, H), N).weights()["b_f"].unique().tolist() == [-1.0]


def test_one_network_as_a_layer():
    ensemble = gw.Ensemble(gw.Recurrent("mgu", I, H, 2, dropout=0.1), N).double().eval()
    x = sample(T, B, I)
    y = ensemble(x)[0]
    for i, layer in enumerate(ensemble):
        assert type(layer) is gw.Recurrent and not layer.training and layer.dropout == 0.1
        assert_close(layer(x)[0], y[i], 1e-10)
    assert_close(ensemble[-1](x)[0], y[-1], 1e-10)
    one = ensemble[0]
    with torch.no_grad():
        next(one.parameters()).zero_()
    assert ensemble(x)[0].equal(y)


def test_views_of_weights_are_live():
    ensemble = gw.Ensemble(gw.Recurrent("mgu", I, H, bidirectional=True), N)
    views = ensemble.weights(reverse=True)
    with torch.no_grad():
        views["b_f"][1].fill_(3.0)
    assert (ensemble[1].weights(reverse=True)["b_f"] == 3).all() and (ensemble[0].weights()["b_f"] != 3).all()
    assert ensemble.weights(grad=True) == {}
    ensemble(torch.randn(T, B, I))[0].sum().backward()
    assert ensemble.weights(grad=True)["U_f"].shape == (N, H, H)


def test_saved_and_loaded_by_the_names_of_rows():
    ensemble = gw.Ensemble(gw.Recurrent("mgu", I, H), N)
    x = torch.randn(T, B, I)
    for other in (copy.deepcopy(ensemble), gw.Ensemble(gw.Recurrent("mgu", I, H), N)):
        other.load_state_dict(ensemble.state_dict())
        assert torch.equal(other(x)[0], ensemble(x)[0])
    file = io.BytesIO()
    torch.save(ensemble, file)
    file.seek(0)
    assert torch.equal(torch.load(file, weights_only=False)(x)[0], ensemble(x)[0])
    state = ensemble.state_dict()
    with pytest.raises(RuntimeError, match="expected the 2 networks in the first dimension"):
        gw.Ensemble(gw.Recurrent("mgu", I, H), 2).load_state_dict(state)
    del state["row_names"]
    with pytest.raises(RuntimeError, match="row_names"):
        ensemble.load_state_dict(state)


def test_which_way_it_runs():
    x = torch.zeros(T, B, I)
    ensemble = gw.Ensemble(gw.LSTM(I, H), N)
    assert str(ensemble.backend_for(x)) == "cpu: kernels are compiled from the equations; one call for all 3 networks"
    slow = gw.Ensemble(gw.LSTM(I, H, backend="reference"), N)
    assert "every operation once for all 3 networks" in str(slow.backend_for(x))
    with torch.autocast("cpu"):
        y, _ = ensemble(x)
        assert y.dtype == ensemble[0](x)[0].dtype
    vendor = gw.Ensemble(gw.LSTM(I, H, backend="vendor"), N)
    assert "3 calls, one network after the other" in str(vendor.backend_for(x))
    assert_close(vendor(x + 1)[0], torch.stack([layer(x + 1)[0] for layer in vendor]), 1e-6)
    assert tensors(vendor(x)[1])[0].shape == (N, 1, B, H)


# -- mistakes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: gw.Ensemble(nn.Linear(2, 3), 3), TypeError, "layer: expected a recurrent layer .* got Linear"),
        (lambda: gw.Ensemble(gw.LSTM(I, H), 0), ValueError, "n: expected at least 1, got 0"),
        (lambda: gw.Ensemble(gw.LSTM(I, H), True), TypeError, "n: expected a whole number, got True"),
        (lambda: gw.Ensemble.of([]), ValueError, "layers: expected at least one layer"),
        (lambda: gw.Ensemble.of([gw.LSTM(I, H), gw.GRU(I, H)]), ValueError, r"layers\[1\]: expected what layers\[0\]"),
        (lambda: gw.Ensemble.of([gw.LSTM(I, H), gw.LSTM(I, 5)]), ValueError, r"LSTM\(lstm, 3, 5\)"),
        (lambda: gw.Ensemble.of([gw.LSTM(I, H), gw.LSTM(I, H).double()]), ValueError, "torch.float64 on cpu"),
        (
            lambda: gw.Ensemble(nn.utils.parametrizations.weight_norm(gw.LSTM(I, H), "weight_hh_l0"), 2),
            ValueError,
            "parametrised",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_an_ensemble(make, error, text):
    with pytest.raises(error, match=text):
        make()


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"input": torch.zeros(2, T, B, I)}, ValueError, "input: expected the 3 networks in the first dimension"),
        ({"input": torch.zeros(T, B, 5)}, ValueError, "input: expected 3 features"),
        ({"input": torch.zeros(T, B, I).double()}, ValueError, "input: expected dtype torch.float32"),
        ({"input": pack_sequence([torch.zeros(2, I)])}, TypeError, "PackedSequence; pad it and give lengths="),
        ({"hx": (torch.zeros(1, B, H),) * 2}, ValueError, "state: expected the 3 networks"),
        ({"hx": torch.zeros(N, 1, B, H)}, TypeError, "state: expected a tuple of 2 tensors"),
        ({"hx": (torch.zeros(N, 1, B, 9),) * 2}, ValueError, "state h: expected shape"),
        ({"hx": (None, None)}, TypeError, "state: expected a tuple of 2 tensors"),
        ({"lengths": torch.zeros(2, B, dtype=torch.int64)}, ValueError, r"lengths: expected shape \(4,\) for all"),
        ({"lengths": [9, 1, 1, 1]}, ValueError, "lengths: expected at most the input's 5 steps"),
        ({"lengths": torch.full((N, B), 9)}, ValueError, "lengths: expected at most the input's 5 steps"),
        ({"reset": torch.zeros(2, T, B).bool()}, ValueError, "reset: expected the 3 networks"),
        ({"reset": torch.zeros(N, T, 9).bool()}, ValueError, "reset: expected shape"),
        ({"reset": torch.zeros(T, B)}, ValueError, "reset: expected a boolean tensor"),
        ({"states": "some"}, ValueError, "states: expected None or 'all'"),
    ],
)
def test_what_cannot_be_given(given, error, text):
    ensemble = gw.Ensemble(gw.LSTM(I, H), N)
    with pytest.raises(error, match=text):
        ensemble(**({"input": torch.zeros(T, B, I)} | given))


def test_what_else_is_refused():
    ensemble = gw.Ensemble(gw.LSTM(I, H, bidirectional=True), N)
    with pytest.raises(IndexError, match=r"ensemble\[3\]: expected -3 to 2"):
        ensemble[3]
    with pytest.raises(TypeError, match="the number of a network"):
        ensemble["weight"]
    with pytest.raises(ValueError, match="two directions"):
        ensemble.step(torch.zeros(B, I))
    with pytest.raises(ValueError, match="layer: expected 0 to 0"):
        ensemble.weights(1)
    one = gw.Ensemble(gw.LSTM(I, H), N)
    with pytest.raises(ValueError, match="input: expected"):
        one.step(torch.zeros(1, 2, B, I))
    with pytest.raises(TypeError, match="expected a tensor"):
        one.step(3)


def test_the_sides_of_the_benchmark_run():
    for race in benchmark.ensemble([{"n": 2, "B": 1, "T": 3, "I": 4, "H": 4}]):
        for run in race.make().values():
            run()
