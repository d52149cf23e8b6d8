"""Weights: live views by the equations' names, rows matched by name on loading, sizes, heads, how they begin."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

import gatewright as gw
from cases import case_for, generator, sequence_inputs
from gatewright.nn.rows import ROWS, encode
from tolerances import assert_close

T, B, I, H = 5, 3, 4, 6


@gw.cell
def input_first(x, h, c):
    """A peephole LSTM's gates, with i before f."""
    i = gw.sigmoid(gw.affine(x, h) + gw.diagonal(c))
    f = gw.sigmoid(gw.affine(x, h) + gw.diagonal(c))
    g = gw.tanh(gw.affine(x, h))
    c = f * c + i * g
    h = gw.tanh(c)
    return h, c


@gw.cell
def forget_first(x, h, c):
    """The same equations, two of them swapped."""
    f = gw.sigmoid(gw.affine(x, h) + gw.diagonal(c))
    g = gw.tanh(gw.affine(x, h))
    i = gw.sigmoid(gw.affine(x, h) + gw.diagonal(c))
    c = f * c + i * g
    h = gw.tanh(c)
    return h, c


@gw.cell
def without_peepholes(x, h, c):
    """Rows are missing in its weights for the two above."""
    f = gw.sigmoid(gw.affine(x, h))
    g = gw.tanh(gw.affine(x, h))
    i = 1 - f
    c = f * c + i * g
    h = gw.tanh(c)
    return h, c


def randomise(layer: nn.Module) -> nn.Module:
    """Every weight other than all others, so that no swap goes unseen."""
    g = generator(1)
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(torch.randn(p.shape, generator=g, dtype=p.dtype) * 0.4)
    return layer


# -- views ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", gw.cells)
def test_views_are_live(name):
    layer = case_for(gw.cells[name].graph).layer(gw.cells[name], 2, bidirectional=name not in ("mut1", "mut2", "sru"))
    for k, reverse in ((0, False), (1, layer.bidirectional)):
        suffix = f"_l{k}" + "_reverse" * reverse
        stored = {n: p for n, p in layer.named_parameters() if n.endswith(suffix)}
        views = layer.weights(k, reverse)
        assert sum(v.numel() for v in views.values()) == sum(p.numel() for p in stored.values())
        for at, (row, view) in enumerate(views.items()):
            with torch.no_grad():
                view.fill_(at + 1.5)
            owners = [
                n for n, p in stored.items() if p.untyped_storage().data_ptr() == view.untyped_storage().data_ptr()
            ]
            assert len(owners) == 1, row
            assert (stored[owners[0]] == at + 1.5).sum() == view.numel()
            assert torch.equal(layer.weights(k, reverse)[row], view)


def test_gradients_by_name():
    layer = randomise(gw.Recurrent("peephole_lstm", I, H, 2, bidirectional=True))
    assert layer.weights(1, grad=True) == {}
    layer(torch.randn(T, B, I))[0].pow(2).sum().backward()
    views = layer.weights(1, reverse=True, grad=True)
    assert list(views) == list(layer.weights(1, reverse=True))
    assert torch.equal(views["U_f"], layer.U_l1_reverse.grad[H : 2 * H])
    assert torch.equal(views["p_o"], layer.p_l1_reverse.grad[2 * H :])
    views["W_i"].zero_()
    assert not layer.W_l1_reverse.grad[:H].any(), "views of the gradients are live too"


