"""A step in pieces: products by whoever can compute them, all gates at once, and the rest by a kernel or by torch.

    for all steps   the products of inputs, by chunks of steps
    each step       the products of one operand in one; then what runs unit by unit, as `plan/pieces.py` cuts it

A sequence that has ended is not computed: the rows are ordered by length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..graph.expand import expanded
from ..graph.graph import Graph
from ..graph.node import Node, node, topological
from ..graph.widths import Sizes
from ..plan.pieces import Piece, factors, pieces
from ..plan.program import Program
from .cpu import op
from .padding import Sequences
from .reference import Interpreter, Weights

Product = Callable[[Tensor, Tensor], Tensor]
Rows = Mapping[str, tuple[tuple[str, int], ...]]
CHUNK = 8 << 20  # bytes of the products of inputs that are made ahead: about what a cache holds


@dataclass(frozen=True)
class How:
    """Who computes what in one call.

    product: what a product of a weight and rows is.
    kernels: whether what runs unit by unit runs by kernels; else by torch's operations.
    rows: how many rows there are at each step, falling: the longest sequences come first.
    """

    product: Product
    kernels: bool
    rows: Sequence[int]


@dataclass(frozen=True)
class Group:
    """All products of the same vectors, which run as one.

    vectors: what is multiplied, side by side.
    products: the nodes.
    matrices: for each vector the names of the products' matrices.
    rows: how many rows each product has.
    """

    vectors: tuple[Node, ...]
    products: tuple[Node, ...]
    matrices: tuple[tuple[str, ...], ...]
    rows: tuple[int, ...]

    def weight(self, table: Rows, stored: Weights, weights: Weights) -> Tensor:
        """The matrices in one: below each other for the products, side by side for the vectors."""
        whole = [self.matrix(k, table, stored, weights) for k in range(len(self.vectors))]
        return torch.cat(whole, 1) if len(whole) > 1 else whole[0]

    def matrix(self, k: int, table: Rows, stored: Weights, weights: Weights) -> Tensor:
        """The matrices of one vector, below each other."""
        names = {tuple(row for row, _ in rows): name for name, rows in table.items()}
        each = self.matrices[k]
        return stored[names[each]] if each in names else torch.cat([weights[name] for name in each])

    def values(self, weight: Tensor, values: Mapping[Node, Tensor], product: Product) -> dict[Node, Tensor]:
        """Each product, by its node."""
        vectors = [values[v] for v in self.vectors]
        operand = torch.cat(vectors, -1) if len(vectors) > 1 else vectors[0]
        columns = product(weight, operand).to(operand.dtype).split(self.rows, -1)
        return dict(zip(self.products, columns, strict=True))


def _groups(products: Sequence[Node], table: Rows) -> list[Group]:
    """The products by what they multiply, in the order in which their matrices are stored."""
    place = {row: (i, count) for i, (row, count) in enumerate(pair for rows in table.values() for pair in rows)}
    together: dict[tuple[Node, ...], list[Node]] = {}
    for n in sorted(products, key=lambda n: place[factors(n)[-1][0].attr.name]):
        together.setdefault(tuple(v for _, v in factors(n)), []).append(n)
    found = []
    for vectors, nodes in together.items():
        matrices = tuple(zip(*([m.attr.name for m, _ in factors(n)] for n in nodes), strict=True))
        rows = tuple(place[name][1] for name in matrices[0])
        found.append(Group(vectors, tuple(nodes), matrices, rows))
    return found


class Runner:
    """One piece, ready to run: as a program of one step, or by torch's operations."""

    def __init__(self, piece: Piece, stored: Rows, sizes: Sizes):
        self.piece, self.groups = piece, _groups(piece.products, stored)
        graph = piece.graph
        if graph is None:
            return
        self.params = tuple(p.attr.name for p in graph.params)
        self.program = Program(graph, tuple((n,) for n in self.params), tuple((n, (n,)) for n in self.params))
        self.simple = expanded(graph)
        self.leaves = {node("input", attr=name): n for name, n in zip(graph.inputs, piece.inputs, strict=True)}
        self.leaves |= {o: o for o in piece.old if o is not None}
        self.new = {n: s.new for n, s in zip(piece.carried, self.simple.states, strict=True)}
        if piece.output is not None:
            self.new[piece.output] = self.simple.output
        self.unread = tuple(None if o else sizes.of(n) for o, n in zip(piece.old, piece.carried, strict=True))

    def by_kernel(self, values: dict[Node, Tensor], weights: Weights) -> None:
        piece = self.piece
        inputs = tuple(values[n].unsqueeze(0) for n in piece.inputs)
        states = tuple(
            values[o] if o is not None else inputs[0].new_zeros(inputs[0].shape[1], width or 0)
            for o, width in zip(piece.old, self.unread, strict=True)
        )
        output, finals, _, _ = op.run(self.program, inputs, tuple(weights[n] for n in self.params), states)
        values.update(zip(piece.carried, finals, strict=True))
        if piece.output is not None:
            values[piece.output] = output[0]

    def by_torch(self, values: dict[Node, Tensor], weights: Weights) -> None:
        known = {leaf: values[n] for leaf, n in self.leaves.items()}
        known |= {p: weights[p.attr.name] for p in self.simple.params}
        interpreter = Interpreter(known, next(iter(values.values())))
        interpreter.run(topological(self.new.values()))
        values.update({n: interpreter.values[form] for n, form in self.new.items()})


