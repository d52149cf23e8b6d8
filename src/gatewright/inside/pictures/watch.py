"""Parameters and gradients while a model trains: histograms of their size, cheap enough for every update."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...nn import arguments
from ..layers import layers_of
from ..memory import saturation
from ..record import record

LOW, HIGH = -40, 20
"""The histogram's bars are octaves, from 2^LOW to 2^HIGH; what lies beyond is counted in the outermost."""
BARS = HIGH - LOW
BIAS = 127
ZERO, BAD = BARS, BARS + 1
"""Where exact zeros, and what is not finite, are counted."""


def octaves(value: Tensor) -> Tensor:
    """(BARS + 2,) counts of |value|: between 2^k and 2^(k + 1), then exact zeros, then what is not finite.

    >>> counts = octaves(torch.tensor([1.0, -1.5, 0.25, 0.0, float("nan")]))
    >>> counts[-LOW].item(), counts[-LOW - 2].item(), counts[ZERO].item(), counts[BAD].item()
    (2, 1, 1, 1)
    """
    single = value.detach().float().contiguous()
    exponents = single.view(torch.int32).bitwise_right_shift(23).bitwise_and_(255).flatten()  # as IEEE 754 keeps them
    found = torch.bincount(exponents, minlength=256)
    zeros = single.numel() - torch.count_nonzero(single)
    first = LOW + BIAS
    counts = found.new_zeros(BARS + 2)
    counts[:BARS] = found[first : first + BARS]
    counts[0] += found[:first].sum() - zeros
    counts[BARS - 1] += found[first + BARS : 255].sum()
    counts[ZERO], counts[BAD] = zeros, found[255]
    return counts


class Watch:
    """Keeps what `gw.inside.history` draws: histograms of a model's parameters and gradients, its losses, its gates.

    Histograms are logarithmic, an octave a bar. When there are more than `keep` of them every second is dropped, and
    from then on every second update is left out: memory stays small however long the training is.

    Args:
        model: any module.
        by_gate: recurrent layers' weights apart by the equations' names (`l0.U_f`) instead of whole (`weight_hh_l0`).
        keep: how many updates' histograms, at most.

    >>> import gatewright as gw, torch
    >>> layer = gw.LSTM(3, 5)
    >>> watch = gw.inside.Watch(layer)
    >>> for step in range(4):
    ...     loss = layer(torch.randn(7, 2, 3))[0].square().mean()
    ...     layer.zero_grad()
    ...     loss.backward()
    ...     watch.update(step, loss=loss)  # behind backward, before the weights change
    >>> watch
    <watch of 4 parameters over 4 updates>
    """

    def __init__(self, model: nn.Module, *, by_gate: bool = False, keep: int = 1000):
        if not isinstance(model, nn.Module):
            raise TypeError(f"model: expected an nn.Module, got {type(model).__name__}")
        self.model, self.by_gate = model, by_gate
        self.keep = arguments.check_size("keep", keep, 2)
        self.every, self._calls = 1, 0
        self.steps: list[int] = []
        self.parameters: dict[str, list[np.ndarray]] = {}
        self.gradients: dict[str, list[np.ndarray]] = {}
        self.gates: dict[str, list[tuple[float, float]]] = {}
        self.losses: dict[str, list[tuple[int, float]]] = {}
        self.norms: list[tuple[int, float]] = []

    def update(self, step: int | None = None, loss: Any = None, *, tape: Any = None) -> None:
        """Look at the model, behind `backward` and before the optimiser's step.

        Args:
            step: the update's number; default one more than the last.
            loss: a number, or several by name, such as {"training": …, "validation": …}.
            tape: of `gw.record` or a track: the share of each gate's values below .1 and above .9 is kept too.
        """
        step = self._next() if step is None else step
        if isinstance(step, bool) or not isinstance(step, int):
            raise TypeError(f"step: expected the number of an update, got {step!r}")
        if self.steps and step <= self.steps[-1]:
            raise arguments.wrong("step", f"a number above {self.steps[-1]}, the last one's", step)
        losses = loss if isinstance(loss, Mapping) else {} if loss is None else {"loss": loss}
        for name, value in losses.items():
            number = float(value.detach() if isinstance(value, Tensor) else value)
            self.losses.setdefault(str(name), []).append((step, number))
        self._calls += 1
        if (self._calls - 1) % self.every:
            return
        self._look(step)
        if tape is not None:
            self._look_at_gates(tape)
        if len(self.steps) > self.keep:
            self._thin()

    def _next(self) -> int:
        """One more than the last, left out or not."""
        last = [self.steps[-1]] if self.steps else []
        last += [found[-1][0] for found in self.losses.values()]
        return max(last, default=-1) + 1

    def _look(self, step: int) -> None:
        found = self._weights()
        counts = torch.stack([c for pair in found.values() for c in map(_counted, pair)]).cpu().numpy()
        norms = [g.detach().norm() for _, g in found.values() if g is not None]
        for k, name in enumerate(found):
            self.parameters.setdefault(name, []).append(counts[2 * k].astype(np.uint32))
            self.gradients.setdefault(name, []).append(counts[2 * k + 1].astype(np.uint32))
        if norms:
            self.norms.append((step, float(torch.stack(norms).double().norm())))
        self.steps.append(step)

    def _weights(self) -> dict[str, tuple[Tensor, Tensor | None]]:
        """Parameters and their gradients, by name."""
        whole: dict[str, tuple[Tensor, Tensor | None]] = {n: (p, p.grad) for n, p in self.model.named_parameters()}
        if not whole:
            raise arguments.wrong("model", "a module with parameters", "none")
        if not self.by_gate:
            return whole
        apart = {}
        for layer, module in layers_of(self.model).items():
            inner = f"{module}." if module else ""
            whole = {n: v for n, v in whole.items() if not n.startswith(inner) or n[len(inner) :] not in _own(layer)}
            for k in range(layer.num_layers):
                for reverse in (False, True)[: layer.directions]:
                    place = f"{inner}l{k}{'_reverse' if reverse else ''}"
                    gradients = layer.weights(k, reverse, grad=True)
                    apart |= {f"{place}.{n}": (w, gradients.get(n)) for n, w in layer.weights(k, reverse).items()}
        return apart | whole

    def _look_at_gates(self, tape: Any) -> None:
        tracks = tape.tracks if isinstance(tape, record) else [tape]
        for track in tracks:
            for name, node in track.cell.graph.names.items():
                if node.op == "sigmoid" and name in track:
                    found = saturation(track, name)
                    label = f"{track}.{name}".replace(" ", ".") if len(tracks) > 1 else name
                    row = self.gates.setdefault(label, [(np.nan, np.nan)] * (len(self.steps) - 1))
                    row.append((float(found.low.mean()), float(found.high.mean())))

    def _thin(self) -> None:
        self.every *= 2
        self.steps = self.steps[::2]
        for table in (self.parameters, self.gradients, self.gates):
            for name, rows in table.items():
                table[name] = rows[::2]  # type: ignore[assignment]
        self.norms = self.norms[::2]

    def __repr__(self) -> str:
        return f"<watch of {len(self.parameters)} parameters over {len(self.steps)} updates>"


def _counted(value: Tensor | None) -> Tensor:
    return torch.zeros(BARS + 2, dtype=torch.int64) if value is None else octaves(value).cpu()


def _own(layer: nn.Module) -> set[str]:
    return {name for name, _ in layer.named_parameters()}
