"""Who is called what: values after the names they were given, parameters after the values they make."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from .errors import CellError
from .node import Node, node, rewrite
from .notation.letters import identifier
from .ops import SQUASHING

if TYPE_CHECKING:
    from .value import Value


class Naming:
    """The names of one traced function, from its own locals, its helpers' locals and `name=`."""

    def __init__(self) -> None:
        self.leaves: dict[Value, str] = {}
        self.explicit: dict[Value, str] = {}
        self.stems: dict[Value, str] = {}
        self.parameters: list[tuple[Value, str | None, Value | None]] = []
        self.output_name = ""
        self._own: dict[Value, str] = {}
        self._helpers: dict[str, dict[Value, None]] = {}
        self._latest: dict[str, Value] = {}
        self._updates: dict[Value, str] = {}
        self._states: dict[str, Value] = {}
        self._output: Value | None = None
        self._lent: dict[Value, str] = {}

    def bind(self, name: str, value: Value, *, own: bool) -> None:
        """A local name was seen to hold a value. A value keeps the first name that it is given."""
        name = identifier(name)
        if own:
            self._latest[name] = value
        if value in self.leaves or value in self._own:
            return
        if own:
            self._own[value] = name
        else:
            self._helpers.setdefault(name, {})[value] = None

    def taken(self) -> set[str]:
        """The names that `name=` cannot give: an input's, and those that it has given."""
        return {*self.explicit.values(), *(n for v, n in self.leaves.items() if v.node.op == "input")}

    def results(self, states: tuple[str, ...], updates: list[Value], output: Value | None) -> None:
        """Tie the returned values to their states; a value without a name is called after its state."""
        self._lent = self._lend()
        for state, value in zip(states, updates, strict=True):
            self._updates.setdefault(value, state)
        self.output_name = states[0]
        self._states = dict(zip(states, updates, strict=True))
        self._output = output
        if output is not None:
            called = self._called(output)
            if called is None or called in (*states, *self.leaves.values()):
                called = "y"  # the name belongs to a state's new value, or to an input
            self.output_name = self._updates.get(output, called)
            self._updates.setdefault(output, self.output_name)

    def finish(self, values: list[Value]) -> tuple[dict[Node, Node], tuple[tuple[str, Node], ...]]:
        """The named node of every traced one, and the equations in order."""
        final = self._name_parameters(values)
        named = rewrite([v.node for v in values], lambda n: final.get(n, n))
        order = {v: i for i, v in enumerate(values)}
        equations: dict[str, tuple[int, Node]] = {}
        for value in values:
            name = self._equation_name(value)
            if name is not None:
                equations[name] = (order[value], named[value.node])
        ends = dict(self._states)
        if self._output is not None:
            ends.setdefault(self.output_name, self._output)
        for name, value in ends.items():
            equations[name] = (order[value], named[value.node])
        ranked = sorted(equations.items(), key=lambda item: item[1][0])
        return named, tuple((name, n) for name, (_, n) in ranked)

    # -- values ------------------------------------------------------------------------------------

    def _called(self, value: Value) -> str | None:
        """The name of a value: `name=`, the cell's own local, its state's, then a helper's that names it alone."""
        if value in self.leaves:
            return self.leaves[value]
        if (name := self.explicit.get(value) or self._own.get(value)) is not None:
            return name
        if value in self._updates:
            return None  # what a decorator calls the result is not its name
        return self._lent.get(value)

    def _lend(self) -> dict[Value, str]:
        """The names that helpers give: those that hold one value alone, and are nobody else's."""
        taken = {*self._own.values(), *self.leaves.values(), *self.explicit.values()}
        # `i = gate(x, h)`: what the helper calls the argument of its sigmoid is i_pre, however often it is called
        squashed = {v.args[0] for v in (*self._own, *self.explicit) if v.node.op in SQUASHING}
        alone = {n: next(iter(who)) for n, who in self._helpers.items() if len(who) == 1 and n not in taken}
        return {
            value: name for name, value in reversed(alone.items()) if value not in squashed
        }  # the first of several is kept

    def _equation_name(self, value: Value) -> str | None:
        """The name of the equation that a value is; a name that was given again is the later value's."""
        if value in self.leaves:
            return None
        name = self._called(value)
        if name is None:
            name = self._squashed_stem(value)
        reserved = {*self.leaves.values(), *self._states, self.output_name}
        if name is None or name in reserved:
            return None  # a state's name belongs to its new value, which is added from the results
        return name if self._latest.get(name, value) is value else None

    def _squashed_stem(self, value: Value) -> str | None:
        """`sigmoid(affine(x, h, name="f"))`, bound to nothing: the gate is f, its argument f_pre."""
        below = value.args[0] if value.node.op in SQUASHING else None
        if below is not None and below in self.stems and self._called(below) is None:
            return self.stems[below]
        return None

    # -- parameters ----------------------------------------------------------------------------------

    def _name_parameters(self, values: list[Value]) -> dict[Node, Node]:
        users: dict[Value, list[Value]] = {}
        for value in values:
            for argument in value.args:
                users.setdefault(argument, []).append(value)
        groups: dict[str, list[tuple[Value, Value | None]]] = {}
        for value, stem, vector in self.parameters:
            groups.setdefault(identifier(stem) if stem else self._stem(value, users), []).append((value, vector))
        final: dict[Node, Node] = {}
        owners: dict[str, Value] = {}
        for stem, members in groups.items():
            kinds = Counter(v.node.attr.kind for v, _ in members)
            for value, vector in members:
                name = self._parameter_name(value, vector, stem, several=kinds[value.node.attr.kind] > 1)
                if name is None:
                    others = [v for v, _ in members if v.node.attr.kind == value.node.attr.kind and v is not value]
                    raise _twice(f"{value.node.attr.kind}_{stem}", value, others[0])
                if name in owners:
                    raise _twice(name, owners[name], value)
                owners[name] = value
                final[value.node] = node("param", attr=value.node.attr._replace(name=name))
        return final

    def _stem(self, value: Value, users: dict[Value, list[Value]]) -> str:
        """The name of the nearest value that a parameter goes into."""
        level, seen = [value], {value}
        while level:
            for candidate in level:
                name = self._called(candidate) or self._updates.get(candidate)
                if name is not None and candidate is not value:
                    return name
            following = [u for v in level for u in users.get(v, ())]
            level = [u for u in dict.fromkeys(following) if u not in seen]
            seen.update(level)
        if (name := self._called(value) or self._updates.get(value)) is not None:
            return name  # `b = bias()`
        raise CellError(
            f"{value.line}: the parameters of this product have no name: assign the result to a variable, "
            "such as f = …, or give name='f'"
        )

    def _parameter_name(self, value: Value, vector: Value | None, stem: str, *, several: bool) -> str | None:
        """The parameter's name; None where it is another's too, and nothing tells them apart."""
        kind = value.node.attr.kind
        if not several:
            return f"{kind}_{stem}"
        label = self._label(vector)
        return None if label is None else f"{kind}_{stem}_{label}"

    def _label(self, vector: Value | None) -> str | None:
        """What a vector is called in a parameter's name: its own name, or that of what it is a product of."""
        if vector is None:
            return None
        if (name := self._called(vector)) is not None:
            return name
        if vector.node.op == "linear":
            return self._label(vector.args[1])
        if vector.node.op == "add":
            labels = [self._label(a) for a in vector.args if a.node.op in ("add", "linear")]
            return "_".join(label for label in labels if label) or None
        return None


def _twice(name: str, first: Value, second: Value) -> CellError:
    where = first.line if first.line == second.line else f"{first.line} and {second.line}"
    return CellError(
        f"{where}: the name {name} would belong to two parameters: assign each product to a variable of its "
        "own, or give name='…' (in a loop: name=f'gate{k}')"
    )
