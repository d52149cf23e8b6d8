"""Widths: symbols unify while tracing, numbers come with a layer, and a misfit names the equations between."""

# ruff: noqa: RET504, F841 - an equation is an assignment

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import gatewright as gw
from gatewright import affine, diagonal, layer_norm, linear, mean, repeat, sigmoid, tanh
from gatewright.graph.cell import width_sizes


def sizes(cell: gw.Cell, input_size, hidden_size: int, **own: int):
    return cell.graph.sizes(width_sizes(cell.graph, input_size, hidden_size, own))


def shapes(cell: gw.Cell, input_size, hidden_size: int, **own: int) -> dict[str, tuple[int, ...]]:
    found = sizes(cell, input_size, hidden_size, **own)
    return {p.attr.name: found.shape(p) for p in cell.params}


def width(cell: gw.Cell, name: str) -> str:
    return str(cell.graph.widths.of(cell.graph.names[name]))


def test_inputs_are_I_products_H_and_states_what_they_become():
    lstm = gw.cells.lstm
    assert [str(lstm.graph.widths.of_state(s)) for s in lstm.states] == ["H", "H"]
    assert shapes(lstm, 3, 5) == {f"{k}_{g}": s for g in "ifgo" for k, s in [("W", (5, 3)), ("U", (5, 5)), ("b", (5,))]}


def test_a_projection_has_a_width_of_its_own():
    found = shapes(gw.cells.lstmp, 3, 5, P=2)
    assert found["W_h" if "W_h" in found else "U_h"] == (2, 5)
    assert found["U_i"] == (5, 2)
    assert sizes(gw.cells.lstmp, 3, 5, P=2).of_state("h") == 2
    assert sizes(gw.cells.lstmp, 3, 5, P=2).of_state("c") == 5


def test_each_further_input_has_a_symbol():
    assert shapes(gw.cells.ea_lstm, (3, 2), 5)["W_i"] == (5, 2)
    with pytest.raises(gw.CellError, match=r"input_size has 1 size\(s\) for 2 input\(s\) \(x, static\): give a tuple"):
        sizes(gw.cells.ea_lstm, 3, 5)


def test_an_elementwise_operation_makes_two_widths_one():
    sru = gw.cells.sru  # x ⊙ … + h: I is H
    assert sizes(sru, 5, 5).of_state("c") == 5
    with pytest.raises(gw.CellError, match="widths don't fit: I = 3 is not H = 5") as error:
        sizes(sru, 3, 5)
    assert "in h_t = r_t ⊙ c_t + (1 - r_t) ⊙ x_t" in str(error.value)


def test_every_equation_between_two_symbols_is_named():
    @gw.cell
    def chain(x, h):
        p = linear(x, width="P")
        a = p * x
        h = tanh(affine(h)) + p * a
        return h

    with pytest.raises(gw.CellError, match="widths don't fit: I = 3 is not H = 5") as error:
        sizes(chain, 3, 5)
    assert "in a_t = p_t ⊙ x_t" in str(error.value)
    assert "in h_t = tanh(" in str(error.value)


def test_what_is_computed_and_not_used_ties_widths_too():
    @gw.cell
    def watched(x, h):
        watched_alone = h * x  # it can be recorded
        h = tanh(affine(x, h)) + h
        return h

    assert sizes(watched, 4, 4).of(watched.graph.names["watched_alone"]) == 4
    with pytest.raises(gw.CellError, match=r"in watched_alone_t = h_\{t-1\} ⊙ x_t"):
        sizes(watched, 3, 4)


def test_one_value_fits_any_width():
    @gw.cell
    def centred(x, h):
        m = mean(h)
        s = gw.max(h) - gw.sum(h)
        h = tanh(affine(x, h)) - m + s
        return h

    assert (width(centred, "m"), width(centred, "s"), width(centred, "h")) == ("1", "1", "H")
    assert sizes(centred, 3, 5).of(centred.graph.names["m"]) == 1


