"""States that begin with parameters, in graphs, plans and programs."""

from __future__ import annotations

import pickle

import pytest

import gatewright as gw
from gatewright.graph.widths import SCALAR
from gatewright.plan.learned import start_name, with_learned_starts
from gatewright.plan.plan import plan
from gatewright.plan.program import Program
from gatewright.plan.regularise import regularised
from gatewright.plan.show import show


def parts(graph) -> tuple:
    return tuple((p.attr.name, (p.attr.name,)) for p in graph.params)


def program(graph, **options) -> Program:
    stored = tuple((name,) for name, _ in parts(graph))
    return Program(graph, stored, parts(graph), reset=True, **options)


def test_the_parameter_belongs_to_the_graph():
    plain = gw.cells.lstmp.graph
    graph = with_learned_starts(plain, ["h", "c"])
    assert [p.attr.name for p in graph.params if p not in plain.params] == ["h_0", "c_0"]
    assert graph.equations == plain.equations and graph != plain and plain.starts == {}
    assert {name: str(graph.widths.of(p)) for name, p in graph.starts.items()} == {"h": "P", "c": "H"}
    sizes = graph.sizes({"I": 3, "H": 7, "P": 2})
    assert [sizes.shape(graph.starts[s]) for s in "hc"] == [(2,), (7,)]
    assert with_learned_starts(plain, []) == plain
    assert pickle.loads(pickle.dumps(graph)) == graph


@pytest.mark.parametrize("name", gw.cells)
def test_programs_of_every_cell(name):
    plain = regularised(gw.cells[name].graph, zoneout=0.1, training=True)
    states = [s.name for s in plain.states if s.initial == 0]
    found = program(with_learned_starts(plain, states))
    again = Program.parse(found.text)
    assert again.graph == found.graph and again.text == found.text and again == found
    assert again.graph.starts == found.graph.starts
    assert found.text != program(plain).text


def test_a_plan_sums_the_gradient_over_the_resets():
    graph = with_learned_starts(gw.cells.slstm.graph, ["h", "n"])
    found = plan(graph, train=True, reset=True)
    assert found.backward is not None
    assert {"h_0", "n_0"} < set(found.backward.totals) and "c_0" not in found.backward.totals
    before = {s.place.name for work in found.backward.epilogue for s in work.sinks if s.place.kind == "total"}
    assert before == {"h_0", "n_0"}, "what a reset at the first step gives is summed too"
    assert all(found.backward.totals[start_name(s)] != SCALAR for s in "hn")
    text = show(found)
    assert "state[h] (H), in rows, from h_0" in text and "state[m] (H), from -inf" in text
    plain = plan(graph, train=True, reset=False)
    assert plain.backward is not None and "h_0" not in plain.backward.totals
