"""Recurrent dropout, zoneout and dropped weights: what they mean, what they draw, and what they refuse."""

from __future__ import annotations

import copy
import math
import re

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call, vmap

import gatewright as gw
from cases import case_for, generator, random_leaves, sequence_inputs
from gatewright import linear, sigmoid, tanh
from gatewright.backends import philox
from gatewright.backends.padding import Sequences
from gatewright.backends.reference import evaluate, prepared
from gatewright.gradient import reverse
from gatewright.graph.node import node, topological
from gatewright.graph.value import known_operations
from gatewright.plan import chances, regularised, stream
from tolerances import assert_close

T, B, I, H = 7, 4, 3, 5


@gw.cell
def plain(x, h):
    return linear(x) + linear(h)


@gw.cell
def steady(x, h):
    return h + linear(x)


def unit_layer(size: int, **options) -> gw.Recurrent:
    """h_t = h_{t−1} by a product with the unit matrix: what is left of 1 is the masks."""
    layer = gw.Recurrent(plain, size, size, dtype=torch.float64, **options)
    with torch.no_grad():
        for name, p in layer.named_parameters():
            p.copy_(torch.eye(size)) if name.startswith("U") else p.zero_()
    return layer


def within(count: float, p: float, n: int) -> bool:
    """Whether a share of n is the probability, to five standard deviations and the rounding of p to 1/65536."""
    return abs(count - p) < 5 * math.sqrt(p * (1 - p) / n) + 1e-5


