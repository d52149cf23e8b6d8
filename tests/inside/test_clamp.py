"""`gw.clamp`: changed equations run by the same kernels, with their gradients."""

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence

import gatewright as gw
from cases import case_for, generator, sequence_inputs
from gatewright.nn.by_kernel import _program

X = torch.randn(7, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
LENGTHS = [7, 3, 0, 5]


def results(layer, backend, **options):
    layer.backend = backend
    layer.zero_grad()
    y, states = layer(X, lengths=LENGTHS, **options)
    y.square().sum().backward()
    return [y, *(states if isinstance(states, tuple) else [states])] + [p.grad for p in layer.parameters()]


@pytest.mark.parametrize(
    "change",
    [
        {"f": 1.0},
        {"f": 0.25, "units": [1, 3]},
        {"f": lambda f: 0.5 * f},
        {"i": lambda i: gw.maximum(i, 0.9), "c": lambda c: gw.tanh(c), "units": 2},
        {"h": 0.0, "c": 0.0, "units": [0]},
        {"o": 0.3, "steps": [2, 4]},
        {"o": 0.3, "steps": slice(-2, None), "units": torch.tensor([True, False, True, False, False])},
        {"g": torch.linspace(-1, 1, 5, dtype=torch.float64)},
        {"g_pre": 0.0},
        {"f": torch.rand(7, 4, 5, dtype=torch.float64), "reverse": True},
    ],
)
def test_kernels_and_reference_agree(change):
    layer = gw.LSTM(3, 5, num_layers=2, bidirectional=True, dtype=torch.float64)
    plain = results(layer, "cpu")
    with gw.clamp(layer, **change):
        expected = results(layer, "reference")
        found = results(layer, "cpu")
    for a, b in zip(found, expected, strict=True):
        assert (a is None) == (b is None) or not (a if b is None else b).any()
        if a is not None and b is not None:
            torch.testing.assert_close(a, b)
    assert not torch.allclose(plain[0], found[0])
    for a, b in zip(results(layer, "cpu"), plain, strict=True):
        torch.testing.assert_close(a, b)


def test_a_clamped_lstm_is_the_lstm_without_a_forget_gate():
    layer = gw.LSTM(3, 5, dtype=torch.float64)
    w = layer.weights()
    with gw.clamp(layer, f=1.0):
        y, _ = layer(X)
    h = c = torch.zeros(4, 5, dtype=torch.float64)
    for t in range(7):
        i, g, o = (X[t] @ w[f"W_{n}"].T + h @ w[f"U_{n}"].T + w[f"b_{n}_x"] + w[f"b_{n}_h"] for n in "igo")
        c = c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        torch.testing.assert_close(y[t], h)


@pytest.mark.parametrize("name", gw.cells)
def test_values_of_every_cell_can_be_held(name):
    cell = gw.cells[name]
    case = case_for(cell.graph)
    layer, x = case.layer(cell, dtype=torch.float64), sequence_inputs(case, 5, 3, generator(0))
    with gw.record(layer) as tape:
        layer(x)
    for value in list(tape)[:: max(1, len(list(tape)) - 1)]:  # the first and the last: each is a kernel to compile
        with gw.clamp(layer, **{value: 0.5}), gw.record(layer, [value]) as seen:
            found = []
            for backend in ("cpu", "reference"):
                layer.backend = backend
                found.append(layer(x)[0])
                assert bool((seen[value] == 0.5).all())
        torch.testing.assert_close(*found)


def test_clamps_add_up_and_recordings_see_them():
    layer = gw.LSTM(3, 5, dtype=torch.float64)
    with gw.clamp(layer, f=lambda f: 0.5 * f), gw.clamp(layer, f=lambda f: f + 0.25), gw.record(layer) as tape:
        layer(X)
    with gw.record(layer, ["f"]) as plain, gw.clamp(layer, h=lambda h: h):
        layer(X)
    torch.testing.assert_close(tape["f"][0], 0.5 * plain["f"][0] + 0.25)


def test_only_the_layer_that_is_meant():
    layer = gw.LSTM(3, 5, num_layers=2, dtype=torch.float64)
    with gw.record(layer, ["f"]) as tape, gw.clamp(layer, f=1.0, layer=1):
        layer(X)
    assert not bool((tape.track(layer=0)["f"] == 1).any())
    assert bool((tape.track(layer=1)["f"] == 1).all())


def test_steps_run_changed_too():
    layer = gw.LSTM(3, 5, dtype=torch.float64)
    with torch.no_grad(), gw.clamp(layer, f=1.0):
        whole, _ = layer(X)
        state = None
        for t, x in enumerate(X):
            y, state = layer.step(x, state)
            torch.testing.assert_close(y, whole[t])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "nothing to change"),
        ({"q": 1.0}, "q: no layer has a value 'q'"),
        ({"c_prev": 1.0}, "no layer has a value 'c_prev'"),
        ({"f": "1"}, "f: expected a number, a tensor or a function"),
        ({"f": torch.zeros(4)}, r"f: expected floating-point numbers \(5,\)"),
        ({"f": lambda f: f @ f}, "matrix product"),
        ({"f": lambda f: gw.affine(f)}, "weights of its own"),
        ({"f": lambda f: None}, "f returns"),
        ({"f": lambda f: gw.previous(f)}, "looks back at an input"),
        ({"f": float("nan")}, "f: expected a number, got nan"),
        ({"f": 1.0, "units": [5]}, "units: expected units from 0 to 4"),
        ({"f": 1.0, "units": [0.5]}, "units: expected a unit's number"),
        ({"f": 1.0, "steps": [0.5]}, "steps: expected a step"),
        ({"f": 1.0, "layer": 1}, "layer: expected 0 to 0"),
        ({"f": 1.0, "reverse": True}, "this layer has one direction"),
        ({"f": 1.0, "module": "lstm"}, "module: expected the name of a recurrent layer: ''"),
    ],
)
def test_mistakes_are_explained(options, message):
    layer = gw.LSTM(3, 5)
    with pytest.raises((ValueError, TypeError), match=message):
        gw.clamp(layer, **options)
    assert layer.lenses == ()


