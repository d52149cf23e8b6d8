"""`gw.record`: what the kernels write out is what the equations say, and nothing else changes."""

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence

import gatewright as gw
from cases import case_for, generator, sequence_inputs

STEPS, BATCH = 7, 4
LENGTHS = torch.tensor([7, 3, 0, 5])


def ran(layer, x, backend, names=None, **options):
    """(tape, output) of one call and its backward."""
    layer.backend = backend
    layer.zero_grad()
    with gw.record(layer, names, grad=True) as tape:
        y, _ = layer(x, **options)
    y.square().sum().backward()
    return tape, y


def made(name, dtype=torch.float64, **options):
    cell = gw.cells[name]
    case = case_for(cell.graph)
    return case.layer(cell, dtype=dtype, **options), sequence_inputs(case, STEPS, BATCH, generator(0))


@pytest.mark.parametrize("name", gw.cells)
def test_kernels_record_what_the_reference_records(name):
    layer, x = made(name)
    reset = torch.zeros(STEPS, BATCH, dtype=torch.bool)
    reset[2, 1] = reset[4, 3] = True
    expected, y = ran(layer, x, "reference", lengths=LENGTHS, reset=reset)
    found, y_too = ran(layer, x, "cpu", lengths=LENGTHS, reset=reset)
    torch.testing.assert_close(y, y_too)
    assert list(found) == list(expected)
    assert set(found) >= {n for n in layer.cell.graph.names if n in expected}
    for value in found:
        torch.testing.assert_close(found[value], expected[value], atol=1e-12, rtol=1e-10)
        torch.testing.assert_close(found.grad[value], expected.grad[value], atol=1e-11, rtol=1e-9)


@pytest.mark.parametrize("name", gw.cells)
def test_float32_to_a_millionth_and_sigmoids_in_range(name):
    exact, x = made(name)
    layer, _ = made(name, dtype=torch.float32)
    layer.load_state_dict(exact.state_dict())
    exact.backend = "reference"
    with torch.no_grad(), gw.record(exact) as expected, gw.record(layer) as found:
        exact(x)
        layer(tuple(i.float() for i in x) if isinstance(x, tuple) else x.float())
    graph = layer.cell.graph
    for value in expected:
        scale = max(1.0, float(expected[value].abs().max()))
        assert float((found[value] - expected[value]).abs().max()) <= 1e-6 * scale, value
        if graph.names[value].op == "sigmoid":
            assert float(found[value].min()) >= 0
            assert float(found[value].max()) <= 1


def test_values_are_those_of_the_equations():
    layer = gw.LSTM(3, 5, dtype=torch.float64)
    x = torch.randn(STEPS, 2, 3, dtype=torch.float64)
    with gw.record(layer, ["i", "f", "g", "o", "c", "c_prev", "f_pre", "h"]) as tape:
        y, (_h, c) = layer(x)
    v = tape.track()
    torch.testing.assert_close(v["c"], v["f"] * v["c_prev"] + v["i"] * v["g"])
    torch.testing.assert_close(v["f"], v["f_pre"].sigmoid())
    torch.testing.assert_close(v["h"], v["o"] * v["c"].tanh())
    torch.testing.assert_close(v["c"][-1], c[0].detach())
    torch.testing.assert_close(v["h"], y.detach())


def test_an_adjoint_is_the_gradient_of_the_loss():
    """∂loss/∂c_t by a loop of torch's own operations with a leaf at every step."""
    layer = gw.LSTM(3, 5, dtype=torch.float64)
    x = torch.randn(STEPS, 2, 3, dtype=torch.float64)
    with gw.record(layer, ["c", "f"], grad=True) as tape:
        layer(x)[0].square().sum().backward()
    w = layer.weights()
    h = c = torch.zeros(2, 5, dtype=torch.float64)
    cells, forgets, loss = [], [], 0.0
    for t in range(STEPS):
        i, f, g, o = (x[t] @ w[f"W_{n}"].T + h @ w[f"U_{n}"].T + w[f"b_{n}_x"] + w[f"b_{n}_h"] for n in "ifgo")
        f = f.sigmoid()
        c = f * c + i.sigmoid() * g.tanh()
        cells.append(c)
        forgets.append(f)
        h = o.sigmoid() * c.tanh()
        loss = loss + h.square().sum()
    found = torch.autograd.grad(loss, [*cells, *forgets])
    torch.testing.assert_close(tape.grad["c"], torch.stack(found[:STEPS]))
    torch.testing.assert_close(tape.grad["f"], torch.stack(found[STEPS:]))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("options", [{}, {"bidirectional": True}, {"num_layers": 2}, {"batch_first": True}])
