"""Write `docs/cells.md` from the zoo: `python docs/generate.py` (with --check: only say whether it is up to date)."""

from __future__ import annotations

import sys
from pathlib import Path

import gatewright as gw
from gatewright.graph.node import topological

PAGE = Path(__file__).parent / "cells.md"
HEAD = """# The cells that come with the library

This page is generated from the cells themselves: `python docs/generate.py`. Each is `gw.cells.NAME`, and its
equations are what `print(gw.cells.NAME)` gives; `.latex()` gives them for a paper. `_t` is this step, `_{t-1}` the one
before, ⊙ the product unit by unit; W meets inputs, U anything else, b is a bias, p a diagonal. A weight is H wide
unless a line `width S: …` says otherwise.

"""


def count(cell: gw.Cell) -> str:
    """How many parameters a cell has, as a formula in the widths."""
    graph = cell.graph
    terms: dict[str, int] = {}
    for param in graph.params:
        rows = graph.widths.of(param)
        columns = f" · {graph.widths.columns(param)}" if param.attr.kind in "WU" else ""
        key = f"{rows}{columns}"
        terms[key] = terms.get(key, 0) + 1
    return " + ".join(f"{n} {key}" if n > 1 else key for key, n in terms.items())


def section(cell: gw.Cell) -> str:
    """The part of the page about one cell."""
    words, _, source = (cell.__doc__ or "").partition("Source:")
    hyper = ", ".join(f"`{k}={v!r}`" for k, v in cell.hyper.items())
    loop = any(p.attr.kind == "U" for p in cell.params)
    facts = [f"Weights: {count(cell)}."]
    facts += [f"Hyper-parameters: {hyper}."] if hyper else []
    facts += [] if loop else ["No matrix product in the loop."]
    facts += ["x is as wide as the state."] if _same_width(cell) else []
    return "\n\n".join(
        [
            f"## {cell.name}",
            " ".join(words.split()),
            f"```text\n{cell}\n```",
            " ".join(facts),
            f"Source: {' '.join(source.split())}",
        ]
    )


def _same_width(cell: gw.Cell) -> bool:
    graph = cell.graph
    return all(graph.widths.of(n).symbol != "I" for n in topological(graph.roots) if n.op == "input")


def page() -> str:
    """The whole page."""
    contents = " · ".join(f"[{name}](#{name})" for name in gw.cells)
    return HEAD + "\n\n".join([contents, *(section(cell) for cell in gw.cells.values())]) + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.read_text() == page() else "docs/cells.md is out of date: run python docs/generate.py")
    PAGE.write_text(page())
