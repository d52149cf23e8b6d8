"""Stacks of layers: the same as written by hand, layer by layer with the reference, outputs and every gradient."""

import copy
import io
import pickle
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn.functional import layer_norm
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import gatewright as gw
from gatewright import affine, diagonal, sigmoid, tanh
from tolerances import assert_close

T, B, I, H = 6, 3, 4, 5
LENGTHS = torch.tensor([T, 0, 3])
BACKENDS = ["cpu", "reference"]


def series(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def recurrent(cell, *sizes, **options):
    return gw.Recurrent(cell, *sizes, **{"dtype": torch.float64, **options})


def linear(*sizes):
    return nn.Linear(*sizes, dtype=torch.float64)


@gw.cell
def highway_lstm(x, c_below, /, h, c):
    """Zhang et al. 2016, equations 6 to 11: the depth gate d lets the cell of the layer below through."""
    i = sigmoid(affine(x, h) + diagonal(c))
    f = sigmoid(affine(x, h) + diagonal(c))
    d = sigmoid(affine(x) + diagonal(c) + diagonal(c_below))
    c = d * c_below + f * c + i * tanh(affine(x, h, name="g"))
    o = sigmoid(affine(x, h) + diagonal(c))
    return o * tanh(c), c


# -- by hand ---------------------------------------------------------------------------------------------------


def valid(lengths, x, batch_first):
    """(T, B, 1), or (B, T, 1): where there are steps."""
    found = torch.zeros(*x.shape[:2], 1, dtype=torch.bool)
    for b, n in enumerate(lengths):
        found[(b, slice(0, n)) if batch_first else (slice(0, n), b)] = True
    return found


def by_hand(deep, x, hx=None, lengths=None, reset=None, *, residual=False, highway=False, norm=None):
    """(output, states): every recurrent layer of the list by the reference, and what stands between them."""
    states, first, modules = [], True, list(deep.layers)
    on = None if lengths is None else valid(lengths, x, deep.batch_first)
    while modules:
        layer, at = modules.pop(0), len(deep.layers) - 1 - len(modules)
        layer.backend = "reference"
        u = x
        if norm == "pre" and not first:
            w = deep.norms[str(at)]
            u = layer_norm(x, x.shape[-1:], w.weight, w.bias)
        y, state = layer(u, None if hx is None else hx[len(states)], lengths=lengths, reset=reset)
        states.append(state)
        while modules and not isinstance(modules[0], gw.Recurrent):
            y = modules.pop(0)(y)
        if residual and not first:
            y = x + y
        if highway and not first:
            w = deep.highways[str(at)].gate
            t = torch.sigmoid(x @ w.weight.T + w.bias)
            y = t * y + (1 - t) * x
        if norm == "post":
            w = deep.norms[str(at)]
            y = layer_norm(y, y.shape[-1:], w.weight, w.bias)
        x = y if on is None else torch.where(on, y, torch.zeros_like(y))
        first = False
    return x, tuple(states)


def flat(states):
    """The tensors of a state, however they lie in tuples."""
    return [states] if isinstance(states, torch.Tensor) else [t for part in states for t in flat(part)]


def gradients(deep, y, states, leaves):
    """Of a sum with random factors, by input, states and every weight."""
    generator = torch.Generator().manual_seed(3)
    loss = sum((o * torch.randn(o.shape, generator=generator, dtype=o.dtype)).sum() for o in (y, *flat(states)))
    return torch.autograd.grad(loss, [*leaves, *deep.parameters()], allow_unused=True)


def assert_same(deep, x, hx=None, lengths=None, reset=None, **settings):
    leaves = [x, *flat(hx or ())]
    for leaf in leaves:
        leaf.requires_grad_()
    expected, final = by_hand(theirs := copy.deepcopy(deep), x, hx, lengths, reset, **settings)
    y, states = deep(x, hx, lengths=lengths, reset=reset)
    pairs = zip((y, *flat(states)), (expected, *flat(final)), strict=True)
    names = ["x", *(f"state {k}" for k in range(len(leaves) - 1)), *(name for name, _ in deep.named_parameters())]
    for found, wanted in pairs:
        assert_close(found, wanted, 1e-10)
    grads = gradients(deep, y, states, leaves), gradients(theirs, expected, final, leaves)
    for name, found, wanted in zip(names, *grads, strict=True):
        assert (found is None) == (wanted is None), name
        if found is not None:
            assert_close(found, wanted, 1e-9, name)
    return y


BETWEEN = [
    {},
    {"residual": True},
    {"highway": True},
    {"norm": "pre"},
    {"norm": "post"},
    {"residual": True, "norm": "pre"},
    {"residual": True, "norm": "post"},
    {"highway": True, "norm": "post"},
]


def words(settings):
    return " ".join(f"{k}={v}" for k, v in settings.items()) or "nothing"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("between", BETWEEN, ids=words)
def test_what_stands_between_layers(between, backend):
    """Three cells, two widths, with a state, lengths and resets."""
    layers = [
        recurrent("lstm", I, H, backend=backend),
        recurrent("gru", H, H, 2, backend=backend),
        recurrent("peephole_lstm", H, 7, backend=backend),
        linear(7, H),
        nn.Tanh(),
    ]
    deep = gw.Deep(layers, **between)
    with torch.no_grad():
        for p in deep.parameters():
            p.add_(0.1 * torch.randn_like(p))  # the weights of norms begin at 1, where nobody sees them
    hx = ((series(1, B, H), series(1, B, H)), series(2, B, H), (series(1, B, 7), series(1, B, 7)))
    y = assert_same(deep, series(T, B, I), hx, LENGTHS, torch.rand(T, B) < 0.3, **between)
    assert (y[:, 1] == 0).all() and (y[3:, 2] == 0).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("merge", ["concat", "sum", "mean"])
def test_both_directions_and_batch_first(merge, backend):
    options = {"batch_first": True, "bidirectional": True, "merge": merge, "backend": backend, "dtype": torch.float64}
    deep = gw.Deep.of(["lstm", "mgu"], I, H, residual=True, norm="post", **options)
    assert deep.output_size == (2 * H if merge == "concat" else H)
    y = assert_same(deep, series(B, T, I), None, LENGTHS, torch.rand(B, T) < 0.3, residual=True, norm="post")
    assert y.shape == (B, T, deep.output_size) and (y[2, 3:] == 0).all()


@pytest.mark.parametrize("between", BETWEEN, ids=words)
def test_what_lies_behind_an_end_reaches_nothing(between):
    layers = [recurrent("lstm", I, H), linear(H, H), recurrent("gru", H, H), linear(H, H)]
    deep = gw.Deep(layers, **between)
    x = series(T, B, I)
    y, states = deep(x, lengths=LENGTHS)
    poisoned = x.clone()
    poisoned[3:, 2] = float("nan")
    poisoned[:, 1] = float("inf")
    again, others = deep(poisoned.requires_grad_(), lengths=LENGTHS)
    assert torch.equal(y, again) and all(map(torch.equal, flat(states), flat(others)))
    (again.sum() + sum(s.sum() for s in flat(others))).backward()
    assert all(torch.isfinite(p.grad).all() for p in (poisoned, *deep.parameters()))


@pytest.mark.parametrize("batch_first", [False, True])
def test_one_sequence_and_packed_sequences_are_the_same(batch_first):
    deep = gw.Deep.of("lstm", I, H, 3, highway=True, projection=H, batch_first=batch_first, dtype=torch.float64)
    x, lengths = series(T, B, I), torch.tensor([2, T, 3])
    laid = x.transpose(0, 1) if batch_first else x
    y, states = deep(laid, lengths=lengths)
    packed = pack_padded_sequence(laid, lengths, batch_first, enforce_sorted=False)
    out, others = deep(packed)
    unpacked, _ = pad_packed_sequence(out, batch_first)
    assert_close(unpacked, y, 1e-12)
    for mine, wanted in zip(flat(others), flat(states), strict=True):
        assert_close(mine, wanted, 1e-12)
    alone, state = deep(x[:, 2], lengths=[3])
    assert_close(alone, y.transpose(0, 1)[2] if not batch_first else y[2], 1e-12)
    for mine, wanted in zip(flat(state), flat(states), strict=True):
        assert_close(mine, wanted[:, 2], 1e-12)


# -- directions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", [*BACKENDS, "vendor"])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
def test_merged_directions_are_those_side_by_side_added(backend, lengths):
    side = recurrent("lstm", I, H, bidirectional=True, backend="reference")
    x = series(T, B, I).requires_grad_()
    expected, final = side(x, lengths=lengths)
    forward, reverse = expected.chunk(2, -1)
    factors = series(T, B, H)
    for merge, both in (("sum", forward + reverse), ("mean", (forward + reverse) / 2)):
        layer = recurrent("lstm", I, H, bidirectional=True, merge=merge, backend=backend)
        layer.load_state_dict(side.state_dict())
        y, states = layer(x, lengths=lengths)
        assert_close(y, both, 1e-10)
        for mine, wanted in zip(states, final, strict=True):
            assert_close(mine, wanted, 1e-10)
        leaves = zip([x, *layer.parameters()], [x, *side.parameters()], strict=True)
        for mine, wanted in leaves:
            (found,) = torch.autograd.grad((y * factors).sum(), mine, retain_graph=True)
            (right,) = torch.autograd.grad((both * factors).sum(), wanted, retain_graph=True)
            assert_close(found, right, 1e-9)


@pytest.mark.parametrize("backend", BACKENDS)
def test_layers_of_merged_directions_take_their_sum(backend):
    layer = recurrent("gru", I, H, 2, bidirectional=True, merge="sum", backend=backend)
    assert layer.output_size == H and "merge='sum'" in repr(layer)
    x = series(T, B, I)
    found = layer(x, lengths=LENGTHS, states="all")
    for k, size in enumerate((I, H)):
        one = recurrent("gru", size, H, bidirectional=True, backend="reference")
        names = {name: name.replace("l0", f"l{k}") for name in one.state_dict()}
        one.load_state_dict({name: layer.state_dict()[theirs] for name, theirs in names.items()})
        y, every = one(x, lengths=LENGTHS, states="all")
        assert_close(found[1][2 * k : 2 * k + 2], every, 1e-10)
        x = y[..., :H] + y[..., H:]
    assert_close(found[0], x, 1e-10)
    assert layer(series(0, B, I))[0].shape == (0, B, H)


def test_torchs_kernel_refuses_to_add_directions_between_layers():
    with pytest.raises(ValueError, match="both directions side by side"):
        recurrent("lstm", I, H, 2, bidirectional=True, merge="sum", backend="vendor")(series(T, B, I))
    packed = pack_padded_sequence(series(T, B, I), [T, 4, 3])
    layer = recurrent("lstm", I, H, bidirectional=True, merge="mean", backend="vendor")
    found = layer(packed)[0]
    layer.backend = "reference"
    assert_close(found.data, layer(packed)[0].data, 1e-10)
    with pytest.raises(ValueError, match="merge: expected one of 'concat', 'sum', 'mean', got 'ave'"):
        recurrent("lstm", I, H, bidirectional=True, merge="ave")


# -- states of the layer below ---------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_cells_linked_over_layers(backend, lengths, batch_first):
    options = {"batch_first": batch_first, "backend": backend}
    lower, upper = recurrent("lstm", I, H, 2, **options), recurrent(highway_lstm, (H, H), H, **options)
    deep = gw.Deep([lower, upper], residual=True)
    x = series(B, T, I) if batch_first else series(T, B, I)
    hx = ((series(2, B, H), series(2, B, H)), (series(1, B, H), series(1, B, H)))
    for leaf in (x, *flat(hx)):
        leaf.requires_grad_()
    y, states = deep(x, hx, lengths=lengths)
    hand = copy.deepcopy(deep)
    for layer in hand.layers:
        layer.backend = "reference"
    below, (_, every) = hand.layers[0](x, hx[0], lengths=lengths, states="all")
    top, state = hand.layers[1]((below, every[1]), hx[1], lengths=lengths)
    expected = below + top, (hand.layers[0](x, hx[0], lengths=lengths)[1], state)
    for found, wanted in zip((y, *flat(states)), (expected[0], *flat(expected[1])), strict=True):
        assert_close(found, wanted, 1e-10)
    leaves = [x, *flat(hx)]
    for found, wanted in zip(gradients(deep, y, states, leaves), gradients(hand, *expected, leaves), strict=True):
        assert_close(found, wanted, 1e-9)


def test_cells_linked_in_both_directions_and_without_steps():
    below = recurrent("lstm", I, H, bidirectional=True)
    deep = gw.Deep([below, recurrent(highway_lstm, (2 * H, 2 * H), 2 * H)])
    x = series(T, B, I)
    y, (lower, _) = deep(x, lengths=LENGTHS)
    z, (_, c) = below(x, lengths=LENGTHS, states="all")
    assert_close(y, deep.layers[1]((z, torch.cat([*c], -1)), lengths=LENGTHS)[0], 1e-12)
    for found, wanted in zip(lower, below(x, lengths=LENGTHS)[1], strict=True):
        assert_close(found, wanted, 1e-12)
    hx = ((series(2, B, H), series(2, B, H)), (series(1, B, 2 * H), series(1, B, 2 * H)))
    y, states = deep(x[:0], hx)
    assert y.shape == (0, B, 2 * H) and all(map(torch.equal, flat(states), flat(hx)))


def test_further_inputs_go_to_the_layers_that_name_them():
    layers = [recurrent("lstm", I, H), recurrent("ea_lstm", (H, 2), H), recurrent("gru", H, H)]
    deep = gw.Deep(layers, residual=True)
    assert deep.input_size == (I, 2)
    x, static = series(T, B, I), series(B, 2)
    y, _ = deep((x, static))
    a, _ = layers[0](x)
    b = a + layers[1]((a, static))[0]
    assert_close(y, b + layers[2](b)[0], 1e-12)
    with pytest.raises(ValueError, match=r"input: expected 2 tensors \(x, static\), got 1"):
        deep(x)


# -- one step at a time ------------------------------------------------------------------------------------------


STEPPED = {
    "residual": lambda: gw.Deep.of(["lstm", "gru", "qrnn"], I, H, residual=True, norm="pre", dtype=torch.float64),
    "linked": lambda: gw.Deep([recurrent("lstm", I, H), recurrent(highway_lstm, (H, H), H), linear(H, 2)], norm="post"),
    "nested": lambda: gw.Deep([STEPPED["residual"](), linear(H, 2), recurrent("gru", 2, 3)]),
}


@pytest.mark.parametrize("kind", STEPPED)
@pytest.mark.parametrize("batch", [(), (B,)], ids=["one", "batch"])
def test_steps_are_the_sequence(kind, batch):
    deep = STEPPED[kind]()
    x = series(T, *batch, I)
    y, final = deep(x)
    state, outputs = None, []
    for step in x:
        output, state = deep.step(step, state)
        outputs.append(output)
    assert_close(torch.stack(outputs), y, 1e-12)
    for found, wanted in zip(flat(state), flat(final), strict=True):
        assert_close(found, wanted, 1e-12)


def test_a_state_goes_on_and_none_begins_anew():
    deep = STEPPED["residual"]()
    x = series(T, B, I)
    y, final = deep(x)
    first, state = deep(x[:2])
    second, last = deep(x[2:], list(state))
    assert_close(torch.cat([first, second]), y, 1e-12)
    for found, wanted in zip(flat(last), flat(final), strict=True):
        assert_close(found, wanted, 1e-12)
    zeros = (torch.zeros(1, B, H, dtype=torch.float64),) * 2
    assert_close(deep(x, (None, *state[1:]))[0], deep(x, (zeros, *state[1:]))[0], 1e-12)
    every = deep(x, states="all")[1]
    assert_close(every[0][1][:, -1], final[0][1], 1e-12)


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.deep, self.head = STEPPED["residual"](), linear(H, 2)

    def forward(self, x):
        return self.head(self.deep(x)[0])


def test_a_model_with_a_stack_in_it_can_be_streamed():
    model, x = Tagger(), series(T, B, I)
    stream = gw.Stream(model)
    assert_close(torch.stack([stream(step) for step in x]), model(x), 1e-12)


# -- dropout -----------------------------------------------------------------------------------------------------


def constant_layers():
    """A layer that gives 1 everywhere, and one that gives its input's sum in each unit."""
    first, second = recurrent("rnn", I, H), recurrent("indrnn", H, H)
    with torch.no_grad():
        for layer in (first, second):
            for p in layer.parameters():
                p.zero_()
        first.bias_ih_l0.fill_(50.0)
        second.weights()["W_h"].copy_(torch.eye(H))
    return [first, second]


@pytest.mark.parametrize("batch_first", [False, True])
def test_dropout_stands_before_each_layer_but_the_first_and_spares_the_shortcut(batch_first):
    layers = constant_layers()
    for layer in layers:
        layer.batch_first = batch_first
    x = torch.zeros(*((40, 50) if batch_first else (50, 40)), I, dtype=torch.float64)
    for kind in ("fresh", "locked"):
        deep = gw.Deep(layers, residual=True, dropout=0.25, dropout_kind=kind)
        torch.manual_seed(1)
        y = deep(x)[0]
        found = (y.transpose(0, 1) if batch_first else y) - 1
        values, counts = found.unique(return_counts=True)
        assert_close(values, torch.tensor([0.0, 1 / 0.75], dtype=torch.float64), 1e-12)
        assert abs(counts[0] / counts.sum() - 0.25) < 0.1
        assert torch.equal(found, found[:1].expand_as(found)) == (kind == "locked")
        assert torch.equal(deep.eval()(x)[0], torch.full_like(y, 2.0))


@pytest.mark.parametrize("kind", STEPPED)
def test_under_autocast(kind):
    """Shortcuts, norms and links take what comes out of layers in half the precision."""
    deep = STEPPED[kind]().float()
    x = torch.randn(T, B, I)
    expected, states = deep(x, lengths=LENGTHS)
    with torch.autocast("cpu", torch.bfloat16):
        y, found = deep(x, lengths=LENGTHS)
    assert_close(y.float(), expected, 0.05)
    for mine, wanted in zip(flat(found), flat(states), strict=True):
        assert_close(mine.float(), wanted, 0.05)
    y.float().sum().backward()


# -- as modules go -----------------------------------------------------------------------------------------------


def whole():
    return gw.Deep(
        [recurrent("lstm", I, H), linear(H, H), recurrent("mgu", H, H)], highway=True, norm="pre", dropout=0.5
    ).eval()


def test_copies_files_and_names():
    deep, x = whole(), series(T, B, I)
    y = deep(x)[0]
    assert {name for name in deep.state_dict() if "row" not in name} == {
        *(f"layers.0.{name}" for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")),
        *("layers.1.weight", "layers.1.bias", "layers.2.W_l0", "layers.2.U_n_l0", "layers.2.U_h_l0", "layers.2.b_l0"),
        *("norms.2.weight", "norms.2.bias", "highways.2.gate.weight", "highways.2.gate.bias"),
    }
    for twin in (copy.deepcopy(deep), pickle.loads(pickle.dumps(deep))):
        assert torch.equal(twin(x)[0], y)
    file = io.BytesIO()
    torch.save(deep.state_dict(), file)
    file.seek(0)
    other = whole()
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(x)[0], y)
    assert deep.extra_repr() == "highway=True, norm='pre', dropout=0.5"
    assert (deep.highways["2"].gate.bias == -1).all()


def test_it_moves_with_its_modules_and_norms_are_of_any_kind():
    deep = gw.Deep.of("gru", I, H, 3, norm="post", norm_layer=nn.RMSNorm, residual=True, dtype=torch.float64)
    assert all(type(norm) is nn.RMSNorm and norm.weight.dtype == torch.float64 for norm in deep.norms.values())
    x = torch.randn(T, B, I)
    assert deep.float()(x)[0].dtype == torch.float32
    assert [c.name for c in deep.backend_for(x)] == ["cpu"] * 3
    assert str(deep.backend_for(x)).count("kernels are compiled from the equations") == 3


COMPILED = """
import torch, gatewright as gw
from torch.func import functional_call

@gw.cell
def linked(x, c_below, /, h, c):
    c = gw.sigmoid(gw.affine(x, h, name="f")) * c + c_below
    return gw.tanh(c), c

layers = [gw.LSTM(4, 5), torch.nn.Linear(5, 5), gw.Recurrent(linked, (5, 5), 5), gw.GRU(5, 5)]
deep = gw.Deep(layers, residual=True, norm="post", dropout=0.5, dropout_kind="locked").double()
x, hx = torch.randn(6, 3, 4).double(), ((torch.randn(1, 3, 5).double(),) * 2, None, None)
lengths = torch.tensor([6, 0, 3])
compiled = torch.compile(deep, fullgraph=True, backend="aot_eager")
found = []
for run in (deep, compiled):
    torch.manual_seed(0)
    y, ((h, c), _, n) = run(x, hx, lengths=lengths)
    found.append((y, h, c, n, *torch.autograd.grad(sum(t.sin().sum() for t in (y, h, c, n)), list(deep.parameters()))))
for mine, wanted in zip(*found, strict=True):
    torch.testing.assert_close(mine, wanted)
print("the same")
"""


@pytest.mark.slow
def test_compiled_in_one_piece():
    """In a process of its own, without the checks of shapes that the tests put around the kernels."""
    found = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True, check=False)
    assert found.stdout.strip() == "the same", found.stderr


