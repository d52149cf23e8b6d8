"""How an ensemble runs: all networks by one kernel call for each layer and direction, or in the ways of one layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.func import functional_call, vmap
from torch.nn.utils.rnn import PackedSequence
from torch.profiler import record_function

from ..backends.cpu import op
from ..backends.reference import Draw
from ..plan import stream
from ..plan.learned import start_name
from . import arguments, by_kernel
from .call import State, inputs_of, start, weight_of
from .dropout import between
from .merge import merged
from .walk import Pass

if TYPE_CHECKING:
    from .ensemble import Ensemble
    from .stack import Stack


class Call(NamedTuple):
    """One call of n networks, checked; layouts are the user's, with the networks' axis in front and a batch axis.

    The networks' axis stands still (a stride of 0) where all networks are given the same. `past` has, for each layer,
    the inputs before the first step that the cell looks back at. `began` is whether the user gave states.
    """

    inputs: tuple[Tensor, ...]
    states: tuple[Tensor, ...]
    past: tuple[Tensor, ...]
    lengths: Tensor | None
    reset: Tensor | None
    every: bool
    batched: bool
    began: bool


# -- what was given ------------------------------------------------------------------------------------------


def call_of(ensemble: Ensemble, input, hx, lengths, reset, states) -> Call:
    """Everything that was given, checked."""
    if states not in (None, "all"):
        raise arguments.wrong("states", "None or 'all'", repr(states))
    layer, n = ensemble.layer, ensemble.n
    inputs, batched = _inputs(layer, n, input)
    first = inputs[0]
    steps, batch = (first.shape[2], first.shape[1]) if layer.batch_first else first.shape[1:3]
    began, past = _states(layer, n, hx, first[0], batch, batched=batched)
    if hx is None and layer.learned:
        began = _learned(ensemble, began)
    if lengths is not None:
        lengths = _lengths(n, lengths, batch, steps, first.device)
    if reset is not None:
        reset = _reset(layer, n, reset, tuple(first.shape[1:3]), steps, batched=batched)
    return Call(inputs, began, past, lengths, reset, states == "all", batched, hx is not None)


def _inputs(layer: Stack, n: int, given) -> tuple[tuple[Tensor, ...], bool]:
    """The inputs with the networks' axis and a batch axis, and whether they had a batch axis."""
    if isinstance(given, PackedSequence):
        raise TypeError("input: expected a tensor, got a PackedSequence; pad it and give lengths=")
    parts = tuple(given) if isinstance(given, tuple | list) else (given,)
    own = bool(parts) and isinstance(parts[0], Tensor) and parts[0].dim() == 4
    if own:
        _check_networks("input", n, parts)
    found, batched = inputs_of(layer, tuple(x[0] for x in parts) if own else parts)
    if not own:
        return tuple(x.expand(n, *x.shape) for x in found), batched
    time = 2 if layer.batch_first else 1
    steady = ((x if x.dim() == 4 else x.unsqueeze(time)).expand(n, *y.shape) for x, y in zip(parts, found, strict=True))
    return tuple(steady), batched


def _check_networks(name: str, n: int, tensors: Sequence[object]) -> None:
    for t in tensors:
        if isinstance(t, Tensor) and (not t.dim() or t.shape[0] != n):
            raise arguments.wrong(name, f"the {n} networks in the first dimension", f"shape {tuple(t.shape)}")


