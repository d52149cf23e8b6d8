"""What a cell's function computes with: a node that is being given a name.

A `Value` behaves like a number in an equation, and like nothing else: what a recurrence cannot say is
refused with a message. Several values may share one node; each keeps the line that made it.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable
from typing import Any, NoReturn

import numpy as np
import torch

from .errors import CellError
from .node import Node, const, node
from .ops import INTERNAL, OPS

RANDOM = "randomness inside a cell: use the layer's dropout arguments, which every backend knows"


class Value:
    """One value of a step while it is traced."""

    __slots__ = ("args", "line", "node", "tracer")
    __array_priority__ = 1000  # np.float64(2) * value asks us first
    __hash__ = object.__hash__

    def __init__(self, n: Node, args: tuple[Value, ...] = ()):
        from .trace import current  # the tracer makes values, and values report to it

        self.node, self.args = n, args
        self.tracer = current()
        self.line = self.tracer.saw(self)

    def __repr__(self) -> str:
        return f"<value {self.node.op}>"

    # -- arithmetic --------------------------------------------------------------------------

    def __add__(self, other):
        return apply("add", self, other)

    def __radd__(self, other):
        return apply("add", other, self)

    def __sub__(self, other):
        return apply("sub", self, other)

    def __rsub__(self, other):
        return apply("sub", other, self)

    def __mul__(self, other):
        return apply("mul", self, other)

    def __rmul__(self, other):
        return apply("mul", other, self)

    def __truediv__(self, other):
        return apply("div", self, other)

    def __rtruediv__(self, other):
        return apply("div", other, self)

    def __pow__(self, other):
        return apply("pow", self, other)

    def __rpow__(self, other):
        return apply("pow", other, self)

    def __neg__(self):
        return apply("neg", self)

    def __pos__(self):
        return self

    def __abs__(self):
        return apply("abs", self)

    def __lt__(self, other):
        return apply("lt", self, other)

    def __le__(self, other):
        return apply("le", self, other)

    def __gt__(self, other):
        return apply("gt", self, other)

    def __ge__(self, other):
        return apply("ge", self, other)

    def __eq__(self, other):  # pyright: ignore[reportIncompatibleMethodOverride]
        return apply("eq", self, other)

    def __ne__(self, other):  # pyright: ignore[reportIncompatibleMethodOverride]
        return apply("ne", self, other)

    # -- what a recurrence cannot say ----------------------------------------------------------

    def __bool__(self) -> NoReturn:
        raise self.error(
            "a branch on a tensor's value: `if`, `and`, `or`, `not`, max() and min() cannot see it while the "
            "equations are traced; write where(condition, a, b), maximum(a, b) or minimum(a, b)"
        )

    def __iter__(self) -> NoReturn:
        raise self.error("a value cannot be taken apart: a cell's equations hold for every unit alike")

    def __len__(self) -> NoReturn:
        raise self.error("a value has no len(): its width is known when a layer is made")

    def __getitem__(self, key) -> NoReturn:
        raise self.error("a value cannot be indexed: a cell's equations hold for every unit alike")

    def __float__(self) -> NoReturn:
        raise self.error("a value has no number yet: the equations are only traced")

    __int__ = __index__ = __complex__ = __float__

    def __round__(self, digits=None) -> NoReturn:
        raise self.error(unknown_operation("round", "round"))

    def __mod__(self, other) -> NoReturn:
        raise self.error(unknown_operation("% or //", "mod"))

    __rmod__ = __floordiv__ = __rfloordiv__ = __mod__

    def __invert__(self) -> NoReturn:
        raise self.error("conditions are not joined by &, | or ~: write one where(condition, a, b) inside another")

    def __and__(self, other) -> NoReturn:
        self.__invert__()

    __rand__ = __or__ = __ror__ = __and__

    def __matmul__(self, other) -> NoReturn:
        raise self.error("a matrix product: write linear(v) or affine(v), which own their weights")

    __rmatmul__ = __matmul__

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise UnknownOperation(self.error(unknown_operation(f"value.{name}", name)))

    def error(self, message: str) -> CellError:
        """An error that says on which line of the cell it arose."""
        return CellError(f"{self.tracer.where()}: {message}")

    # -- torch.sigmoid(value) and np.tanh(value) -----------------------------------------------

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        return _foreign("torch", function.__name__, args, kwargs or {})

    def __array_ufunc__(self, ufunc, method, *args, **kwargs):
        if method != "__call__":
            raise self.error(f"np.{ufunc.__name__}.{method} is not an operation of a cell")
        return _foreign("np", ufunc.__name__, args, kwargs)

    def __array_function__(self, function, types, args, kwargs):
        return _foreign("np", function.__name__, args, kwargs)


class UnknownOperation(CellError, AttributeError):
    """An attribute that a value does not have; also an `AttributeError`, so that `hasattr` works."""

    def __init__(self, error: CellError):
        super().__init__(str(error))


_FOREIGN = {
    "add": "add", "sub": "sub", "subtract": "sub", "mul": "mul", "multiply": "mul", "div": "div",
    "divide": "div", "true_divide": "div", "pow": "pow", "power": "pow", "float_power": "pow",
    "neg": "neg", "negative": "neg", "sigmoid": "sigmoid", "expit": "sigmoid", "tanh": "tanh", "relu": "relu",
    "exp": "exp", "log": "log", "softplus": "softplus", "abs": "abs", "absolute": "abs", "fabs": "abs",
    "sqrt": "sqrt", "maximum": "maximum", "minimum": "minimum", "where": "where", "lt": "lt", "less": "lt",
    "le": "le", "less_equal": "le", "gt": "gt", "greater": "gt", "ge": "ge", "greater_equal": "ge",
    "eq": "eq", "equal": "eq", "ne": "ne", "not_equal": "ne", "detach": "stop_gradient",
    "__mul__": "mul", "__rmul__": "mul", "__add__": "add", "__radd__": "add", "__sub__": "sub",
    "__truediv__": "div", "__pow__": "pow",
}  # fmt: skip
_REFLECTED = {"__rsub__": "sub", "__rtruediv__": "div", "__rdiv__": "div", "__rpow__": "pow", "rsub": "sub"}


def _foreign(library: str, name: str, args: tuple, kwargs: dict[str, Any]) -> Value:
    """The operation of a cell that another library's function of one or more values stands for."""
    value = _first_value((*args, *kwargs.values()))
    if name in _REFLECTED:
        return apply(_REFLECTED[name], args[1], args[0])
    if name not in _FOREIGN:
        raise value.error(unknown_operation(f"{library}.{name}", name))
    op = _FOREIGN[name]
    args = (*args, *(kwargs[word] for word in ("input", "other") if word in kwargs))
    kwargs = {k: v for k, v in kwargs.items() if k not in ("input", "other") and v is not None and v is not False}
    if kwargs or len(args) != OPS[op].arity:
        given = ", ".join([*("…" for _ in args), *kwargs])
        raise value.error(f"{library}.{name}({given}): a cell knows {name} of {OPS[op].arity} values alone")
    return apply(op, *args)