# -- bad input ---------------------------------------------------------------------------------------------------


def lstm(*sizes, **options):
    return recurrent("lstm", *sizes, **options)


REFUSED = {
    r"layers: expected a recurrent layer first, got Linear": lambda: gw.Deep([linear(I, H), lstm(H, H)]),
    r"layers: expected a recurrent layer first, got an empty list": lambda: gw.Deep([]),
    r"layers\[1\]: expected 5 features, as come out of what stands before it, got input_size=4; a torch.nn.Linear": (
        lambda: gw.Deep([lstm(I, H), lstm(4, 4)])
    ),
    r"layers\[1\]: expected a module that maps \(…, 5\) to \(…, features\), got Linear": (
        lambda: gw.Deep([lstm(I, H), linear(3, 3)])
    ),
    r"layers: expected batch_first to be the same in every layer, got False, True": (
        lambda: gw.Deep([lstm(I, H), lstm(H, H, batch_first=True)])
    ),
    r"for residual=True, got 5 into layers\[1\] and 7 out; torch.nn.Linear\(7, 5\) behind it": (
        lambda: gw.Deep([lstm(I, H), lstm(H, 7)], residual=True)
    ),
    r"highway: expected False with residual=True": lambda: gw.Deep([lstm(I, H)], residual=True, highway=True),
    r"residual: expected True or False, got 1": lambda: gw.Deep([lstm(I, H)], residual=1),
    r"norm: expected None, 'pre' or 'post', got 'layer'": lambda: gw.Deep([lstm(I, H)], norm="layer"),
    r"dropout: expected a probability from 0 to below 1, got 2": lambda: gw.Deep([lstm(I, H)], dropout=2),
    r"dropout_kind: expected 'fresh' or 'locked', got 'same'": lambda: gw.Deep([lstm(I, H)], dropout_kind="same"),
    r"layers\[0\], input c_below: expected a layer of one cell below, got none": (
        lambda: gw.Deep([recurrent(highway_lstm, (H, H), H)])
    ),
    r"layers\[1\], input c_below: expected a state of the layer below \(h\), got c": (
        lambda: gw.Deep([recurrent("gru", I, H), recurrent(highway_lstm, (H, H), H)])
    ),
    r"layers\[2\], input c_below: expected 8 features, as the layer below has, got 5": (
        lambda: gw.Deep([lstm(I, 8), linear(8, H), recurrent(highway_lstm, (H, H), H)])
    ),
    r"layers\[1\], input static: expected 2 features, as in a layer before, got 3": (
        lambda: gw.Deep([recurrent("ea_lstm", (I, 2), H), recurrent("ea_lstm", (H, 3), H)])
    ),
    r"hidden_size: expected one, or a list of 2, got a list of 3": lambda: gw.Deep.of("gru", I, [H] * 3, 2),
    r"projection: expected at least 1, got 0": lambda: gw.Deep.of("gru", I, H, projection=0),
    r"state: expected a tuple with the state of each of the 2 recurrent layers, got 1": (
        lambda: whole()(series(T, B, I), (None,))
    ),
    r"input: expected 4 features in the last dimension, got 3": lambda: whole()(series(T, B, 3)),
    r"lengths: expected at most the input's 6 steps": lambda: whole()(series(T, B, I), lengths=[7, 1, 1]),
    r"step: a layer with two directions": lambda: gw.Deep([lstm(I, H, bidirectional=True)]).step(series(B, I)),
    r"a PackedSequence has its lengths": (
        lambda: whole()(pack_padded_sequence(series(T, B, I), [T, 2, 1]), lengths=[T, 2, 1])
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_does_not_fit_is_named(message):
    with pytest.raises(ValueError, match=message):
        REFUSED[message]()


def test_an_error_in_a_layer_says_which():
    with pytest.raises(ValueError, match="state h: expected shape") as caught:
        whole()(series(T, B, I), (None, series(1, B, 2)))
    assert caught.value.__notes__ == ["in layers[2] of a gw.Deep"]


def test_what_is_no_layer_is_named():
    with pytest.raises(TypeError, match=r"layers\[0\]: expected a layer of gatewright, got torch.nn.LSTM; gw.replace"):
        gw.Deep([nn.LSTM(I, H)])
    with pytest.raises(TypeError, match=r"layers\[1\]: expected a recurrent layer or another nn.Module, got str"):
        gw.Deep([lstm(I, H), "lstm"])  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="layers: expected a list of modules, got Recurrent"):
        gw.Deep(lstm(I, H))  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="state: expected a tuple with the state of each of the 2 recurrent layers"):
        whole()(series(T, B, I), series(1, B, H))
