"""From text to numbers and back: characters, bytes, words, or byte-pair pieces.

A tokenizer is built from a stream of strings, encodes a stream of strings into a stream of arrays, and is
saved as a dictionary of JSON values. What it encodes does not depend on where the stream is cut into blocks.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from gatewright.tasks.errors import FolderError, MissingExtra

if TYPE_CHECKING:
    from jaxtyping import Int32

__all__ = ["TOKENIZERS", "Bytes", "Chars", "Pieces", "Tokenizer", "Words", "load_tokenizer"]

LINE = 1 << 16  # characters after which a line without an end is cut


class Tokenizer(ABC):
    """Base: `build`, `encode`, `decode`, `to_dict`, `from_dict`."""

    kind: ClassVar[str]
    unknown: int | None = None  # the number of what the vocabulary lacks; None: nothing can be lacking
    glue: str = ""  # what stands between two texts that are encoded apart

    @classmethod
    @abstractmethod
    def build(cls, strings: Iterable[str], size: int | None) -> Self:
        """A tokenizer of at most `size` entries (None: as many as the kind finds good) from a text."""

    @property
    @abstractmethod
    def size(self) -> int:
        """The number of entries of the vocabulary."""

    @abstractmethod
    def encode_stream(self, strings: Iterable[str]) -> Iterator[Int32[np.ndarray, " N"]]:
        """Numbers of a text that comes in blocks."""

    @abstractmethod
    def decode(self, ids: Iterable[int]) -> str:
        """The text of numbers."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` needs, as JSON values."""

    @classmethod
    @abstractmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The tokenizer that `to_dict` described."""

    def encode(self, text: str) -> Int32[np.ndarray, " N"]:
        """Numbers of a text in memory."""
        return np.concatenate([np.empty(0, np.int32), *self.encode_stream([text])])

    @property
    def start(self) -> int:
        """The entry that an empty prompt stands for: an end of line, or the first entry."""
        ids = self.encode("\n")
        return int(ids[0]) if len(ids) and ids[0] != self.unknown else 0


class Chars(Tokenizer):
    """One number a character (Unicode code point); number 0, U+FFFD, stands for any that was not seen."""

    kind = "chars"
    unknown = 0

    def __init__(self, characters: str) -> None:
        self.characters = characters
        codes = np.frombuffer(characters.encode("utf-32-le"), np.uint32)
        self._table = np.zeros(0x110000, np.int32)
        self._table[codes] = np.arange(len(codes), dtype=np.int32)

    @classmethod
    def build(cls, strings: Iterable[str], size: int | None) -> Self:
        counts = np.zeros(0x110000, np.int64)
        for string in strings:
            codes, seen = np.unique(_codes(string), return_counts=True)
            counts[codes] += seen
        counts[0xFFFD] = 0  # is there anyway
        found = np.flatnonzero(counts)
        if size is not None and len(found) > size - 1:
            found = np.sort(found[np.argsort(-counts[found], kind="stable")[: size - 1]])
        return cls("\ufffd" + "".join(map(chr, found)))

    @property
    def size(self) -> int:
        return len(self.characters)

    def encode_stream(self, strings: Iterable[str]) -> Iterator[Int32[np.ndarray, " N"]]:
        for string in strings:
            yield self._table[_codes(string)]

    def decode(self, ids: Iterable[int]) -> str:
        return "".join(self.characters[i] for i in ids)

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "characters": self.characters}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        return cls(values["characters"])


class Bytes(Tokenizer):
    """One number a byte of UTF-8. Nothing is ever unknown; bytes that are no character decode as U+FFFD."""

    kind = "bytes"

    @classmethod
    def build(cls, strings: Iterable[str], size: int | None) -> Self:  # noqa: ARG003
        return cls()

    @property
    def size(self) -> int:
        return 256

    def encode_stream(self, strings: Iterable[str]) -> Iterator[Int32[np.ndarray, " N"]]:
        for string in strings:
            yield np.frombuffer(string.encode(), np.uint8).astype(np.int32)

    def decode(self, ids: Iterable[int]) -> str:
        return bytes(int(i) for i in ids).decode(errors="replace")

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:  # noqa: ARG003
        return cls()


class Words(Tokenizer):
    """One number a word, as the language-modelling data sets are read: words between white space, and `<eos>`
    for the end of a line. Number 0 is `<unk>`, any word that is not among the most frequent ones (10,000 by
    default).

    Decoding puts one space between words, so a text comes back up to its white space.
    """

    kind = "words"
    unknown = 0
    glue = " "
    default_size = 10_000

    def __init__(self, words: list[str]) -> None:
        self.words = words
        self._numbers = {word: number for number, word in enumerate(words)}

    @classmethod
    def build(cls, strings: Iterable[str], size: int | None) -> Self:
        counts = Counter[str]()
        for words in _words(strings):
            counts.update(words)
        for special in ("<unk>", "<eos>"):
            counts.pop(special, None)
        limit = (size or cls.default_size) - 2
        frequent = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[: max(limit, 0)]
        return cls(["<unk>", "<eos>", *(word for word, _ in frequent)])

    @property
    def size(self) -> int:
        return len(self.words)

    def encode_stream(self, strings: Iterable[str]) -> Iterator[Int32[np.ndarray, " N"]]:
        for words in _words(strings):
            yield np.array([self._numbers.get(word, 0) for word in words], np.int32)

    def decode(self, ids: Iterable[int]) -> str:
        lines = " ".join(self.words[i] for i in ids).split("<eos>")
        return "\n".join(line.strip(" ") for line in lines)

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "words": self.words}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        return cls(values["words"])


class Pieces(Tokenizer):
    """Byte-pair pieces (Sennrich, Haddow & Birch 2016) over bytes, by the `tokenizers` library: 4,096 by
    default.

    Any text has an encoding and comes back exactly. A piece never spans the end of a line, so that a text can
    be encoded line by line.
    """

    kind = "pieces"
    default_size = 4096

    def __init__(self, model: Any) -> None:
        self._model = model

    @classmethod
    def build(cls, strings: Iterable[str], size: int | None) -> Self:
        tokenizers = _tokenizers()
        model = tokenizers.Tokenizer(tokenizers.models.BPE())
        model.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
        model.decoder = tokenizers.decoders.ByteLevel()
        trainer = tokenizers.trainers.BpeTrainer(
            vocab_size=max(size or cls.default_size, 256),
            initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        model.train_from_iterator(_lines(strings), trainer)
        return cls(model)

    @property
    def size(self) -> int:
        return self._model.get_vocab_size()

    def encode_stream(self, strings: Iterable[str]) -> Iterator[Int32[np.ndarray, " N"]]:
        for line in _lines(strings):
            yield np.array(self._model.encode(line).ids, np.int32)

    def decode(self, ids: Iterable[int]) -> str:
        return self._model.decode(list(ids), skip_special_tokens=False)

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "tokenizer": json.loads(self._model.to_str())}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        return cls(_tokenizers().Tokenizer.from_str(json.dumps(values["tokenizer"])))


TOKENIZERS: dict[str, type[Tokenizer]] = {kind.kind: kind for kind in (Chars, Bytes, Words, Pieces)}


def load_tokenizer(values: dict[str, Any]) -> Tokenizer:
    """The tokenizer of a `config.json`. Raises `FolderError` where it is none."""
    kind = TOKENIZERS.get(values.get("kind", ""))
    if kind is None:
        raise FolderError(
            f"config.json: tokenizer of kind {values.get('kind')!r}; expected one of {', '.join(TOKENIZERS)}"
        )
    return kind.from_dict(values)


def _codes(string: str) -> np.ndarray:
    return np.frombuffer(string.encode("utf-32-le"), np.uint32)


def _words(strings: Iterable[str]) -> Iterator[list[str]]:
    """Words and line ends; a word that a block cuts is put together again."""
    rest = ""
    for string in strings:
        head, space, rest = _cut_after_space(rest + string)
        yield _split_words(head + space)
    yield _split_words(rest)


def _cut_after_space(string: str) -> tuple[str, str, str]:
    for end in range(len(string), 0, -1):
        if string[end - 1].isspace():
            return string[: end - 1], string[end - 1], string[end:]
    return "", "", string


def _split_words(string: str) -> list[str]:
    first, *others = string.split("\n")
    words = first.split()
    for line in others:
        words.append("<eos>")
        words += line.split()
    return words


def _lines(strings: Iterable[str]) -> Iterator[str]:
    """Lines with their ends; a line of more than `LINE` characters comes in several."""
    rest = ""
    for string in strings:
        *whole, rest = (rest + string).split("\n")
        for line in whole:
            yield from _cut(line + "\n")
        while len(rest) > LINE:
            yield rest[:LINE]
            rest = rest[LINE:]
    if rest:
        yield rest


def _cut(line: str) -> Iterator[str]:
    for start in range(0, len(line), LINE):
        yield line[start : start + LINE]


def _tokenizers() -> Any:
    try:
        import tokenizers
        import tokenizers.decoders
        import tokenizers.models
        import tokenizers.pre_tokenizers
        import tokenizers.trainers
    except ImportError as error:
        raise MissingExtra("tokenizers", "train", "a tokenizer of byte-pair pieces") from error
    return tokenizers