def _states(
    layer: Stack, n: int, hx: State | None, like: Tensor, batch: int, *, batched: bool
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """(states, past inputs) before the first step, each with the networks' axis."""
    if hx is None:
        began, past = start(layer, None, like, batch, batched=batched)
        return tuple(s.expand(n, *s.shape) for s in began), tuple(p.expand(n, *p.shape) for p in past)
    given = tuple(hx) if isinstance(hx, tuple | list) else (hx,)
    _check_networks("state", n, given)
    if all(isinstance(s, Tensor) for s in given):
        sliced = tuple(s[0] for s in given)
        began, past = start(layer, sliced if isinstance(hx, tuple | list) else sliced[0], like, batch, batched=batched)
    else:
        began, past = start(layer, hx, like, batch, batched=batched)  # which says what is wrong with them
    whole = given if batched else tuple(s.unsqueeze(2) for s in given)
    own = len(began)
    return whole[:own], whole[own:] or tuple(p.expand(n, *p.shape) for p in past)


def _learned(ensemble: Ensemble, began: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The states that are learned, each network's own."""
    layer, found = ensemble.layer, []
    for name, state in zip(layer.state_sizes, began, strict=True):
        if name in layer.learned:
            found.append(getattr(ensemble, start_name(name)).to(state.dtype).unsqueeze(2).expand(state.shape))
        else:
            found.append(state)
    return tuple(found)


def _lengths(n: int, lengths, batch: int, steps: int, device: torch.device) -> Tensor:
    """(n, B); standing still where they are one for all networks."""
    if isinstance(lengths, Tensor) and lengths.dim() == 2:
        if lengths.shape != (n, batch):
            expected = f"shape ({batch},) for all networks, or ({n}, {batch})"
            raise arguments.wrong("lengths", expected, f"shape {tuple(lengths.shape)}")
        return arguments.check_lengths(lengths.flatten(), n * batch, steps, device).view(n, batch)
    return arguments.check_lengths(lengths, batch, steps, device).expand(n, batch)


def _reset(layer: Stack, n: int, reset, shape: tuple[int, ...], steps: int, *, batched: bool) -> Tensor:
    """(n, T, B), or (n, B, T) with batch_first."""
    shape = shape if batched else (steps,)
    own = isinstance(reset, Tensor) and reset.dim() == len(shape) + 1
    if own:
        _check_networks("reset", n, (reset,))
    checked = arguments.check_reset(reset[0] if own else reset, shape, layer_device(layer))
    whole = reset.to(checked.device) if own else checked.expand(n, *shape)
    return whole if batched else whole.unsqueeze(1 if layer.batch_first else 2)


def layer_device(layer: Stack) -> torch.device:
    return weight_of(layer).device


# -- all at once: the CPU's kernels ----------------------------------------------------------------------------


def together(ensemble: Ensemble, call: Call, run: Callable = op.run) -> tuple[Tensor, tuple[Tensor, ...]]:
    """(output, final states or every state), with a batch axis, by one kernel call for each layer and direction."""
    layer, directions = ensemble.layer, ensemble.layer.directions
    turned = layer.batch_first
    x, *others = (i.transpose(1, 2) if turned else i for i in call.inputs)
    call = call._replace(reset=call.reset.transpose(1, 2)) if call.reset is not None and turned else call
    seeds = _seeds(ensemble, x.device)
    finals: list[list[Tensor]] = [[] for _ in call.states]
    kept: list[Tensor] = []
    for k in range(layer.num_layers):
        if k > 0 and layer.dropout and ensemble.training:
            x = _dropped_out(layer, x)
        both = []
        for d in range(directions):
            y, states, past = _direction(ensemble, call, seeds, k, d, (x, *others), run)
            both.append(y)
            kept += past
            for found, state in zip(finals, states, strict=True):
                found.append(state)
        x = merged(both, layer.merge)
    final = tuple(torch.stack(rows, 1) if len(rows) > 1 else rows[0].unsqueeze(1) for rows in finals)
    if turned:
        x = x.transpose(1, 2)
        final = tuple(s.transpose(2, 3) for s in final) if call.every else final
    return x, final if call.every else (*final, *kept)


def _seeds(ensemble: Ensemble, device: torch.device) -> Tensor | None:
    """A seed for each network, drawn as the layers by themselves would draw them one after the other."""
    seeds = [ensemble.layer.regularisers.seed(ensemble.training, device) for _ in range(ensemble.n)]
    return None if seeds[0] is None else torch.stack([s for s in seeds if s is not None])


def _dropped_out(layer: Stack, x: Tensor) -> Tensor:
    """Dropout between layers, where every network's sequences stand in the batch."""
    n, T, B, _ = x.shape
    found = between(x.transpose(0, 1).reshape(T, n * B, -1), layer.dropout, layer.dropout_kind, True)
    return found.view(T, n, B, -1).transpose(0, 1)


def _direction(
    ensemble: Ensemble, call: Call, seeds: Tensor | None, k: int, d: int, inputs: tuple[Tensor, ...], run: Callable
) -> tuple[Tensor, Sequence[Tensor], Sequence[Tensor]]:
    """One layer in one direction: the output (n, T, B, width), states, and inputs for the next call."""
    layer, row = ensemble.layer, k * ensemble.layer.directions + d
    past = call.past[k] if call.past else None
    kept: Sequence[Tensor] = ()
    if layer.looks_back:
        inputs, kept = _looking_back(layer, k, d, inputs, past, call)
    weights = _weights(ensemble, seeds, k, d)
    if call.reset is not None:
        weights += tuple(getattr(ensemble, start_name(name))[:, row] for name in layer.learned)
    program = layer.programs[ensemble.training, k, d, call.every, call.reset is not None]
    began = tuple(s[:, row] for s in call.states)
    how = {"lengths": call.lengths, "reset": call.reset, "seed": seeds, "reverse": d == 1}
    profiled = not torch.compiler.is_compiling() and torch.autograd._profiler_enabled()  # pyright: ignore[reportPrivateImportUsage]
    name = f"gatewright::{layer.cell.name} ×{ensemble.n} l{k}{' reverse' * d}"
    with record_function(name) if profiled else nullcontext():
        y, final, every, _ = run(program, inputs, weights, began, **how)
    return y, every if call.every else final, kept


def _weights(ensemble: Ensemble, seeds: Tensor | None, k: int, d: int) -> tuple[Tensor, ...]:
    """The stored weights of all networks, elements dropped where a layer would drop them."""
    layer, regularisers, tensors = ensemble.layer, ensemble.layer.regularisers, ensemble.stored(k, d == 1)
    if seeds is None or not regularisers.matrices:
        return tuple(tensors.values())

    def dropped(tensors: dict[str, Tensor], seed: Tensor) -> dict[str, Tensor]:
        return regularisers.dropped(tensors, layer._layers[k].layout, Draw(seed, stream(k, d)))

    return tuple(vmap(dropped)(tensors, seeds).values())


def _looking_back(layer: Stack, k: int, d: int, inputs: tuple[Tensor, ...], past: Tensor | None, call: Call):
    """The inputs, and behind them those k steps earlier; and those for the next call."""

    def one(inputs, past, lengths, reset):
        return by_kernel._looking_back(Pass(layer, k, d, inputs, (), past, lengths, reset, call.every, None))

    given = (inputs, past, call.lengths, call.reset)
    return vmap(one, in_dims=tuple(0 if g is not None else None for g in given))(*given)


# -- in the ways of one layer -----------------------------------------------------------------------------------


def batched(ensemble: Ensemble, call: Call) -> tuple[Tensor, State]:
    """By one layer's own call under vmap: every operation of torch is one for all networks."""
    leaves = _leaves(ensemble, call)
    dims = tuple(0 if leaf is not None else None for leaf in leaves)
    return vmap(_of_one(ensemble.layer, call), in_dims=dims, randomness="different")(*leaves)


def in_turn(ensemble: Ensemble, call: Call) -> tuple[Tensor, State]:
    """One network after the other, by one layer's own call."""
    one, leaves = _of_one(ensemble.layer, call), _leaves(ensemble, call)
    each = [one(*(_of(leaf, i) for leaf in leaves)) for i in range(ensemble.n)]
    first = each[0][1]
    if isinstance(first, Tensor):
        return tuple(torch.stack(parts) for parts in zip(*each, strict=True))  # pyright: ignore[reportReturnType]
    states = zip(*(s for _, s in each), strict=True)
    return torch.stack([y for y, _ in each]), tuple(torch.stack(parts) for parts in states)


def _leaves(ensemble: Ensemble, call: Call) -> tuple:
    """(weights, inputs, states, lengths, reset), each with the networks' axis."""
    hx = (*call.states, *call.past) if call.began else None
    return ensemble.everything(), call.inputs, hx, call.lengths, call.reset


def _of_one(layer: Stack, call: Call):
    """One network's call, as a function of what networks differ in."""

    def one(weights, inputs, hx, lengths, reset):
        given = {"lengths": lengths, "reset": reset, "states": "all" if call.every else None}
        x = inputs if len(inputs) > 1 else inputs[0]
        hx = hx[0] if hx is not None and len(hx) == 1 else hx
        return functional_call(layer, weights, (x, hx), given)

    return one


def _of(leaf, i: int):
    """Network i's part of a tensor, a tuple or a dict of them, or of nothing."""
    if isinstance(leaf, dict):
        return {name: t[i] for name, t in leaf.items()}
    if isinstance(leaf, tuple):
        return tuple(t[i] for t in leaf)
    return None if leaf is None else leaf[i]
