"""The meaning of a cell: its graph, run step by step with torch's operations, on any device and dtype.

Nothing here is fast, and everything can be differentiated as often as torch can, mapped with `torch.func` and
exported. Every other backend is compared with this one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import linear, softplus

from ..graph.expand import expand, expanded
from ..graph.graph import Graph
from ..graph.node import Node, rewrite, topological
from . import philox
from .padding import Sequences, borrow, held_back, repeat_last

Weights = Mapping[str, Tensor]


def _max(a: Tensor) -> Tensor:
    return a.amax(-1, keepdim=True)


def _units(a: Tensor) -> Tensor:
    return torch.full((), a.shape[-1], dtype=a.dtype, device=a.device)


def _softplus(a: Tensor) -> Tensor:
    return softplus(a, threshold=40.0)  # log1p(e^a) is a to the last bit of float64 from there on


FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "pow": torch.pow,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "neg": torch.neg,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "exp": torch.exp,
    "log": torch.log,
    "softplus": _softplus,
    "abs": torch.abs,
    "sqrt": torch.sqrt,
    "lt": torch.lt,
    "le": torch.le,
    "gt": torch.gt,
    "ge": torch.ge,
    "eq": torch.eq,
    "ne": torch.ne,
    "where": torch.where,
    "stop_gradient": torch.Tensor.detach,
    "sum": lambda a: a.sum(-1, keepdim=True),
    "mean": lambda a: a.mean(-1, keepdim=True),
    "max": _max,
    "units": _units,
    "spread": lambda a, like: a.expand_as(like),
    "total": lambda a: a.reshape(-1, a.shape[-1]).sum(0),
}


def product(weight: Tensor, v: Tensor) -> Tensor:
    """`weight @ v` for rows v; a weight with fewer columns than v has units is block-diagonal.

    weight is (rows, columns); with k blocks it is (rows, columns/k), each block's rows with its own columns.
    """
    blocks = v.shape[-1] // weight.shape[1] if weight.shape[1] else 1
    if blocks <= 1:
        return linear(v, weight)
    parts = v.unflatten(-1, (blocks, -1))
    each = weight.unflatten(0, (blocks, -1))
    return torch.einsum("...ki,koi->...ko", parts, each).flatten(-2)


def transposed_product(weight: Tensor, v: Tensor, columns: int) -> Tensor:
    """`weight.T @ v` for rows v."""
    blocks = columns // weight.shape[1] if weight.shape[1] else 1
    if blocks <= 1:
        return v @ weight
    parts = v.unflatten(-1, (blocks, -1))
    each = weight.unflatten(0, (blocks, -1))
    return torch.einsum("...ko,koi->...ki", parts, each).flatten(-2)


def outer(g: Tensor, v: Tensor, blocks: int) -> Tensor:
    """Σ g ⊗ v over the batch; with k blocks each block's rows with its own columns alone."""
    if blocks == 1:
        return torch.einsum("...o,...i->oi", g, v)
    parts = (x.unflatten(-1, (blocks, -1)) for x in (g, v))
    return torch.einsum("...ko,...ki->koi", *parts).flatten(0, 1)


@dataclass(frozen=True)
class Draw:
    """Where the random masks of one call come from, for one layer and direction.

    seed: one whole number (int64), the same for the whole call.
    stream: where the streams of random numbers of this layer and direction begin.
    """

    seed: Tensor
    stream: int = 0

    def chance(self, p: float, index: int, *, t: range | int, sequences: int, units: int) -> Tensor:
        """True with probability p, for each step of t, sequence and unit: the mask with this index."""
        return philox.chance(p, seed=self.seed, stream=self.stream | index, t=t, sequences=sequences, units=units)


class _Masks:
    """The random masks of one run: those of a call are drawn once, those of steps for as many as one random
    number serves."""

    def __init__(self, draw: Draw):
        self.draw = draw
        self.found: dict[Node, tuple[int, Tensor]] = {}

    def at(self, t: int) -> Callable[[Node, Tensor], Tensor]:
        """What gives a mask at step t, from its node and a value (B, units) that is as wide."""

        def mask(n: Node, like: Tensor) -> Tensor:
            _, _, index, per_step = n.attr
            start = t - t % philox.STEPS if per_step else 0
            if n not in self.found or self.found[n][0] != start:
                steps = range(start, start + philox.STEPS) if per_step else 0
                p, (batch, units) = n.args[0].attr, like.shape
                self.found[n] = start, self.draw.chance(p, index, t=steps, sequences=batch, units=units)
            _, masks = self.found[n]
            return masks[t - start] if per_step else masks

        return mask


