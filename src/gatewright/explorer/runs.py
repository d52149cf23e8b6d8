"""The runs that a server keeps: the newest ones, within a bound of numbers; and what can be asked about one."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ..graph.errors import suggestion
from ..inside import saturation, warnings
from ..inside.tape import Track
from .opened import NUMBERS, Clamp, Layer, Opened, Seen, horizon, series
from .reads_text import Likely, ReadsText
from .reduce import array, bin_of, binned, edges, history, number, numbers
from .refused import Refused

RUNS = 32
KEPT = 2 * NUMBERS
"""The numbers of all runs together, at most."""
SHOWN = 2_000
"""Steps up to which all predictions are sent at once."""
SEARCHED = 50_000
"""Steps in which a unit is looked for, at most."""
FEATURES = 64
"""The numbers of an input that are sent with a step, at most."""
SORTS = ("none", "horizon", "mean", "first")


@dataclass
class Run:
    """One sequence that has run through the model."""

    id: str
    opened: Opened
    seen: Seen
    clamps: tuple[Clamp, ...] = ()
    measured: dict[tuple[str, str], Any] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        return len(self.seen.input)

    @cached_property
    def tokens(self) -> list[str] | None:
        return self.opened.tokens(self.seen.input)

    @cached_property
    def likely(self) -> Likely | None:
        """The likeliest next tokens; None where the model has none."""
        model, output = self.opened, self.seen.output
        return model.likely(output) if isinstance(model, ReadsText) and output is not None else None

    @property
    def size(self) -> int:
        """The numbers that it keeps."""
        return sum(track[name].numel() for track in self.seen.tracks.values() for name in track)

    # -- answers -------------------------------------------------------------------------------------

    def shown(self) -> dict[str, Any]:
        """The answer to POST /api/run."""
        model, likely, output = self.opened, self.likely, self.seen.output
        predictions = None
        if isinstance(model, ReadsText) and likely is not None and self.steps <= SHOWN:
            predictions = [model.named(likely, t, 5) for t in range(self.steps)]
        return {
            "run": self.id,
            "T": self.steps,
            "tokens": self.tokens,
            "predictions": predictions,
            "outputs": array(output) if likely is None and output is not None and output.numel() <= 1 << 18 else None,
        }

    def step(self, layer: Layer, t: int, unit: int | None) -> dict[str, Any]:
        """Every value of one step: of a unit, or the mean over all of them."""
        self._check_step(t)
        found = {name: self.values(layer, name)[t] for name in self.track(layer)}
        for name, value in found.items():
            if unit is not None and not 0 <= unit < len(value):
                raise Refused(422, f"units of {name} are 0 to {len(value) - 1}", where="unit")
        values = {name: number(value.mean() if unit is None else value[unit]) for name, value in found.items()}
        answer: dict[str, Any] = {"t": t, "token": self.tokens[t] if self.tokens else None, "values": values}
        return answer | {"inputs": self._inputs(t)} | self._prediction(t)

    def _inputs(self, t: int) -> dict[str, Any]:
        given = self.seen.input[t]
        return {self.opened.first.cell.inputs[0]: numbers(given[:FEATURES])} if given.dim() else {}

    def _prediction(self, t: int) -> dict[str, Any]:
        model, likely, output = self.opened, self.likely, self.seen.output
        if not isinstance(model, ReadsText) or likely is None or output is None:
            return {"prediction": None, "actual": None}
        actual = None
        if t + 1 < self.steps:
            following = int(self.seen.input[t + 1])
            p, rank = model.chance_of(output[t], following)
            actual = {"token": model.token(following), "p": p, "rank": rank}
        return {"prediction": model.named(likely, t), "actual": actual}

    def heat(
        self,
        layer: Layer,
        name: str,
        start: int,
        stop: int,
        *,
        width: int,
        height: int,
        sort: str = "none",
        range_too: bool = False,
    ) -> dict[str, Any]:
        """A value of all units over some steps: at most height × width means."""
        part = self.values(layer, name)[self.span(start, stop)].T
        order = self._order(layer, part, sort)
        group, units = bin_of(len(part), height), order.tolist()
        answer = {
            "matrix": array(binned(binned(part, width)[order].T, height).T),
            "rows": [units[k : k + group] for k in range(0, len(units), group)],
            "from": start,
            "to": stop,
            "bin": bin_of(stop - start, width),
            "lo": number(part.min()),
            "hi": number(part.max()),
        }
        if range_too:
            least, most = edges(part[order], height, width)
            answer |= {"min": array(least), "max": array(most)}
        return answer

    def _order(self, layer: Layer, part: Tensor, sort: str) -> Tensor:
        """The units in the order of their rows; the longest memory, the largest value first."""
        match sort:
            case "none":
                return torch.arange(len(part))
            case "horizon":
                key = self._measured(layer, "horizon", horizon)
                if key is None or len(key) != len(part):
                    return torch.arange(len(part))
            case "mean":
                key = part.mean(1)
            case "first":
                key = part[:, 0]
            case _:
                raise Refused(422, f"sort: expected {', '.join(SORTS)}, got {sort!r}{suggestion(sort, SORTS)}")
        return key.argsort(descending=True, stable=True)

    def unit(
        self, layer: Layer, unit: int | None, names: Sequence[str], start: int, stop: int, width: int
    ) -> dict[str, Any]:
        """Some values of one unit over time."""
        found = {}
        for name in names:
            value = self.values(layer, name)[self.span(start, stop)]
            if unit is not None and not 0 <= unit < value.shape[1]:
                raise Refused(422, f"units of {name} are 0 to {value.shape[1] - 1}", where="unit")
            found[name] = history(value.mean(1) if unit is None else value[:, unit], start, width)
        return {"names": found, "bin": bin_of(stop - start, width)}

    def measures(self, layer: Layer) -> dict[str, Any]:
        """The answer to GET /api/run/{id}/measures."""
        memory = self._measured(layer, "horizon", horizon)
        return {"horizon": None if memory is None else numbers(memory), **self._measured(layer, "gates", _gates)}

    def _measured(self, layer: Layer, what: str, how: Callable[[Track], Any]) -> Any:
        """A measure of a layer, taken once."""
        if (layer.id, what) not in self.measured:
            self.measured[layer.id, what] = how(_Equations(**vars(self.track(layer))))
        return self.measured[layer.id, what]

    def sensitivity(self, t: int, rank: int) -> dict[str, Any]:
        """How much the prediction at a step depends on each step up to it."""
        self._check_step(t)
        with self.opened.lock, self.opened.held(self.seen.input, self.clamps):
            found = self.opened.explained(self.seen.input, t, rank)
        return {"values": numbers(found)}

    # -- values --------------------------------------------------------------------------------------

    def track(self, layer: Layer) -> Track:
        if layer.id not in self.seen.tracks:
            raise Refused(404, f"{layer.id} was not called in this run", where="layer")
        return self.seen.tracks[layer.id]

    def values(self, layer: Layer, name: str) -> Tensor:
        """(T, width)"""
        track = self.track(layer)
        if name not in track:
            said = f"{layer.id} has no value {name!r}{suggestion(name, list(track))}"
            raise Refused(404, said, where="name", remedy=f"there are {', '.join(track)}")
        return series(track, name)

    def span(self, start: int, stop: int) -> slice:
        if not 0 <= start < stop <= self.steps:
            raise Refused(422, f"expected steps 0 ≤ from < to ≤ {self.steps}, got {start} and {stop}", where="from")
        return slice(start, stop)

    def _check_step(self, t: int) -> None:
        if not 0 <= t < self.steps:
            raise Refused(422, f"steps are 0 to {self.steps - 1}, got {t}", where="t")


class _Equations(Track):
    """A track without what follows from the rest, old states and the insides of gates: there is less to measure."""

    def __iter__(self) -> Iterator[str]:
        return (name for name in super().__iter__() if name in self.cell.graph.names)


def _gates(track: Track) -> dict[str, Any]:
    """How saturated each gate is, and what stands out."""
    gates = [name for name, n in track.cell.graph.equations if n.op == "sigmoid" and name in track]
    found = [saturation(track, name) for name in gates]
    shares = {s.name: {"low": numbers(s.low), "high": numbers(s.high)} for s in found}
    return {"saturation": shares, "warnings": list(warnings(track).lines)}


class Runs:
    """The newest runs; those that nobody has looked at for longest go first."""

    def __init__(self, most: int = RUNS, kept: int = KEPT):
        self._lock = threading.Lock()
        self._runs: OrderedDict[str, Run] = OrderedDict()
        self.most, self.kept = most, kept

    def add(self, opened: Opened, given: Tensor, clamps: Sequence[Clamp] = ()) -> Run:
        """Run a sequence and keep what it showed."""
        run = Run(secrets.token_urlsafe(9), opened, opened.run(given, clamps), tuple(clamps))
        with self._lock:
            self._runs[run.id] = run
            while len(self._runs) > self.most or (len(self._runs) > 1 and self._total() > self.kept):
                self._runs.popitem(last=False)
        return run

    def get(self, key: str) -> Run:
        with self._lock:
            if key not in self._runs:
                raise Refused(404, "this run is no longer kept", where="run", remedy="run the sequence again")
            self._runs.move_to_end(key)
            return self._runs[key]

    def _total(self) -> int:
        return sum(run.size for run in self._runs.values())


# -- beside each other, and over many texts ------------------------------------------------------------------


@torch.no_grad()
def ask(opened: Opened, given: Tensor, clamps: Sequence[Clamp], length: int) -> dict[str, Any]:
    """What a clamp changes: the sequence as it is and under the clamps."""
    with opened.lock:
        plain = opened.output(given)
        with opened.held(given, clamps):
            changed = opened.output(given)
        if isinstance(opened, ReadsText) and plain is not None and changed is not None:
            answer = {
                side: {
                    "predictions": _named(opened, output),
                    "continuation": opened.goes_on(given, held, length),
                }
                for side, output, held in (("plain", plain, ()), ("changed", changed, clamps))
            }
            difference = opened.difference(plain, changed)
        elif plain is not None and changed is not None:
            answer = {side: {"outputs": array(out)} for side, out in (("plain", plain), ("changed", changed))}
            difference = (plain - changed).norm(dim=-1)
        else:
            raise Refused(422, "the model has no output for each step to compare", where="model")
    return {"tokens": opened.tokens(given), **answer, "difference": numbers(difference)}


def _named(opened: ReadsText, output: Tensor) -> list[Any] | None:
    likely = opened.likely(output)
    return [opened.named(likely, t, 5) for t in range(len(output))] if len(output) <= SHOWN else None


AROUND, LONGEST = 60, 200
"""Steps that are shown before and behind a hit, and of one."""


def find(
    opened: Opened, layer: Layer, name: str, unit: int, above: float, texts: Sequence[tuple[str, str]], most: int = 50
) -> dict[str, Any]:
    """Where a unit is on: stretches of steps at which a value is above a number, the highest mean first.

    texts: (id, text) each. A hit comes with its tokens and their values; of a long text with those around it, from the
    step `first` on.
    """
    if name not in opened.recorded:
        raise Refused(404, f"there is no value {name!r}{suggestion(name, opened.recorded)}", where="name")
    read = [(key, opened.read(text)) for key, text in texts]
    if (steps := sum(len(given) for _, given in read)) > SEARCHED:
        raise Refused(413, f"{steps} steps in all are more than {SEARCHED}", where="texts")
    hits = []
    for key, given in read:
        value = Run("", opened, opened.run(given, names=[name])).values(layer, name)
        if not 0 <= unit < value.shape[1]:
            raise Refused(422, f"units of {name} are 0 to {value.shape[1] - 1}", where="unit")
        tokens = opened.tokens(given)
        for start, stop in stretches(value[:, unit] > above):
            score = float(value[start:stop, unit].mean())
            near = slice(max(0, start - AROUND), min(stop, start + LONGEST) + AROUND)
            place = {"text": key, "from": start, "to": stop, "score": score, "first": near.start}
            shown = {"tokens": tokens and tokens[near], "values": numbers(value[near, unit])}
            hits.append(place | shown)
    return {"hits": sorted(hits, key=lambda hit: -hit["score"])[:most], "texts": len(texts)}


def stretches(on: Tensor) -> list[tuple[int, int]]:
    """(first step, one behind the last) of each stretch of True.

    >>> stretches(torch.tensor([True, True, False, True]))
    [(0, 2), (3, 4)]
    """
    edge = torch.diff(on.int(), prepend=on.new_zeros(1).int(), append=on.new_zeros(1).int())
    return list(zip((edge == 1).nonzero()[:, 0].tolist(), (edge == -1).nonzero()[:, 0].tolist(), strict=True))
