"""Object files of 64-bit Arm, linked into memory: just the kinds of references that LLVM makes in ours."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

ARM64 = 183
ALLOCATED, NOTE, RELA = 2, 7, 4  # a flag and two types of sections
DEFINED_BELOW = 0xFF00  # the sections' numbers above have meanings of their own
PAGE = 0xFFF
WORD26 = 0x3FFFFFF


class Section(NamedTuple):
    """One section's header, in the order of the file."""

    name: int
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    entry: int

    @property
    def is_loaded(self) -> bool:
        return bool(self.flags & ALLOCATED) and self.type != NOTE and self.size > 0


class Symbol(NamedTuple):
    name: int
    info: int
    other: int
    section: int
    value: int
    size: int


class Object:
    """A relocatable file: its sections, symbols and the references between them."""

    def __init__(self, code: bytes):
        self.code = code
        machine, start, count = *struct.unpack_from("<H", code, 18), *struct.unpack_from("<Q12xH", code, 40)
        if not code.startswith(b"\x7fELF") or machine != ARM64:
            raise ValueError(f"expected an object file of machine {ARM64}, got one of {machine}")
        self.sections = [Section(*struct.unpack_from("<IIQQQQIIQQ", code, start + 64 * k)) for k in range(count)]
        (table,) = (s for s in self.sections if s.type == 2)
        self.strings = self.sections[table.link]
        self.symbols = [Symbol(*fields) for fields in struct.iter_unpack("<IBBHQQ", self.content(table))]

    def content(self, section: Section) -> bytes:
        return self.code[section.offset : section.offset + section.size]

    def name(self, symbol: Symbol) -> str:
        start = self.strings.offset + symbol.name
        return self.code[start : self.code.index(b"\0", start)].decode()

    def references(self):
        """(the section that has it, where in it, its kind, the symbol, the addend)."""
        for table in (s for s in self.sections if s.type == RELA and self.sections[s.info].is_loaded):
            for place, info, addend in struct.iter_unpack("<QQq", self.content(table)):
                yield table.info, place, info & 0xFFFFFFFF, self.symbols[info >> 32], addend


# -- references ----------------------------------------------------------------------------------------------------


def _pages(word: int, to: int, here: int) -> int:
    """adrp: the distance in pages, its two lowest bits apart from the others."""
    pages = (to >> 12) - (here >> 12)
    return word | (pages & 3) << 29 | (pages >> 2 & 0x7FFFF) << 5


def _in_page(scale: int) -> Callable[[int, int, int], int]:
    """The place within a page, in units of what is loaded."""

    def put(word: int, to: int, here: int) -> int:
        assert to % (1 << scale) == 0, "what is loaded as a whole is aligned"
        return word | (to & PAGE) >> scale << 10

    return put


def _call(word: int, to: int, here: int) -> int:
    distance = (to - here) >> 2
    assert -(1 << 25) <= distance < 1 << 25, "the code lies within 128 MiB"
    return word | distance & WORD26


ABSOLUTE = 257  # R_AARCH64_ABS64
WORDS: Mapping[int, Callable[[int, int, int], int]] = {
    261: lambda word, to, here: to - here & 0xFFFFFFFF,  # PREL32
    275: _pages,  # ADR_PREL_PG_HI21
    277: _in_page(0),  # ADD_ABS_LO12_NC
    282: _call,  # JUMP26
    283: _call,  # CALL26
    285: _in_page(2),  # LDST32_ABS_LO12_NC
    286: _in_page(3),  # LDST64_ABS_LO12_NC
    299: _in_page(4),  # LDST128_ABS_LO12_NC
}


# -- linking -------------------------------------------------------------------------------------------------------


def link(
    codes: Sequence[bytes], known: Mapping[str, int], take: Callable[[int], int], view: Callable[[int, int], memoryview]
) -> dict[str, int]:
    """Put objects into memory; gives the addresses of what they define for others.

    known: the addresses of what they may use; take: memory, by size; view: what lies at an address, to be written.
    """
    objects = [Object(code) for code in codes]
    places = [_placed(each, take, view) for each in objects]
    own: dict[str, int] = {}
    for each, place in zip(objects, places, strict=True):
        for symbol in each.symbols:
            if symbol.info >> 4 and 0 < symbol.section < DEFINED_BELOW:
                own[each.name(symbol)] = place[symbol.section] + symbol.value
    for each, place in zip(objects, places, strict=True):
        _resolve(each, place, {**known, **own}, view)
    return own


def _placed(each: Object, take, view) -> dict[int, int]:
    """The addresses of an object's sections, which are written there."""
    places = {}
    for k, section in enumerate(each.sections):
        if section.is_loaded:
            address = take(section.size)
            assert address % max(section.align, 1) == 0
            view(address, section.size)[:] = each.content(section)
            places[k] = address
    return places


def _resolve(each: Object, places: Mapping[int, int], known: Mapping[str, int], view) -> None:
    missing = {each.name(s) for *_, s, _ in each.references() if not s.section} - set(known)
    if missing:
        raise RuntimeError(f"symbols not found: {', '.join(sorted(missing))}")
    for inside, offset, kind, symbol, addend in each.references():
        here = places[inside] + offset
        to = addend + (places[symbol.section] + symbol.value if symbol.section else known[each.name(symbol)])
        if kind == ABSOLUTE:
            struct.pack_into("<Q", view(here, 8), 0, to)
        elif kind in WORDS:
            (word,) = struct.unpack("<I", view(here, 4))
            struct.pack_into("<I", view(here, 4), 0, WORDS[kind](word, to, here))
        else:
            raise NotImplementedError(f"a reference of kind {kind} to {each.name(symbol)}")