def test_names_of_a_layer_that_is_torchs():
    layer, cell = gw.LSTM(I, H), gw.GRU(I, H)
    rows = [
        f"{kind}_{gate}{half}" for kind, half in (("W", ""), ("U", ""), ("b", "_x"), ("b", "_h")) for gate in "ifgo"
    ]
    assert list(layer.weights()) == rows
    assert torch.equal(layer.weights()["U_g"], layer.weight_hh_l0[2 * H : 3 * H])
    assert torch.equal(layer.weights()["b_o_h"], layer.bias_hh_l0[3 * H :])
    assert torch.equal(cell.weights()["W_z"], cell.weight_ih_l0[H : 2 * H])
    assert torch.equal(cell.weights()["b_n_h"], cell.bias_hh_l0[2 * H :])
    assert "b_i_x" not in gw.LSTM(I, H, bias=False).weights()
    assert gw.LSTM(I, H, proj_size=2).weights()["U_h"].shape == (2, H)


def test_writing_a_view_changes_what_the_equations_say():
    layer = gw.Recurrent("peephole_lstm", I, H)
    with torch.no_grad():
        weights = layer.weights()
        for name in ("W_o", "U_o", "p_o"):
            weights[name].zero_()
        weights["b_o"].fill_(-100.0)
    assert layer(torch.randn(T, B, I))[0].abs().max() < 1e-30, "the output gate is shut"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"layer": 2}, r"layer: expected 0 to 1, got 2"),
        ({"layer": -1}, r"layer: expected 0 to 1, got -1"),
        ({"reverse": True}, r"reverse: expected False, got True; this layer has one direction"),
    ],
)
def test_no_such_weights(given, message):
    with pytest.raises(ValueError, match=message):
        gw.Recurrent("mgu", I, H, 2).weights(**given)


# -- rows are matched by name ----------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}], ids=str)
def test_swapped_equations_load_into_the_right_gates(options):
    one, two = (randomise(gw.Recurrent(cell, I, H, **options)) for cell in (input_first, forget_first))
    x = torch.randn(T, B, I)
    expected = one(x)[0]
    for mine, theirs in zip(two.parameters(), one.parameters(), strict=True):
        mine.data.copy_(theirs.data)
    assert (two(x)[0] - expected).abs().max() > 1e-2, "by position the gates are the wrong ones"
    two.load_state_dict(one.state_dict())
    assert_close(two(x)[0], expected, 1e-6)
    for row, view in one.weights().items():
        assert torch.equal(two.weights()[row], view), row


def test_rows_of_several_layers_of_a_model():
    one = nn.ModuleDict({"a": gw.Recurrent(input_first, I, H), "b": nn.Sequential(gw.Recurrent(input_first, H, H))})
    two = nn.ModuleDict({"a": gw.Recurrent(forget_first, I, H), "b": nn.Sequential(gw.Recurrent(forget_first, H, H))})
    two.load_state_dict(randomise(one).state_dict())
    x = torch.randn(T, B, I)
    assert_close(two["b"](two["a"](x)[0])[0], one["b"](one["a"](x)[0])[0], 1e-6)


def test_state_dict_survives_other_dtypes_and_assignment():
    one = randomise(gw.Recurrent(input_first, I, H)).double()
    two = gw.Recurrent(forget_first, I, H, device="meta")
    two.load_state_dict(one.state_dict(), assign=True)
    x = torch.randn(T, B, I, dtype=torch.float64)
    assert_close(two(x)[0], one(x)[0], 1e-12)
    assert two.W_l0.dtype == torch.float64


def test_a_computed_weight_keeps_its_place():
    one, two = gw.Recurrent(input_first, I, H), gw.Recurrent(input_first, I, H)
    for layer in (one, two):
        nn.utils.parametrizations.weight_norm(layer, "U_l0")
    randomise(one)
    two.load_state_dict(one.state_dict())
    x = torch.randn(T, B, I)
    assert_close(two(x)[0], one(x)[0], 1e-6)
    swapped = gw.Recurrent(forget_first, I, H)
    nn.utils.parametrizations.weight_norm(swapped, "U_l0")
    with pytest.raises(RuntimeError, match="row_names: it names U_l0, which the saved weights have not"):
        swapped.load_state_dict(one.state_dict())