def test_a_vendors_run_is_seen_too(options, training):
    layer = gw.GRU(3, 5, dtype=torch.float64, backend="cpu", **options).train(training)
    x = torch.randn(BATCH, STEPS, 3, dtype=torch.float64)
    lengths = torch.tensor([7, 3, 5, 2]) if options.get("batch_first") else None
    expected, y = ran(layer, x, "cpu", lengths=lengths)
    found, y_too = ran(layer, x, "vendor", lengths=lengths)
    torch.testing.assert_close(y, y_too)
    for track, like in zip(found.tracks, expected.tracks, strict=True):
        for name in track:
            torch.testing.assert_close(track[name], like[name])
            torch.testing.assert_close(track.grad[name], like.grad[name])


@pytest.mark.parametrize("backend", ["cpu", "reference", "vendor"])
def test_opening_a_tape_changes_nothing(backend):
    layer = gw.LSTM(3, 5, num_layers=2, bidirectional=True, backend=backend)
    x = torch.randn(STEPS, 2, 3)
    before, _ = layer(x)
    before.sum().backward()
    grads = [p.grad.clone() for p in layer.parameters()]
    layer.zero_grad()
    with gw.record(layer, grad=True):
        assert layer.backend_for(x).name == backend
        y, _ = layer(x)
        y.sum().backward()
    torch.testing.assert_close(y, before, atol=0 if backend == "vendor" else 1e-6, rtol=0)
    for p, g in zip(layer.parameters(), grads, strict=True):
        torch.testing.assert_close(p.grad, g)
    assert "lenses" not in layer.__dict__
    assert layer.state_dict().keys() == gw.LSTM(3, 5, num_layers=2, bidirectional=True).state_dict().keys()


def test_random_masks_are_those_of_the_run():
    """Under recurrent dropout and zoneout the values are of the very call that gave the output."""
    layer = gw.LSTM(3, 64, recurrent_dropout=0.4, zoneout={"h": 0.3, "c": 0.2})
    x = torch.randn(STEPS, 2, 3)
    for backend in ("cpu", "reference"):
        layer.backend = backend
        with gw.record(layer) as tape:
            y, (_h, c) = layer(x)
        torch.testing.assert_close(tape["h"], y.detach())
        torch.testing.assert_close(tape["c"][-1], c[0].detach())


@pytest.mark.parametrize("sort", [True, False])
def test_packed_sequences_in_the_users_order(sort):
    layer = gw.GRU(3, 5)
    lengths = torch.tensor([7, 5, 3, 1]) if sort else torch.tensor([3, 7, 1, 5])
    x = torch.randn(STEPS, BATCH, 3)
    with gw.record(layer) as packed:
        layer(pack_padded_sequence(x, lengths, enforce_sorted=sort))
    with gw.record(layer) as padded:
        layer(x, lengths=lengths)
    torch.testing.assert_close(packed["z"], padded["z"])
    assert packed.track().lengths.tolist() == lengths.tolist()
    assert packed.track().last.valid.sum(0).tolist() == lengths.tolist()
    for b in range(BATCH):
        of_one = packed.track().last.of_sequence(b)
        assert len(of_one["z"]) == int(lengths[b])
        torch.testing.assert_close(of_one["z"], padded["z"][: lengths[b], b])


def test_layouts():
    layer = gw.LSTM(3, 5, batch_first=True)
    with gw.record(layer, grad=["c"]) as tape:
        layer(torch.randn(2, 7, 3), lengths=[7, 4])[0].sum().backward()
    assert tape["f"].shape == (2, 7, 5)
    assert tape.grad["c"].shape == (2, 7, 5)
    assert not tape["f"][1, 4:].any()
    assert not tape.grad["c"][1, 4:].any()
    assert tape.track().last.valid.tolist() == [[True] * 7, [True] * 4 + [False] * 3]
    with gw.record(layer) as tape:
        layer(torch.randn(7, 3))
    assert tape["f"].shape == (7, 5)
    assert tape.track().last.valid.shape == (7,)