def sample(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


# -- the meaning, said again in plain Python -------------------------------------------------------------


def lstm_by_hand(w, x, h, c, seed, first, *, drop, zone, training, length, reset):
    """One direction in the order of processing; `drop` by gate, `zone` for (h, c); masks numbered as they appear."""
    batch, units = h.shape
    index: dict[float, int] = {}
    for gate in "ifgo":
        if drop.get(gate):
            index.setdefault(drop[gate], len(index))

    def mask(p, number, t):
        return philox.chance(p, seed=seed, stream=first | number, t=t, sequences=batch, units=units)

    outputs = []
    for t in range(len(x)):
        on = (t < length).unsqueeze(-1)
        h, c = (torch.where(reset[t].unsqueeze(-1) & on, 0.0, s) for s in (h, c))
        pre = {}
        for gate in "ifgo":
            p = drop.get(gate, 0.0)
            entering = h * torch.where(mask(p, index[p], 0), 0.0, h.new_tensor(1 / (1 - p))) if p and training else h
            pre[gate] = x[t] @ w[f"W_{gate}"].T + entering @ w[f"U_{gate}"].T + w[f"b_{gate}"]
        new_c = torch.sigmoid(pre["f"]) * c + torch.sigmoid(pre["i"]) * torch.tanh(pre["g"])
        new_h = torch.sigmoid(pre["o"]) * torch.tanh(new_c)
        mixed = []
        for k, (old, new) in enumerate(((h, new_h), (c, new_c))):
            if training:
                mixed.append(torch.where(mask(zone[k], len(index) + k, t), old, new))
            else:
                mixed.append(zone[k] * old + (1 - zone[k]) * new)
        h, c = (torch.where(on, m, old) for m, old in zip(mixed, (h, c), strict=True))
        outputs.append(torch.where(on, h, 0.0))
    return torch.stack(outputs), h, c


def summed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """By parameter of the equations: here the two biases of torch's layout are one."""
    return weights | {f"b_{gate}": weights[f"b_{gate}_x"] + weights[f"b_{gate}_h"] for gate in "ifgo"}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("drop", [0.4, {"g": 0.4}, {"i": 0.2, "f": 0.4, "o": 0.2}], ids=str)
def test_an_lstm_by_hand(drop, training):
    """Two layers, two directions, with lengths, resets and a state; c enters the equation of h before mixing."""
    zone = {"h": 0.25, "c": 0.5}
    layer = gw.Recurrent(
        "lstm", I, H, 2, bidirectional=True, recurrent_dropout=drop, zoneout=zone, dtype=torch.float64
    ).train(training)
    x, h0, c0 = sample(T, B, I), sample(4, B, H, seed=1), sample(4, B, H, seed=2)
    lengths = torch.tensor([T, 3, 0, 5])
    reset = torch.rand(T, B, generator=generator(3)) < 0.3
    torch.manual_seed(5)
    y, (h, c) = layer(x, (h0, c0), lengths=lengths, reset=reset)
    torch.manual_seed(5)
    seed = torch.randint((1 << 63) - 1, ())

    def turned(s):
        return torch.stack([torch.cat([s[:n, b].flip(0), s[n:, b]]) for b, n in enumerate(lengths)], 1)

    rates = drop if isinstance(drop, dict) else dict.fromkeys("ifgo", drop)
    options = {"drop": rates, "zone": tuple(zone.values()), "training": training, "length": lengths}
    cut = torch.cat([reset[1:], torch.zeros_like(reset[:1])])
    cut = turned(cut)
    cut[0] = False
    for k in range(2):
        both = []
        for d in range(2):
            w = summed(layer.weights(k, d == 1))
            row = 2 * k + d
            given = (turned(x), cut) if d else (x, reset)
            out, last_h, last_c = lstm_by_hand(
                w, given[0], h0[row], c0[row], seed, stream(k, d), reset=given[1], **options
            )
            assert_close(h[row], last_h, 1e-12, f"h of layer {k}, direction {d}")
            assert_close(c[row], last_c, 1e-12, f"c of layer {k}, direction {d}")
            both.append(turned(out) if d else out)
        x = torch.cat(both, -1)
    assert_close(y, x, 1e-12)


def test_a_vector_inside_the_step_has_a_mask_of_its_own():
    """The GRU of 2014 multiplies r ⊙ h: that is another vector than h, with another mask."""
    graph = regularised(gw.cells.gru_original.graph, recurrent_dropout=0.3, training=True)
    assert [n.attr for n in chances(graph)] == [("dropout", "h", 0, False), ("dropout", "U_n", 1, False)]
    products = {n.args[0].attr.name: n.args[1].args for n in _nodes(graph, "linear") if n.args[0].attr.kind == "U"}
    assert products["U_r"] == products["U_z"] != products["U_n"]


def _nodes(graph, op):
    return [n for n in topological(graph.roots) if n.op == op]


def test_a_gates_rate_leaves_other_products_alone():
    """With U_g = 0 its mask is nowhere to be seen; with any other it is."""
    layer = gw.Recurrent("lstm", I, H, recurrent_dropout={"g": 0.5}, dtype=torch.float64)
    bare = gw.Recurrent("lstm", I, H, backend="reference", dtype=torch.float64)
    bare.load_state_dict(layer.state_dict())
    x = sample(T, B, I)
    assert not torch.equal(layer(x)[0], bare(x)[0])
    with torch.no_grad():
        layer.weights()["U_g"].zero_()
        bare.weights()["U_g"].zero_()
    assert_close(layer(x)[0], bare(x)[0], 1e-10)


def test_a_gate_is_known_by_its_matrix_too():
    """janet's U_f stands in f_pre, which has a name of its own."""
    graph = gw.cells.janet.graph
    assert regularised(graph, recurrent_dropout={"f": 0.5}, training=True) == regularised(
        graph, recurrent_dropout={"f_pre": 0.5}, training=True
    )


# -- what is drawn -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_has_one_mask_for_all_steps(p):
    size, batch, steps = 128, 64, 10
    layer = unit_layer(size, recurrent_dropout=p)
    y, _ = layer(torch.zeros(steps, batch, size, dtype=torch.float64), torch.ones(1, batch, size, dtype=torch.float64))
    kept = y[0] > 0
    for t in range(steps):
        assert_close(y[t], torch.where(kept, y.new_tensor((1 / (1 - p)) ** (t + 1)), 0.0), 1e-12)
    assert within(kept.double().mean(), 1 - p, kept.numel())


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_zoneout_draws_every_unit_at_every_step(p):
    """Each step adds 1 where the new value is taken."""
    size, batch, steps = 16, 32, 40
    layer = gw.Recurrent(steady, 1, size, zoneout=p, dtype=torch.float64)
    with torch.no_grad():
        layer.weights()["W_h"].fill_(1.0)
    y, _ = layer(torch.ones(steps, batch, 1, dtype=torch.float64))
    taken = torch.diff(y, dim=0, prepend=torch.zeros(1, batch, size)) > 0.5
    assert within(taken.double().mean(), 1 - p, taken.numel())
    for axis, n in ((0, steps), (1, batch), (2, size)):  # along no axis is the mask the same
        spread = taken.double().mean(axis)
        assert 0.5 < spread.var() / (p * (1 - p) / n) < 2


def test_every_layer_and_direction_has_masks_of_its_own():
    size = 64
    layer = gw.Recurrent(plain, size, size, 2, bidirectional=True, recurrent_dropout=0.5)
    with torch.no_grad():
        for name, p in layer.named_parameters():
            p.copy_(torch.eye(size)) if name.startswith("U") else p.zero_()
    _, h = layer(torch.zeros(2, 8, size), torch.ones(4, 8, size))
    masks = (h > 0).double()
    for a in range(4):
        for b in range(a):
            assert abs((masks[a] * masks[b]).mean() - 0.25) < 0.1


def test_streams_are_all_different():
    found = [stream(k, d, i) for k in range(3) for d in range(2) for i in (0, 1, (1 << 15) - 1)]
    assert len(set(found)) == len(found)
    assert stream(2, 1, 3) == 2 << 16 | 1 << 15 | 3


def test_masks_are_numbered():
    graph = regularised(gw.cells.lstm.graph, recurrent_dropout={"i": 0.1, "g": 0.2}, zoneout=0.3, training=True)
    assert [n.attr for n in chances(graph)] == [
        ("dropout", "h", 0, False),
        ("dropout", "h", 1, False),
        ("zoneout", "h", 2, True),
        ("zoneout", "c", 3, True),
    ]


EVERYTHING = {"recurrent_dropout": 0.3, "zoneout": 0.2, "weight_drop": 0.4}


def test_a_seed_gives_the_same_masks_and_each_call_draws_others():
    layer = gw.LSTM(I, H, 2, bidirectional=True, **EVERYTHING)
    x = torch.randn(T, B, I)
    torch.manual_seed(1)
    first, second = layer(x)[0], layer(x)[0]
    torch.manual_seed(1)
    assert torch.equal(layer(x)[0], first)
    assert torch.equal(layer(x)[0], second)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("options", [{}, EVERYTHING, {"recurrent_dropout": {"g": 0}, "zoneout": {}}], ids=str)
def test_nothing_is_drawn_where_nothing_is_random(options):
    layer = gw.Recurrent("peephole_lstm", I, H, **options)
    layer.train(options is not EVERYTHING)
    before = torch.get_rng_state()
    layer(torch.zeros(T, B, I))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", ["recurrent_dropout", "zoneout", "weight_drop"])
def test_one_number_is_drawn_for_a_call(name):
    layer = gw.Recurrent("peephole_lstm", I, H, 2, bidirectional=True, **{name: 0.5})
    layer(torch.zeros(T, B, I))
    after = torch.get_rng_state()
    torch.manual_seed(0)
    gw.Recurrent("peephole_lstm", I, H, 2, bidirectional=True)
    torch.randint((1 << 63) - 1, ())
    assert torch.equal(torch.get_rng_state(), after)


def test_a_sequence_does_not_see_what_others_are():
    """Its masks are its own: neither the batch's size, nor lengths, nor padding change them."""
    layer = gw.Recurrent("lstm", I, H, bidirectional=True, **EVERYTHING)
    x = torch.randn(T, B, I)
    torch.manual_seed(3)
    alone, _ = layer(x[:4, :2])
    padded = x.clone()
    padded[4:, :2] = float("nan")
    torch.manual_seed(3)
    y, state = layer(padded, lengths=[4, 4, 7, 0])
    assert_close(y[:4, :2], alone, 1e-6)
    assert (y[4:, :2] == 0).all()
    assert all((s[:, 3] == 0).all() for s in state)
    y.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in layer.parameters())


