"""Sentences with a tag for every word and perhaps an intent, read from the forms that such data come in.

    CoNLL columns    a word a line, its tag in the last column, an empty line between sentences; `# intent: X` before
    three files      `seq.in` (words), `seq.out` (tags), `label` (intents, may be absent): a line is a sentence
    a folder         of `train`, `valid` (or `dev`) and `test`, each a folder of three files or a file of columns
    Python           lists of words, lists of tags, intents

Files may be compressed by gzip (`.gz`). Every error names the file and the line.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gatewright.tasks.errors import DataError

__all__ = ["Sentences", "find_part", "lines_of", "read_sentences"]

PARTS = {"train": ("train", "training"), "valid": ("valid", "validation", "dev", "val"), "test": ("test",)}
COLUMN_FILES = ("", ".txt", ".conll", ".tsv", ".bio", ".iob")
COMMENT = re.compile(r"#\s*intent\s*[:=]\s*(?P<intent>.*)|#\s+[\w.-]+(\s=|:)\s", re.IGNORECASE)
DOCUMENT = "-DOCSTART-"


@dataclass(frozen=True)
class Sentences:
    """name: of where they come from. words: of each sentence. tags: one for each word. intents: one a sentence."""

    name: str
    words: list[list[str]]
    tags: list[list[str]] | None = None
    intents: list[str] | None = None

    def __len__(self) -> int:
        return len(self.words)

    def take(self, rows: Sequence[int]) -> Sentences:
        """Some of the sentences."""
        words, tags, intents = (
            None if part is None else [part[i] for i in rows] for part in (self.words, self.tags, self.intents)
        )
        return replace(self, words=words, tags=tags, intents=intents)


def read_sentences(data: Any, tags: Any = None, intents: Any = None, *, part: str = "train") -> Sentences:
    """Sentences with tags, from a path or from lists.

    data: a path of a file or folder, or lists of words. tags, intents: for lists. part: which part of a folder that
    has several. Raises `DataError`.

    >>> read_sentences([["fly", "to", "Rome"]], [["O", "O", "B-city"]]).tags
    [['O', 'O', 'B-city']]
    """
    if isinstance(data, Path):
        if tags is not None or intents is not None:
            raise DataError(
                f"{data}: tags and intents are read from the path itself; give them with lists of words alone"
            )
        return _from_path(data, part)
    return _from_lists(data, tags, intents)


def find_part(data: Any, part: str) -> Path | None:
    """Where a folder has its part "train", "valid" or "test"; None where it has none, or is no folder of parts."""
    if not isinstance(data, Path) or not data.is_dir():
        return None
    for name in PARTS[part]:
        for path in (data / f"{name}{ending}{packed}" for ending in COLUMN_FILES for packed in ("", ".gz")):
            if path.exists():
                return path
    return None


# -- files -----------------------------------------------------------------------------------------------------------


def _from_path(path: Path, part: str) -> Sentences:
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; give a file of columns, or a folder with seq.in and seq.out")
    if not path.is_dir():
        return _columns(path)
    if _packed(path / "seq.in"):
        return _three_files(path)
    found = find_part(path, part)
    if found is None:
        raise DataError(
            f"{path}: neither seq.in and seq.out nor a part {' or '.join(PARTS[part])} is in this folder; "
            "give a folder that has them, or a file of columns"
        )
    return _from_path(found, part)


def _three_files(folder: Path) -> Sentences:
    names = {what: _packed(folder / what) for what in ("seq.in", "seq.out", "label")}
    if names["seq.out"] is None:
        raise DataError(f"{folder}: seq.in is there, seq.out is not; put the tags there, a line a sentence")
    lines = {what: list(lines_of(path)) for what, path in names.items() if path}
    for what, found in lines.items():
        if len(found) != len(lines["seq.in"]):
            raise DataError(
                f"{names[what]}: {len(found)} lines, and {names['seq.in']} has {len(lines['seq.in'])}; "
                "they must have a line for each sentence"
            )
    words, tags, intents = [], [], []
    for number, line in enumerate(lines["seq.in"], 1):
        tokens, labels = line.split(), lines["seq.out"][number - 1].split()
        intent = lines["label"][number - 1].strip() if "label" in lines else ""
        if not tokens and not labels and not intent:
            continue
        if len(tokens) != len(labels):
            raise DataError(
                f"{names['seq.out']}, line {number}: {len(labels)} tags for {len(tokens)} words "
                f"({_shorten(line)}); every word needs one"
            )
        if not tokens or ("label" in lines and not intent):
            what = names["label" if tokens else "seq.in"]
            raise DataError(f"{what}, line {number}: empty; give every sentence a line, or none in all files")
        words.append(tokens)
        tags.append(labels)
        intents.append(intent)
    return _some(Sentences(str(folder), words, tags, intents if "label" in lines else None))


def _columns(path: Path) -> Sentences:
    """A word a line; the columns between the first and the last are not read."""
    words: list[list[str]] = []
    tags: list[list[str]] = []
    intents: list[str | None] = []
    first: list[int] = []  # the line that a sentence begins at
    intent: str | None = None
    inside, width = False, 0
    for number, line in enumerate(lines_of(path), 1):
        comment = None if inside else COMMENT.match(line)
        if comment or not line.strip():
            inside = False
            if comment and comment["intent"]:
                intent = comment["intent"].strip()
            continue
        fields = [f.strip() for f in line.split("\t")] if "\t" in line else line.split()
        width = width or len(fields)
        if len(fields) != width or width < 2 or not fields[0] or not fields[-1]:
            wanted = f"{width} columns as before" if width > 1 else "a word and its tag"
            raise DataError(f"{path}, line {number}: expected {wanted}, got {_shorten(line)!r}")
        if not inside:
            words.append([])
            tags.append([])
            intents.append(intent)
            first.append(number)
            intent, inside = None, True
        words[-1].append(fields[0])
        tags[-1].append(fields[-1])
    return _some(_without_documents(Sentences(str(path), words, tags, _whole_intents(path, intents, first))))


def _whole_intents(path: Path, intents: list[str | None], first: list[int]) -> list[str] | None:
    """All sentences have an intent, or none has."""
    missing = [line for line, intent in zip(first, intents, strict=True) if not intent]
    if missing and len(missing) < len(intents):
        raise DataError(
            f"{path}, line {missing[0]}: this sentence has no intent, and others have; "
            "write `# intent: NAME` before each, or before none"
        )
    return None if missing or not intents else [str(intent) for intent in intents]


def _without_documents(found: Sentences) -> Sentences:
    return found.take([i for i, words in enumerate(found.words) if words[0] != DOCUMENT])


def _packed(path: Path) -> Path | None:
    """The file, or the same with `.gz`."""
    return next((p for p in (path, path.with_name(f"{path.name}.gz")) if p.exists()), None)


def lines_of(path: Path) -> Iterator[str]:
    """The lines of a file of text, which may be compressed. Raises `DataError` with the line that is no UTF-8."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); give a readable file") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}, line {line}: not UTF-8; convert the file, for example with iconv -t UTF-8") from error
    return iter(text.replace("\r\n", "\n").removesuffix("\n").split("\n") if text else ())


