"""The first NaN or infinity of a call is named with its place and what it came from."""

from __future__ import annotations

import re
from typing import cast

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence

import gatewright as gw
from cases import case_for, generator, sequence_inputs

T, B, I, H = 6, 3, 4, 5
NAN, INF = float("nan"), float("inf")
BACKENDS = ["cpu", "reference"]


@gw.cell
def growing(x, h, c):
    """Its exponential overflows where x is large."""
    i = gw.exp(gw.linear(x))
    c = c + i
    h = gw.tanh(c) * gw.sigmoid(gw.affine(x, h))
    return h, c


@gw.cell
def choosing(x, h):
    """Its logarithm of negative numbers is never chosen, and of the others it is."""
    a = gw.linear(x)
    return gw.where(a < 0, gw.tanh(a + gw.linear(h)), gw.log(a + gw.log(a)), name="h")


def sample(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(seed))


def said(layer: nn.Module, *args, **kwargs) -> str:
    """The text about one call; empty where there is nothing to say."""
    try:
        with gw.debug.check_finite(layer):
            layer(*args, **kwargs)
    except FloatingPointError as error:
        return str(error)
    return ""


def growing_layer(**options) -> gw.Recurrent:
    """i = exp(x₀ + …) for each unit, so that x₀ says when it overflows."""
    layer = gw.Recurrent(growing, I, H, **options)
    with torch.no_grad():
        for k in range(layer.num_layers):
            for reverse in (False, True)[: layer.directions]:
                weight = layer.weights(k, reverse)["W_i"]
                weight.zero_()[:, 0] = 1
    return layer


# -- where -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_equation_is_named_with_its_operands(backend):
    layer, x = growing_layer(backend=backend), sample(T, B, I)
    x[3, 2, 0] = 100.0
    x[4, 1, 0] = 200.0
    assert said(layer, x) == (
        f"check_finite: inf in layer 0 of {layer}, at step 3 of 6, sequence 2:\n"
        "  i_t = exp(W_i x_t)\n"
        "  exp(W_i x_t) is inf at unit 0, with W_i x_t = 100"
    )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("batch_first", [False, True])
def test_the_reverse_direction_begins_at_each_sequences_end(backend, batch_first):
    layer = growing_layer(backend=backend, bidirectional=True, batch_first=batch_first)
    with torch.no_grad():
        layer.weights()["W_i"].zero_()  # the other direction stays finite
    x = sample(T, B, I)
    x[1, 0, 0] = x[4, 0, 0] = 100.0
    x[2, 1, 0] = 100.0  # of its 3 steps the first one backwards
    x[5, 2, 0] = 100.0  # behind its end
    text = said(layer, x.transpose(0, 1) if batch_first else x, lengths=[6, 3, 5])
    assert f"inf in layer 0, reverse direction of {layer}, at step 2 of 3, sequence 1:\n  i_t = exp" in text


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_layer_further_up(backend):
    layer, x = gw.Recurrent(growing, I, H, 3, backend=backend), sample(T, B, I)
    with torch.no_grad():
        for k in range(3):
            layer.weights(k)["W_i"].zero_()
        layer.weights(2)["W_i"].fill_(1e5)
    found = said(layer, x.abs())
    assert re.search(r"inf in layer 2 of .*, at step \d of 6, sequence \d:\n  i_t = exp", found)


def test_a_layer_of_a_model_is_called_by_its_name():
    model = nn.ModuleDict({"encoder": gw.LSTM(I, H), "decoder": growing_layer()})
    deep = gw.Deep([gw.GRU(I, I), growing_layer()])
    x = torch.full((T, B, I), NAN)
    with gw.debug.check_finite(model), pytest.raises(FloatingPointError, match="'decoder' of the model, at step 0"):
        model["decoder"](x)
    assert "'layers.0' of the model" in said(deep, x)


def test_packed_sequences():
    layer = growing_layer()
    parts = [sample(n, I) for n in (2, 5, 4)]
    parts[1][4, 0] = 100.0
    assert "at step 4 of 5, sequence 1:\n  i_t = exp" in said(layer, pack_sequence(parts, enforce_sorted=False))


