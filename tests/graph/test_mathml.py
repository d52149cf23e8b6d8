"""Equations as MathML: well-formed, whole, and as the text says."""

import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given, settings

import gatewright as gw
from gatewright.graph.notation.mathml import equations, mathml
from random_graphs import recipes

SPACE = "{http://www.w3.org/1998/Math/MathML}"


def words(drawn: str) -> str:
    """What a reader sees, without spaces and the invisible sign of application."""
    return "".join(ElementTree.fromstring(drawn).itertext()).replace("\u2061", "")


@pytest.mark.parametrize("name", gw.cells)
def test_every_cell_is_drawn_with_each_of_its_equations(name):
    graph = gw.cells[name].graph
    rows = ElementTree.fromstring(mathml(graph)).findall(f".//{SPACE}mtr")
    listed = equations(graph)
    assert len(rows) == len(listed)
    assert {made["name"] for made in listed} >= {called for called, _ in graph.equations}
    for row, made in zip(rows, listed, strict=True):
        assert "".join(row.itertext()).replace("\u2061", "") == words(made["mathml"])


def test_an_lstm_reads_as_in_its_papers():
    drawn = {made["name"]: words(made["mathml"]) for made in equations(gw.cells.lstm.graph)}
    assert drawn["f"] == "ft=σ(Wfxt+Ufht−1+bf)"
    assert drawn["c"] == "ct=ft⊙ct−1+it⊙gt"
    assert drawn["h"] == "ht=ot⊙tanh(ct)"


def test_letters_accents_numbers_fractions_powers_and_signs():
    cell = gw.parse(
        "α_t = σ(W_{in} x_t)^2\nĉ_t = (1 - α_t) ⊙ (W x_t) / 2\nh_t = where(ĉ_t < -0.5, max(ĉ_t, h_{t-1}), \\sqrt{α_t})"
    )
    text = mathml(cell.graph)
    assert "<mi>α</mi>" in text and '<mover accent="true"><mi>c</mi>' in text
    assert "<mfrac>" in text and "<msup>" in text and "<msqrt>" in text
    assert "<mo>&lt;</mo>" in text and "<mo>−</mo><mn>0.5</mn>" in text
    ElementTree.fromstring(text)


def test_some_names_alone():
    rows = ElementTree.fromstring(mathml(gw.cells.lstm.graph, ["f", "c"])).findall(f".//{SPACE}mtr")
    assert len(rows) == 2


@given(recipes())
@settings(max_examples=25)
def test_random_graphs_are_well_formed(recipe):
    graph = recipe.graph()
    ElementTree.fromstring(mathml(graph))
    assert all(made["text"] for made in equations(graph))
