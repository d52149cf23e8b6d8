"""torch.func, second derivatives, forward mode and export, without a warning."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import forward_ad
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, stack_module_state, vjp, vmap

import gatewright as gw
from cases import case_for, generator, sequence_inputs
from tolerances import assert_close

# torch's own first use of forward mode compiles decompositions with what torch itself has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script.* is deprecated:DeprecationWarning")

T, B, I, H = 3, 2, 3, 4
LAYERS = {"lstm": {}, "gru": {"bidirectional": True}, "peephole_lstm": {"num_layers": 2}, "slstm": {}, "qrnn": {}}


def made(name: str, **options) -> gw.Recurrent:
    return gw.Recurrent(name, I, H, dtype=torch.float64, **(LAYERS[name] | options))


def sample(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def loss_of(layer: torch.nn.Module, parameters, x: torch.Tensor, **kwargs) -> torch.Tensor:
    y, final = functional_call(layer, parameters, (x,), kwargs)
    final = final if isinstance(final, tuple) else (final,)
    return y.pow(2).sum() + sum(s.sin().sum() for s in final)


def by_autograd(layer: torch.nn.Module, x: torch.Tensor, **kwargs) -> dict[str, torch.Tensor]:
    parameters = {name: p.detach().clone().requires_grad_() for name, p in layer.named_parameters()}
    loss = loss_of(layer, parameters, x, **kwargs)
    return dict(zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True))


# -- derivatives of derivatives ------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", gw.cells)
def test_every_cell_is_differentiable_twice(name):
    """Against finite differences, in inputs, states and weights, with a length and a reset."""
    case = case_for(gw.cells[name].graph, 2, 2, other=2)
    layer = case.layer(gw.cells[name], backend="reference", dtype=torch.float64)
    g = generator(11)
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(torch.randn(p.shape, generator=g, dtype=p.dtype) * 0.5)
    x = sequence_inputs(case, T, B, g)
    inputs = x if isinstance(x, tuple) else (x,)
    states = tuple(sample(1, B, width, seed=i) for i, width in enumerate(layer.state_sizes.values()))
    names = [n for n, _ in layer.named_parameters()]
    reset = torch.tensor([[False, False], [True, False], [False, False]])

    def run(*leaves):
        weights = dict(zip(names, leaves[len(inputs) + len(states) :], strict=True))
        began = leaves[len(inputs) : len(inputs) + len(states)]
        given = leaves[: len(inputs)]
        y, final = functional_call(
            layer,
            weights,
            (given if len(given) > 1 else given[0], began if len(began) > 1 else began[0]),
            {"lengths": torch.tensor([3, 2]), "reset": reset},
        )
        return y, *(final if isinstance(final, tuple) else (final,))

    leaves = [v.detach().clone().requires_grad_() for v in (*inputs, *states, *layer.parameters())]
    assert torch.autograd.gradcheck(run, leaves, fast_mode=True)
    assert torch.autograd.gradgradcheck(run, leaves, fast_mode=True)


@pytest.mark.parametrize("name", ["lstm", "mgu"])
def test_the_whole_second_derivative_of_a_tiny_cell(name):
    layer = gw.Recurrent(name, 2, 2, backend="reference", dtype=torch.float64)
    leaves = [sample(2, 1, 2).requires_grad_(), *layer.parameters()]
    names = [n for n, _ in layer.named_parameters()]

    def run(x, *weights):
        return functional_call(layer, dict(zip(names, weights, strict=True)), (x,))[0]

    assert torch.autograd.gradgradcheck(run, leaves)


@pytest.mark.parametrize("name", LAYERS)
def test_jacobians_agree(name):
    layer, x = made(name), sample(T, 1, I)
    parameters = dict(layer.named_parameters())

    def run(x):
        return functional_call(layer, parameters, (x,))[0]

    backward, forward = jacrev(run)(x), jacfwd(run)(x)
    assert_close(backward, torch.autograd.functional.jacobian(run, x), 1e-10)
    assert_close(forward, backward, 1e-10)
    curved = hessian(lambda x: run(x).pow(2).sum())(x).reshape(T * I, T * I)
    assert_close(curved, curved.T, 1e-10)


@pytest.mark.parametrize("name", LAYERS)
def test_forward_mode(name):
    layer, x, along = made(name), sample(T, B, I), sample(T, B, I, seed=1)
    parameters = dict(layer.named_parameters())

    def run(x):
        return functional_call(layer, parameters, (x,))[0]

    y, tangent = jvp(run, (x,), (along,))
    assert_close(y, layer(x)[0], 1e-10)
    _, pull = vjp(run, x)
    across = sample(*y.shape, seed=2)
    assert_close((tangent * across).sum(), (pull(across)[0] * along).sum(), 1e-10, "⟨J v, u⟩ = ⟨v, Jᵀ u⟩")
    with forward_ad.dual_level():
        given = forward_ad.make_dual(x, along)
        assert str(layer.backend_for(given)) == "reference: forward-mode derivatives go through the reference"
        assert_close(forward_ad.unpack_dual(layer(given)[0]).tangent, tangent, 1e-10)


# -- torch.func ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LAYERS)
def test_grad_of_a_functional_call(name):
    layer, x = made(name), sample(T, B, I)
    said = []

    def loss(parameters, x):
        said.append(str(layer.backend_for(x)))
        return loss_of(layer, parameters, x)

    found = grad(loss)(dict(layer.named_parameters()), x)
    for key, expected in by_autograd(layer, x).items():
        assert_close(found[key], expected, 1e-10, key)
    assert said == ["cpu: kernels are compiled from the equations"]


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_of_each_sample(name):
    layer, batch = made(name), sample(5, T, I)
    parameters = dict(layer.named_parameters())
    lengths = torch.tensor([[3], [1], [2], [0], [3]])

    def loss(parameters, x, length):
        return loss_of(layer, parameters, x, lengths=length)

    found = vmap(grad(loss), in_dims=(None, 0, 0))(parameters, batch, lengths)
    for i in range(5):
        for key, expected in by_autograd(layer, batch[i], lengths=lengths[i]).items():
            assert_close(found[key][i], expected, 1e-10, f"sample {i}, {key}")


@pytest.mark.parametrize("name", LAYERS)
def test_vmap_over_inputs_lengths_and_resets(name):
    layer, batch = made(name), sample(4, T, B, I)
    lengths = torch.tensor([[3, 0], [1, 2], [2, 2], [3, 1]])
    resets = torch.rand(4, T, B, generator=generator(3)) < 0.4

    def run(x, lengths, reset):
        return layer(x, lengths=lengths, reset=reset)[0]

    found = vmap(run)(batch, lengths, resets)
    for i in range(4):
        assert_close(found[i], run(batch[i], lengths[i], resets[i]), 1e-10)


@pytest.mark.parametrize("name", LAYERS)
def test_an_ensemble(name):
    layers = [made(name) for _ in range(3)]
    parameters, buffers = stack_module_state(layers)
    x = sample(T, B, I)

    def run(parameters, buffers, x):
        return functional_call(layers[0], (parameters, buffers), (x,))[0]

    found = vmap(run, in_dims=(0, 0, None))(parameters, buffers, x)
    for i, layer in enumerate(layers):
        assert_close(found[i], layer(x)[0], 1e-10)
    each = vmap(run)(parameters, buffers, torch.stack([x] * 3))
    assert_close(each, found, 1e-10)


@pytest.mark.parametrize("kind", ["LSTMCell", "GRUCell", "RNNCell"])
def test_single_steps(kind):
    cell, xs = getattr(gw, kind)(I, H, dtype=torch.float64), sample(4, I)
    parameters = dict(cell.named_parameters())

    def loss(parameters, x):
        found = functional_call(cell, parameters, (x,))
        return (found[0] if isinstance(found, tuple) else found).pow(2).sum()

    found = vmap(grad(loss), in_dims=(None, 0))(parameters, xs)
    for i, x in enumerate(xs):
        expected = torch.autograd.grad(loss(parameters, x), list(parameters.values()))
        for mine, (key, wanted) in zip(found.values(), zip(parameters, expected, strict=True), strict=True):
            assert_close(mine[i], wanted, 1e-10, key)


# -- programs --------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYERS)
def test_export(name):
    layer = made(name, backend="reference").eval()
    lengths, reset = torch.tensor([3, 1]), torch.tensor([[False, True], [False, False], [True, False]])
    for given in ({}, {"lengths": lengths}, {"lengths": lengths, "reset": reset}):
        program = torch.export.export(layer, (sample(T, B, I),), given).module()
        x = sample(T, B, I, seed=1)
        for kwargs in (given, given | ({"lengths": torch.tensor([0, 2])} if given else {})):
            assert_close(program(x, **kwargs)[0], layer(x, **kwargs)[0], 1e-10)


def test_export_of_a_model():
    class Tagger(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.below = gw.Recurrent("mgu", I, H, backend="reference")
            self.above = torch.nn.Linear(H, 2)

        def forward(self, x):
            return self.above(self.below(x)[0])

    model = Tagger().eval()
    program = torch.export.export(model, (torch.randn(T, B, I),))
    x = torch.randn(T, B, I)
    assert_close(program.module()(x), model(x), 1e-6)
    assert "below.W_l0" in program.state_dict
