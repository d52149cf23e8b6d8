"""ONNX's own recurrent operators as cells: a layer with these equations, by whatever names, becomes that one node.

Source: the operators LSTM, GRU and RNN of the ONNX standard, opset 14 and later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, product
from typing import Any

from ..graph import Cell, Graph, Node
from ..graph.match import match
from ..graph.node import const, node, topological
from ..nn.convert.onnx_cells import onnx_gru, onnx_lstm, onnx_rnn

BIASES = ("one", "two", "none")


@dataclass(frozen=True)
class Form:
    """One way to use an operator. slots: for its gates, our gate and the sign of its weights: 1 − σ(a) is σ(−a)."""

    op: str
    cell: Cell
    slots: Mapping[str, tuple[str, int]]
    activations: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Found:
    """How equations are an operator's. names: the graph's name of each of the form's parameters."""

    form: Form
    names: Mapping[str, str]


@lru_cache(maxsize=256)
def find(graph: Graph) -> Found | None:
    """The operator whose equations these are, or None."""
    simple = graph.simplified().mapped(_clip_in_order)
    for form in _forms(simple):
        if (names := match(form.cell.graph.simplified(), simple)) is not None:
            return Found(form, names)
    return None


# -- which forms come into question ----------------------------------------------------------------------------


def _forms(graph: Graph) -> Iterator[Form]:
    """Every form with as many matrices, diagonals and states as a graph has."""
    kinds = [p.attr.kind for p in graph.params]
    matrices = kinds.count("W")
    if kinds.count("U") != matrices or "gain" in kinds:
        return
    # what may stand where a tanh is usual; an Affine with α = 1 and β = 0 changes nothing
    squashes = [name for name, op in (("Tanh", "tanh"), ("Relu", "relu")) if _has(graph, op)] + ["Affine"]
    biases = [b for b in BIASES if (b == "none") == ("b" not in kinds)]
    usual = [{"biases": b, "clip": _clip_of(graph)} for b in biases]
    match matrices, len(graph.states):
        case (4 | 3, 2):
            yield from _lstms(matrices == 4, kinds.count("p"), usual, squashes)
        case (3, 1):
            yield from _grus(usual, squashes)
        case (1, 1):
            yield from _rnns(usual, squashes)


def _lstms(whole: bool, diagonals: int, usual: list[dict], squashes: list[str]) -> Iterator[Form]:
    for coupled in [""] if whole else ["i", "f"]:
        own = {"": "ifo", "i": "io", "f": "fo"}[coupled]
        slots = {gate: (gate, 1) for gate in f"{own}g"}
        if coupled == "f":
            slots["i"] = slots.pop("f")[0], -1
        peepholes = ["".join(p) for p in combinations(own, diagonals)]
        for hyper, p, g, out in product(usual, peepholes, squashes, squashes):
            written = onnx_lstm.with_(**hyper, peepholes=p, coupled=coupled, g=g, out=out)
            attributes = _clip_attribute(hyper) | ({} if whole else {"input_forget": 1})
            yield Form("LSTM", written, slots, ("Sigmoid", g, out), attributes)


def _grus(usual: list[dict], squashes: list[str]) -> Iterator[Form]:
    for hyper, before, swapped, n in product(usual, (False, True), (False, True), squashes):
        written = onnx_gru.with_(**hyper, before=before, swapped=swapped, n=n)
        slots = {"r": ("r", 1), "z": ("z", -1 if swapped else 1), "n": ("n", 1)}
        attributes = _clip_attribute(hyper) | {"linear_before_reset": 0 if before else 1}
        yield Form("GRU", written, slots, ("Sigmoid", n), attributes)


def _rnns(usual: list[dict], squashes: list[str]) -> Iterator[Form]:
    for hyper, squash in product(usual, squashes):
        written = onnx_rnn.with_(**hyper, squash=squash)
        yield Form("RNN", written, {"h": ("h", 1)}, (squash,), _clip_attribute(hyper))


def _clip_attribute(hyper: Mapping[str, Any]) -> dict[str, Any]:
    return {"clip": hyper["clip"]} if hyper["clip"] else {}


def _has(graph: Graph, op: str) -> bool:
    return any(n.op == op for n in topological(graph.results))


# -- clipped arguments -----------------------------------------------------------------------------------------


def _clip_in_order(n: Node) -> Node:
    """max(min(a, t), −t)  →  min(max(a, −t), t)"""
    outer = _split(n) if n.op == "maximum" else None
    inner = _split(outer[0]) if outer and outer[0].op == "minimum" else None
    return _clip(*inner) if outer and inner and inner[1] == -outer[1] > 0 else n


def _split(n: Node) -> tuple[Node, float] | None:
    """(the value, the number) of a maximum or minimum with a number."""
    a, b = n.args
    if a.op == "const":
        a, b = b, a
    return (a, b.attr) if b.op == "const" and a.op != "const" else None


def _clip(a: Node, limit: float) -> Node:
    return node("minimum", node("maximum", a, const(-limit)), const(limit))


def _clip_of(graph: Graph) -> float:
    """The one limit to which values are clipped; 0 where there is no such thing."""
    limits = {split[1] for n in topological(graph.results) if n.op == "minimum" and (split := _split(n))}
    return limits.pop() if len(limits) == 1 else 0.0
