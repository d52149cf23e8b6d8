"""From a Python function to a graph: call it once with values, and see what they are called.

The names are read from the frames of the function and its helpers, whose locals outlive the call as long as
somebody holds the frame. So it needs neither the source text (which `exec`, a lambda or a REPL may not have)
nor a trace hook (which a debugger or coverage may have taken).
"""

from __future__ import annotations

import dis
import inspect
import linecache
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any

from .check import MAX_NODES, check
from .errors import CellError
from .graph import Graph, State
from .names import Naming
from .node import Node, node, topological
from .notation.letters import identifier

if TYPE_CHECKING:
    from .value import Value

MAX_VALUES = 4 * MAX_NODES
_HERE = str(Path(__file__).parent)
_active = threading.local()


def current() -> Tracer:
    """The tracer whose function is running in this thread."""
    stack = getattr(_active, "stack", None)
    if not stack:
        raise CellError(
            "affine, sigmoid and the other operations of a cell work inside a function marked with @gw.cell; "
            "on tensors use torch's"
        )
    return stack[-1]


class Tracer:
    """One call of a cell's function: it sees each value as it is made, and where."""

    def __init__(self, function: Callable, name: str):
        self.name = name
        self.values: list[Value] = []
        self.naming = Naming()
        self._code = _code_of(function)
        self._frames: dict[FrameType, None] = {}

    # -- what values tell ------------------------------------------------------------------------

    def saw(self, value: Value) -> str:
        """A value was made: look at the frames for names that values have got since, return the line."""
        if len(self.values) >= MAX_VALUES:  # a loop that has no end would never be checked
            raise CellError(f"{self.where()}: cell {self.name} makes more than {MAX_VALUES} values")
        frames = self._user_frames()
        for frame in reversed(frames):
            self._read(frame)
        self.values.append(value)
        return _line(frames[0]) if frames else self.name

    def own(self, value: Value) -> None:
        if value.tracer is not self:
            raise CellError(f"{self.where()}: a value of another cell (or of an earlier call) stands in this one")

    def serial(self) -> int:
        return len(self.values)

    def parameter(self, value: Value, *, stem: str | None, vector: Value | None) -> None:
        self.naming.parameters.append((value, stem, vector))

    def explicit(self, value: Value, name: str, *, product: bool) -> None:
        if not isinstance(name, str) or not name.isidentifier() or name.startswith("_"):
            raise CellError(f"{self.where()}: name={name!r}: expected a name such as 'f'")
        if not product and identifier(name) in self.naming.taken():
            raise CellError(f"{self.where()}: name={name!r} is the name of an input, or of another value")
        (self.naming.stems if product else self.naming.explicit)[value] = identifier(name)

    def sees_inputs_only(self, value: Value) -> bool:
        return all(n.op != "state" for n in topological([value.node]))

    def where(self) -> str:
        """The line of the cell that is running, for a message."""
        frames = self._user_frames()
        return _line(frames[0]) if frames else f"cell {self.name}"

    # -- frames ------------------------------------------------------------------------------------

    def _user_frames(self) -> list[FrameType]:
        """The frames of the cell's function and its helpers, innermost first; none where it does not run."""
        frame, found = sys._getframe(1), []
        while frame is not None and frame.f_code is not _CALL:
            if not _is_library(frame):
                found.append(frame)
            frame = frame.f_back
        return found if frame is not None else []

    def _read(self, frame: FrameType) -> None:
        from .value import Value

        self._frames[frame] = None
        code = frame.f_code
        if code.co_name in _COMPREHENSIONS:
            return  # a comprehension's variable is nobody's name
        looped = {name for name, start, end in _comprehended(code) if start <= frame.f_lasti < end}
        own = code is self._code or (self._code is None and frame is next(iter(self._frames)))
        given = () if own else code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        for name, thing in frame.f_locals.items():
            if type(thing) is Value and name not in given and name not in looped and not name.startswith(("_", ".")):
                self.naming.bind(name, thing, own=own)

    def call(self, function: Callable, args: tuple, hyper: Mapping[str, Any]) -> object:
        """Run the function; its frame and its helpers' are read once more when it has returned."""
        result = function(*args, **hyper)
        for frame in list(self._frames):
            self._read(frame)
        self._frames.clear()  # frames hold values, and values hold this
        return result


_CALL = Tracer.call.__code__
_COMPREHENSIONS = frozenset({"<listcomp>", "<dictcomp>", "<setcomp>", "<genexpr>"})