@dataclass
class Interpreter:
    """Evaluates nodes. `values` holds the leaves, by node, and whatever has been computed."""

    values: dict[Node, Tensor]
    like: Tensor
    heads: int = 1
    mask: Callable[[Node, Tensor], Tensor] | None = None
    product: Callable[[Tensor, Tensor], Tensor] = product

    def run(self, order: Sequence[Node]) -> None:
        """Compute every node of a topological order that has no value yet."""
        for n in order:
            if n not in self.values:
                self.values[n] = self._compute(n)

    def _compute(self, n: Node) -> Tensor:
        if n.op == "const":
            return torch.full((), n.attr, dtype=self.like.dtype, device=self.like.device)
        args = [self.values[a] for a in n.args]
        match n.op:
            case "chance":
                if self.mask is None:
                    raise ValueError("these equations have random masks: say where they come from, by draw=")
                return self.mask(n, args[1])
            case "linear":
                return self.product(args[0], args[1])
            case "linear_t":
                blocks = self.heads if n.args[0].attr.kind == "U" else 1
                return transposed_product(args[0], args[1], args[0].shape[1] * blocks)
            case "outer":
                return outer(args[0], args[1], self.heads if n.attr == "U" else 1)
            case "repeat":
                return args[0].unsqueeze(-1).expand(*args[0].shape, n.attr).flatten(-2)
            case "block_sum":
                return args[0].unflatten(-1, (-1, n.attr)).sum(-1)
        return FUNCTIONS[n.op](*args)


