"""Sequences of several lengths end to end in one array, with a label and a group for each.

What a user has (arrays, a padded batch, frames, texts, recordings) becomes `Sequences`; every complaint names the
sequence, and the row in it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from gatewright.tasks.errors import DataError

if TYPE_CHECKING:
    from jaxtyping import Int

__all__ = ["Sequences", "from_arrays", "from_padded", "with_labels"]


@dataclass(frozen=True)
class Sequences:
    """Sequences end to end.

    values: (N, F) float32 of features; (N,) float32 of waveforms; (N,) int32 of tokens; (N,) uint8 of UTF-8 text.
    offsets: (n + 1,), where each begins and the last one ends. kind: "numbers", "audio", "tokens" or "text".
    name: of the data, for people. labels, groups: (n,), where there are any. features: their names. rate: samples a
    second of waveforms. ids: what the data calls each sequence, where it has words for that.
    """

    values: np.ndarray
    offsets: Int[np.ndarray, " n1"]
    kind: str
    name: str
    labels: np.ndarray | None = None
    groups: np.ndarray | None = None
    features: tuple[str, ...] = ()
    rate: int | None = None
    ids: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> np.ndarray:
        return self.values[self.offsets[index] : self.offsets[index + 1]]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[k] for k in range(len(self)))

    @property
    def lengths(self) -> Int[np.ndarray, " n"]:
        """Steps of each."""
        return np.diff(self.offsets)

    @property
    def texts(self) -> list[str]:
        """The sequences of text as strings."""
        return [part.tobytes().decode() for part in self]

    def called(self, index: int) -> str:
        """A sequence, for a message."""
        return f"sequence {self.ids[index]!r}" if self.ids else f"sequence {index}"

    def take(self, chosen: Sequence[int] | np.ndarray) -> Sequences:
        """Some of them, in that order.

        >>> both = from_arrays([[1.0, 2.0], [3.0]], labels=["a", "b"])
        >>> both.take([1]).values.tolist(), both.take([1]).labels.tolist()
        ([[3.0]], ['b'])
        """
        chosen = np.asarray(chosen, np.int64)
        parts = [self[int(k)] for k in chosen]
        values = np.concatenate(parts) if parts else self.values[:0]
        return replace(
            self,
            values=values,
            offsets=ends(self.lengths[chosen]),
            labels=None if self.labels is None else self.labels[chosen],
            groups=None if self.groups is None else self.groups[chosen],
            ids=tuple(self.ids[int(k)] for k in chosen) if self.ids else (),
        )

    def digest(self) -> str:
        """SHA-256 of all that training sees."""
        found = hashlib.sha256(repr((self.kind, self.features, self.rate, self.values.shape)).encode())
        for array in (self.values, self.offsets.astype(np.int64)):
            found.update(np.ascontiguousarray(array).tobytes())
        for array in (self.labels, self.groups):
            found.update(repr(None if array is None else array.tolist()).encode())
        return found.hexdigest()


def ends(lengths: Sequence[int] | np.ndarray) -> Int[np.ndarray, " n1"]:
    """Offsets from lengths."""
    return np.concatenate([[0], np.cumsum(np.asarray(lengths, np.int64))]).astype(np.int64)


def from_arrays(
    items: Sequence[Any],
    *,
    labels: Any = None,
    groups: Any = None,
    name: str = "the data",
    ids: Sequence[str] = (),
    features: Sequence[str] = (),
    rate: int | None = None,
) -> Sequences:
    """Sequences from one item each: (T, F) or (T,) numbers, or strings of text.

    Args:
        items: one a sequence, of any lengths above 0. labels, groups: one a sequence.
        name: of the data, in messages. ids, features: what sequences and features are called.
        rate: samples a second, where the items are waveforms (T,).

    Raises:
        DataError: no sequence, an empty one, another number of features, NaN or infinity, no numbers.

    >>> found = from_arrays([[[1, 2], [3, 4]], [[5, 6]]])
    >>> found.values.shape, found.offsets.tolist()
    ((3, 2), [0, 2, 3])
    """
    if not len(items):
        raise DataError(f"{name}: no sequences; give at least one")
    if isinstance(items[0], str):
        return _of_text(items, labels, groups, name, ids)
    empty = Sequences(
        np.zeros(0), np.zeros(1, np.int64), "audio" if rate else "numbers", name, ids=tuple(map(str, ids))
    )
    arrays = [_numbers(item, empty, k) for k, item in enumerate(items)]
    if rate is None:
        arrays = [_two_axes(array, empty, k) for k, array in enumerate(arrays)]
        _refuse_ragged(arrays, empty)
    else:
        _refuse_channels(arrays, empty)
    made = replace(
        empty,
        values=np.concatenate(arrays),
        offsets=ends([len(a) for a in arrays]),
        features=tuple(features) or _feature_names(arrays[0]),
        rate=rate,
    )
    return with_labels(_checked(made), labels, groups)


def from_padded(
    values: np.ndarray, lengths: Any = None, *, labels: Any = None, groups: Any = None, name: str = "the data"
) -> Sequences:
    """Sequences from a padded array (B, T, F) or (B, T) and their lengths (default: all T).

    >>> found = from_padded(np.ones((2, 3, 4)), [3, 1])
    >>> found.lengths.tolist()
    [3, 1]
    """
    values = np.asarray(values)
    if values.ndim not in (2, 3):
        raise DataError(f"{name}: expected an array (sequences, steps, features), got shape {values.shape}")
    steps = values.shape[1]
    if lengths is None:
        return from_arrays(list(values), labels=labels, groups=groups, name=name)
    counts = np.asarray(lengths)
    if counts.shape != (len(values),) or counts.dtype.kind not in "iu":
        raise DataError(f"{name}: lengths: expected {len(values)} whole numbers, got shape {counts.shape}")
    for k, count in enumerate(counts.tolist()):
        if not 0 < count <= steps:
            raise DataError(f"{name}: length of sequence {k}: expected 1 to {steps}, got {count}")
    cut = [row[:count] for row, count in zip(values, counts.tolist(), strict=True)]
    return from_arrays(cut, labels=labels, groups=groups, name=name)


def with_labels(found: Sequences, labels: Any, groups: Any = None) -> Sequences:
    """The same with labels and groups. Raises `DataError` where there are more or fewer than sequences, or one is
    missing.

    >>> with_labels(from_arrays([[1.0]]), ["a", "b"])
    Traceback (most recent call last):
      ...
    gatewright.tasks.errors.DataError: the data: 1 sequences and 2 labels; give one label for each sequence
    """
    checked = {what: _one_each(found, given, what) for what, given in (("labels", labels), ("groups", groups))}
    return replace(found, **{what: array for what, array in checked.items() if array is not None})


def _one_each(found: Sequences, given: Any, what: str) -> np.ndarray | None:
    if given is None:
        return None
    array = np.asarray(given)
    if array.ndim != 1:
        raise DataError(f"{found.name}: {what}: expected one for each sequence, got shape {array.shape}")
    if len(array) != len(found):
        raise DataError(
            f"{found.name}: {len(found)} sequences and {len(array)} {what}; give one {what[:-1]} for each sequence"
        )
    for k, value in enumerate(array.tolist()):
        if value is None or (isinstance(value, float) and not math.isfinite(value)) or value == "":
            raise DataError(
                f"{found.name}: {found.called(k)}: expected a {what[:-1]}, got {value!r}; "
                "fill it in or leave the sequence out"
            )
    return array


def _of_text(items: Sequence[Any], labels: Any, groups: Any, name: str, ids: Sequence[str]) -> Sequences:
    for k, item in enumerate(items):
        where = f"sequence {ids[k]!r}" if len(ids) else f"sequence {k}"
        if not isinstance(item, str):
            raise DataError(f"{name}: {where}: expected text, as in the sequences before, got {type(item).__name__}")
        if not item.strip():
            raise DataError(f"{name}: {where}: the text is empty; leave it out")
    coded = [np.frombuffer(item.encode("utf-8", "replace"), np.uint8) for item in items]
    made = Sequences(
        np.concatenate(coded), ends([len(c) for c in coded]), "text", name, features=("text",), ids=tuple(map(str, ids))
    )
    return with_labels(made, labels, groups)


def _numbers(item: Any, found: Sequences, index: int) -> np.ndarray:
    item = item.to_numpy() if hasattr(item, "to_numpy") else item
    item = item.detach().cpu().numpy() if hasattr(item, "detach") else item
    try:
        array = np.asarray(item)
        if array.dtype.kind not in "biuf":
            array = array.astype(np.float64)
    except (OverflowError, TypeError, ValueError) as error:
        raise DataError(
            f"{found.name}: {found.called(index)}: expected numbers, (steps, features), in rows of one width: {error}"
        ) from error
    if array.ndim not in (1, 2) or not array.size:
        fault = "it is empty; leave it out" if not array.size else f"got shape {array.shape}"
        raise DataError(f"{found.name}: {found.called(index)}: expected (steps, features), at least one step: {fault}")
    return array.astype(np.float32) if array.dtype.kind != "f" else array


def _two_axes(array: np.ndarray, _found: Sequences, _index: int) -> np.ndarray:
    return array[:, None] if array.ndim == 1 else array


def _refuse_ragged(arrays: Sequence[np.ndarray], found: Sequences) -> None:
    width = arrays[0].shape[1]
    for k, array in enumerate(arrays):
        if array.shape[1] != width:
            raise DataError(
                f"{found.name}: {found.called(k)} has {array.shape[1]} features, those before it {width}; "
                "every sequence needs the same ones"
            )


def _refuse_channels(arrays: Sequence[np.ndarray], found: Sequences) -> None:
    for k, array in enumerate(arrays):
        if array.ndim != 1:
            raise DataError(
                f"{found.name}: {found.called(k)}: expected a waveform (samples,), got shape {array.shape}; "
                "take the mean of its channels"
            )


def _feature_names(array: np.ndarray) -> tuple[str, ...]:
    return tuple(f"x{k}" for k in range(array.shape[1])) if array.ndim == 2 else ("sample",)


def _checked(found: Sequences) -> Sequences:
    """The same in float32. Raises `DataError` where a value is no finite number."""
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(found.values, np.float32)
    bad = ~np.isfinite(values)
    if bad.any():
        place = np.argwhere(bad)[0]
        at = int(place[0])
        index = int(np.searchsorted(found.offsets, at, "right")) - 1
        column = f", feature {found.features[place[1]]!r}" if values.ndim == 2 else ""
        row, value = at - int(found.offsets[index]), found.values[tuple(place)]
        raise DataError(
            f"{found.name}: {found.called(index)}, row {row}{column}: expected a finite number, got {value}; "
            "fill the gaps first (by the value before, or by interpolation)"
        )
    return replace(found, values=values)
