"""How weights begin: by names, by the gates that keep a state, for any cell."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import torch
from torch import nn

import gatewright as gw
from cases import case_for, generator
from tolerances import assert_close

I, H = 4, 6
PAGE = Path(__file__).parents[2] / "docs" / "initialisation.md"

KEEP = {
    "rnn": {}, "lstm": {"c": {"f": 1}}, "lstmp": {"c": {"f": 1}}, "layer_norm_lstm": {"c": {"f": 1}},
    "lstm_1997": {}, "lstm_2000": {"c": {"f": 1}}, "peephole_lstm": {"c": {"f": 1}}, "nig": {"c": {"f": 1}},
    "nfg": {}, "nog": {"c": {"f": 1}}, "niaf": {"c": {"f": 1}}, "noaf": {"c": {"f": 1}},
    "peephole_cifg": {"c": {"i": -1}}, "cifg": {"c": {"i": -1}}, "fgr": {"c": {"f": 1}}, "gru": {"h": {"z": 1}},
    "gru_original": {"h": {"z": 1}}, "mgu": {"h": {"f": -1}}, "janet": {"h": {"f": 1}}, "mut1": {"h": {"z": -1}},
    "mut2": {"h": {"z": -1}}, "mut3": {"h": {"z": -1}}, "indrnn": {}, "sru": {"c": {"f": 1}}, "qrnn": {"c": {"f": 1}},
    "minlstm": {"h": {"f": 1}}, "mingru": {"h": {"z": -1}}, "ea_lstm": {"c": {"f": 1}},
    "slstm": {"c": {"f": 1}, "n": {"f": 1}},
}  # fmt: skip
LET_IN = {
    "i": "lstm lstmp layer_norm_lstm lstm_2000 peephole_lstm nog niaf noaf fgr minlstm ea_lstm slstm".split(),
}
"""The cells with an input gate of its own."""
GATED = [name for name, kept in KEEP.items() if kept]


def bias(layer, name: str, k: int = 0, reverse: bool = False) -> torch.Tensor:
    """A bias as the equations have it: the sum of its parts."""
    views = layer.weights(k, reverse) if isinstance(layer, gw.Recurrent | gw.LSTM | gw.GRU) else layer.weights()
    return torch.stack([v for row, v in views.items() if row in (name, f"{name}_x", f"{name}_h")]).sum(0)


# -- which gates -------------------------------------------------------------------------------------------


def test_every_cell_is_in_the_table():
    assert set(KEEP) == set(gw.cells)


@pytest.mark.parametrize("name", gw.cells)
def test_forget_gates(name):
    assert gw.init.forget_gates(gw.cells[name]) == KEEP[name]


def test_the_page_has_the_same_table():
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \|$", PAGE.read_text(), re.M)
    told = {name: re.findall(r"(1 − )?(\w+)\)? ⊙ (\w+)", keeps) for name, keeps, _ in rows}
    found = {}
    for name, keeps in told.items():
        for minus, gate, state in keeps:
            found.setdefault(name, {}).setdefault(state, {})[gate] = -1 if minus else 1
        found.setdefault(name, {})
    assert found == KEEP
    assert [name for name, _, letting in rows if letting == "i"] == [n for n in gw.cells if n in LET_IN["i"]]


def test_gates_of_a_layer_and_behind_other_operations():
    assert gw.init.forget_gates(gw.GRU(I, H)) == {"h": {"z": 1}}
    assert gw.init.forget_gates(gw.LSTMCell(I, H, bias=False)) == {"c": {"f": 1}}

    @gw.cell
    def cell(x, h, c, d):
        """A small step of a leaky state, a hard gate, a product of gates, and a gate of a name that hides another."""
        dt = gw.sigmoid(gw.affine(x))
        h = (1 - 0.5 * dt) * h + 0.5 * dt * gw.tanh(gw.affine(x, h, name="g"))
        hard = gw.minimum(gw.maximum(0.2 * gw.affine(x, name="hard") + 0.5, 0.0), 1.0)
        k = gw.sigmoid(gw.affine(x))
        c = hard * k * c - h
        d = gw.exp(-gw.softplus(gw.affine(x, name="a"))) * d + h  # it has no name
        return h, c, d

    assert gw.init.forget_gates(cell) == {"h": {"dt": -1}, "c": {"hard": 1, "k": 1}}
    layer = gw.Recurrent(cell, I, H)
    gw.init.forget_bias(layer, 3.0)
    assert (bias(layer, "b_dt") == -3).all() and (bias(layer, "b_hard") == 3).all() and (bias(layer, "b_k") == 3).all()
    assert not bias(layer, "b_a").any() and not bias(layer, "b_g").any()


def test_forget_gates_of_something_else():
    with pytest.raises(TypeError, match="forget_gates: expected a cell or a recurrent layer, got Linear"):
        gw.init.forget_gates(nn.Linear(2, 2))


# -- what they begin with ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GATED)
def test_forget_bias_for_every_cell(name):
    layer = case_for(gw.cells[name].graph, I, H).layer(gw.cells[name])
    gw.init.forget_bias(layer, 1.5)
    signs = {gate: sign for gates in KEEP[name].values() for gate, sign in gates.items()}
    for gate, sign in signs.items():
        assert (bias(layer, f"b_{gate}") == sign * 1.5).all()


LAG = 50


@pytest.mark.parametrize("name", GATED)
def test_chrono_for_every_cell(name):
    case = case_for(gw.cells[name].graph, I, H)
    layer = case.layer(gw.cells[name], 2, bidirectional=name not in ("mut1", "mut2", "sru", "qrnn"))
    gw.init.chrono(layer, LAG, generator=generator())
    signs = {gate: sign for gates in KEEP[name].values() for gate, sign in gates.items()}
    seen = set()
    for k in (0, 1):
        for reverse in (False, True)[: 1 + layer.bidirectional]:
            ((gate, sign),) = signs.items()
            log_u = sign * bias(layer, f"b_{gate}", k, reverse)
            assert (log_u >= 0).all() and (log_u <= math.log(LAG - 1)).all() and log_u.std() > 0
            seen.add(tuple(log_u.tolist()))
            if name in LET_IN["i"]:
                wanted = torch.nn.functional.logsigmoid(-log_u) if name == "slstm" else -log_u
                assert_close(bias(layer, "b_i", k, reverse), wanted, 1e-6)
    assert len(seen) == 2 * (1 + layer.bidirectional), "every layer and direction has draws of its own"


def test_chrono_is_the_papers():
    layer = gw.Recurrent("minlstm", 1, 20_000)
    gw.init.chrono(layer, LAG, generator=generator())
    times = bias(layer, "b_f").exp()
    assert 1 <= times.min() < 1.1 and LAG - 1.1 < times.max() <= LAG - 1
    assert abs(times.mean() - LAG / 2) < 0.5, "uniform in the times themselves"
    kept = torch.sigmoid(bias(layer, "b_f"))
    assert_close(torch.sigmoid(bias(layer, "b_i")), 1 - kept, 1e-5)
    before = bias(layer, "b_g").clone()
    gw.init.chrono(layer, LAG)
    assert torch.equal(bias(layer, "b_g"), before), "no other bias is touched"


def test_an_exponential_gate_keeps_what_a_sigmoid_would():
    cell = gw.cells.slstm.with_(forget="exp")
    layer = gw.Recurrent(cell, I, H)
    gw.init.chrono(layer, LAG)
    kept = bias(layer, "b_f").exp()
    assert (kept >= 0.5).all() and (kept < 1).all()
    assert_close(bias(layer, "b_i").exp(), 1 - kept, 1e-5)


def test_a_remembering_unit_really_remembers_for_its_time():
    layer = gw.GRU(I, H)
    gw.init.zeros(layer, "W", "U", "b")
    gw.init.chrono(layer, LAG)
    _, h = layer(torch.zeros(30, 1, I), torch.ones(1, 1, H))
    assert_close(h[0, 0], torch.sigmoid(bias(layer, "b_z")) ** 30, 1e-5)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: gw.init.chrono(gw.RNN(I, H), 9), "chrono: expected a cell with a gate that keeps a state, got rnn;"),
        (lambda: gw.init.forget_bias(gw.RNN(I, H)), "forget_bias: expected a cell with a gate that keeps a state"),
        (lambda: gw.init.chrono(gw.GRU(I, H, bias=False), 9), "chrono: expected a layer with biases, got bias=False;"),
        (lambda: gw.init.forget_bias(gw.Recurrent("mgu", I, H, bias=False)), "forget_bias: expected a layer with bias"),
        (lambda: gw.init.chrono(gw.GRU(I, H), 2), "max_lag: expected a number of steps, more than 2, got 2"),
        (lambda: gw.init.chrono(gw.GRU(I, H), "9"), "max_lag: expected a number of steps, more than 2, got '9'"),
        (lambda: gw.init.zeros(gw.GRU(I, H), "b_f"), r"constant: there is no weight 'b_f'.*in gru \(there are W, U, b"),
        (lambda: gw.init.orthogonal(gw.GRU(I, H), "b_z"), r"orthogonal: expected matrices \(W or U\), got b_z, which"),
        (lambda: gw.init.uniform(gw.GRU(I, H), bound=-1), "bound: expected a number from 0, got -1"),
    ],
)
def test_wrong_values(act, message):
    with pytest.raises(ValueError, match=message):
        act()


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (None, "chrono: expected a recurrent layer, got NoneType"),
        (nn.Linear(2, 2), "chrono: expected a recurrent layer, or a model with one, got Linear$"),
        (nn.LSTM(2, 2), r"got LSTM; gw.replace\(model\) makes layers of torch's modules"),
    ],
)
def test_no_layer(layer, message):
    with pytest.raises(TypeError, match=message):
        gw.init.chrono(layer, 9)


def test_constant_wants_names():
    with pytest.raises(TypeError, match="constant: expected names of weights"):
        gw.init.constant(gw.GRU(I, H), 1.0)


def test_a_gate_without_a_bias_and_a_computed_weight():
    @gw.cell
    def cell(x, h):
        f = gw.sigmoid(gw.linear(x))
        return f * h + gw.tanh(gw.affine(x, h, name="g"))

    with pytest.raises(ValueError, match="chrono: expected gates with a bias, got f of cell, which has none"):
        gw.init.chrono(gw.Recurrent(cell, I, H), 9)
    layer = gw.GRU(I, H)
    nn.utils.parametrizations.weight_norm(layer, "weight_hh_l0")
    with pytest.raises(ValueError, match="constant: expected weights that can be written, got U_r, which is com"):
        gw.init.zeros(layer)


# -- by names --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", gw.cells)
def test_identity_for_every_cell(name):
    case = case_for(gw.cells[name].graph, 8, 8, other=4)
    layer = case.layer(gw.cells[name], 2)
    before = {n: p.clone() for n, p in layer.named_parameters()}
    gw.init.identity(layer, gain=0.5)
    kinds = {p.attr.name: p.attr.kind for p in gw.cells[name].params}
    for k in (0, 1):
        for row, weight in layer.weights(k).items():
            if kinds.get(row, "b") == "U":
                assert torch.equal(weight, 0.5 * torch.eye(*weight.shape)), row
            elif kinds.get(row, "b") == "b":
                assert not weight.any(), row
    assert all(torch.equal(p, before[n]) for n, p in layer.named_parameters() if n.startswith(("W", "p_", "weight_ih")))


def test_identity_of_heads_names_and_convolutions():
    layer = gw.Recurrent("peephole_lstm", I, H, heads=2)
    before = layer.weights()["U_o"].clone()
    gw.init.constant(layer, 1.0, "b")
    gw.init.identity(layer, "U_g", "U_f")
    views = layer.weights()
    assert torch.equal(views["U_g"], torch.eye(3).repeat(2, 1)) and torch.equal(views["U_f"], views["U_g"])
    assert torch.equal(views["U_o"], before)
    assert not views["b_g"].any() and not views["b_f"].any() and views["b_o"].all() and views["b_i"].all()


def test_a_relu_network_of_identities_remembers():
    layer = gw.RNN(I, H, nonlinearity="relu", bidirectional=True)
    gw.init.identity(layer)
    hx = torch.rand(2, 1, H)
    _, h = layer(torch.zeros(100, 1, I), hx)
    assert torch.equal(h, hx)


def test_orthogonal_and_glorot_are_gate_by_gate():
    layer = gw.LSTM(I, H, 2, bidirectional=True, proj_size=3)
    gw.init.orthogonal(layer, gain=2.0, generator=generator())
    gw.init.glorot(layer, generator=generator())
    for k in (0, 1):
        views = layer.weights(k, reverse=True)
        for gate in "ifgo":
            u, w = views[f"U_{gate}"], views[f"W_{gate}"]
            assert_close(u.T @ u, 4 * torch.eye(3), 1e-5)
            bound = (6 / sum(w.shape)) ** 0.5
            assert 0.7 * bound < w.abs().max() <= bound
        assert_close(views["U_h"] @ views["U_h"].T, 4 * torch.eye(3), 1e-5)
    with_heads = gw.Recurrent("peephole_lstm", I, H, heads=2)
    gw.init.orthogonal(with_heads)
    for block in with_heads.weights()["U_i"].unflatten(0, (2, -1)):
        assert_close(block @ block.T, torch.eye(3), 1e-5)


def test_uniform_is_torchs():
    layer = gw.Recurrent("lstm", I, 64, 2)
    gw.init.uniform(layer, generator=generator())
    for p in layer.parameters():
        assert 0.11 < p.abs().max() <= 0.125 and abs(p.mean()) < 0.03
    gw.init.uniform(layer, "W_i", bound=0.0)
    assert not layer.weights()["W_i"].any() and layer.weights()["W_f"].all()


@pytest.mark.parametrize("fill", [gw.init.uniform, gw.init.glorot, gw.init.orthogonal], ids=lambda f: f.__name__)
def test_a_generator_decides(fill):
    found = []
    for seed in (1, 1, 2):
        layer = gw.GRU(I, H)
        torch.manual_seed(seed + len(found))
        gw.init.zeros(layer, "W", "U", "b")
        fill(layer, generator=generator(seed))
        found.append(torch.cat([p.detach().flatten() for p in layer.parameters()]))
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_a_whole_model_and_single_step_cells():
    model = nn.Sequential(nn.Linear(3, I), gw.LSTM(I, H), nn.ModuleList([gw.GRUCell(H, H), gw.Recurrent("mgu", H, H)]))
    before = model[0].weight.clone()
    gw.init.forget_bias(model, 2.0)
    assert (bias(model[1], "b_f") == 2).all()
    assert (bias(model[2][0], "b_z") == 2).all()
    assert (bias(model[2][1], "b_f") == -2).all()
    assert torch.equal(model[0].weight, before)


def test_it_is_no_part_of_a_gradient():
    layer = gw.LSTM(I, H)
    for fill in (gw.init.forget_bias, gw.init.identity, gw.init.orthogonal, gw.init.glorot, gw.init.uniform):
        fill(layer)
    gw.init.chrono(layer, 9)
    assert all(p.requires_grad and p.grad_fn is None and p.is_leaf for p in layer.parameters())
