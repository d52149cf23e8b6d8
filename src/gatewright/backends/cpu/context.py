"""What a kernel is called with: one array of 64-bit words that holds every address and size, by name."""

from __future__ import annotations

from llvmlite import ir

from .emitter import I64, PTR, Emitter, Size, Value


class Fields:
    """The names of a context's words, in the order in which code asked for them.

    Where they are `told`, as in the source view, a comment names each word that is loaded.
    """

    def __init__(self) -> None:
        self.index: dict[str, int] = {}
        self.told = False

    def of(self, name: str) -> int:
        return self.index.setdefault(name, len(self.index))


class Frame:
    """One function of a kernel: its emitter, and the context's words, each loaded once, where the function begins."""

    def __init__(self, e: Emitter, fields: Fields):
        self.e, self.fields = e, fields
        self._known: dict[tuple[str, ir.Type], Value] = {}
        self._begin = e.block

    def size(self, name: str) -> Value:
        return self._word(name, I64)

    def pointer(self, name: str) -> Value:
        return self._word(name, PTR)

    def _word(self, name: str, kind: ir.Type) -> Value:
        key = name, kind
        if key not in self._known:
            self._known[key] = self._loaded(name, kind)
        return self._known[key]

    def _loaded(self, name: str, kind: ir.Type) -> Value:
        """A load at the function's beginning, which comes before every use."""
        e, here = self.e, self.e.block
        first = self._begin
        if first.is_terminated:
            e.b.position_before(first.terminator)
        else:
            e.b.position_at_end(first)
        if self.fields.told:
            e.comment(name)
        word = e.load_as(kind, e.args["context"], self.fields.of(name))
        if here is not first:
            e.b.position_at_end(here)
        return word

    def argument(self, name: str) -> Value:
        return self.e.args[name]


def blocks(frame: Frame, width: str) -> Size:
    """How many vectors the units of a width fill."""
    return 1 if width == "1" else frame.size(f"blocks {width}")


def units(frame: Frame, width: str) -> Size:
    return 1 if width == "1" else frame.size(f"units {width}")
