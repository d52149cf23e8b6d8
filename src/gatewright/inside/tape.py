"""What a recurrent layer showed while it ran: its values by the equations' names, and their adjoints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import torch
from torch import Tensor

from ..graph import Cell
from ..nn.call import Call
from ..nn.lens import Place
from ..nn.stack import Stack


@dataclass(frozen=True)
class Layout:
    """How one call's tensors lie for the user: (T, B, width), (B, T, width) or (T, width)."""

    batch_first: bool
    batched: bool
    order: Tensor | None = None

    def of(self, t: Tensor) -> Tensor:
        """From (T, B, width), sequences in the order in which they ran."""
        t = t if self.order is None else t.index_select(1, self.order)
        if not self.batched:
            return t.squeeze(1)
        return t.transpose(0, 1) if self.batch_first else t


class _Adjoints(dict[str, Tensor]):
    def __missing__(self, name: str) -> Tensor:
        how = "open it with grad=True, then call loss.backward() or tape.backward(loss)"
        raise KeyError(f"the tape has no adjoint of {name!r} ({', '.join(self) or 'none at all'}); {how}")


class Run(Mapping[str, Tensor]):
    """One call of a layer in one direction: the values by name, laid out as the layer's output is.

    (T, B, width), (B, T, width) with `batch_first`, (T, width) without a batch axis; in the user's order of time, 0
    behind a sequence's end. `grad` has the adjoints in the same way: after `loss.backward()`, `grad["c"]` is ∂loss/∂c_t
    at every step. As torch's `.grad`, it adds up over several backward calls.

    Attributes:
        lengths: (B,), the valid steps of each sequence; None where all are whole.
        differentiable: whether the call was made where derivatives are asked for.
    """

    def __init__(self, layout: Layout, lengths: Tensor | None, shape: tuple[int, int]):
        self._layout, self._shape = layout, shape
        self.lengths = lengths if lengths is None or layout.order is None else lengths.index_select(0, layout.order)
        self.differentiable = torch.is_grad_enabled()
        self._values: dict[str, Tensor] = {}
        self._adjoints: dict[str, Tensor] = {}

    @property
    def grad(self) -> Mapping[str, Tensor]:
        return MappingProxyType(_Adjoints({name: self._layout.of(t) for name, t in self._adjoints.items()}))

    @property
    def steps(self) -> int:
        """T, those that were asked for, the shorter sequences' padding among them."""
        return self._shape[0]

    @property
    def valid(self) -> Tensor:
        """Boolean, laid out as the values are but for the width: which steps there are."""
        T, B = self._shape
        there = torch.ones(T, B, dtype=torch.bool)
        if self.lengths is not None:
            there = torch.arange(T)[:, None] < self.lengths.cpu()
        return replace(self._layout, order=None).of(there.unsqueeze(-1)).squeeze(-1)

    def of_sequence(self, b: int = 0) -> dict[str, Tensor]:
        """The values of one sequence, (its length, width) each."""
        steps = self._shape[0] if self.lengths is None else int(self.lengths[b])
        where = b if self._layout.order is None else int(self._layout.order[b])
        return {name: t[:steps, where] for name, t in self._values.items()}

    # -- as a layer runs -----------------------------------------------------------------------

    def show(self, values: Mapping[str, Tensor]) -> None:
        self._values = {name: value.detach() for name, value in values.items()}

    def adjoint(self, name: str, adjoint: Tensor) -> None:
        before = self._adjoints.get(name)
        self._adjoints[name] = adjoint.detach().clone() if before is None else before + adjoint.detach()

    # -- as a mapping --------------------------------------------------------------------------

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._values:
            raise KeyError(f"the tape has no {name!r}: it has {', '.join(self._values) or 'nothing'}")
        return self._layout.of(self._values[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        shapes = (f"{name} {tuple(self[name].shape)}" for name in self)
        return f"<run of {', '.join(shapes)}>"


@dataclass
class Track(Mapping[str, Tensor]):
    """One layer of a model in one direction: its last run, and with `keep="all"` every one.

    module: the name of the module in the model; "" where the layer is the model. layer: its number in the module.
    """

    module: str
    layer: int
    reverse: bool
    cell: Cell
    runs: list[Run] = field(default_factory=list)

    @property
    def path(self) -> str:
        """Where it is, as the layer's parameters are called: `encoder.l0_reverse`."""
        return ".".join([*([self.module] if self.module else []), f"l{self.layer}{'_reverse' * self.reverse}"])

    @property
    def last(self) -> Run:
        if not self.runs:
            raise KeyError(f"{self}: the layer has not run since the tape was opened")
        return self.runs[-1]

    @property
    def grad(self) -> Mapping[str, Tensor]:
        return self.last.grad

    @property
    def lengths(self) -> Tensor | None:
        return self.last.lengths

    def __getitem__(self, name: str) -> Tensor:
        return self.last[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.last)

    def __len__(self) -> int:
        return len(self.last)

    def __str__(self) -> str:
        where = [self.module] if self.module else []
        return " ".join([*where, f"l{self.layer}", *["reverse"] * self.reverse])

    def __repr__(self) -> str:
        return f"<track {self}: {self.cell.name}, {len(self.runs)} runs>"


class Tracks:
    """The tracks of a model, in the order of its layers."""

    def __init__(self, keep: str):
        self.keep = keep
        self.all: list[Track] = []
        self._found: dict[tuple[str, Place], Track] = {}

    def add(self, name: str, layer: Stack) -> None:
        """Tracks for every layer and direction of a module."""
        for k in range(layer.num_layers):
            for reverse in (False, True)[: layer.directions]:
                track = Track(name, k, reverse, layer.cell)
                self._found[name, Place(k, reverse)] = track
                self.all.append(track)

    def begin(self, name: str, layer: Stack, place: Place, call: Call) -> _Running:
        """A call of the layer of this name begins; the run is on its track when it has ended."""
        track = self._found[name, place]
        first = call.inputs[0]
        T, B = (first.shape[1], first.shape[0]) if layer.batch_first else first.shape[:2]
        return _Running(self, track, Run(Layout(layer.batch_first, call.batched, call.order), call.lengths, (T, B)))


class _Running:
    """A call that runs."""

    def __init__(self, tracks: Tracks, track: Track, run: Run):
        self.tracks, self.track, self.run = tracks, track, run
        self.adjoint = run.adjoint

    def show(self, values: Mapping[str, Tensor]) -> None:
        self.run.show(values)
        runs = self.track.runs
        if _in_backward() and runs and runs[-1].differentiable:
            return  # torch.utils.checkpoint runs a call again: it has been seen, and its adjoints go where it is
        if self.tracks.keep == "last":
            runs[:] = [self.run]
        else:
            runs.append(self.run)


def _in_backward() -> bool:
    return torch._C._current_graph_task_id() != -1