def test_models_have_tracks_by_name():
    class Two(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = gw.LSTM(3, 4, bidirectional=True), gw.GRU(8, 5, num_layers=2)

        def forward(self, x):
            return self.second(self.first(x)[0])

    model = Two()
    with gw.record(model) as tape:
        model(torch.randn(7, 2, 3))
    assert [str(t) for t in tape.tracks] == ["first l0", "first l0 reverse", "second l0", "second l1"]
    assert tape.track("first", reverse=True)["f"].shape == (7, 2, 4)
    assert tape.track("second", layer=1)["z"].shape == (7, 2, 5)
    assert "r" in tape
    with pytest.raises(KeyError, match="say which: module='first', layer=0, reverse=False"):
        tape["f"]
    with pytest.raises(KeyError, match="the tape has no 'z'"):
        tape.track("first", reverse=False)["z"]
    deep = gw.Deep.of("lstm", 3, 4, num_layers=3, residual=True) if hasattr(gw.Deep, "of") else None
    if deep is not None:
        with gw.record(deep) as tape:
            deep(torch.randn(7, 2, 3))
        assert len(tape.tracks) == 3


def test_all_calls_are_kept_when_asked():
    layer = gw.RNN(3, 5)
    x = torch.randn(6, 2, 3)
    with gw.record(layer, keep="all") as tape:
        _y, state = layer(x[:4])
        layer(x[4:], state)
    whole = gw.record(layer)
    layer(x)
    whole.close()
    layer(torch.zeros(1, 2, 3))
    joined = torch.cat([run["h"] for run in tape.track().runs])
    torch.testing.assert_close(joined, whole["h"])


def test_steps_are_recorded():
    layer = gw.LSTM(3, 5)
    state = None
    with torch.no_grad(), gw.record(layer, keep="all") as tape:
        for x in torch.randn(4, 2, 3):
            _y, state = layer.step(x, state)
    assert len(tape.track().runs) == 4


def test_tapes_side_by_side():
    layer = gw.LSTM(3, 5)
    with gw.record(layer, ["f"]) as outer, gw.record(layer, ["i"], grad=True) as inner:
        layer(torch.randn(7, 2, 3))[0].sum().backward()
    assert list(outer) == ["f"]
    assert list(inner) == ["i"]
    assert list(inner.grad) == ["i"]
    assert not outer.grad


def test_backward_twice_adds_up():
    layer = gw.LSTM(3, 5)
    with gw.record(layer, grad=["c"]) as tape:
        y, _ = layer(torch.randn(7, 2, 3))
    y.sum().backward(retain_graph=True)
    once = tape.grad["c"].clone()
    y.sum().backward()
    torch.testing.assert_close(tape.grad["c"], 2 * once)


def test_long_sequences_are_recorded_by_chunks():
    layer = gw.LSTM(3, 5, recompute=3, dtype=torch.float64)
    plain = gw.LSTM(3, 5, dtype=torch.float64)
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(11, 2, 3, dtype=torch.float64)
    for backend in ("cpu", "reference"):
        found, _ = ran(layer, x, backend)
        expected, _ = ran(plain, x, backend)
        for name in expected:
            torch.testing.assert_close(found[name], expected[name])
            torch.testing.assert_close(found.grad[name], expected.grad[name])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: gw.record(torch.nn.Linear(2, 2)), "model: expected a module with recurrent layers of gatewright"),
        (lambda m: gw.record(3), "model: expected an nn.Module, got int"),
        (lambda m: gw.record(m, ["ff"]), "names: no layer of the model has a value 'ff'"),
        (lambda m: gw.record(m, grad=["q"]), "grad: no layer of the model has a value 'q'"),
        (lambda m: gw.record(m, [3]), "names: expected names of values"),
        (lambda m: gw.record(m, keep="some"), "keep: expected 'last' or 'all'"),
        (lambda m: gw.record(gw.Ensemble(m, 2)), "an Ensemble; look into one network"),
    ],
)
def test_mistakes_are_explained(call, message):
    with pytest.raises((ValueError, TypeError), match=message.replace("(", r"\(")):
        call(gw.LSTM(3, 5))


def test_nothing_to_see_under_transforms():
    layer = gw.LSTM(3, 5)
    with gw.record(layer), pytest.raises(RuntimeError, match=r"nothing to see inside torch\.func"):
        torch.func.vmap(lambda x: layer(x)[0])(torch.randn(2, 7, 1, 3))
    with gw.record(layer) as tape, pytest.raises(KeyError, match="nothing has run"):
        tape["f"]


def test_keys_say_where():
    layer = gw.LSTM(3, 5, num_layers=2, bidirectional=True)
    with gw.record(layer, ["f"], grad=True) as tape:
        layer(torch.randn(7, 2, 3))[0].sum().backward()
    for key, place in {
        "f": (1, False),
        "l0.f": (0, False),
        "l0_reverse.f": (0, True),
        "l1_reverse.f": (1, True),
    }.items():
        track = tape.track(layer=place[0], reverse=place[1])
        assert torch.equal(tape[key], track["f"])
        assert torch.equal(tape.grad[key], track.grad["f"])
    with pytest.raises(KeyError):
        tape["l2.f"]
    model = torch.nn.ModuleDict({"first": gw.LSTM(3, 4), "second": gw.GRU(4, 5, num_layers=2)})
    with gw.record(model) as tape:
        model["second"](model["first"](torch.randn(7, 2, 3))[0])
    assert tape["first.f"].shape == tape["first.l0.f"].shape == (7, 2, 4)
    assert torch.equal(tape["second.z"], tape["second.l1.z"])
    with pytest.raises(KeyError, match="say which"):
        tape["f"]
