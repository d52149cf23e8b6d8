"""The operations of a cell as nodes of ONNX: one row an operation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor

from ..graph.node import Node
from .builder import Body, Value

Row = Callable[[Body, str, tuple[str, ...]], str]


def _plain(op: str) -> Row:
    return lambda body, name, args: body.node(op, *args, name=name)


def _reduced(op: str) -> Row:
    return lambda body, name, args: body.node(op, *args, body.whole(-1), name=name, keepdims=1)


def _unequal(body: Body, name: str, args: tuple[str, ...]) -> str:
    return body.node("Not", body.node("Equal", *args), name=name)


ROWS: Mapping[str, Row] = {
    "add": _plain("Add"),
    "sub": _plain("Sub"),
    "mul": _plain("Mul"),
    "div": _plain("Div"),
    "pow": _plain("Pow"),
    "maximum": _plain("Max"),
    "minimum": _plain("Min"),
    "neg": _plain("Neg"),
    "sigmoid": _plain("Sigmoid"),
    "tanh": _plain("Tanh"),
    "relu": _plain("Relu"),
    "exp": _plain("Exp"),
    "log": _plain("Log"),
    "softplus": _plain("Softplus"),
    "abs": _plain("Abs"),
    "sqrt": _plain("Sqrt"),
    "lt": _plain("Less"),
    "le": _plain("LessOrEqual"),
    "gt": _plain("Greater"),
    "ge": _plain("GreaterOrEqual"),
    "eq": _plain("Equal"),
    "ne": _unequal,
    "where": _plain("Where"),
    "stop_gradient": _plain("Identity"),
    "sum": _reduced("ReduceSum"),
    "mean": _reduced("ReduceMean"),
    "max": _reduced("ReduceMax"),
}
"""What is computed unit by unit, or over units, with no more than the values themselves."""
OWN = frozenset({"const", "param", "linear", "repeat", "layer_norm"})
"""What `Emitter` writes itself: it needs weights or widths."""
GIVEN = frozenset({"input", "previous", "state"})
"""What an `Emitter` is given."""
_ONE_VALUE = frozenset({"sum", "mean", "max"})


class Emitter:
    """Writes nodes of a graph into a body.

    `values` holds what has been written, leaves included; `weights` are the parameters by name. Products that meet
    the same vector become one: their matrices stand side by side.
    """

    def __init__(self, body: Body, weights: Mapping[str, Tensor], prefix: str, values: dict[Node, Value]):
        self.body, self.weights, self.prefix, self.values = body, weights, prefix, values
        self.normalised: dict[tuple, Sequence[str]] = {}

    def run(self, order: Sequence[Node], called: Mapping[Node, str]) -> None:
        """Write every node of a topological order that has no value yet; `called` gives names to some."""
        together = _by_vector(order)
        for n in order:
            if n in self.values or (n.op == "param" and n.attr.kind in "WU"):
                continue
            if n.op == "linear":
                self._products(together[n.args[1]])
            else:
                self.values[n] = self._write(n, self.prefix + called.get(n, n.op))

    def _write(self, n: Node, name: str) -> Value:
        if n.op == "const":
            return Value(self.body.number(n.attr), 0, 1)
        if n.op == "param":
            return self._parameter(n)
        args = [self.values[a] for a in n.args]
        if n.op == "layer_norm":
            return args[0]._replace(name=self._normalised(n, args)[n.attr[0]])
        if n.op == "repeat":
            (v,) = args
            index = self.body.whole(*(unit for unit in range(v.width) for _ in range(n.attr)))
            return Value(self.body.node("Gather", v.name, index, name=name, axis=-1), v.rank, v.width * n.attr)
        written = ROWS[n.op](self.body, name, tuple(a.name for a in args))
        width = 1 if n.op in _ONE_VALUE else max(a.width for a in args)
        return Value(written, max(a.rank for a in args), width)

    def _parameter(self, n: Node) -> Value:
        tensor = self.weights[n.attr.name]
        return Value(self.body.weight(tensor, self.prefix + n.attr.name), tensor.dim(), tensor.shape[-1])

    def _normalised(self, n: Node, args: Sequence[Value]) -> Sequence[str]:
        """Every vector of a layer norm; several, equally wide, are one vector while they are normalised."""
        key = (n.args, n.attr[1])
        if key not in self.normalised:
            joint = layer_norm(self.body, self.body.joined(self._alike(args), -1), n.attr[1], _units(args))
            names = [f"{self.prefix}normalised"] * len(args)
            rows = self.body.whole(*(a.width for a in args))
            self.normalised[key] = (
                [joint] if len(args) == 1 else self.body.nodes_of("Split", [joint, rows], names, axis=-1)
            )
        return self.normalised[key]

    def _alike(self, args: Sequence[Value]) -> list[str]:
        """Values with as many dimensions as the one that has most."""
        most = max(args, key=lambda a: (a.rank, a.width))
        if all((a.rank, a.width) == (most.rank, most.width) for a in args):
            return [a.name for a in args]
        shape = self.body.node("Shape", most.name)
        return [self.body.node("Expand", a.name, shape) for a in args]

    # -- products --------------------------------------------------------------------------------------

    def _products(self, members: Sequence[Node]) -> None:
        """W_i x, W_f x, …  →  one product with all rows, and its pieces."""
        matrices = [self.weights[n.args[0].attr.name] for n in members]
        vector = self.values[members[0].args[1]]
        names = [n.args[0].attr.name for n in members]
        rows = [m.shape[0] for m in matrices]
        blocks = vector.width // matrices[0].shape[1] if matrices[0].shape[1] else 1
        if blocks > 1:
            product = self._in_blocks(vector, matrices, blocks, names)
            pieces = [self._block_piece(product, vector, start, count, blocks) for start, count in _spans(rows, blocks)]
        else:
            weight = self.body.weight(torch.cat(matrices).T, self._joint(names))
            product = self.body.node("MatMul", vector.name, weight, name=f"{self.prefix}products")
            pieces = self._pieces(product, rows, names)
        for n, piece, count in zip(members, pieces, rows, strict=True):
            self.values[n] = Value(piece, vector.rank, count)

    def _pieces(self, product: str, rows: list[int], names: list[str]) -> Sequence[str]:
        if len(rows) == 1:
            return [product]
        outputs = [f"{self.prefix}{name}_v" for name in names]
        return self.body.nodes_of("Split", [product, self.body.whole(*rows)], outputs, axis=-1)

    def _in_blocks(self, vector: Value, matrices: list[Tensor], blocks: int, names: list[str]) -> str:
        """Block-diagonal matrices: (…, blocks, columns) times (blocks, columns, rows of all)."""
        each = torch.cat([m.unflatten(0, (blocks, -1)) for m in matrices], 1)  # (blocks, rows of a block, columns)
        weight = self.body.weight(each, self._joint(names))
        shape = self.body.whole(*[0] * (vector.rank - 1), blocks, each.shape[-1])
        parts = self.body.node("Reshape", vector.name, shape)
        letters = "tb"[-(vector.rank - 1) :] if vector.rank > 1 else ""
        return self.body.node("Einsum", parts, weight, equation=f"{letters}ki,koi->{letters}ko")

    def _block_piece(self, product: str, vector: Value, start: int, count: int, blocks: int) -> str:
        piece = self.body.slice(product, start, start + count, axis=-1)
        return self.body.node("Reshape", piece, self.body.whole(*[0] * (vector.rank - 1), count * blocks))

    def _joint(self, names: list[str]) -> str:
        kind, *_ = names[0].split("_")
        return f"{self.prefix}{names[0]}" if len(names) == 1 else f"{self.prefix}{kind}_{_stems(names)}"


def layer_norm(body: Body, x: str, eps: float, units: int) -> str:
    """(x − mean) / √(variance + eps) over the last dimension, in the precision of x."""
    ones = body.constant(torch.ones(units, dtype=body.shared.dtype), "ones")
    return body.node("LayerNormalization", x, ones, axis=-1, epsilon=eps, stash_type=body.shared.dtype)


def _units(args: Iterable[Value]) -> int:
    return sum(a.width for a in args)


def _stems(names: Iterable[str]) -> str:
    return "_".join(name.split("_", 1)[-1] for name in names)


def _by_vector(order: Iterable[Node]) -> dict[Node, list[Node]]:
    """The products of each vector."""
    found: dict[Node, list[Node]] = {}
    for n in order:
        if n.op == "linear":
            found.setdefault(n.args[1], []).append(n)
    return found


def _spans(rows: Sequence[int], blocks: int) -> list[tuple[int, int]]:
    """(start, rows) of each matrix inside a block."""
    found, start = [], 0
    for count in rows:
        found.append((start, count // blocks))
        start += count // blocks
    return found
