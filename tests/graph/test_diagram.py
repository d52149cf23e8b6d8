"""Diagrams are tidy: held by rules on the places of everything, for every cell and for random ones.

The pictures of the zoo lie in docs/pictures/cells, as they were when somebody last looked at them. After a change that
is meant: `pytest tests/graph/test_diagram.py --refresh`, and look at each of them.
"""

import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings

import gatewright as gw
from gatewright.graph.diagram import drawn
from gatewright.graph.diagram.build import routed
from gatewright.graph.diagram.place import arrangements
from gatewright.graph.diagram.sketch import sketch
from random_graphs import recipes

sys.path.insert(0, str(Path(__file__).parent))
from diagram_rules import faults

PICTURES = Path(__file__).parents[2] / "docs" / "pictures" / "cells"
LARGEST = 40_000
SVG = "{http://www.w3.org/2000/svg}"
CROSSINGS = {
    "lstm": 1, "lstmp": 1, "layer_norm_lstm": 1, "lstm_1997": 4, "lstm_2000": 1, "peephole_lstm": 3, "nig": 1,
    "nfg": 1, "nog": 3, "niaf": 3, "noaf": 3, "peephole_cifg": 1, "cifg": 1, "fgr": 12, "gru": 1, "gru_original": 1,
    "mgu": 1, "mut1": 2, "mut2": 3, "mut3": 2, "sru": 3, "qrnn": 1, "ea_lstm": 2, "slstm": 12,
}  # fmt: skip
"""At most so many; none where a cell is not named. An h that is no belt has to cross every belt on its way up."""


@pytest.mark.parametrize("name", gw.cells)
def test_every_cell_is_tidy_and_its_picture_up_to_date(name, request):
    cell = gw.cells[name]
    picture = cell.diagram(theme="auto")
    layout = drawn(cell.graph)
    assert not faults(layout)
    assert layout.crossings() <= CROSSINGS.get(name, 0)
    assert picture.crossings == layout.crossings()
    root = ET.fromstring(picture.svg)
    shown = {group.get("data-name") for group in root.iter(f"{SVG}g")}
    assert shown >= {*cell.graph.names, *cell.graph.inputs, *(f"{s}_prev" for s in cell.states)}
    path = PICTURES / f"{name}.svg"
    if request.config.getoption("--refresh"):
        PICTURES.mkdir(parents=True, exist_ok=True)
        path.write_text(picture.svg)
    assert len(picture.svg) < LARGEST
    assert path.read_text() == picture.svg, f"the picture of {name} has changed; if that is meant: pytest --refresh"


def test_no_picture_without_a_cell():
    assert {p.stem for p in PICTURES.glob("*.svg")} == set(gw.cells)


@settings(max_examples=3, database=None, derandomize=True, phases=[Phase.generate])
@given(recipes())
def test_random_cells_are_tidy(recipe):
    check_random(recipe)


@pytest.mark.slow
@settings(max_examples=4, database=None, derandomize=True, phases=[Phase.generate])
@given(recipes())
def test_many_random_cells_are_tidy(recipe):
    check_random(recipe)


def check_random(recipe):
    graph = recipe.graph()
    layout = drawn(graph)
    assert not faults(layout)
    names = {name for piece in layout.sketch.pieces for name in piece.names}
    assert names >= set(graph.names)


def test_the_same_cell_gives_the_same_picture():
    """Made anew, not remembered."""
    made = sketch(gw.cells.mgu.graph)
    first, second = (routed(made, arrangements(made)[0]) for _ in range(2))
    assert first == second
    again = gw.parse(str(gw.cells.mgu)).diagram()
    assert again.svg == gw.cells.mgu.diagram().svg


def kinds(name: str) -> dict[str, list[str]]:
    """The texts inside the pieces of a cell, by kind."""
    found: dict[str, list[str]] = {}
    for piece in sketch(gw.cells[name].graph).pieces:
        found.setdefault(piece.kind, []).append(piece.text)
    return found


def belts(cell: gw.Cell) -> list[str]:
    made = sketch(cell.graph)
    return [made.pieces[belt[0]].text for belt in made.belts]