def test_packed_sequences_are_as_lengths():
    layer = gw.GRU(I, H, bidirectional=True, **EVERYTHING)
    x, lengths = torch.randn(T, B, I), torch.tensor([3, 7, 5, 1])
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
    torch.manual_seed(3)
    found, h = layer(packed)
    torch.manual_seed(3)
    y, expected = layer(x, lengths=lengths)
    assert torch.equal(torch.nn.utils.rnn.pad_packed_sequence(found)[0], y)
    assert torch.equal(h, expected)


# -- zoneout ---------------------------------------------------------------------------------------------


def test_zoneout_near_one_keeps_the_old_state():
    layer = gw.LSTM(I, H, zoneout=1 - 1e-9)
    state = (torch.randn(1, B, H), torch.randn(1, B, H))
    for mode in (True, False):
        y, (h, c) = layer.train(mode)(torch.randn(T, B, I), state)
        for found, expected in ((h, state[0]), (c, state[1]), (y, state[0].expand(T, B, H))):
            assert_close(found, expected, 1e-5)


def test_evaluation_is_the_expectation_of_a_step():
    """Over many sequences of one input the mean of a step in training is the step in evaluation."""
    batch = 20_000
    layer = gw.LSTM(I, H, zoneout={"h": 0.3, "c": 0.6}, dtype=torch.float64)
    x = sample(1, 1, I).expand(1, batch, I)
    state = tuple(sample(1, 1, H, seed=s).expand(1, batch, H) for s in (1, 2))
    with torch.no_grad():
        drawn = layer(x, state)[1]
        expected = layer.eval()(x, state)[1]
    for mine, mean, old in zip(drawn, expected, state, strict=True):
        assert mine.std(1).min() > 0
        spread = mine.std(1) / math.sqrt(batch)
        assert ((mine.mean(1) - mean[:, 0]).abs() < 5 * spread + 1e-12).all()
        assert not torch.allclose(mean, old)


