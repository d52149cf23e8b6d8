"""The story of a step is told from the equations: of every cell, each equation once."""

import pytest
from hypothesis import given, settings

import gatewright as gw
from gatewright.explorer.story import story, symbol
from gatewright.graph import Cell
from random_graphs import recipes


def told(cell) -> dict[str, list[str]]:
    return {part["key"]: part["names"] for part in story(cell)}


@pytest.mark.parametrize("name", gw.cells)
def test_every_equation_is_told_once(name):
    graph = gw.cells[name].graph
    names = [said for part in story(gw.cells[name]) for said in part["names"]]
    assert sorted(names) == sorted(called for called, n in graph.equations if n.op != "param")
    assert all(part["sentence"].endswith(".") and part["mathml"].startswith("<math") for part in story(gw.cells[name]))


def test_the_four_steps_of_an_lstm():
    assert told(gw.cells.lstm) == {"forget": ["f"], "input": ["i", "g"], "update": ["c"], "output": ["o", "h"]}
    forget, let_in, _, output = (part["sentence"] for part in story(gw.cells.lstm))
    assert forget.startswith("fₜ multiplies the old state cₜ₋₁") and "where fₜ is 1 the unit keeps" in forget
    assert let_in == "gₜ is what could be written; iₜ says how much of it enters cₜ."
    assert output.startswith("oₜ says how much of cₜ is shown")


def test_a_gate_that_keeps_by_its_complement_is_read_the_other_way_round():
    forget = story(gw.cells.mgu)[0]["sentence"]
    assert forget.startswith("1 − fₜ multiplies") and "where fₜ is 0 the unit keeps" in forget
    assert story(gw.cells.cifg)[0]["names"] == ["i", "f"]
    assert story(gw.cells.cifg)[0]["sentence"].startswith("fₜ = 1 − iₜ multiplies the old state")


def test_a_gru_has_three_steps_and_a_reset():
    assert told(gw.cells.gru) == {"forget": ["z"], "input": ["r", "n"], "update": ["h"]}
    assert "rₜ says how much of the old state it sees." in story(gw.cells.gru)[1]["sentence"]


def test_names_do_not_matter_but_the_equations_do():
    cell = gw.parse(
        "keep_t = σ(W_1 x_t + U_1 y_{t-1})\nnew_t = tanh(W_2 x_t + U_2 y_{t-1})\n"
        "m_t = keep_t ⊙ m_{t-1} + (1 - keep_t) ⊙ new_t\ny_t = tanh(m_t)"
    )
    assert told(cell) == {"forget": ["keep"], "input": ["new"], "update": ["m"], "output": ["y"]}
    assert "keepₜ says here too how much of it enters mₜ" in story(cell)[1]["sentence"]


def test_without_a_gate_the_equations_are_told_in_order():
    parts = story(gw.cells.rnn)
    assert [part["names"] for part in parts] == [["h"]]
    assert parts[0]["sentence"] == "hₜ is computed from xₜ and hₜ₋₁ and carried to the next step as hₜ₋₁."


def test_symbols():
    assert [symbol("c"), symbol("c", back=True), symbol("c_tilde"), symbol("alpha"), symbol("h_new")] == [
        "cₜ", "cₜ₋₁", "c̃ₜ", "αₜ", "h_newₜ",
    ]  # fmt: skip


@given(recipes())
@settings(max_examples=25)
def test_random_cells_are_told_whole(recipe):
    graph = recipe.graph()
    names = [
        said for part in story(Cell("random", doc="", hyper={}, source=None, graph=graph)) for said in part["names"]
    ]
    assert sorted(names) == sorted(called for called, n in graph.equations if n.op != "param")
