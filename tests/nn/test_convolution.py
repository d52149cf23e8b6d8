"""Layers of convolutions: the reference's results in every setting, and a plain loop's."""

from __future__ import annotations

import itertools

import pytest
import torch
from convolution_cases import LENGTHS, RESET, SPACES, B, C, H, chained, check, frames, made, sample
from torch import Tensor, nn
from torch.nn import functional as F

import gatewright as gw
from cases import case_for
from tolerances import assert_close

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit.script.* is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning"),
]

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

    xs: tuple[torch.Tensor, ...] = tuple(frames(1, n, seed=i) for i, n in enumerate(case.inputs))
    first, *others = xs
    check(make, xs if others else first, lengths=[3, 2, 5, 1], reset=RESET)


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