def test_one_states_zoneout_leaves_the_other_alone():
    graph = regularised(gw.cells.lstm.graph, zoneout={"c": 0.5}, training=True)
    h, c = graph.states
    assert h.new is gw.cells.lstm.graph.states[0].new
    assert c.new.op == "where"


def test_the_output_is_the_mixed_state_by_whatever_name():
    @gw.cell
    def twin(x, h):
        h = tanh(linear(x) + linear(h))
        y = h
        return y, (h,)

    @gw.cell
    def other(x, h):
        h = tanh(linear(x) + linear(h))
        y = sigmoid(h)
        return y, (h,)

    mixed = regularised(twin.graph, zoneout=0.5, training=True)
    assert mixed.output is mixed.states[0].new
    mixed = regularised(other.graph, zoneout=0.5, training=True)
    assert mixed.output is other.graph.output
    assert mixed.states[0].new.op == "where"


def test_names_stay_watchable():
    graph = gw.cells.rnn.graph
    for training in (True, False):
        mixed = regularised(graph, zoneout=0.5, training=training)
        assert set(graph.watchable()) <= set(mixed.watchable())
        assert mixed.watchable()["h_pre"] is graph.watchable()["h_pre"]
        assert mixed.watchable()["h"] is mixed.states[0].new


def test_every_state_is_given_as_mixed():
    layer = gw.Recurrent("lstm", I, H, zoneout=0.5)
    x = torch.randn(T, B, I)
    torch.manual_seed(2)
    y, (h, c) = layer(x)
    torch.manual_seed(2)
    every, (hs, cs) = layer(x, states="all")
    assert torch.equal(every, y) and torch.equal(hs[0], y)
    assert torch.equal(hs[:, -1], h) and torch.equal(cs[:, -1], c)


# -- dropped weights ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lstm", "peephole_lstm", "fgr"])
def test_weight_drop_is_a_layer_with_other_weights(name):
    """The same masks for the whole call, on recurrent matrices alone, scaled, behind the masks of the equations."""
    p = 0.3
    layer = gw.Recurrent(name, I, H, 2, bidirectional=True, weight_drop=p, recurrent_dropout=0.2)
    bare = gw.Recurrent(name, I, H, 2, bidirectional=True, recurrent_dropout=0.2)
    bare.load_state_dict(layer.state_dict())
    x = torch.randn(T, B, I)
    torch.manual_seed(4)
    y, _ = layer(x)
    torch.manual_seed(4)
    seed = torch.randint((1 << 63) - 1, ())
    used = len(chances(layer.running))
    weights = dict(layer.named_parameters())
    for k in range(2):
        for d, suffix in enumerate(("", "_reverse")):
            recurrent = [n for n in weights if n.endswith(f"_l{k}{suffix}") and n.startswith(("U", "weight_hh"))]
            for number, key in enumerate(recurrent, used):
                rows, columns = weights[key].shape
                off = philox.weight_chance(p, seed=seed, stream=stream(k, d, number), rows=rows, columns=columns)
                weights[key] = torch.where(off, 0.0, weights[key] / (1 - p))
    torch.manual_seed(4)
    assert_close(functional_call(bare, weights, (x,))[0], y, 1e-6)
    y.sum().backward()
    assert_close(layer.eval()(x)[0], bare.eval()(x)[0], 1e-6)


