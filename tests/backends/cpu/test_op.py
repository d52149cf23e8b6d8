"""A kernel as an operator of torch: derivatives of every order and mode, vmap, programs, memory.

The kernels have tests of their own. Here one computes by the reference and counts its calls, so that a test sees which
way was taken.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import torch
from torch.autograd import forward_ad
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vjp, vmap

import gatewright as gw
from cases import case_for, generator
from gatewright.backends.cpu import calls, op, operators
from gatewright.backends.cpu import kernel as kernels
from gatewright.backends.cpu.by_reference import by_reference
from gatewright.backends.cpu.operators import cpu_backward, cpu_forward
from gatewright.plan import regularised
from gatewright.plan.program import Program
from tolerances import assert_close

# torch's own use of what torch itself has deprecated: in forward mode, and where Dynamo meets an autograd.Function.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit.script.* is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning"),
]

T, B, I, H = 4, 3, 3, 5


class Noted:
    """A kernel that notes what it is called for."""

    def __init__(self, kernel, calls: list[str]):
        self.kernel, self.calls = kernel, calls

    def __getattr__(self, name: str):
        return getattr(self.kernel, name)

    def forward(self, inputs, weights, states, lengths, reset, seed, reverse, train):
        assert all(x.stride(-1) == 1 or x.shape[-1] == 1 for x in (*inputs, *states))
        assert all(w.is_contiguous() for w in weights)
        assert forward_ad._current_level < 0, "a kernel knows no tangents"
        self.calls.append("train" if train else "forward")
        return self.kernel.forward(inputs, weights, states, lengths, reset, seed, reverse, train)

    def backward(self, saved, *args):
        assert saved[0].data_ptr() % 64 == 0
        assert all(t.data_ptr() or not t.numel() for group in args[:4] for t in group), "a kernel reads memory"
        assert all(g is None or g.data_ptr() or not g.numel() for g in args[-2]), "a kernel reads memory"
        assert forward_ad._current_level < 0, "a kernel knows no tangents"
        self.calls.append("backward")
        return self.kernel.backward(saved, *args)


class StandIn:
    """Computes by the reference, and checks that backward gets what forward saved."""

    def __init__(self, program: Program):
        self.program = program

    def forward(self, inputs, weights, states, lengths, reset, seed, reverse, train):
        with torch.no_grad():
            given = (lengths, reset, torch.tensor(seed))
            outputs = [y.clone() for y in by_reference(self.program, inputs, weights, states, given, reverse)]
        return outputs, [self.saved(inputs, lengths)] if train else []

    @staticmethod
    def saved(inputs, lengths):
        """What only this very call can have saved."""
        mark = inputs[0].new_full(inputs[0].shape[:2], 1.0) * (0 if lengths is None else lengths)
        return torch.cat([x.reshape(-1) for x in (*inputs, mark)])

    @staticmethod
    def saved_size(program, real, steps, batch, inputs, stored, states):
        return steps * batch * (sum(inputs) + 1)

    def backward(self, saved, inputs, weights, states, outputs, lengths, reset, seed, reverse, grads, needs):
        assert torch.equal(saved[0], self.saved(inputs, lengths))
        leaves = [
            t.detach().clone().requires_grad_(n) for t, n in zip((*inputs, *weights, *states), needs, strict=True)
        ]
        n, m = len(inputs), len(inputs) + len(weights)
        given = (lengths, reset, torch.tensor(seed))
        wanted = [leaf for leaf in leaves if leaf.requires_grad]

        def gradients():
            found = by_reference(self.program, leaves[:n], leaves[n:m], leaves[m:], given, reverse)
            same(outputs, [y.detach() for y in found[: len(outputs)]])
            pairs = [(y, g) for y, g in zip(found, grads, strict=False) if g is not None and y.requires_grad]
            ends, along = zip(*pairs, strict=True)
            return iter(torch.autograd.grad(ends, wanted, along, materialize_grads=True))

        with ThreadPoolExecutor(1) as pool:  # inside an operator torch records no gradients in this thread
            made = pool.submit(gradients).result()
        return [next(made).clone() if n else None for n in needs]


class Calls:
    """What kernels have been called for."""

    def __init__(self):
        self.calls: list[str] = []


@pytest.fixture(params=["stand-in", pytest.param("kernel", marks=pytest.mark.slow)])
def kernel(request, monkeypatch) -> Iterator[Calls]:
    noted = Calls()
    if request.param == "stand-in":
        monkeypatch.setattr(kernels, "saved_size", StandIn.saved_size)
    real = kernels.kernel_for

    def kernel_for(program: Program, dtype: str) -> Noted:
        return Noted(StandIn(program) if request.param == "stand-in" else real(program, dtype), noted.calls)

    monkeypatch.setattr(kernels, "kernel_for", kernel_for)
    operators._kernel.cache_clear()
    yield noted
    operators._kernel.cache_clear()


class Layer:
    """A cell as a program, with random weights, inputs and states."""

    def __init__(self, name: str = "lstm", *, dtype=torch.float64, steps=T, batch=B, random_masks=False, **options):
        case = case_for(gw.cells[name].graph, I, H)
        layer = case.layer(gw.cells[name], dtype=dtype)
        self.layout = layout = layer._layers[0].layout
        rates = {"recurrent_dropout": 0.3, "zoneout": 0.3} if random_masks else {}
        self.program = Program(
            regularised(layer.equations.simplified(), training=True, **rates),
            stored=tuple(tuple(row for row, _ in stored.rows) for stored in layout.stored),
            parts=tuple(layout.parts.items()),
            **options,
        )
        g = generator(5)

        def random(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, generator=g, dtype=dtype)

        back = [case.inputs[gw.cells[name].inputs.index(x)] for x, _ in self.program.looks_back]
        self.inputs = tuple(random(steps, batch, width) for width in (*case.inputs, *back))
        self.weights = tuple(0.5 * random(*stored.shape) for stored in layout.stored)
        self.states = tuple(random(batch, width) for width in layer.state_sizes.values())

    @property
    def leaves(self) -> tuple[torch.Tensor, ...]:
        return (*self.inputs, *self.weights, *self.states)

    def asking(self) -> tuple[torch.Tensor, ...]:
        return tuple(t.detach().clone().requires_grad_() for t in self.leaves)

    def groups(self, leaves):
        n, m = len(self.inputs), len(self.inputs) + len(self.weights)
        return tuple(leaves[:n]), tuple(leaves[n:m]), tuple(leaves[m:])

    def run(self, *leaves, **given) -> tuple[torch.Tensor, ...]:
        y, *others = op.run(self.program, *self.groups(leaves), **given)
        return (y, *(t for group in others for t in group))

    def reference(self, *leaves, lengths=None, reset=None, seed=None, reverse=False) -> tuple[torch.Tensor, ...]:
        return tuple(by_reference(self.program, *self.groups(leaves), (lengths, reset, seed), reverse))

    def loss(self, *leaves, **given) -> torch.Tensor:
        return sum(y.sin().sum() for y in self.run(*leaves, **given))  # pyright: ignore

    def expected(self, *leaves, **given) -> torch.Tensor:
        return sum(y.sin().sum() for y in self.reference(*leaves, **given))  # pyright: ignore


GIVEN = {
    "plain": {},
    "lengths": {"lengths": torch.tensor([4, 0, 2])},
    "reset": {"reset": torch.rand(T, B, generator=generator(1)) < 0.4, "lengths": torch.tensor([3, 4, 1])},
    "reverse": {"reverse": True, "lengths": torch.tensor([3, 4, 1])},
}


def same(found, expected) -> None:
    for mine, theirs in zip(found, expected, strict=True):
        assert_close(mine, theirs, 1e-10)


# -- first derivatives ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
@pytest.mark.parametrize("options", [{}, {"every": True, "record": ("f", "c_prev")}], ids=["plain", "every"])
def test_outputs_and_gradients(kernel, given, options):
    layer = Layer(reset="reset" in given, **options)
    leaves = layer.asking()
    y, finals, every, records = op.run(layer.program, *layer.groups(leaves), **given)
    same((y, *finals, *every, *records), layer.reference(*leaves, **given))
    assert [len(finals), len(every), len(records)] == ([2, 2, 2] if options else [2, 0, 0])
    assert not any(r.requires_grad for r in records)
    smooth = (y, *finals, *every)
    along = [torch.randn(t.shape, generator=generator(2), dtype=t.dtype) for t in smooth]
    found = torch.autograd.grad(smooth, leaves, along)
    same(found, torch.autograd.grad(layer.reference(*leaves, **given)[: len(smooth)], leaves, along))
    assert kernel.calls == ["train", "backward"]


@pytest.mark.parametrize("given", [{}, {"lengths": torch.tensor([3, 4, 0])}], ids=["plain", "lengths"])
def test_the_reverse_direction_is_a_layers(kernel, given):
    """What the reference of this file gives is what a layer's second direction gives."""
    layer = Layer("lstm", every=True)
    both = gw.Recurrent("lstm", I, H, bidirectional=True, dtype=torch.float64, backend="reference")
    with torch.no_grad():
        for name, p in both.named_parameters():
            p.copy_(layer.weights[[s.name for s in layer.layout.stored].index(name.split("_l0")[0])])
    (x,), states = layer.inputs, layer.states
    began = tuple(torch.stack([s, s]) for s in states)
    y, final = both(x, began, **given)
    every = both(x, began, states="all", **given)[1]
    for d, reverse in enumerate((False, True)):
        with torch.no_grad():
            found = op.run(layer.program, (x,), layer.weights, states, reverse=reverse, **given)
        assert_close(found[0], y[..., d * H : d * H + H], 1e-10)
        same(found[1], [s[d] for s in final])
        same(found[2], [s[d] for s in every])


