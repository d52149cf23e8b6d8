"""The zoo: every cell has its name, its citation, its text and, where the paper counts its weights, that count."""

import re

import pytest

import gatewright as gw
from gatewright.graph.match import match

NAMES = (
    "rnn lstm lstm_1997 lstm_2000 peephole_lstm cifg peephole_cifg nig nfg nog niaf noaf fgr lstmp layer_norm_lstm gru "
    "gru_original mgu janet mut1 mut2 mut3 indrnn sru qrnn ea_lstm minlstm mingru slstm"
).split()


def test_names():
    assert set(gw.cells) == set(NAMES)
    assert len(gw.cells) == len(NAMES)
    assert set(NAMES) <= set(dir(gw.cells))
    assert gw.cells.gru is gw.cells["gru"]


def test_a_wrong_name_suggests_the_nearest():
    with pytest.raises(gw.CellError, match=r"there is no cell 'lsmt'; did you mean 'lstm'\? \(gw.cells has rnn, "):
        gw.cells.lsmt  # noqa: B018
    with pytest.raises(gw.CellError, match="did you mean 'peephole_lstm'"):
        gw.cells["peephole-lstm"]
    assert "lsmt" not in gw.cells
    assert not hasattr(gw.cells, "lsmt")


@pytest.mark.parametrize("name", NAMES)
def test_every_cell_is_cited(name):
    doc = gw.cells[name].__doc__ or ""
    source = doc[doc.index("Source:") :]
    assert re.search(r"\b(19|20)\d\d\b", source), "a source has its year"
    assert len(doc.splitlines()[0]) > 20, "a cell says in one line what it is"
    assert gw.cells[name].name == name


# Hochreiter & Schmidhuber 1997: "fully connected" means that every unit sees the inputs, all cells and all gates of
# the step before; the output layer sees the cells alone. 8 (2+8+1) + (4+1) = 93, and so on.
COUNTS_1997 = [
    # inputs, cells in all, cells a block, biases, output layer, what the paper prints
    (2, 4, 2, "all", 4 + 1, 93),  # experiments 4 and 5: adding and multiplication, 2 blocks of 2
    (1, 3, 1, "all", 3, 102),  # experiment 3: 3 blocks of 1, output without bias
    (8, 4, 2, "all", 4 * (4 + 1), 156),  # experiment 6a: temporal order, 4 classes
    (7, 4, 1, "gates", 7 * 4, 264),  # experiment 1: embedded Reber, 4 blocks of 1
    (7, 6, 2, "gates", 7 * 6, 276),  # experiment 1: 3 blocks of 2
    (8, 6, 2, "all", 8 * (6 + 1), 308),  # experiment 6b: 3 blocks of 2, 8 classes
    (54, 2, 1, "none", 2 * 2, 364),  # experiment 2c: q = p = 50, no biases
]


@pytest.mark.parametrize(("inputs", "cells", "block", "bias", "outputs", "printed"), COUNTS_1997)
def test_weights_of_1997(inputs, cells, block, bias, outputs, printed):
    cell = gw.cells.lstm_1997.with_(cells=block, bias=bias)
    assert cell.parameter_count(inputs, cells) + outputs == printed


def test_weights_of_2000():
    """4 blocks of 2 cells: 8 cells of 7 + 8 weights, 12 gates of 7 + 8 + 1, 7 outputs that also see the inputs."""
    outputs = 7 * (8 + 7 + 1)
    assert gw.cells.lstm_2000.parameter_count(7, 8) + outputs == 424


def test_weights_of_2002():
    """1 input, 1 cell, 3 peepholes, 1 output with bias: the 17 weights of Gers, Schraudolph & Schmidhuber."""
    assert gw.cells.peephole_lstm.parameter_count(1, 1) + (1 + 1) == 17


def test_torchs_counts():
    """torch counts two biases for each gate, and its GRU keeps both of the candidate."""
    assert gw.cells.lstm.parameter_count(10, 20) == 4 * 20 * (10 + 20 + 1)
    assert gw.cells.gru.parameter_count(10, 20) == 3 * 20 * (10 + 20 + 1) + 20
    assert gw.cells.rnn.parameter_count(10, 20) == 20 * (10 + 20 + 1)


