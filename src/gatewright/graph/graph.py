"""The traced equations of one time step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from .errors import CellError
from .node import Node, const, node, rewrite, topological
from .ops import SQUASHING
from .widths import Misfit, Sizes, Unknown, Widths


@dataclass(frozen=True)
class State:
    """What is carried from step to step: `new` is its value after the step, `initial` before the first.

    `initial` is a number, the same for all units, or a parameter.
    """

    name: str
    new: Node
    initial: float | Node = 0.0

    @property
    def old(self) -> Node:
        return node("state", attr=self.name)

    @property
    def begins(self) -> Node:
        """`initial` as a node."""
        return self.initial if isinstance(self.initial, Node) else const(self.initial)


@dataclass(frozen=True)
class Graph:
    """The equations of a cell for one step; immutable.

    Two graphs are equal where they compute the same by the same names. `names` are the equations in their
    order, the new states among them; `output_name` is the first state's unless the output is no state.
    """

    inputs: tuple[str, ...]
    states: tuple[State, ...]
    equations: tuple[tuple[str, Node], ...]
    output_name: str

    @cached_property
    def names(self) -> Mapping[str, Node]:
        return dict(self.equations)

    @property
    def output(self) -> Node:
        return self.names[self.output_name]

    @cached_property
    def params(self) -> tuple[Node, ...]:
        """The parameters, in order of appearance."""
        return tuple(n for n in topological([*self.roots, *self.starts.values()]) if n.op == "param")

    @cached_property
    def roots(self) -> tuple[Node, ...]:
        """What a step must compute: every equation."""
        return tuple(n for _, n in self.equations)

    @cached_property
    def starts(self) -> Mapping[str, Node]:
        """The parameter that a state begins with, by the state's name; not of those that begin with a number."""
        return {s.name: s.initial for s in self.states if isinstance(s.initial, Node)}

    @cached_property
    def results(self) -> tuple[Node, ...]:
        """What leaves a step: the output and the new states."""
        return (self.output, *(s.new for s in self.states))

    @cached_property
    def widths(self) -> Widths:
        updates = {s.name: s.new for s in self.states}
        try:
            return Widths(self.inputs, updates, self.roots, self.starts)
        except Misfit as misfit:
            raise CellError(self._explain(misfit)) from None

    def watchable(self) -> Mapping[str, Node]:
        """Everything that has a name: equations, `f_pre` before a squashing, `c_prev` for an old state."""
        return self._watchable

    @cached_property
    def _watchable(self) -> Mapping[str, Node]:
        extra = {f"{s.name}_prev": s.old for s in self.states}
        extra |= {f"{name}_pre": n.args[0] for name, n in self.equations if n.op in SQUASHING}
        return {**extra, **self.names}

    def sizes(self, known: Mapping[str, int]) -> Sizes:
        """The widths as numbers, from the size of each symbol: `{"I": 3, "H": 5}`.

        Raises `CellError` where the equations ask for another size, naming the equations.
        """
        if unknown := sorted(set(known) - self.widths.symbols() - {"I", "H"}):
            need = ", ".join(sorted(self.widths.symbols())) or "none"
            raise CellError(f"sizes: there is no width {unknown[0]!r} in this cell (it has {need})")
        try:
            found = self.widths.solve(known)
            for param in self.params:
                found.shape(param)
            for state in self.states:
                found.of_state(state.name)
        except Misfit as misfit:
            raise CellError(self._explain(misfit)) from None
        except Unknown as unknown:
            raise CellError(f"the width {unknown} has no size: give it with sizes={{'{unknown}': …}}") from None
        return found

    def _explain(self, misfit: Misfit) -> str:
        lines = [f"widths don't fit: {misfit.left} is not {misfit.right}"]
        lines += [f"  in {self.equation_with(n)}" for n in dict.fromkeys(misfit.nodes)]
        return "\n".join(lines)

    def equation_with(self, n: Node) -> str:
        """The first equation in which a node stands, as text."""
        from .notation.printer import Printer  # the printer reads graphs, and only errors need it here

        printer = Printer(self)
        for name, root in self.equations:
            if n in topological([root]):
                return printer.equation(name, root)
        return printer.expression(n)

    def without_bias(self) -> Graph:
        """The same equations with every bias left out; raises `CellError` where one is more than an offset."""

        def is_bias(n: Node) -> bool:
            return n.op == "param" and n.attr.kind == "b"

        def rule(n: Node) -> Node:
            if n.op in ("add", "sub") and is_bias(n.args[1]):
                return n.args[0]
            return n.args[1] if n.op == "add" and is_bias(n.args[0]) else n

        bare = self.mapped(rule).simplified()
        if left := [n.attr.name for n in topological(bare.results) if is_bias(n)]:
            raise CellError(f"bias=False: {left[0]} is no offset that could be left out of these equations")
        return bare

    def mapped(self, rule) -> Graph:
        """The graph with `rule` applied to every node, arguments first."""
        new = rewrite(self.roots, rule)
        return replace(
            self,
            states=tuple(replace(s, new=new[s.new]) for s in self.states),
            equations=tuple((name, new[n]) for name, n in self.equations),
        )

    def simplified(self) -> Graph:
        """The graph after every pass of the pipeline."""
        from .simplify import simplify

        return simplify(self)

    def show(self, passes: bool = False) -> str:
        """The nodes as a table, one a line; with `passes`, the table after every pass of the pipeline.

        >>> import gatewright as gw
        >>> print(gw.cells.mingru.graph.show())  # doctest: +ELLIPSIS, +NORMALIZE_WHITESPACE
        %0  param W_z ...
        """
        from .show import show

        return show(self, passes)
