"""A program is a text: the text gives it back to the last bit, in this process and in any other."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys

import pytest
from hypothesis import given, settings

import gatewright as gw
from cases import case_for
from gatewright.graph import Graph
from gatewright.graph.graph import State
from gatewright.graph.node import const, node
from gatewright.plan import regularised
from gatewright.plan.program import Program
from random_graphs import Recipe, recipes


def program_of(cell: gw.Cell, **options) -> Program:
    case = case_for(cell.graph)
    layer = case.layer(cell)
    layout = layer._layers[0].layout
    stored = tuple(tuple(row for row, _ in s.rows) for s in layout.stored)
    return Program(layer.equations.simplified(), stored, tuple(layout.parts.items()), **options)


def bare(graph: Graph) -> Program:
    return Program(graph, stored=(), parts=())


def again(program: Program) -> Program:
    """The program from its text, without the cache."""
    Program.parse.__globals__["_parsed"].cache_clear()
    return Program.parse(program.text)


@pytest.mark.parametrize("name", gw.cells)
def test_a_cell_comes_back(name):
    program = program_of(gw.cells[name], heads=2, every=True, record=("h",), reset=True, stream=3 << 16)
    found = again(program)
    assert found == program and hash(found) == hash(program) and found.text == program.text
    assert found.graph == program.graph and found.graph.results == program.graph.results
    for field in ("stored", "parts", "heads", "every", "record", "reset", "stream"):
        assert getattr(found, field) == getattr(program, field), field


@settings(max_examples=60)
@given(recipes())
def test_a_random_graph_comes_back(recipe: Recipe):
    for graph in (recipe.graph(), recipe.graph().simplified()):
        found = again(bare(graph)).graph
        assert found == graph
        assert all(a is b for a, b in zip(found.roots, graph.roots, strict=True))


def test_random_masks_come_back():
    graph = regularised(gw.cells.lstm.graph, recurrent_dropout=0.3, zoneout={"c": 0.1}, training=True)
    assert again(bare(graph)).graph == graph
    assert "chance" in json.loads(bare(graph).text)["equations"][0]


@pytest.mark.parametrize("value", [0.1, -0.0, 5e-324, 1e300, float("inf"), float("-inf"), 1 / 3])
def test_numbers_come_back_to_the_last_bit(value):
    new = node("mul", node("state", attr="h"), const(value))
    graph = Graph(("x",), (State("h", new, value),), (("h", new),), "h")
    found = again(bare(graph)).graph
    assert found.roots == (new,)
    assert found.states[0].initial.hex() == value.hex()


def test_minus_zero_is_another_program():
    new = node("tanh", node("state", attr="h"))
    plus, minus = (bare(Graph(("x",), (State("h", new, zero),), (("h", new),), "h")) for zero in (0.0, -0.0))
    assert plus.graph == minus.graph and plus != minus


def test_every_option_is_part_of_the_text():
    usual = program_of(gw.cells.gru)
    others = [{"heads": 2}, {"every": True}, {"record": ("r",)}, {"reset": True}, {"stream": 1}]
    programs = [usual, program_of(gw.cells.lstm), *(program_of(gw.cells.gru, **option) for option in others)]
    assert len({p.text for p in programs}) == len(set(programs)) == len(programs)


def test_a_reader_sees_the_equations():
    assert "h_t = (1 - z_t) ⊙ n_t + z_t ⊙ h_{t-1}" in json.loads(program_of(gw.cells.gru).text)["equations"]


def test_the_text_is_the_same_in_another_process():
    code = (
        "import sys; sys.path[:0] = {path!r}\n"
        "import gatewright as gw; from test_program import program_of; print(program_of(gw.cells.slstm).text)"
    ).format(path=[*sys.path, __file__.rpartition("/")[0]])
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == program_of(gw.cells.slstm).text


def test_parsing_is_cached_and_copies_are_equal():
    program = program_of(gw.cells.mgu)
    assert Program.parse(program.text) is Program.parse(str(program.text))
    assert copy.deepcopy(program) == pickle.loads(pickle.dumps(program)) == program


@pytest.mark.parametrize("name", gw.cells)
@pytest.mark.parametrize("heads", [1, 2])
def test_widths_follow_from_what_is_given(name, heads):
    cell = gw.cells[name]
    case = case_for(cell.graph, 4, 12)
    layer = case.layer(cell, heads=heads)
    layout, sizes = layer._layers[0].layout, layer._layers[0].sizes
    stored = tuple(tuple(row for row, _ in s.rows) for s in layout.stored)
    program = Program(layer.equations.simplified(), stored, tuple(layout.parts.items()), heads=heads)
    found = program.sizes(case.inputs, tuple(layer.state_sizes.values()), [s.shape for s in layout.stored])
    for n in program.graph.params:
        assert found.shape(n) == sizes.shape(n)
    assert {name: found.of(n) for name, n in program.graph.equations} == {
        name: sizes.of(n) for name, n in program.graph.equations
    }


def test_a_width_that_only_weights_know():
    @gw.cell
    def narrow(x, h):
        v = gw.tanh(gw.linear(h, width="P"))
        return gw.tanh(gw.affine(x, v, name="h"), name="h")

    case = case_for(narrow.graph, 3, 5, other=2)
    program, layout = program_of(narrow), case.layer(narrow)._layers[0].layout
    sizes = program.sizes(case.inputs, (5,), [s.shape for s in layout.stored])
    assert sizes.of(program.graph.names["v"]) == 2


def test_a_text_of_another_version_is_refused():
    table = json.loads(program_of(gw.cells.rnn).text)
    with pytest.raises(ValueError, match="program of form 1: it was written by another version"):
        Program.parse(json.dumps(table | {"form": 2}))
    table["nodes"][0][0] = "attention"
    with pytest.raises(ValueError, match="an operation 'attention', which this version of gatewright does not know"):
        Program.parse(json.dumps(table))
