"""Units that follow something known: the one that counts brackets, the one that keeps a subject's number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..graph.errors import suggestion
from ..nn import arguments
from .record import record
from .tape import Run, Track

if TYPE_CHECKING:
    from jaxtyping import Float

METHODS = ("auto", "auc", "spearman", "pearson")
BLOCK = 1 << 23
"""Numbers that are ranked at a time."""


@dataclass(frozen=True)
class Found:
    """A unit, and how well it follows the labels.

    module, layer, reverse, name, unit: which one: a value of the equations and the unit's number. measure: "auc",
    "spearman" or "pearson". score: on the half that was held out; 0.5 (AUC) or 0 (correlations) is chance, 1 the most.
    search: on the half that it was found on. sign: −1 where the unit is low when the label is high.
    """

    module: str
    layer: int
    reverse: bool
    name: str
    unit: int
    measure: str
    score: float
    search: float
    sign: int

    def __str__(self) -> str:
        where = f"{self.module} l{self.layer}{' reverse' if self.reverse else ''}".strip()
        turned = ", upside down" if self.sign < 0 else ""
        return f"{where} {self.name}[{self.unit}]: {self.measure} {self.score:.3f} held out, {self.search:.3f}{turned}"


def find_units(
    tape: record | Track,
    labels: Any,
    names: Sequence[str] | str | None = None,
    *,
    method: str = "auto",
    top: int | None = 10,
) -> list[Found]:
    """Which units follow the labels, the best first: found on one half of the steps, scored on the other.

    Steps are taken sequence after sequence; the first half of those with a label decides the order and the direction,
    and the score comes from the second half, which it has not seen: so a score is honest however many units there are.
    Ties are counted by half (AUC: Hanley and McNeil 1982) or have their mean rank (Spearman 1904).
    For units of this kind see Karpathy, Johnson and Fei-Fei (2015).

    Args:
        tape: of `gw.record`, after the model has run over a text; or one of its tracks.
        labels: one for each step, laid out as the layer's output without its width: (T, B), (B, T) or (T,). True and
            False, or numbers; NaN for steps that do not count. With `keep="all"` a list, one for each call.
        names: which values; default all that were recorded.
        method: "auc", for yes and no: how often a step with True has the larger value than one with False; "spearman",
            the correlation of ranks; "pearson", of the numbers; "auto": AUC for booleans, Spearman for numbers.
        top: how many; None for all.

    Raises:
        ValueError, TypeError: labels do not fit the steps, or one half has only one of them.

    >>> import gatewright as gw, torch
    >>> layer = gw.LSTM(1, 8)
    >>> brackets = torch.randn(400, 1, 1)
    >>> with gw.record(layer) as tape, torch.no_grad():
    ...     _ = layer(brackets)
    >>> best = gw.inside.find_units(tape, brackets[..., 0] > 0, top=1)[0]
    >>> best.measure, best.score > 0.9  # a gate that opens with the input
    ('auc', True)
    """
    if method not in METHODS:
        raise arguments.wrong("method", " or ".join(map(repr, METHODS)), repr(method))
    if top is not None:
        top = arguments.check_size("top", top, 1)
    tracks = tape.tracks if isinstance(tape, record) else [tape] if isinstance(tape, Track) else None
    if tracks is None:
        raise TypeError(f"tape: expected a tape of gw.record or one of its tracks, got {type(tape).__name__}")
    if not tracks:
        raise arguments.wrong("tape", "recorded values", "none", "nothing has run while it was open")
    wanted = _names(names, tracks)
    found: list[Found] = []
    for track in tracks:
        halves = _halves(track, labels, method)
        for name in wanted:
            if name in track:
                found += _scored(track, name, halves)
    found.sort(key=lambda unit: -unit.search)
    return found[:top]


def _names(names: Sequence[str] | str | None, tracks: Sequence[Track]) -> list[str]:
    there = list(dict.fromkeys(name for track in tracks for name in track))
    listed = there if names is None else [names] if isinstance(names, str) else list(names)
    for name in listed:
        if name not in there:
            raise ValueError(f"names: the tape has no {name!r}{suggestion(name, there)}; there are {', '.join(there)}")
    return listed


# -- labels ----------------------------------------------------------------------------------------------------


class Halves(NamedTuple):
    """The labels of the half that is searched and of the one that is held out. kept: which steps have one."""

    measure: str
    kept: np.ndarray
    targets: tuple[np.ndarray, np.ndarray]


def _halves(track: Track, labels: Any, method: str) -> Halves:
    given = list(labels) if len(track.runs) > 1 else [labels]
    if len(given) != len(track.runs):
        raise arguments.wrong("labels", f"a list, one for each of the {len(track.runs)} calls", f"{len(given)}")
    arrays = [_array(one) for one in given]
    flat = np.concatenate([_flat(run, a, "labels") for run, a in zip(track.runs, arrays, strict=True)])
    yes_or_no = all(a.dtype == np.bool_ for a in arrays)
    if method == "auc" and not yes_or_no:
        seen = set(np.unique(flat[np.isfinite(flat)]).tolist())
        if not seen <= {0.0, 1.0}:
            raise arguments.wrong(
                "labels", "True and False for the AUC", "other numbers", 'method="spearman" takes them'
            )
    measure = method if method != "auto" else "auc" if yes_or_no else "spearman"
    kept = np.flatnonzero(np.isfinite(flat))
    middle = len(kept) // 2
    targets = (flat[kept[:middle]], flat[kept[middle:]])
    for half, target in zip(("first", "second"), targets, strict=True):
        if len(np.unique(target)) < 2:
            got = "none" if not len(target) else f"{target[0]:g} alone"
            raise arguments.wrong(
                "labels", f"different ones in the {half} half of the steps", got, "give a longer text"
            )
    return Halves(measure, kept, targets)


def _array(labels: Any) -> np.ndarray:
    given = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if given.dtype.kind not in "biuf":
        raise TypeError(f"labels: expected booleans or numbers, got {given.dtype}")
    return given


def _flat(run: Run, values: np.ndarray, what: str) -> Float[np.ndarray, " N"]:
    """One number a valid step, sequence after sequence."""
    valid = run.valid.numpy()
    one = valid.ndim == 2 and 1 in valid.shape and values.shape == (valid.size,)  # the one sequence of a batch
    if values.shape != valid.shape and not one:
        raise arguments.wrong(what, f"one for each step: {tuple(valid.shape)}", f"shape {tuple(values.shape)}")
    values = values.reshape(valid.shape).astype(np.float64)
    if valid.ndim == 2 and not run._layout.batch_first:
        values, valid = values.T, valid.T
    return values[valid]


def _columns(run: Run, name: str) -> Float[np.ndarray, "N W"]:
    """The values in the order of `_flat`."""
    value, valid = run[name], run.valid
    if valid.dim() == 2 and not run._layout.batch_first:
        value, valid = value.transpose(0, 1), valid.T
    flat = value[valid.to(value.device)].cpu()
    return (flat if flat.dtype == torch.float64 else flat.float()).numpy()


# -- scores ----------------------------------------------------------------------------------------------------


def _scored(track: Track, name: str, halves: Halves) -> list[Found]:
    values = np.concatenate([_columns(run, name) for run in track.runs])[halves.kept]
    middle = len(halves.targets[0])
    search = _follows(values[:middle], halves.targets[0], halves.measure)
    score = _follows(values[middle:], halves.targets[1], halves.measure)
    if halves.measure == "auc":  # from −1 to 1, as a correlation: 0 is chance
        search, score = 2 * search - 1, 2 * score - 1
    sign = np.where(search < 0, -1, 1)
    search, score = search * sign, score * sign
    if halves.measure == "auc":
        search, score = (search + 1) / 2, (score + 1) / 2
    place = (track.module, track.layer, track.reverse, name)
    return [
        Found(*place, unit, halves.measure, float(score[unit]), float(search[unit]), int(sign[unit]))
        for unit in range(values.shape[1])
    ]


def _follows(values: Float[np.ndarray, "N W"], target: Float[np.ndarray, " N"], measure: str) -> np.ndarray:
    """(W,): the measure of each column; chance for one that does not vary."""
    width = max(1, BLOCK // len(target))
    blocks = [values[:, at : at + width].astype(np.float64) for at in range(0, values.shape[1], width)]
    if measure == "pearson":
        return np.concatenate([_pearson(block, target) for block in blocks])
    if measure == "spearman":
        wanted = ranks(target[:, None])[:, 0]
        return np.concatenate([_pearson(ranks(block), wanted) for block in blocks])
    yes = target > 0.5
    ones, zeros = int(yes.sum()), int((~yes).sum())
    sums = np.concatenate([ranks(block)[yes].sum(0) for block in blocks])
    return (sums - ones * (ones + 1) / 2) / (ones * zeros)


def _pearson(values: np.ndarray, target: np.ndarray) -> np.ndarray:
    a, b = values - values.mean(0), target - target.mean()
    size = np.sqrt((a * a).sum(0) * (b * b).sum())
    flat = values.max(0) == values.min(0)
    return np.where(flat, 0.0, b @ a / np.where(flat | (size == 0), math.inf, size))


def ranks(values: Float[np.ndarray, "N W"]) -> Float[np.ndarray, "N W"]:
    """Ranks from 1 in each column; equal values have the mean of theirs.

    >>> ranks(np.array([[3.0], [1.0], [3.0], [2.0]]))[:, 0].tolist()
    [3.5, 1.0, 3.5, 2.0]
    """
    order = values.argsort(0, kind="stable")
    ordered = np.take_along_axis(values, order, 0)
    place = np.arange(len(values))[:, None]
    new = np.concatenate([np.ones((1, values.shape[1]), bool), ordered[1:] != ordered[:-1]])
    last = np.concatenate([new[1:], np.ones((1, values.shape[1]), bool)])
    first = np.maximum.accumulate(np.where(new, place, 0), 0)
    end = np.minimum.accumulate(np.where(last, place, len(values) - 1)[::-1], 0)[::-1]
    found = np.empty(values.shape)
    np.put_along_axis(found, order, (first + end) / 2 + 1, 0)
    return found
