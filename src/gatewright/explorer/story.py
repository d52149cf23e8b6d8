"""What happens in one step of a cell, in the four steps that every explanation of the LSTM tells, from its equations.

    forget   what multiplies the old state, and how much of it stays
    input    what is let in, and what there is to let in
    update   the new state
    output   what is shown of it

Where no gate keeps a state, as in a plain RNN, the equations are told one by one.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from typing import TypedDict

from ..graph import Cell, Graph, Node
from ..graph.notation.letters import ACCENTS, GREEK
from ..graph.notation.mathml import mathml
from ..nn.gates import Gate, keepers, openers

_MARKS = {"tilde": "\u0303", "hat": "\u0302", "bar": "\u0304", "dot": "\u0307", "check": "\u030c"}


class Part(TypedDict):
    """One step of the story: the equations that it computes, and a sentence on what they do."""

    key: str
    title: str
    sentence: str
    names: list[str]
    mathml: str


def symbol(name: str, *, back: bool = False) -> str:
    """A name at a step in plain letters: `f` is "fₜ", `c_tilde` is "c̃ₜ", an old `c` is "cₜ₋₁".

    >>> symbol("f"), symbol("h_tilde"), symbol("c", back=True)
    ('fₜ', 'h̃ₜ', 'cₜ₋₁')
    """
    base, *rest = name.split("_")
    text = _letter(base)
    for word in rest:
        text += _MARKS[word] if word in ACCENTS else f"_{_letter(word)}" if word else ""
    return unicodedata.normalize("NFC", text) + ("ₜ₋₁" if back else "ₜ")


def _letter(word: str) -> str:
    if word.lower() not in GREEK:
        return word
    case = "SMALL" if word.islower() else "CAPITAL"
    return unicodedata.lookup(f"GREEK {case} LETTER {'LAMDA' if word.lower() == 'lambda' else word.upper()}")


def story(cell: Cell) -> list[Part]:
    """The parts of a step in order; every equation stands in one of them.

    >>> import gatewright as gw
    >>> for part in story(gw.cells.lstm):
    ...     print(part["title"], part["names"])
    Forget ['f']
    Input ['i', 'g']
    Update ['c']
    Output ['o', 'h']
    """
    graph = cell.graph
    kept = keepers(graph)
    return list(_told_by_gates(graph, kept)) if kept else [_plain(graph, name) for name in _names(graph)]


def _told_by_gates(graph: Graph, kept: tuple[Gate, ...]) -> Iterator[Part]:
    left = dict.fromkeys(_names(graph))
    needs = {name: set(_named_inputs(graph, name)) for name in left}
    states = list(dict.fromkeys(gate.state for gate in kept))

    def take(wanted: Iterable[str]) -> list[str]:
        """Those of the names, with what they need, that no part has told."""
        found: set[str] = set()
        stack = [name for name in wanted if name in left]
        while stack:
            name = stack.pop()
            found.add(name)
            stack += [n for n in needs[name] if n in left and n not in found]
        ordered = [name for name in left if name in found]
        for name in ordered:
            del left[name]
        return ordered

    keeping = _factors(graph, states, with_old=True)
    gates = [gate.name for gate in kept if gate.name not in states]
    mirrors = [name for name in keeping if name in left and needs[name] and needs[name] <= set(gates)]
    yield _part(graph, "forget", "Forget", _forget(kept[0], mirrors), take([*gates, *mirrors]))
    if inner := take(n for state in states for n in needs[state] if n not in states):
        yield _part(graph, "input", "Input", _input(graph, kept, inner, states), inner)
    yield _part(graph, "update", "Update", _update(states), take(states))
    if left:
        yield _part(graph, "output", "Output", _output(graph, list(left), states), list(left))


def _forget(gate: Gate, mirrors: list[str]) -> str:
    name, old = symbol(gate.name), symbol(gate.state, back=True)
    factor = name if gate.sign > 0 else f"1 − {name}"
    if mirrors:
        factor = f"{symbol(mirrors[0])} = {factor}"
    keeps, erases = (1, 0) if gate.sign > 0 else (0, 1)
    return (
        f"{factor} multiplies the old state {old}, unit by unit: where {name} is {keeps} the unit keeps what it holds, "
        f"where {name} is {erases} it is erased."
    )


def _input(graph: Graph, kept: tuple[Gate, ...], inner: list[str], states: list[str]) -> str:
    target, letting_in = symbol(states[0]), _factors(graph, states, with_old=False)
    gates = {gate.name for gate in kept}
    opening = [gate.name for gate in openers(graph) if gate.name in inner]
    mirrors = [name for name in inner if name in letting_in and set(_named_inputs(graph, name)) <= gates]
    mirrors = [name for name in mirrors if set(_named_inputs(graph, name))]
    other = [name for name in inner if name not in opening and name not in mirrors]
    inside = [name for name in other if graph.names[name].op == "sigmoid" and name not in letting_in]
    candidates = [name for name in other if name not in inside]
    coupled = [name for name in letting_in if name in gates]
    said = f"{_list(candidates)} {_is(candidates)} what could be written"
    doors = opening or mirrors or coupled
    also = " here too" if doors is coupled else ""
    if doors and candidates:
        said += f"; {_list(doors)} {_says(doors)}{also} how much of it enters {target}"
    elif doors:
        said = f"{_list(doors)} {_says(doors)}{also} how much enters {target}"
    seen = f" {_list(inside)} {_says(inside)} how much of the old state it sees." if inside else ""
    return f"{said}.{seen}"


def _is(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _says(names: list[str]) -> str:
    return "says" if len(names) == 1 else "say"


def _factors(graph: Graph, states: list[str], *, with_old: bool) -> list[str]:
    """The named factors of those terms of the new states that hold the old state, or of those that do not."""
    names = {n: name for name, n in reversed(graph.equations) if n.op != "param"}
    found = {}
    for state in graph.states:
        for term in _chain(state.new, ("add", "sub")) if state.name in states else ():
            factors = list(_chain(term, ("mul",)))
            if (state.old in factors) == with_old:
                for factor in factors:
                    found |= dict.fromkeys(names[n] for n in _behind(factor, names) if n in names)
    return list(found)


def _chain(root: Node, ops: tuple[str, ...]) -> Iterator[Node]:
    stack = [root]
    while stack:
        n = stack.pop()
        if n.op in ops:
            stack.extend(reversed(n.args))
        else:
            yield n


def _behind(factor: Node, names: dict[Node, str]) -> tuple[Node, ...]:
    """A factor, or what stands in 1 − z and its like."""
    return (factor,) if factor in names else (factor, *factor.args)


def _update(states: list[str]) -> str:
    rest = f" {_list(states[1:])} is carried on beside it." if len(states) > 1 else ""
    return (
        f"What was kept and what was let in add up to the new state {symbol(states[0])}, the belt of the picture.{rest}"
    )


def _output(graph: Graph, left: list[str], states: list[str]) -> str:
    gates = [name for name in left if graph.names[name].op == "sigmoid"]
    if graph.output_name in left:
        state, output = symbol(states[0]), symbol(graph.output_name)
        if gates:
            return f"{_list(gates)} {_says(gates)} how much of {state} is shown: {output} is what leaves the cell."
        return f"{output} is what leaves the cell, read from {state}."
    return f"{_list(left)} {_is(left)} carried to the next step."


def _plain(graph: Graph, name: str) -> Part:
    state = any(s.name == name for s in graph.states)
    text = f"{symbol(name)} is computed from {_list_of(_read(graph, name))}"
    after = f" and carried to the next step as {symbol(name, back=True)}." if state else "."
    return _part(graph, name, symbol(name), text + after, [name])


def _part(graph: Graph, key: str, title: str, sentence: str, names: list[str]) -> Part:
    return Part(key=key, title=title, sentence=sentence, names=names, mathml=mathml(graph, names))


def _list(names: Iterable[str]) -> str:
    return _list_of([symbol(name) for name in names])


def _list_of(words: list[str]) -> str:
    if len(words) < 2:
        return "".join(words) or "its weights"
    return f"{', '.join(words[:-1])} and {words[-1]}"


def _names(graph: Graph) -> list[str]:
    return [name for name, n in graph.equations if n.op != "param"]


def _named_inputs(graph: Graph, name: str) -> Iterator[str]:
    """The equations that one reads."""
    names = {n: other for other, n in reversed(graph.equations) if n.op != "param"}
    yield from (names[n] for n in _leaves(graph.names[name], names) if n in names)


def _read(graph: Graph, name: str) -> list[str]:
    """The symbols that an equation reads: inputs, other equations, old states."""
    names = {n: other for other, n in reversed(graph.equations) if n.op != "param"}
    found = []
    for n in _leaves(graph.names[name], names):
        if n in names:
            found.append(symbol(names[n]))
        elif n.op in ("input", "state"):
            found.append(symbol(n.attr, back=n.op == "state"))
    return list(dict.fromkeys(found))


def _leaves(root: Node, names: dict[Node, str]) -> Iterator[Node]:
    """Where the tree of one equation ends: at other equations and at leaves, from left to right."""
    stack, seen = list(reversed(root.args)), set()
    while stack:
        n = stack.pop()
        if n in seen:
            continue
        seen.add(n)
        if n in names or not n.args:
            yield n
        else:
            stack.extend(reversed(n.args))
