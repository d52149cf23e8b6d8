"""A text as two arrays of numbers, for training and for validation, in memory or memory-mapped from a cache.

Long texts (over 32 MB) are encoded block by block into `$GATEWRIGHT_CACHE/text` (else
`$XDG_CACHE_HOME/gatewright/text`, else `~/.cache/gatewright/text`), under the hash of the text and of what
made the numbers. The cache may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gatewright.tasks.checkpoint import commit, fresh_folder, write_file
from gatewright.tasks.errors import FolderError, TextError
from gatewright.tasks.text import Part, Survey, Text, split, survey
from gatewright.tasks.tokenizers import TOKENIZERS, Tokenizer, load_tokenizer

if TYPE_CHECKING:
    from jaxtyping import Integer

__all__ = ["Corpus", "Rows", "cache_folder", "encode_part", "prepare"]

IN_MEMORY = 32 << 20  # bytes of text up to which no cache is used


@dataclass(frozen=True)
class Corpus:
    """A text, encoded. The arrays are read-only memory maps where `cache` is a folder."""

    tokenizer: Tokenizer
    train: Integer[np.ndarray, " N"]
    valid: Integer[np.ndarray, " M"]
    sha256: str  # of the text and the validation text
    characters: int
    cache: Path | None = None

    def __reduce__(self) -> Any:
        """Another process maps the cached arrays itself; they are not sent to it."""
        if self.cache is not None:
            return _open_cached, (self.cache, self.sha256, self.characters)
        return Corpus, (self.tokenizer, self.train, self.valid, self.sha256, self.characters, None)


@dataclass(frozen=True)
class Rows:
    """A text cut into rows that are read side by side, `steps` numbers at a time, the state carried along.

    Row b is the b-th of `rows` equal stretches that begin at `offset`; up to `rows` numbers at the end are
    not used. `starts`: where in a row each batch begins, where they are not `steps` apart.
    """

    tokens: Integer[np.ndarray, " N"]
    rows: int
    steps: int
    offset: int = 0
    starts: Integer[np.ndarray, " K"] | None = None

    @property
    def length(self) -> int:
        """Predictions in a row."""
        return (len(self.tokens) - 1 - self.offset) // self.rows

    def __len__(self) -> int:
        """Batches; the last one may be shorter."""
        return -(-self.length // self.steps) if self.starts is None else len(self.starts)

    def span(self, index: int) -> tuple[int, int]:
        """Where in its row a batch begins, and how many predictions of each row it has."""
        if self.starts is None:
            start = index * self.steps
            return start, min(self.steps, self.length - start)
        start, *after = (int(s) for s in self.starts[index : index + 2])
        return start, (after[0] if after else self.length) - start

    def batch(self, index: int, first: int = 0, last: int | None = None) -> Integer[np.ndarray, "T1 B"]:
        """Rows `first` to `last` of a batch, (steps + 1, rows): one step more than is predicted."""
        start, steps = self.span(index)
        at = self.offset + start + np.arange(steps + 1)[:, None]
        return self.tokens[at + self.length * np.arange(self.rows)[None, first:last]].astype(np.int64)


def cache_folder() -> Path:
    """Where encoded texts lie."""
    if named := os.environ.get("GATEWRIGHT_CACHE"):
        return Path(named) / "text"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gatewright" / "text"


def prepare(
    text: Text,
    *,
    kind: str = "chars",
    size: int | None = None,
    tokenizer: Tokenizer | None = None,
    share: float = 0.1,
    validation: Text | None = None,
) -> Corpus:
    """Encode `text`, whose last `share` (or the text `validation`) is for validation.

    The tokenizer is built from the training part alone, of `kind` and at most `size` entries, unless one is
    given (that was built so before). Raises `TextError` for what is wrong with a text.
    """
    found = survey(text)
    if validation is None:
        parts = split(text, found.size, share)
        total, fingerprint = found, f"{found.sha256} {share!r}"
    else:
        other = survey(validation)
        parts = (Part(text, 0, found.size), Part(validation, 0, other.size))
        total = Survey(found.size + other.size, found.characters + other.characters, "")
        fingerprint = f"{found.sha256} {other.sha256}"
    sha256 = hashlib.sha256(fingerprint.encode()).hexdigest()
    if total.size > IN_MEMORY:
        key = hashlib.sha256(f"1 {sha256} {kind} {size}".encode()).hexdigest()[:32]
        return _cached(cache_folder() / key, parts, kind, size, tokenizer, sha256, total.characters)
    built = tokenizer or TOKENIZERS[kind].build(parts[0].strings(), size)
    train, valid = (encode_part(built, part) for part in parts)
    return Corpus(built, train, valid, sha256, total.characters)


def encode_part(tokenizer: Tokenizer, part: Part | Text) -> Integer[np.ndarray, " N"]:
    """All numbers of a text, in memory."""
    kind = _dtype(tokenizer)
    return np.concatenate([np.empty(0, kind), *(a.astype(kind) for a in tokenizer.encode_stream(part.strings()))])


def _dtype(tokenizer: Tokenizer) -> Any:
    return np.uint8 if tokenizer.size <= 1 << 8 else np.uint16 if tokenizer.size <= 1 << 16 else np.int32


def _cached(
    folder: Path,
    parts: tuple[Part, Part],
    kind: str,
    size: int | None,
    tokenizer: Tokenizer | None,
    sha256: str,
    characters: int,
) -> Corpus:
    if not folder.exists():
        built = tokenizer or TOKENIZERS[kind].build(parts[0].strings(), size)
        _fill(folder, built, parts)
    return _open_cached(folder, sha256, characters)


def _open_cached(folder: Path, sha256: str, characters: int) -> Corpus:
    try:
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        loaded = load_tokenizer(about["tokenizer"])
        train, valid = (_map(folder / f"{name}.bin", _dtype(loaded), about[name]) for name in ("train", "valid"))
    except (OSError, ValueError, KeyError) as error:
        raise FolderError(
            f"{folder}: this cached text is damaged ({error}); delete the folder and run again"
        ) from error
    return Corpus(loaded, train, valid, sha256, characters, folder)


def _fill(folder: Path, tokenizer: Tokenizer, parts: tuple[Part, Part]) -> None:
    """Encode into a new folder and make it the cache entry by one rename; the first of two wins."""
    kind, counts = _dtype(tokenizer), {}
    with fresh_folder(folder) as new:
        for name, part in zip(("train", "valid"), parts, strict=True):
            arrays = (a.astype(kind) for a in tokenizer.encode_stream(part.strings()))
            counts[name] = write_file(new / f"{name}.bin", (a.tobytes() for a in arrays)) // np.dtype(kind).itemsize
        write_file(new / "about.json", [json.dumps({**counts, "tokenizer": tokenizer.to_dict()}).encode()])
        commit(new, folder)


def _map(path: Path, kind: Any, count: int) -> Integer[np.ndarray, " N"]:
    if path.stat().st_size != count * np.dtype(kind).itemsize:
        raise ValueError(f"{path.name} has {path.stat().st_size} bytes")
    if not count:
        return np.empty(0, kind)
    return np.memmap(path, kind, "r", shape=(count,))


def refuse_short(count: int, needed: int, what: str, advice: str) -> None:
    """Raise `TextError` where a text has fewer than `needed` numbers."""
    if count < needed:
        raise TextError(f"{what}: too short: {count} tokens, at least {needed} are needed; {advice}")
