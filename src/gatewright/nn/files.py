"""Files of tensors that survive a kill and a full disk: safetensors, in the place of the old file by one rename.

At any moment a reader sees the old file, or the whole new one. No pickle is written or read.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

OTHERS = {
    b"PK\x03\x04": "a ZIP file, as torch.save and Keras write them",
    b"\x80": "a pickle, as torch.save used to write them",
    b"\x89HDF": "an HDF5 file, as Keras writes them",
}
"""How files begin that are often taken for one of safetensors."""


class Damaged(ValueError):
    """A file that is not whole, or another thing; its text says which."""


# -- writing -------------------------------------------------------------------------------------------------


def write_file(path: Path, blocks: Iterable[bytes]) -> int:
    """Write and sync a new file; the number of bytes written."""
    count = 0
    with path.open("wb") as file:
        for block in blocks:
            count += file.write(block)
        file.flush()
        os.fsync(file.fileno())
    return count


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old or the new content and never a mixture; raises OSError."""
    replace_files({path: content})


def replace_files(contents: Mapping[Path, bytes]) -> None:
    """Write files that belong together: all of them are on the disk before the first takes the place of an old one.

    Raises OSError.
    """
    new = {path: path.parent / f".new-{path.name}-{uuid.uuid4().hex[:8]}" for path in contents}
    try:
        for path, content in contents.items():
            write_file(new[path], [content])
        for path, written in new.items():
            written.replace(path)
        for folder in {path.parent for path in contents}:
            sync_folder(folder)
    finally:
        for written in new.values():
            written.unlink(missing_ok=True)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable (where the system can; Windows cannot open a folder)."""
    if os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def tensor_bytes(tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> bytes:
    """A safetensors file in memory. Written by us and not by the library, so that a full disk is an `OSError`."""
    import safetensors.torch

    whole = safetensors.torch.save({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, metadata)
    return _ordered(whole)


def _ordered(whole: bytes) -> bytes:
    """The same file with its metadata in order, which the library leaves to chance: equal models are equal files."""
    size = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + size])
    if "__metadata__" in header:
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, whole[8 + size :]])


# -- reading -------------------------------------------------------------------------------------------------


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file; raises OSError, or `Damaged` where it is truncated or another thing.

    Every tensor has memory of its own: what is mapped from a file lies there at any address, which slows kernels
    down, and goes when the file is cut short.
    """
    import safetensors

    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            found = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            return found, dict(file.metadata() or {})
    except (safetensors.SafetensorError, ValueError) as error:
        raise Damaged(f"{path}: {_kind(path)} ({error})") from error


def _kind(path: Path) -> str:
    """What a file is that is none of safetensors."""
    with path.open("rb") as file:
        start = file.read(8)
    other = next((what for begin, what in OTHERS.items() if start.startswith(begin)), None)
    return f"not a safetensors file but {other}" if other else "damaged: not a whole safetensors file"


# -- whether it is as it was saved ---------------------------------------------------------------------------


def digest(metadata: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over metadata (without the digest) and tensors: names, types, shapes, bytes, by name."""
    hashed = hashlib.sha256()
    for key in sorted(metadata):
        if key != "digest":
            hashed.update(json.dumps([key, metadata[key]]).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        hashed.update(json.dumps([name, dtype_name(tensor), list(tensor.shape)]).encode())
        hashed.update(raw_bytes(tensor))
    return hashed.hexdigest()


def dtype_name(tensor: Tensor) -> str:
    """`float32` for `torch.float32`."""
    return str(tensor.dtype).removeprefix("torch.")


def raw_bytes(tensor: Tensor) -> bytes:
    """The bytes of a tensor, row by row."""
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