def test_repeat_multiplies_and_a_multiple_must_be_whole():
    blocks = gw.cells.lstm_2000
    assert width(blocks, "i") == "H/2"
    assert shapes(blocks, 3, 6)["W_i"] == (3, 3)
    with pytest.raises(gw.CellError, match="widths don't fit: H/2 = 5/2 is not a whole number of units"):
        sizes(blocks, 3, 5)


def test_a_width_that_is_its_own_multiple():
    with pytest.raises(gw.CellError, match="widths don't fit: P is not 2·P"):

        @gw.cell
        def impossible(x, h):
            a = affine(x, width="P")
            h = a + repeat(a, 2) + h
            return h


def test_repeat_of_one_value():
    with pytest.raises(gw.CellError, match="widths don't fit: one value is not the vector that repeat needs"):
        gw.cell(lambda x, h: tanh(affine(x, h)) + repeat(mean(x), 3))


def test_a_number_as_a_width():
    @gw.cell
    def numbered(x, h):
        n = tanh(affine(x, h, width=7))
        h = linear(n)
        return h

    assert shapes(numbered, 3, 5)["W_n"] == (7, 3)
    assert shapes(numbered, 3, 5)["U_h"] == (5, 7)
    assert gw.parse(str(numbered)) == numbered

    @gw.cell
    def fixed(x, h):
        h = tanh(affine(x, h, width=7))
        return h

    assert sizes(fixed, 3, 5).of_state("h") == 7


def test_a_diagonal_and_a_gain_are_as_wide_as_their_vector():
    @gw.cell
    def narrow(x, h, c):
        c = tanh(affine(x, width="P") + diagonal(c))
        h = layer_norm(linear(c, h))
        return h, c

    found = shapes(narrow, 3, 5, P=2)
    assert (found["p_c"], found["gain_h"]) == ((2,), (5,))


def test_a_width_without_a_size_and_a_size_without_a_width():
    with pytest.raises(gw.CellError, match=r"the width P has no size: give it with sizes=\{'P': …\}"):
        sizes(gw.cells.lstmp, 3, 5)
    with pytest.raises(gw.CellError, match="sizes: there is no width 'Q' in this cell"):
        sizes(gw.cells.lstmp, 3, 5, P=2, Q=3)


def test_a_layer_names_itself_and_the_equations():
    with pytest.raises(gw.CellError, match=r"layer 1 of sru\(input_size=3.*hidden_size=4\)|I = 3 is not H = 4"):
        gw.Recurrent("sru", 3, 4, 2)


def test_the_printed_text_keeps_the_widths():
    for cell in (gw.cells.lstmp, gw.cells.lstm_1997, gw.cells.lstm_2000):
        again = gw.parse(str(cell))
        assert [str(again.graph.widths.of(p)) for p in again.params] == [
            str(cell.graph.widths.of(p)) for p in cell.params
        ]


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.integers(1, 3))
def test_repeats_compose(counts: list[int], unit: int):
    @gw.cell
    def repeated(x, h):
        wide = sigmoid(affine(x, width="S"))
        for count in counts:
            wide = repeat(wide, count)
        h = wide * linear(h)
        return h

    product = 1
    for count in counts:
        product *= count
    found = sizes(repeated, 3, unit * product)
    assert found.shape(repeated.params[0])[0] == unit
    if product > 1:
        with pytest.raises(gw.CellError, match="a whole number of units"):
            sizes(repeated, 3, unit * product + 1)


def test_without_bias_leaves_offsets_out_and_nothing_else():
    cell = gw.parse("h_t = tanh(W x_t + U h_{t-1} + b_h) ⊙ sum(where(x_t > 0, 1, 1))")
    graph = cell.graph.without_bias()
    assert [p.attr.name for p in graph.params] == ["W", "U"]
    x = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    layer = gw.Recurrent(cell, 3, 4, bias=False)
    y, _ = layer(x.unsqueeze(0))
    views = layer.weights()
    expected = torch.tanh(x @ views["W"].T) * 3
    torch.testing.assert_close(y[0], expected)
    with pytest.raises(gw.CellError, match="bias=False: b_s is no offset"):
        gw.Recurrent(gw.parse("h_t = tanh(W x_t + U h_{t-1}) ⊙ sum(exp(b_s))"), 3, 4, bias=False)