@pytest.mark.parametrize("name", gw.cells)
def test_every_cell(kernel, name):
    layer = Layer(name)
    leaves = layer.asking()
    found = torch.autograd.grad(layer.loss(*leaves), leaves, materialize_grads=True)
    same(found, torch.autograd.grad(layer.expected(*leaves), leaves, materialize_grads=True))


def test_gradients_of_what_asks_for_them(kernel):
    layer = Layer()
    (x,), weights, states = layer.inputs, layer.weights, layer.states
    (h, c) = (s.requires_grad_() for s in states)
    finals = op.run(layer.program, (x,), weights, (h, c))[1]
    finals[1].sum().backward()
    assert h.grad is not None and c.grad is not None and x.grad is None and weights[0].grad is None
    assert kernel.calls == ["train", "backward"]


def test_a_graph_that_is_kept_runs_again(kernel):
    layer = Layer()
    leaves = layer.asking()
    loss = layer.loss(*leaves)
    first = torch.autograd.grad(loss, leaves, retain_graph=True)
    same(torch.autograd.grad(loss, leaves), first)


def test_gradcheck(kernel):
    layer = Layer("gru", steps=3, batch=2)
    assert torch.autograd.gradcheck(layer.run, layer.asking(), check_batched_grad=True, fast_mode=True)


