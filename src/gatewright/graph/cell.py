"""A cell: the equations of one time step, with their name, their words and their hyper-parameters."""

from __future__ import annotations

import inspect
import numbers
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, overload

from .errors import CellError, suggestion
from .graph import Graph
from .node import Node
from .notation.letters import identifier
from .trace import trace

if TYPE_CHECKING:
    from .diagram import Diagram

GENERATED = {"cpu": "gatewright.backends.cpu.source"}
"""Where the source view of a backend stands: found when somebody looks, since no cell depends on a backend."""


@dataclass(frozen=True)
class _Source:
    """The function behind a cell, and how it is called."""

    function: Callable
    inputs: tuple[str, ...]
    states: tuple[str, ...]
    initial: Mapping[str, float]

    def trace(self, name: str, hyper: Mapping[str, Any]) -> Graph:
        if missing := [key for key, value in hyper.items() if value is inspect.Parameter.empty]:
            raise CellError(f"cell {name} needs its hyper-parameter {missing[0]}: {name}.with_({missing[0]}=…)")
        return trace(
            self.function,
            name=name,
            inputs=self.inputs,
            states=self.states,
            hyper=hyper,
            initial=self.initial,
        )


class Cell:
    """The equations of one time step; immutable. Made by `@gw.cell` or `gw.parse`.

    Attributes:
        name: what it is called.
        graph: the traced equations (`gatewright.graph.Graph`).
        hyper: the values of its hyper-parameters; `with_` gives a cell with others.
        inputs, states: their names, in order.

    >>> import gatewright as gw
    >>> gw.cells.lstm.inputs, gw.cells.lstm.states
    (('x',), ('h', 'c'))
    >>> gw.cells.lstm.parameter_count(10, 20)
    2480
    """

    def __init__(self, name: str, *, doc: str, hyper: Mapping[str, Any], source: _Source | None, graph: Graph | None):
        if not isinstance(name, str) or not re.fullmatch(r"[^\W\d]\w*", identifier(name)):
            raise CellError(f"a cell's name is a word such as 'lstm', not {name!r}")
        self.name, self.hyper = identifier(name), dict(hyper)
        self.__doc__ = doc
        self._source = source
        if graph is not None:
            self.graph = graph
        elif inspect.Parameter.empty not in self.hyper.values():
            self.graph  # noqa: B018 - mistakes show where the cell is written, not where it is used

    @cached_property
    def graph(self) -> Graph:
        assert self._source is not None
        return self._source.trace(self.name, self.hyper)

    @classmethod
    def of_graph(cls, graph: Graph, name: str, doc: str = "") -> Cell:
        """A cell that is a graph, without a function behind it."""
        return cls(name, doc=doc, hyper={}, source=None, graph=graph)

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.graph.inputs

    @property
    def states(self) -> tuple[str, ...]:
        return tuple(s.name for s in self.graph.states)

    @property
    def params(self) -> tuple[Node, ...]:
        """The parameters' nodes, in order of appearance; `node.attr` has kind and name."""
        return self.graph.params

    def with_(self, **hyper: Any) -> Cell:
        """The cell with other hyper-parameters.

        >>> import gatewright as gw
        >>> [p.attr.name for p in gw.cells.peephole_lstm.with_(peepholes="f").params if p.attr.kind == "p"]
        ['p_f']
        """
        for key in hyper:
            if key not in self.hyper:
                known = ", ".join(self.hyper) or ("none" if self._source else "none, since it was read from text")
                raise CellError(
                    f"cell {self.name} has no hyper-parameter {key!r}; it has: {known}" + suggestion(key, self.hyper)
                )
        return Cell(
            self.name,
            doc=self.__doc__ or "",
            hyper={**self.hyper, **hyper},
            source=self._source,
            graph=None if hyper else self.graph,
        )

    def named(self, name: str, doc: str | None = None) -> Cell:
        """The same equations under another name, with another docstring."""
        return Cell(
            name,
            doc=self.__doc__ or "" if doc is None else inspect.cleandoc(doc),
            hyper=self.hyper,
            source=self._source,
            graph=self.graph,
        )

    def parameter_count(self, input_size: int | tuple[int, ...], hidden_size: int, **sizes: int) -> int:
        """How many weights the equations have, each parameter counted once."""
        found = self.graph.sizes(width_sizes(self.graph, input_size, hidden_size, sizes))
        total = 0
        for param in self.params:
            rows, *columns = found.shape(param)
            total += rows * (columns[0] if columns else 1)
        return total

    def __str__(self) -> str:
        from .notation.printer import print_cell

        return print_cell(self)

    def latex(self) -> str:
        """The equations as LaTeX, in an `aligned` environment; `gw.parse` reads it."""
        from .notation.latex import latex

        return latex(self.graph, self.name)

    def source(
        self, backend: str, *, dtype: Any = None, target: str | None = None, train: bool = False, backward: bool = False
    ) -> str:
        """The code that a backend makes of the cell, with the cell's names in its comments.

        Args:
            backend: "cpu": LLVM IR.
            dtype: torch.float32 or torch.float64; default torch.float32.
            target: for which instruction set, as "avx512", "avx2", "baseline" or "neon"; default this machine's.
            train: whether the forward pass keeps what backward needs; default False.
            backward: backward instead of forward; default False.

        Raises:
            CellError: there is no such backend, dtype or target.

        >>> import gatewright as gw
        >>> print(gw.cells.janet.source("cpu", target="avx512"))  # doctest: +ELLIPSIS
        ; janet: forward, for inference; torch.float32, avx512
        ...
        ; value[H, 0]: W_f x_t + U_f h_{t-1}
        ...
        """
        if backend not in GENERATED:
            known = ", ".join(map(repr, GENERATED))
            raise CellError(
                f"cell {self.name}: no code is generated by a backend {backend!r}; it is by {known}"
                + suggestion(backend, GENERATED)
            )
        view = import_module(GENERATED[backend])
        return view.source(self, dtype=dtype, target=target, train=train, backward=backward)

    def diagram(
        self,
        values: Mapping[str, Any] | None = None,
        title: str | None = None,
        theme: str = "light",
        *,
        legend: bool = False,
    ) -> Diagram:
        """One step as a picture: belts on top, learned layers as boxes, what is done unit by unit as circles.

        Args:
            values: numbers or tensors by the names of the equations (`{"f": 0.9}`; `c_prev` is an old state): each is
                shown with its mean beside the name and in its colours, a gate's from 0 to 1.
            title: a line above the picture.
            theme: "light", "dark", or "auto", which follows the reader's setting.
            legend: whether the signs are explained below; default False.

        Returns:
            The picture: `.svg`, `.save(path)`, and shown by itself in a notebook.

        Raises:
            CellError: there is no such theme, or no such value.

        >>> import gatewright as gw
        >>> gw.cells.mingru.diagram({"z": 0.9})
        <diagram of mingru: x, h_prev, z, n, h>
        """
        from .diagram import diagram  # pictures are drawn when somebody looks

        return diagram(self.graph, self.name, values=values, title=title, theme=theme, legend=legend)

    def _repr_latex_(self) -> str:
        return f"$${self.latex()}$$"

    def __repr__(self) -> str:
        given = ", ".join(f"{k}={v!r}" for k, v in self.hyper.items())
        return f"<cell {self.name}({', '.join(self.inputs)}; {', '.join(self.states)}{'; ' + given if given else ''})>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cell) and self.graph == other.graph

    def __hash__(self) -> int:
        return hash(self.graph)

    def __copy__(self) -> Cell:
        return self

    def __deepcopy__(self, memo: dict) -> Cell:
        return self  # immutable

    def __reduce__(self):
        from .notation.parser import parse

        return parse, (str(self), self.name, self.__doc__ or "")