def change(state: dict, **changes) -> dict:
    """A state_dict with another table of rows."""
    table = {k: list(v) for k, v in json.loads(bytes(state[ROWS].tolist())).items()} | changes
    return state | {ROWS: encode({k: v for k, v in table.items() if v is not None})}


def cut(state: dict) -> dict:
    return state | {ROWS: state[ROWS][:-9]}


W_ROWS = [["W_i", H], ["W_f", H], ["W_g", H]]
BROKEN = {
    "no table": (lambda s: {k: v for k, v in s.items() if k != ROWS}, "row_names: missing: without the names of its"),
    "cut": (cut, "row_names: cannot be read as a table of rows"),
    "no json": (lambda s: s | {ROWS: torch.full((9,), 255, dtype=torch.uint8)}, "cannot be read as a table of rows"),
    "a list": (lambda s: s | {ROWS: encode([1, 2])}, r"cannot be read as a table of rows \(no table of rows\)"),
    "one row less": (lambda s: change(s, W_l0=W_ROWS[:-1]), f"row_names: W_l0 has {3 * H} rows, not {2 * H}"),
    "last table wrong": (lambda s: change(s, p_l0=[["p_i", H]]), f"row_names: p_l0 has {2 * H} rows, not {H}"),
    "negative": (lambda s: change(s, W_l0=[["W_i", -H], *W_ROWS[1:], ["W_i", 2 * H]]), "W_l0 has 18 rows, not 18"),
    "other counts": (
        lambda s: change(s, W_l0=[["W_i", H - 1], ["W_f", H + 1], ["W_g", H]]),
        "row_names: W_i has 5 saved rows, this layer's has 6",
    ),
    "unknown row": (
        lambda s: change(s, W_l0=[["W_i", H], ["W_forget", H], ["W_g", H]]),
        "row_names: the saved weights have no rows W_f",
    ),
    "an odd name": (lambda s: change(s, nonsense=[["a", 1]]), "it names nonsense, which the saved weights have not"),
    "a tensor left out": (lambda s: {k: v for k, v in s.items() if k != "U_l0"}, "it names U_l0, which the saved"),
    "a table left out": (lambda s: change(s, U_l0=None), "the saved weights have no rows U_f, U_g, U_i"),
}


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_table_of_rows_is_an_error_and_changes_nothing(how, strict):
    spoil, message = BROKEN[how]
    saved = spoil(dict(randomise(gw.Recurrent(input_first, I, H)).state_dict()))
    layer = gw.Recurrent(input_first, I, H)
    before = {name: p.clone() for name, p in layer.named_parameters()}
    with pytest.raises(RuntimeError, match=message):
        layer.load_state_dict(saved, strict=strict)
    for name, p in layer.named_parameters():
        assert torch.equal(p, before[name]), name


@pytest.mark.parametrize(
    ("saved", "loading", "message"),
    [
        (without_peepholes, input_first, "row_names: the saved weights have no rows U_i, W_i, b_i, p_f, p_i"),
        (
            input_first,
            without_peepholes,
            "row_names: no equation of without_peepholes knows the saved rows U_i, W_i, b_i, p_f, p_i",
        ),
    ],
)
def test_rows_too_few_and_too_many(saved, loading, message):
    layer = gw.Recurrent(loading, I, H)
    before = {name: p.clone() for name, p in layer.named_parameters()}
    with pytest.raises(RuntimeError, match=message) as caught:
        layer.load_state_dict(gw.Recurrent(saved, I, H).state_dict())
    assert "Missing key" not in str(caught.value), "one mistake, one message"
    assert all(torch.equal(p, before[name]) for name, p in layer.named_parameters())


def test_another_size_is_named():
    with pytest.raises(RuntimeError, match=r"W_g, W_i, .* have 7 saved rows, this layer's have 6"):
        gw.Recurrent(input_first, I, H).load_state_dict(gw.Recurrent(input_first, I, 7).state_dict())
    with pytest.raises(RuntimeError, match="W_f, W_g, W_i have 5 saved columns, this layer's have 4"):
        gw.Recurrent(input_first, I, H).load_state_dict(gw.Recurrent(input_first, I + 1, H).state_dict())