# -- derivatives of derivatives, forward mode and vmap --------------------------------------------------------


@pytest.mark.parametrize("given", [{}, GIVEN["reset"]], ids=["plain", "reset"])
def test_second_derivatives(kernel, given):
    layer = Layer("gru", every=True, reset="reset" in given)
    leaves = layer.asking()

    def curved(loss):
        first = torch.autograd.grad(loss(*leaves, **given), leaves, create_graph=True)
        return torch.autograd.grad(sum(g.pow(2).sum() for g in first), leaves)  # pyright: ignore

    found = curved(layer.loss)
    # the kernel once more, for the sine's cotangents; the second derivative itself is the reference's
    assert kernel.calls == ["train", "backward", "backward"]
    same(found, curved(layer.expected))


def test_gradgradcheck(kernel):
    layer = Layer("gru", steps=2, batch=2)
    assert torch.autograd.gradgradcheck(layer.run, layer.asking(), fast_mode=True)


def test_third_derivatives(kernel):
    layer = Layer("mgu", steps=2, batch=1)

    def third(loss):
        found = loss(*(leaves := layer.asking()))
        for _ in range(3):
            (found,) = (sum(g.sin().sum() for g in torch.autograd.grad(found, leaves, create_graph=True)),)
        return found

    assert_close(third(layer.loss), third(layer.expected), 1e-10)


