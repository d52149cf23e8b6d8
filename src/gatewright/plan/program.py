"""What a kernel is made from: the equations that run and every option that changes the code, as one text.

The text is the key of all caches, an argument of torch's operators and a part of exported programs: equal programs
have equal texts, in every process.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import Any

from ..graph.graph import Graph, State
from ..graph.node import Node, Param, node, topological
from ..graph.notation.printer import Printer
from ..graph.ops import OPS
from ..graph.widths import SCALAR, Sizes, Width

FORM = 1
"""The version of the text's form; another one is refused."""


@dataclass(frozen=True)
class Program:
    """One direction of one layer, ready for code generation; immutable, equal where the texts are.

    graph: the equations, with the regularisers in them.
    stored: for each stored tensor the names of its rows, in order; they are equally many rows each.
    parts: for each parameter of the graph the names of the rows whose sum it is; mostly its own.
    heads: how many blocks the matrices U have.
    every: whether every state is given at every step.
    record: names of the graph's values that are given at every step.
    reset: whether resets are given.
    stream: where the random numbers of this layer and direction begin.
    recompute: backward computes all again but the states at every so many steps, 0 for about √T; None: all is saved.
    halves: whether products may round what they multiply to bfloat16; they are added up in the kernel's dtype.
    text: the whole as JSON. half_text: the same with `halves`.
    """

    graph: Graph = field(compare=False)
    stored: tuple[tuple[str, ...], ...] = field(compare=False)
    parts: tuple[tuple[str, tuple[str, ...]], ...] = field(compare=False)
    heads: int = field(default=1, compare=False)
    every: bool = field(default=False, compare=False)
    record: tuple[str, ...] = field(default=(), compare=False)
    reset: bool = field(default=False, compare=False)
    stream: int = field(default=0, compare=False)
    recompute: int | None = field(default=None, compare=False)
    halves: bool = field(default=False, compare=False)
    # Attributes, not properties: torch.compile reads them as constants.
    text: str = field(init=False, repr=False)
    half_text: str = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        written = _written(self)
        object.__setattr__(self, "half_text", f"{written[:-1]}{_HALVES}}}")
        object.__setattr__(self, "text", self.half_text if self.halves else written)

    @staticmethod
    def parse(text: str) -> Program:
        """The program with this text."""
        return _parsed(text)

    @cached_property
    def saving(self) -> Program:
        """The same where all is saved: what is compiled."""
        return self if self.recompute is None else replace(self, recompute=None)

    @cached_property
    def exact(self) -> Program:
        """The same with every product in the kernel's dtype."""
        return replace(self, halves=False) if self.halves else self

    @cached_property
    def row_params(self) -> dict[str, Node]:
        """The parameter that each row name is a part of."""
        params = {p.attr.name: p for p in self.graph.params}
        return {row: params[name] for name, rows in self.parts for row in rows if name in params}

    @cached_property
    def looks_back(self) -> tuple[tuple[str, int], ...]:
        """(input, k) for every input that the equations see k steps earlier: sequences that are given beside the
        inputs, in this order."""
        return tuple(sorted({(n.args[0].attr, n.attr) for n in topological(self.graph.results) if n.op == "previous"}))

    def sizes(self, inputs: Sequence[int], states: Sequence[int], stored: Sequence[tuple[int, ...]]) -> Sizes:
        """All widths as numbers, from the widths of inputs and states and the shapes of the stored tensors."""
        return _solved(self, tuple(inputs), tuple(states), tuple(tuple(shape) for shape in stored))


# -- writing --------------------------------------------------------------------------------------------------

_HALVES = ',"halves":true'
"""What a text ends with, before its brace, where products may round."""