def test_dropped_weights_have_no_gradient():
    layer = gw.LSTM(I, 32, weight_drop=0.25)
    layer(torch.randn(T, B, I))[0].sum().backward()
    off = layer.weight_hh_l0.grad == 0
    assert within(off.double().mean(), 0.25, off.numel())
    assert (layer.weight_ih_l0.grad != 0).all()


@pytest.mark.parametrize("name", ["lstm", "peephole_lstm", "lstmp"])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_weight_drop_by_matrix(backend, name):
    """Each matrix has its rate and no other is touched; at one rate for all it is the plain number."""
    sizes = {"sizes": {"P": 4}} if name == "lstmp" else {}
    rates = {"U_i": 0.25, "U_o": 0.5}
    layer = gw.Recurrent(name, I, 32, weight_drop=rates, backend=backend, **sizes)
    layer(torch.randn(T, B, I))[0].square().sum().backward()
    for matrix, grad in layer.weights(grad=True).items():
        if matrix.startswith("U"):
            assert within((grad == 0).double().mean(), rates.get(matrix, 0.0), grad.numel()), matrix
    off = {matrix: layer.weights(grad=True)[matrix] == 0 for matrix in rates}
    assert (off["U_i"] & ~off["U_o"]).any(), "each matrix has numbers of its own"
    every = [n for n in layer.weights() if n.startswith("U")]
    results = []
    for drop in (0.3, dict.fromkeys(every, 0.3)):
        twin = gw.Recurrent(name, I, 32, weight_drop=drop, backend=backend, **sizes)
        twin.load_state_dict(layer.state_dict())
        torch.manual_seed(3)
        results.append(twin(torch.ones(T, B, I))[0])
    assert torch.equal(*results)


def test_backends_drop_the_same_weights():
    options = {"weight_drop": {"U_i": 0.25, "U_o": 0.5}, "dtype": torch.float64, "bidirectional": True, "num_layers": 2}
    layers = [gw.Recurrent("lstm", I, H, backend=backend, **options) for backend in ("cpu", "reference")]
    layers[1].load_state_dict(layers[0].state_dict())
    x, found = sample(T, B, I), []
    for layer in layers:
        torch.manual_seed(3)
        y, _ = layer(x, lengths=[T, 3, 0, 5])
        found.append([y, *torch.autograd.grad(y.square().sum(), list(layer.parameters()))])
    for ours, theirs in zip(*found, strict=True):
        assert_close(ours, theirs, 1e-10)


# -- derivatives ---------------------------------------------------------------------------------------------


def leaves_of(layer, x):
    states = tuple(sample(1, B, width, seed=i) for i, width in enumerate(layer.state_sizes.values()))
    weights = [p.detach().clone() for p in layer.parameters()]
    return [leaf.requires_grad_() for leaf in (x, *states, *weights)]


def function_of(layer, **options):
    names, count = [n for n, _ in layer.named_parameters()], len(layer.state_sizes)

    def run(x, *leaves):
        state = leaves[:count] if count > 1 else leaves[0]
        torch.manual_seed(6)
        y, final = functional_call(layer, dict(zip(names, leaves[count:], strict=True)), (x, state), options)
        return (y, *final) if isinstance(final, tuple) else (y, final)

    return run


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", ["lstm", "gru_original", "layer_norm_lstm", "lstm_1997"])
def test_gradients_by_finite_differences(name, training):
    case = case_for(gw.cells[name].graph, 2, 2)
    layer = case.layer(gw.cells[name], dtype=torch.float64, backend="reference", **EVERYTHING).train(training)
    reset = torch.rand(3, B, generator=generator(3)) < 0.3
    run = function_of(layer, lengths=torch.tensor([3, 2, 3, 0]), reset=reset)
    assert gradcheck(run, leaves_of(layer, sample(3, B, case.input_size)), fast_mode=True)