def kinds(cell, kind):
    return [p.attr.name for p in cell.params if p.attr.kind == kind]


def test_peepholes_can_be_chosen():
    lstm = gw.cells.peephole_lstm
    assert kinds(lstm, "p") == ["p_i", "p_f", "p_o"]
    assert kinds(lstm.with_(peepholes="f"), "p") == ["p_f"]
    assert match(gw.cells.lstm.graph, lstm.with_(peepholes="").graph) is not None


@pytest.mark.parametrize(
    ("name", "gates"),
    [("nig", "fgo"), ("nfg", "igo"), ("nog", "ifg"), ("niaf", "ifgo"), ("noaf", "ifgo"), ("peephole_cifg", "igo")],
)
def test_the_odyssey_changes_one_thing(name, gates):
    assert sorted(kinds(gw.cells[name], "W")) == sorted(f"W_{gate}" for gate in gates)


def test_gates_have_the_fields_names():
    """i f g o in LSTMs, r z n in GRUs."""
    for name in ("lstm", "peephole_lstm", "lstmp", "layer_norm_lstm", "lstm_2000", "ea_lstm", "slstm", "fgr"):
        assert set("ifgo") <= set(gw.cells[name].graph.watchable()), name
    for name in ("gru", "gru_original"):
        assert set("rzn") <= set(gw.cells[name].graph.watchable()), name
    assert {"f_pre", "g_pre", "c_prev", "h_prev"} <= set(gw.cells.lstm.graph.watchable())
    assert "c_pre" not in gw.cells.lstm.graph.watchable()


def test_the_two_grus_differ_in_the_reset():
    assert "U_n h_{t-1} + b_n_h" in str(gw.cells.gru)
    assert "U_n (r_t ⊙ h_{t-1})" in str(gw.cells.gru_original)
    assert match(gw.cells.gru.graph, gw.cells.gru_original.graph) is None


def test_without_a_product_in_the_loop():
    """What a parallel scan over time can run: no matrix meets an old state."""
    assert [n for n in gw.cells if not kinds(gw.cells[n], "U")] == ["indrnn", "sru", "qrnn", "minlstm", "mingru"]


def test_shared_gates_are_narrower():
    lstm = gw.cells.lstm_1997.with_(cells=3)
    sizes = lstm.graph.sizes({"I": 2, "H": 6})
    assert {sizes.shape(p)[0] for p in lstm.params if p.attr.name in ("W_i", "W_o")} == {2}
    with pytest.raises(gw.CellError, match="H/3 = 5/3 is not a whole number of units"):
        lstm.graph.sizes({"I": 2, "H": 5})


@pytest.mark.parametrize(
    ("name", "hyper", "message"),
    [
        ("rnn", {"nonlinearity": "relo"}, "nonlinearity='relo': expected one of 'tanh', 'relu'; did you mean 'relu'"),
        ("peephole_lstm", {"peepholes": "ifg"}, "peepholes='ifg': expected some of the letters of 'ifo'"),
        ("peephole_lstm", {"gates": 3}, "gates=3: expected some of the letters of 'ifo'"),
        ("peephole_lstm", {"squash": "h"}, "squash='h': expected some of the letters of 'gc'"),
        ("lstm_1997", {"bias": "some"}, "bias='some': expected one of 'all', 'gates', 'none'"),
        ("qrnn", {"pooling": "of"}, "pooling='of': expected one of 'f', 'fo', 'ifo'"),
        ("slstm", {"forget": "tanh"}, "forget='tanh': expected one of 'sigmoid', 'exp'"),
        ("qrnn", {"windows": 2}, "has no hyper-parameter 'windows'; it has: window, pooling; did you mean 'window'"),
    ],
)
def test_a_wrong_hyper_parameter_names_the_right_ones(name, hyper, message):
    with pytest.raises(gw.CellError, match=re.escape(message)):
        gw.cells[name].with_(**hyper)