def every_leaf(layer: Layer) -> tuple[int, ...]:
    return tuple(range(len(layer.leaves)))


def test_func_grad(kernel):
    layer = Layer()
    found = grad(layer.loss, every_leaf(layer))(*layer.leaves)
    assert kernel.calls == ["train", "backward"]
    same(found, grad(layer.expected, every_leaf(layer))(*layer.leaves))


@pytest.mark.parametrize("mode", [jacrev, jacfwd])
@pytest.mark.parametrize("along", [0, 1, 5])
def test_jacobians(kernel, mode, along):
    layer = Layer("gru" if along < 5 else "lstm", steps=2)
    found = mode(layer.run, along)(*layer.leaves)
    same(found, mode(layer.reference, along)(*layer.leaves))
    assert set(kernel.calls) == (set() if mode is jacfwd else {"train", "backward"})


@pytest.mark.parametrize("modes", [(jacfwd, jacrev), (jacrev, jacfwd), (jacrev, jacrev)])
def test_hessians(kernel, modes):
    layer = Layer("mgu", steps=2, batch=1)
    outer, inner = modes
    for along in (0, 1):
        found = outer(inner(layer.loss, along), along)(*layer.leaves)
        assert_close(found, hessian(layer.expected, along)(*layer.leaves), 1e-10)


def test_forward_mode_is_the_reference(kernel):
    layer = Layer()
    along = tuple(torch.randn(t.shape, generator=generator(3), dtype=t.dtype) for t in layer.leaves)
    same(jvp(layer.run, layer.leaves, along)[1], jvp(layer.reference, layer.leaves, along)[1])
    with forward_ad.dual_level():
        duals = [forward_ad.make_dual(t, a) for t, a in zip(layer.leaves, along, strict=True)]
        found = [forward_ad.unpack_dual(y).tangent for y in layer.run(*duals)]
    same(found, jvp(layer.reference, layer.leaves, along)[1])
    assert not kernel.calls


def test_forward_mode_over_a_backward_of_before(kernel):
    """A tangent that enters in the cotangent alone: never silently zero."""
    layer = Layer()
    leaves = layer.asking()
    y = layer.run(*leaves)[0]
    with forward_ad.dual_level():
        along = forward_ad.make_dual(torch.ones_like(y), torch.full_like(y, 2.0))
        (found,) = torch.autograd.grad(y, leaves[:1], along)
        assert_close(forward_ad.unpack_dual(found).tangent, 2 * forward_ad.unpack_dual(found).primal, 1e-10)


def many(layer: Layer, dims, count: int = 2) -> list[torch.Tensor]:
    g = generator(7)
    found = []
    for t, d in zip(layer.leaves, dims, strict=True):
        more = torch.stack([t, *(torch.randn(t.shape, generator=g, dtype=t.dtype) for _ in range(count - 1))])
        found.append(t if d is None else more.movedim(0, d))
    return found


def dims_of(layer: Layer, inputs, weights, states) -> tuple[int | None, ...]:
    return (*[inputs] * len(layer.inputs), *[weights] * len(layer.weights), *states)


