"""A model that the explorer has open: its layers, how a sequence runs through it, and what is held while it does."""

from __future__ import annotations

import contextlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..graph import Cell
from ..graph.errors import suggestion
from ..graph.widths import SCALAR
from ..inside import clamp, memory_horizon, record
from ..inside.layers import layers_of
from ..inside.tape import Track
from ..nn.stack import Stack
from .refused import Refused

STEPS = 10_000
"""The steps of a sequence, at most."""
NUMBERS = 1 << 27
"""The numbers that one run may keep, at most: 512 MiB."""


@dataclass(frozen=True)
class Layer:
    """One layer in one direction, as a page names it: `recurrent/0`, `recurrent/0/reverse`."""

    id: str
    module: str
    layer: int
    reverse: bool
    stack: Stack = field(repr=False)

    @property
    def cell(self) -> Cell:
        return self.stack.cell

    @property
    def title(self) -> str:
        many = f" {self.layer + 1}" if self.stack.num_layers > 1 else ""
        return f"{self.cell.name}{many}{', backwards' if self.reverse else ''}"

    def width(self, name: str) -> int:
        return self.stack._layers[self.layer].sizes.of(self.stack.running.watchable()[name])

    def is_of(self, track: Track) -> bool:
        return (track.module, track.layer, track.reverse) == (self.module, self.layer, self.reverse)


class Clamp(NamedTuple):
    """A value that is held, of some units (None: all), in one layer (None: in all), at steps start ≤ t < stop.

    value: None for each unit's mean over the sequence when nothing is held.
    """

    name: str
    value: float | None
    units: tuple[int, ...] | None = None
    layer: str | None = None
    start: int = 0
    stop: int | None = None

    @property
    def always(self) -> bool:
        return self.start == 0 and self.stop is None


class Seen(NamedTuple):
    """What a run left: each layer's values, and the model's own output (T, …) where it has one for each step."""

    tracks: dict[str, Track]
    output: Tensor | None
    input: Tensor


