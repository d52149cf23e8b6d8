"""What makes a graph a legal cell: everything that was written is used, and every width fits."""

from __future__ import annotations

import math
import re

from .errors import CellError
from .graph import Graph
from .node import Node, node, topological
from .ops import OPS

MAX_NODES = 10_000
MAX_REPEAT = 65_536


def check(graph: Graph, name: str, params: tuple[Node, ...]) -> None:
    """Raise `CellError` where a cell cannot be one; `params` are all that its equations own."""
    needed = set(topological(graph.results))
    if len(needed) > MAX_NODES:
        raise CellError(f"cell {name} has {len(needed)} operations: at most {MAX_NODES} are allowed")
    _every_parameter_is_used(graph, name, needed, params)
    _every_input_is_read(graph, name, needed)
    _every_name_is_one_thing(graph, name)
    for n in needed:
        _operation(n, name)
    for state in graph.states:
        if not isinstance(state.initial, Node) and math.isnan(state.initial):
            raise CellError(f"cell {name}: the initial value of {state.name} is NaN: give a number")
        if OPS[state.new.op].kind == "compare":
            raise CellError(f"cell {name}: the new {state.name} is a condition: write where(condition, 1, 0)")
    graph.widths  # noqa: B018 - raises where they do not fit


def _every_input_is_read(graph: Graph, name: str, needed: set[Node]) -> None:
    for called in graph.inputs:
        if node("input", attr=called) not in needed:
            raise CellError(f"cell {name}: the input {called} is never used: use it, or leave it out")
    for state in graph.states:
        if state.old not in needed:
            others = ", ".join(s.name for s in graph.states if s is not state)
            hint = (
                f"return it as the output alone: `return {state.name}, ({others},)`"
                if state is graph.states[0] and others
                else "use it, or leave it out"
            )
            raise CellError(f"cell {name}: the old value of the state {state.name} is never used: {hint}")


def _every_parameter_is_used(graph: Graph, name: str, needed: set[Node], params: tuple[Node, ...]) -> None:
    for param in params:
        if param not in needed:
            owner = next((e for e, n in graph.equations if param in topological([n])), None)
            what = f"{owner} is computed" if owner else "its product is computed"
            raise CellError(
                f"cell {name}: {param.attr.name} is a parameter of the cell, but {what} and never used: "
                "use it, or leave it out"
            )


def _every_name_is_one_thing(graph: Graph, name: str) -> None:
    """In text, `W_t` is the value W at time t: so no value may share its name with a parameter."""
    values = {*graph.inputs, *graph.names, *(s.name for s in graph.states)}
    spelled = values | {f"{v}_t" for v in values}
    for called in sorted(values | {param.attr.name for param in graph.params}):
        if not re.fullmatch(r"\w+", called):
            raise CellError(f"cell {name}: the name {called} has a sign that equations as text cannot say: rename it")
    for param in graph.params:
        if param.attr.name in spelled:
            raise CellError(
                f"cell {name}: {param.attr.name} is the name of a value and of a parameter: rename the value"
            )
    for called in graph.inputs:
        if called in graph.names:
            raise CellError(f"cell {name}: {called} is the name of an input and of an equation: rename one")


def _operation(n: Node, name: str) -> None:
    if n.op == "linear" and not any(m.op in ("input", "state") for m in topological([n.args[1]])):
        raise CellError(
            f"cell {name}: {n.args[0].attr.name} meets no input and no state: what it would learn is a bias, bias()"
        )
    if n.op == "repeat" and n.attr > MAX_REPEAT:
        raise CellError(f"cell {name}: repeat(v, {n.attr}): at most {MAX_REPEAT} times")