def test_a_vendors_equations_stay_as_they_are():
    layer = gw.LSTM(3, 5, backend="vendor", dtype=torch.float64)
    for x in (X, pack_padded_sequence(X, [3, 7, 1, 5], enforce_sorted=False)):
        with gw.clamp(layer, f=1.0), pytest.raises(ValueError, match="'cpu' or 'reference' runs changed equations"):
            layer(x)


def test_numbers_compile_nothing():
    layer = gw.LSTM(3, 5, dtype=torch.float64)

    def moved(value: float, k: int) -> int:
        with gw.clamp(layer, f=value, units=[k], steps=[k]), gw.record(layer, ["c"]):
            layer(X)
        with gw.clamp(layer, f=lambda f: 0.5 * f):  # another function each time, and the same equations
            layer(X)
        return _program.cache_info().misses

    assert moved(0.0, 4) == moved(0.25, 0) == moved(1.0, 1)


def test_a_tensor_gets_its_gradient():
    layer, found = gw.LSTM(3, 5, dtype=torch.float64), []
    for layer.backend in ("cpu", "reference"):
        f = torch.full((5,), 0.5, dtype=torch.float64, requires_grad=True)
        with gw.clamp(layer, f=f, units=[0, 2]):
            layer(X)[0].square().sum().backward()
        found.append(f.grad)
    torch.testing.assert_close(*found)
    assert (found[0] != 0).tolist() == [True, False, True, False, False]


def test_tensors_lie_as_the_input_does():
    values = torch.rand(7, 4, 5, dtype=torch.float64)
    lengths = [3, 7, 1, 5]
    layer = gw.LSTM(3, 5, dtype=torch.float64)
    with gw.clamp(layer, f=values), gw.record(layer, ["f"]) as tape:
        layer(pack_padded_sequence(X, lengths, enforce_sorted=False))
    for b, length in enumerate(lengths):
        assert torch.equal(tape["f"][:length, b], values[:length, b])
    with gw.clamp(layer, f=values[:, 0]), gw.record(layer, ["f"]) as tape:
        layer(X[:, 0])
    assert torch.equal(tape["f"], values[:, 0])
    with (
        gw.clamp(layer, f=values[1:]),
        pytest.raises(ValueError, match=r"f: expected \(5,\) or \(7, 4, 5\) in this call"),
    ):
        layer(X)


def test_steps_that_are_not_there():
    layer = gw.LSTM(3, 5, dtype=torch.float64)
    with (
        gw.clamp(layer, f=1.0, steps=[50]),
        pytest.raises(ValueError, match="steps: expected steps of a sequence of 7"),
    ):
        layer(X)


def test_nothing_is_changed_where_nothing_is_meant():
    layer = gw.LSTM(3, 5, dtype=torch.float64)
    plain, _ = layer(X)
    for where in ({"units": []}, {"steps": []}, {"steps": slice(50, None)}):
        with gw.clamp(layer, f=0.0, **where):
            torch.testing.assert_close(layer(X)[0], plain)


def test_a_scalar_can_be_held():
    @gw.cell
    def averaging(x, h):
        s = gw.mean(h)
        return gw.tanh(gw.affine(x, h) + s, name="h")

    layer = gw.Recurrent(averaging, 3, 5, dtype=torch.float64)
    for change in ({"s": 0.25}, {"s": lambda s: 2 * s}, {"s": torch.tensor([0.5], dtype=torch.float64)}):
        with gw.clamp(layer, **change):
            found, expected = results(layer, "cpu"), results(layer, "reference")
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b)


def test_widths_that_differ_from_layer_to_layer():
    @gw.cell
    def squashing(x, h):
        e = gw.tanh(x)
        return gw.tanh(gw.affine(e, h), name="h")

    layer = gw.Recurrent(squashing, 3, 5, num_layers=2, dtype=torch.float64)
    with gw.clamp(layer, e=0.5, layer=1, units=[4]), gw.record(layer, ["e"]) as tape:
        layer(X)
    assert bool((tape.track(layer=1)["e"][..., 4] == 0.5).all())
    with pytest.raises(ValueError, match="units: expected units from 0 to 2"):
        gw.clamp(layer, e=0.5, units=[4])


def test_put_on_again():
    layer = gw.LSTM(3, 5, dtype=torch.float64)
    held = gw.clamp(layer, f=0.0)
    changed, _ = layer(X)
    held.remove()
    plain, _ = layer(X)
    with held:
        torch.testing.assert_close(layer(X)[0], changed)
    torch.testing.assert_close(layer(X)[0], plain)