# -- sizes, inputs, heads ------------------------------------------------------------------------------


def test_two_inputs():
    layer = gw.Recurrent("ea_lstm", (I, 2), H)
    assert {n: tuple(p.shape) for n, p in layer.named_parameters()} == {
        "W_static_l0": (H, 2),
        "b_l0": (4 * H,),
        "W_x_l0": (3 * H, I),
        "U_l0": (3 * H, H),
    }
    x, static = torch.randn(T, B, I), torch.randn(B, 2)
    y, _ = layer((x, static))
    assert_close(layer((x, static.expand(T, B, 2)))[0], y, 1e-6)
    assert_close(layer((x[:, 0], static[0]))[0], y[:, 0], 1e-5)
    weights = layer.weights()
    gate = torch.sigmoid(static @ weights["W_i"].T + weights["b_i"])
    shut = gw.Recurrent("ea_lstm", (I, 2), H)
    shut.load_state_dict(layer.state_dict())
    with torch.no_grad():
        shut.weights()["W_i"].zero_()
        shut.weights()["b_i"].copy_(torch.logit(gate[0]))
    assert_close(shut((x[:, :1], static[:1]))[0], y[:, :1], 1e-5)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
def test_own_sizes():
    layer = gw.Recurrent("lstmp", I, H, 2, sizes={"P": 2})
    assert layer.state_sizes == {"h": 2, "c": H} and layer.output_size == 2
    y, (h, c) = layer(torch.randn(T, B, I))
    assert y.shape == (T, B, 2) and h.shape == (2, B, 2) and c.shape == (2, B, H)
    blocks = gw.Recurrent(gw.cells.lstm_1997.with_(cells=2), I, H)
    assert blocks.state_sizes == {"y": H, "c": H, "i": H // 2, "o": H // 2}


def dense(layer: gw.Recurrent, heads: int, **options) -> gw.Recurrent:
    """The layer without heads that has the same blocks in its matrices, and 0 elsewhere."""
    plain = gw.Recurrent(layer.cell, layer.input_size, layer.hidden_size, **options).double()
    with torch.no_grad():
        for k in range(layer.num_layers):
            whole = plain.weights(k)
            for name, blocks in layer.weights(k).items():
                target = whole[f"{name}_x"] if f"{name}_x" in whole else whole[name]
                if name.startswith("U"):
                    target.copy_(torch.block_diag(*blocks.unflatten(0, (heads, -1))))
                else:
                    target.copy_(blocks)
                if f"{name}_h" in whole:
                    whole[f"{name}_h"].zero_()
    return plain


@pytest.mark.parametrize("heads", [2, 3])
@pytest.mark.parametrize("name", ["lstm", "gru", "gru_original", "peephole_lstm", "slstm", "fgr"])
def test_heads_are_a_block_diagonal_matrix(name, heads):
    layer = randomise(gw.Recurrent(name, I, H, 2, heads=heads).double())
    plain = dense(layer, heads, num_layers=2)
    u = next(p for n, p in layer.named_parameters() if n.startswith("U"))
    assert u.shape[1] == H // heads
    x = torch.randn(T, B, I, dtype=torch.float64)
    y, expected = layer(x)[0], plain(x)[0]
    assert_close(y, expected, 1e-10)
    weight = torch.randn_like(y)
    (y * weight).sum().backward()
    (expected * weight).sum().backward()
    for row, found in layer.weights(1, grad=True).items():
        theirs = plain.weights(1, grad=True)
        wanted = theirs[f"{row}_x" if f"{row}_x" in theirs else row]
        if row.startswith("U"):
            blocks = wanted.unflatten(0, (heads, -1)).unflatten(2, (heads, -1))
            wanted = torch.cat([blocks[k, :, k] for k in range(heads)])
        assert_close(found, wanted, 1e-10, row)


# -- how weights begin -----------------------------------------------------------------------------------

FORGET = {
    "rnn": {}, "lstm": {"f": 1}, "lstmp": {"f": 1}, "layer_norm_lstm": {"f": 1}, "lstm_1997": {}, "lstm_2000": {"f": 1},
    "peephole_lstm": {"f": 1}, "nig": {"f": 1}, "nfg": {}, "nog": {"f": 1}, "niaf": {"f": 1}, "noaf": {"f": 1},
    "peephole_cifg": {"i": -1}, "cifg": {"i": -1}, "fgr": {"f": 1}, "gru": {"z": 1}, "gru_original": {"z": 1},
    "mgu": {"f": -1}, "janet": {"f": 1}, "mut1": {"z": -1}, "mut2": {"z": -1}, "mut3": {"z": -1}, "indrnn": {},
    "sru": {"f": 1}, "qrnn": {"f": 1}, "minlstm": {"f": 1}, "mingru": {"z": -1}, "ea_lstm": {"f": 1}, "slstm": {},
}  # fmt: skip


def test_every_cell_is_in_the_table():
    assert set(FORGET) == set(gw.cells)


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("name", gw.cells)
def test_default_weights(name, heads):
    case = case_for(gw.cells[name].graph, 8, 12, other=4)
    layer = case.layer(gw.cells[name], heads=heads)
    kinds = {p.attr.name: p.attr.kind for p in gw.cells[name].params}
    signs = {f"b_{gate}": sign for gate, sign in FORGET[name].items()}
    for row, weight in layer.weights().items():
        kind = kinds.get(row, "b")
        if kind == "W":
            bound = (6 / sum(weight.shape)) ** 0.5
            assert 0.75 * bound < weight.abs().max() <= bound, row
        elif kind == "U":
            for block in weight.unflatten(0, (heads, -1)):
                small = block @ block.T if block.shape[0] <= block.shape[1] else block.T @ block
                assert_close(small, torch.eye(len(small)), 1e-5, row)
        elif kind == "b":
            # where torch's two biases make one, the first of them has it all
            whole = row if row in kinds else row.removesuffix("_x")
            assert (weight == signs.get(whole, 0.0)).all(), row
        elif kind == "gain":
            assert (weight == 1).all(), row
        else:
            low = 0.0 if name == "indrnn" else -(12**-0.5)
            high = 1.0 if name == "indrnn" else 12**-0.5
            assert low <= weight.min() and weight.max() <= high and weight.std() > 0, row


def test_torchs_two_biases_sum_to_one():
    weights = gw.Recurrent("lstm", I, H).weights()
    assert (weights["b_f_x"] + weights["b_f_h"] == 1).all()
    assert not (weights["b_i_x"] + weights["b_i_h"]).any()
    weights = gw.Recurrent("gru", I, H).weights()
    assert (weights["b_z_x"] + weights["b_z_h"] == 1).all()
    assert not weights["b_n_x"].any() and not weights["b_n_h"].any()


def test_reset_parameters_draws_anew_and_without_bias():
    layer = gw.Recurrent("peephole_lstm", I, H, bias=False)
    assert not [n for n, _ in layer.named_parameters() if n.startswith("b")]
    before = layer.W_l0.clone()
    layer.reset_parameters()
    assert not torch.equal(layer.W_l0, before)
    y = layer(torch.zeros(T, B, I))[0]
    assert not y.any(), "without a bias, nothing comes of nothing"


def test_inputs_for_every_cell_helper_makes_a_layer_run():
    for name in gw.cells:
        case = case_for(gw.cells[name].graph)
        y, _ = case.layer(gw.cells[name])(sequence_inputs(case, T, B, generator(), torch.float32))
        assert y.shape[:2] == (T, B)
