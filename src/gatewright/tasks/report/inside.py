"""What a report shows of a network's inside, on examples: gates, memory, saturation, gradients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

import gatewright as gw
from gatewright.graph.ops import SQUASHING
from gatewright.inside.pictures.flow import flow
from gatewright.inside.pictures.heatmaps import maps, unit_order
from gatewright.inside.pictures.horizons import horizons
from gatewright.inside.pictures.scene import Scene
from gatewright.inside.pictures.shown import Shown, shown
from gatewright.inside.pictures.timeline import frames_panel, signal_panel, timeline
from gatewright.inside.tape import Track
from gatewright.nn.gates import keepers
from gatewright.tasks.report.parts import Alert, Figure, Part, Probe, Report, Table, Text

__all__ = ["inside"]

UNITS = 40  # rows of a heat map
TRACKS, VALUES = 3, 8  # layers and directions that are drawn, and values of each


def inside(report: Report, probe: Probe, cell: gw.Cell) -> None:
    """Run the examples once under a tape, and add what it shows; what stands out goes to the top of the page."""
    found: list[Any] = []
    output = cell.graph.output_name
    with report.making("Gates, memory and gradients"):
        found = [_recorded(probe, [output]), _backward_from_the_end(probe, output)]
    if not found:
        return
    tape, last = found
    with report.making("Warnings"):
        report.alerts += [Alert(line) for line in gw.inside.warnings(tape).lines]
    report.add("Gates", lambda: _gates(tape, probe))
    report.add("Memory", lambda: _memory(tape, probe, cell))
    report.add("Saturation", lambda: _saturation(tape))
    report.add("Gradient flow", lambda: _flow(last, output))


def _recorded(probe: Probe, adjoints: list[str]) -> Any:
    """All values, and the adjoints of the mean loss."""
    probe.network.eval()
    with gw.record(probe.network, grad=adjoints, keep="all") as tape, torch.enable_grad():
        tape.backward(probe.losses().mean())
    return _longest(tape)


def _backward_from_the_end(probe: Probe, output: str) -> Any:
    """The adjoints of the loss at the last step alone: how far back does it reach?

    All values are recorded again, so that no other kernels have to be compiled.
    """
    with gw.record(probe.network, grad=[output], keep="all") as tape, torch.enable_grad():
        losses = probe.losses()
        tape.backward((losses[-1] if losses.dim() == 2 else losses).sum())
    return _longest(tape)


def _longest(tape: Any) -> Any:
    """Of a layer that was called several times, as by an encoder and a decoder, the call of the most steps."""
    for track in tape.tracks:
        track.runs[:] = [max(track.runs, key=lambda run: run.steps)]
    return tape


def _gates(tape: Any, probe: Probe) -> Iterator[Part]:
    tracks = tape.tracks
    chosen = tracks if len(tracks) <= TRACKS else [tracks[0], tracks[len(tracks) // 2], tracks[-1]]
    if probe.about:
        yield Text(probe.about)
    for track in chosen:
        scene, rows = _maps(track, probe)
        where = f" of {track}" if len(tracks) > 1 else ""
        yield Figure(scene, f"Gates and states{where} over an example; {rows}.")
    if len(chosen) < len(tracks):
        yield Text(f"{len(chosen)} of {len(tracks)} layers and directions are drawn.", quiet=True)


def _maps(track: Track, probe: Probe) -> tuple[Scene, str]:
    """Heat maps of the first steps of the first sequence."""
    graph = track.cell.graph
    gates = [n for n, root in graph.equations if root.op in SQUASHING and n in track]
    states = [s.name for s in graph.states if s.name in track]
    there = shown(track, list(dict.fromkeys([*gates, *states]))[:VALUES] or list(track)[:VALUES], 0)
    steps = there.steps if "signal" in probe.axis else min(there.steps, probe.shown or there.steps)
    kept = {name: replace(v, values=v.values[:steps]) for name, v in there.values.items()}
    there = Shown(kept, steps, track)
    axis = dict(probe.axis)
    tokens, dates = (None if axis.get(key) is None else axis[key][:steps] for key in ("tokens", "dates"))
    time = timeline(steps, steps, tokens, _rate(axis, steps), dates)
    by_horizon = bool(keepers(graph))
    order = unit_order(there, "horizon" if by_horizon else "variance")
    panels = maps(there, time, units=_spread(order), order=order)
    if axis.get("signal") is not None:
        panels.append(signal_panel(axis["signal"], time, len(panels)))
    if axis.get("frames") is not None:
        panels.append(frames_panel(axis["frames"][:steps], time, len(panels)))
    width = max(v.values.shape[1] for v in kept.values())
    rows = f"{min(UNITS, width)} of {width} units" if width > UNITS else f"{width} units"
    sorted_by = "those with the longest memory on top" if by_horizon else "those that vary most on top"
    return Scene(panels, width=min(time.width, 11.4)), f"{rows}, {sorted_by}"


def _rate(axis: dict[str, Any], steps: int) -> float | None:
    """Steps a second, from samples a second where there is a signal."""
    rate, signal = axis.get("rate"), axis.get("signal")
    if rate is None or signal is None:
        return rate
    return rate * steps / len(next(iter(signal.values())) if isinstance(signal, Mapping) else signal)


def _spread(order: np.ndarray | None) -> list[int] | None:
    """Some units of all, evenly along their order."""
    if order is None or len(order) <= UNITS:
        return None
    return [int(order[k]) for k in np.linspace(0, len(order) - 1, UNITS).round().astype(int)]


def _memory(tape: Any, probe: Probe, cell: gw.Cell) -> Iterator[Part]:
    if not keepers(cell.graph):
        yield Text(f"No gate of {cell.name} keeps a state, so its units have no memory horizon of this kind.")
        return
    caption = (
        "How long units remember: after so many steps half of what a state stored is gone, ln 2 / −⟨ln f⟩ over the "
        "examples. What comes back through the recurrent products is not in it."
    )
    yield Figure(horizons(tape, lags=probe.lags).scene, caption)


def _saturation(tape: Any) -> Iterator[Part]:
    rows = []
    for track in tape.tracks:
        for name, root in track.cell.graph.equations:
            if root.op == "sigmoid" and name in track:
                found = gw.inside.saturation(track, name)
                shares = [round(100 * float(share.mean()), 1) for share in (found.low, found.high)]
                rows.append([str(track), name, *shares, int(found.closed.sum()), int(found.open.sum()), len(found.low)])
    if rows:
        head = ["layer", "gate", "below .1, %", "above .9, %", "stuck closed", "stuck open", "of units"]
        yield Table(head, rows)
        yield Text("A stuck unit's gate hardly varies over the examples: a constant would do.", quiet=True)


def _flow(tape: Any, output: str) -> Iterator[Part]:
    """One curve a layer."""
    norms = {str(track): gw.inside.gradient_flow(track, output) for track in tape.tracks}
    seen = {name: norm for name, norm in norms.items() if bool((norm > 0).any())}
    if not seen:
        yield Text("The loss at the last step does not depend on any state.")
        return
    caption = "The loss at the last step, differentiated by the output at every step: does a gradient reach the start?"
    yield Figure(flow(seen, output).scene, caption)