def test_one_sequence_and_every_state():
    layer, x = growing_layer(), sample(T, I)
    x[2, 0] = 100.0
    assert "at step 2 of 6, sequence 0:" in said(layer, x, states="all")


# -- what from -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_input(backend):
    layer, x = gw.Recurrent("lstm", I, H, backend=backend), sample(T, B, I)
    x[4, 1, 2] = -INF
    assert said(layer, x) == "" or "the input x_t is -inf at feature 2" in said(layer, x)  # σ(±∞) is finite
    x[4, 1, 2] = NAN
    assert said(layer, x).endswith("at step 4 of 6, sequence 1:\n  the input x_t is nan at feature 2")


def test_an_input_of_before():
    layer, x = gw.Recurrent("qrnn", I, H), sample(T, B, I)
    x[0, 1, 3] = NAN
    assert said(layer, x).endswith("at step 0 of 6, sequence 1:\n  the input x_t is nan at feature 3")


def test_a_state_that_was_given():
    layer, x = gw.GRU(I, H), sample(T, B, I)
    h = torch.zeros(1, B, H)
    h[0, 1, 3] = NAN
    assert said(layer, x, h).endswith("sequence 1:\n  the state h_{t-1} that it begins with is nan at unit 3")
    assert f"nan in the final state h of {layer}, first at [0, 1, 3]" in said(layer, x, h, lengths=[T, 0, 2])
    x[3, 0, 1] = NAN
    assert "at step 3 of 6, sequence 0:" in said(layer, x, h, lengths=[T, 0, 2]), "a sequence without steps has none"
    x[3, 0, 1] = 0.0
    reset = torch.zeros(T, B, dtype=torch.bool)
    reset[0] = True
    assert said(layer, x, h, reset=reset) == ""


def test_weights_are_named_first():
    layer, x = gw.Recurrent("lstm", I, H, 2, bidirectional=True), sample(T, B, I)
    x[0, 0, 0] = NAN
    with torch.no_grad():
        layer.weights(1, True)["U_f"][2, 3] = NAN
        layer.weights(0)["W_g"][:2, 1] = INF
    assert said(layer, x) == (
        f"check_finite: weights of {layer} are not finite:\n"
        "  W_g of layer 0 is inf at [0, 1] (2 of 20 elements)\n"
        "  U_f of layer 1, reverse direction is nan at [2, 3] (1 of 25 elements)"
    )


def test_infinities_that_meet_are_followed_back():
    layer = gw.Recurrent(gw.parse("i_t = exp(W_i x_t)\nh_t = tanh(U_h h_{t-1}) ⊙ (i_t - i_t)"), 1, 1)
    with torch.no_grad():
        layer.weights()["W_i"].fill_(1.0)
    found = said(layer, torch.tensor([1.0, 99.0]).reshape(2, 1, 1))
    assert "inf in layer 0" in found and found.endswith("exp(W_i x_t) is inf at unit 0, with W_i x_t = 99")


def test_what_is_not_chosen_is_no_origin():
    layer = gw.Recurrent(choosing, 1, 1)
    with torch.no_grad():
        for weight in layer.weights().values():
            weight.fill_(1.0)
    x = torch.tensor([-1.0, -2.0, 3.0, 0.5]).reshape(4, 1, 1)
    found = said(layer, x)
    assert "nan in" in found and "at step 3 of 4" in found
    assert found.endswith("log(a_t + log(a_t)) is nan at unit 0, with a_t + log(a_t) = -0.1931")
    both = gw.Recurrent(gw.parse("a_t = W_a x_t\nh_t = where(a_t > 0, log(a_t), exp(-200 ⊙ a_t)) + U_h h_{t-1}"), 1, 1)
    with torch.no_grad():
        both.weights()["W_a"].fill_(1.0)
    assert "exp(" in said(both, -torch.ones(1, 1, 1)).splitlines()[-1].split(" is ")[0]


# -- what is none ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", gw.cells)
def test_a_sound_call_of_any_cell_is_silent(name):
    case = case_for(gw.cells[name].graph)
    layer = case.layer(gw.cells[name], bidirectional=True, dtype=torch.float64)
    assert said(layer, sequence_inputs(case, T, B, generator()), lengths=[0, T, 2]) == ""