def test_an_lstm_is_drawn_as_everybody_draws_it():
    assert kinds("lstm") == {
        "input": ["x"], "old": ["h", "c"], "layer": ["σ", "σ", "tanh", "σ"], "point": ["×", "×", "+", "tanh", "×"],
        "new": ["h", "c"], "output": ["h"], "merge": [""],
    }  # fmt: skip
    layout = drawn(gw.cells.lstm.graph)
    made, y = layout.sketch, {n: layout.centres[n][1] for n in range(len(layout.centres))}
    boxes = {y[n] for n, p in enumerate(made.pieces) if p.kind == "layer"}
    belt = {y[n] for n in made.belts[0]}
    merge, inside = (next(n for n, p in enumerate(made.pieces) if p.kind == kind) for kind in ("merge", "input"))
    assert len(boxes) == len(belt) == 1
    assert belt.pop() < boxes.pop() < y[merge] < y[inside]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("rnn", []), ("indrnn", []), ("gru", ["h"]), ("lstm_1997", ["c"]), ("sru", ["c"]), ("slstm", ["c", "n", "m"])],
)
def test_belts_are_states_that_no_layer_interrupts(name, expected):
    assert belts(gw.cells[name]) == expected


def test_what_is_reduced_over_units_is_no_belt():
    assert belts(gw.parse("h_t = mean(h_{t-1}) + tanh(W_h x_t + b_h)")) == []


@pytest.mark.parametrize(
    ("equation", "expected"),
    [
        ("h_t = 1 - h_{t-1}", "1−"),
        ("h_t = 4 ⊙ σ(h_{t-1}) - 2", "4σ−2"),
        ("h_t = 1 - σ(h_{t-1} - 1)", "1−σ(·−1)"),
        ("h_t = -softplus(-h_{t-1})", "log σ"),
        ("h_t = h_{t-1}^2", "²"),
        ("h_t = 2 ⊙ (h_{t-1} + 1)", "2(·+1)"),
        ("h_t = max(h_{t-1}, 0)", "max(0, ·)"),
        ("h_t = 1 / h_{t-1}", "1÷"),
        ("h_t = exp(-h_{t-1})", "exp(−·)"),
        ("h_t = LN(h_{t-1})", "LN"),
    ],
)
def test_a_chain_on_one_value_is_one_short_text(equation, expected):
    cell = gw.parse(f"{equation}\nz_t = W_z x_t")
    points = [p.text for p in sketch(cell.graph).pieces if p.kind == "point"]
    assert points == [expected]


def test_what_is_subtracted_or_divides_is_marked():
    cell = gw.parse("a_t = W_a x_t\nb_t = W_b x_t\nd_t = a_t - b_t\nh_t = d_t / a_t + h_{t-1}")
    made = sketch(cell.graph)
    marks = {(p.text, f.mark, made.pieces[f.source].names) for p in made.pieces for f in p.feeds if f.mark}
    assert marks == {("+", "−", ("b",)), ("÷", "÷", ("a",))}


def test_peepholes_are_told_apart():
    svg = gw.cells.peephole_lstm.diagram().svg
    assert svg.count('class="line peephole"') == 3
    assert "peephole" not in gw.cells.lstm.diagram().svg.split("</style>")[1]


def test_what_several_layers_see_is_joined_once():
    made = sketch(gw.cells.fgr.graph)
    merges = [p for p in made.pieces if p.kind == "merge"]
    assert [len(p.feeds) for p in merges] == [2, 4]  # [h, x], and these with the old gates
    layers = [p for p in made.pieces if p.kind == "layer"]
    assert all(sum(f.how == "product" for f in p.feeds) == 1 for p in layers)


def test_a_wide_sum_and_many_vectors_are_drawn():
    names = [f"v{i}" for i in range(5)]
    lines = [f"{n}_t = tanh(W_{n} x_t)" for n in names]
    inside = " + ".join(f"U_y_{n} {n}_t" for n in names)
    lines += [f"y_t = tanh({inside})", f"h_t = h_{{t-1}} + y_t + {' + '.join(f'{n}_t' for n in names)}"]
    assert not faults(drawn(gw.parse("\n".join(lines)).graph))
