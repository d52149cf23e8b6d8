"""Golden files: the text, LaTeX, graph and gradient of every cell, as they were when somebody last looked at them.

A refactor leaves them unchanged. After a change that is meant: `pytest tests/graph/test_golden.py --refresh`, and read
the difference.
"""

from pathlib import Path

import pytest

import gatewright as gw
from gatewright.gradient import reverse

GOLDEN = Path(__file__).parent / "golden"


def report(cell: gw.Cell) -> str:
    parts = {
        "text": str(cell),
        "latex": cell.latex(),
        "graph, simplified": cell.graph.simplified().show(),
        "gradient": reverse(cell.graph).show(),
    }
    return "\n\n".join(f"# {title}\n{text}" for title, text in parts.items()) + "\n"


@pytest.mark.parametrize("name", gw.cells)
def test_unchanged(name, request):
    path = GOLDEN / f"{name}.txt"
    if request.config.getoption("--refresh"):
        GOLDEN.mkdir(exist_ok=True)
        path.write_text(report(gw.cells[name]))
    assert report(gw.cells[name]) == path.read_text(), f"{name} has changed; if that is meant: pytest --refresh"


def test_no_file_without_a_cell():
    assert {p.stem for p in GOLDEN.glob("*.txt")} == set(gw.cells)


def test_passes_can_be_shown():
    """Each pass of the pipeline, and what it made."""
    cell = gw.parse("h_t = 1 ⊙ tanh(W_h x_t + U_h h_{t-1} + 0) + σ(0) ⊙ x_t\nspare_t = x_t ⊙ h_{t-1}\ny_t = h_t")
    shown = cell.graph.show(passes=True)
    for title in ("── as written", "── fold constants\n", "── drop identities\n", "── drop dead equations\n"):
        assert title in shown
    assert "const 0.5" in shown
    assert "mul" in shown.split("── drop dead equations")[0]
