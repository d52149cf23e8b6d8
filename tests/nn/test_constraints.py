"""Weights kept within constraints, by the equations' names."""

from __future__ import annotations

import copy
import math
import pickle
import re

import pytest
import torch
from torch import Tensor, nn

import gatewright as gw
from cases import generator
from gatewright import constraints

T, B, I, H = 5, 3, 4, 6


def large(layer: nn.Module) -> None:
    """Weights far outside of anything."""
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(10 * torch.randn(p.shape, generator=generator()))


def rows(layer, name: str) -> list[Tensor]:
    return [
        layer.weights(k, reverse=reverse)[name]
        for k in range(layer.num_layers)
        for reverse in (False, True)[: layer.directions]
    ]


# -- which there are -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rule",
    [
        constraints.between(-0.5, 1),
        constraints.non_negative(),
        constraints.magnitude(0.2, 0.7),
        constraints.max_norm(0.8),
        constraints.indrnn(20, epsilon=0.1),
    ],
    ids=str,
)
@pytest.mark.parametrize("shape", [(4, 3), (5,)])
def test_a_projection_gives_the_nearest(rule, shape):
    """What is projected stays where it is; what is not is further from every allowed point that is tried."""
    w = torch.randn(shape, generator=generator(), dtype=torch.float64)
    found = rule(w)
    torch.testing.assert_close(rule(found), found)
    for seed in range(20):
        other = rule(torch.randn(shape, generator=generator(seed + 1), dtype=torch.float64))
        assert (w - found).norm() <= (w - other).norm() + 1e-12
    assert rule == copy.deepcopy(rule) == pickle.loads(pickle.dumps(rule))


def test_what_each_allows():
    w = 3 * torch.randn(50, 40, generator=generator())
    assert constraints.between(-0.5, 1)(w).aminmax() == (-0.5, 1)
    assert constraints.non_negative()(w).min() == 0 and constraints.non_negative()(w).max() == w.max()
    kept = constraints.magnitude(0.2, 0.7)(w)
    assert kept.abs().min() >= 0.2 and kept.abs().max() <= 0.7 and torch.equal(kept > 0, w > 0)
    assert constraints.max_norm(2.0)(w).norm(dim=1).max() <= 2 + 1e-6
    assert constraints.max_norm(2.0)(w[0]).norm() == pytest.approx(2)
    assert (constraints.max_norm(0.0)(w) == 0).all()
    assert constraints.max_norm(1.0)(torch.full((1, 2), 0.9)).norm() == pytest.approx(1)
    assert torch.equal(constraints.max_norm(1.0)(torch.zeros(2, 2)), torch.zeros(2, 2))


def test_indrnns_bound():
    assert constraints.indrnn_bound(784) == 2 ** (1 / 784)
    assert constraints.indrnn_bound(10, gamma=3.0) ** 10 == pytest.approx(3)
    rule = constraints.indrnn(10, epsilon=0.5)
    assert rule.low**10 == pytest.approx(0.5) and rule.high**10 == pytest.approx(2)
    assert constraints.indrnn(10).low == 0


# -- which a layer keeps -------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_indrnn_keeps_its_bound_through_training(backend):
    layer = gw.Recurrent("indrnn", I, H, 2, bidirectional=True, backend=backend)
    large(layer)
    before = {name: p.detach().clone() for name, p in layer.named_parameters()}
    bound = constraints.indrnn_bound(T)
    kept = gw.constrain(layer, p_h=(-bound, bound))
    for name, p in layer.named_parameters():
        assert torch.equal(p, before[name].clamp(-bound, bound) if name.startswith("p") else before[name])
    optimizer = torch.optim.SGD(layer.parameters(), lr=100.0)
    hook = kept.after(optimizer)
    x = torch.randn(T, B, I, generator=generator(1))

    def step():
        optimizer.zero_grad()
        layer(x)[0].square().sum().backward()
        optimizer.step()
        return max(float(p.detach().abs().max()) for p in rows(layer, "p_h"))

    assert step() <= bound
    same = copy.deepcopy(layer)
    same.backend = "reference"
    torch.testing.assert_close(layer(x)[0], same(x)[0], rtol=1e-4, atol=1e-4)  # the kernels see what was projected
    hook.remove()
    large(layer)
    assert step() > bound
    kept.apply()
    assert max(float(p.detach().abs().max()) for p in rows(layer, "p_h")) <= bound


def test_other_gates_are_left_alone():
    layer = gw.LSTM(I, H, 2, bidirectional=True)
    large(layer)
    before = copy.deepcopy(layer)
    gw.constrain(layer, U_f=constraints.max_norm(1.0), W_i=constraints.non_negative(), b_g_h=lambda b: b / 2)
    for name in layer.weights():
        for found, old in zip(rows(layer, name), rows(before, name), strict=True):
            if name == "U_f":
                assert found.norm(dim=1).max() < 1 + 1e-6
            elif name == "W_i":
                assert torch.equal(found, old.clamp(min=0))
            elif name == "b_g_h":
                assert torch.equal(found, old / 2)
            else:
                assert torch.equal(found, old)


