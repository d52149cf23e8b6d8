"""A module of the user's own: its `forward` is traced, and what it calls is written."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import fx, nn
from torch.fx.node import map_arg
from torch.fx.proxy import TraceError

from ..nn import arguments
from ..nn.deep import Deep
from ..nn.stack import Stack
from .builder import Body, Value
from .clock import Clock
from .functions import FUNCTIONS, METHODS
from .model import ModelWriter, Recurred, Sequences, States, is_known, output_of
from .modules import features_of, takes_numbers
from .ports import Asked, layout_of

CALL = ("hx", "lengths", "reset", "states")
"""What a recurrent layer may be given besides its input, in order."""


class _Tracer(fx.Tracer):
    """Looks into the user's modules, not into those that are known."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return is_known(m) or super().is_leaf_module(m, module_qualified_name)


def write_traced(writer: ModelWriter, model: nn.Module, asked: Asked) -> None:
    """Write a model whose inputs and outputs are those of its `forward`."""
    if asked != Asked(False, False, False, True, ()):
        raise ValueError(
            f"lengths, reset, initial_state, final_state, static: expected as they are for a {type(model).__name__}, "
            "whose inputs and outputs are those of its forward; let forward take lengths and hand them to its layers"
        )
    graph = _traced(model)
    _Writing(writer, model, graph).run()


