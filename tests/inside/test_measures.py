"""Measures of what a tape holds, on networks whose answer is known."""

import math

import pytest
import torch

import gatewright as gw
from gatewright.nn.by_kernel import _program
from gatewright.nn.lens import ANCHOR


def test_half_lives_of_known_gates():
    layer = gw.LSTM(3, 4, dtype=torch.float64)
    f = torch.tensor([0.5, 0.9, 0.99, 1.0], dtype=torch.float64)
    with gw.clamp(layer, f=f), gw.record(layer) as tape:
        layer(torch.randn(9, 2, 3, dtype=torch.float64), lengths=[9, 4])
    found = gw.inside.memory_horizon(tape)
    expected = [math.log(2) / -math.log(v) if v < 1 else math.inf for v in f.tolist()]
    assert found.tolist() == pytest.approx(expected)
    # what the unit stored falls to a half after as many steps
    assert 0.9 ** expected[1] == pytest.approx(0.5)


def test_a_grus_horizon_is_of_what_keeps_and_padding_does_not_count():
    layer = gw.GRU(3, 2, dtype=torch.float64)
    with gw.clamp(layer, z=torch.tensor([0.9, 0.5], dtype=torch.float64)), gw.record(layer) as tape:
        layer(torch.randn(9, 3, 3, dtype=torch.float64), lengths=[0, 2, 9])
    found = gw.inside.memory_horizon(tape)
    assert found.tolist() == pytest.approx([math.log(2) / -math.log(0.9), 1.0])
    both = gw.Recurrent("lstm", 3, 2)
    with gw.record(both, ["h"]) as tape:
        both(torch.randn(9, 3, 3))
    with pytest.raises(ValueError, match="the gate 'f' that keeps c was not recorded"):
        gw.inside.memory_horizon(tape)
    plain = gw.RNN(3, 2)
    with gw.record(plain) as tape:
        plain(torch.randn(9, 3, 3))
    with pytest.raises(ValueError, match="no gate of rnn keeps a state"):
        gw.inside.memory_horizon(tape)


def test_saturation_counts_valid_steps_alone():
    layer = gw.LSTM(3, 4, batch_first=True)
    values = torch.full((2, 5, 4), 0.5)
    values[0, 0] = torch.tensor([0.05, 0.95, 0.05, 0.5])
    values[1, :2, 0] = 0.01
    with gw.clamp(layer, f=values), gw.record(layer) as tape:
        layer(torch.randn(2, 5, 3), lengths=[5, 2])
    found = gw.inside.saturation(tape, "f")
    assert found.low.tolist() == pytest.approx([3 / 7, 0, 1 / 7, 0])
    assert found.high.tolist() == pytest.approx([0, 1 / 7, 0, 0])
    assert found.stuck.tolist() == [False, False, False, True]
    assert "units stuck" in str(found)


def test_tanh_and_unbounded_ranges():
    layer = gw.LSTM(3, 2)
    with gw.clamp(layer, g=torch.tensor([-0.95, 0.95])), gw.record(layer) as tape:
        layer(torch.randn(5, 2, 3))
    assert gw.inside.saturation(tape, "g").low.tolist() == [1, 0]
    assert gw.inside.saturation(tape, "g").high.tolist() == [0, 1]
    assert gw.inside.saturation(tape, "c").low.shape == (2,)


def test_gradient_flow_is_the_mean_norm_of_valid_sequences():
    layer = gw.LSTM(3, 4, dtype=torch.float64).eval()
    x = torch.randn(6, 3, 3, dtype=torch.float64)
    with gw.record(layer, grad=["h"]) as tape:
        _y, (h, _) = layer(x, lengths=[6, 2, 4])
        h.square().sum().backward()
    flow, g = gw.inside.gradient_flow(tape, "h"), tape.grad["h"]
    assert flow[5].item() == pytest.approx(g[5, 0].norm().item())
    assert flow[3].item() == pytest.approx((g[3, 0].norm() + g[3, 2].norm()).item() / 2)
    assert flow[0].item() == pytest.approx(g[0].norm(dim=-1).mean().item())
    with pytest.raises(ValueError, match="a value with a recorded adjoint: h"):
        gw.inside.gradient_flow(tape, "c")


def test_backward_of_a_tape_touches_no_parameter():
    layer = gw.LSTM(3, 4)
    with gw.record(layer, grad=["h"]) as tape:
        y, _ = layer(torch.randn(6, 3, 3))
    tape.backward(y.sum())
    assert all(p.grad is None for p in layer.parameters())
    assert tape.grad["h"].shape == (6, 3, 4)
    assert ANCHOR.grad is None


@pytest.mark.parametrize("training", [True, False])
def test_sensitivity_methods(training):
    layer = gw.LSTM(3, 8, dtype=torch.float64).train(training)
    x = torch.randn(10, 2, 3, dtype=torch.float64)

    def target(found):
        return found[0][-1].sum(-1)  # (B,)

    gradient = gw.inside.sensitivity(layer, x, target)
    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(target(layer(leaf)).sum(), leaf)
    torch.testing.assert_close(gradient, expected.norm(dim=-1))
    signed = gw.inside.sensitivity(layer, x, target, method="gradient_x_input")
    torch.testing.assert_close(signed, (expected * x).sum(-1))
    whole = gw.inside.sensitivity(layer, x, target, method="integrated", steps=200)
    with torch.no_grad():
        difference = target(layer(x)) - target(layer(torch.zeros_like(x)))
    torch.testing.assert_close(whole.sum(0), difference, atol=1e-4, rtol=1e-3)


