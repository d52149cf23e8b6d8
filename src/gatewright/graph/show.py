"""A graph as a table that a person can read: one node a line, after each pass if asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .node import Node, topological

if TYPE_CHECKING:
    from .graph import Graph


def _attr(n: Node) -> str:
    if n.op == "param":
        return f" {n.attr.name}"
    if n.op == "const":
        return f" {n.attr:g}"
    return "" if n.attr is None else f" {n.attr}"


def table(graph: Graph) -> str:
    """The nodes of a graph in the order in which a step computes them, with width and name."""
    order = topological(graph.roots)
    number = {n: f"%{i}" for i, n in enumerate(order)}
    called: dict[Node, list[str]] = {}
    for name, n in graph.equations:
        called.setdefault(n, []).append(name)
    rows = []
    for n in order:
        what = " ".join([f"{n.op}{_attr(n)}", *(number[a] for a in n.args)])
        width = f"({graph.widths.of(n)})"
        rows.append((number[n], what, width, ", ".join(called.get(n, ()))))
    wide = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = [f"{a:<{wide[0]}}  {b:<{wide[1]}}  {c:<{wide[2]}}  {d}".rstrip() for a, b, c, d in rows]
    states = ", ".join(f"{s.name} ← {number[s.new]}" for s in graph.states)
    return "\n".join([*lines, f"output {number[graph.output]}; {states}"])


def show(graph: Graph, passes: bool) -> str:
    """The table of a graph; with `passes`, also after each pass of the pipeline that changed it."""
    if not passes:
        return table(graph)
    from .simplify import PIPELINE

    parts = [f"── as written\n{table(graph)}"]
    for name, change in PIPELINE:
        after = change(graph)
        parts.append(f"── {name}: nothing to do" if after == graph else f"── {name}\n{table(after)}")
        graph = after
    return "\n\n".join(parts)