def _traced(model: nn.Module) -> fx.Graph:
    """The calls of a module's `forward`; arguments with a default keep it."""
    given = inspect.signature(model.forward).parameters.values()
    usual = {p.name: p.default for p in given if p.default is not inspect.Parameter.empty}
    tracer = _Tracer()
    training = model.training
    try:
        return tracer.trace(model.eval(), concrete_args=usual or None)
    except (TraceError, TypeError, ValueError, RuntimeError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise ValueError(
            f"model: expected a forward that does the same whatever its input, got one that torch.fx cannot follow "
            f"({reason}); export the recurrent part by itself"
        ) from error
    finally:
        model.train(training)


class _Writing:
    """One traced graph while it is written; `found` holds what its nodes have become."""

    def __init__(self, writer: ModelWriter, model: nn.Module, graph: fx.Graph):
        self.writer, self.model, self.graph = writer, model, graph
        self.body: Body = writer.body
        self.modules = dict(model.named_modules(remove_duplicate=False))
        self.layout = layout_of(model)
        self.found: dict[fx.Node, Any] = {}

    def run(self) -> None:
        """Every node that the outputs need, in order; torch.fx also asserts that defaults are what they were."""
        needed = _needed(self.graph)
        for n in self.graph.nodes:
            if n in needed:
                self.found[n] = self._write(n)

    def _write(self, n: fx.Node) -> Any:
        args: Any = map_arg(n.args, self.found.__getitem__)
        kwargs: Any = map_arg(n.kwargs, self.found.__getitem__)
        match n.op:
            case "placeholder":
                return self._input(n)
            case "output":
                return self._outputs(args[0])
            case "get_attr":
                tensor = operator.attrgetter(str(n.target))(self.model)
                return Value(self.body.weight(tensor, str(n.target)), tensor.dim(), tensor.shape[-1])
            case "call_module":
                return self._module(str(n.target), args, kwargs)
        rows: Mapping[Any, Callable] = METHODS if n.op == "call_method" else FUNCTIONS
        if n.target not in rows:
            name = getattr(n.target, "__name__", str(n.target))
            raise ValueError(f"forward: expected functions that can be exported, got {name}; known are {_known()}")
        return rows[n.target](self.body, n.name, *args, **kwargs)

    # -- modules ---------------------------------------------------------------------------------------

    def _module(self, path: str, args: tuple, kwargs: Mapping[str, Any]) -> Any:
        module = self.modules[path]
        if not isinstance(module, Stack | Deep):
            return self.writer.module(module, path, [_tensor(a) for a in args], _alone(self.body, args))
        given = dict(zip(CALL, args[1:], strict=False)) | dict(kwargs)
        inputs = [_tensor(x) for x in (args[0] if _is_tuple(args[0]) else (args[0],))]
        if given.get("states") is not None:
            raise ValueError(f"{path}: expected states=None, got {given['states']!r}; final states alone are exported")
        reset = given.get("reset")
        turned = module.batch_first
        if reset is not None and turned:
            reset = reset._replace(name=self.body.node("Transpose", reset.name, perm=[1, 0]))
        lengths = given.get("lengths")
        clock = Clock(
            self.body,
            inputs[0].name,
            lengths.name if lengths else None,
            reset.name if reset else None,
            batch_first=turned,
        )
        return self.writer.module(module, path, inputs, Sequences(clock, self._begin(module, path, given.get("hx"))))

    def _begin(self, module: nn.Module, path: str, hx: Any) -> dict[str, States]:
        """The states before the first step, as a layer is given them."""
        if hx is None:
            return {}
        if isinstance(module, Stack):
            values = [_tensor(s).name for s in (hx if _is_tuple(hx) else (hx,))]
            count = len(module.state_sizes)
            return {path: States(values[:count], values[count:])}
        begin: dict[str, States] = {}
        assert isinstance(module, Deep)
        for block, state in zip(module.blocks, hx, strict=True):
            begin |= self._begin(module.layers[block.at], f"{path}.layers.{block.at}", state)
        return begin

    # -- inputs ----------------------------------------------------------------------------------------

    def _input(self, n: fx.Node) -> Any:
        """What an argument of `forward` is follows from what it is handed to."""
        for user in n.users:
            if user.op == "call_module" and (port := self._port(n, user)) is not None:
                return port
        users = ", ".join(str(user.target) for user in n.users)
        raise ValueError(
            f"forward, argument {n.name}: expected it to go into a recurrent layer, a Linear, a norm or an Embedding, "
            f"so that its shape is known; it goes into {users}"
        )

    def _port(self, n: fx.Node, user: fx.Node) -> Any:
        module = self.modules[str(user.target)]
        if not isinstance(module, Stack | Deep):
            return self._plain_port(n.name, module)
        given: list[tuple[str, Any]] = [*zip(("input", *CALL), user.args, strict=False), *user.kwargs.items()]
        match next((role for role, value in given if value is n), ""):
            case "lengths":
                return Value(self.body.input(n.name, ("batch",), torch.int64), 1, 0)
            case "reset":
                return Value(self.body.input(n.name, self.layout, torch.bool), 2, 0)
            case "hx" if isinstance(module, Stack):
                return self._state_port(n.name, module)
            case "input" if isinstance(module.input_size, int):
                return self._features(n.name, module.input_size)
        return None

    def _plain_port(self, name: str, module: nn.Module) -> Value | None:
        if takes_numbers(module):
            return Value(self.body.input(name, self.layout, torch.int64), 2, 0)
        size = features_of(module)
        return None if size is None else self._features(name, size)

    def _features(self, name: str, size: int) -> Value:
        return Value(self.body.input(name, (*self.layout, size)), 3, size)

    def _state_port(self, name: str, layer: Stack) -> Value | tuple[Value, ...]:
        rows, sizes = layer.num_layers * layer.directions, layer.state_sizes
        names = [name] if len(sizes) == 1 else [f"{name}.{state}" for state in sizes]
        ports = zip(names, sizes.values(), strict=True)
        values = [Value(self.body.input(port, (rows, "batch", w)), 3, w) for port, w in ports]
        return tuple(values) if len(values) > 1 else values[0]

    # -- outputs ---------------------------------------------------------------------------------------

    def _outputs(self, result: Any) -> None:
        """y, or y_0, y_1, … in the order in which they stand in what `forward` returns."""
        values = list(_flat(result))
        for k, value in enumerate(values):
            free = [f"y_{k}_{axis}" for axis in range(value.rank - 1)]
            width = value.width or f"y_{k}_{value.rank - 1}"
            self.body.output(value.name, "y" if len(values) == 1 else f"y_{k}", (*free, width) if value.rank else ())


def _needed(graph: fx.Graph) -> set[fx.Node]:
    """The nodes that lead to the outputs."""
    needed: set[fx.Node] = set()
    for n in reversed(graph.nodes):
        if n.op == "output" or not needed.isdisjoint(n.users):
            needed.add(n)
    return needed


def _known() -> str:
    names = {getattr(f, "__name__", "") for f in FUNCTIONS} | set(METHODS)
    return ", ".join(sorted(names))


def _alone(body: Body, args: tuple) -> Sequences:
    """For modules that know no sequences."""
    return Sequences(Clock(body, _tensor(args[0]).name, None, None))


def _is_tuple(thing: Any) -> bool:
    return isinstance(thing, tuple | list) and not isinstance(thing, Value | Recurred)


def _tensor(thing: Any) -> Value:
    """A value; of a recurrent layer its output."""
    if isinstance(thing, Value | Recurred):
        return output_of(thing)
    raise arguments.wrong("forward", "tensors where a module is called", type(thing).__name__)


def _flat(result: Any):
    """The values in what `forward` returns."""
    if isinstance(result, Value):
        yield result
    elif isinstance(result, Mapping):
        for part in result.values():
            yield from _flat(part)
    elif isinstance(result, tuple | list):
        for part in result:
            yield from _flat(part)