@lru_cache(maxsize=1024)
def _comprehended(code: CodeType) -> tuple[tuple[str, int, int], ...]:
    """The variables of comprehensions that run in the frame around them (from Python 3.12 on), and where they hold."""
    found, waiting = [], []
    for instruction in dis.get_instructions(code):
        if instruction.opname == "LOAD_FAST_AND_CLEAR":  # the variable of that name outside is kept aside
            waiting.append((instruction.argval, instruction.offset))
        elif instruction.opname == "FOR_ITER":
            found += [(name, start, instruction.argval) for name, start in waiting]
            waiting = []
    return tuple(found)


def _code_of(function: Any) -> CodeType | None:
    """The code of a function under its decorators, of a method, a partial or a callable object."""
    while True:
        function = inspect.unwrap(function)
        if not isinstance(function, partial):
            break
        function = function.func
    if not hasattr(function, "__code__"):
        function = inspect.unwrap(type(function).__call__)
    return getattr(function, "__code__", None)


def _is_library(frame: FrameType) -> bool:
    """Ours, torch's and NumPy's own frames: what they call things is nobody's name."""
    module = str(frame.f_globals.get("__name__", ""))
    return frame.f_code.co_filename.startswith(_HERE) or module.split(".")[0] in ("torch", "numpy")


def _line(frame: FrameType) -> str:
    file, number = frame.f_code.co_filename, frame.f_lineno
    text = linecache.getline(file, number, frame.f_globals).strip()
    shown = Path(file).name if not file.startswith("<") else file
    return f"{shown}:{number}" + (f" (`{text}`)" if text else "")


@contextmanager
def tracing(tracer: Tracer):
    """Make a tracer the current one of this thread."""
    stack = _active.__dict__.setdefault("stack", [])
    stack.append(tracer)
    try:
        yield tracer
    finally:
        stack.pop()


def trace(
    function: Callable,
    *,
    name: str,
    inputs: tuple[str, ...],
    states: tuple[str, ...],
    hyper: Mapping[str, Any],
    initial: Mapping[str, float],
) -> Graph:
    """The graph of a function's equations.

    Args:
        function: called once, with a value for each input and state, and the hyper-parameters.
        initial: each state's value before the first step; 0 where it is not named.

    Raises:
        CellError: the equations cannot be a cell; the message has the line.
    """
    from .value import Value

    with tracing(Tracer(function, name)) as tracer:
        leaves = [Value(node("input", attr=n)) for n in inputs]
        leaves += [Value(node("state", attr=n)) for n in states]
        for leaf, called in zip(leaves, inputs + states, strict=True):
            tracer.naming.leaves[leaf] = called
        returned = tracer.call(function, tuple(leaves), hyper)
        output, updates = _results(returned, states, tracer)
    naming = tracer.naming
    naming.results(states, updates, output)
    named, equations = naming.finish(tracer.values)
    graph = Graph(
        inputs=inputs,
        states=tuple(State(s, named[v.node], float(initial.get(s, 0.0))) for s, v in zip(states, updates, strict=True)),
        equations=equations,
        output_name=naming.output_name,
    )
    check(graph, name, params=tuple(_placed(named)))
    return graph


def _placed(named: Mapping[Node, Node]) -> list[Node]:
    return [n for n in dict.fromkeys(named.values()) if n.op == "param"]


def _results(returned: object, states: tuple[str, ...], tracer: Tracer) -> tuple[Value | None, list[Value]]:
    """(output, new states): the output is None where it is the first new state."""
    from .value import lift

    listed = ", ".join(states)
    closing = "," if len(states) == 1 else ""
    wanted = f"return {listed}, or return y, ({listed}{closing}) where the output y is no state"
    output = None
    if isinstance(returned, list):
        returned = tuple(returned)
    if isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[1], tuple | list):
        output, returned = lift(returned[0], "the returned output"), tuple(returned[1])
    found = returned if isinstance(returned, tuple) else (returned,)
    if returned is None:
        raise CellError(f"cell {tracer.name} returns nothing: expected `{wanted}`")
    if len(found) != len(states):
        raise CellError(
            f"cell {tracer.name} returns {len(found)} values for {len(states)} states ({listed}): expected `{wanted}`"
        )
    return output, [lift(v, f"the returned state {s}") for v, s in zip(found, states, strict=True)]
