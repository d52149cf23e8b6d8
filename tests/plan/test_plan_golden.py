"""Golden files: the plans of a few cells, as they were when somebody last looked at them.

A refactor leaves them unchanged. After a change that is meant: `pytest tests/plan/test_plan_golden.py --refresh`, and
read the difference.
"""

from pathlib import Path

import pytest

import gatewright as gw
from gatewright.plan import regularised
from gatewright.plan.plan import plan
from gatewright.plan.show import show

GOLDEN = Path(__file__).parent / "golden"
PLANS = {name: (name, {}, {}) for name in ("lstm", "gru", "gru_original", "lstmp", "layer_norm_lstm", "qrnn")}
PLANS |= {
    "lstm_2000_all": ("lstm_2000", {}, {"reset": True, "every": True, "record": ("f",)}),
    "gru_original_masked": ("gru_original", {"zoneout": 0.1, "recurrent_dropout": 0.2}, {"reset": True}),
}


def report(called: str) -> str:
    name, rates, options = PLANS[called]
    graph = gw.cells[name].graph
    graph = regularised(graph, training=True, **rates) if rates else graph
    return show(plan(graph, train=True, **options)) + "\n"


@pytest.mark.parametrize("name", PLANS)
def test_unchanged(name, request):
    path = GOLDEN / f"{name}.txt"
    if request.config.getoption("--refresh"):
        GOLDEN.mkdir(exist_ok=True)
        path.write_text(report(name))
    assert report(name) == path.read_text(), f"{name} has changed; if that is meant: pytest --refresh"


def test_no_file_without_a_plan():
    assert {p.stem for p in GOLDEN.glob("*.txt")} == set(PLANS)


def test_show():
    """Brackets only where they are needed; what several equations share has a number and stands once."""
    cell = gw.parse("f_t = σ(W_f x_t + U_f h_{t-1} + b_f)\nh_t = (1 - f_t) ⊙ h_{t-1} + f_t ⊙ (x_t - (h_{t-1} - f_t))")
    assert (
        show(plan(cell.graph, train=False))
        == """\
input[0] x (H)
state[h] (H), in rows
forward
  panels H: 1
  enter
    over H
      state[h](t+1) = initial[h]
  hoisted
    value[H, 0] = W_f · input[0]
  stage 0
    value[H, 0] += U_f · state[h]
    over H
      %1 = sigmoid(value[H, 0] + b_f)  # f
      %2 = (1 - %1) * state[h] + %1 * (input[0] - (state[h] - %1))  # h
      output = %2
      state[h](t+1) = %2"""
    )


@pytest.mark.parametrize("name", gw.cells)
def test_every_cell_can_be_shown(name):
    for train in (False, True):
        text = show(plan(gw.cells[name].graph, train=train, reset=True, every=True))
        assert "<" not in text.replace("<", "", text.count(" < ")), "nodes and objects are written out"