def _first_value(things: Iterable) -> Value:
    """A value among the arguments of a call, or in a list of them, as in torch.cat([x, h])."""
    flat = [b for a in things for b in (a if isinstance(a, list | tuple) else (a,))]
    return next(a for a in flat if isinstance(a, Value))


def unknown_operation(written: str, name: str) -> str:
    """The message about an operation that no cell can say."""
    if any(word in name for word in ("rand", "dropout", "bernoulli", "normal", "poisson", "multinomial")):
        return f"{written}: {RANDOM}"
    if "attention" in name or name in ("softmax", "cumsum", "roll", "cat", "concat", "concatenate", "stack"):
        return (
            f"{written} is not an operation of a cell: a step sees this input, its old states and "
            "previous(x, k), unit by unit; products are affine(…) and linear(…)"
        )
    return f"{written} is not an operation of a cell; it knows {', '.join(sorted(known_operations()))}"


def known_operations() -> list[str]:
    """What a cell can say, by the names that gatewright exports."""
    said = [row.name for row in OPS.values() if row.kind not in ("leaf", "product", "compare")]
    signs = {"add", "sub", "mul", "div", "neg", "pow"}
    products = ["affine", "linear", "diagonal", "bias", "previous", "constant"]
    return [name for name in said if name not in INTERNAL | signs] + products


def constant_of(thing: object) -> Node | None:
    """The constant node of a number, a NumPy number or a tensor of one element; None for anything else."""
    if isinstance(thing, bool):
        return None
    if isinstance(thing, numbers.Real):
        return const(float(thing))
    if isinstance(thing, np.ndarray | torch.Tensor) and thing.ndim == 0:
        return const(float(thing))
    return None


def lift(thing: object, what: str = "an operand") -> Value:
    """A value for anything that may stand in an equation."""
    from .trace import current

    if isinstance(thing, Value):
        current().own(thing)
        return thing
    if isinstance(thing, numbers.Real) and math.isnan(thing):
        raise CellError(f"{current().where()}: {what} is NaN: give a number")
    if (number := constant_of(thing)) is not None:
        return Value(number)
    shape = f" of shape {tuple(thing.shape)}" if isinstance(thing, np.ndarray | torch.Tensor) else ""
    raise CellError(
        f"{current().where()}: {what} is a {type(thing).__name__}{shape}; expected a value of the cell or a "
        "number (weights belong to affine, linear, diagonal and bias)"
    )


def apply(op: str, *operands: object, attr: Any = None) -> Value:
    """The value of an operation; conditions go into `where` alone."""
    values = tuple(lift(operand, f"an operand of {op}") for operand in operands)
    for position, value in enumerate(values):
        condition = OPS[value.node.op].kind == "compare"
        wanted = op == "where" and position == 0
        if condition and not wanted:
            raise value.error(f"a condition is an operand of {op}: write where(condition, a, b)")
        if wanted and not condition:
            raise value.error("where needs a condition first, such as a > 0")
    return Value(node(op, *(v.node for v in values), attr=attr), values)
