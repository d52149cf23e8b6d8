"""Calls that are like the one before are looked at less: whatever may change between two of them must still be seen."""

import copy
import pickle
import threading

import pytest
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.utils import parametrize

import gatewright as gw

T, B, I, H = 5, 2, 3, 4


def pair(**options):
    """A layer by the kernels that has been called twice, the same by the reference, and an input."""
    layer = gw.LSTM(I, H, backend="cpu", dtype=torch.float64, **options)
    slow = gw.LSTM(I, H, backend="reference", dtype=torch.float64, **options)
    slow.load_state_dict(layer.state_dict())
    x = torch.randn(T, B, I, dtype=torch.float64)
    for _ in range(2):
        layer(x)
    return layer, slow, x


def assert_same(layer, slow, *call, **options):
    for given in (layer(*call, **options), layer(*call, **options)):
        (y, states), (expected, finals) = given, slow(*call, **options)
        torch.testing.assert_close((y, *states), (expected, *finals))


@torch.no_grad()
def in_place(layer):
    layer.weight_hh_l0.mul_(2)


def through_data(layer):
    layer.weight_hh_l0.data = layer.weight_hh_l0.data * 2


def a_new_parameter(layer):
    layer.weight_hh_l0 = nn.Parameter(layer.weight_hh_l0.detach() * 2)


def loaded(layer):
    layer.load_state_dict({name: w * 2 for name, w in layer.state_dict().items()})


class _Twice(nn.Module):
    def forward(self, w):
        return 2 * w


def parametrised(layer):
    parametrize.register_parametrization(layer, "weight_hh_l0", _Twice())


def transposed_in_memory(layer):
    layer.weight_hh_l0.data = layer.weight_hh_l0.data.T.contiguous().T * 2


CHANGES = [in_place, through_data, a_new_parameter, loaded, parametrised, transposed_in_memory]


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize(
    "change", [in_place, through_data, a_new_parameter, loaded, parametrised, transposed_in_memory]
)
def test_changed_weights(change, grad):
    layer, slow, x = pair()
    change(layer)
    change(slow)
    with torch.set_grad_enabled(grad):
        assert_same(layer, slow, x)


def test_functional_call():
    layer, slow, x = pair()
    weights = {name: w.detach() + 1 for name, w in layer.named_parameters()}
    found, expected = (torch.func.functional_call(net, weights, (x,))[0] for net in (layer, slow))
    torch.testing.assert_close(found, expected)
    assert_same(layer, slow, x)


@pytest.mark.parametrize("shape", [(T, B + 1, I), (T + 2, B, I), (1, 1, I), (T, 0, I), (T, I)])
def test_another_shape(shape):
    layer, slow, _ = pair()
    assert_same(layer, slow, torch.randn(shape, dtype=torch.float64))


def test_steps_and_sequences_are_not_mixed_up():
    layer, slow, x = pair(batch_first=True)
    assert_same(layer, slow, x)
    assert_same(layer, slow, x.transpose(0, 1))


def test_another_dtype():
    layer, _, x = pair()
    expected = layer(x)[0]
    with pytest.raises(ValueError, match=r"input: expected dtype torch.float64, .* got torch.float32"):
        layer(x.float())
    layer.float()
    with pytest.raises(ValueError, match=r"input: expected dtype torch.float32"):
        layer(x)
    y = layer(x.float())[0]
    assert y.dtype == torch.float32
    torch.testing.assert_close(y.double(), expected, rtol=1e-5, atol=1e-5)


