"""Layers of convolutions: the reference's results in every setting, a plain loop's, and what a call may look like."""

from __future__ import annotations

import copy
import itertools
import pickle
import re

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gatewright as gw
from cases import case_for, generator
from gatewright.plan.pieces import pieces
from tolerances import assert_close

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit.script.* is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning"),
]

T, B, C, H = 5, 4, 2, 3
SPACES = {1: (7,), 2: (4, 5), 3: (3, 4, 2)}
LENGTHS = torch.tensor([3, 0, 5, 1])
RESET = torch.rand(T, B, generator=generator(2)) < 0.3
FAST = ("cpu", "torch")


def sample(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def frames(dims: int = 2, channels: int = C, steps: int = T, seed: int = 0) -> Tensor:
    return sample(steps, B, channels, *SPACES[dims], seed=seed)


def tensors(found) -> list[Tensor]:
    return [found] if isinstance(found, Tensor) else [t for part in found for t in tensors(part)]


def made(backend: str, cell="peephole_lstm", channels=C, hidden: int = H, kernel=3, *layers, **options):
    torch.manual_seed(1)
    return gw.ConvRecurrent(
        cell, channels, hidden, kernel, *layers, backend=backend, **({"dtype": torch.float64} | options)
    )


def results(layer, x, hx=None, **given) -> list[Tensor]:
    """Outputs, states, and the gradients of inputs, states and weights for random cotangents."""
    leaves = [t.detach().requires_grad_() for t in tensors(x)]
    began = None if hx is None else [t.detach().requires_grad_() for t in tensors(hx)]
    x = leaves[0] if isinstance(x, Tensor) else tuple(leaves)
    outputs = tensors(layer(x, began if began is None or len(began) > 1 else began[0], **given))
    loss = torch.stack([(y * sample(*y.shape, seed=i)).sum() for i, y in enumerate(outputs)]).sum()
    return [*outputs, *torch.autograd.grad(loss, [*leaves, *(began or ()), *layer.parameters()])]


def check(make, x, hx=None, *, fast=FAST, **given) -> None:
    expected = results(make("reference"), x, hx, **given)
    for backend in fast:
        layer = make(backend)
        assert layer.backend_for(x).name == backend
        for i, (mine, theirs) in enumerate(zip(results(layer, x, hx, **given), expected, strict=True)):
            assert_close(mine, theirs, 1e-10, f"{backend}, result {i}")


# -- the plain loop ------------------------------------------------------------------------------------------


class PlainLoop(nn.Module):
    """A ConvLSTM as it is usually written: one convolution of [x, h] a step, its channels in four gates."""

    def __init__(self, channels: int, hidden: int, kernel: int, dims: int, *, peepholes: bool = False):
        super().__init__()
        layer = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1]
        self.conv = layer(channels + hidden, 4 * hidden, kernel, padding=kernel // 2, dtype=torch.float64)
        self.hidden, self.peepholes = hidden, peepholes
        if peepholes:
            self.p = nn.Parameter(sample(3, hidden, *(1,) * dims, seed=9))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = c = x.new_zeros(x.shape[1], self.hidden, *x.shape[3:])
        outputs = []
        for frame in x:
            i, f, g, o = self.conv(torch.cat([frame, h], 1)).chunk(4, 1)
            if self.peepholes:
                i, f = i + self.p[0] * c, f + self.p[1] * c
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            if self.peepholes:
                o = o + self.p[2] * c
            h = o.sigmoid() * c.tanh()
            outputs.append(h)
        return torch.stack(outputs), c


@pytest.mark.parametrize("peepholes", [False, True], ids=["lstm", "peepholes"])
@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("backend", ["cpu", "torch", "reference"])
def test_a_plain_loop(backend, dims, peepholes):
    loop = PlainLoop(C, H, 3, dims, peepholes=peepholes)
    layer = made(backend, "peephole_lstm" if peepholes else "lstm", dims=dims)
    weight, bias = loop.conv.weight, loop.conv.bias
    assert bias is not None
    views = layer.weights()
    with torch.no_grad():
        for k, gate in enumerate("ifgo"):
            rows = slice(k * H, (k + 1) * H)
            for name, value in ((f"W_{gate}", weight[rows, :C]), (f"U_{gate}", weight[rows, C:])):
                views[name].copy_(value)
            views[f"b_{gate}"].copy_(bias[rows])
        for k, gate in enumerate("ifo" if peepholes else ""):
            views[f"p_{gate}"].copy_(loop.p[k].flatten())
    x, mine = frames(dims).requires_grad_(), frames(dims).requires_grad_()
    expected, last = loop(x)
    y, (h, c) = layer(mine)
    assert_close(y, expected, 1e-12)
    assert_close(c[0], last, 1e-12)
    assert_close(h[0], expected[-1], 1e-12)
    along = sample(*y.shape, seed=3)
    (y * along).sum().backward()
    (expected * along).sum().backward()
    assert mine.grad is not None and x.grad is not None and weight.grad is not None
    assert_close(mine.grad, x.grad, 1e-12)
    grads = layer.weights(grad=True)
    assert_close(torch.cat([grads[f"W_{gate}"] for gate in "ifgo"]), weight.grad[:, :C], 1e-12)
    assert_close(torch.cat([grads[f"U_{gate}"] for gate in "ifgo"]), weight.grad[:, C:], 1e-12)
    if peepholes:
        assert loop.p.grad is not None
        assert_close(torch.cat([grads[f"p_{gate}"] for gate in "ifo"]), loop.p.grad.flatten(), 1e-12)


# -- the reference's results ---------------------------------------------------------------------------------


@pytest.mark.parametrize("reset", [False, True], ids=["no reset", "reset"])
@pytest.mark.parametrize("states", [None, "all"])
def test_every_setting(states, reset):
    """All layers, directions, layouts, lengths and first states."""
    for two, first, cut, began in itertools.product(*[(False, True)] * 4):
        layers = 1 + first

        def make(backend, layers=layers, two=two, first=first):
            return made(backend, "lstm", C, H, 3, layers, bidirectional=two, batch_first=first, dims=1)

        x = frames(1).transpose(0, 1) if first else frames(1)
        hx = tuple(sample(layers * (1 + two), B, H, *SPACES[1], seed=s) for s in (3, 4)) if began else None
        given = {"lengths": LENGTHS} if cut else {}
        given |= {"reset": RESET.T if first else RESET} if reset else {}
        check(make, x, hx, states=states, fast=("cpu",), **given)


USUAL = ("gru", "gru_original", "lstmp", "qrnn", "layer_norm_lstm")
CELLS = [pytest.param(name, marks=() if name in USUAL else pytest.mark.slow) for name in gw.cells]


@pytest.mark.parametrize("name", CELLS)
def test_every_cell(name):
    case = case_for(gw.cells[name].graph, C, H)
    alone = name in ("mut1", "mut2", "sru")  # as wide as its input: no pair of directions fits on top

    def make(backend):
        sizes = {"sizes": case.sizes, "bidirectional": True, "dims": 1}
        return made(backend, gw.cells[name], case.input_size, case.hidden_size, 3, 1 if alone else 2, **sizes)

    xs = tuple(frames(1, n, seed=i) for i, n in enumerate(case.inputs))
    check(make, xs if len(xs) > 1 else xs[0], lengths=[3, 2, 5, 1], reset=RESET)


@gw.cell
def chained(x, h, c):
    """A cell of one's own: products one after the other, of inputs and of states, and one value for all units."""
    a = gw.tanh(gw.linear(gw.relu(gw.linear(x, name="first")), name="second"))
    r = gw.sigmoid(gw.affine(a, h))
    u = gw.tanh(gw.layer_norm(gw.linear(r * h)) + gw.mean(c))
    v = gw.tanh(gw.linear(u) + gw.diagonal(c) + a)
    c = r * c + (1 - r) * v
    h = gw.linear(gw.tanh(c))
    return h, c


def test_a_cell_of_ones_own():
    check(lambda backend: made(backend, chained, dims=1), frames(1))


@pytest.mark.parametrize("mode", ["zeros", "circular", "reflect", "replicate"])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_kernels_of_every_shape(dims, mode):
    """Even kernels, other ones for states, distances between taps."""
    for kernel, own, dilation in ((2, None, 1), (1, 3, 1), ((3, 1, 2)[:dims], 2, 1), (2, None, (2, 1, 1)[:dims])):

        def make(backend, kernel=kernel, own=own, dilation=dilation):
            options = {"recurrent_kernel_size": own, "dilation": dilation, "padding_mode": mode}
            return made(backend, "gru", kernel=kernel, dims=dims, **options)

        check(make, frames(dims, steps=2), fast=("cpu",))


def test_a_frame_keeps_its_size_as_torch_has_it():
    layer = made("cpu", "rnn", kernel=(3, 4), dilation=(2, 1), padding_mode="zeros")
    x = frames(steps=1)
    views = layer.weights()
    b = views["b_h"] if "b_h" in views else views["b_h_x"]
    expected = torch.tanh(F.conv2d(F.pad(x[0], (1, 2, 2, 2)), views["W_h"], b, dilation=(2, 1)))
    assert_close(layer(x)[0][0], expected, 1e-12)


def test_peepholes_of_every_pixel():
    def make(backend):
        return made(backend, peephole_size=SPACES[2])

    assert make("cpu").weights()["p_f"].shape == (H, *SPACES[2])
    check(make, frames(), lengths=LENGTHS, reset=RESET)
    alike, plain = make("cpu"), made("cpu")
    with torch.no_grad():
        for name, view in alike.weights().items():
            own = plain.weights()[name]
            view.copy_(own.reshape(H, 1, 1).expand_as(view) if name[0] == "p" else own)
    assert_close(alike(frames())[0], plain(frames())[0], 1e-12)


def test_a_kernel_of_one_tap_is_the_plain_layer_at_every_pixel():
    layer, plain = made("cpu", kernel=1), gw.Recurrent("peephole_lstm", C, H, dtype=torch.float64)
    with torch.no_grad():
        for name, view in plain.weights().items():
            view.copy_(layer.weights()[name].reshape(view.shape))
    y, _ = layer(frames())
    expected, _ = plain(frames().movedim(2, -1).flatten(1, 3))
    assert_close(y.movedim(2, -1).flatten(1, 3), expected, 1e-12)


# -- sequences -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["cpu", "torch", "reference"])
def test_what_is_masked_reaches_nothing(backend):
    layer, x = made(backend, bidirectional=True), frames()
    x[3:, 0], x[:, 1], x[1:, 3] = float("nan"), float("inf"), float("nan")
    y, states = layer(x.requires_grad_(), lengths=LENGTHS)
    (y.sum() + sum(s.sum() for s in states)).backward()
    assert (y[3:, 0] == 0).all() and (y[:, 1] == 0).all()
    found = [y, *states, x.grad, *(p.grad for p in layer.parameters())]
    assert all(torch.isfinite(t).all() for t in found)


@pytest.mark.parametrize("backend", ["cpu", "torch", "reference"])
def test_a_nan_stays_in_its_sequence(backend):
    x = frames()
    x[1, 2, 0, 1, 1] = float("nan")
    y, _ = made(backend)(x, lengths=[5, 5, 5, 2])
    assert y[1:, 2].isnan().any()
    assert torch.isfinite(y[:, [0, 1, 3]]).all()


@pytest.mark.parametrize("name", ["peephole_lstm", "gru", "qrnn", "slstm"])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_sequence_in_pieces_and_step_by_step(backend, name):
    layer, x = made(backend, name), frames()
    whole, last = layer(x)
    first, state = layer(x[:2])
    second, state = layer(x[2:4], state)
    third, state = layer.step(x[4], state)
    assert_close(torch.cat([first, second, third.unsqueeze(0)]), whole, 1e-12)
    for mine, theirs in zip(tensors(state), tensors(last), strict=True):
        assert_close(mine, theirs, 1e-12)


@pytest.mark.parametrize("backend", ["cpu", "torch", "reference"])
def test_one_sequence_and_none(backend):
    layer, x = made(backend), frames()
    y, (h, c) = layer(x[:, 0])
    batched, (_, cs) = layer(x[:, :1])
    assert y.shape == (T, H, *SPACES[2]) and h.shape == c.shape == (1, H, *SPACES[2])
    assert_close(y, batched[:, 0], 1e-12)
    assert_close(c, cs[:, 0], 1e-12)
    y, state = layer(x[:0], (torch.ones(1, B, H, *SPACES[2], dtype=torch.float64),) * 2)
    assert y.shape == (0, B, H, *SPACES[2]) and all((s == 1).all() for s in state)
    y, (h, _) = layer(x[:, :0])
    assert y.shape == (T, 0, H, *SPACES[2]) and h.shape == (1, 0, H, *SPACES[2])


def test_an_input_that_stands_still():
    """For each pixel, or the same for all pixels."""
    x, still = frames(), sample(B, 4, *SPACES[2], seed=1)
    layer = made("cpu", "ea_lstm", (C, 4))
    y, _ = layer((x, still))
    expected, _ = layer((x, still.expand(T, *still.shape)))
    assert_close(y, expected, 1e-12)
    level = still[..., 0, 0]
    y, _ = layer((x, level))
    expected, _ = layer((x, level[..., None, None].expand_as(still)))
    assert_close(y, expected, 1e-12)
    alone, _ = layer((x[:, 0], level[0]))
    assert_close(alone, y[:, 0], 1e-12)


# -- as a module ---------------------------------------------------------------------------------------------


def test_saving_loading_and_copying(tmp_path):
    layer, x = made("cpu", num_layers=2, bidirectional=True), frames()
    y, _ = layer(x)
    torch.save(layer.state_dict(), tmp_path / "weights")
    fresh = made("cpu", num_layers=2, bidirectional=True)
    fresh.reset_parameters()
    fresh.load_state_dict(torch.load(tmp_path / "weights"))
    for again in (fresh, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(again(x)[0], y)


def test_rows_are_matched_by_name():
    """The lines of a cell in another order load into the right gates."""

    @gw.cell
    def turned(x, h, c):
        o = gw.sigmoid(gw.affine(x, h))
        g = gw.tanh(gw.affine(x, h))
        f = gw.sigmoid(gw.affine(x, h))
        i = gw.sigmoid(gw.affine(x, h))
        c = f * c + i * g
        h = o * gw.tanh(c)
        return h, c

    one, other = made("cpu", "lstm"), made("cpu", turned)
    assert not torch.allclose(other(frames())[0], one(frames())[0])
    other.load_state_dict(one.state_dict())
    assert_close(other(frames())[0], one(frames())[0], 1e-12)


def test_weights_begin_as_those_of_other_layers():
    views = made("cpu", "lstm", hidden=8).weights()
    assert (views["b_f"] == 1).all() and (views["b_i"] == 0).all()
    u = views["U_g"].flatten(1)
    assert_close(u @ u.T, torch.eye(8, dtype=torch.float64), 1e-10)


def test_second_derivatives_and_transforms():
    layer = made("cpu", "gru", 1, 2, 2, dims=1)
    x = sample(2, 1, 1, 3).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: layer(x)[0], (x,))
    tangent = sample(2, 1, 1, 3, seed=1)
    forward = torch.func.jvp(lambda x: layer(x)[0], (x.detach(),), (tangent,))[1]
    expected = torch.autograd.functional.jvp(lambda x: layer(x)[0], x.detach(), tangent)[1]
    assert isinstance(expected, Tensor)
    assert_close(forward, expected, 1e-10)


def test_other_dtypes_and_autocast():
    layer = gw.ConvRecurrent("lstm", C, H, 3)
    x = frames().float()
    y, _ = layer(x)
    with torch.autocast("cpu"):
        low, (h, c) = layer(x)
    assert low.dtype == h.dtype == c.dtype == torch.float32
    assert_close(low, y, 0.03)
    half = layer.to(torch.bfloat16)
    assert half.backend_for(x.bfloat16()).name == "torch"
    assert half(x.bfloat16())[0].dtype == torch.bfloat16


def test_dropout_between_layers():
    layer, x = made("cpu", num_layers=2, dropout=0.5), frames()
    assert not torch.equal(layer(x)[0], layer(x)[0])
    layer.eval()
    assert torch.equal(layer(x)[0], layer(x)[0])


def test_its_text():
    layer = gw.ConvRecurrent("gru", 2, 3, (3, 5), 2, padding_mode="circular", peephole_size=8, backend="torch")
    expected = "gru, 2, 3, kernel_size=(3, 5), num_layers=2, padding_mode='circular', peephole_size=(8, 8)"
    assert repr(layer) == f"ConvRecurrent({expected}, backend='torch')"


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
