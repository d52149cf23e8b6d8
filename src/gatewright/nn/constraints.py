"""Constraints on weights by the equations' names, kept by projection after each step of an optimiser.

    gw.constrain(layer, p_h=(-1.0, 1.0), U_f=gw.constraints.max_norm(3.0))

A constraint is a function from a weight to the nearest that is allowed: one of those below, or any of one's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from ..graph.errors import suggestion
from . import arguments
from .convolution import ConvRecurrent
from .ensemble import Ensemble
from .stack import Stack
from .step_cell import _StepCell

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.utils.hooks import RemovableHandle

Constraint = Callable[[Tensor], Tensor]


# -- which there are -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class between:
    """Every element from `low` to `high`, both included; (low, high) is short for it. Infinite ends are none.

    >>> import gatewright as gw, torch
    >>> gw.constraints.between(-1, 1)(torch.tensor([-3.0, 0.5, 2.0]))
    tensor([-1.0000,  0.5000,  1.0000])
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not _numbers(self.low, self.high) or not self.low <= self.high:
            raise arguments.wrong("between", "two numbers, the lower one first", (self.low, self.high))

    def __call__(self, weight: Tensor) -> Tensor:
        return weight.clamp(self.low, self.high)


def non_negative() -> between:
    """Every element 0 or more.

    >>> import gatewright as gw
    >>> gw.constraints.non_negative()
    between(low=0.0, high=inf)
    """
    return between(0.0, math.inf)


@dataclass(frozen=True)
class magnitude:
    """The magnitude of every element from `low` to `high`; its sign stays, and 0 counts as positive.

    >>> import gatewright as gw, torch
    >>> gw.constraints.magnitude(0.5, 1.0)(torch.tensor([-3.0, -0.25, 0.75]))
    tensor([-1.0000, -0.5000,  0.7500])
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not _numbers(self.low, self.high) or not 0 <= self.low <= self.high:
            raise arguments.wrong("magnitude", "two numbers from 0, the lower one first", (self.low, self.high))

    def __call__(self, weight: Tensor) -> Tensor:
        kept = weight.abs().clamp(self.low, self.high)
        return torch.where(weight < 0, -kept, kept)


@dataclass(frozen=True)
class max_norm:
    """The norm √(Σ w²) of what comes into each unit, a row of a matrix, at most `limit`; of a vector as a whole.

    Longer rows are scaled down, which is the projection on the ball of that radius (N. Srebro and A. Shraibman, Rank,
    trace-norm and max-norm, 2005; for dropout N. Srivastava et al., 2014).

    >>> import gatewright as gw, torch
    >>> gw.constraints.max_norm(1.0)(torch.tensor([[3.0, 4.0], [0.3, 0.4]]))
    tensor([[0.6000, 0.8000],
            [0.3000, 0.4000]])
    """

    limit: float

    def __post_init__(self) -> None:
        arguments.check_number("max_norm", self.limit, "a finite number from 0", low=0)

    def __call__(self, weight: Tensor) -> Tensor:
        rows = weight.flatten(1) if weight.dim() > 1 else weight.unsqueeze(0)
        norm = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
        scaled = torch.where(norm > self.limit, rows * (self.limit / norm), rows)
        return scaled.reshape(weight.shape)


def _numbers(*given: object) -> bool:
    return all(isinstance(n, int | float) for n in given)


def indrnn_bound(max_lag: int, *, gamma: float = 2.0) -> float:
    """γ^(1/T): diagonal weights up to it let a gradient grow to γ at most in T steps; T is `max_lag`.

    Source: S. Li, W. Li, C. Cook, C. Zhu and Y. Gao, Independently recurrent neural network (IndRNN), 2018;
    2 is the γ of its authors' code.

    >>> import gatewright as gw
    >>> round(gw.constraints.indrnn_bound(784), 6)
    1.000885
    """
    arguments.check_size("max_lag", max_lag)
    if not arguments.check_number("gamma", gamma, "a positive number", low=0):
        raise arguments.wrong("gamma", "a positive number", gamma)
    return gamma ** (1 / max_lag)


def indrnn(max_lag: int, *, gamma: float = 2.0, epsilon: float = 0.0) -> magnitude:
    """|u| from ε^(1/T) to γ^(1/T): in T steps a gradient neither explodes beyond γ nor vanishes below ε.

    Args:
        max_lag: T, the steps of the longest dependence.
        gamma: γ, how far a gradient may grow, default 2.
        epsilon: ε, to how little it may shrink; default 0, any. Above 0 every unit remembers, which the paper does in
            the last layer of tasks that need only a long memory.

    Source: as of `indrnn_bound`.

    >>> import gatewright as gw
    >>> layer = gw.Recurrent("indrnn", 3, 64)
    >>> constraints = gw.constrain(layer, p_h=gw.constraints.indrnn(784))
    """
    high = indrnn_bound(max_lag, gamma=gamma)
    if arguments.check_number("epsilon", epsilon, f"a number from 0 to gamma ({gamma})", low=0) > gamma:
        raise arguments.wrong("epsilon", f"a number from 0 to gamma ({gamma})", epsilon)
    return magnitude(epsilon ** (1 / max_lag) if epsilon else 0.0, high)


# -- which a model keeps -------------------------------------------------------------------------------------


class Constraints:
    """What `gw.constrain` gives: which weights of a module are kept within what.

    It refers to the module and is no part of it: a `state_dict` does not hold it. Copied or pickled together with the
    module, `copy.deepcopy((model, constraints))`, it goes with the copy, but for functions of one's own that pickle
    cannot take; hooks stay with the optimiser that they were given to.
    """

    def __init__(self, module: nn.Module, rules: Mapping[str, Constraint]):
        self.module, self.rules = module, dict(rules)

    @torch.no_grad()
    def apply(self) -> None:
        """Put every constrained weight where it is allowed, in place; to be called after `optimizer.step()`."""
        for _, name, view in _constrained(self.module, self.rules):
            view.copy_(self.rules[name](view))

    def after(self, optimizer: Optimizer) -> RemovableHandle:
        """`apply` after each step of an optimiser from now on; the handle's `remove()` ends that."""
        return optimizer.register_step_post_hook(self._applied)

    def _applied(self, *_: object) -> None:
        self.apply()

    def __repr__(self) -> str:
        rules = ", ".join(f"{name}={rule}" for name, rule in self.rules.items())
        return f"Constraints({type(self.module).__name__}, {rules})"