def test_second_derivatives():
    layer = gw.Recurrent("mgu", 2, 2, dtype=torch.float64, **EVERYTHING)
    assert gradgradcheck(function_of(layer), leaves_of(layer, sample(2, B, 2)), fast_mode=True)


@pytest.mark.parametrize("name", ["lstm", "gru_original", "layer_norm_lstm"])
def test_the_step_has_a_gradient_graph(name):
    """A mask is a leaf through which nothing flows, in the sweep as in torch."""
    graph = regularised(gw.cells[name].graph, recurrent_dropout=0.4, zoneout=0.3, training=True)
    case = case_for(gw.cells[name].graph)
    g = generator(8)
    leaves = random_leaves(gw.cells[name].graph, case, B, g)
    units = case.hidden_size
    masks = {n: torch.rand(B, units, generator=g) < n.args[0].attr for n in chances(graph)}
    gradient = reverse(graph)
    seeds = {n: torch.randn(B, units, generator=g, dtype=torch.float64) for n in gradient.seeds.values()}
    wanted = {n: leaves[n].requires_grad_() for n in leaves if n.op != "previous"}
    output, *news = evaluate(list(graph.results), leaves | masks)
    loss = (output * seeds[gradient.seeds["output"]]).sum()
    for state, new in zip(graph.states, news, strict=True):
        loss = loss + (new * seeds[gradient.seeds[state.name]]).sum()
    expected = dict(zip(wanted, torch.autograd.grad(loss, list(wanted.values())), strict=True))
    for part, op in ((gradient.params, "param"), (gradient.states, "state"), (gradient.inputs, "input")):
        for key, adjoint in part.items():
            leaf = next(n for n in wanted if n.op == op and key == (n.attr.name if op == "param" else n.attr))
            (found,) = evaluate([adjoint], leaves | masks | seeds)
            assert_close(found, expected[leaf], 1e-10, key)


@pytest.mark.parametrize("name", gw.cells)
def test_every_cell_can_be_regularised(name):
    cell = gw.cells[name]
    case = case_for(cell.graph)
    options = EVERYTHING if any(p.attr.kind == "U" for p in cell.graph.params) else {"zoneout": 0.2}
    layer = case.layer(cell, **options)
    x = sequence_inputs(case, T, B, generator(1), torch.float32)
    for mode in (True, False):
        y, _ = layer.train(mode)(x, lengths=[T, 1, 0, 3])
        y.sum().backward()
        assert torch.isfinite(y).all()
        assert all(torch.isfinite(p.grad).all() for p in layer.parameters())


def test_vmap_draws_as_it_is_told():
    layer = gw.Recurrent("mgu", I, H, **EVERYTHING)
    x = torch.randn(T, B, I)
    same = vmap(lambda _: layer(x)[0], randomness="same")(torch.zeros(2))
    different = vmap(lambda _: layer(x)[0], randomness="different")(torch.zeros(2))
    assert torch.equal(same[0], same[1])
    assert not torch.equal(different[0], different[1])


# -- what a layer says ---------------------------------------------------------------------------------------

WRONG = [
    ({"recurrent_dropout": 1.0}, ValueError, "recurrent_dropout: expected a probability from 0 to below 1, got 1.0"),
    ({"recurrent_dropout": -0.1}, ValueError, "recurrent_dropout: expected a probability from 0 to below 1, got -0.1"),
    ({"zoneout": float("nan")}, ValueError, "zoneout: expected a probability from 0 to below 1, got nan"),
    ({"zoneout": True}, TypeError, "zoneout: expected a probability, got True"),
    ({"zoneout": "h"}, TypeError, "zoneout: expected a probability, got 'h'"),
    ({"zoneout": {"c": 2}}, ValueError, "zoneout['c']: expected a probability from 0 to below 1, got 2"),
    ({"zoneout": {"c": None}}, TypeError, "zoneout['c']: expected a probability, got None"),
    ({"zoneout": {"k": 0.1}}, ValueError, "zoneout: there is no state 'k' (there are h, c)"),
    (
        {"recurrent_dropout": {"c": 0.1}},
        ValueError,
        "recurrent_dropout: there is no recurrent product of 'c' (there are i, f, g, o)",
    ),
    ({"weight_drop": 1.5}, ValueError, "weight_drop: expected a probability from 0 to below 1, got 1.5"),
    (
        {"weight_drop": {"W_g": 0.1}},
        ValueError,
        "weight_drop: there is no recurrent matrix 'W_g'; did you mean 'U_g'? (there are U_i, U_f, U_g, U_o)",
    ),
    ({"weight_drop": {"U_g": "a"}}, TypeError, "weight_drop['U_g']: expected a probability, got 'a'"),
]


