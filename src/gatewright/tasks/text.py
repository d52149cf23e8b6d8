"""Text as a stream: a string, a file, a folder of files, or the documentation inside Python, in blocks of any
size.

Nothing here holds more than a block of a file. A first pass (`survey`) finds everything that can be wrong
with a text (missing, empty, binary, not UTF-8) before any work is done, and its fingerprint.
"""

from __future__ import annotations

import codecs
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gatewright.tasks.errors import TextError

__all__ = ["DEFAULT_TEXT", "Part", "Survey", "Text", "check_string", "open_text", "split", "survey"]

BLOCK = 1 << 20  # bytes read at a time
DEFAULT_TEXT = "the Python language reference (pydoc_data.topics)"


@dataclass(frozen=True)
class Text:
    """A text that can be read again and again: a string in memory, or files one after another.

    A file that does not end in a newline is followed by one where another file comes after it, so that words
    of different files do not run together.
    """

    name: str
    content: bytes | None = None
    files: tuple[Path, ...] = ()

    def pieces(self) -> Iterator[tuple[str, int, bytes]]:
        """File name, position in the file, and the bytes there, at most `BLOCK` of them."""
        if self.content is not None:
            for start in range(0, len(self.content), BLOCK):
                yield self.name, start, self.content[start : start + BLOCK]
            return
        for number, path in enumerate(self.files):
            position, last = 0, b"\n"
            for block in _read(path):
                yield str(path), position, block
                position, last = position + len(block), block[-1:]
            if last != b"\n" and number + 1 < len(self.files):
                yield str(path), position, b"\n"

    def blocks(self) -> Iterator[bytes]:
        """The bytes, at most `BLOCK` at a time."""
        for _, _, block in self.pieces():
            yield block

    def strings(self) -> Iterator[str]:
        """The decoded text, block by block; `survey` has made sure that it decodes."""
        return _decode(self.blocks())


@dataclass(frozen=True)
class Part:
    """The bytes of a text from `start` to `stop`; both lie between two characters."""

    text: Text
    start: int
    stop: int

    def blocks(self) -> Iterator[bytes]:
        """The bytes, at most `BLOCK` at a time."""
        position = 0
        for block in self.text.blocks():
            cut = block[max(0, self.start - position) : max(0, self.stop - position)]
            position += len(block)
            if cut:
                yield cut
            if position >= self.stop:
                return

    def strings(self) -> Iterator[str]:
        """The decoded text, block by block."""
        return _decode(self.blocks())


@dataclass(frozen=True)
class Survey:
    """What a first pass over a text has found."""

    size: int  # bytes
    characters: int
    sha256: str


def open_text(source: str | os.PathLike[str] | None, pattern: str = "*") -> Text:
    """The text behind what a user gave.

    `source`: a string is the text itself; a path is a file, or a folder whose files (not hidden, their names
    like `pattern`, sorted by path) are read one after another; None is the Python language reference inside
    Python. Raises `TextError` where there is no such file or the folder has none.
    """
    if source is None:
        return Text(DEFAULT_TEXT, content=_python_reference().encode())
    if isinstance(source, str):
        return Text(f"a text of {len(source)} characters", content=check_string(source).encode())
    if not isinstance(source, os.PathLike):
        raise TextError(f"expected a text as a string or a path, got {type(source).__name__}")
    path = Path(source)
    if path.is_dir():
        files = sorted(p for p in path.rglob(pattern) if p.is_file() and not _hidden(p.relative_to(path)))
        if not files:
            raise TextError(f"{path}: no file like {pattern!r} in this folder; give a folder that holds text files")
        return Text(str(path), files=tuple(files))
    if not path.exists():
        raise TextError(f"{path}: no such file or folder; check the path of the text")
    if not path.is_file():
        raise TextError(f"{path}: neither a file nor a folder, and a text is read more than once; save it as a file")
    return Text(str(path), files=(path,))


def survey(text: Text) -> Survey:
    """Read the whole text once; `TextError` where it is empty, binary, or not UTF-8 (with the byte)."""
    digest, size, characters = hashlib.sha256(), 0, 0
    decoder = codecs.getincrementaldecoder("utf-8")()
    for name, position, block in text.pieces():
        if position == 0:  # a new file: the one before must have ended with a whole character
            _count(decoder, b"", position, name, final=True)
        _refuse_binary(block, position, name)
        characters += _count(decoder, block, position, name, final=False)
        digest.update(block)
        size += len(block)
    _count(decoder, b"", size, text.name, final=True)
    if not size:
        raise TextError(f"{text.name}: the text is empty; give a text of at least a few thousand characters")
    return Survey(size, characters, digest.hexdigest())


def split(text: Text, size: int, share: float) -> tuple[Part, Part]:
    """A text of `size` bytes in two: all but the last `share`, and the last `share`; no character is cut."""
    border = _character_border(text, size - int(size * share))
    return Part(text, 0, border), Part(text, border, size)


def _character_border(text: Text, position: int) -> int:
    """The first byte at or after `position` that begins a character."""
    around = b"".join(Part(text, position, position + 4).blocks())
    for skip, byte in enumerate(around):
        if byte & 0xC0 != 0x80:  # not a continuation byte of UTF-8
            return position + skip
    return position + len(around)


def _read(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                yield block
    except OSError as error:
        raise TextError(f"{path}: cannot be read ({error.strerror}); check the file and its permissions") from error


def _decode(blocks: Iterator[bytes]) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    for block in blocks:
        if string := decoder.decode(block):
            yield string


def _count(decoder: codecs.IncrementalDecoder, block: bytes, position: int, name: str, *, final: bool) -> int:
    pending = len(decoder.getstate()[0])  # bytes of a character that began in the last block
    try:
        return len(decoder.decode(block, final))
    except UnicodeDecodeError as error:
        where = position - pending + error.start
        raise TextError(
            f"{name}: not UTF-8 at byte {where} (0x{error.object[error.start]:02x}: {error.reason}); "
            "convert the file, e.g. iconv -f latin1 -t utf-8 FILE > NEW"
        ) from error


def _refuse_binary(block: bytes, position: int, name: str) -> None:
    if (where := block.find(b"\0")) >= 0:
        raise TextError(f"{name}: a binary file, not text (a zero byte at byte {position + where}); give a text file")


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def check_string(string: str) -> str:
    """The string itself. Raises `TextError` where it is none or has no UTF-8 form (a lone surrogate)."""
    if not isinstance(string, str):
        raise TextError(f"expected text as a string, got {type(string).__name__}")
    try:
        string.encode()
    except UnicodeEncodeError as error:
        raise TextError(
            f"the text has no UTF-8 form at character {error.start} ({error.reason}); "
            "decode the file with errors='replace' or remove the lone surrogate"
        ) from error
    return string


def _python_reference() -> str:
    try:
        from pydoc_data import topics
    except ImportError as error:
        raise TextError(
            "this Python comes without pydoc_data.topics, the default text; give a file or folder of text"
        ) from error
    return "\n\n".join(topics.topics[name] for name in sorted(topics.topics))