def _some(found: Sentences) -> Sentences:
    if not found.words:
        raise DataError(f"{found.name}: no sentence in it; give words with tags")
    return found


def _shorten(line: str) -> str:
    return line if len(line) <= 60 else f"{line[:57]}…"


# -- lists -----------------------------------------------------------------------------------------------------------


def _from_lists(data: Any, tags: Any, intents: Any) -> Sentences:
    words = [_strings(sentence, f"sentence {i}: words") for i, sentence in enumerate(_listed(data, "data"))]
    if tags is None:
        raise DataError("tags: expected a list of tags for every sentence, got none; give tags=[[…], …]")
    labels = [_strings(sentence, f"sentence {i}: tags") for i, sentence in enumerate(_listed(tags, "tags"))]
    if len(words) != len(labels):
        raise DataError(f"tags: expected {len(words)} lists, one for each sentence, got {len(labels)}")
    for i, (sentence, its) in enumerate(zip(words, labels, strict=True)):
        if len(sentence) != len(its):
            raise DataError(f"sentence {i}: {len(its)} tags for {len(sentence)} words; every word needs one")
        if not sentence:
            raise DataError(f"sentence {i}: no word in it; leave it out")
    chosen = None if intents is None else _strings(intents, "intents")
    if chosen is not None and len(chosen) != len(words):
        raise DataError(f"intents: expected {len(words)}, one for each sentence, got {len(chosen)}")
    return _some(Sentences("the sentences given", words, labels, chosen))


def _listed(values: Any, what: str) -> list[Any]:
    if isinstance(values, str) or not hasattr(values, "__iter__"):
        raise DataError(f"{what}: expected a path, or a list of lists of strings, got {type(values).__name__}")
    return list(values)


def _strings(values: Any, what: str) -> list[str]:
    found = _listed(values, what)
    for value in found:
        if not isinstance(value, str) or not value or value.isspace():
            raise DataError(f"{what}: expected strings that are not empty, got {value!r}")
    return [str(value) for value in found]
