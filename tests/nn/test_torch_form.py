"""A cell is torch's by what it computes: the equations of torch's own documentation are."""

import pytest
import torch
from torch import nn

import gatewright as gw
from gatewright.graph.match import match
from tolerances import TOLERANCE, assert_close

# The equations of torch's documentation, with their two biases and their names.
DOCUMENTED = {
    "LSTM": r"""
        i_t = \sigma(W_{ii} x_t + b_{ii} + W_{hi} h_{t-1} + b_{hi}) \\
        f_t = \sigma(W_{if} x_t + b_{if} + W_{hf} h_{t-1} + b_{hf}) \\
        g_t = \tanh(W_{ig} x_t + b_{ig} + W_{hg} h_{t-1} + b_{hg}) \\
        o_t = \sigma(W_{io} x_t + b_{io} + W_{ho} h_{t-1} + b_{ho}) \\
        c_t = f_t \odot c_{t-1} + i_t \odot g_t \\
        h_t = o_t \odot \tanh(c_t)""",
    "GRU": r"""
        r_t = \sigma(W_{ir} x_t + b_{ir} + W_{hr} h_{(t-1)} + b_{hr}) \\
        z_t = \sigma(W_{iz} x_t + b_{iz} + W_{hz} h_{(t-1)} + b_{hz}) \\
        n_t = \tanh(W_{in} x_t + b_{in} + r_t \odot (W_{hn} h_{(t-1)} + b_{hn})) \\
        h_t = (1 - z_t) \odot n_t + z_t \odot h_{(t-1)}""",
    "RNN": r"h_t = \tanh(x_t W_{ih}^T + b_{ih} + h_{t-1} W_{hh}^T + b_{hh})",
}


@pytest.mark.parametrize("name", DOCUMENTED)
@pytest.mark.parametrize("backend", ["reference", "vendor", "cpu"])
def test_torchs_documentation_is_torchs_module(name, backend):
    layer = gw.Recurrent(gw.parse(DOCUMENTED[name]), 3, 5, 2, bidirectional=True, backend=backend, dtype=torch.float64)
    theirs = getattr(nn, name)(3, 5, 2, bidirectional=True, dtype=torch.float64)
    layer.load_state_dict(theirs.state_dict())
    x = torch.randn(6, 2, 3, dtype=torch.float64)
    assert_close(layer(x)[0], theirs(x)[0], TOLERANCE[torch.float64, backend])
    assert str(layer.backend_for(x)).startswith(backend)


def test_two_biases_begin_with_a_sum_of_one():
    views = gw.Recurrent(gw.parse(DOCUMENTED["LSTM"]), 3, 5).weights()
    assert torch.equal(views["b_if"] + views["b_hf"], torch.ones(5))
    assert not (views["b_ii"] + views["b_hi"]).any()
    views = gw.Recurrent("lstm", 3, 5).weights()
    assert torch.equal(views["b_f_x"] + views["b_f_h"], torch.ones(5))


@pytest.mark.parametrize(
    "change",
    [
        ("f_t \\odot c_{t-1}", "f_t \\odot f_t \\odot c_{t-1}"),
        ("\\odot \\tanh(c_t)", "\\odot c_t"),
        ("+ b_{hg}", "- b_{hg}"),
    ],
)
def test_what_is_nearly_torchs_is_not(change):
    text = DOCUMENTED["LSTM"].replace(*change)
    assert text != DOCUMENTED["LSTM"]
    layer = gw.Recurrent(gw.parse(text), 3, 5, backend="vendor")
    with pytest.raises(ValueError, match="none of torch's LSTM, GRU and RNN"):
        layer.backend_for(torch.zeros(2, 2, 3))


def test_unlike_numbers_are_told_apart():
    """In CPython hash(-1.0) == hash(-2.0)."""
    one, two = (gw.parse(f"h_t = tanh(W x_t + U h_{{t-1}}) ⊙ ({n})").graph for n in ("-1", "-2"))
    assert match(one, one) is not None
    assert match(one, two) is None


def test_a_weight_that_is_not_there_says_what_is():
    lstm = gw.Recurrent("lstm", 3, 4)
    with pytest.raises(KeyError, match=r"b_f is stored in 2 parts: b_f_x \+ b_f_h"):
        lstm.weights()["b_f"]
    with pytest.raises(KeyError, match="there is no weight 'W_k'; did you mean 'W_"):
        lstm.weights()["W_k"]
