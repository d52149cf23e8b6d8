"""Compiled kernels on disk: one file each, in a folder that nobody else can write.

What is read from it is run, so a folder that others could have written to is refused, and an entry is believed only
where its digest is right.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

FOLDER = "GATEWRIGHT_CACHE"
SIZE = "GATEWRIGHT_CACHE_SIZE"
MIB = 1 << 20

MAGIC = b"gatewright kernel 1\n"
HEADER = struct.Struct(f"<{len(MAGIC)}sQ32s")  # magic, length of the content, sha256 of key and content
UNFINISHED = ".part"
ABANDONED = 3600.0  # seconds after which an unfinished file's writer is taken to be dead


def default() -> Cache | None:
    """The cache that the environment asks for; None where it is off.

    GATEWRIGHT_CACHE names the folder, or is `off`; without it the folder is `gatewright` in $XDG_CACHE_HOME or
    ~/.cache. GATEWRIGHT_CACHE_SIZE is the most it may hold, in MiB; 256 where it is not set.
    """
    asked = os.environ.get(FOLDER, "")
    if asked == "off":
        return None
    folder = os.path.abspath(os.path.expanduser(asked)) if asked else _usual()
    return _cache(folder, _limit(os.environ.get(SIZE) or "256"))


def _usual() -> str:
    given = os.environ.get("XDG_CACHE_HOME", "")
    # a relative one counts as none: so says its specification
    return os.path.join(given if os.path.isabs(given) else os.path.expanduser("~/.cache"), "gatewright")


def _limit(asked: str) -> int:
    if not asked.isdecimal():
        raise ValueError(f"{SIZE}: expected a whole number of MiB, got {asked!r}")
    return int(asked) * MIB


@cache
def _cache(folder: str, limit: int) -> Cache:
    return Cache(Path(folder), limit=limit)


class Cache:
    """Named contents in a folder, of bounded size: those not asked for the longest go first.

    Several processes may use a folder at once. Whatever goes wrong with it, nothing is found or kept, and one warning
    says why.
    """

    def __init__(self, folder: Path, *, limit: int = 256 * MIB):
        self.folder, self.limit = folder, limit
        self._warned = False

    def get(self, key: str) -> bytes | None:
        """What is kept under a key; None where that is nothing, or damaged."""
        path = self._path(key)
        try:
            if self._refused():
                return None
            entry = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            return self._warn(error)
        content = _unpack(key, entry)
        if content is not None:
            with suppress(OSError):  # the time of its last use; that of a folder that is only read stays as it is
                os.utime(path)
        return content

    def put(self, key: str, content: bytes) -> None:
        """Keep a content under a key; with one larger than the cache, nothing happens."""
        if HEADER.size + len(content) > self.limit:
            return
        try:
            if self.folder.is_absolute():
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._refused():
                self._write(self._path(key), _pack(key, content))
                self._trim()
        except OSError as error:
            self._warn(error)

    def _path(self, key: str) -> Path:
        return self.folder / hashlib.sha256(key.encode()).hexdigest()

    def _write(self, path: Path, entry: bytes) -> None:
        """A file is complete under its name, or not there: it is written under another and renamed."""
        handle, unfinished = tempfile.mkstemp(dir=self.folder, suffix=UNFINISHED)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(entry)
            os.replace(unfinished, path)
        except BaseException:
            os.unlink(unfinished)
            raise

    def _trim(self) -> None:
        """Remove what writers left unfinished, and the longest unused until the rest fits."""
        entries = sorted(self._entries(), key=lambda entry: entry[1])
        total = sum(size for _, _, size in entries)
        for path, used, size in entries:
            unfinished = path.suffix == UNFINISHED
            if total > self.limit if not unfinished else time.time() - used > ABANDONED:
                path.unlink(missing_ok=True)
                total -= size

    def _entries(self) -> Iterator[tuple[Path, float, int]]:
        """The files there are, with the time of their last use and their size."""
        with os.scandir(self.folder) as found:
            for entry in found:
                with suppress(FileNotFoundError):  # another process has just removed it
                    about = entry.stat(follow_symlinks=False)
                    yield Path(entry.path), about.st_mtime, about.st_size

    def _refused(self) -> bool:
        """Whether others could have put something here; FileNotFoundError where there is no folder."""
        reason = _unsafe(self.folder)
        if reason:
            self._warn(reason)
        return bool(reason)

    def _warn(self, why: object) -> None:
        if not self._warned:
            self._warned = True
            text = f"no kernels are kept in {self.folder}: {why}. They are compiled anew by every process"
            warnings.warn(f"{text}; {FOLDER}=folder names another place, {FOLDER}=off ends this.", stacklevel=2)


def _pack(key: str, content: bytes) -> bytes:
    return HEADER.pack(MAGIC, len(content), _digest(key, content)) + content


def _unpack(key: str, entry: bytes) -> bytes | None:
    """The content of an entry; None where it is cut short, damaged, or another key's."""
    if len(entry) < HEADER.size:
        return None
    magic, length, digest = HEADER.unpack_from(entry)
    content = entry[HEADER.size :]
    right = magic == MAGIC and length == len(content) and digest == _digest(key, content)
    return content if right else None


def _digest(key: str, content: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(key.encode()).digest() + content).digest()


def _unsafe(folder: Path) -> str | None:
    """Why somebody else could write into a folder, or put another in its place; None where nobody can.

    The folders above it must be this user's or root's. One that everybody can write to, such as /tmp, must be sticky:
    there, only its owner can rename what he made.
    """
    if not folder.is_absolute():
        return "this user has no home folder"  # where there is none, `~` stays as it was
    here, *above = [folder.resolve(strict=True), *folder.resolve(strict=True).parents]
    about = here.stat()
    if not stat.S_ISDIR(about.st_mode):
        return "it is no folder"
    if about.st_uid != os.geteuid():
        return "it belongs to another user"
    if about.st_mode & 0o022:
        return f"others can write to it (chmod 700 {here})"
    for parent in above:
        about = parent.stat()
        if about.st_uid not in (0, os.geteuid()):
            return f"{parent} above it belongs to another user"
        if about.st_mode & stat.S_IWOTH and not about.st_mode & stat.S_ISVTX:
            return f"others can write to {parent} above it"
    return None
