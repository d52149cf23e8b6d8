"""Where no unit sees another one's values, threads that share the units do not wait for each other in a step."""

from __future__ import annotations

import pytest

import gatewright as gw
from gatewright.backends.cpu.backward import _Backward
from gatewright.backends.cpu.emitter import Module
from gatewright.backends.cpu.forward import _Forward
from gatewright.backends.cpu.shared import Shared
from gatewright.backends.cpu.target import host
from gatewright.graph import Graph
from gatewright.plan.plan import plan

APART = ("indrnn", "sru", "qrnn", "minlstm", "mingru")


@gw.cell
def summed(x, h):
    """No product in the loop, but a sum over all units."""
    return gw.sigmoid(gw.affine(x)) * h + gw.mean(h)


@gw.cell
def repeated(x, h):
    """No product in the loop, but units that share a factor."""
    g = gw.linear(x, width="P")
    return gw.repeat(g, 2) * h


def workers(graph: Graph) -> tuple[_Forward, _Backward]:
    def shared(name: str) -> Shared:
        planned = plan(graph.simplified(), train=True, reset=False, every=False, record=())
        return Shared(Module(name, "float", host()), planned, True)

    return _Forward(shared("forward")), _Backward(shared("backward"))


@pytest.mark.parametrize("name", gw.cells)
def test_which_cells_mix_units(name):
    """Exactly those with a product, a sum or a repetition in the loop."""
    assert [w.mixes_units() for w in workers(gw.cells[name].graph)] == [name not in APART] * 2


def test_sums_and_shared_gates_mix_units():
    for cell in (summed, repeated):
        assert all(w.mixes_units() for w in workers(cell.graph))