class Piecewise:
    """The equations of one layer, ready to run in pieces.

    Args:
        graph: the equations.
        stored: for each stored tensor its rows, as (name of a parameter, how many).
        sizes: the widths as numbers.
        maps: parameters that are given row by row.
        joined: whether W x + U h may be one product.
    """

    def __init__(self, graph: Graph, stored: Rows, sizes: Sizes, maps: frozenset[str] = frozenset(), *, joined: bool):
        self.joined = joined
        self.graph, self.maps, self.table, self.sizes = graph, maps, stored, sizes
        whole = pieces(graph, maps, joined=joined)
        self.refusal = whole.refusal
        self.old = [s.old for s in graph.states]
        self.ahead, self.steps = ([Runner(p, stored, sizes) for p in part] for part in (whole.ahead, whole.steps))
        self.sequences = [n for n in topological(graph.results) if n.op in ("input", "previous")]
        made = {n for piece in whole.ahead for n in (*piece.products, *piece.results)}
        read = dict.fromkeys(
            n for p in whole.steps for n in (*p.inputs, *(v for q in p.products for _, v in factors(q)))
        )
        read |= dict.fromkeys(graph.results)
        self.given = [n for n in read if n in made or n in self.sequences]
        self.mapped = [n for n in read if n.op == "param" and n.attr.name in maps]
        self.width = sum(count for runner in self.ahead for g in runner.groups for count in g.rows)

    def whole(self) -> Piecewise:
        """The same with W x + U h as one product."""
        return self if self.joined else Piecewise(self.graph, self.table, self.sizes, self.maps, joined=True)

    def run(
        self,
        stored: Weights,
        weights: Weights,
        sequences: Sequences,
        states: Sequence[Tensor],
        initial: Sequence[float],
        how: How,
    ) -> tuple[list[Tensor], list[list[Tensor]]]:
        """(outputs, the states at each step): what each step gives, of the rows that are still there.

        Args:
            stored: the stored tensors.
            weights: each parameter by its name.
            sequences: inputs and resets; the longest sequences first.
            states: the states before the first step.
            initial: what a state becomes at a reset.
            how: who computes what, and how many rows there are at each step.
        """
        runners = (*self.ahead, *self.steps)
        joined = {id(g): g.weight(self.table, stored, weights) for r in runners for g in r.groups}
        fixed = {n: weights[n.attr.name] for n in self.mapped}
        cut = [False] * len(how.rows) if sequences.reset is None else sequences.reset.any(1).tolist()
        outputs, every, states = [], [], list(states)
        for t, ahead in enumerate(self._ahead(joined, weights, sequences, how)):
            count = how.rows[t]
            states = [s[:count] for s in states]
            if cut[t]:
                assert sequences.reset is not None
                begins = sequences.reset[t, :count].unsqueeze(-1)
                states = [torch.where(begins, i, s) for s, i in zip(states, initial, strict=True)]
            values = ahead | {n: v[:count] for n, v in fixed.items()}
            values |= zip(self.old, states, strict=True)
            self._through(self.steps, values, joined, weights, how)
            states = [_as(values[s.new], old) for s, old in zip(self.graph.states, states, strict=True)]
            outputs.append(values[self.graph.output])
            every.append(states)
        return outputs, every

    @staticmethod
    def _through(
        runners: list[Runner], values: dict[Node, Tensor], joined: Mapping[int, Tensor], weights: Weights, how: How
    ) -> None:
        for runner in runners:
            for group in runner.groups:
                values |= group.values(joined[id(group)], values, how.product)
            if runner.piece.graph is not None:
                (runner.by_kernel if how.kernels else runner.by_torch)(values, weights)

    # -- what needs no state -------------------------------------------------------------------------

    def _ahead(
        self, joined: Mapping[int, Tensor], weights: Weights, sequences: Sequences, how: How
    ) -> Iterator[dict[Node, Tensor]]:
        """What depends on inputs alone, step by step."""
        x = sequences.inputs[0]
        steps = max(1, CHUNK // max(1, x.shape[1] * self.width * x.element_size()))
        for t0 in range(0, len(how.rows), steps):
            rows = how.rows[t0 : t0 + steps]
            values = {n: _packed(self.sequence(n, sequences)[t0 : t0 + steps], rows) for n in self.sequences}
            self._through(self.ahead, values, joined, weights, how)
            apart = {n: values[n].split(rows) for n in self.given}
            for t in range(len(rows)):
                yield {n: v[t] for n, v in apart.items()}

    def with_sequences(self, sequences: Sequences, given: Sequence[Tensor]) -> Sequences:
        """Others in the place of those that the equations read, in the order of `self.sequences`."""
        inputs, previous = list(sequences.inputs), dict(sequences.previous)
        for n, x in zip(self.sequences, given, strict=True):
            if n.op == "previous":
                previous[n.args[0].attr, n.attr] = x
            else:
                inputs[self.graph.inputs.index(n.attr)] = x
        return replace(sequences, inputs=tuple(inputs), previous=previous)

    def sequence(self, n: Node, sequences: Sequences) -> Tensor:
        if n.op == "previous":
            return sequences.previous[n.args[0].attr, n.attr]
        return sequences.inputs[self.graph.inputs.index(n.attr)]


def _packed(x: Tensor, rows: Sequence[int]) -> Tensor:
    """(T, rows, C) as the rows that are still there, step after step."""
    if all(n == x.shape[1] for n in rows):
        return x.flatten(0, 1)
    return torch.cat([step[:n] for step, n in zip(x, rows, strict=True)])


def _as(value: Tensor, old: Tensor) -> Tensor:
    """As wide as the state was, where it is one value for all units."""
    return value if value.shape == old.shape else value.expand_as(old)
