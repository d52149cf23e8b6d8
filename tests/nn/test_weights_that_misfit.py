"""A state_dict that does not fit says all that is wrong with it at once, and changes nothing."""

from __future__ import annotations

import pytest
import torch

import gatewright as gw

I, H = 3, 4


@gw.cell
def written(x, h, c):
    i = gw.sigmoid(gw.affine(x, h))
    f = gw.sigmoid(gw.affine(x, h) + gw.diagonal(c))
    c = f * c + i * gw.tanh(gw.affine(x, h), name="g")
    return gw.tanh(c, name="h"), c


@gw.cell
def read(x, h, c):
    """Other gates: i is missing, o is one more."""
    f = gw.sigmoid(gw.affine(x, h) + gw.diagonal(c))
    o = gw.sigmoid(gw.affine(x, h))
    c = f * c + (1 - f) * gw.tanh(gw.affine(x, h), name="g")
    return gw.tanh(c, name="h") * o, c


def refusal(layer: torch.nn.Module, state: dict, strict: bool) -> str:
    before = {name: p.clone() for name, p in layer.named_parameters()}
    with pytest.raises(RuntimeError) as caught:
        layer.load_state_dict(state, strict=strict)
    for name, p in layer.named_parameters():
        assert torch.equal(p, before[name]), name
    return str(caught.value)


@pytest.mark.parametrize("strict", [True, False])
def test_missing_extra_and_misshapen_rows_together(strict):
    saved = gw.Recurrent(written, I + 1, H + 1).state_dict() | {"odd": torch.zeros(2)}
    text = refusal(gw.Recurrent(read, I, H), saved, strict)
    for part in (
        "row_names: the saved weights have no rows U_o, W_o, b_o; ",
        "no equation of read knows the saved rows U_i, W_i, b_i; ",
        "U_f, U_g, W_f, W_g, b_f, b_g, p_f have 5 saved rows, this layer's have 4; ",
        "U_f, U_g have 5 saved columns, this layer's have 4",
        "W_f, W_g have 4 saved columns, this layer's have 3",
    ):
        assert part in text, text
    assert ('Unexpected key(s) in state_dict: "odd"' in text) == strict


@pytest.mark.parametrize("strict", [True, False])
def test_layers_and_directions_are_told_apart(strict):
    saved = gw.Recurrent("peephole_lstm", I, H, 2, bidirectional=True).state_dict()
    del saved["W_l1_reverse"], saved["p_l0"]
    text = refusal(gw.Recurrent("peephole_lstm", I, H, 2, bidirectional=True), saved, strict)
    assert "it names p_l0, which the saved weights have not; it names W_l1_reverse, which the saved" in text
    deeper = refusal(gw.Recurrent("mgu", I, H, 2), gw.Recurrent("mgu", I, H).state_dict(), strict)
    assert "no rows U_f (l1), U_" in deeper and "(l0)" not in deeper


@pytest.mark.parametrize("strict", [True, False])
def test_every_tensor_with_rows_of_another_length_is_named(strict):
    text = refusal(gw.Recurrent("mgu", I, H, 2), gw.Recurrent("mgu", I + 1, H, 2).state_dict(), strict)
    assert "row_names: W_f (l0), W_n (l0) have 4 saved columns, this layer's have 3" in text


@pytest.mark.parametrize("strict", [True, False])
def test_several_layers_of_a_model_speak_together(strict):
    def model(cell, size: int) -> torch.nn.Module:
        return torch.nn.ModuleDict({"first": gw.Recurrent(cell, I, size), "second": gw.LSTM(I, size)})

    with pytest.raises(RuntimeError) as caught:
        model(read, H).load_state_dict(model(written, H + 1).state_dict(), strict=strict)
    assert "first.row_names: the saved weights have no rows U_o" in str(caught.value)
    for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
        assert f"size mismatch for second.{name}" in str(caught.value)