@pytest.mark.parametrize(("options", "error", "message"), WRONG, ids=lambda v: str(v)[:40])
@pytest.mark.parametrize("layer", [gw.Recurrent, gw.LSTM])
def test_a_wrong_rate_is_named(layer, options, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        layer(*([] if layer is gw.LSTM else ["lstm"]), I, H, **options)


@pytest.mark.parametrize("name", ["recurrent_dropout", "weight_drop"])
def test_a_cell_without_a_recurrent_product_has_nothing_to_drop(name):
    with pytest.raises(ValueError, match=f"^{name}: expected 0, got 0.5; the cell has no recurrent (product|matrix)$"):
        gw.Recurrent("mingru", I, H, **{name: 0.5})


@pytest.mark.parametrize(
    ("options", "training", "evaluation"),
    [
        ({"recurrent_dropout": 0.1}, "torch's kernels know no recurrent dropout", None),
        ({"weight_drop": 0.1}, "torch's kernels know no weight drop", None),
        ({"zoneout": 0.1}, "torch's kernels know no zoneout", "torch's kernels know no zoneout"),
        (
            EVERYTHING,
            "torch's kernels know no recurrent dropout and no zoneout and no weight drop",
            "torch's kernels know no zoneout",
        ),
    ],
    ids=str,
)
def test_the_vendors_kernel_refuses(options, training, evaluation):
    x = torch.zeros(T, B, I)
    layer = gw.LSTM(I, H, **options)
    forced = gw.LSTM(I, H, backend="vendor", **options)
    for mode, reason in ((True, training), (False, evaluation)):
        assert layer.train(mode).backend_for(x).name == "cpu"
        forced.train(mode)
        if reason:
            with pytest.raises(ValueError, match=f"^backend: .*{re.escape(reason)}$"):
                forced(x)
        else:
            forced(x)


def test_a_layer_shows_its_regularisers():
    layer = gw.Recurrent("lstm", I, H, recurrent_dropout={"g": 0.5}, zoneout=0.1, weight_drop=0.25)
    assert repr(layer) == "Recurrent(lstm, 3, 5, recurrent_dropout={'g': 0.5}, zoneout=0.1, weight_drop=0.25)"
    assert "zoneout" not in repr(gw.Recurrent("lstm", I, H))


def test_rates_are_fixed_when_the_layer_is_made():
    given = {"g": 0.5}
    layer = gw.Recurrent("lstm", I, H, recurrent_dropout=given)
    given["g"] = 0.0
    assert layer.recurrent_dropout == {"g": 0.5}
    with pytest.raises(AttributeError, match="recurrent_dropout"):
        layer.recurrent_dropout = 0.0


def test_a_copy_is_regularised_too():
    layer = gw.GRU(I, H, **EVERYTHING)
    x = torch.randn(T, B, I)
    torch.manual_seed(0)
    y, _ = layer(x)
    torch.manual_seed(0)
    assert torch.equal(copy.deepcopy(layer)(x)[0], y)


def test_equations_with_masks_need_to_know_where_from():
    graph = regularised(gw.cells.mgu.graph, zoneout=0.5, training=True)
    leaves = random_leaves(gw.cells.mgu.graph, case_for(gw.cells.mgu.graph), B, generator())
    weights = {n.attr.name: v for n, v in leaves.items() if n.op == "param"}
    x, h = leaves[node("input", attr="x")], leaves[node("state", attr="h")]
    with pytest.raises(ValueError, match="these equations have random masks: say where they come from, by draw="):
        prepared(graph).run(weights, Sequences((x.unsqueeze(0),), {}), [h], [h[0]])


def test_no_cell_can_say_chance():
    assert "chance" not in known_operations()
    with pytest.raises(gw.NotationError):
        gw.parse("h = where(chance(0.5, h), h, W x)")
