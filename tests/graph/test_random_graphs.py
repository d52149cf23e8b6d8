"""Random cells: as text and back, simplified and not, and what a graph's own rules promise."""

import pickle

import pytest
import torch
from hypothesis import given, settings

from cases import case_for, generator, random_leaves
from gatewright.backends.reference import evaluate
from gatewright.graph import Cell, parse
from gatewright.graph.node import topological
from gatewright.graph.simplify import PIPELINE
from random_graphs import recipes
from tolerances import assert_close

pytestmark = pytest.mark.slow


@settings(max_examples=500)
@given(recipes())
def test_text_and_back(recipe):
    graph = recipe.graph()
    text = str(Cell.of_graph(graph, "random"))
    again = parse(text)
    assert again.graph == graph
    assert str(again) == text
    simple = graph.simplified()
    assert parse(str(Cell.of_graph(simple, "random"))).graph == simple


@settings(max_examples=200)
@given(recipes())
def test_latex_computes_the_same(recipe):
    """LaTeX has no first line, so the order of states may differ: what they compute is compared by name."""
    graph = recipe.graph()
    again = parse(Cell.of_graph(graph, "random").latex()).graph
    leaves = random_leaves(graph, case_for(graph), 2, generator())
    by_name = {(n.op, getattr(n.attr, "name", n.attr), n.args[:1] and n.args[0].attr): v for n, v in leaves.items()}
    theirs = {
        n: by_name[n.op, getattr(n.attr, "name", n.attr), n.args[:1] and n.args[0].attr] for n in again_leaves(again)
    }
    for state in graph.states:
        (mine,) = evaluate([state.new], leaves)
        (other,) = evaluate([next(s.new for s in again.states if s.name == state.name)], theirs)
        assert_close(other, mine, 1e-12, state.name)


def again_leaves(graph):
    return [n for n in topological(graph.roots) if n.op in ("param", "input", "previous", "state")]


@settings(max_examples=500)
@given(recipes())
def test_simplified_and_unsimplified(recipe):
    graph = recipe.graph()
    leaves = random_leaves(graph, case_for(graph), 2, generator())
    expected = evaluate(list(graph.results), leaves)
    for name, change in PIPELINE:
        graph = change(graph)
        for found, before in zip(evaluate(list(graph.results), leaves), expected, strict=True):
            assert_close(found, before, 1e-12, name)
    assert graph.simplified() == graph, "the pipeline leaves nothing to do"


@settings(max_examples=50)
@given(recipes())
def test_equal_graphs_are_the_same_nodes(recipe):
    graph = recipe.graph()
    assert recipe.graph() == graph
    assert pickle.loads(pickle.dumps(graph)).output is graph.output
    assert "output %" in graph.show()


@settings(max_examples=50)
@given(recipes())
def test_batch_rows_do_not_meet(recipe):
    """A sequence's values depend on nothing of its neighbours."""
    graph = recipe.graph()
    leaves = random_leaves(graph, case_for(graph), 3, generator())
    alone = {n: v if n.op == "param" else v[1:2] for n, v in leaves.items()}
    for whole, single in zip(evaluate(list(graph.results), leaves), evaluate(list(graph.results), alone), strict=True):
        torch.testing.assert_close(whole[1:2], single)
