"""What a gate or a unit does, by taking it away; and two models side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..graph.ops import SQUASHING
from ..nn import arguments
from .clamp import clamp
from .gradients import gradient_flow
from .layers import called, check_known, layers_of, listed
from .memory import Saturation, memory_horizon, saturation, steps_of
from .record import record
from .tape import Track

TO = {"mean": None, "open": 1.0, "closed": 0.0}


@dataclass(frozen=True)
class Effect:
    """What holding one value changes.

    module: the recurrent layer's name in the model. name: the value. before, after: the metric without and with it.
    """

    module: str
    name: str
    before: float
    after: float

    @property
    def change(self) -> float:
        return self.after - self.before


def gate_effects(
    model: nn.Module,
    metric: Callable[[nn.Module], float | Tensor],
    names: Sequence[str] | str | None = None,
    *,
    to: str = "mean",
) -> list[Effect]:
    """Which gate does the work: the metric with each gate held, the largest change first.

    A gate that may be held at its mean without loss does nothing that a constant could not do: so Greff et al. (2017,
    "LSTM: a search space odyssey") took gates away, but from networks trained without them.

    Args:
        model: a recurrent layer, or a module with some inside.
        metric: what is measured, given the model; it is called once, and once more for each gate of each recurrent
            layer, without gradients. All gates of a layer are held by the same compiled kernel.
        names: which values; default every squashed one (gates and candidates).
        to: "mean", each unit's mean over what the metric runs; "open", 1; or "closed", 0.

    >>> import gatewright as gw, torch
    >>> layer, x = gw.LSTM(3, 5), torch.randn(20, 2, 3)
    >>> with torch.no_grad():
    ...     y, _ = layer(x)
    >>> found = gw.inside.gate_effects(layer, lambda m: (m(x)[0] - y).square().mean(), to="closed")
    >>> sorted(effect.name for effect in found)
    ['f', 'g', 'i', 'o']
    >>> found[0].change >= found[-1].change
    True
    """
    if to not in TO:
        raise arguments.wrong("to", " or ".join(map(repr, TO)), repr(to))
    layers, wanted = layers_of(model), listed("names", names)
    check_known("names", wanted or (), [name for layer in layers for name in layer.equations.names])
    with torch.no_grad(), record(model, wanted, keep="all") as tape:
        before = float(metric(model))
    found = []
    for layer, module in layers.items():
        gates = [n for n, root in layer.equations.names.items() if (n in wanted if wanted else root.op in SQUASHING)]
        tracks = [track for track in tape.tracks if track.module == module]
        values = [(track, gate, _held(track, gate, to)) for track in tracks for gate in gates]
        for name in gates:
            with ExitStack() as held, torch.no_grad():
                for track, gate, value in values:  # all are there, which one is held is no matter of equations
                    how: dict[str, Any] = {"units": None if gate == name else [], gate: value}
                    there = clamp(model, module=module, layer=track.layer, reverse=track.reverse, **how)
                    held.enter_context(there)
                after = float(metric(model))
            found.append(Effect(module, name, before, after))
    return sorted(found, key=lambda effect: -abs(effect.change))


def unit_effects(
    model: nn.Module, metric: Callable[[nn.Module], float | Tensor], units: Sequence[int], *, module: str | None = None
) -> list[Effect]:
    """What each unit does: the metric with all of its states held at 0, the largest change first."""
    layers = layers_of(model) if module is None else called(module, layers_of(model))
    found = []
    with torch.no_grad():
        before = float(metric(model))
        for layer, name in layers.items():
            states: dict[str, Any] = {s.name: 0.0 for s in layer.equations.states}
            for unit in units:
                with clamp(model, units=[unit], module=name, **states):
                    found.append(Effect(name, f"unit {unit}", before, float(metric(model))))
    return sorted(found, key=lambda effect: -abs(effect.change))


def _held(track: Track, name: str, to: str) -> Tensor | float:
    """What a gate is held at."""
    return steps_of(track, name).mean(0).to(track[name].dtype) if to == "mean" else TO[to]


# -- side by side ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Side:
    """What one model shows on a sequence: half-lives (width,), saturation of each gate, gradient flow (T,) if recorded.

    output: the output's values. horizon: None for a cell that no gate keeps.
    """

    track: Track
    output: Tensor
    horizon: Tensor | None
    gates: dict[str, Saturation]
    flow: Tensor | None


def side(track: Track) -> Side:
    """A track's measures in one place."""
    graph = track.cell.graph
    gates = {n: saturation(track, n) for n, root in graph.equations if root.op == "sigmoid" and n in track}
    try:
        horizon = memory_horizon(track)
    except ValueError:  # a plain RNN has no gate that keeps
        horizon = None
    name = graph.output_name
    flow = gradient_flow(track, name) if name in track.grad else None
    return Side(track, track[name], horizon, gates, flow)


def compare(
    models: dict[str, nn.Module], inputs: Any, loss: Callable[[Any], Tensor] | None = None
) -> dict[str, list[Side]]:
    """Several models on the same sequences: each one's layers with their measures.

    Args:
        models: by the names that pictures will give them.
        inputs: what each is called with.
        loss: from what a model gives to a number; with it gradient flow is measured too.

    >>> import gatewright as gw, torch
    >>> found = gw.inside.compare({"LSTM": gw.LSTM(3, 8), "RNN": gw.RNN(3, 8)}, torch.randn(30, 2, 3),
    ...                           loss=lambda found: found[0][-1].sum())
    >>> found["LSTM"][0].flow.shape, found["LSTM"][0].horizon.shape, found["RNN"][0].horizon
    (torch.Size([30]), torch.Size([8]), None)
    """
    found = {}
    for name, model in models.items():
        with record(model, grad=loss is not None) as tape, torch.set_grad_enabled(loss is not None):
            result = model(inputs)
            if loss is not None:
                tape.backward(loss(result))
        found[name] = [side(track) for track in tape.tracks]
    return found
