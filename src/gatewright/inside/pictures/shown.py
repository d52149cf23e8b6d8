"""What is on a tape for one sequence, ready to be drawn: numbers, words and the kind of colours they take."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from ...graph import Graph
from ...graph.errors import suggestion
from ...nn import arguments
from ..effects import Side
from ..record import record
from ..tape import Run, Track
from .scene import Scale

GATES = {"i": "input gate", "f": "forget gate", "o": "output gate", "r": "reset gate", "z": "update gate"}
NEW = {"g": "candidate", "n": "candidate", "z": "candidate"}
STATES = {"c": "cell state", "h": "hidden state", "n": "normaliser", "m": "stabiliser", "y": "output"}


@dataclass(frozen=True)
class Value:
    """One value of the equations over one sequence. values: (T, width). kind: of its colours, as `Scale` has it."""

    name: str
    words: str
    values: np.ndarray
    kind: str

    def scale(self, others: Sequence[Value] = ()) -> Scale:
        """From the numbers; with others, one scale for all of them."""
        return scale_of([v.values for v in (self, *others)], self.kind, self.name)


class Shown(NamedTuple):
    """values: by name. padded: the steps there were before `lengths` cut them off. track: None for a mapping."""

    values: dict[str, Value]
    padded: int
    track: Track | None

    @property
    def steps(self) -> int:
        return len(next(iter(self.values.values())).values)


def shown(source: object, names: str | Sequence[str] | None, sequence: int) -> Shown:
    """The values of one sequence of a tape, a track, one of its runs, or a mapping of tensors by name."""
    track, run = _run(source)
    names = _listed(names, list(run))
    if isinstance(run, Run):
        padded, batch = run._shape
        found = run.of_sequence(_sequence(sequence, batch))
    else:
        padded, found = 0, {name: _of_batch(name, run[name], sequence) for name in names}
    arrays = {name: array(found[name], name) for name in names}
    lengths = {name: len(v) for name, v in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise arguments.wrong("tape", "values with one number of steps", lengths)
    steps = next(iter(lengths.values()))
    if steps == 0:
        raise arguments.wrong("sequence", "one with steps", f"number {sequence}, which has none")
    graph = track.cell.graph if track else None
    values = {}
    for name, v in arrays.items():
        kind = kind_of(name, v, graph)
        values[name] = Value(name, words_of(name, kind, graph), v, kind)
    return Shown(values, max(padded, steps), track)


def _run(source: Any) -> tuple[Track | None, Mapping[str, Any]]:
    source = source.track if isinstance(source, Side) else source
    if isinstance(source, record):
        source = source.track()
    if isinstance(source, Track):
        return source, source.last
    if not isinstance(source, Mapping):
        expected = "a tape, one of its tracks, or a mapping of tensors by name"
        raise TypeError(f"tape: expected {expected}, got {type(source).__name__}")
    return None, source


def _listed(names: str | Sequence[str] | None, there: list[str]) -> list[str]:
    if not there:
        raise arguments.wrong("tape", "recorded values", "none", "nothing has run while it was open")
    listed = there if names is None else [names] if isinstance(names, str) else list(names)
    for name in listed:
        if name not in there:
            near = suggestion(name, there) if isinstance(name, str) else ""
            raise ValueError(f"names: the tape has no {name!r}{near}; there are {', '.join(there)}")
    if not listed:
        raise arguments.wrong("names", "one name at least", "none")
    return listed


def _sequence(sequence: object, batch: int) -> int:
    if not isinstance(sequence, int) or isinstance(sequence, bool):
        raise TypeError(f"sequence: expected the number of a sequence, got {sequence!r}")
    if not 0 <= sequence < batch:
        raise arguments.wrong("sequence", f"0 to {batch - 1}, one of the batch", sequence)
    return sequence


def _of_batch(name: str, given: Any, sequence: int) -> Any:
    dims = len(given.shape) if hasattr(given, "shape") else np.ndim(given)
    if dims not in (1, 2, 3):
        shapes = "(T,) for one unit, (T, units) or (T, B, units)"
        raise arguments.wrong(name, shapes, f"{dims} dimensions")
    if dims == 3:
        return given[:, _sequence(sequence, given.shape[1])]
    return given[:, None] if dims == 1 else given


def array(given: Any, name: str) -> np.ndarray:
    """A tensor or a list, as numbers of 32 bits or 64."""
    if isinstance(given, torch.Tensor):
        given = given.detach().cpu()
        given = given.float() if given.dtype not in (torch.float32, torch.float64) else given
        return given.numpy()
    try:
        made = np.asarray(given)
        return made if made.dtype in (np.float32, np.float64) else made.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name}: expected numbers, got {type(given).__name__}") from error


# -- words and kinds ---------------------------------------------------------------------------------


def kind_of(name: str, values: np.ndarray, graph: Graph | None = None) -> str:
    """ "share", "signed" or "size": by the equations where they say it, by the numbers otherwise."""
    op = graph.names[name].op if graph is not None and name in graph.names else ""
    if op == "sigmoid":
        return "share"
    if op == "tanh" or not np.isfinite(values).any():
        return "signed"
    low, high = np.nanmin(values), np.nanmax(values)
    if low < 0:
        return "signed"
    stated = graph is not None and name in {s.name for s in graph.states}
    return "share" if high <= 1 and not stated else "size"


def words_of(name: str, kind: str, graph: Graph | None = None) -> str:
    """A name and what the papers call it: "f, forget gate"."""
    bare = re.sub(r"_(pre|prev)$", "", name)
    stated = {s.name for s in graph.states} if graph is not None else set(STATES) - set(NEW)
    if name.endswith("_pre"):
        return f"{name}, inside the squashing of {bare}"
    if name.endswith("_prev"):
        return f"{name}, {STATES.get(bare, bare)} before the step"
    if name in stated:
        table = GATES if kind == "share" and name in GATES else STATES
    else:
        table = GATES if kind == "share" else GATES | STATES | NEW
    return f"{name}, {table[name]}" if name in table else name


def scale_of(values: Sequence[np.ndarray], kind: str, label: str) -> Scale:
    """The colours' range: 0 to 1; 0 to the largest; or as far below 0 as above it."""
    if kind == "share":
        return Scale(kind, 0.0, 1.0, label)
    finite = [v[np.isfinite(v)] for v in values]
    most = max((float(np.abs(v).max()) for v in finite if v.size), default=0.0) or 1.0
    if kind == "signed" and 0.9 <= most <= 1.0:
        most = 1.0  # a tanh
    return Scale(kind, -most if kind == "signed" else 0.0, most, label)