def width_sizes(
    graph: Graph, input_size: int | tuple[int, ...], hidden_size: int, sizes: Mapping[str, int] | None = None
) -> dict[str, int]:
    """The size of each width symbol: I from the first input, I_name from any other, H from the layer."""
    given = input_size if isinstance(input_size, tuple) else (input_size,)
    if len(given) != len(graph.inputs):
        raise CellError(
            f"input_size has {len(given)} size(s) for {len(graph.inputs)} input(s) ({', '.join(graph.inputs)}): "
            "give a tuple with one for each"
        )
    symbols = ["I", *(f"I_{name}" for name in graph.inputs[1:])]
    known = dict(zip(symbols, given, strict=True)) | {"H": hidden_size}
    return known | dict(sizes or {})


@overload
def cell(function: Callable, /) -> Cell: ...
@overload
def cell(*, name: str | None = None, initial: Mapping[str, float] | None = None) -> Callable[[Callable], Cell]: ...
def cell(function: Any = None, /, *, name: str | None = None, initial: Mapping[str, float] | None = None) -> Any:
    """Make a cell of a function that is one time step's equations.

    The first argument is the input, the others are states; with a `/`, all before it are inputs. Keyword-only
    arguments are hyper-parameters. It returns the new states in the order of the arguments, and the first
    is the output; or `return y, (c, n)` where the output y is no state. It runs once, on symbols.

    Args:
        function: the equations.
        name: the cell's name; default the function's.
        initial: a state's value before the first step and after a reset, where it is not 0.

    Raises:
        CellError: the function is no cell; the message has the line, and what to do.

    >>> import gatewright as gw
    >>> @gw.cell
    ... def mgu(x, h):
    ...     f = gw.sigmoid(gw.affine(x, h))
    ...     n = gw.tanh(gw.affine(x, f * h))
    ...     h = (1 - f) * h + f * n
    ...     return h
    >>> [p.attr.name for p in mgu.params]
    ['W_f', 'U_f', 'b_f', 'W_n', 'U_n', 'b_n']
    """
    if initial is not None and not isinstance(initial, Mapping):
        raise CellError(f"initial: expected a dict of numbers by the states' names, got {initial!r}")
    if function is None:
        return lambda f: _make(f, name, dict(initial or {}))
    if not callable(function):
        raise CellError(f"@gw.cell stands before a function, not a {type(function).__name__}")
    return _make(function, name, {})