WAYS = {
    "inputs": (0, None, (None, None)),
    "inputs elsewhere": (2, None, (None, 1)),
    "states": (None, None, (0, 0)),
    "weights": (None, 0, (None, None)),
    "everything": (1, 0, (0, 1)),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_vmap(kernel, way):
    layer = Layer()
    dims = dims_of(layer, *way)
    args = many(layer, dims)
    same(vmap(layer.run, dims)(*args), vmap(layer.reference, dims)(*args))
    assert kernel.calls == ["forward"] * (1 if way[1] is None else 2)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_vmap_of_gradients(kernel, way):
    """Gradients of each sample, weights' among them."""
    layer = Layer(every=True)
    dims = dims_of(layer, *way)
    args = many(layer, dims)
    found = vmap(grad(layer.loss, every_leaf(layer)), dims)(*args)
    same(found, vmap(grad(layer.expected, every_leaf(layer)), dims)(*args))
    assert set(kernel.calls) == {"train", "backward"}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_gradient_of_a_vmap(kernel, way):
    layer = Layer()
    dims = dims_of(layer, *way)
    args = many(layer, dims)

    def total(function):
        return lambda *leaves: vmap(function, dims)(*leaves).sum()

    found = grad(total(layer.loss), every_leaf(layer))(*args)
    same(found, grad(total(layer.expected), every_leaf(layer))(*args))
    leaves = [t.clone().requires_grad_() for t in args]
    same(torch.autograd.grad(total(layer.loss)(*leaves), leaves), found)
    second = grad(lambda *a: sum(g.sin().sum() for g in grad(total(layer.loss), (0, 1))(*a)))(*args)
    assert_close(
        second, grad(lambda *a: sum(g.sin().sum() for g in grad(total(layer.expected), (0, 1))(*a)))(*args), 1e-9
    )


def test_vmap_over_lengths_and_resets(kernel):
    layer = Layer(reset=True)
    lengths = torch.tensor([[4, 0, 2], [1, 2, 3]])
    reset = torch.rand(T, B, 2, generator=generator(4)) < 0.4

    def gradients(loss):
        def of(lengths, reset):
            return grad(lambda *leaves: loss(*leaves, lengths=lengths, reset=reset, reverse=True), (0, 1))(
                *layer.leaves
            )

        return vmap(of, (0, 2))(lengths, reset)

    same(gradients(layer.loss), gradients(layer.expected))


def test_random_masks(kernel):
    """The masks of a seed are made again in backward; each sample of a vmap draws as if it were alone."""
    layer, seed = Layer(random_masks=True, stream=1 << 16), torch.tensor(1 << 40)
    args = every_leaf(layer)
    found = grad(lambda *leaves: layer.loss(*leaves, seed=seed), args)(*layer.leaves)
    same(found, grad(lambda *leaves: layer.expected(*leaves, seed=seed), args)(*layer.leaves))
    assert not torch.equal(layer.run(*layer.leaves, seed=seed)[0], layer.run(*layer.leaves, seed=seed + 1)[0])
    xs = torch.stack([layer.inputs[0], layer.inputs[0] + 1])

    def gradient(x):
        return grad(lambda x, w: layer.loss(x, w, *layer.leaves[2:], seed=seed), (0, 1))(x, layer.weights[0])

    found = vmap(gradient)(xs)
    for i, x in enumerate(xs):
        same([g[i] for g in found], gradient(x))


def test_vmap_in_a_vmap(kernel):
    layer = Layer("mgu")
    x = torch.randn(2, 3, *layer.inputs[0].shape, generator=generator(6), dtype=torch.float64)

    def gradients(loss):
        return vmap(vmap(lambda x: grad(loss, (0, 1))(x, *layer.leaves[1:])))(x)

    same(gradients(layer.loss), gradients(layer.expected))


def test_many_cotangents_at_once(kernel):
    """`is_grads_batched`, and what torch builds on it."""
    layer = Layer(every=True)
    leaves = layer.asking()
    found, expected = layer.run(*leaves), layer.reference(*leaves)
    along = [torch.randn(3, *y.shape, generator=generator(9), dtype=y.dtype) for y in found]

    def gradients(ends):
        return torch.autograd.grad(ends, leaves, along, is_grads_batched=True)

    same(gradients(found), gradients(expected))
    assert kernel.calls == ["train", *["backward"] * 3]
    x, rest = layer.inputs[0], layer.leaves[1:]
    jacobian = torch.autograd.functional.jacobian(lambda x: layer.run(x, *rest)[0], x, vectorize=True)
    assert_close(jacobian, jacrev(lambda x: layer.reference(x, *rest)[0])(x), 1e-10)


def test_vjp_with_many_cotangents(kernel):
    layer = Layer()
    y, pull = vjp(layer.run, *layer.leaves)
    along = tuple(torch.randn(3, *t.shape, generator=generator(8), dtype=t.dtype) for t in y)
    expected = vmap(vjp(layer.reference, *layer.leaves)[1])(along)
    same(vmap(pull)(along), expected)
    assert kernel.calls == ["train", *["backward"] * 3]


# -- what is saved, and what is given -------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, lambda: torch.enable_grad()])
def test_nothing_is_saved_for_nothing(kernel, mode):
    layer = Layer()
    with mode():
        found = layer.run(*layer.leaves)
    same(found, layer.reference(*layer.leaves))
    assert kernel.calls == ["forward"] and found[0].is_inference() == (mode is torch.inference_mode)


def test_any_strides(kernel):
    layer = Layer()
    (x,), weights, h = layer.inputs, layer.weights, layer.states[0]
    leaves = (
        x[:, :1].expand(T, B, I),
        *(w.t().contiguous().t() if w.dim() == 2 else w.repeat_interleave(2)[::2] for w in weights),
        h.t().contiguous().t(),
        torch.zeros(()).double().expand(B, H),
    )
    leaves = [t.requires_grad_() for t in leaves]
    found = torch.autograd.grad(layer.loss(*leaves), leaves)
    same(found, torch.autograd.grad(layer.expected(*leaves), leaves))
    y = layer.run(*leaves)[0]
    same(torch.autograd.grad(y.sum(), leaves), torch.autograd.grad(layer.reference(*leaves)[0].sum(), leaves))
    swapped = x.transpose(0, 1).contiguous().transpose(0, 1)
    same(layer.run(swapped, *leaves[1:]), layer.run(x, *leaves[1:]))


@pytest.mark.parametrize(("steps", "batch"), [(0, 2), (2, 0), (0, 0)])
def test_no_steps_or_no_sequences(kernel, steps, batch):
    layer = Layer(every=True, record=("f",), steps=steps, batch=batch)
    leaves = layer.asking()
    found = layer.run(*leaves)
    same(found, layer.reference(*leaves))
    smooth = [y for y in found if y.requires_grad]
    gradients = torch.autograd.grad(smooth, leaves, [torch.ones_like(y) for y in smooth], materialize_grads=True)
    for g, leaf in zip(gradients, leaves, strict=True):
        assert g.shape == leaf.shape
    assert_close(gradients[-1], torch.ones_like(layer.states[1]) * (steps == 0), 0)


def test_a_weight_written_after_forward_is_noticed(kernel):
    layer = Layer()
    leaves = layer.asking()
    loss = layer.loss(*leaves)
    with torch.no_grad():
        leaves[1].add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_resets_without_a_program_for_them(kernel):
    layer = Layer()
    with pytest.raises(ValueError, match="the program knows no resets: make it with reset=True"):
        layer.run(*layer.leaves, reset=torch.zeros(T, B, dtype=torch.bool))


def test_checkpointing_and_hooks(kernel):
    layer = Layer()
    leaves = layer.asking()
    expected = torch.autograd.grad(layer.expected(*leaves), leaves)
    loss = torch.utils.checkpoint.checkpoint(layer.loss, *leaves, use_reentrant=False)
    same(torch.autograd.grad(loss, leaves), expected)
    assert kernel.calls == ["train", "train", "backward"]
    with torch.autograd.graph.save_on_cpu():
        loss = layer.loss(*leaves)
    same(torch.autograd.grad(loss, leaves), expected)


# -- programs of torch ----------------------------------------------------------------------------------------


@pytest.fixture
def unchecked(monkeypatch, tmp_path) -> None:
    """Without the checks of types that the tests put around every function: Dynamo cannot trace them.

    And with the compiler's cache elsewhere: the stand-in saves another size for the same program.
    """
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    for place in (op, operators, kernels, op.Forward, op.Backward):
        for name, thing in list(vars(place).items()):
            function = thing.__func__ if isinstance(thing, staticmethod) else thing
            if inspect.isfunction(function) and hasattr(function, "__wrapped__"):
                plain = inspect.unwrap(function)
                monkeypatch.setattr(place, name, plain if function is thing else staticmethod(plain))


class Model(torch.nn.Module):
    """Linear, a recurrence, Linear."""

    def __init__(self, name: str = "gru", **options):
        super().__init__()
        layer = Layer(name, dtype=torch.float32, **options)
        self.program = layer.program
        self.below, self.above = torch.nn.Linear(2, I), torch.nn.Linear(H, 2)
        self.weights = torch.nn.ParameterList(layer.weights)
        self.widths = tuple(s.shape[1] for s in layer.states)

    def forward(self, x, lengths=None, reverse: bool = False):
        states = tuple(x.new_zeros(x.shape[1], width) for width in self.widths)
        y, finals, every, records = op.run(
            self.program, (self.below(x),), tuple(self.weights), states, lengths=lengths, reverse=reverse
        )
        return self.above(y), *finals, *every, *records


def model_gradients(model: Model, call, x, *args) -> list[torch.Tensor]:
    loss = sum(y.sin().sum() for y in call(x, *args) if y.requires_grad)
    return list(torch.autograd.grad(loss, list(model.parameters())))  # pyright: ignore


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "dynamic"), [("eager", None), ("aot_eager", None), ("inductor", True)])
def test_compile(kernel, unchecked, backend, dynamic):
    torch._dynamo.reset()
    model = Model("lstm", every=True, record=("f",))
    compiled = torch.compile(model, backend=backend, fullgraph=True, dynamic=dynamic)
    for steps, batch in ((4, 3), (5, 2), (7, 6)):
        x, lengths = torch.randn(steps, batch, 2), torch.full((batch,), steps - 1)
        for args in ((), (lengths,), (lengths, True)):
            for mine, theirs in zip(compiled(x, *args), model(x, *args), strict=True):
                assert_close(mine, theirs, 1e-5)
            found = model_gradients(model, compiled, x, *args)
            for mine, theirs in zip(found, model_gradients(model, model, x, *args), strict=True):
                assert_close(mine, theirs, 1e-5)
        with torch.no_grad():
            assert_close(compiled(x)[0], model(x)[0], 1e-5)


