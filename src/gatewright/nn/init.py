"""How weights begin: functions over a layer, by the equations' names.

Every function takes a recurrent layer (or a whole model, for all recurrent layers inside) and fills weights in place,
in all layers and directions. Weights are named as in the equations, `"U_f"`, or by their kind, `"U"`: W, U, b, p
(diagonals) or gain. A bias that torch's layout keeps in two parts has its value as their sum. `generator=` is where
random numbers come from; default torch's own.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..graph import Cell, Graph
from . import arguments
from .filling import default, like_torch
from .filling import orthogonal as _orthogonal
from .gates import keepers
from .places import KINDS, Generator, places

__all__ = [
    "chrono", "constant", "default", "forget_bias", "forget_gates", "glorot", "identity", "like_torch", "orthogonal",
    "uniform", "zeros",
]  # fmt: skip


def forget_gates(cell: Cell | nn.Module) -> dict[str, dict[str, float]]:
    """Which named gates multiply a state's old value: 1 for f in f ⊙ c, −1 for z in (1 − z) ⊙ h.

    Worked out from the equations. A state that no gate keeps is left out, so for an Elman network nothing is there.

    Args:
        cell: a cell, or a layer.

    >>> import gatewright as gw
    >>> gw.init.forget_gates(gw.cells.lstm)
    {'c': {'f': 1.0}}
    >>> gw.init.forget_gates(gw.cells.mgu)
    {'h': {'f': -1.0}}
    """
    found: dict[str, dict[str, float]] = {}
    graph = cell.graph if isinstance(cell, Cell) else getattr(cell, "_graph", None)
    if not isinstance(graph, Graph):
        raise TypeError(f"forget_gates: expected a cell or a recurrent layer, got {type(cell).__name__}")
    for gate in keepers(graph):
        found.setdefault(gate.state, {})[gate.name] = gate.sign
    return found


# -- by gates that keep a state --------------------------------------------------------------------------------


@torch.no_grad()
def forget_bias(layer: nn.Module, value: float = 1.0) -> None:
    """The bias of every gate that keeps a state; −value where the gate's complement keeps it.

    Source: F. A. Gers, J. Schmidhuber and F. Cummins, Learning to forget, Neural Computation 12, 2000; the value 1:
    R. Jozefowicz, W. Zaremba and I. Sutskever, An empirical exploration of recurrent network architectures, 2015.

    Raises:
        ValueError: no gate keeps a state, or the layer has no biases.

    >>> import gatewright as gw
    >>> layer = gw.LSTM(3, 5)
    >>> gw.init.forget_bias(layer, 2.0)
    >>> (layer.weights()["b_f_x"] + layer.weights()["b_f_h"]).tolist()
    [2.0, 2.0, 2.0, 2.0, 2.0]
    """
    arguments.check_number("value", value)
    for place in places(layer, "forget_bias"):
        for gate in place.keepers("forget_bias"):
            name, sign, _ = place.bias(gate, "forget_bias")
            place.put(name, torch.full_like(place.rows(name)[0], gate.sign * sign * value))


@torch.no_grad()
def chrono(layer: nn.Module, max_lag: float, *, generator: Generator = None) -> None:
    """Biases under which units forget over times from 2 steps to `max_lag`: log u, with u from U(1, max_lag − 1).

    A gate f that keeps a state begins at b_f = log u, so that it keeps u / (1 + u) of it; its input gate at
    b_i = −log u. Where the gate's complement keeps the state (z in (1 − z) ⊙ h, i in c = (1 − i) ⊙ c + i ⊙ g) its bias
    is −log u. An exponential gate gets the logarithm of what a sigmoid would give.

    Args:
        layer: of any cell with a gate that keeps a state; `forget_gates` names them.
        max_lag: the longest dependency that is expected, T_max of the paper, in steps; more than 2.
        generator: of the random numbers.

    Raises:
        ValueError: no gate keeps a state, the layer has no biases, or max_lag is too small.

    Source: C. Tallec and Y. Ollivier, Can recurrent neural networks warp time?, ICLR 2018, equations 12 and 16.

    >>> import gatewright as gw
    >>> layer = gw.Recurrent("peephole_lstm", 3, 5)
    >>> gw.init.chrono(layer, max_lag=100)
    >>> weights = layer.weights()
    >>> bool((weights["b_f"] >= 0).all() and (weights["b_i"] == -weights["b_f"]).all())
    True
    """
    if isinstance(max_lag, bool) or not isinstance(max_lag, int | float) or not 2 < max_lag < math.inf:
        raise arguments.wrong("max_lag", "a number of steps, more than 2", repr(max_lag))
    arguments.check_generator(generator)
    for place in places(layer, "chrono"):
        drawn: list[Tensor] = []
        for gate in place.keepers("chrono"):
            drawn.append(place.log_times(gate, max_lag, generator))
            place.put_kept(gate, drawn[-1])
        for gate in place.openers():
            name = place.bias(gate, "chrono")[0]
            alike = len(drawn) == 1 and drawn[0].shape == place.rows(name)[0].shape
            place.put_kept(gate, -(drawn[0] if alike else place.log_times(gate, max_lag, generator)))


# -- by names --------------------------------------------------------------------------------------------------


@torch.no_grad()
def identity(layer: nn.Module, *names: str, gain: float = 1.0) -> None:
    """Recurrent matrices that are `gain` times the identity, and biases of 0; all matrices U unless some are named.

    With a relu such a network remembers from the start. A matrix with more rows than columns, or fewer, has ones on
    its diagonal; of a block-diagonal matrix each block has; of a convolution the middle of the kernel. With names,
    the biases of the same equations alone become 0.

    Source: Q. V. Le, N. Jaitly and G. E. Hinton, A simple way to initialize recurrent networks of rectified linear
    units, arXiv 1504.00941, 2015 (who draw W from a normal distribution with deviation 0.001).

    >>> import gatewright as gw
    >>> layer = gw.RNN(3, 2, nonlinearity="relu")
    >>> gw.init.identity(layer)
    >>> layer.weight_hh_l0
    Parameter containing:
    tensor([[1., 0.],
            [0., 1.]], requires_grad=True)
    """
    arguments.check_number("gain", gain)
    for place in places(layer, "identity"):
        for name in place.selected(names or ("U",), "identity"):
            for weight in place.matrices(name, "identity"):
                _eye(weight, place.blocks(name), gain)
        for name in place.of_kind("b"):
            stems = {f"b_{_stem(chosen)}" for chosen in names}
            if not names or any(name == stem or name.startswith(f"{stem}_") for stem in stems):
                place.put(name, torch.zeros_like(place.rows(name)[0]))


@torch.no_grad()
def orthogonal(layer: nn.Module, *names: str, gain: float = 1.0, generator: Generator = None) -> None:
    """An orthogonal matrix for each gate (and each head); all matrices U unless others are named.

    Source: A. M. Saxe, J. L. McClelland and S. Ganguli, Exact solutions to the nonlinear dynamics of learning in deep
    linear neural networks, ICLR 2014.

    >>> import gatewright as gw, torch
    >>> layer = gw.GRU(3, 5)
    >>> gw.init.orthogonal(layer, generator=torch.Generator().manual_seed(0))
    >>> u = layer.weights()["U_z"]
    >>> torch.allclose(u @ u.T, torch.eye(5), atol=1e-5)
    True
    """
    arguments.check_number("gain", gain)
    arguments.check_generator(generator)
    for place in places(layer, "orthogonal"):
        for name in place.selected(names or ("U",), "orthogonal"):
            for weight in place.matrices(name, "orthogonal"):
                _orthogonal(weight, place.blocks(name), gain, generator)


@torch.no_grad()
def glorot(layer: nn.Module, *names: str, gain: float = 1.0, generator: Generator = None) -> None:
    """U(−a, a) with a = gain · √(6 / (rows + columns)), gate by gate; all matrices W unless others are named.

    Source: X. Glorot and Y. Bengio, Understanding the difficulty of training deep feedforward neural networks,
    AISTATS 2010.

    >>> import gatewright as gw
    >>> layer = gw.Recurrent("mgu", 3, 5)
    >>> gw.init.glorot(layer, "W", "U_f")
    """
    arguments.check_number("gain", gain)
    arguments.check_generator(generator)
    for place in places(layer, "glorot"):
        for name in place.selected(names or ("W",), "glorot"):
            for weight in place.matrices(name, "glorot"):
                for block in weight.unflatten(0, (place.blocks(name), -1)):
                    nn.init.xavier_uniform_(block, gain, generator=generator)


@torch.no_grad()
def uniform(layer: nn.Module, *names: str, bound: float | None = None, generator: Generator = None) -> None:
    """U(−bound, bound), 1/√H if no bound is given: all weights, biases too, unless some are named.

    So torch's recurrent modules begin, and our drop-ins. Both parts of torch's biases are drawn.

    >>> import gatewright as gw
    >>> layer = gw.Recurrent("mgu", 3, 16)
    >>> gw.init.uniform(layer)
    >>> bool(layer.W_l0.abs().max() <= 0.25)
    True
    """
    if bound is not None:
        arguments.check_number("bound", bound, "a number from 0", low=0)
    arguments.check_generator(generator)
    for place in places(layer, "uniform"):
        limit = place.hidden_size**-0.5 if bound is None else bound
        for name in place.selected(names or KINDS, "uniform"):
            for weight in place.rows(name):
                nn.init.uniform_(weight, -limit, limit, generator=generator)


@torch.no_grad()
def constant(layer: nn.Module, value: float, *names: str) -> None:
    """The same number everywhere in the named weights.

    >>> import gatewright as gw
    >>> layer = gw.Recurrent("lstm", 3, 5)
    >>> gw.init.constant(layer, -1.0, "b_o")
    """
    if not names:
        raise TypeError("constant: expected names of weights, as in constant(layer, 1.0, 'b_f'), got none")
    arguments.check_number("value", value)
    for place in places(layer, "constant"):
        for name in place.selected(names, "constant"):
            place.put(name, torch.full_like(place.rows(name)[0], value))


def zeros(layer: nn.Module, *names: str) -> None:
    """0 everywhere in the named weights; in all biases if none are named.

    >>> import gatewright as gw
    >>> layer = gw.LSTM(3, 5)
    >>> gw.init.zeros(layer)
    >>> bool(layer.bias_ih_l0.any() or layer.bias_hh_l0.any())
    False
    """
    constant(layer, 0.0, *(names or ("b",)))


# -- one matrix -----------------------------------------------------------------------------------------------


def _stem(name: str) -> str:
    """What a weight is named after: f of U_f; of all weights of a kind nothing that could be meant."""
    return name.partition("_")[2] or " "


def _eye(weight: Tensor, blocks: int, gain: float) -> None:
    for block in weight.unflatten(0, (blocks, -1)):
        if block.dim() > 2:
            nn.init.dirac_(block)
        else:
            nn.init.eye_(block)
        block.mul_(gain)