def _make(function: Callable, name: str | None, initial: dict[str, float]) -> Cell:
    called = name or identifier(getattr(function, "__name__", type(function).__name__)) or "cell"
    called = "cell" if called == "<lambda>" else called
    initial = {identifier(state): value for state, value in initial.items()}
    inputs, states, hyper = _arguments(function, called)
    if unknown := [key for key in initial if key not in states]:
        raise CellError(f"cell {called}: initial names {unknown[0]!r}, which is no state ({', '.join(states)})")
    for state, value in initial.items():
        if not isinstance(value, numbers.Real):
            raise CellError(f"cell {called}: the initial value of {state} is a {type(value).__name__}: give a number")
    source = _Source(function, inputs, states, initial)
    return Cell(called, doc=inspect.getdoc(function) or "", hyper=hyper, source=source, graph=None)


def _arguments(function: Callable, name: str) -> tuple[tuple[str, ...], tuple[str, ...], dict[str, Any]]:
    """(inputs, states, hyper-parameters) of a function's signature."""
    positional: list[inspect.Parameter] = []
    hyper: dict[str, Any] = {}
    try:
        signature = inspect.signature(function)
    except ValueError:
        raise CellError(f"@gw.cell stands before a Python function: {name} has no signature") from None
    for parameter in signature.parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise CellError(f"cell {name}: *{parameter.name} has no fixed inputs and states: name each one")
        if parameter.kind is parameter.KEYWORD_ONLY:
            hyper[parameter.name] = parameter.default
        elif parameter.default is not parameter.empty:
            raise CellError(
                f"cell {name}: {parameter.name} has a default: hyper-parameters stand behind a `*`, "
                f"as in `def {name}(x, h, *, {parameter.name}=…)`"
            )
        else:
            positional.append(parameter)
    before = [p for p in positional if p.kind is p.POSITIONAL_ONLY] or positional[:1]
    inputs = [identifier(p.name) for p in before]
    states = [identifier(p.name) for p in positional[len(before) :]]
    if not inputs or not states:
        raise CellError(
            f"cell {name} needs an input and at least one state: `def {name}(x, h): …` (with several inputs, a `/` "
            "behind them)"
        )
    if len({*inputs, *states, ""}) <= len(inputs) + len(states):
        raise CellError(f"cell {name}: {', '.join(p.name for p in positional)}: each argument needs a name of its own")
    return tuple(inputs), tuple(states), hyper