def test_an_infinity_with_which_a_state_begins_is_meant():
    layer, x = gw.Recurrent("slstm", I, H), sample(T, B, I)
    _, state = layer(x, lengths=[0, 0, 0])
    assert any(s.isinf().any() for s in state)
    assert said(layer, x, state, lengths=[0, T, 2]) == ""
    x[1, 2, 0] = NAN
    assert said(layer, x, state, lengths=[0, T, 2]).endswith("sequence 2:\n  the input x_t is nan at feature 0")


# -- how -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_was_drawn_is_drawn_again(backend):
    options = {"recurrent_dropout": 0.3, "zoneout": 0.9, "weight_drop": 0.2, "dropout": 0.4, "num_layers": 2}
    layer, x = growing_layer(backend=backend, **options), sample(T, B, I)
    x[2:, 1, 0] = 100.0
    for _ in range(8):
        before = torch.get_rng_state()
        found = said(layer, x)
        after = torch.get_rng_state()
        torch.set_rng_state(before)
        _, (_, c) = layer(x, states="all")
        assert torch.equal(torch.get_rng_state(), after), "a look changes no random number"
        bad = (~c[0].isfinite()).any(-1)
        if not bad.any():
            assert found == ""
            continue
        step = int(bad.any(-1).nonzero()[0])
        assert f"at step {step} of 6, sequence 1:\n  " in found and "exp(W_i x_t) is inf" in found


def test_a_warning_leaves_the_results():
    layer, x = growing_layer(), torch.full((T, B, I), 100.0)
    with gw.debug.check_finite(layer, action="warn"), pytest.warns(RuntimeWarning, match="i_t = exp"):
        y, (_, c) = layer(x)
    assert y.shape == (T, B, H) and c.isinf().all()


def test_it_stays_until_it_is_removed():
    layer, x = gw.GRU(I, H), torch.full((T, B, I), NAN)
    check = gw.debug.check_finite(layer)
    for _ in range(2):
        with pytest.raises(FloatingPointError):
            layer(x)
    check.remove()
    check.remove()
    layer(x)
    with pytest.raises(FloatingPointError), gw.debug.check_finite(layer):
        layer(x)
    layer(x)
    assert not layer._forward_hooks and not layer._forward_pre_hooks


@torch.no_grad()
def test_single_steps_are_looked_at_too():
    layer = gw.GRU(I, H)
    _, h = layer.step(sample(B, I))
    _, h = layer.step(sample(B, I), h)
    with gw.debug.check_finite(layer), pytest.raises(FloatingPointError, match="at step 0 of 1, sequence 0"):
        layer.step(torch.full((B, I), NAN), h)
    layer.step(torch.full((B, I), NAN), h)


def test_other_layers_say_where():
    ensemble, images = gw.Ensemble(gw.LSTM(I, H), 2), gw.ConvRecurrent("gru", 2, 3, kernel_size=3)
    x = sample(T, B, I)
    x[4, 1, 0] = NAN
    assert f"nan in the output of {ensemble}, first at [0, 4, 1, 0] of shape (2, 6, 3, 5)" in said(ensemble, x)
    frames = sample(3, 2, 2, 4, 4)
    frames[1, 1, 0, 2, 2] = NAN
    assert "nan in the output of ConvRecurrent" in said(images, frames)


def test_inside_a_transform_nothing_is_looked_at():
    layer = gw.GRU(I, H)
    with gw.debug.check_finite(layer):
        y = torch.vmap(lambda x: layer(x)[0])(torch.full((2, T, B, I), NAN))
    assert y.isnan().all()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: gw.debug.check_finite(cast("nn.Module", "lstm")), TypeError, "model: expected an nn.Module, got str"),
        (
            lambda: gw.debug.check_finite(gw.GRU(I, H), action="print"),
            ValueError,
            "action: expected 'raise' or 'warn', got 'print'",
        ),
        (
            lambda: gw.debug.check_finite(nn.LSTM(I, H)),
            ValueError,
            "model: expected a module with recurrent layers of gatewright, got LSTM; gw.replace makes some of torch's",
        ),
    ],
)
def test_wrong_arguments(make, error, message):
    with pytest.raises(error, match=re.escape(message)):
        make()
