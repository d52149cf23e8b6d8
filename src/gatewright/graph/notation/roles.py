"""Which name of a text is what: inputs, states, the output, and the order in which equations can be computed."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

from ..errors import CellError, NotationError
from .scanner import Token
from .syntax import Text, Tree


class Roles:
    """The roles of the names of one text. `inputs` grows while the equations are read."""

    def __init__(self, text: Text):
        self.text = text
        self.trees: dict[str, Tree] = {}
        self.order: dict[str, int] = {}
        for token, tree in text.equations:
            if token.name in self.trees:
                raise self.error(f"{token.name} has two equations", token)
            self.order[token.name] = len(self.trees)
            self.trees[token.name] = tree
        self.inputs = list(text.header.inputs) if text.header else []
        self.states = list(text.header.states) if text.header else self._find_states()
        self._check_header()

    def error(self, message: str, token: Token) -> NotationError:
        return self.text.scanner.error(message, token.start, token.end)

    def output(self) -> str:
        """The first line's; else the last equation where it is no state and nothing reads it; else a state."""
        if self.text.header is not None:
            return self.text.header.output
        last = self.text.equations[-1][0].name
        read = {t.name for _, tree in self.text.equations for t in names_in(tree)}
        return last if last not in self.states and last not in read else self.states[0]

    def _find_states(self) -> list[str]:
        """Names used one step back, or bare before their equation is complete; the output first."""
        found: dict[str, None] = {}
        explicit: dict[str, Token] = {}
        bare: dict[str, Token] = {}
        for index, (_, tree) in enumerate(self.text.equations):
            for token in names_in(tree):
                if token.name not in self.trees:
                    continue
                if token.time is not None and token.time < 0:
                    explicit.setdefault(token.name, token)
                    found[token.name] = None
                elif token.time is None and index <= self.order[token.name]:
                    bare.setdefault(token.name, token)
                    found[token.name] = None
        for both in explicit.keys() & bare.keys():
            raise self.error(
                f"the old value of {both} is written as {both} here and as {both}_{{t-1}} elsewhere: choose one",
                bare[both],
            )
        if not found:
            raise self.error(
                "no state: a value of the step before, such as h_{t-1}, stands nowhere",
                self.text.equations[0][0],
            )
        last = max(found, key=lambda s: self.order[s])
        first = next((s for s in ("h", "H") if s in found), last)
        return [first, *(s for s in found if s != first)]

    def _check_header(self) -> None:
        header = self.text.header
        if header is None:
            return
        for needed in (header.output, *header.states):
            if needed not in self.trees:
                raise CellError(f"{header.name}: the first line promises {needed}_t, but no equation gives it")
        for called in header.inputs:
            if called in self.trees:
                raise CellError(f"{header.name}: {called} is an input, and an equation gives it too")

    def in_order(self) -> list[str]:
        """The equations, each behind those that it needs; as written where that is possible."""
        needs = {e: self._needs(e, tree) for e, tree in self.trees.items()}
        done: list[str] = []
        sorter = TopologicalSorter(needs)
        try:
            sorter.prepare()
        except CycleError as cycle:
            circle = cycle.args[1][::-1]
            around = " → ".join(circle if len(circle) < 9 else [*circle[:4], "…", *circle[-3:]])
            token = next(t for t, _ in self.text.equations if t.name == cycle.args[1][0])
            raise self.error(
                f"{around}: each needs the other in the same step; one of them should be read at t-1", token
            ) from None
        while sorter.is_active():
            ready = sorted(sorter.get_ready(), key=lambda e: self.order[e])
            done += ready
            sorter.done(*ready)
        return done

    def _needs(self, equation: str, tree: Tree) -> set[str]:
        return {t.name for t in names_in(tree) if t.name in self.trees and not self.is_old(t, equation)}

    def is_old(self, token: Token, equation: str) -> bool:
        """Whether a name means the value of the step before."""
        if token.time is not None:
            return token.time < 0
        return token.name in self.states and self.order[equation] <= self.order[token.name]


def names_in(tree: Tree) -> list[Token]:
    """The names in a tree, in order."""
    found: list[Token] = []
    stack = [tree]
    while stack:
        current = stack.pop()
        if current.kind == "name":
            found.append(current.token)
        stack.extend(reversed(current.parts))
    return found