class Opened(ABC):
    """A model; subclasses know what it reads and gives.

    A lens is a change of the layer itself, so whatever runs the model holds `lock`.
    """

    task: str
    batch_first = False

    def __init__(self, model: nn.Module, name: str, description: str):
        self.model, self.name, self.description = model.eval(), name, description
        self.lock = threading.RLock()
        self.layers: dict[str, Layer] = {}
        for stack, module in layers_of(model).items():
            for k in range(stack.num_layers):
                for reverse in (False, True)[: stack.directions]:
                    key = "/".join([module or "model", str(k), *["reverse"] * reverse])
                    self.layers[key] = Layer(key, module, k, reverse, stack)

    # -- what subclasses know ----------------------------------------------------------------------

    examples: Sequence[dict[str, str]]
    corpus: Sequence[str] = ()

    @property
    @abstractmethod
    def input(self) -> dict[str, Any]:
        """What the model reads, for a page: kind, unit, features."""

    @abstractmethod
    def read(self, text: str) -> Tensor:
        """A text as the model's input, (T,) or (T, I)."""

    @abstractmethod
    def tokens(self, given: Tensor) -> list[str] | None:
        """What each step is called."""

    @abstractmethod
    def output(self, given: Tensor) -> Tensor | None:
        """Run it: one row for each step, or nothing where the model has none."""

    @abstractmethod
    def explained(self, given: Tensor, t: int, rank: int) -> Tensor:
        """How much what the model gives at step t depends on each step of its input, (t + 1,)."""

    # -- layers and names --------------------------------------------------------------------------

    @property
    def first(self) -> Layer:
        return next(iter(self.layers.values()))

    def layer(self, key: str | None) -> Layer:
        """The layer that is meant; the first where none is named."""
        if key is None:
            return self.first
        if key not in self.layers:
            known = ", ".join(self.layers)
            raise Refused(404, f"there is no layer {key!r}; there are {known}", where="layer")
        return self.layers[key]

    @cached_property
    def recorded(self) -> tuple[str, ...]:
        """Every value of a unit: equations, `f_pre` and `c_prev`; no parameters, no sums over units."""
        found, without = {}, set()
        for layer in self.layers.values():
            graph = layer.stack.running
            for name, n in graph.watchable().items():
                found[name] = None
                if n.op == "param" or graph.widths.of(n) == SCALAR:
                    without.add(name)
        return tuple(name for name in found if name not in without)

    # -- running -----------------------------------------------------------------------------------

    def run(self, given: Tensor, clamps: Sequence[Clamp] = (), names: Sequence[str] | None = None) -> Seen:
        """Run a sequence, under clamps, and keep the values of every layer."""
        wanted = self._within_memory(len(given)) if names is None else tuple(names)
        with self.lock, torch.no_grad(), self.held(given, clamps), record(self.model, wanted) as tape:
            output = self.output(given)
            tracks = {key: track for key, layer in self.layers.items() for track in tape.tracks if layer.is_of(track)}
        return Seen(tracks, output, given)

    def _within_memory(self, steps: int) -> tuple[str, ...]:
        """All that can be recorded; of a large model the equations alone."""
        equations = {name for layer in self.layers.values() for name in layer.stack.running.names}
        for wanted in (self.recorded, tuple(name for name in self.recorded if name in equations)):
            if steps * self._widths(wanted) <= NUMBERS:
                return wanted
        most = NUMBERS // self._widths(wanted)
        raise Refused(413, f"{steps} steps of this model are too much to keep", remedy=f"give at most {most} steps")

    def _widths(self, names: Sequence[str]) -> int:
        return sum(
            layer.width(name)
            for layer in self.layers.values()
            for name in names
            if name in layer.stack.running.watchable()
        )

    @contextlib.contextmanager
    def held(self, given: Tensor, clamps: Sequence[Clamp]) -> Iterator[None]:
        """Some values held, while the block runs."""
        targets = [(c, self._clamped(c)) for c in clamps]
        means = self._means(given, sorted({c.name for c in clamps if c.value is None}))
        with contextlib.ExitStack() as holds:
            for c, layers in targets:
                for layer in layers:
                    value = means[c.name, layer.id] if c.value is None else torch.full((layer.width(c.name),), c.value)
                    what: dict[str, Any] = {c.name: value, "steps": None if c.always else slice(c.start, c.stop)}
                    what |= {"module": layer.module, "layer": layer.layer, "reverse": layer.reverse}
                    what["units"] = None if c.units is None else list(c.units)
                    holds.enter_context(clamp(self.model, **what))
            yield

    def _clamped(self, c: Clamp) -> list[Layer]:
        """The layers in which a value is held."""
        layers = list(self.layers.values()) if c.layer is None else [self.layer(c.layer)]
        there = [layer for layer in layers if c.name in changeable(layer)]
        if not there:
            known = dict.fromkeys(name for layer in layers for name in changeable(layer))
            said = f"no layer has a value {c.name!r} that can be held{suggestion(c.name, known)}"
            raise Refused(422, said, where="clamps", remedy=f"there are {', '.join(known)}")
        for layer in there:
            width = layer.width(c.name)
            if c.units is not None and any(not 0 <= unit < width for unit in c.units):
                raise Refused(422, f"units of {layer.id} are 0 to {width - 1}", where="clamps.units")
        return there

    def _means(self, given: Tensor, names: Sequence[str]) -> dict[tuple[str, str], Tensor]:
        if not names:
            return {}
        tracks = self.run(given, names=names).tracks
        return {(n, key): series(track, n).mean(0) for key, track in tracks.items() for n in names if n in track}

    # -- measures ------------------------------------------------------------------------------------

    @cached_property
    def horizons(self) -> dict[str, Tensor | None]:
        """The half-life of every unit's memory, over the examples."""
        with self.lock, torch.no_grad(), record(self.model, self.recorded, keep="all") as tape:
            for example in self.examples:
                self.output(self.read(example["text"])[:STEPS])
        return {
            key: horizon(track) for key, layer in self.layers.items() for track in tape.tracks if layer.is_of(track)
        }


def changeable(layer: Layer) -> list[str]:
    """The names of values that can be held."""
    old = {f"{s.name}_prev" for s in layer.cell.graph.states}
    graph = layer.stack.running
    return [name for name, n in graph.watchable().items() if name not in old and n.op != "param"]


def series(track: Track, name: str) -> Tensor:
    """A value of the one sequence that ran, (T, width)."""
    value = track[name]
    return value.squeeze(0 if track.last._layout.batch_first else 1) if value.dim() == 3 else value


def horizon(track: Track) -> Tensor | None:
    """The half-life of each unit's memory; None for a cell that no gate keeps."""
    try:
        return memory_horizon(track)
    except ValueError:
        return None


def checked_steps(given: Tensor) -> Tensor:
    """A sequence of a length that the explorer shows."""
    if not len(given):
        raise Refused(422, "there is nothing to read", where="text", remedy="type a few words")
    if len(given) > STEPS:
        raise Refused(413, f"{len(given)} steps are more than {STEPS}", remedy="give a shorter sequence")
    return given
