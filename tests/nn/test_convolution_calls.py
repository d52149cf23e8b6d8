"""Layers of convolutions: how a step is cut, and what a call may look like."""

from __future__ import annotations

import re

import pytest
import torch
from convolution_cases import RESET, B, C, H, T, chained, frames, made

import gatewright as gw
from gatewright.plan.pieces import pieces

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit.script.* is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning"),
]

# -- pieces --------------------------------------------------------------------------------------------------


def test_a_step_is_cut_at_its_products():
    steps = pieces(gw.cells.gru_original.graph).steps
    matrices = [{n.args[0].attr.name for n in piece.products} for piece in steps]
    assert matrices == [{"U_r", "U_z"}, {"U_n"}]
    joint = pieces(gw.cells.lstm.graph, joined=True)
    assert not joint.ahead and len(joint.steps) == 1 and {n.op for n in joint.steps[0].products} == {"add"}
    assert len(pieces(gw.cells.lstm.graph).ahead[0].products) == 4
    for name in gw.cells:
        for piece in pieces(gw.cells[name].graph).steps:
            assert piece.graph is None or "linear" not in piece.graph.show()


def test_what_several_pieces_need_is_computed_once():
    whole = pieces(chained.graph)
    shown = [p.graph.show() for p in (*whole.ahead, *whole.steps) if p.graph]
    assert len(shown) > 3 and "".join(shown).count("sigmoid") == 1


# -- mistakes ------------------------------------------------------------------------------------------------

SETTINGS = [
    ({"dims": 4}, "dims: expected 1, 2 or 3, got 4"),
    ({"kernel_size": (3, 3, 3)}, "kernel_size: expected a number, or 2 for frames of 2 dimensions, got (3, 3, 3)"),
    ({"kernel_size": 0}, "kernel_size: expected at least 1, got 0"),
    ({"kernel_size": 2.5}, "kernel_size: expected a whole number, got 2.5"),
    ({"padding_mode": "same"}, "padding_mode: expected one of zeros, circular, reflect, replicate, got 'same'"),
    ({"backend": "vendor"}, "backend: expected one of auto, cpu, torch, reference, got 'vendor'"),
    ({"hidden_channels": 0}, "hidden_channels: expected at least 1, got 0"),
    ({"sizes": {"H": 3}}, "sizes: expected the cell's own widths, got 'H'; that is hidden_channels"),
    ({"dropout": 2}, "dropout: expected a probability from 0 to 1, got 2"),
]


@pytest.mark.parametrize(("wrong", "message"), SETTINGS, ids=lambda p: str(p) if isinstance(p, dict) else "")
def test_wrong_settings(wrong, message):
    given = {"cell": "lstm", "in_channels": C, "hidden_channels": H, "kernel_size": 3} | wrong
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        gw.ConvRecurrent(**given)


CALLS = [
    ((T, B), "input: expected 4 or 5 dimensions, (T, B, C, 2 of space), or without B for one sequence, got shape"),
    ((T, B, 9, 4, 5), "input: expected 2 channels before the 2 of space, got 9 (shape (5, 4, 9, 4, 5))"),
    ((T, B, C, 4, 0), "input: expected frames of at least one pixel, got frames of size (4, 0)"),
    ((T, B, C, 4, 4), "input: expected frames of size (4, 5), as peephole_size says, got (4, 4)"),
]


@pytest.mark.parametrize(("shape", "message"), CALLS)
def test_wrong_inputs(shape, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        made("cpu", peephole_size=(4, 5))(torch.zeros(shape, dtype=torch.float64))


def test_other_wrong_calls():
    layer, x = made("cpu"), frames()
    with pytest.raises(ValueError, match=re.escape("dtype torch.float64, as the weights have, got torch.float32")):
        layer(x.float())
    with pytest.raises(ValueError, match=re.escape("state h: expected shape (1, 4, 3, 4, 5), got shape (1, 4, 3)")):
        layer(x, (torch.zeros(1, B, H, dtype=torch.float64),) * 2)
    with pytest.raises(ValueError, match="reset: expected shape"):
        layer(x, reset=RESET.T)
    with pytest.raises(ValueError, match=re.escape("states: expected None or 'all', got 'last'")):
        layer(x, states="last")
    with pytest.raises(ValueError, match="frames of at least 3 pixels in every dimension, for padding_mode='reflect'"):
        made("cpu", kernel=5, padding_mode="reflect")(frames()[..., :2])
    with pytest.raises(ValueError, match="two directions"):
        made("cpu", bidirectional=True).step(x[0])
    with pytest.raises(ValueError, match="input: expected a tuple of 2 tensors"):
        made("cpu", "ea_lstm", (C, 4))(x)
    with pytest.raises(ValueError, match=re.escape("input static: expected shape (4, 4, 4, 5), to go with")):
        made("cpu", "ea_lstm", (C, 4))((x, torch.zeros(B, 4, 9, 5, dtype=torch.float64)))
    with pytest.raises(gw.CellError, match=re.escape("layer 0 of sru(in_channels=2, hidden_channels=3)")):
        made("cpu", "sru")
    with pytest.raises(ValueError, match="the CPU's kernels know float32 and float64, not bfloat16"):
        made("cpu").to(torch.bfloat16)(x.bfloat16())