def _written(program: Program) -> str:
    graph = program.graph
    order = topological([*graph.roots, *graph.results, *graph.params])
    number = {n: i for i, n in enumerate(order)}
    table = {
        "form": FORM,
        "equations": Printer(graph).lines(),
        "inputs": graph.inputs,
        "output": graph.output_name,
        "states": [(s.name, number[s.new], _start(s.initial, number)) for s in graph.states],
        "names": [(name, number[n]) for name, n in graph.equations],
        "nodes": [(n.op, [number[a] for a in n.args], _attr(n.attr)) for n in order],
        "stored": program.stored,
        "parts": program.parts,
        "heads": program.heads,
        "every": program.every,
        "record": program.record,
        "reset": program.reset,
        "stream": program.stream,
    }
    if program.recompute is not None:
        table["recompute"] = program.recompute
    return json.dumps(table, ensure_ascii=False, separators=(",", ":"))


def _start(initial: float | Node, number: Mapping[Node, int]) -> str | int:
    """What a state begins with: a number to the last bit, or which node."""
    return number[initial] if isinstance(initial, Node) else float(initial).hex()


def _attr(value: Any) -> Any:
    """An attribute of a node: a tuple and a number with a point carry a tag, a number to the last bit."""
    match value:
        case Param():
            return ["param", *value]
        case tuple():
            return ["tuple", *(_attr(part) for part in value)]
        case float():
            return ["float", value.hex()]
        case None | bool() | int() | str():
            return value
    raise TypeError(f"a node's attribute cannot be written as text: {value!r}")


# -- reading --------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def _parsed(text: str) -> Program:
    table = json.loads(text)
    if not isinstance(table, dict) or table.get("form") != FORM:
        raise ValueError(f"this is no program of form {FORM}: it was written by another version of gatewright")
    nodes: list[Node] = []
    for op, args, attr in table["nodes"]:
        if op not in OPS:
            raise ValueError(f"the program has an operation {op!r}, which this version of gatewright does not know")
        nodes.append(node(op, *(nodes[a] for a in args), attr=_value(attr)))
    graph = Graph(
        inputs=tuple(table["inputs"]),
        states=tuple(State(name, nodes[new], _started(initial, nodes)) for name, new, initial in table["states"]),
        equations=tuple((name, nodes[n]) for name, n in table["names"]),
        output_name=table["output"],
    )
    return Program(
        graph,
        stored=tuple(tuple(rows) for rows in table["stored"]),
        parts=tuple((name, tuple(rows)) for name, rows in table["parts"]),
        heads=table["heads"],
        every=table["every"],
        record=tuple(table["record"]),
        reset=table["reset"],
        stream=table["stream"],
        recompute=table.get("recompute"),
        halves=table.get("halves", False),
    )


def _started(written: str | int, nodes: Sequence[Node]) -> float | Node:
    return nodes[written] if isinstance(written, int) else float.fromhex(written)


def _value(written: Any) -> Any:
    match written:
        case ["param", kind, name, width]:
            return Param(kind, name, width)
        case ["tuple", *parts]:
            return tuple(_value(part) for part in parts)
        case ["float", digits]:
            return float.fromhex(digits)
    return written


# -- widths ---------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def _solved(
    program: Program, inputs: tuple[int, ...], states: tuple[int, ...], stored: tuple[tuple[int, ...], ...]
) -> Sizes:
    graph, widths = program.graph, program.graph.widths
    known: dict[str, int] = {}

    def learn(width: Width, size: int) -> None:
        if width != SCALAR and not width.symbol.isdigit():
            # a symbol's size may come out as a fraction here: then nothing fits, and `sizes` says what
            known[width.symbol] = Fraction(size) / width.ratio  # pyright: ignore[reportArgumentType]

    used = set(topological(graph.roots))
    for name, rows in zip(program.stored, stored, strict=True):
        param = program.row_params.get(name[0])
        if param is not None:
            learn(widths.of(param), rows[0] // len(name))
            if len(rows) == 2:
                learn(widths.columns(param), rows[1] * (program.heads if param.attr.kind == "U" else 1))
    for state, size in zip(graph.states, states, strict=True):
        learn(widths.of_state(state.name), size)
    for name, size in zip(graph.inputs, inputs, strict=True):
        if (leaf := node("input", attr=name)) in used:
            learn(widths.of(leaf), size)
    return graph.sizes(known)