def test_sensitivity_of_tokens():
    class Tagger(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.lstm = torch.nn.Embedding(9, 3), gw.LSTM(3, 5)

        def forward(self, tokens):
            return self.lstm(self.embed(tokens))[0]

    model, tokens = Tagger(), torch.randint(9, (7, 2))
    found = gw.inside.sensitivity(model, tokens, at=model.embed)
    assert found.shape == (7, 2)
    assert float(found.min()) > 0
    with pytest.raises(ValueError, match=r"at=model\.embedding explains tokens"):
        gw.inside.sensitivity(model, tokens)
    with pytest.raises(ValueError, match="target: expected a number that depends on the input"):
        gw.inside.sensitivity(model, tokens, lambda _: torch.zeros(()), at=model.embed)
    with pytest.raises(ValueError, match="method: expected 'gradient'"):
        gw.inside.sensitivity(model, tokens, method="magic", at=model.embed)


def test_the_gate_that_does_the_work_is_found():
    """A network that reads its input gate only: all else is constant, so holding it at its mean changes nothing."""
    layer = gw.LSTM(2, 4, dtype=torch.float64)
    with torch.no_grad():
        for name, weight in layer.weights().items():
            weight.zero_()
            if name == "W_i":
                weight.copy_(torch.randn(4, 2))
            if name == "b_g_x":
                weight.fill_(1.0)
    x = torch.randn(20, 3, 2, dtype=torch.float64)
    y, _ = layer(x)

    def error(model):
        return (model(x)[0] - y).square().mean()

    found = gw.inside.gate_effects(layer, error)
    assert found[0].name == "i"
    assert found[0].change > 1e-4
    assert all(abs(effect.change) < 1e-12 for effect in found[1:])
    assert layer.lenses == ()


def test_gates_are_held_by_one_program():
    layer, x = gw.Recurrent("cifg", 3, 6), torch.randn(9, 2, 3)
    names = ["f", "g", "o"]
    with gw.record(layer, names):
        layer(x)
    made = _program.cache_info().misses
    found = gw.inside.gate_effects(layer, lambda m: m(x)[0].sum(), names, to="closed")
    assert _program.cache_info().misses == made + 1
    assert sorted(effect.name for effect in found) == names
    for effect in found:
        with torch.no_grad(), gw.clamp(layer, **{effect.name: 0.0}):
            assert effect.after == pytest.approx(float(layer(x)[0].sum()), abs=1e-5)


def test_effects_of_what_is_not_there():
    layer, x = gw.LSTM(3, 5), torch.randn(9, 2, 3)
    with pytest.raises(ValueError, match="names: no layer of the model has a value 'q'"):
        gw.inside.gate_effects(layer, lambda m: m(x)[0].sum(), ["q"])
    with pytest.raises(ValueError, match="module: expected the name of a recurrent layer: ''"):
        gw.inside.unit_effects(layer, lambda m: m(x)[0].sum(), [0], module="lstm")


def test_effects_of_units_and_of_models_with_several_layers():
    class Two(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = gw.LSTM(2, 4), gw.GRU(4, 3)

        def forward(self, x):
            return self.second(self.first(x)[0])[0]

    model, x = Two(), torch.randn(9, 2, 2)
    with torch.no_grad():
        model.second.weights()["W_n"][:, 1] = model.second.weights()["W_r"][:, 1] = 0
        model.second.weights()["W_z"][:, 1] = 0  # nobody reads unit 1 of the first layer, but it itself
        model.first.weight_hh_l0[:, 1] = 0
    found = gw.inside.unit_effects(model, lambda m: m(x).square().mean(), range(4), module="first")
    assert found[-1].name == "unit 1"
    assert found[-1].change == 0
    gates = gw.inside.gate_effects(model, lambda m: m(x).square().mean(), to="open")
    assert {(e.module, e.name) for e in gates} == {("first", n) for n in "ifgo"} | {("second", n) for n in "rzn"}


def test_compare():
    x, lstm = torch.randn(30, 2, 3), gw.LSTM(3, 8)
    gw.init.forget_bias(lstm, 5.0)
    found = gw.inside.compare({"LSTM": lstm, "RNN": gw.RNN(3, 8)}, x, lambda found: found[0][-1].sum())
    (one,), (rnn,) = found["LSTM"], found["RNN"]
    assert one.horizon.shape == (8,)
    assert rnn.horizon is None
    assert set(one.gates) == {"i", "f", "o"}
    assert one.flow[0] > rnn.flow[0]


def test_warnings_of_gradients():
    layer = gw.RNN(1, 4, dtype=torch.float64)
    with torch.no_grad():
        layer.weight_hh_l0.copy_(3 * torch.eye(4))
        layer.weight_ih_l0.fill_(1e-30)
        layer.bias_ih_l0.zero_()
        layer.bias_hh_l0.zero_()
    x = torch.zeros(20, 1, 1, dtype=torch.float64)
    with gw.record(layer, grad=True) as tape:
        layer(x)[0][-1].sum().backward()
    assert "gradients explode: |∂loss/∂h| grows" in str(gw.inside.warnings(tape))
    with torch.no_grad():
        layer.weight_hh_l0.copy_(0.3 * torch.eye(4))
    with gw.record(layer, grad=True) as tape:
        layer(x)[0][-1].sum().backward()
    found = gw.inside.warnings(tape)
    assert "gradients vanish" in str(found)
    assert "units of h are dead" in str(found)
    healthy = gw.LSTM(3, 8)
    with gw.record(healthy, grad=True) as tape:
        healthy(torch.randn(20, 2, 3))[0].sum().backward()
    assert not gw.inside.warnings(tape)
    assert str(gw.inside.warnings(tape)) == "nothing stands out"
