"""Where the places of a plan lie in memory, as addresses.

Panels are [block of units][row][position][lane], so that the rows of one block lie side by side, and a row's positions
too: they are the left operand of a later product as they are. States and operands that a product reads lie row by
row; other states in panels of one position. Steps follow each other at a stride; where only the present step is
needed, the number of a step is taken modulo a ring.

Users' tensors are addressed by sequence: row r of a kernel is the user's sequence order[r], whose first step is
first[r] and which goes on at a stride that is negative in the reverse direction.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...graph.widths import Width
from ...plan.places import Place
from ...plan.plan import Plan
from .context import Frame, blocks, units
from .emitter import I64, Size, Value


@dataclass(frozen=True)
class Rows:
    """Row r begins at `base + r·stride`; in a panel its position p is p vectors behind."""

    base: Value
    stride: Size


class MemoryMap:
    """Emits addresses in one function."""

    def __init__(self, frame: Frame, plan: Plan):
        self.frame, self.e, self.plan = frame, frame.e, plan
        self.lanes = frame.e.lanes

    # -- panels ------------------------------------------------------------------------------------

    def value(self, width: Width, j: Size, row: Size) -> Rows:
        """A block of the values of the step whose first row is `row`."""
        return self._panel("value", width, self.plan.forward.panels[width], j, row)

    def adjoint(self, width: Width, j: Size, row: Size) -> Rows:
        assert self.plan.backward is not None
        return self._panel("adjoint", width, self.plan.backward.panels[width], j, row)

    def _panel(self, kind: str, width: Width, positions: int, j: Size, row: Size) -> Rows:
        e, stride = self.e, positions * self.lanes
        rows = self.frame.size(f"{kind} rows")
        first = e.add(e.mul(j, rows), row)
        return Rows(e.at(self.frame.pointer(f"{kind} {width}"), e.mul(first, stride)), stride)

    def row_of_step(self, kind: str, t: Size) -> Size:
        """The first row of a step in the panels of values or adjoints."""
        e = self.e
        return e.mul(e.rem(t, self.frame.size(f"{kind} ring")), self.frame.size("B"))

    # -- states and operands -----------------------------------------------------------------------

    def stored(self, place: Place, t: Size) -> Rows:
        """A state or operand that lies row by row, as it enters step t.

        Step 0 has a place of its own: the others may be rows of the user's output.
        """
        e, name = self.e, f"{place.kind} {place.name or place.index}"
        slot = e.rem(t, self.frame.size(f"{name} ring"))
        later = e.at(self.frame.pointer(name), e.mul(slot, self.frame.size(f"{name} step")))
        at_start = e.eq(t, 0)
        base = e.b.select(at_start, self.frame.pointer(f"{name} start"), later)
        return Rows(base, e.select(at_start, self.frame.size(f"{name} start row"), self.frame.size(f"{name} row")))

    def state_panel(self, name: str, j: Size, t: Size) -> Rows:
        """A block of a state that lies in a panel, as it enters step t."""
        e = self.e
        history = self.frame.size("history")
        first = e.mul(e.add(e.mul(j, history), e.rem(t, history)), self.frame.size("B"))
        return Rows(e.at(self.frame.pointer(f"state {name}"), e.mul(first, self.lanes)), self.lanes)

    # -- what threads have to themselves, and what passes between steps ------------------------------

    def reduction(self, index: int, thread: Size) -> Rows:
        e = self.e
        count = len(self.plan.forward.reductions) + len(self.plan.backward.reductions if self.plan.backward else ())
        first = e.mul(e.add(e.mul(thread, count), index), self.frame.size("B"))
        return Rows(e.at(self.frame.pointer("reductions"), e.mul(first, self.lanes)), self.lanes)

    def product(self, index: int, thread: Size) -> Rows:
        """The scratch of a transposed product: as wide as a panel of blocks."""
        e = self.e
        wide = self.frame.size("scratch row")
        first = e.mul(e.add(e.mul(thread, self.frame.size("product count")), index), self.frame.size("B"))
        return Rows(e.at(self.frame.pointer("products"), e.mul(first, wide)), wide)

    def carry(self, index: int, width: Width, j: Size, parity: Size) -> Rows:
        e = self.e
        first = e.mul(e.add(e.mul(parity, blocks(self.frame, str(width))), j), self.frame.size("B"))
        return Rows(e.at(self.frame.pointer(f"carry {index}"), e.mul(first, self.lanes)), self.lanes)

    # -- users' tensors ------------------------------------------------------------------------------

    def user_row(self, name: str, r: Size, t: Size) -> Value:
        """Row r of a user's sequence at step t."""
        e, frame = self.e, self.frame
        start = e.mul(self.entry("order", r), frame.size(f"{name} batch"))
        start = e.add(start, e.mul(self.entry("first", r), frame.size(f"{name} time")))
        return e.at(frame.pointer(name), e.add(start, e.mul(t, frame.size(f"{name} step"))))

    def user_state(self, name: str, r: Size) -> Value:
        """Row r of a user's state, (B, units)."""
        return self.e.at(self.frame.pointer(name), self.e.mul(self.entry("order", r), self.frame.size(f"{name} batch")))

    def entry(self, table: str, r: Size) -> Value:
        return self.e.load_as(I64, self.frame.pointer(table), r)

    def units(self, width: Width) -> Size:
        return units(self.frame, str(width))