class Reference:
    """One graph, ready to run; `meaning` is what a product of a matrix and a vector is."""

    def __init__(self, graph: Graph, record: Sequence[str] = (), meaning: Callable[[Tensor, Tensor], Tensor] = product):
        self.graph = graph = expanded(graph)
        self.meaning = meaning
        watched = graph.watchable()
        self.recorded = {name: watched[name] for name in record}
        needed = topological([*graph.results, *self.recorded.values()])
        per_step: set[Node] = set()
        for n in needed:
            if n.op == "state" or any(a in per_step for a in n.args):
                per_step.add(n)
        self.ahead = [n for n in needed if n not in per_step]
        self.stepwise = [n for n in needed if n in per_step]
        used = {a for n in self.stepwise for a in n.args} | {*graph.results, *self.recorded.values()}
        self.frontier = [n for n in self.ahead if n in used]

    def run(
        self,
        weights: Weights,
        sequences: Sequences,
        states: Sequence[Float[Tensor, "B _"]],
        initial: Sequence[Tensor],
        draw: Draw | None = None,
    ) -> tuple[list[Tensor], list[Tensor], dict[str, list[Tensor]]]:
        """(outputs, final states, records): what each step gives, not yet stacked.

        Args:
            weights: each parameter by its name.
            sequences: inputs and masks.
            states: the states before the first step.
            initial: what a state becomes at a reset, (width,) each.
            draw: where random masks come from; needed where the equations have any.
        """
        clean, states, held = self.begun(sequences, states)
        outputs, states, _, records = self.steps(weights, clean, states, held, initial, draw)
        return outputs, states, records

    @staticmethod
    def begun(sequences: Sequences, states: Sequence[Tensor]) -> tuple[Sequences, list[Tensor], list[Tensor]]:
        """What `steps` takes: sequences without their padding, the states, and the states held behind an end."""
        active = sequences.active
        if active is None:
            return sequences, list(states), []
        return repeat_last(sequences), list(states), [borrow(s, active) for s in states]

    def steps(
        self,
        weights: Weights,
        sequences: Sequences,
        states: list[Tensor],
        held: list[Tensor],
        initial: Sequence[Tensor],
        draw: Draw | None = None,
        first: int = 0,
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor], dict[str, list[Tensor]]]:
        """`run` from what `begun` gives, or the next steps of it, of which the first has the number `first`.

        Gives (outputs, states, the states held behind an end, records); the two in the middle go on to the next steps.
        """
        whole = self._hoisted(weights, sequences)
        masks = _Masks(draw) if draw is not None else None
        outputs: list[Tensor] = []
        records: dict[str, list[Tensor]] = {name: [] for name in self.recorded}
        for t in range(sequences.inputs[0].shape[0]):
            old = [self._reset(s, i, sequences, t) for s, i in zip(states, initial, strict=True)]
            held = held_back(sequences.active, t, old, held)
            values = self._step(whole(t), held, masks.at(first + t) if masks else None)
            new = [self._as_state(values[s.new], o) for s, o in zip(self.graph.states, old, strict=True)]
            output = _rows(values[self.graph.output], old[0].shape[0])
            found = {name: _rows(values[n], old[0].shape[0]) for name, n in self.recorded.items()}
            if sequences.active is not None:
                on = sequences.active[t].unsqueeze(-1)
                new = [torch.where(on, n, o) for n, o in zip(new, old, strict=True)]
                output = torch.where(on, output, 0.0)
                found = {name: torch.where(on, v, 0.0) for name, v in found.items()}
            states = new
            outputs.append(output)
            for name, value in found.items():
                records[name].append(value)
        return outputs, list(states), held, records

    def _hoisted(self, weights: Weights, sequences: Sequences) -> Callable[[int], dict[Node, Tensor]]:
        """What depends on inputs alone, computed for all steps at once; gives its values at one step."""
        like = sequences.inputs[0]
        leaves: dict[Node, Tensor] = {}
        timed: set[Node] = set()
        for n in self.ahead:
            if n.op == "param":
                leaves[n] = weights[n.attr.name]
            elif n.op == "input":
                leaves[n] = sequences.inputs[self.graph.inputs.index(n.attr)]
            elif n.op == "previous":
                leaves[n] = sequences.previous[n.args[0].attr, n.attr]
            if n.op in ("input", "previous") or any(a in timed for a in n.args):
                timed.add(n)
        interpreter = Interpreter(leaves, like, product=self.meaning)
        interpreter.run(self.ahead)
        # unbind, since the backward of T selections would write T whole sequences of zeros
        rows = {n: interpreter.values[n].unbind(0) for n in self.frontier if n in timed}
        fixed = {n: interpreter.values[n] for n in self.frontier if n not in timed}
        return lambda t: fixed | {n: values[t] for n, values in rows.items()}

    def _step(
        self, ahead: dict[Node, Tensor], old: Sequence[Tensor], mask: Callable[[Node, Tensor], Tensor] | None
    ) -> dict[Node, Tensor]:
        values = dict(ahead)
        values |= {s.old: value for s, value in zip(self.graph.states, old, strict=True)}
        interpreter = Interpreter(values, old[0], mask=mask, product=self.meaning)
        interpreter.run(self.stepwise)
        return interpreter.values

    @staticmethod
    def _as_state(value: Tensor, old: Tensor) -> Tensor:
        """As wide as the state, and of its dtype: under autocast a product is of a smaller one."""
        value = value.to(old.dtype)
        return value if value.shape == old.shape else value.expand_as(old)

    @staticmethod
    def _reset(state: Tensor, initial: Tensor, sequences: Sequences, t: int) -> Tensor:
        if sequences.reset is None:
            return state
        return torch.where(sequences.reset[t].unsqueeze(-1), initial, state)


def _rows(value: Tensor, batch: int) -> Tensor:
    """A value as (B, units), where it is the same for every sequence too."""
    return value.expand(batch, -1) if value.dim() else value.expand(batch, 1)


@lru_cache(maxsize=256)
def prepared(graph: Graph, record: tuple[str, ...] = ()) -> Reference:
    """The same graph is prepared once."""
    return Reference(graph, record)


def evaluate(nodes: Sequence[Node], leaves: Mapping[Node, Tensor], *, heads: int = 1) -> list[Tensor]:
    """The values of nodes for given leaves: inputs, states and adjoints as (B, units), parameters as they are.

    It runs the graph of a gradient as well as that of a step.
    """
    simple = rewrite(nodes, expand)
    interpreter = Interpreter(dict(leaves), next(iter(leaves.values())), heads)
    interpreter.run(topological(simple[n] for n in nodes))
    return [interpreter.values[simple[n]] for n in nodes]