def constrain(module: nn.Module, /, **rules: Constraint | tuple[float, float]) -> Constraints:
    """Keep weights within constraints, by the equations' names, in all layers and directions that have them.

    The weights are put there at once, and again by each `apply()`, or after each step of an optimiser.

    Args:
        module: a recurrent layer or cell, an ensemble, or a model with such inside.
        rules: for a weight's name, as `layer.weights()` has it (`p_h`, `U_f`, `b_i`), either (low, high), or one of
            `gw.constraints`, or any function that returns the allowed weight.

    Returns:
        `Constraints`, with `apply()` and `after(optimizer)`.

    Raises:
        ValueError: there is no such weight, or it is computed by a parametrisation, or nothing is recurrent.
        TypeError: a rule is neither a pair of numbers nor a function.

    >>> import gatewright as gw, torch
    >>> layer = gw.Recurrent("indrnn", 3, 64, num_layers=2)
    >>> optimizer = torch.optim.Adam(layer.parameters())
    >>> bound = gw.constraints.indrnn_bound(max_lag=784)
    >>> hook = gw.constrain(layer, p_h=(-bound, bound)).after(optimizer)
    """
    if not rules:
        raise arguments.wrong("constrain", "a rule for a weight by its name, p_h=(-1, 1)", "none")
    checked = {name: _rule(name, rule) for name, rule in rules.items()}
    _check_names(module, checked)
    made = Constraints(module, checked)
    for layer, name, view in _constrained(module, checked):
        _check_fit(layer, name, view, checked[name])
    made.apply()
    return made


def _rule(name: str, given: object) -> Constraint:
    if isinstance(given, tuple | list) and len(given) == 2 and all(isinstance(end, int | float) for end in given):
        return between(*map(float, given))
    if callable(given):
        return cast("Constraint", given)
    raise TypeError(f"{name}: expected (low, high) or a function of the weight, got {given!r}")


def _recurrent(module: nn.Module) -> Iterator[tuple[nn.Module, dict[str, Tensor]]]:
    """Every layer, direction and network of everything recurrent inside a module, with its weights by name."""
    for part in module.modules():
        if isinstance(part, Stack | ConvRecurrent):
            yield from ((part, views) for views in _each(part, part))
        elif isinstance(part, Ensemble):
            for views in _each(part, part.layer):
                yield from ((part, {name: view[i] for name, view in views.items()}) for i in range(len(part)))
        elif isinstance(part, _StepCell):
            yield part, part.weights()


def _each(part: Any, like: Stack | ConvRecurrent) -> Iterator[dict[str, Tensor]]:
    """The weights of each layer and direction, of which there are as many as `like` has."""
    for k in range(like.num_layers):
        for d in range(like.directions):
            yield part.weights(k, reverse=d == 1)


def _constrained(module: nn.Module, rules: Mapping[str, Constraint]) -> Iterator[tuple[nn.Module, str, Tensor]]:
    """(part, name, live view) of every weight that has a rule."""
    for part, views in _recurrent(module):
        for name in rules:
            if name in views:
                yield part, name, views[name]


def _check_names(module: object, rules: Mapping[str, Constraint]) -> None:
    if not isinstance(module, nn.Module):
        raise TypeError(f"constrain: expected a module, got {type(module).__name__}")
    found = [views for _, views in _recurrent(module)]
    if not found:
        remedy = "gw.replace puts ours in place of torch's"
        raise arguments.wrong("constrain", "a recurrent layer of ours", f"none in a {type(module).__name__}", remedy)
    known = list(dict.fromkeys(name for views in found for name in views))
    for name in rules:
        if name in known:
            continue
        halves = [half for half in (f"{name}_x", f"{name}_h") if half in known]
        if len(halves) == 2:
            raise ValueError(f"constrain: {name} is stored as a sum, {' + '.join(halves)}: constrain those")
        raise ValueError(
            f"constrain: there is no weight {name!r}{suggestion(name, known)} (there are {', '.join(known)})"
        )


def _check_fit(part: nn.Module, name: str, view: Tensor, rule: Constraint) -> None:
    """Writing into the view writes into the layer, and the rule gives a weight of its shape."""
    if not any(view is p or view._base is p for p in part.parameters(recurse=False)):
        where = f"{name} of a {type(part).__name__}"
        raise ValueError(
            f"constrain: {where} is computed by a parametrisation: it has no value of its own to constrain"
        )
    found = rule(view.detach())
    if not isinstance(found, Tensor) or found.shape != view.shape:
        got = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise arguments.wrong(name, f"a function that returns a weight of shape {tuple(view.shape)}", got)