def test_a_model_with_several_layers_and_cells():
    model = nn.ModuleDict(
        {"a": gw.Recurrent("indrnn", I, H), "b": gw.LSTM(H, H), "c": gw.GRUCell(I, H), "d": nn.Linear(2, 2)}
    )
    large(model)
    linear = model["d"].weight.detach().clone()
    kept = gw.constrain(model, p_h=(-1, 1), U_f=(-0.5, 0.5), U_r=(0, 0))
    assert model["a"].weights()["p_h"].abs().max() <= 1
    assert model["b"].weights()["U_f"].abs().max() <= 0.5 < model["b"].weights()["U_i"].abs().max()
    assert (model["c"].weights()["U_r"] == 0).all()
    assert torch.equal(model["d"].weight, linear)
    assert repr(kept).startswith("Constraints(ModuleDict, p_h=between(low=-1.0, high=1.0), U_f=")


def test_each_network_of_an_ensemble_and_each_kernel_of_images():
    ensemble = gw.Ensemble(gw.GRU(I, H, 2), 3)
    images = gw.ConvRecurrent("lstm", I, H, 3, bidirectional=True)
    for layer in (ensemble, images):
        large(layer)
        gw.constrain(layer, **{"U_r" if layer is ensemble else "U_f": constraints.max_norm(0.5)})
    for k in range(2):
        assert ensemble.weights(k)["U_r"].norm(dim=-1).sub(0.5).abs().max() < 1e-6
        assert ensemble.weights(k)["U_z"].norm(dim=-1).min() > 0.5
    for reverse in (False, True):
        assert images.weights(reverse=reverse)["U_f"].flatten(1).norm(dim=1).sub(0.5).abs().max() < 1e-6


def test_it_goes_with_a_copy_of_both():
    layer = gw.Recurrent("indrnn", I, H)
    kept = gw.constrain(layer, p_h=(-1, 1))
    for again, constrained in (copy.deepcopy((layer, kept)), pickle.loads(pickle.dumps((layer, kept)))):
        assert constrained.module is again is not layer
        large(again)
        constrained.apply()
        assert again.weights()["p_h"].abs().max() <= 1
    assert list(layer.state_dict()) == list(gw.Recurrent("indrnn", I, H).state_dict())


def test_after_loading_and_moving_it_still_holds():
    layer = gw.Recurrent("indrnn", I, H)
    kept = gw.constrain(layer, p_h=(-1, 1))
    other = gw.Recurrent("indrnn", I, H)
    large(other)
    layer.load_state_dict(other.state_dict())
    layer.double()
    kept.apply()
    assert layer.weights()["p_h"].abs().max() <= 1


def parametrised() -> nn.Module:
    return nn.utils.parametrizations.weight_norm(gw.LSTM(I, H), "weight_hh_l0")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: gw.constrain(gw.Recurrent("indrnn", I, H), p_g=(-1, 1)), ValueError,
         "constrain: there is no weight 'p_g'; did you mean 'p_h'? (there are W_h, b_h, p_h)"),
        (lambda: gw.constrain(gw.LSTM(I, H), b_f=(-1, 1)), ValueError,
         "constrain: b_f is stored as a sum, b_f_x + b_f_h: constrain those"),
        (lambda: gw.constrain(gw.LSTM(I, H)), ValueError, "constrain: expected a rule for a weight by its name"),
        (lambda: gw.constrain(nn.LSTM(I, H), U_f=(-1, 1)), ValueError,
         "constrain: expected a recurrent layer of ours, got none in a LSTM; gw.replace puts ours in place of torch's"),
        (lambda: gw.constrain("a", U_f=(-1, 1)), TypeError, "constrain: expected a module, got str"),
        (lambda: gw.constrain(gw.LSTM(I, H), U_f=3), TypeError,
         "U_f: expected (low, high) or a function of the weight, got 3"),
        (lambda: gw.constrain(gw.LSTM(I, H), U_f=(1, -1)), ValueError,
         "between: expected two numbers, the lower one first, got (1.0, -1.0)"),
        (lambda: gw.constrain(gw.LSTM(I, H), U_f=lambda u: u[0]), ValueError,
         "U_f: expected a function that returns a weight of shape (6, 6), got shape (6,)"),
        (lambda: gw.constrain(parametrised(), U_f=(-1, 1)), ValueError,
         "constrain: U_f of a ParametrizedLSTM is computed by a parametrisation"),
        (lambda: constraints.max_norm(math.inf), ValueError, "max_norm: expected a finite number from 0, got inf"),
        (lambda: constraints.magnitude(2, 1), ValueError, "magnitude: expected two numbers from 0"),
        (lambda: constraints.indrnn_bound(0), ValueError, "max_lag: expected at least 1, got 0"),
        (lambda: constraints.indrnn(5, epsilon=3.0), ValueError, "epsilon: expected a number from 0 to gamma (2.0)"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_named(call, error, message):
    with pytest.raises(error, match="^" + re.escape(message)):
        call()


def test_another_weight_of_a_parametrised_layer_can_be_constrained():
    layer = parametrised()
    gw.constrain(layer, W_i=(0, 0))
    assert (layer.weights()["W_i"] == 0).all()