def test_wrong_arguments_are_still_told():
    layer, _, x = pair()
    with pytest.raises(ValueError, match="input: expected 3 features"):
        layer(torch.randn(T, B, I + 1, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"lengths: expected at most the input's 5 steps"):
        layer(x, lengths=[T + 1, 1])
    with pytest.raises(ValueError, match="reset: expected shape"):
        layer(x, reset=torch.zeros(T, B + 1, dtype=torch.bool))
    with pytest.raises(ValueError, match="states: expected None or 'all'"):
        layer(x, states="some")
    with pytest.raises(ValueError, match="state h: expected shape"):
        layer(x, (torch.zeros(1, B, H + 1, dtype=torch.float64),) * 2)


def test_another_backend():
    layer, slow, x = pair()
    layer.backend = "reference"
    assert layer.backend_for(x).name == "reference"
    assert_same(layer, slow, x)


@pytest.mark.parametrize("more", ["lengths", "reset", "states", "hx"])
def test_further_arguments(more):
    layer, slow, x = pair()
    state = tuple(torch.randn(1, B, H, dtype=torch.float64) for _ in range(2))
    given = {"lengths": [2, T], "reset": torch.rand(T, B) < 0.5, "states": "all", "hx": state}
    assert_same(layer, slow, x, **{more: given[more]})
    assert_same(layer, slow, x)


def test_a_state_that_was_returned_may_be_written_to():
    layer, slow, _ = pair()
    empty = torch.randn(T, B, I, dtype=torch.float64)
    for _ in range(2):
        with torch.no_grad():
            y, states = layer(empty, lengths=[0, 0])  # the states that it began with
            for t in (y, *states):
                t.fill_(7.0)
    assert_same(layer, slow, empty)


def test_from_inference_mode_to_training():
    layer, slow, x = pair()
    fresh = copy.deepcopy(layer)
    with torch.inference_mode():
        fresh(x)
    found = torch.autograd.grad(fresh(x)[0].sin().sum(), list(fresh.parameters()))
    expected = torch.autograd.grad(slow(x)[0].sin().sum(), list(slow.parameters()))
    torch.testing.assert_close(found, expected)


def test_gradients_and_their_gradients():
    def twice(net, x):
        x = x.clone().requires_grad_()
        first = torch.autograd.grad(net(x)[0].sin().sum(), [x, *net.parameters()], create_graph=True)
        return first + torch.autograd.grad(
            torch.cat([g.flatten() for g in first]).square().sum(), [x, *net.parameters()]
        )

    layer, slow, x = pair()
    torch.testing.assert_close(twice(layer, x), twice(slow, x))


def test_many_cotangents_at_once():
    layer, slow, x = pair()
    along = torch.randn(3, T, B, H, dtype=torch.float64)
    found, expected = (
        torch.autograd.grad(net(x)[0], list(net.parameters()), along, is_grads_batched=True) for net in (layer, slow)
    )
    torch.testing.assert_close(found, expected)


def test_transforms():
    layer, slow, x = pair()
    many = torch.randn(3, T, B, I, dtype=torch.float64)
    assert_close = torch.testing.assert_close
    assert_close(torch.func.vmap(lambda x: layer(x)[0])(many), torch.func.vmap(lambda x: slow(x)[0])(many))
    found, expected = (torch.func.grad(lambda x, net=net: net(x)[0].sin().sum())(x) for net in (layer, slow))
    assert_close(found, expected)


def test_autocast():
    layer = gw.LSTM(I, H, backend="cpu")
    x = torch.randn(T, B, I)
    plain = layer(x)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(x)[0]
    assert y.dtype == torch.bfloat16 and plain.dtype == layer(x)[0].dtype == torch.float32


def test_a_tracer_sees_the_operator():
    layer, _, x = pair()
    graph = make_fx(lambda x: layer(x)[0])(x).code
    assert "cpu_forward" in graph


def test_copies_have_states_of_their_own():
    layer, slow, x = pair()
    assert_same(copy.deepcopy(layer), slow, x)
    assert_same(pickle.loads(pickle.dumps(layer)), slow, x)


def test_learned_states_are_never_constants():
    layer, slow, x = pair(learned_state=True)
    for net in (layer, slow):
        nn.init.constant_(net.get_parameter("h_0"), 0.5)
    assert_same(layer, slow, x)
    layer(x)[0].sum().backward()
    grad = layer.get_parameter("h_0").grad
    assert grad is not None and grad.abs().sum() > 0


def test_threads():
    layer, slow, _ = pair()
    inputs = [torch.randn(T, b, I, dtype=torch.float64) for b in (1, 2, 3, 1)]
    expected = [slow(x)[0] for x in inputs]
    wrong = []

    def run(x, y):
        for _ in range(50):
            if not torch.allclose(layer(x)[0], y):
                wrong.append(len(x))

    threads = [threading.Thread(target=run, args=each) for each in zip(inputs, expected, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("lengths", [[3, 5], [5, 3], [4, 4], [0, 2], [1, 0]])
def test_nothing_that_was_not_written_is_read(lengths):
    """Behind the ends all is 0, though only the steps that some sequence lacks are set to it."""
    layer, slow, x = pair(bidirectional=True)
    torch.use_deterministic_algorithms(True)  # new memory is NaN then
    try:
        (y, states), (expected, finals) = layer(x.requires_grad_(), lengths=lengths), slow(x, lengths=lengths)
        found = torch.autograd.grad(y.sin().sum(), [x, *layer.parameters()])
    finally:
        torch.use_deterministic_algorithms(False)
    torch.testing.assert_close((y, *states), (expected, *finals))
    torch.testing.assert_close(found, torch.autograd.grad(expected.sin().sum(), [x, *slow.parameters()]))
