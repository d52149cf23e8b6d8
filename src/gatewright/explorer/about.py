"""What a page is told of the opened model."""

from __future__ import annotations

from typing import Any

from ..graph import Graph
from ..graph.node import Node
from ..graph.notation.latex import LatexPrinter
from ..graph.notation.mathml import equations, mathml
from ..nn.gates import keepers, openers
from .library import offered
from .opened import STEPS, Layer, Opened
from .reduce import numbers
from .story import story, symbol

RANGES = {"sigmoid": [0.0, 1.0], "tanh": [-1.0, 1.0]}


def about(opened: Opened) -> dict[str, Any]:
    """The answer to GET /api/model."""
    cell = opened.first.cell
    return {
        "name": opened.name,
        "task": opened.task,
        "cell": cell.name,
        "equations": str(cell),
        "latex": cell.latex(),
        "mathml": mathml(cell.graph),
        "parameters": sum(p.numel() for p in opened.model.parameters()),
        "description": opened.description,
        "layers": [_layer(opened, layer) for layer in opened.layers.values()],
        "examples": list(opened.examples),
        "input": opened.input,
        "limits": {"steps": STEPS},
        "cells": offered(),
    }


def _layer(opened: Opened, layer: Layer) -> dict[str, Any]:
    graph = layer.cell.graph
    horizon = opened.horizons.get(layer.id)
    several = len({other.module for other in opened.layers.values()}) > 1
    return {
        "id": layer.id,
        "title": f"{layer.title} ({layer.module})" if several else layer.title,
        "width": layer.stack.hidden_size,
        "cell": layer.cell.name,
        "names": names(graph, set(opened.recorded)),
        "states": list(layer.cell.states),
        "equations": equations(graph),
        "story": story(layer.cell),
        "horizon": None if horizon is None else numbers(horizon),
    }


def names(graph: Graph, recorded: set[str]) -> list[dict[str, Any]]:
    """The values of the equations, as a page shows them.

    >>> import gatewright as gw
    >>> [(n["name"], n["kind"]) for n in names(gw.cells.gru.graph, {"z", "n", "h"})]
    [('z', 'gate'), ('n', 'candidate'), ('h', 'state')]
    """
    printer = LatexPrinter(graph)
    gates = {gate.name for gate in (*keepers(graph), *openers(graph))}
    states = {state.name for state in graph.states}
    return [
        {
            "name": name,
            "kind": _kind(name, n, gates, states),
            "range": RANGES.get(n.op),
            "symbol": symbol(name),
            "latex": printer.name(name),
        }
        for name, n in graph.equations
        if name in recorded
    ]


def _kind(name: str, n: Node, gates: set[str], states: set[str]) -> str:
    if name in states:
        return "state"
    if n.op == "sigmoid" or name in gates:
        return "gate"
    return "candidate" if n.op == "tanh" else "other"
