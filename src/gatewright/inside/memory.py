"""How long a unit remembers, and how much of its range a gate uses: measures of what a tape holds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..nn import arguments
from ..nn.gates import keepers
from .record import record
from .tape import Track

RANGES = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0)}
LOW, HIGH = 0.1, 0.9
STUCK = 0.01  # of the range: a value that varies by less says nothing about its input


def one_track(given: record | Track) -> Track:
    """The track that is meant, where a tape has one alone."""
    if isinstance(given, record):
        return given.track()
    if isinstance(given, Track):
        return given
    raise TypeError(f"expected a tape of gw.record or one of its tracks, got {type(given).__name__}")


def steps_of(track: Track, name: str) -> Tensor:
    """All valid steps of all runs and sequences, (steps, width), in float64."""
    found = []
    for run in track.runs:
        value = run[name]
        found.append(value[run.valid.to(value.device)].double())
    return torch.cat(found)


# -- memory horizon --------------------------------------------------------------------------------------------


def memory_horizon(tape: record | Track, state: str | None = None) -> Tensor:
    """The half-life of each unit's memory, in steps, from the gates that keep its state: (width,), float64.

    Where c_t = f_t ⊙ c_{t−1} + …, what a unit stored k steps ago is weighted by the product of k gate values. On
    average over all recorded steps it falls to a half after

        t½ = ln 2 / −⟨ln f⟩

    steps: 6.6 for a gate at 0.9, 69 at 0.99, infinite at 1. Which gates keep a state follows from the equations (as in
    `gw.init.forget_gates`), a GRU's 1 − z among them; 1 / (1 − f) of Tallec and Ollivier (2018, "Can recurrent neural
    networks warp time?") is the same time scale without the factor ln 2. It is the memory of the state itself: what
    comes back through the recurrent products is not in it.

    Args:
        tape: with those gates recorded.
        state: of which state; default the first that a gate keeps.

    Raises:
        ValueError: no gate keeps the state, or the gate is not on the tape.

    >>> import gatewright as gw, torch
    >>> layer = gw.LSTM(3, 2)
    >>> with gw.clamp(layer, f=torch.tensor([0.5, 0.9])), gw.record(layer) as tape:
    ...     _ = layer(torch.randn(7, 2, 3))
    >>> [round(t, 2) for t in gw.inside.memory_horizon(tape).tolist()]
    [1.0, 6.58]
    """
    track = one_track(tape)
    found = keepers(track.cell.graph)
    if not found:
        raise ValueError(f"no gate of {track.cell.name} keeps a state: it has no memory horizon of this kind")
    states = list(dict.fromkeys(gate.state for gate in found))
    if state is None:
        state = states[0]
    if state not in states:
        raise arguments.wrong("state", f"a state that a gate keeps: {', '.join(states)}", repr(state))
    logs = torch.zeros((), dtype=torch.float64)
    for gate in found:
        if gate.state == state:
            if gate.name not in track:
                raise ValueError(f"tape: the gate {gate.name!r} that keeps {state} was not recorded")
            value = steps_of(track, gate.name)
            logs = logs + (value if gate.sign > 0 else 1 - value).clamp_min(0).log().mean(0)
    return torch.where(logs < 0, math.log(2) / -logs, math.inf)


# -- saturation ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Saturation:
    """The share of time that each unit of one value spends near the ends of its range; (width,) each.

    low, high: the share of values below .1 and above .9 of the range. stuck: units whose value does not vary (its
    standard deviation is below a hundredth of the range). closed, open: stuck units that are below .1 or above .9.
    """

    name: str
    low: Tensor
    high: Tensor
    stuck: Tensor

    @property
    def closed(self) -> Tensor:
        return self.stuck & (self.low > 0.5)

    @property
    def open(self) -> Tensor:
        return self.stuck & (self.high > 0.5)

    def __str__(self) -> str:
        shares = f"{self.low.mean():.0%} below {LOW}, {self.high.mean():.0%} above {HIGH}"
        return f"{self.name}: {shares}, {int(self.stuck.sum())} of {len(self.stuck)} units stuck"


def saturation(tape: record | Track, name: str) -> Saturation:
    """How saturated a gate is, unit by unit: Karpathy, Johnson and Fei-Fei (2015), "Visualizing and understanding
    recurrent networks", figure 2.

    The range of σ is 0 to 1, of tanh −1 to 1; of another value it is from its smallest to its largest.

    >>> import gatewright as gw, torch
    >>> layer = gw.LSTM(3, 4)
    >>> with gw.clamp(layer, f=0.95, units=[0]), gw.record(layer) as tape:
    ...     _ = layer(torch.randn(50, 2, 3))
    >>> gates = gw.inside.saturation(tape, "f")
    >>> gates.high[0].item(), gates.open.tolist()
    (1.0, [True, False, False, False])
    """
    track = one_track(tape)
    value = steps_of(track, name)
    op = track.cell.graph.watchable()[name].op
    least, most = RANGES.get(op) or (float(value.min()), float(value.max()))
    shares = (value - least) / max(most - least, torch.finfo(torch.float64).tiny)
    stuck = shares.std(0, correction=0) < STUCK
    return Saturation(name, (shares < LOW).double().mean(0), (shares > HIGH).double().mean(0), stuck)


class Warnings(NamedTuple):
    """What should be looked at in a layer: lines for people, nothing where all is well."""

    lines: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.lines)

    def __str__(self) -> str:
        return "\n".join(self.lines) or "nothing stands out"


DEAD = 1e-3  # an output that never leaves ± this much of nothing
MANY = 0.05  # of the units: fewer are usual
EXPLODING = 1e3
"""Times that the adjoint at the first step is larger than at the last."""
VANISHING = 1e-6


def warnings(tape: record | Track) -> Warnings:
    """What stands out on a tape: dead units, gates that are stuck, gradients that explode or vanish, values that are
    not finite.

    The output's units are dead where |h| stays below 0.001 at all steps. Gradients are looked at where adjoints of the
    output's state were recorded: between the ends of the sequences ∂loss/∂h has grown a thousandfold, or shrunk a
    millionfold.

    >>> import gatewright as gw, torch
    >>> layer = gw.LSTM(3, 4)
    >>> with gw.clamp(layer, o=0.0, units=[1, 2]), gw.record(layer) as tape:
    ...     _ = layer(torch.randn(50, 2, 3))
    >>> print(gw.inside.warnings(tape))
    2 of 4 units of h are dead: |h| stays below 0.001 (units 1, 2)
    2 of 4 units of o are stuck closed, whatever comes in (units 1, 2)
    """
    tracks = tape.tracks if isinstance(tape, record) else [one_track(tape)]
    lines: list[str] = []
    for track in tracks:
        where = f"{track}: " if len(tracks) > 1 else ""
        lines += [where + line for line in _about(track)]
    return Warnings(tuple(lines))


def _about(track: Track):
    graph = track.cell.graph
    for name in track:
        value = steps_of(track, name)
        if len(bad := (~value.isfinite()).any(0).nonzero()):
            yield f"{name} is not finite in {len(bad)} of {value.shape[-1]} units"
    output = graph.output_name
    if output in track and len(steps_of(track, output)):
        dead = steps_of(track, output).abs().amax(0) < DEAD
        if dead.any():
            yield f"{_some(dead, output)} are dead: |{output}| stays below {DEAD}{_which(dead)}"
    for name, n in graph.equations:
        if n.op == "sigmoid" and name in track and len(steps_of(track, name)) > 1:
            found = saturation(track, name)
            for units, how in ((found.closed, "closed"), (found.open, "open")):
                if units.double().mean() > MANY:
                    yield f"{_some(units, name)} are stuck {how}, whatever comes in{_which(units)}"
    if output in track.grad:
        yield from _about_gradients(track, output)


def _about_gradients(track: Track, name: str):
    from .gradients import gradient_flow

    flow = gradient_flow(track, name)
    flow = flow[flow > 0]
    ratio = float(flow[0] / flow[-1]) if len(flow) > 1 else 1.0
    if ratio > EXPLODING:
        yield f"gradients explode: |∂loss/∂{name}| grows {ratio:.0e}-fold from the last step to the first"
    elif ratio < VANISHING:
        yield f"gradients vanish: |∂loss/∂{name}| falls {1 / ratio:.0e}-fold from the last step to the first"


def _some(units: Tensor, name: str) -> str:
    return f"{int(units.sum())} of {len(units)} units of {name}"


def _which(units: Tensor) -> str:
    listed = units.nonzero().flatten().tolist()
    return f" (units {', '.join(map(str, listed[:8]))}{', …' if len(listed) > 8 else ''})"