@pytest.mark.parametrize("strict", [False, True])
def test_export(kernel, unchecked, strict, tmp_path):
    model = Model("lstm", every=True).eval()
    axes = {0: torch.export.Dim("T"), 1: torch.export.Dim("B")}
    x, lengths = torch.randn(4, 3, 2), torch.tensor([4, 0, 2])
    shapes = {"x": axes, "lengths": {0: axes[1]}}
    program = torch.export.export(model, (x, lengths), dynamic_shapes=shapes, strict=strict)
    called = [n for n in program.graph.nodes if n.target is torch.ops.gatewright.cpu_forward.default]
    assert [n.args[0] for n in called] == [model.program.text]
    torch.export.save(program, tmp_path / "model.pt2")
    again = torch.export.load(tmp_path / "model.pt2").module()
    for steps, batch in ((4, 3), (7, 2)):
        x, lengths = torch.randn(steps, batch, 2), torch.tensor([4, 0, 2])[:batch]
        for mine, theirs in zip(again(x, lengths), model(x, lengths), strict=True):
            assert_close(mine, theirs, 1e-5)


def test_a_copy_of_a_model(kernel):
    model = Model()
    twin = copy.deepcopy(model)
    assert twin.program == model.program
    x = torch.randn(4, 3, 2)
    for mine, theirs in zip(twin(x), model(x), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("train", [False, True])
def test_opcheck(kernel, train, monkeypatch):
    # torch compares all that is saved, and some of it nobody writes
    monkeypatch.setattr(calls, "maker", lambda shape, dtype, **_: partial(torch.zeros, shape, dtype=dtype))
    operators._kernel.cache_clear()
    layer = Layer(every=True, record=("f",))
    lengths, seed = torch.tensor([4, 0, 2]), torch.tensor(3)
    leaves = layer.groups(layer.leaves)
    torch.library.opcheck(cpu_forward, (layer.program.text, *leaves, lengths, None, seed, False, train))
    if train:
        *outputs, saved = cpu_forward(layer.program.text, *leaves, lengths, None, seed, False, True)
        outputs = outputs[:5]
        grads = [None, *(torch.ones_like(y) for y in outputs[1:])]
        needs = [i != 2 for i in range(len(layer.leaves))]
        given = (lengths, None, seed, False, grads, needs)
        torch.library.opcheck(cpu_backward, (layer.program.text, saved, *leaves, outputs, *given))
