"""What all functions of a kernel share: its plan, the words of its context, its numbers and its vector parameters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...graph.node import Node
from ...graph.widths import Width
from ...plan.plan import Plan
from .context import Fields
from .emitter import Module

if TYPE_CHECKING:
    from .source import Notes

LITERALS = frozenset({0.0, 1.0, -1.0, 2.0, -2.0, 0.5})
"""Numbers that are part of the code; all others are read when it runs, so that cells that differ in them share it."""


class Constants:
    """The numbers that a kernel reads: constants of the equations and numbers of units, in order of appearance."""

    def __init__(self) -> None:
        self.entries: dict[Node, int] = {}

    def of(self, n: Node) -> int:
        return self.entries.setdefault(n, len(self.entries))


class Vectors:
    """The vector parameters of each width, packed block by block: [block][parameter][lane]."""

    def __init__(self, plan: Plan):
        self.by_width: dict[Width, list[str]] = {}
        for p in plan.graph.params:
            if p.attr.kind not in "WU":
                self.by_width.setdefault(plan.graph.widths.of(p), []).append(p.attr.name)

    def place(self, name: str) -> tuple[Width, int]:
        return next((w, names.index(name)) for w, names in self.by_width.items() if name in names)


@dataclass
class Shared:
    """What all functions of a kernel share; `notes` are comments, which only the source view has.

    halves: products multiply pairs of bfloat16 numbers.
    """

    module: Module
    plan: Plan
    train: bool
    heads: int = 1
    halves: bool = False
    fields: Fields = field(default_factory=Fields)
    constants: Constants = field(default_factory=Constants)
    notes: Notes | None = None

    def __post_init__(self):
        self.vectors = Vectors(self.plan)
