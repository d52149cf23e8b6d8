"""A PNG of an array, for the images inside a page (ISO/IEC 15948)."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np


def data_uri(pixels: np.ndarray) -> str:
    """(h, w) or (h, w, 3), from 0 to 1, as `data:image/png;base64,…`.

    >>> data_uri(np.zeros((2, 3)))[:30]
    'data:image/png;base64,iVBORw0K'
    """
    bytes_ = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    h, w = bytes_.shape[:2]
    colour = 0 if bytes_.ndim == 2 else 2
    rows = np.concatenate([np.zeros((h, 1), np.uint8), bytes_.reshape(h, -1)], axis=1)  # 0: no filter on this row
    header = struct.pack(">IIBBBBB", w, h, 8, colour, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b""))
    png = b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def indexed_uri(index: np.ndarray, colours: np.ndarray) -> str:
    """(h, w) places in a table of at most 255 colours (n, 3), from 0 to 1; a place below 0 is see-through.

    A third of the bytes that `data_uri` takes.

    >>> indexed_uri(np.array([[0, 1, -1]]), np.array([[0, 0, 0], [1, 1, 1]]))[:30]
    'data:image/png;base64,iVBORw0K'
    """
    table = np.rint(np.clip(colours, 0, 1) * 255).astype(np.uint8)
    places = np.where(index < 0, len(table), index).astype(np.uint8)
    h, w = places.shape
    rows = np.concatenate([np.zeros((h, 1), np.uint8), places], axis=1)  # 0: no filter on this row
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", w, h, 8, 3, 0, 0, 0)),
        (b"PLTE", table.tobytes() + bytes(3)),
        (b"tRNS", bytes([255] * len(table) + [0])),
        (b"IDAT", zlib.compress(rows.tobytes(), 9)),
        (b"IEND", b""),
    )
    png = b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)
    return "data:image/png;base64," + base64.b64encode(png).decode()
